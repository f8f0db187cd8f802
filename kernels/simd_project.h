/* simd_project.h - project, score and embed: a product of rows by rows between a norm and
 * an epilogue.
 *
 * Few rows: bound by memory, every weight is read once, in pieces of some columns. Many:
 * bound by multiply-adds; a block of weights (L2) meets all rows, tile by tile (L1). */
#ifndef EET_KERNELS_SIMD_PROJECT_H
#define EET_KERNELS_SIMD_PROJECT_H

#include "kernels/simd_dot.h"
#include "kernels/simd_rows.h"

/* A sum over k is cut into parts of at most MAX_DEPTH that depend on k alone, so that the
 * rows of a tile stay in the first cache. */
enum { BLOCK_ROWS = 24, BLOCK_COLUMNS = 128, MAX_DEPTH = 1024 };
enum { PIECES_OF_THREAD = 4 };
enum { PIECE_BYTES = 65536 }; /* of weights, when there are few rows */

typedef struct project_work {
    pieces pieces; /* block_columns by BLOCK_ROWS each */
    ranges few;    /* the same, for at most DOT_ROWS rows */
    const eet_project_args *a;
    const float *x;                 /* (rows, k) after the prologue */
    const float *moments;           /* (rows, 3) of a normed residual */
    int64_t row_blocks, row_pieces; /* of all rows; of one piece */
    int32_t block_columns, depth;
} project_work;

static inline int32_t depth_of(int32_t k) {
    const int32_t parts = (k - 1) / MAX_DEPTH + 1;

    return ((k - 1) / parts / LANES + 1) * LANES;
}

static inline void prepare_row(const void *args, int64_t row) {
    const eet_project_args *a = args;

    if (a->norm.weight != NULL) {
        norm_row((const float *)a->x + row * a->w.k, a->w.k, &a->norm, a->scratch + row * a->w.k);
    }
    if (a->residual != NULL && a->residual_norm.weight != NULL) {
        float *out = a->scratch + (int64_t)a->rows * a->w.k + row * 3;
        const moments m =
            moments_of((const float *)a->residual + row * a->w.n, a->w.n, a->residual_norm.eps);

        out[0] = m.mean;
        out[1] = m.rest;
        out[2] = m.scale;
    }
}

/* Columns [at, at + count) of a row, finished, to where they belong: as many as lie in one
 * place in a row are stored at once. */
static inline void put_columns(const eet_project_args *a, int64_t row, int32_t at, int32_t count,
                               const float *from) {
    const int32_t y_columns = eet_project_y_columns(a);

    for (int32_t done = 0; done < count;) {
        const int32_t column = at + done;
        void *to = a->y;
        int32_t dtype = EET_F32;
        int32_t run = count - done;
        int64_t place = row * y_columns + column;

        if (column < y_columns) {
            run = y_columns - column < run ? y_columns - column : run;
        } else {
            const eet_pages *p = &a->pages;
            const int32_t in_head = (column - y_columns) % p->head_dim;

            to = p->data;
            dtype = p->dtype;
            run = p->head_dim - in_head < run ? p->head_dim - in_head : run;
            place = eet_project_place(a, row, column - y_columns);
        }
        for (int32_t j = 0; j < run; j += LANES) {
            const int32_t some = lanes_at(j, run);

            vec_put_some(to, dtype, place + j, vec_load_some(from + done + j, some), some);
        }
        done += run;
    }
}

/* Bias, activation and residual over `count` sums of a row, in place. */
static inline void finish_columns(const project_work *work, int64_t row, int32_t at, int32_t count,
                                  float *sums) {
    const eet_project_args *a = work->a;
    const float *residual =
        a->residual != NULL ? (const float *)a->residual + row * a->w.n + at : NULL;
    const float *m = work->moments != NULL ? work->moments + row * 3 : NULL;

    for (int32_t j = 0; j < count; j += LANES) {
        const int32_t some = lanes_at(j, count);
        vec y = vec_load_some(sums + j, some);

        if (a->bias != NULL) {
            y = vec_add(y, vec_load_some(a->bias + at + j, some));
        }
        y = vec_activate(a->act, y);
        if (residual != NULL) {
            vec r = vec_load_some(residual + j, some);

            if (m != NULL) {
                r = normed(r, at + j, some, &a->residual_norm,
                           (moments){.mean = m[0], .rest = m[1], .scale = m[2]});
            }
            y = vec_add(y, r);
        }
        vec_store_some(sums + j, y, some);
    }
}

/* Where a piece stands, or a tile of it. */
typedef struct area {
    int64_t row, rows;
    int32_t at, columns;
} area;

/* The sums of a tile over the elements of k from `from`. */
static inline void multiply_part(const project_work *work, const area *tile, int32_t from,
                                 float *sums, ahead *next) {
    const eet_matrix *w = &work->a->w;
    const int64_t start = (int64_t)tile->at * w->ld + from;
    const dot_job job = {
        .x = work->x + tile->row * w->k + from,
        .x_stride = w->k,
        .w = (const char *)w->data + start * eet_float_bytes(w->dtype),
        .w_stride = w->ld,
        .dtype = w->dtype,
        .rows = (int32_t)tile->rows,
        .columns = tile->columns,
        .k = w->k - from < work->depth ? w->k - from : work->depth,
        .sums = sums,
        .sums_stride = BLOCK_COLUMNS,
        .add = from > 0,
        .ahead = next,
    };

    dot(&job);
}

static inline void project_block(const project_work *work, int64_t row, int32_t rows, int32_t at,
                                 int32_t columns, ahead *next) {
    const int32_t tiles = (rows + DOT_ROWS - 1) / DOT_ROWS;
    float sums[BLOCK_ROWS * BLOCK_COLUMNS];

    for (int32_t from = 0; from < work->a->w.k; from += work->depth) {
        for (int32_t tile = 0; tile < tiles; ++tile) { /* as even as they go */
            const int32_t first = rows * tile / tiles;
            const int32_t end = rows * (tile + 1) / tiles;
            const area part = {row + first, end - first, at, columns};

            multiply_part(work, &part, from, sums + (int64_t)first * BLOCK_COLUMNS, next);
        }
    }
    for (int32_t r = 0; r < rows; ++r) {
        float *y = sums + (int64_t)r * BLOCK_COLUMNS;

        finish_columns(work, row + r, at, columns, y);
        put_columns(work->a, row + r, at, columns, y);
    }
}

static inline area area_of(const project_work *work, int64_t piece) {
    const eet_project_args *a = work->a;
    const int64_t across = (work->row_blocks + work->row_pieces - 1) / work->row_pieces;
    area p = {
        .row = piece % across * work->row_pieces * BLOCK_ROWS,
        .rows = work->row_pieces * BLOCK_ROWS,
        .at = (int32_t)(piece / across) * work->block_columns,
        .columns = work->block_columns,
    };

    p.rows = a->rows - p.row < p.rows ? a->rows - p.row : p.rows;
    p.columns = a->w.n - p.at < p.columns ? a->w.n - p.at : p.columns;
    return p;
}

/* The weights of the thread's next piece, spread over this piece's tiles. */
static inline ahead weights_ahead(const project_work *work, const area *now, int64_t next) {
    const eet_matrix *w = &work->a->w;
    const area p = area_of(work, next);
    const int64_t line = (int64_t)w->ld * eet_float_bytes(w->dtype);
    const char *start = (const char *)w->data + p.at * line;
    const int64_t tiles = (now->rows + DOT_ROWS - 1) / DOT_ROWS * ((w->k - 1) / work->depth + 1) *
                          ((now->columns + DOT_COLUMNS - 1) / DOT_COLUMNS);
    const int64_t lines = p.columns * line / LINE_BYTES + 1;

    return (ahead){.at = start,
                   .end = p.at != now->at ? start + p.columns * line : start,
                   .lines = (int32_t)(lines / tiles) + 1};
}

static inline void project_many(project_work *work) {
    int64_t piece = 0;

    for (bool more = take_piece(&work->pieces, &piece); more;) {
        const area now = area_of(work, piece);
        int64_t next = 0;
        ahead weights = {0};

        more = take_piece(&work->pieces, &next);
        if (more) {
            weights = weights_ahead(work, &now, next);
        }
        for (int64_t row = 0; row < now.rows; row += BLOCK_ROWS) {
            const int64_t rows = now.rows - row < BLOCK_ROWS ? now.rows - row : BLOCK_ROWS;

            project_block(work, now.row + row, (int32_t)rows, now.at, now.columns, &weights);
        }
        piece = next;
    }
}

static inline void project_task(void *context, int32_t part, int32_t parts) {
    project_work *work = context;

    if (work->a->rows > DOT_ROWS) {
        project_many(work);
        return;
    }
    for (int64_t piece = 0; take_near(&work->few, part, parts, &piece);) {
        const area now = area_of(work, piece);

        project_block(work, 0, (int32_t)now.rows, now.at, now.columns, NULL);
    }
}

/* Few rows: pieces of weights small enough that no thread waits long for the last one. */
static inline int32_t columns_of_piece(const eet_project_args *a) {
    const int64_t bytes = (int64_t)a->w.k * eet_float_bytes(a->w.dtype);
    const int64_t columns = PIECE_BYTES / bytes / DOT_COLUMNS * DOT_COLUMNS;

    if (a->rows > DOT_ROWS || columns > BLOCK_COLUMNS) {
        return BLOCK_COLUMNS;
    }
    return columns < DOT_COLUMNS ? DOT_COLUMNS : (int32_t)columns;
}

static inline eet_status project_simd(eet_backend *backend, const eet_project_args *a) {
    const bool normed_residual = a->residual != NULL && a->residual_norm.weight != NULL;
    const double inner = a->norm.weight != NULL ? a->w.k : 0.0;
    const double outer = normed_residual ? a->w.n : 0.0;

    if (eet_project_check(a) != EET_OK || !eet_all_f32(a->x_dtype, a->y_dtype, a->residual_dtype)) {
        return EET_E_UNSUPPORTED;
    }
    if (inner + outer > 0.0) {
        for_rows(backend, a->rows, inner + outer, prepare_row, a);
    }
    project_work work = {
        .a = a,
        .x = a->norm.weight != NULL ? a->scratch : a->x,
        .moments = normed_residual ? a->scratch + (int64_t)a->rows * a->w.k : NULL,
        .row_blocks = (a->rows + BLOCK_ROWS - 1) / BLOCK_ROWS,
        .block_columns = columns_of_piece(a),
        .depth = depth_of(a->w.k),
    };
    const int64_t blocks = (a->w.n + work.block_columns - 1) / work.block_columns;
    const int64_t enough = PIECES_OF_THREAD * (int64_t)eet_pool_threads(backend->pool);

    /* A block of weights is one thread's for all rows, where there are blocks enough. */
    work.row_pieces = blocks >= enough ? work.row_blocks : 1;
    work.pieces.count = blocks * ((work.row_blocks + work.row_pieces - 1) / work.row_pieces);
    work.few.count = work.pieces.count;
    run_task(backend, (double)a->rows * a->w.n * a->w.k, project_task, &work);
    return EET_OK;
}

static inline eet_status score_simd(eet_backend *backend, const eet_score_args *a) {
    const eet_norm_args norm = eet_score_norm(a);
    eet_project_args projection = eet_score_projection(a);

    if (!eet_matrix_is_plain(&a->w)) {
        return EET_E_UNSUPPORTED;
    }
    if (a->norm.weight == NULL && a->index == NULL) {
        projection.x = a->x;
    } else {
        (void)norm_simd(backend, &norm);
    }
    return project_simd(backend, &projection);
}

static inline eet_status embed_simd(eet_backend *backend, const eet_embed_args *a) {
    if (eet_embed_check(a) != EET_OK || !eet_all_f32(a->x_dtype, 0, 0)) {
        return EET_E_UNSUPPORTED;
    }
    for_rows(backend, a->tokens, a->dim, embed_token, a);
    if (a->proj_in.data != NULL) {
        const eet_project_args projection = eet_embed_projection(a);

        (void)project_simd(backend, &projection);
    }
    for_rows(backend, a->tokens, a->hidden, embed_place, a);
    return EET_OK;
}

#endif
