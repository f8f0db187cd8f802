/* project.cu - a linear layer with its norm before, its activation and its residual after.
 *
 * The norm goes into the scratch and the residual's moments behind it; then one block makes a tile
 * of ROWS rows and COLS columns, whose operands pass through shared memory DEPTH of k at a time,
 * widened to f32. An output is one thread's: sums of DEPTH products, added up in the order of k,
 * whatever else is in the call. Bound by the multiply-adds of f32, far above memory's bound for few
 * rows. */
#include "kernels/cuda/common.cuh"

namespace {

constexpr int ROWS = 32;
constexpr int COLS = 64;
constexpr int DEPTH = 32;
constexpr int MY_ROWS = 2; /* of a thread: 16 x 16 threads, 2 x 4 outputs each */
constexpr int MY_COLS = 4;
constexpr int ACROSS = COLS / MY_COLS;

static_assert(ACROSS * (ROWS / MY_ROWS) == BLOCK, "a block makes its tile");

__device__ float activate(int32_t act, float x) {
    switch (act) {
    case EET_ACT_RELU:
        return x < 0.0F ? 0.0F : x;
    case EET_ACT_GELU_ERF:
        return 0.5F * x * erfcf(-x * 0x1.6a09e6p-1F);
    case EET_ACT_GELU_TANH: /* sqrt(8 / pi) */
        return x / (1.0F + expf(-0x1.988454p0F * (x + 0.044715F * x * x * x)));
    case EET_ACT_SILU:
        return x / (1.0F + expf(-x));
    case EET_ACT_QUICK_GELU:
        return x / (1.0F + expf(-1.702F * x));
    case EET_ACT_TANH:
        return tanhf(x);
    case EET_ACT_RELU2:
        return x < 0.0F ? 0.0F : x * x;
    default:
        return x;
    }
}

/* Output `at` of a row: to y, or as a key or a value into a page. */
__device__ void put(const eet_project_args &a, int32_t y_columns, int32_t row, int32_t at,
                    float x) {
    if (at < y_columns) {
        eet_float_put(a.y, a.y_dtype, (int64_t)row * y_columns + at, x);
    } else {
        eet_float_put(a.pages.data, a.pages.dtype, eet_project_place(&a, row, at - y_columns), x);
    }
}

__global__ void __launch_bounds__(BLOCK)
    find_moments(const void *x, int32_t dtype, int32_t cols, double eps, float *out) {
    const moments m = block_moments(x, dtype, (int64_t)blockIdx.x * cols, cols, eps);

    if (threadIdx.x == 0) {
        out[4 * (int64_t)blockIdx.x] = m.first;
        out[4 * (int64_t)blockIdx.x + 1] = m.mean;
        out[4 * (int64_t)blockIdx.x + 2] = m.scale;
    }
}

/* What is added to output j of a row after its activation. */
__device__ float residual_of(const eet_project_args &a, const float *moment, int32_t row,
                             int32_t j) {
    const float x = eet_float_at(a.residual, a.residual_dtype, (int64_t)row * a.w.n + j);

    if (a.residual_norm.weight == nullptr) {
        return x;
    }
    const float *m = moment + 4 * (int64_t)row;

    return normed(x, j, a.residual_norm.weight, a.residual_norm.bias, {m[0], m[1], m[2]});
}

__device__ void finish(const eet_project_args &a, const float *moment, int32_t y_columns,
                       int32_t row, int32_t j, float sum) {
    float y = activate(a.act, a.bias != nullptr ? sum + a.bias[j] : sum);

    if (a.residual != nullptr) {
        y += residual_of(a, moment, row, j);
    }
    put(a, y_columns, row, j, y);
}

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

__device__ void multiply(const float (*x)[DEPTH + 1], const float (*w)[DEPTH + 1], int top,
                         int left, float (*sum)[MY_COLS]) {
    float part[MY_ROWS][MY_COLS] = {};

#pragma unroll 8
    for (int k = 0; k < DEPTH; ++k) {
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
            sum[r][c] += part[r][c];
        }
    }
}

/* Tiles of columns first: neighbours read the same rows of x. */
__global__ void __launch_bounds__(BLOCK)
    project_tiles(eet_project_args a, const float *moment, int32_t y_columns, int32_t tiles) {
    __shared__ float x[ROWS][DEPTH + 1];
    __shared__ float w[COLS][DEPTH + 1];
    const int32_t row0 = (int32_t)(blockIdx.x / tiles) * ROWS;
    const int32_t col0 = (int32_t)(blockIdx.x % tiles) * COLS;
    const int top = (int)threadIdx.x / ACROSS * MY_ROWS;
    const int left = (int)threadIdx.x % ACROSS;
    float sum[MY_ROWS][MY_COLS] = {};

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
                finish(a, moment, y_columns, row, col, sum[r][c]);
            }
        }
    }
}

} // namespace

extern "C" eet_status eet_project_cuda(eet_backend *backend, const eet_project_args *a) {
    if (eet_project_check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    if (a->rows < 1 || a->w.n < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    eet_project_args args = *a;
    float *moment = nullptr;

    args.x_dtype = activation(a->x_dtype);
    args.y_dtype = activation(a->y_dtype);
    args.residual_dtype = activation(a->residual_dtype);
    if (a->norm.weight != nullptr) {
        eet_norm_args norm = {};

        norm.x = a->x;
        norm.x_dtype = a->x_dtype;
        norm.norm = a->norm;
        norm.rows = a->rows;
        norm.cols = a->w.k;
        norm.y = a->scratch;
        const eet_status status = eet_norm_cuda(backend, &norm);

        if (status != EET_OK) {
            return status;
        }
        args.x = a->scratch;
        args.x_dtype = EET_F32;
    }
    if (a->residual != nullptr && a->residual_norm.weight != nullptr) {
        moment = a->scratch + (int64_t)a->rows * a->w.k;
        find_moments<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(
            a->residual, args.residual_dtype, a->w.n, a->residual_norm.eps, moment);
    }
    const int32_t tiles = (a->w.n + COLS - 1) / COLS;
    const int64_t blocks = (int64_t)tiles * ((a->rows + ROWS - 1) / ROWS);

    project_tiles<<<(unsigned)blocks, BLOCK, 0, backend->stream>>>(args, moment,
                                                                   eet_project_y_columns(a), tiles);
    return scope.launched();
}
