/* test_attention.c - attention on every instruction set against the reference. */
#include <math.h>
#include <string.h>

#include "format/half.h"
#include "tests/kernels/trial_attention.h"
#include "tests/support/suite.h"

#define U 0x1p-24

static const eet_cpu_isa *isas;
static int32_t isa_count;

/* Scores are off by e = (d / 8 + 8) u sum |q||k| scale, weights by as much (relatively),
 * and both the weighted sum and its divisor by n u besides. */
static double bound_of(const attention_case *c, double largest, double scale) {
    const double score = (c->head_dim / 8.0 + 8) * U * c->head_dim * largest * largest * scale;
    const double keys = 200;

    return largest * (2 * score * 2 + (2 * keys + 16) * U);
}

START_TEST(attention_agrees_with_the_reference)
{
    const attention_case *c = &attention_cases[_i % ATTENTION_CASES];
    const double largest = c->kind == LAB_WILD ? 1.25 * 0x1p12 : 1.0;
    const double scale = c->kind == LAB_WILD ? 0x1p-24 : 1.0 / sqrt(c->head_dim);
    eet_backend *backend = lab_open(isas[_i / ATTENTION_CASES].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const eet_attention_args want = attention_args_of(c, scale);
    const int64_t count = (int64_t)want.q_start[c->rows] * c->heads * c->head_dim;
    eet_attention_args got = want;

    got.y = lab_floats(count, LAB_PLAIN);
    ck_assert_int_eq(eet_attention_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.attention(backend, &got), EET_OK);
    for (int64_t i = 0; i < count; ++i) {
        const double apart = fabs(lab_f32(got.y, i) - lab_f32(want.y, i));

        ck_assert_msg(apart <= bound_of(c, largest, scale), "y %d: %.9g against %.9g", (int)i,
                      lab_f32(got.y, i), lab_f32(want.y, i));
    }
    lab_close(backend);
    lab_free();
}
END_TEST

/* Sharp scores: one key takes all, and it may be the first or the last of many blocks. */
START_TEST(large_scores_neither_overflow_nor_vanish)
{
    enum { KEYS = 300, DIM = 8 };
    const int32_t start[] = {0, 1};
    const int32_t length = KEYS;
    const int32_t kv_start = 0;
    const int32_t winner = (_i % 3) * 149;
    eet_backend *backend = lab_open(isas[_i / 3].name, 1);

    if (backend == NULL) {
        return;
    }
    float *k = lab_floats(KEYS * DIM, LAB_PLAIN);
    float *v = lab_floats(KEYS * DIM, LAB_PLAIN);
    float q[DIM];
    float y[DIM];

    for (int32_t i = 0; i < DIM; ++i) {
        q[i] = 1000.0F;
        k[winner * DIM + i] = 5.0F;
    }
    const eet_attention_args a = {
        .q = q,
        .q_stride = DIM,
        .k = k,
        .v = v,
        .kv_stride = DIM,
        .kv_start = &kv_start,
        .rows = 1,
        .q_start = start,
        .kv_length = &length,
        .heads = 1,
        .head_dim = DIM,
        .scale = 1.0F,
        .causal = true,
        .y = y,
    };

    ck_assert_int_eq(backend->ops.attention(backend, &a), EET_OK);
    ck_assert_mem_eq(y, v + winner * DIM, sizeof y);
    lab_close(backend);
    lab_free();
}
END_TEST

/* Keys after a query, and the rest of its page, may hold anything. */
START_TEST(what_a_query_does_not_see_does_not_matter)
{
    enum { QUERIES = 9, KEYS = 70, DIM = 40 };
    const int32_t start[] = {0, QUERIES};
    const int32_t length = KEYS;
    const int32_t table[] = {1, 0};
    eet_backend *backend = lab_open(isas[_i].name, 1);

    if (backend == NULL) {
        return;
    }
    eet_pages pages = lab_pages(2, 1, 1, DIM, EET_F32);
    eet_attention_args a = {
        .q = lab_floats(QUERIES * DIM, LAB_PLAIN),
        .q_stride = DIM,
        .pages = pages,
        .page_table = table,
        .table_stride = 2,
        .rows = 1,
        .q_start = start,
        .kv_length = &length,
        .heads = 1,
        .head_dim = DIM,
        .scale = 0.2F,
        .causal = true,
        .y = lab_block(QUERIES * DIM * 4),
    };
    float before[DIM];

    ck_assert_int_eq(backend->ops.attention(backend, &a), EET_OK);
    memcpy(before, (float *)a.y + 3 * DIM, sizeof before); /* query 3 sees 70 - 5 = 65 keys */
    for (int32_t kv = 0; kv < 2; ++kv) {
        float *rest = (float *)pages.data + eet_page_at(&pages, 0, 0, kv, 0, 1);

        for (int32_t i = 0; i < 63 * pages.dp; ++i) {
            rest[i] = (float)NAN;
        }
    }
    ck_assert_int_eq(backend->ops.attention(backend, &a), EET_OK);
    ck_assert_mem_eq(before, (float *)a.y + 3 * DIM, sizeof before);
    ck_assert(isnan(((float *)a.y)[4 * DIM]));
    lab_close(backend);
    lab_free();
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    if (isa_count == 0) {
        return 77; /* skipped: no op is written for this architecture */
    }
    const eet_claim claims[] = {
        {.test = attention_agrees_with_the_reference, .rows = isa_count * ATTENTION_CASES},
        {.test = large_scores_neither_overflow_nor_vanish, .rows = isa_count * 3},
        {.test = what_a_query_does_not_see_does_not_matter, .rows = isa_count},
    };

    return eet_suite_run("attention", claims, sizeof claims / sizeof claims[0]);
}
