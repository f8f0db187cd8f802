/* kernels.h - the instruction set of a device: every op's contract and the table
 * of ops.
 *
 * An op is the fusion boundary: a transformer block is five of them (engine/
 * forward.c). Each has a plain-C reference (X.c, double accumulation, obviously
 * right), which is its specification, and a cost function; every other
 * implementation is tested and timed against those two.
 *
 * Activations are row-major, one row a token: f32, or 16 bits where an op says so (a
 * dtype field, 0 = f32; a backend tells what it takes, eet_backend_api.inner). Weights
 * are row-major [n, k] ("out, in") in f32, f16 or bf16 and are used in place; norms and
 * biases are f32. Accumulation is f32 or wider. Arguments are PODs, pointers live in the
 * backend's memory. Sizes are checked by the caller: an op returns
 * EET_E_UNSUPPORTED for a dtype it has no code for and nothing else goes wrong.
 *
 * On the CPU a row's bits depend on nothing but the row: each output is one sum
 * over k in a fixed order, whatever else is in the call and however threads
 * split it. */
#ifndef EET_KERNELS_H
#define EET_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "eet_types.h"
#include "format/half.h"

typedef struct eet_backend eet_backend; /* a device, a stream of work on it, its threads */

/* A weight operand. Plain weights have data, n, k, ld and dtype; the rest is for
 * quantised ones and zero here. */
typedef struct eet_matrix {
    const void *data; /* [n][ld], k used */
    const void *scale, *zero, *meta, *order;
    int32_t n, k, ld, group, block_n; /* ld in elements */
    uint16_t dtype, scale_dtype, zero_mode, layout;
    uint32_t flags;
} eet_matrix;

/* y = (x - mean) / sqrt(variance + eps) * weight + bias over a row (biased
 * variance); weight NULL: no norm at all. bias may be NULL. */
typedef struct eet_norm_weights {
    const float *weight, *bias;
    double eps;
} eet_norm_weights;

/* Keys and values in pages of 64 tokens: [page][K|V][head][64][dp] for one layer
 * after another, dp = head_dim rounded up to 8; padding is zero. */
enum { EET_PAGE_TOKENS = 64 };

typedef struct eet_pages {
    void *data;
    int32_t pages, layers, heads, head_dim, dp; /* pages per layer */
    int32_t dtype;                              /* f32, f16 or bf16 */
} eet_pages;

EET_BOTH static inline int32_t eet_padded_head(int32_t head_dim) {
    return (head_dim + 7) / 8 * 8;
}

/* Elements before (layer, page, kv 0|1, head, token). */
EET_BOTH static inline int64_t eet_page_at(const eet_pages *p, int32_t layer, int32_t page,
                                           int32_t kv, int32_t head, int32_t token) {
    const int64_t block = ((int64_t)layer * p->pages + page) * 2 + kv;

    return ((block * p->heads + head) * EET_PAGE_TOKENS + token) * p->dp;
}

/* A dtype of activations, of which 0 is f32. */
EET_BOTH static inline int32_t eet_activation(int32_t dtype) {
    return dtype == 0 ? (int32_t)EET_F32 : dtype;
}

EET_BOTH static inline int32_t eet_activation_bytes(int32_t dtype) {
    return eet_float_bytes(eet_activation(dtype));
}

/* Two arithmetics on a device with both: in the first any number of tokens, in the second at
 * most EET_FEW_TOKENS in a call, each with the same bits for every number of rows. A row's
 * attention is split over its keys by its own length alone. The CPU has one and looks at
 * neither. */
typedef enum eet_family { EET_MANY = 0, EET_FEW = 1 } eet_family;
enum { EET_FEW_TOKENS = 64 };

/* x[t] = (token[ids[t]] * scale) proj_in + position[positions[t]] + type[types[t]] */
typedef struct eet_embed_args {
    const void *token, *position, *type; /* [rows][dim], [rows][hidden], [rows][hidden]; the last
                                            two may be NULL */
    int32_t token_dtype, position_dtype, type_dtype;
    const int32_t *ids;       /* (tokens) */
    const int32_t *positions; /* (tokens); -1: no position is added */
    const int32_t *types;     /* (tokens); -1 or a NULL array: none is added */
    double scale;
    int32_t tokens, dim, hidden;
    eet_matrix proj_in; /* [hidden, dim]; data NULL: dim == hidden */
    const float *proj_in_bias;
    int32_t x_dtype; /* 0 = f32 */
    void *x;         /* (tokens, hidden) */
    float *scratch;  /* (tokens, dim) with proj_in, else NULL */
} eet_embed_args;

typedef enum eet_project_to {
    EET_TO_Y = 0,           /* y: (rows, n) */
    EET_TO_Q_AND_PAGES = 1, /* w is q|k|v: q to y (rows, n / 3), k and v into pages */
    EET_TO_PAGES = 2        /* w is k|v: both into pages, y unused */
} eet_project_to;

/* y = act(norm(x) w^T + bias) + residual_norm(residual) */
typedef struct eet_project_args {
    const void *x;         /* (rows, k) */
    eet_norm_weights norm; /* prologue on x */
    eet_matrix w;          /* [n, k] */
    const float *bias;     /* (n) or NULL */
    int32_t act;           /* eet_act */
    const void *residual;  /* (rows, n) or NULL */
    eet_norm_weights residual_norm;
    int32_t x_dtype, y_dtype, residual_dtype; /* 0 = f32 */
    int32_t family;                           /* eet_family */
    int32_t rows;
    int32_t to;      /* eet_project_to */
    void *y;         /* may alias a residual without norm and of its dtype, nothing else */
    eet_pages pages; /* for the two destinations with pages */
    int32_t layer;
    const int64_t *slot; /* (rows) page * 64 + place of each token's key and value */
    float *scratch;      /* eet_project_scratch(rows, k) floats */
} eet_project_args;

/* y[i] = norm(x[index[i]]): the ends of a stack. Without weight: a copy of rows. */
typedef struct eet_norm_args {
    const void *x;        /* (any, cols) */
    const int32_t *index; /* (rows) or NULL = 0, 1, 2 ... */
    eet_norm_weights norm;
    int32_t rows, cols;
    int32_t x_dtype, y_dtype; /* 0 = f32 */
    void *y; /* (rows, cols); may alias x when index is NULL and the dtypes are equal */
} eet_norm_args;

/* A number for each row, head, query of a row and key of a row; the strides are in elements, and
 * 0 where one number is for all. */
typedef struct eet_mask {
    const void *data; /* NULL: no mask */
    int64_t row, head, query, key;
    int32_t dtype;
} eet_mask;

/* y = softmax(q k^T scale [causal] [masked]) v for every row's queries and each head. A
 * row's queries are the last q_length of its kv_length positions when causal. A query that sees no
 * key has y = 0; the value of a key that it does not see has no part in y, whatever it is. */
typedef struct eet_attention_args {
    const void *q;     /* (tokens, q_stride), head h at h * head_dim */
    int64_t q_stride;  /* elements from token to token */
    const void *k, *v; /* packed: (tokens of all sources, kv_stride) like q; NULL = paged */
    int64_t kv_stride;
    const int32_t *kv_start; /* (rows) packed: first token of each row's keys; q_start itself where
                                each query stands beside its key, `tokens` of them in all */
    eet_pages pages;         /* paged */
    int32_t layer;
    const int32_t *page_table; /* (rows, table_stride) paged: a row's pages in order */
    int32_t table_stride;
    int32_t rows;
    const int32_t *q_start;   /* (rows + 1) */
    const int32_t *kv_length; /* (rows), >= 1 where a model's row has queries */
    int32_t heads, head_dim;
    float scale;
    bool causal;
    int32_t dtype;                 /* of q, packed k and v, and y; 0 = f32 */
    int32_t family;                /* eet_family */
    int32_t tokens;                /* q_start[rows], at most, as the host knows it */
    int32_t longest_q, longest_kv; /* no row has more queries, keys */
    void *y;                       /* (tokens, heads * head_dim) */
    void *scratch; /* eet_attention_scratch bytes, zeroed once before the first use */

    /* What a model never asks for: all zero. */
    int32_t kv_dtype;         /* of packed k and v; 0 = dtype */
    int64_t kv_head_stride;   /* of packed k and v; 0 = head_dim */
    const int64_t *kv_offset; /* (rows) packed: elements before a row's keys; NULL = by kv_start */
    const int32_t *kv_seen;   /* (rows) keys from there on are not seen; NULL = kv_length */
    eet_mask allowed;         /* u8: a key with 0 there is not seen */
    eet_mask added;           /* f32, f16, bf16: to the scaled score; -inf: it is not seen */
} eet_attention_args;

/* Keys that one part of a split row has, in family EET_FEW. */
enum { EET_SPLIT_KEYS = 256 };

/* Bytes for the parts of rows that are split over their keys: a counter for each token and head,
 * in one place whatever a call's sizes are, then each part's largest score, sum and weighted
 * values. Calls with one scratch have equally many heads. */
EET_BOTH static inline int64_t eet_attention_scratch(int64_t tokens, int64_t heads,
                                                     int64_t head_dim, int64_t longest_kv) {
    const int64_t parts = (longest_kv + EET_SPLIT_KEYS - 1) / EET_SPLIT_KEYS;

    return heads * (EET_FEW_TOKENS + tokens * parts * (head_dim + 2)) * 4;
}

/* logits[i] = norm(x[index[i]]) w^T + bias */
typedef struct eet_score_args {
    const void *x;        /* (any, k) */
    const int32_t *index; /* (rows) or NULL */
    eet_norm_weights norm;
    eet_matrix w; /* [n, k] */
    const float *bias;
    int32_t x_dtype; /* 0 = f32 */
    int32_t family;  /* eet_family */
    int32_t rows;
    float *logits;  /* (rows, n) */
    float *scratch; /* eet_project_scratch(rows, k) floats */
} eet_score_args;

/* How a row's token is chosen; all zero: the largest score. docs/sampling.md has the formulas,
 * kernels/random.h the random numbers. */
typedef struct eet_sampler {
    uint64_t seed, stream; /* with `position`, what a draw depends on */
    double temperature;    /* 0: no draw */
    double top_p;          /* 0: all */
    float penalty;         /* of the ids in the row's history; 0: none */
    int32_t top_k;         /* 0: all */
    int32_t position;      /* of the token to come */
    int32_t history;       /* how many ids of it count */
    int32_t barred;        /* how many ids of `bar` cannot be chosen */
    int32_t reserved;
} eet_sampler;

/* token[r] = the row's choice over the first `vocab` columns, the lowest id among equals;
 * log_prob[r] its log-softmax before any sampler. A NaN is never chosen. */
typedef struct eet_sample_args {
    const float *logits; /* (rows, stride) */
    int64_t stride;
    int32_t rows, vocab;
    const eet_sampler *sampler; /* (rows) or NULL: the largest */
    const int32_t *history;     /* (rows, history_stride) ids; NULL where no sampler asks */
    int64_t history_stride;
    const int32_t *bar; /* ids; those outside the vocabulary do not matter */
    int32_t *token;     /* (rows) */
    float *log_prob;    /* (rows) or NULL */
    void *scratch;      /* eet_sample_scratch(rows, vocab) bytes; without samplers it may be NULL */
} eet_sample_args;

EET_BOTH static inline int64_t eet_sample_scratch(int64_t rows, int64_t vocab) {
    return rows * vocab * 8;
}

/* log_prob[r] = log-softmax of row r at target[r]; and its `top` largest columns, largest
 * first, the lowest id first among equals; a NaN is in order like -inf. */
typedef struct eet_logprob_args {
    const float *logits; /* (rows, stride) */
    int64_t stride;
    int32_t rows, vocab;
    const int32_t *target; /* (rows) or NULL */
    float *log_prob;       /* (rows) with targets */
    int32_t top;           /* 0 .. vocab */
    int32_t *top_token;    /* (rows, top) */
    float *top_log_prob;   /* (rows, top) */
} eet_logprob_args;

/* The `count` best tokens to go on with after row r, best first, the lowest id first among
 * equals. log_prob: the log-softmax over the first `vocab` columns; score: that with the
 * penalty (s < 0 ? s * penalty : s / penalty) where the id is in the row's history. What has no
 * chance is never given (a barred id, -inf, any id where a logit is NaN): token -1, score -inf
 * where none is left. */
typedef struct eet_beam_args {
    float *logits; /* (rows, stride); the op may write there */
    int64_t stride;
    int32_t rows, vocab;
    float penalty;          /* 0: none */
    int32_t barred;         /* how many ids of `bar` cannot be chosen */
    const int32_t *bar;     /* those outside the vocabulary do not matter */
    const int32_t *history; /* (rows, history_stride) ids; NULL without penalty */
    int64_t history_stride;
    const int32_t *history_length; /* (rows) */
    int32_t count;
    int32_t *token;          /* (rows, count) */
    float *score, *log_prob; /* (rows, count) */
} eet_beam_args;

/* y[r] = mean of x over tokens [start[r], start[r + 1]), optionally scaled to
 * length 1 (divided by max(|y|, 1e-12), as torch's normalize). An empty row is 0. */
typedef struct eet_pool_args {
    const float *x;       /* (tokens, cols) */
    const int32_t *start; /* (rows + 1) or NULL = one token a row */
    int32_t rows, cols;
    bool normalize;
    float *y; /* (rows, cols); may alias x when start is NULL */
} eet_pool_args;

/* Tokens [0, tokens) of page `from`, the keys and values of all layers and heads, go to page
 * `to`. */
typedef struct eet_page_move {
    int32_t from, to;
    int32_t tokens; /* 1 .. 64 */
} eet_page_move;

/* No page is in two moves' `to`, nor in one's `to` and another's `from`. */
typedef struct eet_page_copy_args {
    eet_pages pages;
    const eet_page_move *moves; /* (count) */
    int32_t count;
} eet_page_copy_args;

/* y = x in another dtype, rounded to nearest even: f32, f16, bf16 and f64 in,
 * f32, f16, bf16 out; or i32 and i64 in and i32 out, the nearest that it holds. */
typedef struct eet_convert_args {
    const void *x;
    void *y;
    int64_t count;    /* elements; with axes the product of them */
    int32_t from, to; /* eet_dtype */

    /* Axes, where x or y is not contiguous: strides in elements. */
    int32_t rank; /* 0: both are */
    int64_t shape[EET_MAX_RANK], x_stride[EET_MAX_RANK], y_stride[EET_MAX_RANK];
    const int64_t *y_at; /* (shape[0]) elements of y before each item of the first axis, in place
                            of its y_stride; or NULL */
} eet_convert_args;

/* What a token does to its row. */
typedef enum eet_ending {
    EET_GOES_ON = 0,
    EET_ENDS_EOS = 1,
    EET_ENDS_STOP = 2,
    EET_ENDS_LENGTH = 3
} eet_ending;

/* A row that goes on from step to step without the host. */
typedef struct eet_going {
    int32_t length;  /* keys that it has in this step, the fed token's too; 0: it has ended */
    int32_t counted; /* position of the next token that takes one */
    int32_t count;   /* tokens chosen */
    int32_t left;    /* tokens that may still be chosen */
} eet_going;

/* What holds for all of them. */
typedef struct eet_going_rules {
    uint64_t steps;      /* that have ended: advance counts them */
    uint64_t turn;       /* whose rows they are, not 0 */
    int32_t eos, stops;  /* the end token, -1: none; how many ids of `bar` end a row too */
    int32_t bars, least; /* how many ids of `bar` cannot be chosen before so many tokens */
    int32_t pad;         /* the id that takes no position, -1: all do */
    int32_t reserved;
} eet_going_rules;

typedef struct eet_chosen {
    int32_t token, ending; /* eet_ending */
    float log_prob;
    int32_t reserved;
} eet_chosen;

/* What a step came to. */
typedef struct eet_step_end {
    uint64_t number; /* steps that had ended with it; written after all else */
    uint64_t reserved[7];
    eet_chosen row[EET_FEW_TOKENS];
} eet_step_end;

/* The end of a step of rows with one token each, after sample: a row's choice becomes the token
 * that the next step feeds, or ends the row. Then it has no keys, its token is of nobody, and it
 * stays so. (kernels/advance.h has the rules.) */
typedef struct eet_advance_args {
    int32_t rows; /* at most EET_FEW_TOKENS */
    eet_going_rules *rules;
    eet_going *going;      /* (rows) */
    const int32_t *token;  /* (rows) chosen */
    const float *log_prob; /* (rows) */
    const int32_t *bar;    /* ids: the stops first */
    eet_sampler *sampler;  /* (rows) of this step, then of the next; NULL: none */
    int32_t *history;      /* (rows, history_stride) ids; NULL: nobody asks */
    int64_t history_stride;
    const int32_t *page_table; /* (rows, table_stride) with pages for all tokens to come */
    int32_t table_stride;
    int64_t nowhere; /* the slot of nobody's token */
    int64_t *slot;   /* (rows) what the next step reads */
    int32_t *ids, *positions, *kv_length;
    eet_step_end *ring; /* (slots) of shared memory: a step's end goes to its number's place */
    int32_t slots;
    const uint64_t *cancelled; /* of shared memory: the turn whose rows end, whatever they chose */
} eet_advance_args;

/* The ops, once. A backend that lacks one does not link. */
#define EET_OP_MAP(X) \
    X(embed)          \
    X(project)        \
    X(norm)           \
    X(attention)      \
    X(score)          \
    X(sample)         \
    X(logprob)        \
    X(beam)           \
    X(pool)           \
    X(page_copy)      \
    X(convert)        \
    X(advance)

typedef struct eet_ops {
#define X(op) eet_status (*op)(eet_backend *, const eet_##op##_args *);
    EET_OP_MAP(X)
#undef X
} eet_ops;

/* Compulsory work: every operand moved once, every multiply-add two flops. */
typedef struct eet_cost {
    double flops, bytes;
} eet_cost;

#define X(op)                                                          \
    eet_status eet_##op##_ref(eet_backend *, const eet_##op##_args *); \
    eet_cost eet_##op##_cost(const eet_##op##_args *);
EET_OP_MAP(X)
#undef X

/* Floats of scratch that any implementation of project and score may use. */
EET_BOTH static inline int64_t eet_project_scratch(int64_t rows, int64_t k) {
    return rows * (k + 4);
}

#endif
