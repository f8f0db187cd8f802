/* test_project.c - project on every instruction set against the reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "kernels/reference.h"
#include "tests/kernels/trial_project.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

START_TEST(project_agrees_with_the_reference)
{
    const project_case *c = &project_cases[_i % PROJECT_CASES];
    eet_backend *backend = lab_open(isas[_i / PROJECT_CASES].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const trial t = trial_of(c);

    ck_assert_int_eq(eet_project_ref(NULL, &t.args[0]), EET_OK);
    ck_assert_int_eq(backend->ops.project(backend, &t.args[1]), EET_OK);
    compare(&t, c);
    const int64_t outputs = (int64_t)c->rows * columns_of(c) - t.y_count;

    ck_assert_int_ge(untouched(&t, c), c->to != EET_TO_Y ? t.page_count - outputs : 0);
    lab_close(backend);
    lab_free();
}
END_TEST

/* How many units an activation may be off at x, relatively: eight or so, and what rounding the
 * exponent of e^.. costs (a unit of it is a unit of the result for each whole in it). */
static double units_at(int32_t act, double x) {
    switch (act) {
    case EET_ACT_GELU_ERF:
        return 12;
    case EET_ACT_GELU_TANH:
        return 8 + 4 * fabs(1.6 * x + 0.0714 * x * x * x);
    case EET_ACT_SILU:
    case EET_ACT_QUICK_GELU:
        return 8 + 4 * fabs(1.702 * x);
    default:
        return 8;
    }
}

/* A sum of one product, 1 * w, is exact: all that can be wrong is the activation. */
START_TEST(activations_are_right_to_their_last_digits)
{
    enum { COUNT = 6001 };
    const int32_t act = _i % 8;
    const float one = 1.0F;
    eet_backend *backend = lab_open(isas[_i / 8].name, 1);

    if (backend == NULL) {
        return;
    }
    float *w = lab_block(COUNT * 4);

    for (int32_t i = 0; i < COUNT; ++i) {
        const double x = (i - COUNT / 2) * 0.004; /* -12 .. 12, with 0 */

        w[i] = (float)(i % 3 == 0 ? x * 0x1p-12 : x);
    }
    eet_project_args want = {.x = &one,
                             .w = {.data = w, .n = COUNT, .k = 1, .ld = 1, .dtype = EET_F32},
                             .act = act,
                             .rows = 1,
                             .y = lab_block(COUNT * 4)};
    eet_project_args got = want;

    got.y = lab_block(COUNT * 4);
    ck_assert_int_eq(eet_project_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.project(backend, &got), EET_OK);
    for (int32_t i = 0; i < COUNT; ++i) {
        const double y = lab_f32(want.y, i);

        expect_near(lab_f32(got.y, i), y, units_at(act, (double)w[i]) * U * fabs(y) + 0x1p-118, "w",
                    i);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(score_agrees_with_the_reference)
{
    const bool normed = (_i & 1) != 0;
    const bool indexed = (_i & 2) != 0;
    const int32_t dtype = EET_F32 + _i / 4 % 3;
    eet_backend *backend = lab_open(isas[_i / 12].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    eet_score_args a = {
        .x = lab_floats(20 * 50, LAB_PLAIN),
        .index = indexed ? lab_ints(9, 20) : NULL,
        .norm = normed ? lab_norm(50, true) : (eet_norm_weights){0},
        .w = lab_matrix(131, 50, 2, dtype, LAB_PLAIN),
        .rows = 9,
        .logits = lab_floats(9 * 131, LAB_PLAIN),
        .scratch = lab_block(eet_project_scratch(9, 50) * 4),
    };
    eet_score_args other = a;

    other.logits = lab_floats(9 * 131, LAB_PLAIN);
    ck_assert_int_eq(eet_score_ref(NULL, &a), EET_OK);
    ck_assert_int_eq(backend->ops.score(backend, &other), EET_OK);
    for (int32_t i = 0; i < 9 * 131; ++i) { /* 50 terms, each at most 8 */
        expect_near((double)other.logits[i], (double)a.logits[i], 40 * U * 400, "logit", i);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(a_dtype_without_code_is_refused)
{
    eet_backend *backend = lab_open(isas[_i].name, 1);

    if (backend == NULL) {
        return;
    }
    float number = 1.0F;
    eet_project_args a = {.w = {.data = &number, .n = 1, .k = 1, .ld = 1, .dtype = EET_I8}};

    ck_assert_int_eq(backend->ops.project(backend, &a), EET_E_UNSUPPORTED);
    a.w.dtype = EET_F32;
    a.w.flags = 1; /* a quantised weight of later */
    ck_assert_int_eq(backend->ops.project(backend, &a), EET_E_UNSUPPORTED);
    lab_close(backend);
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    if (isa_count == 0) {
        return 77; /* skipped: no op is written for this architecture */
    }
    const eet_claim claims[] = {
        {.test = project_agrees_with_the_reference, .rows = isa_count * PROJECT_CASES},
        {.test = activations_are_right_to_their_last_digits, .rows = isa_count * 8},
        {.test = score_agrees_with_the_reference, .rows = isa_count * 12},
        {.test = a_dtype_without_code_is_refused, .rows = isa_count},
    };

    return eet_suite_run("project", claims, sizeof claims / sizeof claims[0]);
}
