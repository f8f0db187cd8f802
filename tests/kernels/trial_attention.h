/* trial_attention.h - a case of attention with its operands. */
#ifndef EET_TESTS_KERNELS_TRIAL_ATTENTION_H
#define EET_TESTS_KERNELS_TRIAL_ATTENTION_H

#include "tests/kernels/cases.h"

static inline int32_t *attention_starts_of(const attention_case *c) {
    int32_t *start = lab_block((c->rows + 1) * (int64_t)sizeof *start);

    start[0] = 0;
    for (int32_t r = 0; r < c->rows; ++r) {
        start[r + 1] = start[r] + c->queries[r];
    }
    return start;
}

/* q, k and v of a packed case stand in one array, as qkv projections leave them. */
static inline eet_attention_args attention_args_of(const attention_case *c, double scale) {
    const int32_t width = c->heads * c->head_dim;
    int32_t *kv_start = lab_block(4 * (int64_t)sizeof *kv_start);
    int32_t keys = 0;
    eet_attention_args a = {
        .q_stride = 3 * width,
        .kv_stride = 2 * width + 1,
        .kv_start = kv_start,
        .layer = 1,
        .rows = c->rows,
        .q_start = attention_starts_of(c),
        .kv_length = c->keys,
        .heads = c->heads,
        .head_dim = c->head_dim,
        .scale = (float)scale,
        .causal = c->causal,
        .longest_q = 1,
        .longest_kv = 1,
    };

    for (int32_t r = 0; r < c->rows; ++r) {
        kv_start[r] = keys;
        keys += c->keys[r];
        a.longest_q = a.longest_q > c->queries[r] ? a.longest_q : c->queries[r];
        a.longest_kv = a.longest_kv > c->keys[r] ? a.longest_kv : c->keys[r];
    }
    a.tokens = a.q_start[c->rows];
    const int32_t tokens = a.q_start[c->rows];
    const int64_t kv_count = (keys - 1) * a.kv_stride + width; /* nothing behind the last */

    a.q = lab_floats((tokens - 1) * a.q_stride + width, c->kind);
    a.y = lab_floats((int64_t)tokens * width, LAB_PLAIN);
    if (c->paged) {
        a.table_stride = 4;
        a.pages = lab_pages(c->rows * 4, 2, c->heads, c->head_dim, c->dtype);
        a.page_table = lab_page_table(c->rows, 4);
    } else {
        a.k = lab_floats(kv_count, c->kind);
        a.v = lab_floats(kv_count, c->kind);
    }
    return a;
}

#endif
