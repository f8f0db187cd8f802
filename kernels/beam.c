/* beam.c - the tokens that a beam may go on with: reference and cost. */
#include "kernels/beam.h"

eet_status eet_beam_ref(eet_backend *backend, const eet_beam_args *a) {
    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        const float *logits = a->logits + row * a->stride;
        const double log_sum = eet_log_sum(logits, a->vocab);
        beam_ranking r = beam_ranking_of(a, row);

        beam_rank_special(a, row, log_sum, &r);
        for (int32_t id = 0; id < a->vocab; ++id) {
            const float log_prob = (float)((double)logits[id] - log_sum);

            beam_rank(&r, id, log_prob, log_prob);
        }
        beam_rank_none(&r);
    }
    return EET_OK;
}

eet_cost eet_beam_cost(const eet_beam_args *a) {
    const double elements = (double)a->rows * a->vocab;

    return (eet_cost){
        .flops = 3.0 * elements,
        .bytes = 4.0 * elements + 12.0 * a->rows * a->count,
    };
}
