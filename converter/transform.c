/* transform.c - casts and transposes numbers. */
#include "converter/transform.h"

#include <math.h>
#include <string.h>

#include "format/half.h"

double eet_half_value(uint16_t bits, eet_dtype dtype) {
    return (double)(dtype == EET_F16 ? eet_f16_to_f32(bits) : eet_bf16_to_f32(bits));
}

uint16_t eet_half_bits(double value, eet_dtype dtype) {
    const float odd = eet_f64_to_odd_f32(value);

    return dtype == EET_F16 ? eet_f32_to_f16(odd) : eet_f32_to_bf16(odd);
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
        return eet_half_value(((const uint16_t *)in)[i], EET_F16);
    default:
        return eet_half_value(((const uint16_t *)in)[i], EET_BF16);
    }
}

/* Writes x and returns what was written. */
static double store(eet_dtype to, void *out, uint64_t i, double x) {
    uint16_t bits = 0;

    switch (to) {
    case EET_F16:
        bits = eet_half_bits(x, EET_F16);
        ((uint16_t *)out)[i] = bits;
        return eet_half_value(bits, EET_F16);
    case EET_BF16:
        bits = eet_half_bits(x, EET_BF16);
        ((uint16_t *)out)[i] = bits;
        return eet_half_value(bits, EET_BF16);
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
        return eet_half_value(0x7F7F, EET_BF16);
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

/* The bits of floats >= 0 are in the order of their values. */
static uint32_t largest_magnitude(const float *in, uint64_t count) {
    uint32_t top = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t magnitude = eet_bits_of(in[i]) & 0x7FFFFFFF;

        top = magnitude > top ? magnitude : top;
    }
    return top;
}

/* Both return the bits of the largest error: a difference to a neighbour is exact. */
static uint32_t block_to_bf16(const float *in, uint16_t *out, uint64_t count) {
    uint32_t worst = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t x = eet_bits_of(in[i]);
        const uint32_t rounded = x + 0x7FFF + (x >> 16 & 1);
        const uint32_t error = eet_bits_of(in[i] - eet_float_of(rounded & 0xFFFF0000)) & 0x7FFFFFFF;

        out[i] = (uint16_t)(rounded >> 16);
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* Adding 0.5 leaves a subnormal's bits, rounded, at the end of the sum. */
static uint32_t block_to_f16(const float *in, uint16_t *out, uint64_t count) {
    uint32_t worst = 0;

    for (uint64_t i = 0; i < count; i++) {
        const uint32_t x = eet_bits_of(in[i]);
        const uint32_t m = x & 0x7FFFFFFF;
        const uint32_t rounded = m + 0xFFF + (m >> 13 & 1);
        const float lifted = eet_float_of(m) + 0.5F;
        const bool normal = m >= NORMAL_F16;
        const uint32_t bits = normal ? (rounded - (UINT32_C(112) << 23)) >> 13
                                     : eet_bits_of(lifted) - (uint32_t)HALF_BITS;
        const float y = normal ? eet_float_of(rounded & 0xFFFFE000) : lifted - 0.5F;
        const uint32_t error = eet_bits_of(eet_float_of(m) - y) & 0x7FFFFFFF;

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
    const double worst = (double)eet_float_of(narrow16 ? block_to_f16(in, out, count)
                                                       : block_to_bf16(in, out, count));

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
