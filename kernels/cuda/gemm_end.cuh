/* gemm_end.cuh - the ends of gemm_sm90's products: a warp's sums become outputs, a slice of columns
 * after another, in shared memory, from where the copy engine stores them. */
#ifndef EET_KERNELS_CUDA_GEMM_END_CUH
#define EET_KERNELS_CUDA_GEMM_END_CUH

#include "kernels/cuda/gemm_tile.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Part c of COUNT numbers of the sums. As c is known at run time alone, moves that stay behind a
 * branch: the other parts cost nothing. */
template <int COUNT, int SUMS>
__device__ void take_part(const float (&sum)[SUMS], int c, float (&v)[COUNT]) {
#pragma unroll
    for (int i = 0; i < SUMS / COUNT; ++i) {
        if (i == c) {
#pragma unroll
            for (int n = 0; n < COUNT; ++n) {
                asm volatile("mov.b32 %0, %1;" : "=f"(v[n]) : "f"(sum[COUNT * i + n]));
            }
        }
    }
}

/* The copy engine swizzles the 16 bytes of a row by the row. */
template <class SHAPE> __device__ int turned(int row) {
    return SHAPE::PITCH == 128 ? row & 7 : row >> 1 & 3;
}

/* Of f32: where a lane's numbers of a warp's 16 rows are, those of block b of 8 columns, two side
 * by side, and as many 8 rows below. */
template <class SHAPE> __device__ uint32_t place_of_two(uint32_t rows, int b) {
    const int lane = (int)threadIdx.x % WARP;
    const int byte = (8 * b + 2 * (lane & 3)) * SHAPE::SIZE;

    return rows + (uint32_t)(lane / 4 * SHAPE::PITCH +
                             ((byte >> 4 ^ turned<SHAPE>(lane / 4)) << 4) + (byte & 15));
}

/* Of 16 bits: the row of blocks 0 and 1 that a lane names to store_four. As 2 p turns no bit of
 * block 0 or 1, blocks 2 p and 2 p + 1 are 2 p of 16 bytes away by exclusive or. */
template <class SHAPE> __device__ uint32_t place_of_row(uint32_t rows) {
    const int lane = (int)threadIdx.x % WARP;
    const int row = lane & 15;

    return rows + (uint32_t)(row * SHAPE::PITCH + ((lane >> 4 ^ turned<SHAPE>(row)) << 4));
}

template <bool BF16, class SHAPE>
__device__ void add_slice(uint32_t rows, float (&v)[SHAPE::SUMS]) {
    if constexpr (SHAPE::SIZE == 4) {
#pragma unroll
        for (int i = 0; i < SHAPE::SUMS / 2; ++i) {
            const uint32_t at = place_of_two<SHAPE>(rows, i / 2) + i % 2 * 8 * SHAPE::PITCH;
            float2 two;

            asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(two.x), "=f"(two.y) : "r"(at));
            v[2 * i] = __fadd_rn(v[2 * i], two.x);
            v[2 * i + 1] = __fadd_rn(v[2 * i + 1], two.y);
        }
    } else {
        const uint32_t at = place_of_row<SHAPE>(rows);

#pragma unroll
        for (int p = 0; p < SHAPE::SUMS / 8; ++p) {
            uint32_t word[4];

            load_four(at ^ p << 5, word);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float2 two = unpack_two(BF16 ? EET_BF16 : EET_F16, word[i]);

                v[8 * p + 2 * i] = __fadd_rn(v[8 * p + 2 * i], two.x);
                v[8 * p + 2 * i + 1] = __fadd_rn(v[8 * p + 2 * i + 1], two.y);
            }
        }
    }
}

template <bool BF16, class SHAPE>
__device__ void put_slice(uint32_t rows, const float (&v)[SHAPE::SUMS]) {
    if constexpr (SHAPE::SIZE == 4) {
#pragma unroll
        for (int i = 0; i < SHAPE::SUMS / 2; ++i) {
            const uint32_t at = place_of_two<SHAPE>(rows, i / 2) + i % 2 * 8 * SHAPE::PITCH;

            asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(v[2 * i]),
                         "f"(v[2 * i + 1])
                         : "memory");
        }
    } else {
        const uint32_t at = place_of_row<SHAPE>(rows);

#pragma unroll
        for (int p = 0; p < SHAPE::SUMS / 8; ++p) {
            const float *of = v + 8 * p;
            uint32_t word[4];

#pragma unroll
            for (int i = 0; i < 4; ++i) {
                word[i] = pack_two(BF16 ? EET_BF16 : EET_F16, of[2 * i], of[2 * i + 1]);
            }
            store_four(at ^ p << 5, word[0], word[1], word[2], word[3]);
        }
    }
}

/* A lane's columns of a slice's bias. */
template <class SHAPE> struct slice_bias {
    float2 of[SHAPE::COLS / 8];

    __device__ void load(const eet_project_args &a, int32_t col) {
#pragma unroll
        for (int b = 0; b < SHAPE::COLS / 8; ++b) {
            const int32_t j = col + 8 * b + 2 * ((int)threadIdx.x & 3);

            if (a.bias != nullptr && j < a.w.n) {
                of[b] = *(const float2 *)(a.bias + j);
            }
        }
    }
    __device__ void add(float (&v)[SHAPE::SUMS]) const {
#pragma unroll
        for (int i = 0; i < SHAPE::SUMS; ++i) {
            const float2 two = of[i / 4];

            v[i] = __fadd_rn(v[i], i % 2 == 0 ? two.x : two.y);
        }
    }
};

/* A warp's rows, 16 bytes at a time, from shared memory to y and into pages. */
template <class SHAPE>
__device__ void store_to_pages(const eet_finish &f, int32_t row, int32_t col, const char *rows) {
    constexpr int PIECES = SHAPE::PITCH / 16;
    const eet_project_args &a = f.a;
    const int piece = (int)threadIdx.x % PIECES;
    const int32_t j = col + 8 * piece;

    for (int r = (int)threadIdx.x % WARP / PIECES; r < WARP_ROWS; r += WARP / PIECES) {
        if (row + r < a.rows && j < a.w.n) {
            const uint4 eight =
                *(const uint4 *)(rows + r * SHAPE::PITCH + ((piece ^ turned<SHAPE>(r)) << 4));

            if (j < f.y_columns) {
                *(uint4 *)((uint16_t *)a.y + (int64_t)(row + r) * f.y_columns + j) = eight;
            } else {
                *(uint4 *)((uint16_t *)a.pages.data +
                           eet_project_place(&a, row + r, j - f.y_columns)) = eight;
            }
        }
    }
}

/* What a warp has at hand when a tile ends. */
template <class TILE> struct end_state {
    int first, stored; /* its first row of the tile; slices so far */
    char *slices;      /* two of them, of its rows, in shared memory */
    const char *stages;
    barriers<TILE> *b;
};

/* Slice c of a residual, added; the last of a stage lets it go. */
template <bool BF16, class TILE, gemm_end END>
__device__ void add_residual_slice(const end_state<TILE> &state, int c, turn<TILE> &now,
                                   float (&v)[end_shape<TILE, END>::SUMS]) {
    using shape = end_shape<TILE, END>;
    const int in = c % shape::PER_STEP;

    if (in == 0) {
        wait_at(&state.b->full[now.stage], now.parity);
    }
    add_slice<BF16, shape>(shared_place(state.stages + now.stage * TILE::STAGE_BYTES +
                                        (in * TILE::ROWS + state.first) * shape::PITCH),
                           v);
    if (in == shape::PER_STEP - 1 || c == shape::SLICES - 1) {
        __syncwarp();
        release<TILE>(state.b, now.stage);
        now.next();
    }
}

/* The activations that have a kernel; others are those of gemm_end::ANY. */
template <int N> __device__ void activate_half(int32_t act, float (&x)[N]) {
    if (act == EET_ACT_GELU_ERF) {
        activate_as<EET_ACT_GELU_ERF>(x);
    } else if (act == EET_ACT_GELU_TANH) {
        activate_as<EET_ACT_GELU_TANH>(x);
    } else if (act == EET_ACT_RELU) {
        activate_as<EET_ACT_RELU>(x);
    }
}

/* A warp's rows of a tile, from (row, col) on. It meets no other warp. */
template <bool BF16, class TILE, gemm_end END>
__device__ void end_tile(const eet_finish &f, const CUtensorMap *y, int32_t row, int32_t col,
                         const float (&sum)[TILE::SUMS], slice_bias<end_shape<TILE, END>> &bias,
                         turn<TILE> &now, end_state<TILE> &state) {
    using shape = end_shape<TILE, END>;

#pragma unroll 1
    for (int c = 0; c < shape::SLICES; ++c, ++state.stored, col += shape::COLS) {
        char *slice = state.slices + (state.stored & 1) * WARP_SLICE;
        float v[shape::SUMS];

        take_part(sum, c, v);
        if constexpr (shape::RESIDUAL) {
            add_residual_slice<BF16, TILE, END>(state, c, now, v);
        }
        if (f.a.bias != nullptr) {
            bias.add(v);
        }
        if constexpr (END == gemm_end::HALF) {
            activate_half(f.a.act, v);
        }
        if (END != gemm_end::PAGES && threadIdx.x % WARP == 0) {
            wait_for_stores_to_read<1>();
        }
        __syncwarp();
        put_slice<BF16, shape>(shared_place(slice), v);
        if constexpr (END == gemm_end::PAGES) {
            __syncwarp();
            store_to_pages<shape>(f, row, col, slice);
        } else {
            writes_are_made();
            __syncwarp();
            if (threadIdx.x % WARP == 0) {
                store_tile(y, col, row, slice);
            }
        }
        if (c + 1 < shape::SLICES) { /* not before: what makes writes seen waits for loads */
            bias.load(f.a, col + shape::COLS);
        }
    }
}

/* Any end, in fragments of 32 columns: in a loop, as it is long code. What a fragment needs is on
 * its way while the one before is finished. */
template <int SUMS>
__device__ void end_any(const eet_finish &f, int32_t row, int32_t col, const float (&sum)[SUMS]) {
    constexpr int PARTS = SUMS / 16;
    const int32_t here = row + (int)threadIdx.x % WARP / 4;
    fragment_ahead ahead;

    look_ahead(f, here, col, ahead);
#pragma unroll 1
    for (int c = 0; c < PARTS; ++c, col += 32) {
        const fragment_ahead now = ahead;
        float part[16];
        float v[4][4];

        if (c + 1 < PARTS) {
            look_ahead(f, here, col + 32, ahead);
        }
        take_part(sum, c, part);
#pragma unroll
        for (int n = 0; n < 16; ++n) {
            v[n / 4][n % 4] = part[n];
        }
        finish_fragment(f, here, col, now, v);
    }
}

#endif
#endif
