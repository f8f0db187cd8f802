/* project_plain.cu - a linear layer of any dtypes, without tensor cores: one block makes a tile of
 * ROWS rows and COLS columns, whose operands pass through shared memory DEPTH of k at a time,
 * widened to f32. An output is one thread's: sums of CHAIN products, added up in the order of k and
 * without loss (what an addition rounds away is kept beside the sum), whatever else is in the call.
 * So f32 is as near to the truth as the processor's libraries, which add up in 8 or 16 lanes. Bound
 * by the multiply-adds of f32, far above memory's bound for few rows. */
#include "kernels/cuda/epilogue.cuh"

namespace {

constexpr int ROWS = 32;
constexpr int COLS = 64;
constexpr int DEPTH = 32;
constexpr int CHAIN = 8;   /* products that are added up one after the other */
constexpr int MY_ROWS = 2; /* of a thread: 16 x 16 threads, 2 x 4 outputs each */
constexpr int MY_COLS = 4;
constexpr int ACROSS = COLS / MY_COLS;

static_assert(ACROSS * (ROWS / MY_ROWS) == BLOCK, "a block makes its tile");

/* Both tiles for k from `from`; zero where there is no row, no column or no k. */
__device__ void load(const eet_project_args &a, int32_t row0, int32_t col0, int32_t from,
                     float (*x)[DEPTH + 1], float (*w)[DEPTH + 1]) {
    for (int i = (int)threadIdx.x; i < ROWS * DEPTH; i += BLOCK) {
        const int32_t row = row0 + i / DEPTH;
        const int32_t k = from + i % DEPTH;

        x[i / DEPTH][i % DEPTH] = row < a.rows && k < a.w.k
                                      ? eet_float_at(a.x, a.x_dtype, (int64_t)row * a.w.k + k)
                                      : 0.0F;
    }
    for (int i = (int)threadIdx.x; i < COLS * DEPTH; i += BLOCK) {
        const int32_t col = col0 + i / DEPTH;
        const int32_t k = from + i % DEPTH;

        w[i / DEPTH][i % DEPTH] = col < a.w.n && k < a.w.k
                                      ? eet_float_at(a.w.data, a.w.dtype, (int64_t)col * a.w.ld + k)
                                      : 0.0F;
    }
}

/* A sum, and what its additions have rounded away (Knuth's two-sum). */
struct long_sum {
    float sum, lost;

    __device__ void add(float x) {
        const float now = sum + x;
        const float taken = now - sum;

        lost += (sum - (now - taken)) + (x - taken);
        sum = now;
    }
};

__device__ void multiply(const float (*x)[DEPTH + 1], const float (*w)[DEPTH + 1], int top,
                         int left, long_sum (*sum)[MY_COLS]) {
#pragma unroll 1
    for (int from = 0; from < DEPTH; from += CHAIN) {
        float part[MY_ROWS][MY_COLS] = {};

#pragma unroll
        for (int k = from; k < from + CHAIN; ++k) {
#pragma unroll
            for (int r = 0; r < MY_ROWS; ++r) {
#pragma unroll
                for (int c = 0; c < MY_COLS; ++c) {
                    part[r][c] += x[top + r][k] * w[left + c * ACROSS][k];
                }
            }
        }
#pragma unroll
        for (int r = 0; r < MY_ROWS; ++r) {
#pragma unroll
            for (int c = 0; c < MY_COLS; ++c) {
                sum[r][c].add(part[r][c]);
            }
        }
    }
}

/* Tiles of columns first: neighbours read the same rows of x. */
__global__ void __launch_bounds__(BLOCK) project_tiles(eet_finish f, int32_t tiles) {
    const eet_project_args &a = f.a;
    __shared__ float x[ROWS][DEPTH + 1];
    __shared__ float w[COLS][DEPTH + 1];
    const int32_t row0 = (int32_t)(blockIdx.x / tiles) * ROWS;
    const int32_t col0 = (int32_t)(blockIdx.x % tiles) * COLS;
    const int top = (int)threadIdx.x / ACROSS * MY_ROWS;
    const int left = (int)threadIdx.x % ACROSS;
    long_sum sum[MY_ROWS][MY_COLS] = {};

    for (int32_t from = 0; from < a.w.k; from += DEPTH) {
        __syncthreads();
        load(a, row0, col0, from, x, w);
        __syncthreads();
        multiply(x, w, top, left, sum);
    }
#pragma unroll
    for (int r = 0; r < MY_ROWS; ++r) {
#pragma unroll
        for (int c = 0; c < MY_COLS; ++c) {
            const int32_t row = row0 + top + r;
            const int32_t col = col0 + left + c * ACROSS;

            if (row < a.rows && col < a.w.n) {
                finish_one<true>(f, row, col, sum[r][c].sum + sum[r][c].lost);
            }
        }
    }
}

} // namespace

extern "C" void eet_project_plain(eet_backend *backend, const eet_finish *f) {
    const int32_t tiles = (f->a.w.n + COLS - 1) / COLS;
    const int64_t blocks = (int64_t)tiles * ((f->a.rows + ROWS - 1) / ROWS);

    project_tiles<<<(unsigned)blocks, BLOCK, 0, backend->stream>>>(*f, tiles);
}
