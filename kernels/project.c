/* project.c - a linear layer with its norm before, its activation and its residual
 * after: reference and cost. */
#include <math.h>
#include <stddef.h>

#include "format/half.h"
#include "kernels/reference.h"

double eet_matrix_bytes(const eet_matrix *w) {
    return (double)w->n * w->k * eet_float_bytes(w->dtype);
}

static double activate(int32_t act, double x) {
    switch (act) {
    case EET_ACT_RELU:
        return x < 0.0 ? 0.0 : x;
    case EET_ACT_GELU_ERF:
        return 0.5 * x * erfc(-x / sqrt(2.0));
    case EET_ACT_GELU_TANH:
        /* 0.5 (1 + tanh u) = 1 / (1 + e^-2u), where nothing cancels */
        return x / (1.0 + exp(-2.0 * sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case EET_ACT_SILU:
        return x / (1.0 + exp(-x));
    case EET_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case EET_ACT_TANH:
        return tanh(x);
    case EET_ACT_RELU2:
        return x < 0.0 ? 0.0 : x * x;
    default:
        return x;
    }
}

static double dot(const float *x, const eet_matrix *w, int32_t row) {
    double sum = 0.0;

    for (int32_t i = 0; i < w->k; ++i) {
        sum += (double)x[i] * (double)eet_float_at(w->data, w->dtype, (int64_t)row * w->ld + i);
    }
    return sum;
}

/* Output `at` of a row: to y, or as a key or a value into a page. */
static void put(const eet_project_args *a, int32_t row, int32_t at, float x) {
    const int32_t y_columns = eet_project_y_columns(a);

    if (at < y_columns) {
        ((float *)a->y)[(int64_t)row * y_columns + at] = x;
    } else {
        eet_float_put(a->pages.data, a->pages.dtype, eet_project_place(a, row, at - y_columns), x);
    }
}

/* The prologue, in the scratch; one row at a time needs one row of it. */
static const float *norm_row(const eet_project_args *a, const float *x) {
    const eet_moments moments = eet_moments_of(x, a->w.k, &a->norm);

    for (int32_t i = 0; i < a->w.k; ++i) {
        a->scratch[i] = (float)eet_normed(x[i], i, &a->norm, moments);
    }
    return a->scratch;
}

eet_status eet_project_ref(eet_backend *backend, const eet_project_args *a) {
    (void)backend;
    if (eet_project_check(a) != EET_OK || !eet_all_f32(a->x_dtype, a->y_dtype, a->residual_dtype)) {
        return EET_E_UNSUPPORTED;
    }
    for (int32_t row = 0; row < a->rows; ++row) {
        const float *x = (const float *)a->x + (int64_t)row * a->w.k;
        const float *residual =
            a->residual != NULL ? (const float *)a->residual + (int64_t)row * a->w.n : NULL;
        const eet_moments moments = eet_moments_of(residual, a->w.n, &a->residual_norm);

        if (a->norm.weight != NULL) {
            x = norm_row(a, x);
        }
        for (int32_t j = 0; j < a->w.n; ++j) {
            const double bias = a->bias != NULL ? (double)a->bias[j] : 0.0;
            double y = activate(a->act, dot(x, &a->w, j) + bias);

            if (residual != NULL) {
                y += eet_normed(residual[j], j, &a->residual_norm, moments);
            }
            put(a, row, j, (float)y);
        }
    }
    return EET_OK;
}

eet_cost eet_project_cost(const eet_project_args *a) {
    const double rows = a->rows;
    const double n = a->w.n;
    const double y = eet_project_y_columns(a);
    double bytes = eet_matrix_bytes(&a->w) + 4.0 * rows * a->w.k;

    bytes += 4.0 * rows * y;
    bytes += a->to != EET_TO_Y ? rows * (n - y) * eet_float_bytes(a->pages.dtype) : 0.0;
    bytes += a->bias != NULL ? 4.0 * n : 0.0;
    bytes += a->residual != NULL ? 4.0 * rows * n : 0.0;
    return (eet_cost){.flops = 2.0 * rows * n * a->w.k, .bytes = bytes};
}
