/* project_few.cu - which kernels make a linear layer of EET_FEW, its rows made ready for them, and
 * the products of f32.
 *
 * Ready rows are normed and have the weights' dtype. One small kernel makes them, in the scratch,
 * while the next one already reads its weights; but one row alone, and up to STAGED of wide
 * products, the blocks of project_few_bulk.cu and project_few_mma.cu make ready for themselves
 * where matrices are not large enough for project_few_long.cu. */
#include "kernels/cuda/project_few_rows.cuh"

namespace {

constexpr int OLDEST = 8;   /* major capability */
constexpr int LEAST_K = 32; /* from here on the scratch has room for padded rows and moments */

/* The moments of a row from `at` in double, which few_normed_f32 takes: in f32 they would cost
 * models of f32 more than all else. */
__device__ void find_moments_f32(const void *x, int32_t dtype, int64_t at, int32_t cols, double eps,
                                 float *moment) {
    double sum = 0.0;
    double squares = 0.0;

    static_assert(FEW_THREADS == BLOCK); /* for block_sum */
    for (int32_t j = (int32_t)threadIdx.x; j < cols; j += FEW_THREADS) {
        sum += (double)eet_float_at(x, dtype, at + j);
    }
    /* a step of Newton's each, where divisions and roots in double would need a stack */
    const double near_share = (double)(1.0F / (float)cols);
    const double share = near_share * (2.0 - cols * near_share);
    const double mean = block_sum(sum) * share;

    for (int32_t j = (int32_t)threadIdx.x; j < cols; j += FEW_THREADS) {
        const double apart = (double)eet_float_at(x, dtype, at + j) - mean;

        squares += apart * apart;
    }
    const double variance = block_sum(squares) * share + eps;
    const double near_scale = (double)rsqrtf((float)variance);
    const double scale = near_scale * (1.5 - 0.5 * variance * near_scale * near_scale);

    if (threadIdx.x == 0) {
        moment[0] = (float)mean;
        moment[1] = (float)(mean - (double)moment[0]);
        moment[2] = (float)scale;
        moment[3] = (float)(scale - (double)moment[2]);
    }
    __syncthreads();
}

/* A row of x from `from`, normed. */
__device__ void make_ready_f32(const few_args &a, int64_t row, int64_t from, float *moment) {
    const eet_project_args &p = a.f.a;
    float *ready = (float *)a.ready + row * a.ready_stride;

    find_moments_f32(p.x, p.x_dtype, from, p.w.k, p.norm.eps, moment);
    for (int32_t j = (int32_t)threadIdx.x; j < p.w.k; j += FEW_THREADS) {
        ready[j] = few_normed_f32(eet_float_at(p.x, p.x_dtype, from + j), j, p.norm, moment);
    }
}

/* A row of a model of f32, and the moments of its residual. */
__device__ void make_row_f32(const few_args &a, int64_t row, int64_t from) {
    __shared__ float about[4];
    const eet_project_args &p = a.f.a;

    if (p.norm.weight != nullptr) {
        make_ready_f32(a, row, from, about);
    } else if (a.ready != p.x) {
        for (int32_t j = (int32_t)threadIdx.x; j < p.w.k; j += FEW_THREADS) {
            ((float *)a.ready)[row * a.ready_stride + j] = eet_float_at(p.x, p.x_dtype, from + j);
        }
    }
    if (a.f.moment != nullptr) {
        find_moments_f32(p.residual, p.residual_dtype, row * p.w.n, p.w.n, p.residual_norm.eps,
                         (float *)a.f.moment + 4 * row);
    }
}

/* One row of x, and the moments of its residual. */
template <int DTYPE> __global__ void __launch_bounds__(FEW_THREADS) make_ready(few_args a) {
    const eet_project_args &p = a.f.a;
    const int64_t row = blockIdx.x;

    let_next_begin();
    if constexpr (DTYPE == EET_F32) {
        fetch_ahead(p.norm.weight, p.w.k);
        fetch_ahead(p.norm.bias, p.w.k);
        wait_for_previous();
        make_row_f32(a, row, (a.index != nullptr ? a.index[row] : row) * (int64_t)p.w.k);
    } else {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
        __shared__ float4 parts[2 * FEW_WARPS];
        const norm_four ahead = norm_at(a, 4 * (int32_t)threadIdx.x);

        if (p.w.k > SPAN) {
            fetch_ahead(p.norm.weight, p.w.k);
            fetch_ahead(p.norm.bias, p.w.k);
        }
        wait_for_previous();
        if (a.ready != p.x) {
            make_rows<DTYPE == EET_BF16, 1>(a, (int32_t)row, ahead, a.ready_cols, parts,
                                            (uint16_t *)a.ready + row * a.ready_stride, 0);
        }
        if (a.f.moment != nullptr) {
            put_moments<1>(residual_of(p), (int32_t)row, parts + FEW_WARPS,
                           (float *)a.f.moment + 4 * row);
        }
#endif
    }
}

/* Four neighbours of a row, `count` of them there and the others 0. */
__device__ float4 four_at(const float *p, int32_t count) {
    if (count >= 4 && (uintptr_t)p % 16 == 0) {
        return *(const float4 *)p;
    }
    return {p[0], count > 1 ? p[1] : 0.0F, count > 2 ? p[2] : 0.0F, count > 3 ? p[3] : 0.0F};
}

/* Four neighbours of k a lane, one after another, then the lanes: an output's order. */
template <int ROWS> __device__ void multiply_rows(const few_args &a, int32_t col, int32_t row0) {
    const eet_project_args &p = a.f.a;
    const int lane = (int)threadIdx.x % WARP;
    float sum[ROWS] = {};
    float mine = 0.0F;

#pragma unroll 4
    for (int32_t j = 4 * lane; j < p.w.k; j += 4 * WARP) {
        const float4 w = four_at((const float *)p.w.data + (int64_t)col * p.w.ld + j, p.w.k - j);

#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (row0 + r < p.rows) {
                const float4 x = four_at(
                    (const float *)a.ready + (int64_t)(row0 + r) * a.ready_stride + j, p.w.k - j);

                sum[r] = fmaf(x.w, w.w, fmaf(x.z, w.z, fmaf(x.y, w.y, fmaf(x.x, w.x, sum[r]))));
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const float all = warp_sum(sum[r]);

        mine = lane == r ? all : mine;
    }
    if (lane < ROWS && row0 + lane < p.rows) {
        finish_few<true>(a.f, col, mine,
                         {bias_of(p, col), residual_at<true>(p, a.f.moment, row0 + lane, col),
                          place_of(a.f, row0 + lane, col)});
    }
}

/* A warp has a row of weights. */
template <int ROWS>
__global__ void __launch_bounds__(FEW_THREADS, 2) multiply_f32(const __grid_constant__ few_args a) {
    constexpr int LINE = 32;
    const eet_project_args &p = a.f.a;
    const int32_t col = ((int32_t)blockIdx.x * FEW_THREADS + (int32_t)threadIdx.x) / WARP;

    let_next_begin();
    if (col < p.w.n) {
        const float *row = (const float *)p.w.data + (int64_t)col * p.w.ld;

        for (int32_t j = (int32_t)threadIdx.x % WARP * LINE; j < p.w.k; j += WARP * LINE) {
            asm volatile("prefetch.global.L2 [%0];" ::"l"(row + j));
        }
    }
    wait_for_previous();
    for (int32_t row = 0; row < p.rows && col < p.w.n; row += ROWS) {
        multiply_rows<ROWS>(a, col, row);
    }
}

void launch_ready(const eet_backend *backend, const few_args &a) {
    const launch_shape shape = {dim3((unsigned)a.f.a.rows), FEW_THREADS, 0, 1};

    if (a.f.a.w.dtype == EET_F32) {
        launch_early(backend, make_ready<EET_F32>, shape, a);
    } else if (a.f.a.w.dtype == EET_F16) {
        launch_early(backend, make_ready<EET_F16>, shape, a);
    } else {
        launch_early(backend, make_ready<EET_BF16>, shape, a);
    }
}

void launch_f32(const eet_backend *backend, const few_args &a) {
    const unsigned blocks = (unsigned)((a.f.a.w.n + FEW_WARPS - 1) / FEW_WARPS);
    const launch_shape shape = {dim3(blocks), FEW_THREADS, 0, 1};

    if (a.f.a.rows == 1) {
        launch_early(backend, multiply_f32<1>, shape, a);
    } else if (a.f.a.rows <= 4) {
        launch_early(backend, multiply_f32<4>, shape, a);
    } else {
        launch_early(backend, multiply_f32<8>, shape, a);
    }
}

/* Can a norm's weights be read by fours? */
bool is_norm_wide(const eet_project_args &p) {
    return p.w.k % 4 == 0 && (uintptr_t)p.norm.weight % 16 == 0 && (uintptr_t)p.norm.bias % 16 == 0;
}

/* Can the products read x where it is? */
bool is_ready(const few_args &a) {
    const eet_project_args &p = a.f.a;
    const bool whole = p.w.dtype == EET_F32 || (p.w.k % 8 == 0 && (uintptr_t)p.x % 16 == 0);

    return p.norm.weight == nullptr && a.index == nullptr && p.x_dtype == p.w.dtype && whole;
}

/* Where ready rows are, and behind them the moments of normed residuals. */
void place_ready(few_args *a) {
    const eet_project_args &p = a->f.a;
    const bool f32 = p.w.dtype == EET_F32;

    if (is_ready(*a)) {
        a->ready = p.x;
        a->ready_stride = a->ready_cols = p.w.k;
    } else {
        a->ready = p.scratch;
        a->ready_stride = a->ready_cols = f32 ? p.w.k : (p.w.k + STEP - 1) / STEP * STEP;
    }
    if (p.residual != nullptr && p.residual_norm.weight != nullptr) {
        const int64_t floats = (int64_t)p.rows * (f32 ? p.w.k : (p.w.k + STEP - 1) / STEP * STEP);

        a->f.moment = p.scratch + (f32 ? floats : floats / 2);
    }
}

} // namespace

extern "C" bool eet_few_takes(const eet_backend *backend, const eet_project_args *a) {
    return a->family == EET_FEW && a->rows <= EET_FEW_TOKENS && a->w.k >= LEAST_K &&
           backend->capability >= OLDEST;
}

extern "C" eet_status eet_project_few(const eet_backend *backend, const eet_project_args *a,
                                      const int32_t *index) {
    const on_device scope(backend);
    few_args few = {};
    bool is_long = false;

    few.f.a = *a;
    few.f.a.x_dtype = eet_activation(a->x_dtype);
    few.f.a.y_dtype = eet_activation(a->y_dtype);
    few.f.a.residual_dtype = eet_activation(a->residual_dtype);
    few.f.y_columns = eet_project_y_columns(a);
    few.index = index;
    few.norm_wide = is_norm_wide(*a);
    if (a->w.dtype != EET_F32) {
        eet_few_plan(backend, &few);
        few.ready = is_ready(few) ? a->x : nullptr;
        is_long = eet_few_is_long(backend, &few);
        if (!is_long && eet_few_bulk(backend, &few)) {
            return scope.launched();
        }
        if (!is_long && eet_few_stages(backend, &few) &&
            (few.ready == nullptr || a->residual_norm.weight != nullptr)) {
            few.ready = nullptr;
            eet_few_multiply(backend, &few);
            return scope.launched();
        }
    }
    place_ready(&few);
    if (few.ready != a->x || few.f.moment != nullptr) {
        launch_ready(backend, few);
    }
    if (a->w.dtype == EET_F32) {
        launch_f32(backend, few);
    } else if (is_long) {
        eet_few_long(backend, &few);
    } else if (!eet_few_shared(backend, &few)) {
        eet_few_multiply(backend, &few);
    }
    return scope.launched();
}
