/* transform.h - what happens to numbers on their way into a file: other bits for
 * the same number, another order. Pure functions on memory. */
#ifndef EET_CONVERTER_TRANSFORM_H
#define EET_CONVERTER_TRANSFORM_H

#include "converter/source.h"

typedef struct eet_cast {
    eet_source_dtype from; /* float64, float32, float16, bfloat16 */
    eet_dtype to;          /* f32, f16, bf16 */
    bool clamp;            /* what overflows becomes the largest number instead of infinity */
} eet_cast;

/* What was seen; "first" is the number of the first such value. */
typedef struct eet_cast_stats {
    uint64_t values;
    uint64_t nonfinite, first_nonfinite; /* NaN or infinite in the source */
    uint64_t overflowed, first_overflow; /* finite in the source, not in the wanted dtype */
    double max_error;                    /* largest |found - written| of what did not overflow */
} eet_cast_stats;

/* Are both dtypes the same? Then nothing needs to be written, only looked at. */
bool eet_cast_keeps(const eet_cast *cast);
void eet_cast_look(const eet_cast *cast, const void *in, uint64_t count, eet_cast_stats *stats);

/* Rounds to nearest even; keeps subnormals, signs of zeros, NaNs. Adds to `stats`. */
void eet_cast_values(const eet_cast *cast, const void *in, void *out, uint64_t count,
                     eet_cast_stats *stats);

/* Writes columns first .. first + count of the row-major `in` (rows x columns
 * elements of 2, 4 or 8 bytes) as rows of `out` (count x rows). */
typedef struct eet_transpose {
    const void *in;
    uint64_t rows, columns;
    uint32_t bytes;
} eet_transpose;
void eet_transpose_columns(const eet_transpose *t, uint64_t first, uint64_t count, void *out);

/* One number of a 16-bit float, exactly, and back, rounded to nearest even. */
double eet_half_value(uint16_t bits, eet_dtype dtype);
uint16_t eet_half_bits(double value, eet_dtype dtype);

#endif
