/* attention_device.h - a case of attention (tests/kernels/cases.h) on a CUDA device. */
#ifndef EET_TESTS_CUDA_ATTENTION_DEVICE_H
#define EET_TESTS_CUDA_ATTENTION_DEVICE_H

#include <math.h>

#include "tests/cuda/device.h"
#include "tests/kernels/trial_masks.h"

static inline eet_attention_args attention_up(const attention_case *c,
                                              const eet_attention_args *host) {
    eet_attention_args a = *host;
    const int32_t width = c->heads * c->head_dim;
    const int32_t tokens = host->q_start[c->rows];
    int64_t keys = 0;

    for (int32_t r = 0; r < c->rows; ++r) {
        keys += c->keys[r];
    }
    a.q = device_up(a.q, ((tokens - 1) * a.q_stride + width) * 4);
    a.k = device_up(a.k, ((keys - 1) * a.kv_stride + width) * 4);
    a.v = device_up(a.v, ((keys - 1) * a.kv_stride + width) * 4);
    a.kv_start = device_up(a.kv_start, 16);
    a.pages = device_pages(a.pages);
    a.page_table = device_up(a.page_table, (int64_t)c->rows * a.table_stride * 4);
    a.q_start = device_up(a.q_start, (c->rows + 1) * (int64_t)4);
    a.kv_length = device_up(a.kv_length, 16);
    a.y = device_up(a.y, (int64_t)tokens * width * 4);
    return a;
}

/* Scores are off by the roundings of head_dim products one after another, weights by as much
 * (relatively), the weighted sum and its divisor by those of the keys besides. */
static inline double attention_bound(const attention_case *c, double largest, double scale) {
    const double u = 0x1p-24;
    const double score = (c->head_dim + 8.0) * u * c->head_dim * largest * largest * scale;

    return largest * (2 * score * 2 + (2 * 200 + 16) * u);
}

#endif
