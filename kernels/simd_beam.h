/* simd_beam.h - the tokens that a beam may go on with: a row is read for its largest score, for
 * the sum of its powers, and for what is above the last of the ranking. */
#ifndef EET_KERNELS_SIMD_BEAM_H
#define EET_KERNELS_SIMD_BEAM_H

#include "kernels/beam.h"
#include "kernels/simd_sample.h"

/* No logit below this can be ranked: a little lower than the last one's, for what rounding may
 * do. */
static inline float beam_bar_of(const beam_ranking *r, double log_sum) {
    if (r->count < r->room) {
        return -INFINITY;
    }
    const double last = (double)r->score[r->room - 1];

    return (float)(last + log_sum - (fabs(last) + fabs(log_sum)) * 0x1p-20);
}

static inline void beam_rank_some(beam_ranking *r, const float *logits, int32_t first,
                                  uint32_t lanes, double log_sum) {
    for (; lanes != 0; lanes &= lanes - 1) {
        const int32_t id = first + __builtin_ctz(lanes);
        const float log_prob = (float)((double)logits[id] - log_sum);

        beam_rank(r, id, log_prob, log_prob);
    }
}

static inline void beam_row(const void *args, int64_t row) {
    const eet_beam_args *a = args;
    const float *logits = a->logits + row * a->stride;
    const float top = top_of(logits, a->vocab);
    const double log_sum = (double)top + log(sum_of_powers(logits, a->vocab, top));
    beam_ranking r = beam_ranking_of(a, (int32_t)row);
    int32_t i = 0;

    beam_rank_special(a, (int32_t)row, log_sum, &r);
    for (float bar = beam_bar_of(&r, log_sum); i + LANES <= a->vocab; i += LANES) {
        const vec x = vec_load(logits + i);
        const uint32_t above = vec_bits(vec_equal(vec_max(x, vec_all(bar)), x));

        if (above != 0) {
            beam_rank_some(&r, logits, i, above, log_sum);
            bar = beam_bar_of(&r, log_sum);
        }
    }
    for (; i < a->vocab; ++i) {
        beam_rank_some(&r, logits, i, 1, log_sum);
    }
    beam_rank_none(&r);
}

static inline eet_status beam_simd(eet_backend *backend, const eet_beam_args *a) {
    for_rows(backend, a->rows, a->vocab, beam_row, a);
    return EET_OK;
}

#endif
