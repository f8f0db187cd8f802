/* transform.c - casts and transposes numbers. */
#include "converter/transform.h"

#include <math.h>
#include <string.h>

/* A binary float with at most 16 bits: its mantissa's and its exponent's width. */
typedef struct half {
    int mantissa, exponent;
} half;

static const half f16 = {10, 5};
static const half bf16 = {7, 8};

static const half *half_of(eet_dtype dtype) {
    return dtype == EET_F16 ? &f16 : &bf16;
}

static uint64_t bits_of(double x) {
    uint64_t bits = 0;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double value_of(uint64_t bits) {
    double x = 0;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- 16-bit floats ------------------------------------------------------ */

static inline double widen(uint16_t h, int mantissa, int exponent) {
    const int bias = (1 << (exponent - 1)) - 1;
    const uint64_t sign = (uint64_t)(h >> 15) << 63;
    const int e = (h >> mantissa) & ((1 << exponent) - 1);
    const uint64_t m = h & ((1U << mantissa) - 1);

    if (e == (1 << exponent) - 1) {
        return value_of(sign | UINT64_C(0x7FF) << 52 | m << (52 - mantissa));
    }
    if (e == 0) {
        const double tiny = (double)m * value_of((uint64_t)(1024 - bias - mantissa) << 52);

        return value_of(sign | bits_of(tiny));
    }
    return value_of(sign | (uint64_t)(e - bias + 1023) << 52 | m << (52 - mantissa));
}

/* Drops `shift` low bits (1 to 63) of x, rounding to nearest even. */
static inline uint64_t drop_bits(uint64_t x, int shift) {
    const uint64_t kept = x >> shift;
    const uint64_t rest = x & ((UINT64_C(1) << shift) - 1);
    const uint64_t middle = UINT64_C(1) << (shift - 1);

    return kept + (rest > middle || (rest == middle && (kept & 1) != 0) ? 1 : 0);
}

static inline uint16_t narrow(double x, int mantissa, int exponent) {
    const int bias = (1 << (exponent - 1)) - 1;
    const int top = (1 << exponent) - 1;
    const uint64_t bits = bits_of(x);
    const uint16_t sign = (uint16_t)(bits >> 63 << 15);
    const int wide = (int)(bits >> 52) & 0x7FF;
    const uint64_t m = bits & ((UINT64_C(1) << 52) - 1);
    const int e = wide - 1023 + bias;

    if (wide == 0x7FF) { /* a NaN stays one */
        const unsigned quiet = m != 0 ? 1U << (mantissa - 1) | (unsigned)(m >> (52 - mantissa)) : 0;

        return (uint16_t)(sign | (unsigned)top << mantissa | quiet);
    }
    if (e >= top) {
        return (uint16_t)(sign | (unsigned)top << mantissa);
    }
    const int below = e < 1 ? 1 - e : 0; /* bits that a subnormal has less */
    const int shift = 52 - mantissa + below;

    if (wide == 0 || shift > 54) {
        return sign;
    }
    const uint64_t rounded = drop_bits(m | UINT64_C(1) << 52, shift);
    const uint64_t base = e < 1 ? 0 : (uint64_t)(e - 1) << mantissa;

    return (uint16_t)(sign | (base + rounded)); /* a carry moves into the exponent */
}

double eet_half_value(uint16_t bits, eet_dtype dtype) {
    const half *h = half_of(dtype);

    return widen(bits, h->mantissa, h->exponent);
}

uint16_t eet_half_bits(double value, eet_dtype dtype) {
    const half *h = half_of(dtype);

    return narrow(value, h->mantissa, h->exponent);
}

/* ---- counting ----------------------------------------------------------- */

static void count_nonfinite16(const uint16_t *x, uint64_t n, uint16_t mask, uint64_t *found) {
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        sum += (x[i] & mask) == mask ? 1 : 0;
    }
    *found = sum;
}

static void count_nonfinite32(const uint32_t *x, uint64_t n, uint64_t *found) {
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        sum += (x[i] & 0x7F800000) == 0x7F800000 ? 1 : 0;
    }
    *found = sum;
}

static void count_nonfinite64(const uint64_t *x, uint64_t n, uint64_t *found) {
    const uint64_t mask = UINT64_C(0x7FF) << 52;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        sum += (x[i] & mask) == mask ? 1 : 0;
    }
    *found = sum;
}

static uint64_t count_nonfinite(eet_source_dtype from, const void *in, uint64_t n) {
    uint64_t found = 0;

    switch (from) {
    case EET_SRC_F64:
        count_nonfinite64(in, n, &found);
        break;
    case EET_SRC_F32:
        count_nonfinite32(in, n, &found);
        break;
    case EET_SRC_F16:
        count_nonfinite16(in, n, 0x7C00, &found);
        break;
    default:
        count_nonfinite16(in, n, 0x7F80, &found);
        break;
    }
    return found;
}

/* ---- casting ------------------------------------------------------------ */

static double load(eet_source_dtype from, const void *in, uint64_t i) {
    switch (from) {
    case EET_SRC_F64:
        return ((const double *)in)[i];
    case EET_SRC_F32:
        return ((const float *)in)[i];
    case EET_SRC_F16:
        return widen(((const uint16_t *)in)[i], 10, 5);
    default:
        return widen(((const uint16_t *)in)[i], 7, 8);
    }
}

/* Writes x and returns what was written. */
static double store(eet_dtype to, void *out, uint64_t i, double x) {
    uint16_t bits = 0;

    switch (to) {
    case EET_F16:
        bits = narrow(x, 10, 5);
        ((uint16_t *)out)[i] = bits;
        return widen(bits, 10, 5);
    case EET_BF16:
        bits = narrow(x, 7, 8);
        ((uint16_t *)out)[i] = bits;
        return widen(bits, 7, 8);
    default:
        ((float *)out)[i] = (float)x;
        return ((float *)out)[i];
    }
}

static double largest(eet_dtype to) {
    switch (to) {
    case EET_F16:
        return 65504.0;
    case EET_BF16:
        return widen(0x7F7F, 7, 8);
    default:
        return 0x1.fffffep127;
    }
}

static void note_first(uint64_t *count, uint64_t *first, uint64_t at) {
    if ((*count)++ == 0) {
        *first = at;
    }
}

/* The whole of a cast for one pair of dtypes; inlined into a loop of its own each. */
static inline __attribute__((always_inline)) void cast_all(eet_source_dtype from, eet_dtype to,
                                                           const eet_cast *cast, const void *in,
                                                           void *out, uint64_t count,
                                                           eet_cast_stats *stats) {
    double worst = stats->max_error;

    for (uint64_t i = 0; i < count; i++) {
        const double x = load(from, in, i);
        const double y = store(to, out, i, x);
        const double error = fabs(x - y);

        if (error <= worst) {
            continue;
        }
        if (!isfinite(x)) {
            note_first(&stats->nonfinite, &stats->first_nonfinite, stats->values + i);
        } else if (isfinite(y)) {
            worst = error;
        } else {
            note_first(&stats->overflowed, &stats->first_overflow, stats->values + i);
            if (cast->clamp) {
                (void)store(to, out, i, copysign(largest(to), x));
            }
        }
    }
    stats->max_error = worst;
}

static void cast_to(eet_source_dtype from, const eet_cast *cast, const void *in, void *out,
                    uint64_t count, eet_cast_stats *stats) {
    switch (cast->to) {
    case EET_F16:
        cast_all(from, EET_F16, cast, in, out, count, stats);
        break;
    case EET_BF16:
        cast_all(from, EET_BF16, cast, in, out, count, stats);
        break;
    default:
        cast_all(from, EET_F32, cast, in, out, count, stats);
        break;
    }
}

/* ---- f32 to 16 bits, as it goes nearly always: no branch, many numbers at a time ---- */

enum { BLOCK = 1024, HALF_BITS = 0x3F000000 /* 0.5F */, NORMAL_F16 = 0x38800000 /* 2^-14 */ };

static inline uint32_t bits32_of(float x) {
    uint32_t bits = 0;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float value32_of(uint32_t bits) {
    float x = 0;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The bits of floats >= 0 are in the order of their values. */
static uint32_t largest_magnitude(const float *in, uint64_t count) {
    uint32_t top = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t magnitude = bits32_of(in[i]) & 0x7FFFFFFF;

        top = magnitude > top ? magnitude : top;
    }
    return top;
}

/* Both return the bits of the largest error: a difference to a neighbour is exact. */
static uint32_t block_to_bf16(const float *in, uint16_t *out, uint64_t count) {
    uint32_t worst = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t x = bits32_of(in[i]);
        const uint32_t rounded = x + 0x7FFF + (x >> 16 & 1);
        const uint32_t error = bits32_of(in[i] - value32_of(rounded & 0xFFFF0000)) & 0x7FFFFFFF;

        out[i] = (uint16_t)(rounded >> 16);
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* Adding 0.5 leaves a subnormal's bits, rounded, at the end of the sum. */
static uint32_t block_to_f16(const float *in, uint16_t *out, uint64_t count) {
    uint32_t worst = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t x = bits32_of(in[i]);
        const uint32_t m = x & 0x7FFFFFFF;
        const uint32_t rounded = m + 0xFFF + (m >> 13 & 1);
        const float lifted = value32_of(m) + 0.5F;
        const bool normal = m >= NORMAL_F16;
        const uint32_t bits = normal ? (rounded - (UINT32_C(112) << 23)) >> 13
                                     : bits32_of(lifted) - (uint32_t)HALF_BITS;
        const float y = normal ? value32_of(rounded & 0xFFFFE000) : lifted - 0.5F;
        const uint32_t error = bits32_of(value32_of(m) - y) & 0x7FFFFFFF;

        out[i] = (uint16_t)((x >> 16 & 0x8000) | bits);
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* False: something in the block is not finite, or overflows. */
static bool cast_plain(const eet_cast *cast, const void *in, void *out, uint64_t count,
                       eet_cast_stats *stats) {
    const bool narrow16 = cast->to == EET_F16;
    const uint32_t limit = narrow16 ? 0x477FF000 : 0x7F7F8000; /* rounds to infinity from there */

    if (cast->from != EET_SRC_F32 || cast->to == EET_F32 || largest_magnitude(in, count) >= limit) {
        return false;
    }
    const double worst =
        (double)value32_of(narrow16 ? block_to_f16(in, out, count) : block_to_bf16(in, out, count));

    stats->max_error = worst > stats->max_error ? worst : stats->max_error;
    return true;
}

bool eet_cast_keeps(const eet_cast *cast) {
    return (cast->from == EET_SRC_F32 && cast->to == EET_F32) ||
           (cast->from == EET_SRC_F16 && cast->to == EET_F16) ||
           (cast->from == EET_SRC_BF16 && cast->to == EET_BF16);
}

void eet_cast_look(const eet_cast *cast, const void *in, uint64_t count, eet_cast_stats *stats) {
    const uint64_t found = count_nonfinite(cast->from, in, count);

    for (uint64_t i = 0; found > 0 && i < count; i++) {
        if (!isfinite(load(cast->from, in, i))) {
            note_first(&stats->nonfinite, &stats->first_nonfinite, stats->values + i);
        }
    }
    stats->values += count;
}

void eet_cast_values(const eet_cast *cast, const void *in, void *out, uint64_t count,
                     eet_cast_stats *stats) {
    if (eet_cast_keeps(cast)) {
        memcpy(out, in, (size_t)count * eet_source_dtype_bytes(cast->from));
        eet_cast_look(cast, in, count, stats);
        return;
    }
    const uint64_t from = eet_source_dtype_bytes(cast->from);
    const uint64_t to = eet_dtype_bytes(cast->to);

    for (uint64_t at = 0; at < count; at += BLOCK) {
        const uint64_t n = count - at < BLOCK ? count - at : BLOCK;
        const char *block = (const char *)in + at * from;
        char *cast_block = (char *)out + at * to;

        if (!cast_plain(cast, block, cast_block, n, stats)) {
            cast_to(cast->from, cast, block, cast_block, n, stats);
        }
        stats->values += n;
    }
}

/* ---- transposing -------------------------------------------------------- */

enum { TILE = 32 };

#define TRANSPOSE(name, type)                                                                      \
    static void name(const type *in, uint64_t rows, uint64_t columns, uint64_t count, type *out) { \
        for (uint64_t r = 0; r < rows; r += TILE) {                                                \
            const uint64_t end = r + TILE < rows ? r + TILE : rows;                                \
                                                                                                   \
            for (uint64_t c = 0; c < count; c++) {                                                 \
                for (uint64_t i = r; i < end; i++) {                                               \
                    out[c * rows + i] = in[i * columns + c];                                       \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

TRANSPOSE(transpose16, uint16_t)
TRANSPOSE(transpose32, uint32_t)
TRANSPOSE(transpose64, uint64_t)

/* 4 x 4 numbers in four registers. */
static void transpose_quad(const uint32_t *in, uint64_t columns, uint32_t *out, uint64_t rows) {
    typedef uint32_t quad __attribute__((vector_size(16)));
    quad row[4];

    for (int i = 0; i < 4; i++) {
        memcpy(&row[i], in + (uint64_t)i * columns, sizeof row[i]);
    }
    const quad low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
    const quad low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
    const quad high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
    const quad high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    const quad column[4] = {
        __builtin_shufflevector(low01, low23, 0, 1, 4, 5),
        __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
        __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
        __builtin_shufflevector(high01, high23, 2, 3, 6, 7),
    };

    for (int i = 0; i < 4; i++) {
        memcpy(out + (uint64_t)i * rows, &column[i], sizeof column[i]);
    }
}

/* transpose32 where rows and count are multiples of 4: f32 weights, nearly always. */
static void transpose_quads(const uint32_t *in, uint64_t rows, uint64_t columns, uint64_t count,
                            uint32_t *out) {
    for (uint64_t r = 0; r < rows; r += TILE) {
        const uint64_t end = r + TILE < rows ? r + TILE : rows;

        for (uint64_t c = 0; c < count; c += 4) {
            for (uint64_t i = r; i < end; i += 4) {
                transpose_quad(in + i * columns + c, columns, out + c * rows + i, rows);
            }
        }
    }
}

void eet_transpose_columns(const eet_transpose *t, uint64_t first, uint64_t count, void *out) {
    switch (t->bytes) {
    case 2:
        transpose16((const uint16_t *)t->in + first, t->rows, t->columns, count, out);
        break;
    case 4:
        if (t->rows % 4 == 0 && count % 4 == 0) {
            transpose_quads((const uint32_t *)t->in + first, t->rows, t->columns, count, out);
            break;
        }
        transpose32((const uint32_t *)t->in + first, t->rows, t->columns, count, out);
        break;
    default:
        transpose64((const uint64_t *)t->in + first, t->rows, t->columns, count, out);
        break;
    }
}
