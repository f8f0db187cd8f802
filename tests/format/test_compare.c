/* test_compare.c - the numbers of eet-diff --stats and of the census, for every dtype. */
#include <math.h>
#include <string.h>

#include "format/commands/compare.h"
#include "format/commands/values.h"
#include "format/half.h"
#include "tests/support/suite.h"

static eet_file_tensor vector(int32_t dtype, const void *data, uint64_t count) {
    eet_file_tensor t = {.dtype = dtype, .rank = 1, .dims = {count, 1, 1, 1, 1, 1}, .alias_of = -1};

    t.data = data;
    t.bytes = count * eet_dtype_bytes((eet_dtype)dtype);
    return t;
}

static void check_near(double value, double expected, double tolerance) {
    ck_assert_msg(fabs(value - expected) <= tolerance, "%.17g, expected %.17g", value, expected);
}

/* ---- two tensors --------------------------------------------------------- */

START_TEST(distances_are_those_of_the_textbook)
{
    const float a[] = {3, 4, 0, 1};
    const double b[] = {3, 0, 0, -1};
    const eet_file_tensor left = vector(EET_F32, a, 4);
    const eet_file_tensor right = vector(EET_F64, b, 4);
    const eet_comparison c = eet_compare(&left, &right);

    ck_assert(c.count == 4 && c.finite == 4 && c.changed == 2 && c.max_at == 1);
    check_near(c.max_difference, 4, 0);
    check_near(c.relative_l2, sqrt(20.0 / 26.0), 1e-15);
    check_near(c.cosine, 8 / sqrt(260.0), 1e-15);
}
END_TEST

START_TEST(rounding_to_bf16_costs_what_it_costs)
{
    enum { COUNT = 10000 };
    static float wide[COUNT];
    static uint16_t narrow[COUNT];
    double squares = 0;
    double distance = 0;
    double largest = 0;

    for (int i = 0; i < COUNT; i++) {
        wide[i] = sinf((float)i) / 3;
        narrow[i] = eet_f32_to_bf16(wide[i]);
        const double d = fabs((double)wide[i] - (double)eet_bf16_to_f32(narrow[i]));

        squares += (double)wide[i] * (double)wide[i];
        distance += d * d;
        largest = d > largest ? d : largest;
    }
    const eet_file_tensor a = vector(EET_F32, wide, COUNT);
    const eet_file_tensor b = vector(EET_BF16, narrow, COUNT);
    const eet_comparison c = eet_compare(&a, &b);

    check_near(c.max_difference, largest, 0);
    check_near(c.relative_l2, sqrt(distance / squares), 1e-9);
    ck_assert(c.relative_l2 > 1e-4 && c.relative_l2 < 4e-3 && c.cosine > 0.99999 && c.cosine <= 1);
}
END_TEST

START_TEST(what_is_not_finite_is_counted_and_left_out)
{
    const float a[] = {NAN, NAN, INFINITY, INFINITY, 1, 2};
    const float b[] = {NAN, 1, INFINITY, -INFINITY, 1, NAN};
    const eet_file_tensor left = vector(EET_F32, a, 6);
    const eet_file_tensor right = vector(EET_F32, b, 6);
    const eet_comparison c = eet_compare(&left, &right);

    ck_assert(c.nans[0] == 2 && c.nans[1] == 2 && c.infinities[0] == 2 && c.infinities[1] == 2);
    ck_assert(c.finite == 1 && c.changed == 3);
    ck_assert(c.max_difference == 0 && c.relative_l2 == 0 && c.cosine == 1);
}
END_TEST

START_TEST(zeros_and_extremes_have_answers)
{
    const double zeros[] = {0, -0.0};
    const double ones[] = {1, 1};
    const double huge[] = {1e300, -1e300};
    const double tiny[] = {5e-324, 0};
    const eet_file_tensor zero = vector(EET_F64, zeros, 2);
    const eet_file_tensor one = vector(EET_F64, ones, 2);
    const eet_file_tensor large = vector(EET_F64, huge, 2);
    const eet_file_tensor small = vector(EET_F64, tiny, 2);
    eet_comparison c = eet_compare(&zero, &zero);

    ck_assert(c.relative_l2 == 0 && isnan(c.cosine) && c.changed == 0);
    c = eet_compare(&zero, &one);
    ck_assert(isinf(c.relative_l2) && isnan(c.cosine) && c.changed == 2);
    c = eet_compare(&one, &zero);
    ck_assert(c.relative_l2 == 1 && isnan(c.cosine));
    c = eet_compare(&large, &large);
    ck_assert(c.relative_l2 == 0 && c.cosine == 1);
    c = eet_compare(&large, &one);
    check_near(c.relative_l2, 1, 1e-15);
    check_near(c.cosine, 0, 1e-15);
    c = eet_compare(&small, &zero);
    ck_assert(c.changed == 1 && c.max_difference == 5e-324 && c.relative_l2 == 1);
}
END_TEST

START_TEST(only_equal_shapes_of_readable_numbers_compare)
{
    const uint8_t bytes[64] = {0};
    const eet_file_tensor four = vector(EET_F32, bytes, 4);
    const eet_file_tensor five = vector(EET_F32, bytes, 5);
    const eet_file_tensor half = vector(EET_F16, bytes, 4);
    const eet_file_tensor packed = vector(EET_F8_E4M3, bytes, 4);
    eet_file_tensor row = four;

    row.rank = 2;
    row.dims[0] = 1;
    row.dims[1] = 4;
    ck_assert(eet_comparable(&four, &half) && eet_comparable(&half, &four));
    ck_assert(!eet_comparable(&four, &five) && !eet_comparable(&four, &row));
    ck_assert(!eet_comparable(&four, &packed) && !eet_comparable(&packed, &packed));
}
END_TEST

/* ---- the census ---------------------------------------------------------- */

/* Is the number that these bits are (in this dtype) NaN, infinite, neither? From the
 * definitions: a sign, an exponent of all ones, a fraction. */
static eet_census census_by_fields(uint32_t bits, int exponent_bits, int fraction_bits) {
    const uint32_t ones = (UINT32_C(1) << exponent_bits) - 1;
    const uint32_t fraction = bits & ((UINT32_C(1) << fraction_bits) - 1);
    const bool special = (bits >> fraction_bits & ones) == ones;

    return (eet_census){.nans = special && fraction != 0, .infinities = special && fraction == 0};
}

static const struct {
    int32_t dtype;
    int exponent_bits, fraction_bits;
} small_floats[] = {{EET_F16, 5, 10}, {EET_BF16, 8, 7}, {EET_F8_E5M2, 5, 2}};

START_TEST(the_census_knows_every_number_of_the_small_dtypes)
{
    const int32_t dtype = small_floats[_i].dtype;
    const uint32_t end = UINT32_C(1) << eet_dtype_bits((eet_dtype)dtype);

    for (uint32_t bits = 0; bits < end; bits++) {
        const uint16_t one = (uint16_t)bits; /* little-endian: its first byte is the 8-bit one */
        const eet_file_tensor t = vector(dtype, &one, 1);
        const eet_census census = eet_census_of(&t);
        const eet_census expected =
            census_by_fields(bits, small_floats[_i].exponent_bits, small_floats[_i].fraction_bits);

        ck_assert_msg(census.nans == expected.nans && census.infinities == expected.infinities,
                      "%s 0x%x", eet_dtype_name((eet_dtype)dtype), bits);
        if (eet_element_readable(dtype)) {
            const double value = eet_element_read(&one, dtype, 0);

            ck_assert_msg((isnan(value) != 0) == (expected.nans == 1) &&
                              (isinf(value) != 0) == (expected.infinities == 1),
                          "%s 0x%x reads %g", eet_dtype_name((eet_dtype)dtype), bits, value);
        }
    }
}
END_TEST

START_TEST(the_8_bit_dtypes_without_infinity_have_their_nans)
{
    uint8_t all[256];

    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    const eet_file_tensor e4m3 = vector(EET_F8_E4M3, all, 256);
    const eet_file_tensor e8m0 = vector(EET_F8_E8M0, all, 256);
    const eet_file_tensor last[] = {vector(EET_F8_E4M3, all + 0x7F, 1),
                                    vector(EET_F8_E4M3, all + 0xFF, 1),
                                    vector(EET_F8_E8M0, all + 0xFF, 1)};

    ck_assert(eet_census_of(&e4m3).nans == 2 && eet_census_of(&e4m3).infinities == 0);
    ck_assert(eet_census_of(&e8m0).nans == 1 && eet_census_of(&e8m0).infinities == 0);
    for (int i = 0; i < 3; i++) {
        ck_assert(eet_census_of(&last[i]).nans == 1);
    }
}
END_TEST

START_TEST(the_census_of_wide_dtypes_is_that_of_the_processor)
{
    const float singles[] = {0x1p-149F, -0x1p-126F, 3.4028234e38F, -0.0F, INFINITY, -INFINITY, NAN};
    const double doubles[] = {5e-324, -1.7976931348623157e308, 0, INFINITY, NAN, -NAN};
    const int64_t integers[] = {INT64_MIN, -1, INT64_MAX, 0x7FF0000000000000};
    const eet_file_tensor f32 = vector(EET_F32, singles, 7);
    const eet_file_tensor f64 = vector(EET_F64, doubles, 6);
    const eet_file_tensor i64 = vector(EET_I64, integers, 4);

    ck_assert(eet_census_of(&f32).nans == 1 && eet_census_of(&f32).infinities == 2);
    ck_assert(eet_census_of(&f64).nans == 2 && eet_census_of(&f64).infinities == 1);
    ck_assert(eet_census_of(&i64).nans == 0 && eet_census_of(&i64).infinities == 0);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = distances_are_those_of_the_textbook},
        {.test = rounding_to_bf16_costs_what_it_costs},
        {.test = what_is_not_finite_is_counted_and_left_out},
        {.test = zeros_and_extremes_have_answers},
        {.test = only_equal_shapes_of_readable_numbers_compare},
        {.test = the_census_knows_every_number_of_the_small_dtypes,
         .rows = sizeof small_floats / sizeof small_floats[0]},
        {.test = the_8_bit_dtypes_without_infinity_have_their_nans},
        {.test = the_census_of_wide_dtypes_is_that_of_the_processor},
    };
    return eet_suite_run("compare", claims, sizeof claims / sizeof *claims);
}
