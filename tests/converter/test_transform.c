/* test_transform.c - casts and transposes against their plain definitions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "converter/transform.h"
#include "tests/support/suite.h"

/* What 16 bits mean, written as the definition says it. */
static double by_definition(unsigned bits, int mantissa, int bias) {
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    const int e = (int)((bits & 0x7FFF) >> mantissa);
    const double m = bits & ((1U << mantissa) - 1);

    if (e == (0x7FFF >> mantissa)) {
        return m != 0 ? NAN : sign * INFINITY;
    }
    return e == 0 ? sign * ldexp(m, 1 - bias - mantissa)
                  : sign * ldexp(m + ldexp(1, mantissa), e - bias - mantissa);
}

typedef struct kind {
    eet_dtype dtype;
    eet_source_dtype source;
    int mantissa, bias;
    unsigned infinity;
} kind;

static const kind kinds[] = {{EET_F16, EET_SRC_F16, 10, 15, 0x7C00},
                             {EET_BF16, EET_SRC_BF16, 7, 127, 0x7F80}};

START_TEST(every_half_is_read_as_its_definition_says)
{
    const kind *k = &kinds[_i];

    for (unsigned bits = 0; bits <= 0xFFFF; bits++) {
        const double expected = by_definition(bits, k->mantissa, k->bias);
        const double found = eet_half_value((uint16_t)bits, k->dtype);

        ck_assert_msg(isnan(expected) ? isnan(found) : memcmp(&expected, &found, sizeof found) == 0,
                      "%04x is %a, expected %a", bits, found, expected);
    }
}
END_TEST

START_TEST(every_half_survives_going_wide_and_back)
{
    const kind *k = &kinds[_i];

    for (unsigned bits = 0; bits <= 0xFFFF; bits++) {
        const double wide = eet_half_value((uint16_t)bits, k->dtype);
        const unsigned back = eet_half_bits(wide, k->dtype);

        if (isnan(wide)) {
            ck_assert_uint_gt(back & 0x7FFF, k->infinity);
        } else {
            ck_assert_uint_eq(back, bits);
        }
    }
}
END_TEST

/* Around the middle of any two neighbours: the nearer one, and the even one of a tie. */
START_TEST(every_middle_between_two_halves_rounds_to_even)
{
    const kind *k = &kinds[_i];

    for (unsigned bits = 0; bits < k->infinity; bits++) {
        const double low = by_definition(bits, k->mantissa, k->bias);
        const double high = bits + 1 == k->infinity
                                ? low + (low - by_definition(bits - 1, k->mantissa, k->bias))
                                : by_definition(bits + 1, k->mantissa, k->bias);
        const double middle = low + (high - low) / 2;

        ck_assert_uint_eq(eet_half_bits(middle, k->dtype), (bits & 1) != 0 ? bits + 1 : bits);
        ck_assert_uint_eq(eet_half_bits(nextafter(middle, 0), k->dtype), bits);
        ck_assert_uint_eq(eet_half_bits(nextafter(middle, INFINITY), k->dtype), bits + 1);
        ck_assert_uint_eq(eet_half_bits(-middle, k->dtype),
                          0x8000 | ((bits & 1) != 0 ? bits + 1 : bits));
    }
}
END_TEST

typedef struct numbers {
    float f32[8];
    double f64[8];
    uint16_t half[8];
} numbers;

START_TEST(a_value_that_overflows_is_counted_and_clamped_on_request)
{
    const float in[] = {1.0F, 1e6F, -1e6F, 65504.0F, 65519.9F, 65520.0F, -0.0F, 6e-8F};
    const uint16_t expected[] = {0x3C00, 0x7BFF, 0xFBFF, 0x7BFF, 0x7BFF, 0x7BFF, 0x8000, 0x0001};
    numbers out;
    eet_cast cast = {EET_SRC_F32, EET_F16, true};
    eet_cast_stats stats = {0};

    eet_cast_values(&cast, in, out.half, 8, &stats);
    ck_assert_mem_eq(out.half, expected, sizeof expected);
    ck_assert_uint_eq(stats.overflowed, 3);
    ck_assert_uint_eq(stats.first_overflow, 1);
    ck_assert_uint_eq(stats.nonfinite, 0);
    ck_assert_double_gt(stats.max_error, 15.0);
    ck_assert_double_lt(stats.max_error, 16.0);

    cast.clamp = false;
    eet_cast_values(&cast, in, out.half, 8, &stats);
    ck_assert_uint_eq(out.half[1], 0x7C00);
    ck_assert_uint_eq(out.half[2], 0xFC00);
    ck_assert_uint_eq(stats.overflowed, 6);
    ck_assert_uint_eq(stats.values, 16);
}
END_TEST

START_TEST(bf16_is_clamped_to_its_own_largest_number)
{
    const float in[] = {0x1.fffffep127F, -0x1.fffffep127F, 0x1.fep127F};
    const uint16_t expected[] = {0x7F7F, 0xFF7F, 0x7F7F};
    numbers out;
    const eet_cast cast = {EET_SRC_F32, EET_BF16, true};
    eet_cast_stats stats = {0};

    eet_cast_values(&cast, in, out.half, 3, &stats);
    ck_assert_mem_eq(out.half, expected, sizeof expected);
    ck_assert_uint_eq(stats.overflowed, 2);
}
END_TEST

START_TEST(nan_and_infinity_are_counted_in_every_dtype_and_kept)
{
    const float f32[] = {1, NAN, INFINITY, -INFINITY};
    const double f64[] = {1, NAN, INFINITY, -INFINITY};
    const uint16_t f16[] = {0x3C00, 0x7E00, 0x7C00, 0xFC00};
    const uint16_t bf16[] = {0x3F80, 0x7FC0, 0x7F80, 0xFF80};
    const void *const in[] = {f64, f32, f16, bf16};
    const eet_dtype to[] = {EET_F32, EET_F16, EET_BF16};
    numbers out;

    for (int from = 0; from < 4; from++) {
        for (int t = 0; t < 3; t++) {
            const eet_cast cast = {(eet_source_dtype)from, to[t], true};
            eet_cast_stats stats = {0};

            eet_cast_values(&cast, in[from], &out, 4, &stats);
            ck_assert_uint_eq(stats.nonfinite, 3);
            ck_assert_uint_eq(stats.first_nonfinite, 1);
            ck_assert_uint_eq(stats.overflowed, 0);
            ck_assert_double_eq(stats.max_error, 0.0);
            if (to[t] == EET_F32) {
                ck_assert(isnan(out.f32[1]) && out.f32[2] == INFINITY && out.f32[3] == -INFINITY);
            }
        }
    }
}
END_TEST

/* 1 + 2^-11 + 2^-40 is above a middle of f16; rounded to f32 first it would be the middle. */
START_TEST(a_double_is_rounded_once)
{
    const double in[] = {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40};
    numbers out;
    eet_cast cast = {EET_SRC_F64, EET_F16, false};
    eet_cast_stats stats = {0};

    eet_cast_values(&cast, in, out.half, 1, &stats);
    ck_assert_uint_eq(out.half[0], 0x3C01);
    cast.to = EET_BF16;
    eet_cast_values(&cast, in + 1, out.half, 1, &stats);
    ck_assert_uint_eq(out.half[0], 0x3F81);
}
END_TEST

START_TEST(a_double_becomes_a_float_with_its_error_told)
{
    const double in[] = {0.1, 1e300, 0x1p-149};
    numbers out;
    const eet_cast cast = {EET_SRC_F64, EET_F32, false};
    eet_cast_stats stats = {0};

    eet_cast_values(&cast, in, out.f32, 3, &stats);
    ck_assert_float_eq(out.f32[0], 0.1F);
    ck_assert_float_eq(out.f32[2], 0x1p-149F);
    ck_assert_uint_eq(stats.overflowed, 1);
    ck_assert_double_eq(stats.max_error, fabs(0.1 - (double)0.1F));
}
END_TEST

START_TEST(a_cast_to_the_same_dtype_keeps_every_bit)
{
    uint16_t *in = malloc(65536 * sizeof *in);
    uint16_t *out = malloc(65536 * sizeof *out);
    const eet_cast cast = {kinds[_i].source, kinds[_i].dtype, false};
    eet_cast_stats stats = {0};

    for (unsigned i = 0; i < 65536; i++) {
        in[i] = (uint16_t)i;
    }
    eet_cast_values(&cast, in, out, 65536, &stats);
    ck_assert_mem_eq(in, out, 65536 * sizeof *in);
    ck_assert_uint_eq(stats.nonfinite, 2 * (0x8000 - kinds[_i].infinity));
    free(in);
    free(out);
}
END_TEST

static const uint64_t shapes[][2] = {{1, 1},   {1, 50},  {50, 1}, {31, 33},
                                     {64, 32}, {100, 7}, {33, 97}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void check_transpose(uint64_t rows, uint64_t columns, uint32_t bytes, uint64_t piece) {
    unsigned char *in = malloc((size_t)(rows * columns * bytes));
    unsigned char *out = malloc((size_t)(rows * columns * bytes));
    const eet_transpose turn = {in, rows, columns, bytes};

    for (uint64_t i = 0; i < rows * columns * bytes; i++) {
        in[i] = (unsigned char)(i * 37 + i / 251);
    }
    for (uint64_t at = 0; at < columns; at += piece) {
        const uint64_t count = columns - at < piece ? columns - at : piece;

        eet_transpose_columns(&turn, at, count, out + at * rows * bytes);
    }
    for (uint64_t r = 0; r < rows; r++) {
        for (uint64_t c = 0; c < columns; c++) {
            ck_assert_mem_eq(out + (c * rows + r) * bytes, in + (r * columns + c) * bytes, bytes);
        }
    }
    free(in);
    free(out);
}

START_TEST(columns_become_rows_whatever_the_pieces)
{
    const uint32_t sizes[] = {2, 4, 8};

    for (int s = 0; s < 3; s++) {
        check_transpose(shapes[_i][0], shapes[_i][1], sizes[s], 1);
        check_transpose(shapes[_i][0], shapes[_i][1], sizes[s], 5);
        check_transpose(shapes[_i][0], shapes[_i][1], sizes[s], 1000);
    }
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = every_half_is_read_as_its_definition_says, .rows = 2},
        {.test = every_half_survives_going_wide_and_back, .rows = 2},
        {.test = every_middle_between_two_halves_rounds_to_even, .rows = 2},
        {.test = a_value_that_overflows_is_counted_and_clamped_on_request},
        {.test = bf16_is_clamped_to_its_own_largest_number},
        {.test = nan_and_infinity_are_counted_in_every_dtype_and_kept},
        {.test = a_double_is_rounded_once},
        {.test = a_double_becomes_a_float_with_its_error_told},
        {.test = a_cast_to_the_same_dtype_keeps_every_bit, .rows = 2},
        {.test = columns_become_rows_whatever_the_pieces, .rows = SHAPES},
    };

    return eet_suite_run("transform", claims, sizeof claims / sizeof *claims);
}
