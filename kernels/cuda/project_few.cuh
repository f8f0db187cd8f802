/* project_few.cuh - what the kernels of project and score of EET_FEW share.
 *
 * An output is the sum of slices of k, and where the slices are is a function of (n, k) and of the
 * device alone: so are an output's bits, whatever else is in the call. */
#ifndef EET_KERNELS_CUDA_PROJECT_FEW_CUH
#define EET_KERNELS_CUDA_PROJECT_FEW_CUH

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor.cuh"
extern "C" {
#include "kernels/cuda/few.h"
}

constexpr int FEW_THREADS = 256;
constexpr int FEW_WARPS = FEW_THREADS / WARP;
constexpr int STEP = 32;   /* of k, for one load of a lane */
constexpr int EACH = 8;    /* rows that a product of small matrices takes */
constexpr int HELD = 2048; /* columns whose norm a block keeps in shared memory */
constexpr int STAGED = 8;  /* at most so many rows are made ready by every block itself */

/* What the kernels of this family are given. */
struct few_args {
    eet_finish f;         /* its x as the caller gave it */
    const int32_t *index; /* (rows) rows of x, or NULL */
    const void *ready;    /* (rows, ready_stride) x normed, in the weights' dtype */
    int32_t ready_stride, ready_cols;
    int32_t steps;   /* of k */
    int32_t cluster; /* blocks that share k */
    int32_t slots;   /* of a warp's ring of loads, a step in each */
    int32_t region;  /* bytes of a warp's shared memory: its ring, and later its sums */
    int32_t gather;  /* floats of a block for sums that are handed on */
    int32_t norms;   /* floats of a block for the norm's weights; 0: they are read from memory */
    int32_t stride;  /* elements from one staged row to the next */
    bool aligned;    /* rows of weights begin at multiples of 16 bytes */
};

/* Launches the products of f16 and bf16 (project_few_mma.cu) with what is left to fill in. */
void eet_few_multiply(const eet_backend *backend, few_args *a);
/* Does every block make x ready for itself there? */
bool eet_few_stages(const eet_backend *backend, const eet_project_args *a);

__device__ inline float4 fours_of(uint2 raw, bool bf16) {
    return {f32_of_half((uint16_t)raw.x, bf16), f32_of_half((uint16_t)(raw.x >> 16), bf16),
            f32_of_half((uint16_t)raw.y, bf16), f32_of_half((uint16_t)(raw.y >> 16), bf16)};
}

/* Four neighbours of a row, `count` of them there and the others 0. */
__device__ inline float4 four_at(const void *x, int32_t dtype, int64_t at, int32_t count) {
    const int bytes = dtype == EET_F32 ? 16 : 8;

    if (count >= 4 && ((uintptr_t)x + (uintptr_t)at * (bytes / 4)) % bytes == 0) {
        if (dtype == EET_F32) {
            return *(const float4 *)((const float *)x + at);
        }
        return fours_of(*(const uint2 *)((const uint16_t *)x + at), dtype == EET_BF16);
    }
    return {count > 0 ? eet_float_at(x, dtype, at) : 0.0F,
            count > 1 ? eet_float_at(x, dtype, at + 1) : 0.0F,
            count > 2 ? eet_float_at(x, dtype, at + 2) : 0.0F,
            count > 3 ? eet_float_at(x, dtype, at + 3) : 0.0F};
}

__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        x += __shfl_xor_sync(~0U, x, apart);
    }
    return x;
}

/* As normed, each step rounded as it says here, whatever a compiler would make of it. */
__device__ inline float few_normed(float x, int32_t j, eet_norm_weights norm, moments m) {
    const float y = __fmul_rn((x - m.first) - m.mean, m.scale);

    return norm.bias != nullptr ? fmaf(y, norm.weight[j], norm.bias[j])
                                : __fmul_rn(y, norm.weight[j]);
}

/* The same of f32 models: what it loses they would notice. m: mean and scale, each as the sum of
 * two numbers. */
__device__ inline float few_normed_f32(float x, int32_t j, eet_norm_weights norm, const float *m) {
    const double mean = (double)m[0] + (double)m[1];
    const double scale = (double)m[2] + (double)m[3];
    const double bias = norm.bias != nullptr ? (double)norm.bias[j] : 0.0;

    return (float)(((double)x - mean) * scale * (double)norm.weight[j] + bias);
}

__device__ inline float4 four_normed(float4 v, int32_t j, eet_norm_weights norm, moments m) {
    if (norm.weight == nullptr) {
        return v;
    }
    return {few_normed(v.x, j, norm, m), few_normed(v.y, j + 1, norm, m),
            few_normed(v.z, j + 2, norm, m), few_normed(v.w, j + 3, norm, m)};
}

/* How a row is read: its fours at once, of f32 or of 16 bits, or whatever there is of them. */
enum row_kind { ANY = 0, F32_FOURS = 1, HALF_FOURS = 2 };

__device__ inline row_kind kind_of(const void *x, int32_t dtype, int32_t cols) {
    if (cols % 4 != 0 || (uintptr_t)x % (dtype == EET_F32 ? 16 : 8) != 0) {
        return ANY;
    }
    return dtype == EET_F32 ? F32_FOURS : HALF_FOURS;
}

template <int KIND>
__device__ inline float4 four_of(const void *x, int32_t dtype, int64_t at, int32_t count) {
    if constexpr (KIND == F32_FOURS) {
        return *(const float4 *)((const float *)x + at);
    } else if constexpr (KIND == HALF_FOURS) {
        return fours_of(*(const uint2 *)((const uint16_t *)x + at), dtype == EET_BF16);
    } else {
        return four_at(x, dtype, at, count);
    }
}

/* Rows whose moments a block finds, and where it does. */
struct row_set {
    const void *x; /* (any, cols) */
    const int32_t *index;
    int32_t dtype, rows, cols;
    double eps;
    float *parts;  /* (rows, FEW_WARPS) */
    float *moment; /* (rows, 4) */
};

__device__ inline int64_t start_of(const row_set &s, int32_t row) {
    return (int64_t)(s.index != nullptr ? s.index[row] : row) * s.cols;
}

/* The sum of a row's parts, in order. */
__device__ inline float sum_of_parts(const row_set &s, int32_t row) {
    float sum = 0.0F;

#pragma unroll
    for (int warp = 0; warp < FEW_WARPS; ++warp) {
        sum += s.parts[row * FEW_WARPS + warp];
    }
    return sum;
}

/* Adds up (x - first) of each row, or (x - first - mean)^2 when `mean` is there. */
template <int KIND, bool SQUARES> __device__ inline void add_up(const row_set &s) {
#pragma unroll 4
    for (int32_t row = 0; row < s.rows; ++row) {
        const int64_t at = start_of(s, row);
        const float first = eet_float_at(s.x, s.dtype, at);
        const float mean = SQUARES ? s.moment[4 * row + 1] : 0.0F;
        float sum = 0.0F;

#pragma unroll 2
        for (int32_t j = 4 * (int32_t)threadIdx.x; j < s.cols; j += 4 * FEW_THREADS) {
            const int32_t count = s.cols - j;
            const float4 v = four_of<KIND>(s.x, s.dtype, at + j, count);
            const float a = (v.x - first) - mean;
            const float b = KIND != ANY || count > 1 ? (v.y - first) - mean : 0.0F;
            const float c = KIND != ANY || count > 2 ? (v.z - first) - mean : 0.0F;
            const float d = KIND != ANY || count > 3 ? (v.w - first) - mean : 0.0F;

            sum +=
                SQUARES ? fmaf(a, a, fmaf(b, b, fmaf(c, c, __fmul_rn(d, d)))) : (a + b) + (c + d);
        }
        sum = warp_sum(sum);
        if (threadIdx.x % WARP == 0) {
            s.parts[row * FEW_WARPS + (int32_t)threadIdx.x / WARP] = sum;
        }
        if (!SQUARES && threadIdx.x == 0) {
            s.moment[4 * row] = first;
        }
    }
    __syncthreads();
}

/* Moments of rows, by a block: the same bits for a row whichever others there are. */
template <int KIND> __device__ inline void find_row_moments(const row_set &s) {
    const int32_t row = (int32_t)threadIdx.x;

    add_up<KIND, false>(s);
    if (row < s.rows) {
        s.moment[4 * row + 1] = sum_of_parts(s, row) / (float)s.cols;
    }
    __syncthreads();
    add_up<KIND, true>(s);
    if (row < s.rows) {
        const float variance = sum_of_parts(s, row) / (float)s.cols;

        s.moment[4 * row + 2] = 1.0F / sqrtf(variance + (float)s.eps);
    }
    __syncthreads();
}

__device__ inline void find_moments_of(const row_set &s) {
    switch (kind_of(s.x, s.dtype, s.cols)) {
    case F32_FOURS:
        find_row_moments<F32_FOURS>(s);
        break;
    case HALF_FOURS:
        find_row_moments<HALF_FOURS>(s);
        break;
    default:
        find_row_moments<ANY>(s);
        break;
    }
}

/* Elements j .. j + 3 of a row of x as the product takes them, before they are rounded. `row`
 * begins at `at`; `m` is NULL without a norm. */
__device__ inline float4 ready_four(const eet_project_args &p, int64_t at, int32_t j,
                                    eet_norm_weights norm, const float *m) {
    const int32_t count = p.w.k - j;
    float4 v = four_at(p.x, p.x_dtype, at + j, count);

    if (norm.weight == nullptr) {
        return v;
    }
    const moments about = {m[0], m[1], m[2]};

    if (count >= 4) {
        return four_normed(v, j, norm, about);
    }
    v.x = count > 0 ? few_normed(v.x, j, norm, about) : 0.0F;
    v.y = count > 1 ? few_normed(v.y, j + 1, norm, about) : 0.0F;
    v.z = count > 2 ? few_normed(v.z, j + 2, norm, about) : 0.0F;
    return {v.x, v.y, v.z, 0.0F};
}

/* Asks for what is read after the wait and written by nobody. */
__device__ inline void fetch_ahead(const float *p, int32_t count) {
    constexpr int LINE = 32;

    if (p != nullptr) {
        for (int32_t i = (int32_t)threadIdx.x * LINE; i < count; i += FEW_THREADS * LINE) {
            asm volatile("prefetch.global.L2 [%0];" ::"l"(p + i));
        }
    }
}

/* What is added to a sum, and to its activation. */
struct ending {
    float bias, residual;
};

__device__ inline float bias_of(const eet_project_args &a, int32_t col) {
    return a.bias != nullptr ? a.bias[col] : 0.0F;
}

/* `moment`: (rows, 4) of a normed residual. F32: of a model of f32. */
template <bool F32 = false>
__device__ inline float residual_at(const eet_project_args &a, const float *moment, int32_t row,
                                    int32_t col) {
    if (a.residual == nullptr) {
        return 0.0F;
    }
    const float x = eet_float_at(a.residual, a.residual_dtype, (int64_t)row * a.w.n + col);
    const float *m = moment + 4 * (int64_t)row;

    if (a.residual_norm.weight == nullptr) {
        return x;
    }
    return F32 ? few_normed_f32(x, col, a.residual_norm, m)
               : few_normed(x, col, a.residual_norm, {m[0], m[1], m[2]});
}

/* No row's bits depend on the kernel: every step rounds. F32: the weights are f32. */
template <bool F32 = false>
__device__ inline void finish_few(const eet_finish &f, int32_t row, int32_t col, float sum,
                                  ending e) {
    const eet_project_args &a = f.a;
    float y[1] = {a.bias != nullptr ? __fadd_rn(sum, e.bias) : sum};

    activate<F32>(a.act, y);
    if (a.residual != nullptr) {
        y[0] = __fadd_rn(y[0], e.residual);
    }
    if (col < f.y_columns) {
        eet_float_put(a.y, a.y_dtype, (int64_t)row * f.y_columns + col, y[0]);
    } else {
        eet_float_put(a.pages.data, a.pages.dtype, eet_project_place(&a, row, col - f.y_columns),
                      y[0]);
    }
}

#endif
