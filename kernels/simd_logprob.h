/* simd_logprob.h - what rows of scores say of single ids, and of their largest ones. */
#ifndef EET_KERNELS_SIMD_LOGPROB_H
#define EET_KERNELS_SIMD_LOGPROB_H

#include <math.h>

#include "kernels/reference.h"
#include "kernels/simd_rows.h"

/* The largest logit, NaNs aside; -inf when there is none. */
static inline float top_of(const float *logits, int32_t vocab) {
    vec top = vec_all(-__builtin_inff());
    int32_t i = 0;

    for (; i + LANES <= vocab; i += LANES) {
        top = vec_max(vec_load(logits + i), top);
    }
    float best = vec_top(top);

    for (; i < vocab; ++i) {
        best = logits[i] > best ? logits[i] : best;
    }
    return best;
}

/* The first place of a value; 0 when it is nowhere (only NaNs are there). */
static inline int32_t place_of(const float *logits, int32_t vocab, float value) {
    int32_t i = 0;

    for (; i + LANES <= vocab; i += LANES) {
        const uint32_t here = vec_bits(vec_equal(vec_load(logits + i), vec_all(value)));

        if (here != 0) {
            return i + __builtin_ctz(here);
        }
    }
    for (; i < vocab; ++i) {
        if (logits[i] == value) {
            return i;
        }
    }
    return 0;
}

/* The sum of all e^(x - top), in double from lane to lane: thousands are added. */
static inline double sum_of_powers(const float *logits, int32_t vocab, float top) {
    double sum = 0.0;

    for (int32_t first = 0; first < vocab; first += 64 * LANES) {
        const int32_t end = vocab - first < 64 * LANES ? vocab : first + 64 * LANES;
        vec part = vec_zero();

        for (int32_t i = first; i < end; i += LANES) {
            const int32_t some = lanes_at(i, end);
            const vec x = vec_load_some(logits + i, some);

            part = vec_add(part, vec_first(vec_exp(vec_sub(x, vec_all(top))), some));
        }
        sum += (double)vec_sum(part);
    }
    return sum;
}

/* ---- the largest few ---------------------------------------------------- */

/* Ids with their scores: a heap whose root comes last in order, and in order once sorted. */
typedef struct shortlist {
    float *score;
    int32_t *id;
    int32_t count;
} shortlist;

static inline bool is_later(const shortlist *r, int32_t a, int32_t b) {
    return r->score[a] < r->score[b] || (r->score[a] == r->score[b] && r->id[a] > r->id[b]);
}

static inline void swap_ranks(const shortlist *r, int32_t a, int32_t b) {
    const float score = r->score[a];
    const int32_t id = r->id[a];

    r->score[a] = r->score[b];
    r->id[a] = r->id[b];
    r->score[b] = score;
    r->id[b] = id;
}

static inline void sink_rank(const shortlist *r, int32_t root, int32_t count) {
    for (int32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && is_later(r, child + 1, child)) {
            child += 1;
        }
        if (!is_later(r, child, root)) {
            return;
        }
        swap_ranks(r, root, child);
        root = child;
    }
}

static inline void sort_ranks(const shortlist *r) {
    for (int32_t last = r->count - 1; last > 0; --last) {
        swap_ranks(r, 0, last);
        sink_rank(r, 0, last);
    }
}

static inline void enter(const shortlist *r, float score, int32_t id) {
    if (score > r->score[0]) { /* an equal one's id is higher: ids come in order */
        r->score[0] = score;
        r->id[0] = id;
        sink_rank(r, 0, r->count);
    }
}

/* The r->count largest of a row, in order. */
static inline void rank_largest(const float *y, int32_t vocab, const shortlist *r) {
    int32_t i = 0;

    for (; i < r->count; ++i) {
        r->score[i] = isnan(y[i]) ? -__builtin_inff() : y[i];
        r->id[i] = i;
    }
    for (int32_t root = r->count / 2 - 1; root >= 0; --root) {
        sink_rank(r, root, r->count);
    }
    for (; i + LANES <= vocab; i += LANES) {
        uint32_t above = vec_bits(vec_below(vec_all(r->score[0]), vec_load(y + i)));

        for (; above != 0; above &= above - 1) {
            const int32_t id = i + __builtin_ctz(above);

            enter(r, y[id], id);
        }
    }
    for (; i < vocab; ++i) {
        enter(r, y[i], i);
    }
    sort_ranks(r);
}

static inline void logprob_row(const void *args, int64_t row) {
    const eet_logprob_args *a = args;
    const float *logits = a->logits + row * a->stride;
    const float top = logits[place_of(logits, a->vocab, top_of(logits, a->vocab))];
    const double lost = log(sum_of_powers(logits, a->vocab, top));
    const shortlist r = {
        .score = a->top_log_prob + row * a->top,
        .id = a->top_token + row * a->top,
        .count = a->top,
    };

    if (a->target != NULL) {
        a->log_prob[row] = (float)((double)logits[a->target[row]] - (double)top - lost);
    }
    if (a->top > 0) {
        rank_largest(logits, a->vocab, &r);
        for (int32_t i = 0; i < a->top; ++i) {
            r.score[i] = (float)((double)r.score[i] - (double)top - lost);
        }
    }
}

static inline eet_status logprob_simd(eet_backend *backend, const eet_logprob_args *a) {
    for_rows(backend, a->rows, a->vocab, logprob_row, a);
    return EET_OK;
}

#endif
