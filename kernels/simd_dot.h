/* simd_dot.h - rows times rows: the product behind project and the scores of attention.
 *
 * Every product is one sum in one order, whatever stands beside it: lane by lane over k,
 * then the lanes as one tree (vec_sum4). Tiles of 1 .. DOT_ROWS rows by 4 columns share
 * it, so a row's bits do not depend on how rows are grouped. */
#ifndef EET_KERNELS_SIMD_DOT_H
#define EET_KERNELS_SIMD_DOT_H

#include "kernels/simd.h"

enum { DOT_COLUMNS = 4, MAX_DOT_ROWS = 6, LINE_BYTES = 64, FAR_AHEAD = 2048 };

/* Memory to have in the second cache when its turn comes: lines of it are asked for beside
 * the products, a few with every tile. */
typedef struct ahead {
    const char *at, *end; /* what is left to ask for */
    int32_t lines;        /* at a time: with a tile of DOT_COLUMNS columns, say */
} ahead;

typedef struct dot_job {
    const float *x;   /* (rows, k) */
    int64_t x_stride; /* floats */
    const void *w;    /* (columns, k) */
    int64_t w_stride; /* elements */
    int32_t dtype;    /* of w */
    int32_t rows, columns;
    int32_t k;
    float *sums; /* (rows, columns rounded up to DOT_COLUMNS) */
    int64_t sums_stride;
    bool add;     /* to what sums has */
    ahead *ahead; /* or NULL */
} dot_job;

/* Weights of two bytes in few rows: the processor's own prefetching does not keep up with
 * what is multiplied (f32 is faster without). The address may lie behind the matrix. */
ALWAYS_INLINE void fetch_ahead(const dot_job *j, int64_t element) {
    __builtin_prefetch((const void *)((uintptr_t)j->w + (uintptr_t)element * 2));
}

/* One step of LANES elements (`some` of them at the end) at i of every row and column. */
ALWAYS_INLINE void dot_step(const dot_job *j, const int64_t *column, int32_t dtype, int32_t rows,
                            int64_t i, int32_t some, vec sum[MAX_DOT_ROWS][DOT_COLUMNS]) {
    vec x[MAX_DOT_ROWS];

#pragma GCC unroll 8
    for (int32_t r = 0; r < rows; ++r) {
        const float *p = j->x + r * j->x_stride + i;

        x[r] = some == LANES ? vec_load(p) : vec_load_some(p, some);
    }
#pragma GCC unroll 8
    for (int32_t c = 0; c < DOT_COLUMNS; ++c) {
        if (rows == 2 && dtype != EET_F32) {
            fetch_ahead(j, column[c] + i + DOT_COLUMNS * j->w_stride);
        }
        const vec w = some == LANES ? vec_at(j->w, dtype, column[c] + i)
                                    : vec_some_at(j->w, dtype, column[c] + i, some);

#pragma GCC unroll 8
        for (int32_t r = 0; r < rows; ++r) {
            sum[r][c] = vec_fma(x[r], w, sum[r][c]);
        }
    }
}

/* The columns of one row, one after the other: a single stream of weights of two bytes, which
 * memory gives faster by 20 per cent and more than four (f32 is faster in four). */
ALWAYS_INLINE void dot_columns(const dot_job *j, const int64_t *column, int32_t dtype,
                               vec sum[MAX_DOT_ROWS][DOT_COLUMNS]) {
#pragma GCC unroll 8
    for (int32_t c = 0; c < DOT_COLUMNS; ++c) {
        int32_t i = 0;

#pragma GCC unroll 4
        for (; i + LANES <= j->k; i += LANES) {
            fetch_ahead(j, column[c] + i + FAR_AHEAD);
            sum[0][c] = vec_fma(vec_load(j->x + i), vec_at(j->w, dtype, column[c] + i), sum[0][c]);
        }
        if (i < j->k) {
            const int32_t some = j->k - i;

            sum[0][c] = vec_fma(vec_load_some(j->x + i, some),
                                vec_some_at(j->w, dtype, column[c] + i, some), sum[0][c]);
        }
    }
}

/* One tile: job `j` has `rows` rows and at most DOT_COLUMNS columns; where it has fewer the
 * last one stands in for the others. */
ALWAYS_INLINE void dot_tile(const dot_job *j, int32_t dtype, int32_t rows) {
    vec sum[MAX_DOT_ROWS][DOT_COLUMNS];
    int64_t column[DOT_COLUMNS];
    int32_t i = 0;

#pragma GCC unroll 8
    for (int32_t c = 0; c < DOT_COLUMNS; ++c) {
        column[c] = (c < j->columns ? c : j->columns - 1) * j->w_stride;
#pragma GCC unroll 8
        for (int32_t r = 0; r < rows; ++r) {
            sum[r][c] = vec_zero();
        }
    }
    const bool in_turn = rows == 1 && dtype != EET_F32;

    if (in_turn) {
        dot_columns(j, column, dtype, sum);
    }
    for (; !in_turn && i + LANES <= j->k; i += LANES) {
        dot_step(j, column, dtype, rows, i, LANES, sum);
    }
    if (!in_turn && i < j->k) {
        dot_step(j, column, dtype, rows, i, j->k - i, sum);
    }
#pragma GCC unroll 8
    for (int32_t r = 0; r < rows; ++r) {
        float *out = j->sums + r * j->sums_stride;
        const __m128 new = vec_sum4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);

        _mm_storeu_ps(out, j->add ? _mm_add_ps(_mm_loadu_ps(out), new) : new);
    }
}

/* A whole tile of dtype, its number of rows known to the compiler. */
ALWAYS_INLINE void dot_rows(const dot_job *j, int32_t dtype) {
    if (j->rows == 1) {
        dot_tile(j, dtype, 1);
    } else if (j->rows == 2) {
        dot_tile(j, dtype, 2);
    } else if (j->rows == 3) {
        dot_tile(j, dtype, 3);
    } else if (DOT_ROWS > 3 && j->rows == 4) {
        dot_tile(j, dtype, 4);
    } else if (DOT_ROWS > 3 && j->rows == 5) {
        dot_tile(j, dtype, 5);
    } else if (DOT_ROWS > 3) {
        dot_tile(j, dtype, 6);
    }
}

static inline void dot_f32(const dot_job *j) {
    dot_rows(j, EET_F32);
}

static inline void dot_f16(const dot_job *j) {
    dot_rows(j, EET_F16);
}

static inline void dot_bf16(const dot_job *j) {
    dot_rows(j, EET_BF16);
}

static inline void ask_for(ahead *a) {
    for (int32_t i = 0; i < a->lines && a->at < a->end; ++i) {
        __builtin_prefetch(a->at, 0, 2);
        a->at += LINE_BYTES;
    }
}

/* At most DOT_ROWS rows by any number of columns. */
static inline void dot(const dot_job *whole) {
    const int32_t bytes = eet_float_bytes(whole->dtype);
    dot_job j = *whole;

    for (int32_t c = 0; c < whole->columns; c += DOT_COLUMNS) {
        j.w = (const char *)whole->w + c * whole->w_stride * bytes;
        j.columns = whole->columns - c < DOT_COLUMNS ? whole->columns - c : DOT_COLUMNS;
        j.sums = whole->sums + c;
        if (j.ahead != NULL) {
            ask_for(j.ahead);
        }
        if (j.dtype == EET_F32) {
            dot_f32(&j);
        } else if (j.dtype == EET_F16) {
            dot_f16(&j);
        } else {
            dot_bf16(&j);
        }
    }
}

#endif
