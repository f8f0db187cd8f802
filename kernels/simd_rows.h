/* simd_rows.h - the ops that go over rows: norm, embed, pool, and project's prologue. */
#ifndef EET_KERNELS_SIMD_ROWS_H
#define EET_KERNELS_SIMD_ROWS_H

#include <math.h>
#include <stddef.h>

#include "kernels/reference.h"
#include "kernels/simd_math.h"
#include "kernels/simd_work.h"

enum { ROWS_AT_ONCE = 8, POOL_TOKENS = 64 };

/* (x - mean - rest) scale: the mean in two parts, because one float does not hold it. */
typedef struct moments {
    float mean, rest, scale;
} moments;

static inline moments moments_of(const float *x, int32_t cols, double eps) {
    vec sum = vec_zero();
    vec rest = vec_zero();
    vec square = vec_zero();

    for (int32_t j = 0; j < cols; j += LANES) {
        sum = vec_add(sum, vec_load_some(x + j, lanes_at(j, cols)));
    }
    const float mean = vec_sum(sum) / (float)cols;

    for (int32_t j = 0; j < cols; j += LANES) {
        const int32_t some = lanes_at(j, cols);
        const vec apart = vec_first(vec_sub(vec_load_some(x + j, some), vec_all(mean)), some);

        rest = vec_add(rest, apart);
        square = vec_fma(apart, apart, square);
    }
    const double more = (double)vec_sum(rest) / cols;
    const double variance = fmax((double)vec_sum(square) / cols - more * more, 0.0);

    return (moments){
        .mean = mean,
        .rest = (float)more,
        .scale = (float)(1.0 / sqrt(variance + eps)),
    };
}

/* Columns j and on of the norm of a row whose x are there. */
static inline vec normed(vec x, int32_t j, int32_t some, const eet_norm_weights *norm, moments m) {
    const vec apart = vec_sub(vec_sub(x, vec_all(m.mean)), vec_all(m.rest));
    const vec scaled = vec_mul(apart, vec_all(m.scale));
    const vec weight = vec_load_some(norm->weight + j, some);

    if (norm->bias == NULL) {
        return vec_mul(scaled, weight);
    }
    return vec_fma(scaled, weight, vec_load_some(norm->bias + j, some));
}

static inline void norm_row(const float *x, int32_t cols, const eet_norm_weights *norm, float *y) {
    const moments m =
        norm->weight != NULL ? moments_of(x, cols, norm->eps) : (moments){.scale = 1.0F};

    for (int32_t j = 0; j < cols; j += LANES) {
        const int32_t some = lanes_at(j, cols);
        const vec row = vec_load_some(x + j, some);

        vec_store_some(y + j, norm->weight != NULL ? normed(row, j, some, norm, m) : row, some);
    }
}

typedef struct rows_work {
    pieces pieces; /* of `at_once` rows */
    const void *args;
    void (*row)(const void *args, int64_t row);
    int64_t rows, at_once;
} rows_work;

static inline void rows_task(void *context, int32_t part, int32_t parts) {
    rows_work *work = context;

    (void)part;
    (void)parts;
    for (int64_t piece = 0; take_piece(&work->pieces, &piece);) {
        const int64_t first = piece * work->at_once;

        for (int64_t row = first; row < work->rows && row < first + work->at_once; ++row) {
            work->row(work->args, row);
        }
    }
}

static inline void for_rows(eet_backend *backend, int64_t rows, double cols,
                            void (*row)(const void *, int64_t), const void *args) {
    const int64_t at_once = cols < WORTH_SHARING ? ROWS_AT_ONCE : 1;
    rows_work work = {
        .pieces = {.count = (rows + at_once - 1) / at_once},
        .args = args,
        .row = row,
        .rows = rows,
        .at_once = at_once,
    };

    run_task(backend, (double)rows * cols, rows_task, &work);
}

static inline void norm_one(const void *args, int64_t row) {
    const eet_norm_args *a = args;
    const int64_t from = a->index != NULL ? a->index[row] : row;

    norm_row((const float *)a->x + from * a->cols, a->cols, &a->norm,
             (float *)a->y + row * a->cols);
}

static inline eet_status norm_simd(eet_backend *backend, const eet_norm_args *a) {
    if (!eet_all_f32(a->x_dtype, a->y_dtype, 0)) {
        return EET_E_UNSUPPORTED;
    }
    for_rows(backend, a->rows, a->cols, norm_one, a);
    return EET_OK;
}

/* Adds a table's row to x, where there is one. */
static inline void add_row(float *x, int32_t cols, const void *table, int32_t dtype,
                           const int32_t *rows, int64_t token) {
    if (table == NULL || rows == NULL || rows[token] < 0) {
        return;
    }
    const int64_t at = (int64_t)rows[token] * cols;

    for (int32_t j = 0; j < cols; j += LANES) {
        const int32_t some = lanes_at(j, cols);
        const vec row = vec_some_at(table, dtype, at + j, some);

        vec_store_some(x + j, vec_add(vec_load_some(x + j, some), row), some);
    }
}

static inline void embed_token(const void *args, int64_t token) {
    const eet_embed_args *a = args;
    float *y = (float *)(a->proj_in.data != NULL ? a->scratch : a->x) + token * a->dim;
    const vec scale = vec_all((float)a->scale);
    const int64_t at = (int64_t)a->ids[token] * a->dim;

    for (int32_t j = 0; j < a->dim; j += LANES) {
        const int32_t some = lanes_at(j, a->dim);

        vec_store_some(y + j, vec_mul(vec_some_at(a->token, a->token_dtype, at + j, some), scale),
                       some);
    }
}

static inline void embed_place(const void *args, int64_t token) {
    const eet_embed_args *a = args;
    float *x = (float *)a->x + token * a->hidden;

    add_row(x, a->hidden, a->position, a->position_dtype, a->positions, token);
    add_row(x, a->hidden, a->type, a->type_dtype, a->types, token);
}

/* Columns j and on of the sum of tokens [first, end): POOL_TOKENS at a time, so that the
 * error does not grow with a long row. */
static inline vec sum_tokens(const eet_pool_args *a, int64_t first, int64_t end, int32_t j) {
    const int32_t some = lanes_at(j, a->cols);
    vec sum = vec_zero();

    for (int64_t t = first; t < end;) {
        vec part = vec_zero();

        for (const int64_t stop = t + POOL_TOKENS < end ? t + POOL_TOKENS : end; t < stop; ++t) {
            part = vec_add(part, vec_load_some(a->x + t * a->cols + j, some));
        }
        sum = vec_add(sum, part);
    }
    return sum;
}

static inline void pool_row(const void *args, int64_t row) {
    const eet_pool_args *a = args;
    const int64_t first = a->start != NULL ? a->start[row] : row;
    const int64_t end = a->start != NULL ? a->start[row + 1] : row + 1;
    const vec count = vec_all(end > first ? (float)(end - first) : 1.0F);
    float *y = a->y + row * a->cols;
    double square = 0.0; /* of numbers whose squares a float may not hold */

    for (int32_t j = 0; j < a->cols; j += LANES) {
        vec_store_some(y + j, vec_div(sum_tokens(a, first, end, j), count), lanes_at(j, a->cols));
    }
    if (!a->normalize) {
        return;
    }
    for (int32_t j = 0; j < a->cols; ++j) {
        square += (double)y[j] * (double)y[j];
    }
    const double length = fmax(sqrt(square), 1e-12);

    for (int32_t j = 0; j < a->cols; ++j) {
        y[j] = (float)((double)y[j] / length);
    }
}

static inline eet_status pool_simd(eet_backend *backend, const eet_pool_args *a) {
    const double tokens = a->start != NULL ? a->start[a->rows] - a->start[0] : a->rows;

    for_rows(backend, a->rows, a->rows > 0 ? tokens * a->cols / a->rows : 0.0, pool_row, a);
    return EET_OK;
}

#endif
