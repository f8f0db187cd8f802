/* gemm_mma.cu - products on the tensor cores of sm_80 and later: one block makes a tile of 128 x
 * 128 outputs, whose operands come to shared memory STAGES ahead, DEPTH of k at a time.
 *
 * An output is the sum over k in its order, 16 products at a time, whatever else is in the call.
 * Bound by the tensor cores; for few rows by the latency of the copies. */
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor.cuh"

namespace {

constexpr int ROWS = 128;
constexpr int COLS = 128;
constexpr int DEPTH = 32;
constexpr int STAGES = 4;
constexpr int PIECE = 8;           /* elements of 16 bytes */
constexpr int TILE = ROWS * DEPTH; /* elements of one operand */
constexpr int STAGE = 2 * TILE;    /* and of both */
constexpr int MY_ROWS = 64;        /* of a warp: 2 x 4 warps */
constexpr int MY_COLS = 32;
constexpr size_t SHARED = (size_t)STAGES * STAGE * 2;

static_assert((ROWS / MY_ROWS) * (COLS / MY_COLS) * WARP == BLOCK, "a block makes its tile");

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

constexpr int PIECES = DEPTH / PIECE; /* in a row of a tile */
constexpr int BLOCKS16 = MY_ROWS / 16;
constexpr int BLOCKS8 = MY_COLS / 8;

/* Where a piece of a row is in its tile: eight rows' same pieces are in all the banks. */
__device__ int piece_at(int row, int piece) {
    return row * DEPTH + (piece ^ (row >> 1 & 3)) * PIECE;
}

/* An operand: rows of k numbers, `ld` apart. */
struct operand {
    const uint16_t *data;
    int32_t rows, k;
    int64_t ld;
};

/* Rows from `row0` and k from `k0` into a tile; zero where there are none. */
template <bool WIDE>
__device__ void load_tile(uint16_t *tile, const operand &from, int32_t row0, int32_t k0) {
#pragma unroll
    for (int n = 0; n < ROWS * PIECES / BLOCK; ++n) {
        const int i = (int)threadIdx.x + n * BLOCK;
        const int row = i / PIECES;
        const int piece = i % PIECES;
        const int32_t k = k0 + piece * PIECE;
        const bool there = row0 + row < from.rows;
        const uint16_t *source = from.data + (there ? (row0 + row) * from.ld : 0);
        uint16_t *to = tile + piece_at(row, piece);

        if constexpr (WIDE) {
            const bool any = there && k < from.k;

            copy_16(to, source + (any ? k : 0), any ? 16 : 0);
        } else {
#pragma unroll
            for (int e = 0; e < PIECE; ++e) {
                to[e] = there && k + e < from.k ? source[k + e] : (uint16_t)0;
            }
        }
    }
}

/* Four matrices of 8 x 8 from the pieces of which every lane names a row. */
__device__ void load_matrices(uint32_t (&to)[4], const uint16_t *from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(from))
                 : "memory");
}

template <bool BF16>
__device__ void multiply_stage(const uint16_t *x, const uint16_t *w,
                               float (&sum)[BLOCKS16][BLOCKS8][4]) {
    const int lane = (int)threadIdx.x % WARP;

#pragma unroll
    for (int k = 0; k < PIECES; k += 2) {
        uint32_t a[BLOCKS16][4];
        uint32_t b[BLOCKS8 / 2][4];

#pragma unroll
        for (int m = 0; m < BLOCKS16; ++m) {
            load_matrices(a[m], x + piece_at(m * 16 + lane % 16, k + lane / 16));
        }
#pragma unroll
        for (int n = 0; n < BLOCKS8 / 2; ++n) {
            const int row = n * 16 + lane % 8 + lane / 16 * 8;

            load_matrices(b[n], w + piece_at(row, k + lane / 8 % 2));
        }
#pragma unroll
        for (int m = 0; m < BLOCKS16; ++m) {
#pragma unroll
            for (int n = 0; n < BLOCKS8; ++n) {
                multiply_16<BF16>(sum[m][n], a[m][0], a[m][1], a[m][2], a[m][3],
                                  b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
            }
        }
    }
}

template <bool BF16, bool WIDE>
__device__ void multiply_tile(const eet_finish &f, tile_place at, uint16_t *shared,
                              float (&sum)[BLOCKS16][BLOCKS8][4]) {
    const operand x = {(const uint16_t *)f.a.x, f.a.rows, f.a.w.k, f.a.w.k};
    const operand w = {(const uint16_t *)f.a.w.data, f.a.w.n, f.a.w.k, f.a.w.ld};
    const int warp = (int)threadIdx.x / WARP;
    const int my_x = warp / (COLS / MY_COLS) * MY_ROWS * DEPTH;
    const int my_w = TILE + warp % (COLS / MY_COLS) * MY_COLS * DEPTH;
    const int32_t steps = (f.a.w.k + DEPTH - 1) / DEPTH;

    for (int32_t s = 0; s < STAGES - 1 + steps; ++s) {
        uint16_t *to = shared + s % STAGES * STAGE;
        const uint16_t *from = shared + (s + 1) % STAGES * STAGE; /* of step s - (STAGES - 1) */

        if (s >= STAGES - 1) {
            wait_for_copies<STAGES - 2>();
            __syncthreads(); /* it is there, and all have read what the next is written over */
        }
        if (s < steps) {
            load_tile<WIDE>(to, x, at.row * ROWS, s * DEPTH);
            load_tile<WIDE>(to + TILE, w, at.col * COLS, s * DEPTH);
        }
        end_copies();
        if (s >= STAGES - 1) {
            multiply_stage<BF16>(from + my_x, from + my_w, sum);
        }
    }
}

#endif

template <bool BF16, bool WIDE>
__global__ void __launch_bounds__(BLOCK, 2)
    multiply_tiles(const __grid_constant__ eet_finish f, int32_t across, int32_t down) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    extern __shared__ __align__(128) uint16_t shared[];
    const tile_place at = eet_tile_at((int32_t)blockIdx.x, across, down);
    const int warp = (int)threadIdx.x / WARP;
    const int lane = (int)threadIdx.x % WARP;
    float sum[BLOCKS16][BLOCKS8][4] = {};

    multiply_tile<BF16, WIDE>(f, at, shared, sum);
    const int32_t row = at.row * ROWS + warp / (COLS / MY_COLS) * MY_ROWS + lane / 4;
    const int32_t col = at.col * COLS + warp % (COLS / MY_COLS) * MY_COLS;

#pragma unroll
    for (int m = 0; m < BLOCKS16; ++m) {
        fragment_ahead ahead;

        look_ahead(f, row + 16 * m, col, ahead);
        finish_fragment(f, row + 16 * m, col, ahead, sum[m]);
    }
#endif
}

template <bool BF16, bool WIDE> void launch(const eet_backend *backend, const eet_finish &f) {
    const int32_t across = (f.a.w.n + COLS - 1) / COLS;
    const int32_t down = (f.a.rows + ROWS - 1) / ROWS;

    (void)cudaFuncSetAttribute((const void *)multiply_tiles<BF16, WIDE>,
                               cudaFuncAttributeMaxDynamicSharedMemorySize, (int)SHARED);
    multiply_tiles<BF16, WIDE>
        <<<(unsigned)((int64_t)across * down), BLOCK, SHARED, backend->stream>>>(f, across, down);
}

} // namespace

extern "C" bool eet_gemm_mma_takes(const eet_backend *backend, const eet_matrix *w) {
    constexpr int AMPERE = 8;

    return (w->dtype == EET_F16 || w->dtype == EET_BF16) && backend->capability >= AMPERE;
}

extern "C" eet_status eet_gemm_mma(eet_backend *backend, const eet_finish *f) {
    const bool wide = f->a.w.k % PIECE == 0 && f->a.w.ld % PIECE == 0 &&
                      (uintptr_t)f->a.w.data % 16 == 0 && (uintptr_t)f->a.x % 16 == 0;

    if (f->a.w.dtype == EET_BF16) {
        wide ? launch<true, true>(backend, *f) : launch<true, false>(backend, *f);
    } else {
        wide ? launch<false, true>(backend, *f) : launch<false, false>(backend, *f);
    }
    return EET_OK;
}
