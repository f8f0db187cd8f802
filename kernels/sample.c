/* sample.c - the greedy choice and its log-probability: reference and cost. */
#include <math.h>
#include <stddef.h>

#include "kernels/kernels.h"

static int32_t best_of(const float *logits, int32_t vocab) {
    int32_t best = 0;

    for (int32_t i = 1; i < vocab; ++i) {
        if (logits[i] > logits[best] || isnan(logits[best])) {
            best = i;
        }
    }
    return isnan(logits[best]) ? 0 : best;
}

/* log softmax of the largest logit: minus the log of the sum of all e^(x - top). */
static double log_prob_of(const float *logits, int32_t vocab, double top) {
    double sum = 0.0;

    for (int32_t i = 0; i < vocab; ++i) {
        sum += exp((double)logits[i] - top);
    }
    return -log(sum);
}

eet_status eet_sample_ref(eet_backend *backend, const eet_sample_args *a) {
    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        const float *logits = a->logits + row * a->stride;
        const int32_t best = best_of(logits, a->vocab);

        a->token[row] = best;
        if (a->log_prob != NULL) {
            a->log_prob[row] = (float)log_prob_of(logits, a->vocab, (double)logits[best]);
        }
    }
    return EET_OK;
}

eet_cost eet_sample_cost(const eet_sample_args *a) {
    const double elements = (double)a->rows * a->vocab;

    return (eet_cost){
        .flops = a->log_prob != NULL ? 3.0 * elements : elements,
        .bytes = 4.0 * elements + (a->log_prob != NULL ? 8.0 : 4.0) * a->rows,
    };
}
