/* gemm_tile.cuh - a tile of gemm_sm90's products: how it lies in shared memory, how the copy engine
 * brings its operands, and its sums. */
#ifndef EET_KERNELS_CUDA_GEMM_TILE_CUH
#define EET_KERNELS_CUDA_GEMM_TILE_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"

constexpr int DEPTH = 64; /* of k in a stage: 128 bytes */
constexpr int NUMBER = 2; /* bytes of an operand's number */
constexpr int GROUP_ROWS = 64;
constexpr int WARP_ROWS = 16;
constexpr int WARP_SLICE = WARP_ROWS * 128; /* bytes of a warp's outputs on their way, at most */

/* What follows the sums: anything; an activation or none, and y of 16 bits; a residual and y of 16
 * bits; both of f32; q to y and k and v into pages, of 16 bits. */
enum class gemm_end { ANY, HALF, RESIDUAL, STREAM, PAGES };

/* ROWS by COLS outputs, each group of warps 64 rows of them. PAIR blocks of a cluster have tiles
 * side by side: each brings a part of the rows of x to all of them. */
template <int ROWS_, int COLS_, int PAIR_ = 1> struct tile_kind {
    static constexpr int ROWS = ROWS_;
    static constexpr int COLS = COLS_;
    static constexpr int PAIR = PAIR_;
    static constexpr int GROUPS = ROWS / GROUP_ROWS;
    static constexpr int THREADS = (1 + GROUPS) * WARP_GROUP;
    static constexpr int X_BYTES = ROWS * DEPTH * NUMBER;
    static constexpr int STAGE_BYTES = X_BYTES + COLS * DEPTH * NUMBER;
    static constexpr int END_BYTES = ROWS / WARP_ROWS * 2 * WARP_SLICE;
    static constexpr int FIT = ((225 << 10) - END_BYTES) / STAGE_BYTES;
    static constexpr int STAGES = FIT < 16 ? FIT : 16;
    static constexpr size_t SHARED = (size_t)STAGES * STAGE_BYTES + END_BYTES + 1024;
    static constexpr int SUMS = COLS / 2; /* of a thread */
};

/* A tile's outputs, a slice of columns after another; of a residual PER_STEP slices fill a stage.
 */
template <class TILE, gemm_end END> struct end_shape {
    static constexpr bool RESIDUAL = END == gemm_end::RESIDUAL || END == gemm_end::STREAM;
    static constexpr int SIZE = END == gemm_end::STREAM ? 4 : NUMBER; /* of an output, in bytes */
    static constexpr int MOST = 128 / SIZE;
    static constexpr int COLS = TILE::COLS < MOST        ? TILE::COLS
                                : TILE::COLS % MOST == 0 ? MOST
                                                         : MOST / 2;
    static constexpr int PITCH = COLS * SIZE;
    static constexpr int SLICES = TILE::COLS / COLS;
    static constexpr int SUMS = COLS / 2; /* of a thread */
    static constexpr int FIT = TILE::STAGE_BYTES / (TILE::ROWS * PITCH);
    static constexpr int PER_STEP = FIT < SLICES ? FIT : SLICES;
    static constexpr int STEPS = RESIDUAL ? (SLICES + PER_STEP - 1) / PER_STEP : 0;
};

struct gemm_maps {
    CUtensorMap x, w, y, residual;
};

/* Tiles, or PAIR of them, across; tiles down; stages of k. */
struct gemm_size {
    int32_t across, down, steps;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int STEP = 16; /* of k in an instruction */
constexpr int WARPS = WARP_GROUP / WARP;

template <class TILE> struct barriers { uint64_t full[TILE::STAGES], empty[TILE::STAGES]; };

/* Stages in turn, and the phase of their barriers. */
template <class TILE> struct turn {
    int stage;
    uint32_t parity;

    __device__ void next() {
        stage = stage + 1 < TILE::STAGES ? stage + 1 : 0;
        parity ^= stage == 0 ? 1U : 0U;
    }
};

/* The block in its cluster, and the cluster. */
template <class TILE> __device__ int32_t rank_of_block() {
    return (int32_t)blockIdx.x % TILE::PAIR;
}

template <class TILE> __device__ int32_t first_tile() {
    return (int32_t)blockIdx.x / TILE::PAIR;
}

template <class TILE> __device__ int32_t tiles_at_once() {
    return (int32_t)gridDim.x / TILE::PAIR;
}

template <class TILE> __device__ tile_place place_of(int32_t tile, const gemm_size &size) {
    const tile_place at = eet_tile_at(tile, size.across, size.down);

    return {at.row * TILE::ROWS, (at.col * TILE::PAIR + rank_of_block<TILE>()) * TILE::COLS};
}

/* The block's part of the rows of x, to all of its cluster. */
template <class TILE>
__device__ void bring_x(const gemm_maps &maps, char *to, int32_t col, int32_t row, uint64_t *full) {
    if constexpr (TILE::PAIR == 1) {
        bring_tile(to, &maps.x, col, row, full);
    } else {
        constexpr int PART = TILE::ROWS / TILE::PAIR;
        const int32_t first = rank_of_block<TILE>() * PART;

        bring_tile_to_all<TILE::PAIR>(to + first * DEPTH * NUMBER, &maps.x, col, row + first, full);
    }
}

template <class TILE, gemm_end END>
__device__ void bring_residual(const gemm_maps &maps, tile_place at, int step, char *stage,
                               uint64_t *full) {
    using shape = end_shape<TILE, END>;
    constexpr int BYTES = GROUP_ROWS * shape::PITCH;
    const int from = step * shape::PER_STEP;
    const int count = min(shape::PER_STEP, shape::SLICES - from);

    expect_bytes(full, (uint32_t)(count * TILE::GROUPS * BYTES));
    for (int i = 0; i < count * TILE::GROUPS; ++i) {
        bring_tile(stage + i * BYTES, &maps.residual,
                   at.col + (from + i / TILE::GROUPS) * shape::COLS,
                   at.row + i % TILE::GROUPS * GROUP_ROWS, full);
    }
}

/* Weights, which no kernel writes, come for all stages before the kernel before this has ended. */
template <class TILE, gemm_end END>
__device__ void bring_tiles(const gemm_maps &maps, const gemm_size &size, char *stages,
                            barriers<TILE> *b) {
    turn<TILE> now = {0, 1}; /* of the phase before the first: all stages are empty */
    int32_t early = 0;

    for (; early < min(TILE::STAGES, size.steps); ++early) {
        expect_bytes(&b->full[early], TILE::STAGE_BYTES);
        bring_tile(stages + early * TILE::STAGE_BYTES + TILE::X_BYTES, &maps.w, early * DEPTH,
                   place_of<TILE>(first_tile<TILE>(), size).col, &b->full[early]);
    }
    wait_for_previous();
    for (int32_t tile = first_tile<TILE>(); tile < size.across * size.down;
         tile += tiles_at_once<TILE>()) {
        const tile_place at = place_of<TILE>(tile, size);

        for (int32_t s = 0; s < size.steps; ++s, now.next()) {
            char *to = stages + now.stage * TILE::STAGE_BYTES;
            uint64_t *full = &b->full[now.stage];

            if (early > 0) {
                --early;
            } else {
                wait_at(&b->empty[now.stage], now.parity);
                expect_bytes(full, TILE::STAGE_BYTES);
                bring_tile(to + TILE::X_BYTES, &maps.w, s * DEPTH, at.col, full);
            }
            bring_x<TILE>(maps, to, s * DEPTH, at.row, full);
        }
        for (int s = 0; s < end_shape<TILE, END>::STEPS; ++s, now.next()) {
            wait_at(&b->empty[now.stage], now.parity);
            bring_residual<TILE, END>(maps, at, s, stages + now.stage * TILE::STAGE_BYTES,
                                      &b->full[now.stage]);
        }
    }
}

/* This warp has read a stage, which all blocks of the cluster bring something to. */
template <class TILE> __device__ void release(barriers<TILE> *b, int stage) {
    if constexpr (TILE::PAIR == 1) {
        if (threadIdx.x % WARP == 0) {
            arrive(&b->empty[stage]);
        }
    } else if (threadIdx.x % WARP < TILE::PAIR) {
        arrive_after_reads(&b->empty[stage], threadIdx.x % WARP);
    }
}

/* The sums of this group's rows in a tile. */
template <bool BF16, class TILE>
__device__ void multiply_tile(int32_t steps, int group, const char *stages, barriers<TILE> *b,
                              turn<TILE> &now, float (&sum)[TILE::SUMS]) {
    int before = 0;

    for (int32_t s = 0; s < steps; ++s) {
        const char *x = stages + now.stage * TILE::STAGE_BYTES;
        const uint64_t w_at = operand_at(x + TILE::X_BYTES);
        const uint64_t x_at = operand_at(x + group * (GROUP_ROWS * DEPTH * NUMBER));

        wait_at(&b->full[now.stage], now.parity);
        products_begin();
#pragma unroll
        for (int k = 0; k < DEPTH / STEP; ++k) { /* 16-byte units */
            multiply_64<BF16, TILE::COLS>(sum, x_at + k * STEP * NUMBER / 16,
                                          w_at + k * STEP * NUMBER / 16, s > 0 || k > 0);
        }
        products_end();
        wait_for_products<1>();
        if (s > 0) {
            release<TILE>(b, before);
        }
        before = now.stage;
        now.next();
    }
    wait_for_products<0>();
    release<TILE>(b, before);
}

#endif
#endif
