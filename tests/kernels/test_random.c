/* test_random.c - random numbers as published and as docs/sampling.md has them, and draws whose
 * frequencies are those of the distribution. */
#include <math.h>
#include <string.h>

#include "kernels/reference.h"
#include "tests/kernels/scene.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

/* ---- numbers ---------------------------------------------------------------------------- */

/* kat_vectors of Random123 1.14: philox4x32 with 10 rounds. */
static const struct {
    uint32_t counter[4], key[2], result[4];
} published[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(philox_gives_the_published_numbers)
{
    uint32_t x[4];

    memcpy(x, published[_i].counter, sizeof x);
    eet_philox(x, published[_i].key[0], published[_i].key[1]);
    ck_assert_mem_eq(x, published[_i].result, sizeof x);
}
END_TEST

/* From the page: a change of any of these changes what people drew. */
static const struct {
    uint64_t seed, stream;
    int32_t position, id;
    double noise;
} known[] = {
    {0, 0, 0, 0, 0x1.5b6c7ad999345p-4},
    {42, 0, 7, 50256, -0x1.10b785199a241p+0},
    {UINT64_C(0x299f31d0a4093822), UINT64_C(0x85a308d3243f6a88), 0x13198a2e, 0x03707344,
     0x1.9afbd54dbe5dp+0},
};

START_TEST(noise_is_to_the_bit_what_the_page_says)
{
    const double noise =
        eet_noise(known[_i].seed, known[_i].stream, known[_i].position, known[_i].id);

    ck_assert_msg(noise == known[_i].noise, "%a, the page has %a", noise, known[_i].noise);
}
END_TEST

START_TEST(uniforms_are_never_0_or_1_and_noise_is_finite)
{
    ck_assert(eet_uniform(0, 0) == 0x1p-53);
    ck_assert(eet_uniform(UINT32_MAX, UINT32_MAX) == 1 - 0x1p-53);
    ck_assert_double_eq_tol(eet_gumbel(0x1p-53), -log(53 * log(2)), 1e-14);
    ck_assert_double_eq_tol(eet_gumbel(1 - 0x1p-53), 53 * log(2), 1e-13);
}
END_TEST

START_TEST(logarithm_and_weight_are_what_the_library_has)
{
    uint32_t x[4] = {(uint32_t)_i};

    for (int32_t i = 0; i < 100000; ++i) {
        eet_philox(x, 1, 2);
        const double u = ldexp(eet_uniform(x[0], x[1]), -(int)(x[2] % 50));
        const double near_one = 1 - u;
        const double z = -29 * eet_uniform(x[2], x[3]);

        ck_assert_double_le(fabs(eet_ln(u) - log(u)), 4 * 0x1p-53 * fabs(log(u)));
        if (near_one < 1) {
            ck_assert_double_le(fabs(eet_ln(near_one) - log(near_one)),
                                4 * 0x1p-53 * fabs(log(near_one)));
        }
        ck_assert_double_le(fabs((double)eet_weight(z) - ldexp(exp(z), 40)), 0.501);
    }
    ck_assert_uint_eq(eet_weight(0), UINT64_C(1) << 40);
    ck_assert_uint_eq(eet_weight(-29), 0);
    ck_assert_uint_eq(eet_weight(-1e300), 0);
    ck_assert_uint_eq(eet_weight(-INFINITY), 0);
}
END_TEST

/* ---- statistics ------------------------------------------------------------------------- */

/* Sum of (drawn - expected)^2 / expected. */
static double chi_square(const int32_t *drawn, const double *expected, int32_t count) {
    double sum = 0;

    for (int32_t i = 0; i < count; ++i) {
        sum += expected[i] > 0 ? (drawn[i] - expected[i]) * (drawn[i] - expected[i]) / expected[i]
                               : (drawn[i] > 0 ? INFINITY : 0);
    }
    return sum;
}

enum { FEW = 20, DRAWS = 100000, AT_ONCE = 1000 };

/* What part of the draws each id should get. */
static void expect_parts(const float *logits, const eet_sampler *how, double *part) {
    double total = 0;
    double kept = 0;
    int32_t order[FEW];

    eet_sample_sort(logits, FEW, order);
    for (int32_t i = 0; i < FEW; ++i) {
        const bool in = how->top_k == 0 || i < how->top_k;

        part[order[i]] = in ? exp((double)logits[order[i]] / how->temperature) : 0;
        total += part[order[i]];
    }
    for (int32_t i = 0; i < FEW; ++i) {
        const bool in = how->top_p == 0 || kept < how->top_p * total;

        kept += part[order[i]];
        part[order[i]] = in ? part[order[i]] : 0;
    }
    total = 0;
    for (int32_t i = 0; i < FEW; ++i) {
        total += part[i];
    }
    for (int32_t i = 0; i < FEW; ++i) {
        part[i] *= DRAWS / total;
    }
}

static const eet_sampler fair[] = {
    {.seed = 1, .temperature = 1},
    {.seed = 2, .temperature = 2},
    {.seed = 3, .temperature = 0.5},
    {.seed = 4, .temperature = 1, .top_k = 7},
    {.seed = 5, .temperature = 1.3, .top_p = 0.8},
    {.seed = 6, .temperature = 1.3, .top_k = 12, .top_p = 0.9},
};
enum { FAIR = sizeof fair / sizeof *fair };

/* Over positions, streams and seeds (_i / FAIR) alike. 19 degrees of freedom: a fair draw is
 * beyond 57 once in 100,000 times, and these seeds stay as they are. */
START_TEST(frequencies_are_those_of_the_softmax)
{
    const int32_t over = _i / FAIR;
    scene s = make_scene(AT_ONCE, FEW, PLAIN, &fair[_i % FAIR]);
    eet_backend *backend = lab_open(isa_count > 0 ? isas[0].name : "ref", 1);
    int32_t drawn[FEW] = {0};
    double expected[FEW];
    float logits[FEW];

    for (int32_t i = 0; i < FEW; ++i) {
        logits[i] = (float)(i * 7 % FEW) / 5.0F;
    }
    for (int32_t r = 0; r < AT_ONCE; ++r) {
        memcpy(s.logits + r * FEW, logits, sizeof logits);
    }
    ck_assert_ptr_nonnull(backend);
    for (int32_t first = 0; first < DRAWS; first += AT_ONCE) {
        for (int32_t r = 0; r < AT_ONCE; ++r) {
            s.sampler[r].position = over == 0 ? first + r : 5;
            s.sampler[r].stream = over == 1 ? (uint64_t)(first + r) << 20 : 9;
            s.sampler[r].seed = over == 2 ? (uint64_t)(first + r) : fair[_i % FAIR].seed;
        }
        ck_assert_int_eq(backend->ops.sample(backend, &s.args), EET_OK);
        for (int32_t r = 0; r < AT_ONCE; ++r) {
            drawn[s.args.token[r]] += 1;
        }
    }
    expect_parts(logits, &fair[_i % FAIR], expected);
    const double sum = chi_square(drawn, expected, FEW);

    ck_assert_msg(sum < 57, "chi-square %.1f with at most 19 degrees of freedom", sum);
    lab_close(backend);
    lab_free();
}
END_TEST

/* Pairs of neighbours, of three ids alike: 8 degrees of freedom, 40 once in 300,000 times. */
START_TEST(draws_at_neighbouring_positions_are_independent)
{
    int32_t pairs[9] = {0};
    double expected[9];
    float logits[3] = {0};
    int32_t token = 0;
    int32_t before = 0;
    eet_sampler how = {.seed = 99, .temperature = 1};
    float scratch[6];
    const eet_sample_args a = {.logits = logits,
                               .stride = 3,
                               .rows = 1,
                               .vocab = 3,
                               .sampler = &how,
                               .token = &token,
                               .scratch = scratch};

    for (how.position = 0; how.position <= 90000; ++how.position) {
        ck_assert_int_eq(eet_sample_ref(NULL, &a), EET_OK);
        pairs[before * 3 + token] += how.position > 0 ? 1 : 0;
        before = token;
    }
    for (int32_t i = 0; i < 9; ++i) {
        expected[i] = 10000;
    }
    ck_assert_double_lt(chi_square(pairs, expected, 9), 40);
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = philox_gives_the_published_numbers, .rows = 3},
        {.test = noise_is_to_the_bit_what_the_page_says, .rows = 3},
        {.test = uniforms_are_never_0_or_1_and_noise_is_finite},
        {.test = logarithm_and_weight_are_what_the_library_has, .rows = 2},
        {.test = frequencies_are_those_of_the_softmax, .rows = 3 * FAIR},
        {.test = draws_at_neighbouring_positions_are_independent},
    };

    return eet_suite_run("random", claims, sizeof claims / sizeof claims[0]);
}
