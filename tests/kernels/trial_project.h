/* trial_project.h - a case of project with its operands, and how far an output may be off. */
#ifndef EET_TESTS_KERNELS_TRIAL_PROJECT_H
#define EET_TESTS_KERNELS_TRIAL_PROJECT_H

#include <check.h>
#include <math.h>
#include <string.h>

#include "format/half.h"
#include "kernels/reference.h"
#include "tests/kernels/cases.h"

#define U 0x1p-24

/* The operands of a case, with outputs apart for the reference and the tested op. */
typedef struct trial {
    eet_project_args args[2];
    const float *residual; /* as it was: an aliased one is overwritten */
    int64_t y_count, page_count;
    double steps; /* roundings of a sum, at most (cases.h) */
    /* Of an op that rounds: x relatively, before the product, and y to a dtype (0 = f32). */
    double rounding;
    int32_t y_dtype;
} trial;

static inline int64_t *slots_of(int32_t rows) {
    int64_t *slot = lab_block(rows * (int64_t)sizeof *slot);

    for (int32_t r = 0; r < rows; ++r) { /* across a page's border, pages not in order */
        const int32_t token = 30 + r;

        slot[r] =
            (int64_t)(2 - token / EET_PAGE_TOKENS) * EET_PAGE_TOKENS + token % EET_PAGE_TOKENS;
    }
    return slot;
}

static inline int32_t columns_of(const project_case *c) {
    if (c->to == EET_TO_Y) {
        return c->n;
    }
    return (c->to == EET_TO_PAGES ? 2 : 3) * c->heads * c->head_dim;
}

static inline void *copy_of(const void *from, int64_t bytes) {
    return memcpy(lab_block(bytes), from, (size_t)bytes);
}

static inline trial trial_of(const project_case *c) {
    const int32_t n = columns_of(c);
    const bool normed = c->residual == NORMED;
    trial t = {.steps = (c->k < 1024 ? c->k : 1024) / 8.0 + c->k / 1024.0 + 12};
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
static inline double size_of_normed(const float *x, int32_t j, const eet_norm_weights *norm,
                                    eet_moments moments) {
    const double bias = norm->bias != NULL ? fabs((double)norm->bias[j]) : 0.0;

    return fabs(eet_normed(x[j], j, norm, moments)) + bias * (norm->weight != NULL);
}

/* The bound for output j of a row (cases.h). */
static inline double bound_of(const trial *t, const project_case *c, int32_t row, int32_t j) {
    const eet_project_args *a = &t->args[0];
    const float *x = (float *)a->x + (int64_t)row * c->k;
    const eet_moments moments = eet_moments_of(x, c->k, &a->norm);
    double sum = a->bias != NULL ? fabs((double)a->bias[j]) : 0.0;

    for (int32_t i = 0; i < c->k; ++i) {
        const double w = eet_float_at(a->w.data, a->w.dtype, (int64_t)j * a->w.ld + i);

        sum += size_of_normed(x, i, &a->norm, moments) * fabs(w);
    }
    double bound = (t->steps + 8 + (c->norm != NO_NORM ? 16 : 0)) * U * sum + t->rounding * sum;

    bound *= c->act == EET_ACT_RELU2 ? 2 * sum : 1.2; /* the steepest slope */
    if (t->residual != NULL) {
        const float *residual = t->residual + (int64_t)row * a->w.n;
        const eet_moments m = eet_moments_of(residual, a->w.n, &a->residual_norm);

        bound += 17 * U * size_of_normed(residual, j, &a->residual_norm, m);
    }
    return bound + 0x1p-126; /* results below that may become 0 */
}

static inline double unit_of(int32_t dtype, double y) {
    if (dtype == 0 || dtype == EET_F32) {
        return 0.0;
    }
    return dtype == EET_F16 ? fabs(y) * 0x1p-10 + 0x1p-24 : fabs(y) * 0x1p-7;
}

static inline void expect_near(double got, double want, double bound, const char *what,
                               int32_t at) {
    ck_assert_msg(fabs(got - want) <= bound || got == want,
                  "%s %d: %.9g, the reference has %.9g, the bound is %.3g", what, at, got, want,
                  bound);
}

static inline void compare(const trial *t, const project_case *c) {
    const eet_project_args *a = t->args;
    const int32_t n = a->w.n;
    const int32_t y_columns = eet_project_y_columns(a);
    const int32_t hidden = c->heads * c->head_dim;

    for (int32_t row = 0; row < c->rows; ++row) {
        for (int32_t j = 0; j < n; ++j) {
            const double bound = bound_of(t, c, row, j);
            const int64_t at = (int64_t)row * y_columns + j;

            if (j < y_columns) {
                const double y = lab_f32(a[0].y, at);

                expect_near((double)eet_float_at(a[1].y, t->y_dtype, at), y,
                            bound + unit_of(t->y_dtype, y), "y", row * n + j);
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
static inline int64_t untouched(const trial *t, const project_case *c) {
    const int32_t bytes = eet_float_bytes(c->page_dtype);
    const char *one = t->args[0].pages.data;
    const char *other = t->args[1].pages.data;
    int64_t same = 0;

    for (int64_t i = 0; i < t->page_count; ++i) {
        same += memcmp(one + i * bytes, other + i * bytes, (size_t)bytes) == 0;
    }
    return same;
}

#endif
