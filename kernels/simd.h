/* simd.h - the vectors that the fast ops are written with: one set of functions, chosen by
 * what the including file is compiled for. */
#ifndef EET_KERNELS_SIMD_H
#define EET_KERNELS_SIMD_H

#include "format/half.h"
#include "kernels/kernels.h"

#if defined(__AVX512F__)
#include "kernels/vec_avx512.h"
#else
#include "kernels/vec_avx2.h"
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline float vec_sum(vec x) {
    return _mm_cvtss_f32(vec_sum4(x, x, x, x));
}

/* The largest of LANES numbers; NaNs aside, unless there is nothing else. */
static inline float vec_top(vec x) {
    float lane[LANES];
    float top = -__builtin_inff();

    vec_store(lane, x);
    for (int32_t i = 0; i < LANES; ++i) {
        top = lane[i] > top ? lane[i] : top;
    }
    return top;
}

/* LANES numbers of an array of f32, f16 or bf16 from element i on. */
ALWAYS_INLINE vec vec_at(const void *data, int32_t dtype, int64_t i) {
    if (dtype == EET_F16) {
        return vec_of_f16(halves_load((const uint16_t *)data + i));
    }
    if (dtype == EET_BF16) {
        return vec_of_bf16(halves_load((const uint16_t *)data + i));
    }
    return vec_load((const float *)data + i);
}

/* The first n of them, 0 in the other lanes; not a byte further is read. */
ALWAYS_INLINE vec vec_some_at(const void *data, int32_t dtype, int64_t i, int32_t n) {
    if (dtype == EET_F16) {
        return vec_of_f16(halves_load_some((const uint16_t *)data + i, n));
    }
    if (dtype == EET_BF16) {
        return vec_of_bf16(halves_load_some((const uint16_t *)data + i, n));
    }
    return vec_load_some((const float *)data + i, n);
}

ALWAYS_INLINE void vec_put_some(void *data, int32_t dtype, int64_t i, vec x, int32_t n) {
    if (dtype == EET_F16) {
        halves_store_some((uint16_t *)data + i, f16_of_vec(x), n);
    } else if (dtype == EET_BF16) {
        halves_store_some((uint16_t *)data + i, bf16_of_vec(x), n);
    } else {
        vec_store_some((float *)data + i, x, n);
    }
}

/* How many lanes of the vector at i are used. */
static inline int32_t lanes_at(int64_t i, int64_t count) {
    return count - i < LANES ? (int32_t)(count - i) : LANES;
}

#endif
