/* epilogue.cuh - what follows the sums of a product, on 8 columns of a row at a time: bias,
 * activation, residual, and the way to y or into pages. */
#ifndef EET_KERNELS_CUDA_EPILOGUE_CUH
#define EET_KERNELS_CUDA_EPILOGUE_CUH

#include "kernels/cuda/common.cuh"
extern "C" {
#include "kernels/cuda/project.h"
#include "kernels/shares.h"
}

constexpr int EIGHT = 8;

/* x / (1 + e^-u), and for models of f32 as near as f32 can be. */
template <bool F32> __device__ inline float gated(float x, float u) {
    return F32 ? x / (1.0F + expf(-u)) : __fdividef(x, 1.0F + __expf(-u));
}

/* 2^x where that is no subnormal. */
__device__ inline float power_of_two(float x) {
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The smaller one, or NaN. */
__device__ inline float smaller(float x, float y) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    float least;

    asm("min.NaN.f32 %0, %1, %2;" : "=f"(least) : "f"(x), "f"(y));
    return least;
#else
    return x < y || isnan(x) ? x : y;
#endif
}

/* max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2, where the last factor is 2 to a polynomial of |x|,
 * fitted so that the product is off by at most 1.4 * 2^-24 |x|. From 8 on nothing of it is left. */
__device__ inline float gelu_erf(float x) {
    const float t = smaller(fabsf(x), 8.0F);
    float p = -0x1.b3f66ep-21F;

    p = fmaf(p, t, 0x1.df7ea4p-17F);
    p = fmaf(p, t, -0x1.1019dap-14F);
    p = fmaf(p, t, -0x1.c19b66p-12F);
    p = fmaf(p, t, 0x1.e732a4p-8F);
    p = fmaf(p, t, -0x1.b00a4cp-5F);
    p = fmaf(p, t, -0x1.d62728p-2F);
    p = fmaf(p, t, -0x1.26af60p+0F);
    p = fmaf(p, t, -0x1.fffffap-1F);
    return fmaf(-t, power_of_two(p), fmaxf(x, 0.0F));
}

/* The same for models of f32: near 0 the polynomial is off by more than they may be. */
__device__ inline float gelu_erf_f32(float x) {
    return 0.5F * x * (1.0F + erff(x * 0x1.6a09e6p-1F));
}

/* F32: for models of f32, whose activations are as near to the truth as their sums are. */
template <int ACT, bool F32> __device__ inline float activated(float x) {
    if constexpr (ACT == EET_ACT_RELU) {
        return x < 0.0F ? 0.0F : x;
    } else if constexpr (ACT == EET_ACT_GELU_ERF) {
        return F32 ? gelu_erf_f32(x) : gelu_erf(x);
    } else if constexpr (ACT == EET_ACT_GELU_TANH) { /* sqrt(8 / pi) */
        return gated<F32>(x, 0x1.988454p0F * (x + 0.044715F * x * x * x));
    } else if constexpr (ACT == EET_ACT_SILU) {
        return gated<F32>(x, x);
    } else if constexpr (ACT == EET_ACT_QUICK_GELU) {
        return gated<F32>(x, 1.702F * x);
    } else if constexpr (ACT == EET_ACT_TANH) {
        return F32 ? (float)tanh((double)x) : tanhf(x);
    } else {
        static_assert(ACT == EET_ACT_RELU2, "one of the seven");
        return x < 0.0F ? 0.0F : x * x;
    }
}

template <int ACT, bool F32 = false, int N> __device__ inline void activate_as(float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        x[i] = activated<ACT, F32>(x[i]);
    }
}

template <bool F32 = false, int N> __device__ inline void activate(int32_t act, float (&x)[N]) {
    switch (act) {
    case EET_ACT_RELU:
        activate_as<EET_ACT_RELU, F32>(x);
        break;
    case EET_ACT_GELU_ERF:
        activate_as<EET_ACT_GELU_ERF, F32>(x);
        break;
    case EET_ACT_GELU_TANH:
        activate_as<EET_ACT_GELU_TANH, F32>(x);
        break;
    case EET_ACT_SILU:
        activate_as<EET_ACT_SILU, F32>(x);
        break;
    case EET_ACT_QUICK_GELU:
        activate_as<EET_ACT_QUICK_GELU, F32>(x);
        break;
    case EET_ACT_TANH:
        activate_as<EET_ACT_TANH, F32>(x);
        break;
    case EET_ACT_RELU2:
        activate_as<EET_ACT_RELU2, F32>(x);
        break;
    default:
        break;
    }
}

/* Two numbers of 16 bits in a word, and back. */
__device__ inline uint32_t pack_two(int32_t dtype, float low, float high) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    uint32_t word;

    if (dtype == EET_F16) {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    }
    return word;
#else
    return dtype == EET_F16 ? eet_f32_to_f16(low) | (uint32_t)eet_f32_to_f16(high) << 16
                            : eet_f32_to_bf16(low) | (uint32_t)eet_f32_to_bf16(high) << 16;
#endif
}

__device__ inline float2 unpack_two(int32_t dtype, uint32_t word) {
    float2 two;

    if (dtype == EET_F16) {
        asm("cvt.f32.f16 %0, %1;" : "=f"(two.x) : "h"((uint16_t)word));
        asm("cvt.f32.f16 %0, %1;" : "=f"(two.y) : "h"((uint16_t)(word >> 16)));
        return two;
    }
    return make_float2(eet_float_of(word << 16), eet_float_of(word & 0xFFFF0000U));
}

/* Eight numbers from a 16-byte aligned place. */
__device__ inline void load_eight(const void *from, int32_t dtype, int64_t at, float (&x)[EIGHT]) {
    if (dtype == EET_F32) {
        const float4 *p = (const float4 *)((const float *)from + at);
        const float4 low = p[0];
        const float4 high = p[1];

        x[0] = low.x;
        x[1] = low.y;
        x[2] = low.z;
        x[3] = low.w;
        x[4] = high.x;
        x[5] = high.y;
        x[6] = high.z;
        x[7] = high.w;
        return;
    }
    const uint4 four = *(const uint4 *)((const uint16_t *)from + at);
    const uint32_t word[] = {four.x, four.y, four.z, four.w};

#pragma unroll
    for (int i = 0; i < EIGHT / 2; ++i) {
        const float2 two = unpack_two(dtype, word[i]);

        x[2 * i] = two.x;
        x[2 * i + 1] = two.y;
    }
}

__device__ inline void store_eight(void *to, int32_t dtype, int64_t at, const float (&x)[EIGHT]) {
    if (dtype == EET_F32) {
        float4 *p = (float4 *)((float *)to + at);

        p[0] = make_float4(x[0], x[1], x[2], x[3]);
        p[1] = make_float4(x[4], x[5], x[6], x[7]);
        return;
    }
    *(uint4 *)((uint16_t *)to + at) =
        make_uint4(pack_two(dtype, x[0], x[1]), pack_two(dtype, x[2], x[3]),
                   pack_two(dtype, x[4], x[5]), pack_two(dtype, x[6], x[7]));
}

/* What is added to output j of a row after its activation. */
__device__ inline float residual_of(const eet_finish &f, int32_t row, int32_t j) {
    const eet_project_args &a = f.a;
    const float x = eet_float_at(a.residual, a.residual_dtype, (int64_t)row * a.w.n + j);

    if (a.residual_norm.weight == nullptr) {
        return x;
    }
    const float *m = f.moment + 4 * (int64_t)row;

    return normed(x, j, a.residual_norm.weight, a.residual_norm.bias, {m[0], m[1], m[2]});
}

/* With no activation between them the residual is added before the bias, as cuBLASLt does. */
__device__ inline bool residual_first(const eet_project_args &a) {
    return a.residual != nullptr && a.act == EET_ACT_LINEAR;
}

/* One output: sum is that of its products. Every step rounds, as in finish_wide. MAY_BE_F32: are
 * the weights f32 perhaps? */
template <bool MAY_BE_F32 = false>
__device__ inline void finish_one(const eet_finish &f, int32_t row, int32_t j, float sum) {
    const eet_project_args &a = f.a;
    const bool first = residual_first(a);
    const float more = a.residual != nullptr ? residual_of(f, row, j) : 0.0F;
    float y[1] = {first ? __fadd_rn(sum, more) : sum};

    y[0] = a.bias != nullptr ? __fadd_rn(y[0], a.bias[j]) : y[0];
    if (MAY_BE_F32 && a.w.dtype == EET_F32) {
        activate<true>(a.act, y);
    } else {
        activate(a.act, y);
    }
    if (a.residual != nullptr && !first) {
        y[0] = __fadd_rn(y[0], more);
    }
    if (j < f.y_columns) {
        eet_float_put(a.y, a.y_dtype, (int64_t)row * f.y_columns + j, y[0]);
    } else {
        eet_float_put(a.pages.data, a.pages.dtype, eet_project_place(&a, row, j - f.y_columns),
                      y[0]);
    }
}

/* What a lane's part of a fragment needs besides its sums, loaded long before: 8 columns of bias,
 * and of two rows' residual as they are in memory. */
struct fragment_ahead {
    float bias[EIGHT];
    uint4 residual[2][2];
};

__device__ inline void look_ahead(const eet_finish &f, int32_t row, int32_t col,
                                  fragment_ahead &ahead) {
    const eet_project_args &a = f.a;
    const int32_t j = col + EIGHT * ((int)threadIdx.x % 4);

    if (!f.wide || j >= a.w.n) {
        return;
    }
    if (a.bias != nullptr) {
        load_eight(a.bias, EET_F32, j, ahead.bias);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        if (a.residual != nullptr && row + 8 * half < a.rows) {
            const int64_t at = (int64_t)(row + 8 * half) * a.w.n + j;

            if (a.residual_dtype == EET_F32) {
                const uint4 *p = (const uint4 *)((const float *)a.residual + at);

                ahead.residual[half][0] = p[0];
                ahead.residual[half][1] = p[1];
            } else {
                ahead.residual[half][0] = *(const uint4 *)((const uint16_t *)a.residual + at);
            }
        }
    }
}

__device__ inline void unpack_eight(const uint4 (&from)[2], int32_t dtype, float (&x)[EIGHT]) {
    const uint32_t word[] = {from[0].x, from[0].y, from[0].z, from[0].w,
                             from[1].x, from[1].y, from[1].z, from[1].w};

#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        if (dtype == EET_F32) {
            x[i] = eet_float_of(word[i]);
        } else if (i % 2 == 0) {
            const float2 two = unpack_two(dtype, word[i / 2]);

            x[i] = two.x;
            x[i + 1] = two.y;
        }
    }
}

__device__ inline void add_residual(const eet_project_args &a, const uint4 (&from)[2],
                                    float (&y)[EIGHT]) {
    float more[EIGHT];

    unpack_eight(from, a.residual_dtype, more);
#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        y[i] = __fadd_rn(y[i], more[i]);
    }
}

__device__ inline void finish_wide(const eet_finish &f, int32_t row, int32_t j,
                                   const fragment_ahead &ahead, int half, float (&y)[EIGHT]) {
    const eet_project_args &a = f.a;
    const bool first = residual_first(a);

    if (first) {
        add_residual(a, ahead.residual[half], y);
    }
    if (a.bias != nullptr) {
#pragma unroll
        for (int i = 0; i < EIGHT; ++i) {
            y[i] = __fadd_rn(y[i], ahead.bias[i]);
        }
    }
    activate(a.act, y);
    if (a.residual != nullptr && !first) {
        add_residual(a, ahead.residual[half], y);
    }
    if (j < f.y_columns) {
        store_eight(a.y, a.y_dtype, (int64_t)row * f.y_columns + j, y);
    } else {
        store_eight(a.pages.data, a.pages.dtype, eet_project_place(&a, row, j - f.y_columns), y);
    }
}

__device__ inline void finish_eight(const eet_finish &f, int32_t row, int32_t j,
                                    const fragment_ahead &ahead, int half, float (&y)[EIGHT]) {
    if (row >= f.a.rows || j >= f.a.w.n) {
        return;
    }
    if (f.wide) {
        finish_wide(f, row, j, ahead, half, y);
        return;
    }
#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        if (j + i < f.a.w.n) {
            finish_one(f, row, j + i, y[i]);
        }
    }
}

/* Sums as mma and wgmma leave them: v[b] are columns 8 b + 2 (lane % 4) and the next, of row and of
 * row + 8. The four lanes with the same rows trade, so that each has 8 columns of one b. */
__device__ inline void finish_fragment(const eet_finish &f, int32_t row, int32_t col,
                                       const fragment_ahead &ahead, const float (&v)[4][4]) {
    const int lane = (int)threadIdx.x % WARP;
    const bool odd = (lane & 1) != 0;
    const bool late = (lane & 2) != 0;

#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float y[EIGHT];

#pragma unroll
        for (int i = 0; i < 2; ++i) {
            float t[4];

#pragma unroll
            for (int b = 0; b < 4; b += 2) { /* 2 x 2 between neighbours */
                const float mine = v[b][2 * half + i];
                const float next = v[b + 1][2 * half + i];
                const float got = __shfl_xor_sync(~0U, odd ? mine : next, 1);

                t[b] = odd ? got : mine;
                t[b + 1] = odd ? next : got;
            }
#pragma unroll
            for (int b = 0; b < 2; ++b) { /* and between pairs of them */
                const float got = __shfl_xor_sync(~0U, late ? t[b] : t[b + 2], 2);

                y[2 * b + i] = late ? got : t[b];
                y[2 * (b + 2) + i] = late ? t[b + 2] : got;
            }
        }
        finish_eight(f, row + 8 * half, col + EIGHT * (lane % 4), ahead, half, y);
    }
}

using tile_place = eet_tile_place;

#endif
