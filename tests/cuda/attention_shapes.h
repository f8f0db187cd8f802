/* attention_shapes.h - the shapes of attention that tests of the device go through, and a case of
 * one on the host and on the device. */
#ifndef EET_TESTS_CUDA_ATTENTION_SHAPES_H
#define EET_TESTS_CUDA_ATTENTION_SHAPES_H

#include <math.h>

#include "tests/cuda/device.h"
#include "tests/kernels/lab.h"

enum { ROWS = 5, COMBINATIONS = 18, LONG = 16384 };

typedef struct shape {
    int32_t rows;
    int32_t queries[ROWS], keys[ROWS];
    int32_t heads, head_dim;
    bool causal, paged;
    int32_t apart; /* elements between tokens besides what there is */
    bool large;    /* too large for the reference */
} shape;

static const shape shapes[] = {
    /* one key; parts of 256 keys and pages of 64, one less, full, one more */
    {.rows = 1, .queries = {1}, .keys = {1}, .heads = 1, .head_dim = 64, .paged = true},
    {.rows = 5,
     .queries = {1, 1, 1, 1, 1},
     .keys = {63, 64, 65, 256, 257},
     .heads = 3,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 4,
     .queries = {8, 1, 5, 2},
     .keys = {8, 255, 513, 66},
     .heads = 2,
     .head_dim = 26,
     .causal = true,
     .paged = true},
    /* every size of head that is told apart */
    {.rows = 2,
     .queries = {7, 1},
     .keys = {300, 90},
     .heads = 2,
     .head_dim = 32,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {40, 9}, .keys = {70, 129}, .heads = 2, .head_dim = 72, .paged = true},
    {.rows = 2, .queries = {33, 9}, .keys = {70, 129}, .heads = 2, .head_dim = 80, .causal = true},
    {.rows = 2, .queries = {3, 33}, .keys = {300, 129}, .heads = 2, .head_dim = 96, .paged = true},
    {.rows = 2,
     .queries = {17, 9},
     .keys = {281, 9},
     .heads = 2,
     .head_dim = 128,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {3, 20}, .keys = {65, 33}, .heads = 1, .head_dim = 136, .paged = true},
    {.rows = 2,
     .queries = {2, 31},
     .keys = {270, 97},
     .heads = 2,
     .head_dim = 256,
     .causal = true,
     .paged = true},
    {.rows = 1, .queries = {5}, .keys = {70}, .heads = 1, .head_dim = 300, .paged = true},
    {.rows = 2, .queries = {4, 3}, .keys = {70, 3}, .heads = 3, .head_dim = 1, .causal = true},
    /* packed: rows that are no multiple of 16 bytes apart, none, many */
    {.rows = 3, .queries = {65, 0, 130}, .keys = {65, 0, 130}, .heads = 2, .head_dim = 26},
    {.rows = 3, .queries = {5, 1, 30}, .keys = {9, 300, 129}, .heads = 2, .head_dim = 64},
    {.rows = 3,
     .queries = {63, 1, 64},
     .keys = {63, 128, 65},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .apart = 1},
    {.rows = 2,
     .queries = {129, 200},
     .keys = {129, 200},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .apart = 8},
    /* rows without queries, without keys; queries that see none */
    {.rows = 5,
     .queries = {0, 2, 0, 3, 0},
     .keys = {0, 70, 5, 1, 0},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {3, 2}, .keys = {0, 400}, .heads = 2, .head_dim = 40, .paged = true},
    /* 16,384 keys */
    {.rows = 2,
     .queries = {1, 2},
     .keys = {16384, 700},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {70, 3}, .keys = {16384, 5}, .heads = 1, .head_dim = 64, .causal = true},
    /* larger tiles of queries */
    {.rows = 4,
     .queries = {900, 1, 1000, 1100},
     .keys = {900, 900, 1300, 1100},
     .heads = 12,
     .head_dim = 64,
     .causal = true,
     .paged = true,
     .large = true},
    {.rows = 3,
     .queries = {2100, 70, 1000},
     .keys = {2100, 70, 1000},
     .heads = 12,
     .head_dim = 32,
     .large = true},
    {.rows = 5,
     .queries = {2100, 70, 1, 1000, 63},
     .keys = {2100, 70, 1, 1000, 63},
     .heads = 12,
     .head_dim = 64,
     .apart = 8,
     .large = true},
    {.rows = 3,
     .queries = {1500, 70, 1000},
     .keys = {1500, 90, 1065},
     .heads = 16,
     .head_dim = 128,
     .causal = true,
     .paged = true,
     .large = true},
    /* packed as a model has them: each query beside its key */
    {.rows = 5,
     .queries = {64, 1, 63, 0, 129},
     .keys = {64, 1, 63, 0, 129},
     .heads = 3,
     .head_dim = 64},
    {.rows = 2,
     .queries = {70, 193},
     .keys = {70, 193},
     .heads = 2,
     .head_dim = 128,
     .causal = true},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 20}, .heads = 2, .head_dim = 104},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 20}, .heads = 3, .head_dim = 40, .causal = true},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 84}, .heads = 3, .head_dim = 40, .paged = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* One of COMBINATIONS: the dtypes of activations and of pages, and the family. */
typedef struct kind {
    int32_t dtype, pages, family;
} kind;

static inline kind kind_of(int32_t i) {
    return (kind){EET_F32 + i % 3, EET_F32 + i / 3 % 3, i / 9};
}

static inline int32_t tokens_of(const shape *s) {
    int32_t tokens = 0;

    for (int32_t r = 0; r < s->rows; ++r) {
        tokens += s->queries[r];
    }
    return tokens;
}

static inline bool is_tried(const shape *s, kind k) {
    const bool few = tokens_of(s) <= EET_FEW_TOKENS;

    return (k.family == EET_MANY || few) && (s->paged || k.pages == k.dtype);
}

/* Packed, and each query beside its own key: kv_start is q_start, as a model's is. */
static inline bool is_beside(const shape *s) {
    bool same = !s->paged;

    for (int32_t r = 0; r < s->rows; ++r) {
        same = same && s->queries[r] == s->keys[r];
    }
    return same;
}

/* Arguments on the host, with numbers of the dtypes that the device takes. */
static inline eet_attention_args make_args(const shape *s, kind k) {
    const int32_t width = s->heads * s->head_dim;
    int32_t *q_start = lab_block((ROWS + 1) * 4);
    int32_t *kv_start = lab_block(ROWS * 4);
    eet_attention_args a = {
        .q_stride = 3 * width + s->apart,
        .kv_stride = 2 * width + s->apart,
        .kv_start = kv_start,
        .layer = 1,
        .rows = s->rows,
        .q_start = q_start,
        .kv_length = s->keys,
        .heads = s->heads,
        .head_dim = s->head_dim,
        .scale = 1.0F / sqrtf((float)s->head_dim),
        .causal = s->causal,
        .dtype = k.dtype,
        .family = k.family,
        .tokens = tokens_of(s),
        .longest_kv = 1,
    };
    int32_t keys = 0;

    q_start[0] = 0;
    for (int32_t r = 0; r < s->rows; ++r) {
        q_start[r + 1] = q_start[r] + s->queries[r];
        kv_start[r] = keys;
        keys += s->keys[r];
        a.longest_q = a.longest_q > s->queries[r] ? a.longest_q : s->queries[r];
        a.longest_kv = a.longest_kv > s->keys[r] ? a.longest_kv : s->keys[r];
    }
    a.q = lab_array(a.tokens * a.q_stride, k.dtype, LAB_PLAIN);
    if (s->paged) {
        a.table_stride = (a.longest_kv + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS;
        a.pages = lab_pages(s->rows * a.table_stride, 2, s->heads, s->head_dim, k.pages);
        a.page_table = lab_page_table(s->rows, a.table_stride);
    } else {
        a.k = lab_array(keys * a.kv_stride, k.dtype, LAB_PLAIN);
        a.v = lab_array(keys * a.kv_stride, k.dtype, LAB_PLAIN);
    }
    return a;
}

static inline eet_attention_args on_device(const shape *s, const eet_attention_args *host) {
    const int64_t bytes = eet_float_bytes(host->dtype);
    const int64_t y_bytes = (int64_t)host->tokens * host->heads * host->head_dim * bytes;
    const int64_t scratch =
        eet_attention_scratch(host->tokens, host->heads, host->head_dim, host->longest_kv);
    const int64_t keys = host->kv_start[host->rows - 1] + host->kv_length[host->rows - 1];
    eet_attention_args a = *host;
    void *zeros = lab_block(scratch);

    memset(zeros, 0, (size_t)scratch);
    a.q = device_up(a.q, a.tokens * a.q_stride * bytes);
    a.k = device_up(a.k, keys * a.kv_stride * bytes);
    a.v = device_up(a.v, keys * a.kv_stride * bytes);
    a.pages = device_pages(a.pages);
    a.page_table = device_up(a.page_table, (int64_t)a.rows * a.table_stride * 4);
    a.q_start = device_up(a.q_start, (a.rows + 1) * (int64_t)4);
    a.kv_start = is_beside(s) ? a.q_start : device_up(a.kv_start, a.rows * (int64_t)4);
    a.kv_length = device_up(a.kv_length, a.rows * (int64_t)4);
    a.y = device_up(lab_block(y_bytes), y_bytes);
    a.scratch = device_up(zeros, scratch);
    return a;
}

#endif
