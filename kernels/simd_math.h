/* simd_math.h - e^x, tanh, the normal distribution and the activations, to about 1e-7. */
#ifndef EET_KERNELS_SIMD_MATH_H
#define EET_KERNELS_SIMD_MATH_H

#include "kernels/simd.h"

/* The polynomial with `count` coefficients, lowest power first. */
ALWAYS_INLINE vec polynomial(vec x, const float *coefficient, int32_t count) {
    vec sum = vec_all(coefficient[count - 1]);

    for (int32_t i = count - 2; i >= 0; --i) {
        sum = vec_fma(sum, x, vec_all(coefficient[i]));
    }
    return sum;
}

/* e^x = 2^n e^r with |r| <= ln 2 / 2; ln 2 in two parts, so that r is exact. The
 * polynomial is a minimax fit of (e^r - 1 - r) / r^2. NaN stays NaN. */
static inline vec vec_exp(vec x) {
    static const float fit[] = {0.49999994F, 0.166665152F, 0.041668456F, 0.00836941879F,
                                0.00138131424F};
    const vec in_range = vec_max(vec_all(-104.0F), vec_min(vec_all(89.0F), x));
    const vec n = vec_round(vec_mul(in_range, vec_all(1.44269504F)));
    const vec r = vec_fma(n, vec_all(1.42860677e-6F), vec_fma(n, vec_all(-0.693148613F), in_range));
    const vec tail = vec_mul(vec_mul(r, r), polynomial(r, fit, 5));

    return vec_scale(vec_add(vec_all(1.0F), vec_add(r, tail)), n);
}

/* 1 / (1 + e^-x) */
static inline vec vec_sigmoid(vec x) {
    const vec one = vec_all(1.0F);

    return vec_div(one, vec_add(one, vec_exp(vec_sub(vec_zero(), x))));
}

/* Near 0 a minimax fit of (tanh x - x) / x^3 in x^2, else 1 - 2 / (e^2x + 1). */
static inline vec vec_tanh(vec x) {
    static const float fit[] = {-0.333332688F, 0.133310929F, -0.053709656F, 0.0205388106F,
                                -0.00559100742F};
    const vec one = vec_all(1.0F);
    const vec size = vec_abs(x);
    const vec square = vec_mul(x, x);
    const vec near = vec_fma(vec_mul(x, square), polynomial(square, fit, 5), x);
    const vec power = vec_exp(vec_add(size, size));
    const vec far = vec_sub(one, vec_div(vec_all(2.0F), vec_add(power, one)));
    const vec signed_far = vec_where(vec_below(x, vec_zero()), vec_sub(vec_zero(), far), far);

    return vec_where(vec_below(size, vec_all(0.625F)), near, signed_far);
}

/* Phi(-|x|) of the normal distribution, with a small relative error far out too:
 * e^(-z^2) erfcx(z) / 2 with z = |x| / sqrt 2, where erfcx(z) (1 + 2 z) is a minimax fit
 * in (z - 2) / (z + 2), and what x^2 loses by rounding is put back to first order. */
static inline vec normal_tail(vec x) {
    static const float fit[] = {1.27697837F,     -0.0927639753F,  -0.16603139F,   0.164055273F,
                                -0.0542047136F,  -0.00805960037F, 0.00863327459F, 0.00131372502F,
                                -0.00123188051F, -0.000401717902F};
    const vec two = vec_all(2.0F);
    const vec size = vec_min(vec_all(16.0F), vec_abs(x)); /* nothing is left there */
    const vec z = vec_mul(size, vec_all(0.707106781F));
    const vec q = vec_div(vec_sub(z, two), vec_add(z, two));
    const vec scaled = vec_div(polynomial(q, fit, 10), vec_fma(two, z, vec_all(1.0F)));
    const vec square = vec_mul(size, size);
    const vec lost = vec_fma(size, size, vec_sub(vec_zero(), square));
    const vec power = vec_exp(vec_mul(square, vec_all(-0.5F)));

    return vec_mul(vec_mul(vec_all(0.5F), scaled),
                   vec_fma(vec_mul(lost, vec_all(-0.5F)), power, power));
}

static inline vec vec_gelu_erf(vec x) {
    const vec tail = normal_tail(x);
    const vec phi = vec_where(vec_below(x, vec_zero()), tail, vec_sub(vec_all(1.0F), tail));

    return vec_mul(x, phi);
}

/* 0.5 x (1 + tanh u) = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline vec vec_gelu_tanh(vec x) {
    const vec cubic = vec_fma(vec_mul(x, x), vec_all(0.0713548163F), vec_all(1.59576912F));

    return vec_mul(x, vec_sigmoid(vec_mul(x, cubic)));
}

/* As the reference: what is not below zero stays, a NaN among it. */
static inline vec vec_relu(vec x) {
    return vec_where(vec_below(x, vec_zero()), vec_zero(), x);
}

static inline vec vec_activate(int32_t act, vec x) {
    switch (act) {
    case EET_ACT_RELU:
        return vec_relu(x);
    case EET_ACT_GELU_ERF:
        return vec_gelu_erf(x);
    case EET_ACT_GELU_TANH:
        return vec_gelu_tanh(x);
    case EET_ACT_SILU:
        return vec_mul(x, vec_sigmoid(x));
    case EET_ACT_QUICK_GELU:
        return vec_mul(x, vec_sigmoid(vec_mul(x, vec_all(1.702F))));
    case EET_ACT_TANH:
        return vec_tanh(x);
    case EET_ACT_RELU2:
        return vec_mul(vec_relu(x), vec_relu(x));
    default:
        return x;
    }
}

#endif
