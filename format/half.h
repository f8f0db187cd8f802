/* half.h - f16 and bf16 to and from f32, one number at a time, rounded to nearest even. */
#ifndef EET_FORMAT_HALF_H
#define EET_FORMAT_HALF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "eet_types.h"

/* Before a function that a device's compiler makes for both sides. */
#ifdef __CUDACC__
#define EET_BOTH __host__ __device__
#else
#define EET_BOTH
#endif

EET_BOTH static inline uint32_t eet_bits_of(float x) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

EET_BOTH static inline float eet_float_of(uint32_t bits) {
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Drops the low `bits` bits of a number, rounding to nearest even. */
EET_BOTH static inline uint32_t eet_round_bits(uint32_t x, int32_t bits) {
    const uint32_t half = UINT32_C(1) << (bits - 1);

    return (x + (half - 1) + ((x >> bits) & 1)) >> bits;
}

/* A NaN stays one, made quiet (as the processor's own conversions do). */
EET_BOTH static inline float eet_f16_to_f32(uint16_t x) {
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16;
    const uint32_t magnitude = x & 0x7FFF;

    if (magnitude > 0x7C00) {
        return eet_float_of(sign | 0x7FC00000 | (magnitude << 13));
    }
    if (magnitude == 0x7C00) {
        return eet_float_of(sign | 0x7F800000);
    }
    if (magnitude >= 0x0400) {
        return eet_float_of(sign | ((magnitude << 13) + (UINT32_C(112) << 23)));
    }
    const float tiny = (float)magnitude * 0x1p-24F; /* exact: a subnormal or zero */

    return eet_float_of(sign | eet_bits_of(tiny));
}

EET_BOTH static inline uint16_t eet_f32_to_f16(float x) {
    const uint32_t bits = eet_bits_of(x);
    const uint32_t sign = (bits >> 16) & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFF;

    if (magnitude > 0x7F800000) {
        return (uint16_t)(sign | 0x7E00 | ((magnitude >> 13) & 0x03FF));
    }
    if (magnitude >= 0x477FF000) { /* 65,520: halfway between the largest f16 and the next */
        return (uint16_t)(sign | 0x7C00);
    }
    if (magnitude >= 0x38800000) { /* 2^-14: a normal f16 */
        return (uint16_t)(sign | eet_round_bits(magnitude - (UINT32_C(112) << 23), 13));
    }
    if (magnitude < 0x33000000) { /* 2^-25: below half of the smallest */
        return (uint16_t)sign;
    }
    const int32_t shift = 126 - (int32_t)(magnitude >> 23); /* 14 .. 24 */
    const uint32_t mantissa = (magnitude & 0x007FFFFF) | 0x00800000;

    return (uint16_t)(sign | eet_round_bits(mantissa, shift));
}

EET_BOTH static inline float eet_bf16_to_f32(uint16_t x) {
    return eet_float_of((uint32_t)x << 16);
}

EET_BOTH static inline uint16_t eet_f32_to_bf16(float x) {
    const uint32_t bits = eet_bits_of(x);

    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)((bits >> 16) | 0x0040);
    }
    return (uint16_t)eet_round_bits(bits, 16);
}

/* Toward zero, with the last bit set when something was lost: rounding the result
 * once more, to 22 bits or fewer, is rounding x once. */
EET_BOTH static inline float eet_f64_to_odd_f32(double x) {
    const float near = (float)x;
    uint32_t bits = eet_bits_of(near);

    if ((double)near == x || x != x) {
        return near;
    }
    if ((x < 0 ? -(double)near : (double)near) > (x < 0 ? -x : x)) {
        bits -= 1;
    }
    return eet_float_of(bits | 1);
}

EET_BOTH static inline bool eet_is_float(int32_t dtype) {
    return dtype == EET_F32 || dtype == EET_F16 || dtype == EET_BF16;
}

/* Element i of an array of f32, f16 or bf16. */
EET_BOTH static inline float eet_float_at(const void *data, int32_t dtype, int64_t i) {
    if (dtype == EET_F16) {
        return eet_f16_to_f32(((const uint16_t *)data)[i]);
    }
    if (dtype == EET_BF16) {
        return eet_bf16_to_f32(((const uint16_t *)data)[i]);
    }
    return ((const float *)data)[i];
}

EET_BOTH static inline void eet_float_put(void *data, int32_t dtype, int64_t i, float x) {
    if (dtype == EET_F16) {
        ((uint16_t *)data)[i] = eet_f32_to_f16(x);
    } else if (dtype == EET_BF16) {
        ((uint16_t *)data)[i] = eet_f32_to_bf16(x);
    } else {
        ((float *)data)[i] = x;
    }
}

/* A whole number as one of 32 bits: the nearest. */
EET_BOTH static inline int32_t eet_narrowed(int64_t x) {
    if (x > INT32_MAX) {
        return INT32_MAX;
    }
    return x < INT32_MIN ? INT32_MIN : (int32_t)x;
}

/* Element i of x to element j of y, rounded once: f32, f16, bf16 and f64 in, f32, f16, bf16 out;
 * or i32 and i64 in, i32 out. */
EET_BOTH static inline void eet_number_convert(void *y, int32_t to, int64_t j, const void *x,
                                               int32_t from, int64_t i) {
    if (to == EET_I32) {
        ((int32_t *)y)[j] =
            from == EET_I64 ? eet_narrowed(((const int64_t *)x)[i]) : ((const int32_t *)x)[i];
    } else if (from != EET_F64) {
        eet_float_put(y, to, j, eet_float_at(x, from, i));
    } else if (to == EET_F32) {
        ((float *)y)[j] = (float)((const double *)x)[i];
    } else {
        eet_float_put(y, to, j, eet_f64_to_odd_f32(((const double *)x)[i]));
    }
}

/* Bytes of an element of f32, f16, bf16 or f64. */
EET_BOTH static inline int32_t eet_float_bytes(int32_t dtype) {
    if (dtype == EET_F64) {
        return 8;
    }
    return dtype == EET_F32 ? 4 : 2;
}

#endif
