/* logprob.c - log-probabilities of given ids and of the likeliest: reference and cost. */
#include <math.h>
#include <stddef.h>

#include "kernels/reference.h"

/* Does column a come before column b? A NaN counts as -inf. */
static bool is_before(const float *logits, int32_t a, int32_t b) {
    const float x = isnan(logits[a]) ? -INFINITY : logits[a];
    const float y = isnan(logits[b]) ? -INFINITY : logits[b];

    return x > y || (x == y && a < b);
}

/* The first column in order behind column `after`; behind -1 comes the very first. */
static int32_t next_of(const float *logits, int32_t vocab, int32_t after) {
    int32_t next = -1;

    for (int32_t i = 0; i < vocab; ++i) {
        if ((after < 0 || is_before(logits, after, i)) &&
            (next < 0 || is_before(logits, i, next))) {
            next = i;
        }
    }
    return next;
}

eet_status eet_logprob_ref(eet_backend *backend, const eet_logprob_args *a) {
    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        const float *logits = a->logits + row * a->stride;
        double top = 0.0;
        const double parts = eet_log_parts(logits, a->vocab, &top);
        int32_t id = -1;

        if (a->target != NULL) {
            a->log_prob[row] = (float)((double)logits[a->target[row]] - top - parts);
        }
        for (int32_t i = 0; i < a->top; ++i) {
            const int64_t to = (int64_t)row * a->top + i;

            id = next_of(logits, a->vocab, id);
            a->top_token[to] = id;
            a->top_log_prob[to] = (float)((double)logits[id] - top - parts);
        }
    }
    return EET_OK;
}

eet_cost eet_logprob_cost(const eet_logprob_args *a) {
    const double elements = (double)a->rows * a->vocab;
    const double targets = a->target != NULL ? a->rows : 0.0;

    return (eet_cost){
        .flops = 3.0 * elements,
        .bytes = 4.0 * elements + 8.0 * targets + 8.0 * a->rows * a->top,
    };
}
