/* simd_attention.h - softmax(q k^T scale) v, 64 keys at a time.
 *
 * A query goes over its keys from the first in blocks of a page, with a running maximum
 * and sum (the output is rescaled when the maximum grows). Blocks, and the order inside
 * one, are a matter of the key's position alone: neither neighbours in a tile nor paged
 * or packed keys change a query's bits. */
#ifndef EET_KERNELS_SIMD_ATTENTION_H
#define EET_KERNELS_SIMD_ATTENTION_H

#include "kernels/arguments.h"
#include "kernels/simd_dot.h"
#include "kernels/simd_math.h"
#include "kernels/simd_work.h"

enum { KEYS = EET_PAGE_TOKENS, VALUE_VECS = 4, QUERIES_AT_ONCE = 8 * DOT_ROWS };

typedef struct attention_work {
    pieces pieces; /* QUERIES_AT_ONCE queries of a head of a row each */
    const eet_attention_args *a;
} attention_work;

/* A few neighbouring queries of one head on their way over the keys. */
typedef struct attention_tile {
    const eet_attention_args *a;
    int32_t row, head, query, queries;
    int32_t keys[MAX_DOT_ROWS]; /* of this block, that each query sees; ascending */
    float top[MAX_DOT_ROWS], sum[MAX_DOT_ROWS], rescale[MAX_DOT_ROWS];
    float weight[MAX_DOT_ROWS * KEYS];
    bool careful;             /* there are masks, or queries that see no key */
    bool fresh[MAX_DOT_ROWS]; /* careful: nothing is in y yet */
    ahead *next;              /* keys of the next block, asked for beside values */
} attention_tile;

/* KEYS keys or values of one row and head. */
typedef struct kv_block {
    const void *data;
    int64_t stride; /* elements */
    int32_t dtype;
} kv_block;

/* A part of the product of weights and values. */
typedef struct attention_span {
    int32_t query, queries; /* of the tile */
    int32_t first, end;     /* keys of the block */
    int32_t at, some;       /* element of the head; lanes of a vector that stands alone */
    bool fresh;             /* nothing is in y yet */
} attention_span;

static inline kv_block block_of(const attention_tile *t, int32_t kv, int32_t block) {
    const eet_attention_args *a = t->a;

    if (a->k != NULL) {
        const int64_t at =
            eet_attention_kv_at(a, t->row, t->head) + (int64_t)block * KEYS * a->kv_stride;
        const int32_t dtype = eet_attention_kv_dtype(a);

        return (kv_block){
            .data = (const char *)(kv == 0 ? a->k : a->v) + at * eet_float_bytes(dtype),
            .stride = a->kv_stride,
            .dtype = dtype,
        };
    }
    const int32_t page = a->page_table[(int64_t)t->row * a->table_stride + block];
    const int64_t at = eet_page_at(&a->pages, a->layer, page, kv, t->head, 0);

    return (kv_block){
        .data = (const char *)a->pages.data + at * eet_float_bytes(a->pages.dtype),
        .stride = a->pages.dp,
        .dtype = a->pages.dtype,
    };
}

static inline float *output_of(const attention_tile *t, int32_t query) {
    const eet_attention_args *a = t->a;

    return (float *)a->y + ((int64_t)(t->query + query) * a->heads + t->head) * a->head_dim;
}

/* Masks over scaled products: the largest that is left, and whether any key is seen. */
static inline bool hide_keys(attention_tile *t, int32_t query, int32_t block, float *top) {
    const eet_attention_args *a = t->a;
    float *weight = t->weight + (int64_t)query * KEYS;
    bool seen = false;

    *top = -__builtin_inff();
    for (int32_t i = 0; i < t->keys[query]; ++i) {
        const int32_t at[4] = {t->row, t->head, t->query + query - a->q_start[t->row],
                               block * KEYS + i};

        weight[i] = (float)eet_masked(a, at, (double)weight[i]);
        seen = seen || weight[i] != -__builtin_inff();
        *top = weight[i] > *top ? weight[i] : *top;
    }
    return seen;
}

/* No key of the block has a part in the query. */
static inline void weigh_nothing(attention_tile *t, int32_t query) {
    for (int32_t i = 0; i < KEYS; i += LANES) {
        vec_store(t->weight + (int64_t)query * KEYS + i, vec_zero());
    }
    t->rescale[query] = 1.0F;
}

/* Products become weights e^(s - top); what is beyond the query's keys weighs nothing. */
static inline void weigh(attention_tile *t, int32_t query, int32_t block) {
    float *weight = t->weight + (int64_t)query * KEYS;
    const vec scale = vec_all(t->a->scale);
    vec high = vec_all(-__builtin_inff());
    vec sum = vec_zero();

    for (int32_t i = t->keys[query]; i < KEYS; ++i) {
        weight[i] = -__builtin_inff();
    }
    for (int32_t i = 0; i < t->keys[query]; i += LANES) {
        const int32_t some = lanes_at(i, t->keys[query]);

        vec_store_some(weight + i, vec_mul(vec_load(weight + i), scale), some);
        high = vec_max(vec_load(weight + i), high);
    }
    if (t->careful) {
        float most = 0.0F;

        if (!hide_keys(t, query, block, &most)) {
            weigh_nothing(t, query);
            return;
        }
        high = vec_all(most);
    }
    const float before = t->top[query];
    const float top = vec_top(high) > before ? vec_top(high) : before;

    for (int32_t i = 0; i < KEYS; i += LANES) {
        const vec power = vec_exp(vec_sub(vec_load(weight + i), vec_all(top)));

        vec_store(weight + i, power);
        sum = vec_add(sum, power);
    }
    /* -inf before the first block: e^-inf = 0 */
    t->rescale[query] = top == before ? 1.0F : vec_lane0(vec_exp(vec_all(before - top)));
    t->sum[query] = t->sum[query] * t->rescale[query] + vec_sum(sum);
    t->top[query] = top;
}

/* y = y rescaled + weight . values for `queries` queries, `vecs` vectors of a head from
 * element `at` on, `some` lanes in the last; keys [first, end). */
ALWAYS_INLINE void add_values(const attention_tile *t, const kv_block *values, int32_t dtype,
                              const attention_span *s, int32_t queries, int32_t vecs) {
    vec sum[MAX_DOT_ROWS][VALUE_VECS];

#pragma GCC unroll 8
    for (int32_t r = 0; r < queries; ++r) {
        const float *y = output_of(t, s->query + r) + s->at;
        const vec rescale = vec_all(t->rescale[s->query + r]);

#pragma GCC unroll 8
        for (int32_t c = 0; c < vecs; ++c) {
            sum[r][c] =
                s->fresh
                    ? vec_zero()
                    : vec_mul(vec_load_some(y + (int64_t)c * LANES, vecs == 1 ? s->some : LANES),
                              rescale);
        }
    }
    for (int32_t key = s->first; key < s->end; ++key) {
        const int64_t place = key * values->stride + s->at;

        if (queries == 1) {
            ask_for(t->next);
        }
#pragma GCC unroll 8
        for (int32_t c = 0; c < vecs; ++c) {
            const int64_t at = place + (int64_t)c * LANES;
            const vec v = vecs == 1 ? vec_some_at(values->data, dtype, at, s->some)
                                    : vec_at(values->data, dtype, at);

#pragma GCC unroll 8
            for (int32_t r = 0; r < queries; ++r) {
                sum[r][c] = vec_fma(vec_all(t->weight[(s->query + r) * KEYS + key]), v, sum[r][c]);
            }
        }
    }
#pragma GCC unroll 8
    for (int32_t r = 0; r < queries; ++r) {
        float *y = output_of(t, s->query + r) + s->at;

#pragma GCC unroll 8
        for (int32_t c = 0; c < vecs; ++c) {
            vec_store_some(y + (int64_t)c * LANES, sum[r][c], vecs == 1 ? s->some : LANES);
        }
    }
}

ALWAYS_INLINE void add_head(const attention_tile *t, const kv_block *values, int32_t dtype,
                            attention_span s, int32_t queries) {
    const int32_t head_dim = t->a->head_dim;

    for (s.at = 0; s.at + VALUE_VECS * LANES <= head_dim; s.at += VALUE_VECS * LANES) {
        add_values(t, values, dtype, &s, queries, VALUE_VECS);
    }
    for (; s.at < head_dim; s.at += LANES) {
        s.some = lanes_at(s.at, head_dim);
        add_values(t, values, dtype, &s, queries, 1);
    }
}

static inline void add_head_f32(const attention_tile *t, const kv_block *values, attention_span s) {
    if (s.queries == DOT_ROWS) {
        add_head(t, values, EET_F32, s, DOT_ROWS);
    } else {
        add_head(t, values, EET_F32, s, 1);
    }
}

static inline void add_head_f16(const attention_tile *t, const kv_block *values, attention_span s) {
    if (s.queries == DOT_ROWS) {
        add_head(t, values, EET_F16, s, DOT_ROWS);
    } else {
        add_head(t, values, EET_F16, s, 1);
    }
}

static inline void add_head_bf16(const attention_tile *t, const kv_block *values,
                                 attention_span s) {
    if (s.queries == DOT_ROWS) {
        add_head(t, values, EET_BF16, s, DOT_ROWS);
    } else {
        add_head(t, values, EET_BF16, s, 1);
    }
}

static inline void add_span(const attention_tile *t, const kv_block *values, attention_span s) {
    if (s.end <= s.first) {
        return;
    }
    if (values->dtype == EET_F32) {
        add_head_f32(t, values, s);
    } else if (values->dtype == EET_F16) {
        add_head_f16(t, values, s);
    } else {
        add_head_bf16(t, values, s);
    }
}

/* Each query alone, over runs of keys that weigh something: what a mask hides is not read. */
static inline void add_seen(attention_tile *t, int32_t block) {
    const kv_block values = block_of(t, 1, block);

    for (int32_t q = 0; q < t->queries; ++q) {
        const float *weight = t->weight + (int64_t)q * KEYS;

        for (int32_t first = 0; first < t->keys[q]; ++first) {
            attention_span s = {.query = q, .queries = 1, .first = first, .fresh = t->fresh[q]};

            while (first < t->keys[q] && weight[first] != 0.0F) {
                ++first;
            }
            s.end = first;
            if (s.end > s.first) {
                add_span(t, &values, s);
                t->fresh[q] = false;
                t->rescale[q] = 1.0F;
            }
        }
    }
}

/* Together over the keys that all queries of a full tile see, each alone over the rest. */
static inline void add_block(attention_tile *t, int32_t block) {
    const kv_block values = block_of(t, 1, block);
    attention_span s = {.queries = t->queries, .end = t->keys[0], .fresh = block == 0};
    const bool together = t->queries == DOT_ROWS && t->keys[0] > 0;

    if (together) {
        add_span(t, &values, s);
    }
    for (int32_t q = 0; q < t->queries; ++q) {
        s = (attention_span){
            .query = q,
            .queries = 1,
            .first = together ? t->keys[0] : 0,
            .end = t->keys[q],
            .fresh = block == 0 && !together,
        };
        t->rescale[q] = together ? 1.0F : t->rescale[q];
        add_span(t, &values, s);
    }
}

/* The keys or values of a block, `steps` looks at them long: a page for a single query; many
 * queries find theirs in a cache. */
static inline ahead page_ahead(const attention_tile *t, int32_t kv, int32_t block, int32_t steps) {
    const eet_attention_args *a = t->a;

    if (a->k != NULL || t->queries > 1) {
        return (ahead){0};
    }
    const kv_block b = block_of(t, kv, block);
    const int64_t bytes = KEYS * b.stride * eet_float_bytes(b.dtype);

    return (ahead){
        .at = b.data,
        .end = (const char *)b.data + bytes,
        .lines = (int32_t)(bytes / LINE_BYTES / steps) + 1,
    };
}

static inline void score_block(attention_tile *t, int32_t block) {
    const eet_attention_args *a = t->a;
    const kv_block keys = block_of(t, 0, block);
    ahead values = page_ahead(t, 1, block, KEYS / DOT_COLUMNS);
    const dot_job job = {
        .x = (const float *)a->q + t->query * a->q_stride + (int64_t)t->head * a->head_dim,
        .x_stride = a->q_stride,
        .w = keys.data,
        .w_stride = keys.stride,
        .dtype = keys.dtype,
        .rows = t->queries,
        .columns = t->keys[t->queries - 1],
        .k = a->head_dim,
        .sums = t->weight,
        .sums_stride = KEYS,
        .ahead = &values,
    };

    dot(&job);
}

/* Are there masks, or does the row's first query see no key? */
static inline bool needs_care(const eet_attention_args *a, int32_t row) {
    const int32_t queries = a->q_start[row + 1] - a->q_start[row];
    const int32_t first = a->causal ? a->kv_length[row] - queries + 1 : a->kv_length[row];

    return first < 1 || a->kv_seen != NULL || a->allowed.data != NULL || a->added.data != NULL;
}

static inline void finish_query(const attention_tile *t, int32_t query) {
    const int32_t head_dim = t->a->head_dim;
    float *y = output_of(t, query);

    for (int32_t i = 0; i < head_dim; i += LANES) {
        const int32_t some = lanes_at(i, head_dim);
        const vec sum = t->fresh[query] ? vec_zero() : vec_load_some(y + i, some);
        const float by = t->fresh[query] ? 1.0F : t->sum[query];

        vec_store_some(y + i, vec_div(sum, vec_all(by)), some);
    }
}

static inline void attend_tile(const eet_attention_args *a, int32_t row, int32_t head,
                               int32_t query, int32_t queries) {
    ahead next = {0};
    attention_tile t = {
        .a = a, .row = row, .head = head, .query = query, .queries = queries, .next = &next};
    const int32_t after = a->causal ? a->q_start[row + 1] - query - queries : 0;
    const int32_t all = a->kv_length[row] - after; /* that the last query sees */

    t.careful = needs_care(a, row);
    for (int32_t q = 0; q < queries; ++q) {
        t.top[q] = -__builtin_inff();
        t.sum[q] = 0.0F;
        t.fresh[q] = t.careful;
    }
    for (int32_t block = 0; block * KEYS < all; ++block) {
        for (int32_t q = 0; q < queries; ++q) {
            const int32_t seen = all - block * KEYS - (a->causal ? queries - 1 - q : 0);

            t.keys[q] = seen < 0 ? 0 : seen < KEYS ? seen : KEYS;
        }
        score_block(&t, block);
        for (int32_t q = 0; q < queries; ++q) {
            weigh(&t, q, block);
        }
        if ((block + 1) * KEYS < all) {
            next = page_ahead(&t, 0, block + 1, KEYS);
        }
        if (t.careful) {
            add_seen(&t, block);
        } else {
            add_block(&t, block);
        }
    }
    for (int32_t q = 0; q < queries; ++q) {
        finish_query(&t, q);
    }
}

static inline int64_t pieces_of_row(const eet_attention_args *a, int32_t row) {
    const int64_t queries = a->q_start[row + 1] - a->q_start[row];

    return (queries + QUERIES_AT_ONCE - 1) / QUERIES_AT_ONCE * a->heads;
}

/* Piece `piece` of a row: a head's, after those of the heads before it. */
static inline void attend_piece(const eet_attention_args *a, int32_t row, int64_t piece) {
    const int64_t of_head = pieces_of_row(a, row) / a->heads;
    const int32_t head = (int32_t)(piece / of_head);
    const int32_t start = a->q_start[row] + (int32_t)(piece % of_head) * QUERIES_AT_ONCE;
    const int32_t left = a->q_start[row + 1] - start;
    const int32_t end = start + (left < QUERIES_AT_ONCE ? left : QUERIES_AT_ONCE);

    for (int32_t query = start; query < end; query += DOT_ROWS) {
        attend_tile(a, row, head, query, end - query < DOT_ROWS ? end - query : DOT_ROWS);
    }
}

/* Pieces come in ascending order, so each thread walks over the rows once. */
static inline void attention_task(void *context, int32_t part, int32_t parts) {
    attention_work *work = context;
    int64_t before = 0; /* pieces of the rows before */
    int32_t row = 0;

    (void)part;
    (void)parts;
    for (int64_t piece = 0; take_piece(&work->pieces, &piece);) {
        while (piece - before >= pieces_of_row(work->a, row)) {
            before += pieces_of_row(work->a, row);
            ++row;
        }
        attend_piece(work->a, row, piece - before);
    }
}

static inline eet_status attention_simd(eet_backend *backend, const eet_attention_args *a) {
    attention_work work = {.a = a};
    double pairs = 0.0;

    if (eet_attention_check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    for (int32_t row = 0; row < a->rows; ++row) {
        work.pieces.count += pieces_of_row(a, row);
        pairs += (double)(a->q_start[row + 1] - a->q_start[row]) * a->kv_length[row];
    }
    run_task(backend, pairs * a->heads * a->head_dim, attention_task, &work);
    return EET_OK;
}

#endif
