/* random.h - the numbers of sampling, defined to the bit: docs/sampling.md.
 *
 * Philox4x32-10 (Salmon and others, 2011) of a row's seed and stream, the position and the
 * token id gives each id its own Gumbel noise; logarithm and exponential are made of IEEE
 * additions, multiplications and divisions in a fixed order, rounded to nearest, none fused.
 * Every backend has the same. */
#ifndef EET_KERNELS_RANDOM_H
#define EET_KERNELS_RANDOM_H

#include <stdint.h>
#include <string.h>

#include "format/half.h"

enum { EET_PHILOX_ROUNDS = 10 };
#define EET_PHILOX_M0 UINT32_C(0xD2511F53)
#define EET_PHILOX_M1 UINT32_C(0xCD9E8D57)
#define EET_PHILOX_W0 UINT32_C(0x9E3779B9)
#define EET_PHILOX_W1 UINT32_C(0xBB67AE85)

EET_BOTH static inline void eet_philox(uint32_t x[4], uint32_t key0, uint32_t key1) {
    for (int round = 0; round < EET_PHILOX_ROUNDS; ++round) {
        const uint64_t a = (uint64_t)EET_PHILOX_M0 * x[0];
        const uint64_t b = (uint64_t)EET_PHILOX_M1 * x[2];

        x[0] = (uint32_t)(b >> 32) ^ x[1] ^ key0;
        x[1] = (uint32_t)b;
        x[2] = (uint32_t)(a >> 32) ^ x[3] ^ key1;
        x[3] = (uint32_t)a;
        key0 += EET_PHILOX_W0;
        key1 += EET_PHILOX_W1;
    }
}

/* 52 bits b of two words as (b + 1/2) / 2^52: never 0, never 1, exact. */
EET_BOTH static inline double eet_uniform(uint32_t high, uint32_t low) {
    const uint64_t bits = (uint64_t)high << 20 | low >> 12;

    return ((double)bits + 0.5) * 0x1p-52;
}

#define EET_LN2_HIGH 0x1.62e42feep-1 /* 32 bits: times an exponent it is exact */
#define EET_LN2_LOW  0x1.a39ef35793c76p-33

EET_BOTH static inline double eet_double_of_bits(uint64_t bits) {
    double x = 0.0;

    memcpy(&x, &bits, sizeof x);
    return x;
}

EET_BOTH static inline uint64_t eet_bits_of_double(double x) {
    uint64_t bits = 0;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ln x of a normal positive number: x = 2^e m with sqrt(1/2) < m <= sqrt(2), and
 * ln m = 2 atanh(s) with s = (m - 1) / (m + 1), by its series to s^23. */
EET_BOTH static inline double eet_ln(double x) {
    static const double over[] = {1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                                  1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};
    const uint64_t bits = eet_bits_of_double(x);
    int exponent = (int)(bits >> 52) - 1023;
    double m = eet_double_of_bits((bits & UINT64_C(0xFFFFFFFFFFFFF)) | UINT64_C(1023) << 52);

    if (m > 0x1.6a09e667f3bcdp0) {
        m = m * 0.5;
        exponent += 1;
    }
    const double s = (m - 1.0) / (m + 1.0);
    const double square = s * s;
    double sum = over[0];

    for (int i = 1; i < (int)(sizeof over / sizeof over[0]); ++i) {
        sum = sum * square + over[i];
    }
    const double twice = s + s;
    const double e = (double)exponent;

    return e * EET_LN2_HIGH + (twice + (twice * square * sum + e * EET_LN2_LOW));
}

/* The noise of an id: -ln(-ln u), of the Gumbel distribution. */
EET_BOTH static inline double eet_gumbel(double uniform) {
    return -eet_ln(-eet_ln(uniform));
}

EET_BOTH static inline double eet_noise(uint64_t seed, uint64_t stream, int32_t position,
                                        int32_t id) {
    uint32_t x[4] = {(uint32_t)stream, (uint32_t)(stream >> 32), (uint32_t)position, (uint32_t)id};

    eet_philox(x, (uint32_t)seed, (uint32_t)(seed >> 32));
    return eet_gumbel(eet_uniform(x[0], x[1]));
}

/* 2^40 e^z for z <= 0, to the nearest integer: probabilities whose sums depend on no order.
 * e^z = 2^n e^r with |r| <= ln 2 / 2, by its series to r^13. No branch, and integers by adding
 * 2^52 to a number: loops over it turn into vectors. */
EET_BOTH static inline uint64_t eet_weight(double z) {
    static const double over[] = {1.0 / 6227020800,
                                  1.0 / 479001600,
                                  1.0 / 39916800,
                                  1.0 / 3628800,
                                  1.0 / 362880,
                                  1.0 / 40320,
                                  1.0 / 5040,
                                  1.0 / 720,
                                  1.0 / 120,
                                  1.0 / 24,
                                  1.0 / 6,
                                  1.0 / 2,
                                  1.0,
                                  1.0};
    const double to_integer = 0x1.8p52;
    const double inside = z > -29.0 ? z : -29.0; /* there it is 0 */
    const double shifted = inside * 0x1.71547652b82fep0 + to_integer;
    const double n = shifted - to_integer;
    const double r = (inside - n * EET_LN2_HIGH) - n * EET_LN2_LOW;
    double sum = over[0];

    for (int i = 1; i < (int)(sizeof over / sizeof over[0]); ++i) {
        sum = sum * r + over[i];
    }
    const uint64_t exponent = eet_bits_of_double(shifted) + 1023 + 40; /* its low bits: n + 1063 */
    const double weight = sum * eet_double_of_bits(exponent << 52);

    return eet_bits_of_double(weight + 0x1p52) & UINT64_C(0xFFFFFFFFFFFFF);
}

/* The repetition penalty of a score, as Transformers has it. */
EET_BOTH static inline float eet_penalised(float score, float penalty) {
    return score < 0.0F ? score * penalty : score / penalty;
}

/* A score at a temperature, against the largest one, which is finite: at most 0. */
EET_BOTH static inline double eet_scaled(float score, float top, double temperature) {
    return ((double)score - (double)top) / temperature;
}

#endif
