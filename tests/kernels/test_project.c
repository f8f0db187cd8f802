/* test_project.c - project on every instruction set against the reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "kernels/reference.h"
#include "tests/kernels/cases.h"
#include "tests/support/suite.h"

#define U 0x1p-24

static const eet_cpu_isa *isas;
static int32_t isa_count;

/* The operands of a case, with outputs apart for the reference and the tested op. */
typedef struct trial {
    eet_project_args args[2];
    const float *residual; /* as it was: an aliased one is overwritten */
    int64_t y_count, page_count;
} trial;

static int64_t *slots_of(int32_t rows) {
    int64_t *slot = lab_block(rows * (int64_t)sizeof *slot);

    for (int32_t r = 0; r < rows; ++r) { /* across a page's border, pages not in order */
        const int32_t token = 30 + r;

        slot[r] =
            (int64_t)(2 - token / EET_PAGE_TOKENS) * EET_PAGE_TOKENS + token % EET_PAGE_TOKENS;
    }
    return slot;
}

static int32_t columns_of(const project_case *c) {
    if (c->to == EET_TO_Y) {
        return c->n;
    }
    return (c->to == EET_TO_PAGES ? 2 : 3) * c->heads * c->head_dim;
}

static void *copy_of(const void *from, int64_t bytes) {
    return memcpy(lab_block(bytes), from, (size_t)bytes);
}

static trial trial_of(const project_case *c) {
    const int32_t n = columns_of(c);
    const bool normed = c->residual == NORMED;
    trial t = {0};
    eet_project_args a = {
        .x = lab_floats((int64_t)c->rows * c->k, c->kind),
        .norm =
            c->norm != NO_NORM ? lab_norm(c->k, c->norm == NORM_AND_BIAS) : (eet_norm_weights){0},
        .w = lab_matrix(n, c->k, c->extra, c->dtype, c->kind == LAB_WILD ? LAB_WILD : LAB_PLAIN),
        .bias = c->bias ? lab_floats(n, c->kind) : NULL,
        .act = c->act,
        .residual_norm = normed ? lab_norm(n, true) : (eet_norm_weights){0},
        .rows = c->rows,
        .to = c->to,
        .layer = 1,
        .slot = slots_of(c->rows),
    };

    t.y_count = (int64_t)c->rows * eet_project_y_columns(&a);
    t.residual = c->residual != NO_RESIDUAL
                     ? lab_floats((int64_t)c->rows * n,
                                  c->residual_kind != LAB_PLAIN ? c->residual_kind : c->kind)
                     : NULL;
    a.residual = t.residual;
    if (c->to != EET_TO_Y) {
        a.pages = lab_pages(3, 2, c->heads, c->head_dim, c->page_dtype);
        t.page_count = eet_page_at(&a.pages, 2, 0, 0, 0, 0);
    }
    for (int32_t i = 0; i < 2; ++i) {
        t.args[i] = a;
        t.args[i].y = lab_block(t.y_count * 4);
        t.args[i].scratch = lab_block(eet_project_scratch(c->rows, c->k) * 4);
        if (c->residual == ALIASED) {
            t.args[i].residual = t.args[i].y = copy_of(a.residual, t.y_count * 4);
        }
        if (c->to != EET_TO_Y) {
            t.args[i].pages.data =
                copy_of(a.pages.data, t.page_count * eet_float_bytes(c->page_dtype));
        }
    }
    return t;
}

/* An upper bound for a normed number and for what went into it. */
static double size_of_normed(const float *x, int32_t j, const eet_norm_weights *norm,
                             eet_moments moments) {
    const double bias = norm->bias != NULL ? fabs((double)norm->bias[j]) : 0.0;

    return fabs(eet_normed(x[j], j, norm, moments)) + bias * (norm->weight != NULL);
}

/* The bound for output j of a row (cases.h). */
static double bound_of(const trial *t, const project_case *c, int32_t row, int32_t j) {
    const eet_project_args *a = &t->args[0];
    const float *x = a->x + (int64_t)row * c->k;
    const eet_moments moments = eet_moments_of(x, c->k, &a->norm);
    const double steps = (c->k < 1024 ? c->k : 1024) / 8.0 + c->k / 1024.0 + 12;
    double sum = a->bias != NULL ? fabs((double)a->bias[j]) : 0.0;

    for (int32_t i = 0; i < c->k; ++i) {
        const double w = eet_float_at(a->w.data, a->w.dtype, (int64_t)j * a->w.ld + i);

        sum += size_of_normed(x, i, &a->norm, moments) * fabs(w);
    }
    double bound = (steps + 8 + (c->norm != NO_NORM ? 16 : 0)) * U * sum;

    bound *= c->act == EET_ACT_RELU2 ? 2 * sum : 1.2; /* the steepest slope */
    if (t->residual != NULL) {
        const float *residual = t->residual + (int64_t)row * a->w.n;
        const eet_moments m = eet_moments_of(residual, a->w.n, &a->residual_norm);

        bound += 17 * U * size_of_normed(residual, j, &a->residual_norm, m);
    }
    return bound + 0x1p-126; /* results below that may become 0 */
}

static double unit_of(int32_t dtype, double y) {
    if (dtype == EET_F32) {
        return 0.0;
    }
    return dtype == EET_F16 ? fabs(y) * 0x1p-10 + 0x1p-24 : fabs(y) * 0x1p-7;
}

static void expect_near(double got, double want, double bound, const char *what, int32_t at) {
    ck_assert_msg(fabs(got - want) <= bound || got == want,
                  "%s %d: %.9g, the reference has %.9g, the bound is %.3g", what, at, got, want,
                  bound);
}

static void compare(const trial *t, const project_case *c) {
    const eet_project_args *a = t->args;
    const int32_t n = a->w.n;
    const int32_t y_columns = eet_project_y_columns(a);
    const int32_t hidden = c->heads * c->head_dim;

    for (int32_t row = 0; row < c->rows; ++row) {
        for (int32_t j = 0; j < n; ++j) {
            const double bound = bound_of(t, c, row, j);
            const int64_t at = (int64_t)row * y_columns + j;

            if (j < y_columns) {
                expect_near((double)a[1].y[at], (double)a[0].y[at], bound, "y", row * n + j);
                continue;
            }
            const int32_t head = (j - y_columns) % hidden / c->head_dim;
            const int64_t place =
                (j - y_columns) % c->head_dim +
                eet_page_at(&a->pages, 1, (int32_t)(a->slot[row] / EET_PAGE_TOKENS),
                            (j - y_columns) / hidden, head,
                            (int32_t)(a->slot[row] % EET_PAGE_TOKENS));
            const double want = eet_float_at(a[0].pages.data, c->page_dtype, place);

            expect_near(eet_float_at(a[1].pages.data, c->page_dtype, place), want,
                        bound + unit_of(c->page_dtype, want), "page", row * n + j);
        }
    }
}

/* What neither wrote is as it was: elements where the two differ are outputs. */
static int64_t untouched(const trial *t, const project_case *c) {
    const int32_t bytes = eet_float_bytes(c->page_dtype);
    const char *one = t->args[0].pages.data;
    const char *other = t->args[1].pages.data;
    int64_t same = 0;

    for (int64_t i = 0; i < t->page_count; ++i) {
        same += memcmp(one + i * bytes, other + i * bytes, (size_t)bytes) == 0;
    }
    return same;
}

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
        const double y = (double)want.y[i];

        expect_near((double)got.y[i], y, units_at(act, (double)w[i]) * U * fabs(y) + 0x1p-118, "w",
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
