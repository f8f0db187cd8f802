/* test_half.c - f16 and bf16: every number, every rounding, against arithmetic in double. */
#include <math.h>

#include "format/half.h"
#include "tests/support/suite.h"

/* What the bits of an f16 mean, from its definition. */
static double meaning(uint16_t x) {
    const int32_t exponent = (x >> 10) & 31;
    const double fraction = x & 1023;
    const double sign = (x & 0x8000) != 0 ? -1.0 : 1.0;

    if (exponent == 31) {
        return fraction != 0 ? NAN : sign * INFINITY;
    }
    return sign * (exponent == 0 ? fraction * 0x1p-24 : ldexp(1024 + fraction, exponent - 25));
}

START_TEST(every_f16_means_what_its_bits_say)
{
    for (uint32_t x = 0; x < 65536; ++x) {
        const float y = eet_f16_to_f32((uint16_t)x);
        const double want = meaning((uint16_t)x);

        ck_assert_msg(isnan(want) ? isnan(y) : (double)y == want, "f16 %04x", x);
        ck_assert_int_eq(signbit(y) != 0, (int)(x >> 15));
    }
}
END_TEST

START_TEST(every_f16_and_bf16_survives_a_round_trip)
{
    for (uint32_t x = 0; x < 65536; ++x) {
        const float f16 = eet_f16_to_f32((uint16_t)x);
        const float bf16 = eet_bf16_to_f32((uint16_t)x);
        const uint32_t quiet16 = isnan(f16) ? 0x0200 : 0;
        const uint32_t quiet_b = isnan(bf16) ? 0x0040 : 0;

        ck_assert_uint_eq(eet_f32_to_f16(f16), x | quiet16);
        ck_assert_uint_eq(eet_f32_to_bf16(bf16), x | quiet_b);
    }
}
END_TEST

/* Between neighbours the nearer one wins; in the middle the even one. */
START_TEST(numbers_between_two_f16_go_to_the_nearer_or_the_even)
{
    for (uint32_t x = 0; x < 0x7BFF; ++x) {
        const double low = meaning((uint16_t)x);
        const double high = meaning((uint16_t)(x + 1));
        const float middle = (float)((low + high) / 2); /* exact */
        const uint32_t even = (x & 1) == 0 ? x : x + 1;

        ck_assert_uint_eq(eet_f32_to_f16(middle), even);
        ck_assert_uint_eq(eet_f32_to_f16(nextafterf(middle, 0.0F)), x);
        ck_assert_uint_eq(eet_f32_to_f16(nextafterf(middle, 1e9F)), x + 1);
        ck_assert_uint_eq(eet_f32_to_f16(-middle), even | 0x8000);
    }
}
END_TEST

START_TEST(numbers_between_two_bf16_go_to_the_nearer_or_the_even)
{
    for (uint32_t x = 0; x < 0x7F80; ++x) { /* the last one rounds to infinity */
        const uint32_t even = (x & 1) == 0 ? x : x + 1;
        const float middle = eet_float_of((x << 16) | 0x8000);

        ck_assert_uint_eq(eet_f32_to_bf16(middle), even);
        ck_assert_uint_eq(eet_f32_to_bf16(eet_float_of(eet_bits_of(middle) - 1)), x);
        ck_assert_uint_eq(eet_f32_to_bf16(eet_float_of(eet_bits_of(middle) + 1)), x + 1);
    }
}
END_TEST

START_TEST(what_is_too_large_becomes_infinite)
{
    ck_assert_uint_eq(eet_f32_to_f16(65504.0F), 0x7BFF);
    ck_assert_uint_eq(eet_f32_to_f16(65519.996F), 0x7BFF);
    ck_assert_uint_eq(eet_f32_to_f16(65520.0F), 0x7C00);
    ck_assert_uint_eq(eet_f32_to_f16(-1e30F), 0xFC00);
    ck_assert_uint_eq(eet_f32_to_f16(INFINITY), 0x7C00);
    ck_assert_uint_eq(eet_f32_to_f16(0x1p-25F), 0); /* half of the smallest: to even */
    ck_assert_uint_eq(eet_f32_to_f16(0x1.8p-25F), 1);
    ck_assert(isnan(eet_f16_to_f32(eet_f32_to_f16(NAN))));
    ck_assert(isnan(eet_bf16_to_f32(eet_f32_to_bf16(eet_float_of(0x7F800001)))));
}
END_TEST

/* f64 goes through one f32 without being rounded twice: 1 + 2^-11 is the middle between
 * two f16, and what is above it by less than an f32 can say still goes up. */
START_TEST(a_double_is_rounded_once)
{
    const double middle = 1.0 + 0x1p-11;

    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(middle)), 0x3C00);
    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(middle + 0x1p-40)), 0x3C01);
    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(-middle - 0x1p-40)), 0xBC01);
    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(middle - 0x1p-40)), 0x3C00);
    ck_assert_uint_eq(eet_f32_to_bf16(eet_f64_to_odd_f32(1.0 + 0x1p-8 + 0x1p-50)), 0x3F81);
    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(1e300)), 0x7C00);
    ck_assert_uint_eq(eet_f32_to_f16(eet_f64_to_odd_f32(-1e-300)), 0x8000);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = every_f16_means_what_its_bits_say},
        {.test = every_f16_and_bf16_survives_a_round_trip},
        {.test = numbers_between_two_f16_go_to_the_nearer_or_the_even},
        {.test = numbers_between_two_bf16_go_to_the_nearer_or_the_even},
        {.test = what_is_too_large_becomes_infinite},
        {.test = a_double_is_rounded_once},
    };

    return eet_suite_run("half", claims, sizeof claims / sizeof claims[0]);
}
