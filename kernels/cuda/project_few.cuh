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
constexpr int STEP = 32;  /* of k, for one load of a lane */
constexpr int EACH = 8;   /* rows that a product of small matrices takes */
constexpr int STAGED = 8; /* at most so many rows are made ready by every block itself */

/* What the kernels of this family are given. */
struct few_args {
    eet_finish f;         /* its x as the caller gave it */
    const int32_t *index; /* (rows) rows of x, or NULL */
    const void *ready;    /* (rows, ready_stride) x normed, in the weights' dtype */
    int32_t ready_stride, ready_cols;
    int32_t steps;   /* of k */
    int32_t cluster; /* shares of k, which may be a block's each; each has FEW_WARPS slices */
    int32_t slots;   /* of a warp's ring of loads, a step in each */
    int32_t region;  /* bytes of a warp's shared memory: its ring, and later its sums */
    int32_t gather;  /* floats of a block for sums that are handed on */
    int32_t stride;  /* elements from one row in shared memory to the next */
    int32_t columns; /* rows of weights of a block of project_few_bulk.cu */
    bool aligned;    /* rows of weights begin at multiples of 16 bytes */
    bool norm_wide;  /* the norm's weights can be read by fours */
};

/* Fills in where slices of k are: the first thing for weights of 16 bits. */
void eet_few_plan(const eet_backend *backend, few_args *a);
/* Rows of weights from which on a warp has all of k for its own, and not a slice. */
constexpr int32_t FEW_WIDE_N = 16384;

/* Launches the products of f16 and bf16 (project_few_mma.cu) with what is left to fill in. */
void eet_few_multiply(const eet_backend *backend, few_args *a);
/* Does every block of theirs make x ready for itself? */
bool eet_few_stages(const eet_backend *backend, const few_args *a);
/* Does it have project_few_long.cu's kernels, for which x is made ready beforehand? */
bool eet_few_is_long(const eet_backend *backend, const few_args *a);
/* Launches them. */
void eet_few_long(const eet_backend *backend, const few_args *a);
/* Launches project_few_bulk.cu's where it has code for it, to the bit the same. `ready` is x or
 * NULL. */
bool eet_few_bulk(const eet_backend *backend, few_args *a);
/* Launches project_few_shared.cu's where it has code for it and is faster, to the bit the same. */
bool eet_few_shared(const eet_backend *backend, const few_args *a);

/* Steps of a slice of k, of those of a share of it. */
struct few_slice {
    int32_t from, to;
};

EET_BOTH inline few_slice slice_of(int32_t steps, int32_t shares, int32_t share, int32_t number) {
    const int32_t first = steps * share / shares;
    const int32_t many = steps * (share + 1) / shares - first;

    return {first + many * number / FEW_WARPS, first + many * (number + 1) / FEW_WARPS};
}

__device__ inline float4 fours_of(uint2 raw, bool bf16) {
    return {f32_of_half((uint16_t)raw.x, bf16), f32_of_half((uint16_t)(raw.x >> 16), bf16),
            f32_of_half((uint16_t)raw.y, bf16), f32_of_half((uint16_t)(raw.y >> 16), bf16)};
}

__device__ inline float number_at(const void *x, int32_t dtype, int64_t at) {
    return dtype == EET_F32 ? ((const float *)x)[at]
                            : f32_of_half(((const uint16_t *)x)[at], dtype == EET_BF16);
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

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* A step's product: the upper and the lower 8 rows of weights, and 8 rows of x. */
template <bool BF16>
__device__ inline void multiply_32(float (&sum)[4], uint4 upper, uint4 lower, uint4 x) {
    multiply_16<BF16>(sum, upper.x, lower.x, upper.y, lower.y, x.x, x.y);
    multiply_16<BF16>(sum, upper.z, lower.z, upper.w, lower.w, x.z, x.w);
}

#endif

/* Asks for what is read after the wait and written by nobody. */
__device__ inline void fetch_ahead(const float *p, int32_t count) {
    constexpr int LINE = 32;

    if (p != nullptr) {
        for (int32_t i = (int32_t)threadIdx.x * LINE; i < count; i += FEW_THREADS * LINE) {
            asm volatile("prefetch.global.L2 [%0];" ::"l"(p + i));
        }
    }
}

/* What is added to a sum, and to its activation, and where the output goes in y or in the pages. */
struct ending {
    float bias, residual;
    int64_t place;
};

__device__ inline int64_t place_of(const eet_finish &f, int32_t row, int32_t col) {
    return col < f.y_columns ? (int64_t)row * f.y_columns + col
                             : eet_project_place(&f.a, row, col - f.y_columns);
}

__device__ inline void put_number(void *to, int32_t dtype, int64_t at, float x) {
    if (dtype == EET_F32) {
        ((float *)to)[at] = x;
    } else {
        ((uint16_t *)to)[at] = (uint16_t)pack_two(dtype, x, 0.0F);
    }
}

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
    const float x = number_at(a.residual, a.residual_dtype, (int64_t)row * a.w.n + col);
    const float *m = moment + 4 * (int64_t)row;

    if (a.residual_norm.weight == nullptr) {
        return x;
    }
    return F32 ? few_normed_f32(x, col, a.residual_norm, m)
               : few_normed(x, col, a.residual_norm, {m[0], m[1], m[2]});
}

/* No row's bits depend on the kernel: every step rounds. First the bias and the activation of sums
 * of one column. F32: the weights are f32. */
template <bool F32 = false, int N>
__device__ inline void activate_few(const eet_project_args &a, float bias, float (&y)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        y[i] = a.bias != nullptr ? __fadd_rn(y[i], bias) : y[i];
    }
    activate<F32>(a.act, y);
}

/* Then the residual; `y` goes to its place. */
__device__ inline void put_few(const eet_finish &f, int32_t col, float y, float residual,
                               int64_t place) {
    const eet_project_args &a = f.a;
    const bool is_y = col < f.y_columns;

    put_number(is_y ? a.y : a.pages.data, is_y ? a.y_dtype : a.pages.dtype, place,
               a.residual != nullptr ? __fadd_rn(y, residual) : y);
}

template <bool F32 = false>
__device__ inline void finish_few(const eet_finish &f, int32_t col, float sum, ending e) {
    float y[1] = {sum};

    activate_few<F32>(f.a, e.bias, y);
    put_few(f, col, y[0], e.residual, e.place);
}

#endif
