/* test_logprob.c - log-probabilities of given ids and of the likeliest. */
#include <math.h>

#include "kernels/reference.h"
#include "tests/kernels/scene.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

enum { ROWS = 9 };

/* 0, 1, some, and all of the vocabulary. */
START_TEST(logprob_agrees_with_the_reference)
{
    static const int32_t sizes[] = {1, 2, 40, 1003};
    const int32_t vocab = sizes[_i % 4];
    const looks look = (looks)(_i / 4);
    const int32_t tops[] = {0, 1, vocab < 20 ? vocab : 20, vocab};
    scene s = make_scene(ROWS, vocab, look, &(eet_sampler){0});

    for (int32_t t = 0; t < 4; ++t) {
        eet_logprob_args want = {
            .logits = s.logits,
            .stride = vocab,
            .rows = ROWS,
            .vocab = vocab,
            .target = t == 1 ? NULL : lab_ints(ROWS, vocab),
            .log_prob = lab_block(ROWS * 4),
            .top = tops[t],
            .top_token = lab_block((int64_t)ROWS * tops[t] * 4),
            .top_log_prob = lab_block((int64_t)ROWS * tops[t] * 4),
        };

        ck_assert_int_eq(eet_logprob_ref(NULL, &want), EET_OK);
        for (int32_t i = 0; i < isa_count; ++i) {
            eet_backend *backend = lab_open(isas[i].name, 2);
            eet_logprob_args got = want;

            if (backend == NULL) {
                continue;
            }
            got.log_prob = lab_block(ROWS * 4);
            got.top_token = lab_block((int64_t)ROWS * tops[t] * 4);
            got.top_log_prob = lab_block((int64_t)ROWS * tops[t] * 4);
            ck_assert_int_eq(backend->ops.logprob(backend, &got), EET_OK);
            ck_assert_mem_eq(got.top_token, want.top_token, (size_t)ROWS * (size_t)tops[t] * 4);
            for (int32_t r = 0; r < ROWS * tops[t]; ++r) {
                const double a = (double)got.top_log_prob[r];
                const double b = (double)want.top_log_prob[r];

                ck_assert(a == b || (isnan(a) && isnan(b)) ||
                          fabs(a - b) <= 0x1p-18 + 0x1p-22 * fabs(b));
            }
            for (int32_t r = 0; r < ROWS && want.target != NULL; ++r) {
                const double a = (double)got.log_prob[r];
                const double b = (double)want.log_prob[r];

                ck_assert(a == b || (isnan(a) && isnan(b)) ||
                          fabs(a - b) <= 0x1p-18 + 0x1p-22 * fabs(b));
            }
            lab_close(backend);
        }
    }
    lab_free();
}
END_TEST

START_TEST(the_likeliest_come_in_order_and_the_lowest_id_first)
{
    const float logits[] = {1, 3, NAN, 3, 2, -INFINITY, 3};
    const int32_t target[] = {4};
    int32_t token[7];
    float log_prob[7];
    float own = 0;
    const eet_logprob_args a = {.logits = logits,
                                .stride = 7,
                                .rows = 1,
                                .vocab = 7,
                                .target = target,
                                .log_prob = &own,
                                .top = 7,
                                .top_token = token,
                                .top_log_prob = log_prob};
    static const int32_t order[] = {1, 3, 6, 4, 0, 2, 5};

    ck_assert_int_eq(eet_logprob_ref(NULL, &a), EET_OK);
    ck_assert_mem_eq(token, order, sizeof order);
    ck_assert(isnan(own) && isnan(log_prob[0])); /* a NaN is in the sum */
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = logprob_agrees_with_the_reference, .rows = 4 * LOOKS},
        {.test = the_likeliest_come_in_order_and_the_lowest_id_first},
    };

    return eet_suite_run("logprob", claims, sizeof claims / sizeof claims[0]);
}
