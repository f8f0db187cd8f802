/* beam.h - how a beam's tokens are ranked, by the reference and by the fast version alike. */
#ifndef EET_KERNELS_BEAM_H
#define EET_KERNELS_BEAM_H

#include <math.h>

#include "kernels/random.h"
#include "kernels/reference.h"

/* Where one row's best tokens go, best first. */
typedef struct beam_ranking {
    int32_t *token;
    float *score, *log_prob;
    int32_t count, room;
} beam_ranking;

static inline beam_ranking beam_ranking_of(const eet_beam_args *a, int32_t row) {
    const int64_t at = (int64_t)row * a->count;

    return (beam_ranking){
        .token = a->token + at,
        .score = a->score + at,
        .log_prob = a->log_prob + at,
        .room = a->count,
    };
}

/* A token takes its place, unless it has no chance (-inf, NaN). */
static inline void beam_rank(beam_ranking *r, int32_t token, float score, float log_prob) {
    int32_t at = r->count < r->room ? r->count : r->room;

    if (!(score > -INFINITY)) {
        return;
    }
    while (at > 0 &&
           (score > r->score[at - 1] || (score == r->score[at - 1] && token < r->token[at - 1]))) {
        at -= 1;
    }
    if (at == r->room) {
        return;
    }
    r->count += r->count < r->room ? 1 : 0;
    for (int32_t i = r->count - 1; i > at; --i) {
        r->token[i] = r->token[i - 1];
        r->score[i] = r->score[i - 1];
        r->log_prob[i] = r->log_prob[i - 1];
    }
    r->token[at] = token;
    r->score[at] = score;
    r->log_prob[at] = log_prob;
}

static inline void beam_rank_none(beam_ranking *r) {
    for (; r->count < r->room; ++r->count) {
        r->token[r->count] = -1;
        r->score[r->count] = -INFINITY;
        r->log_prob[r->count] = -INFINITY;
    }
}

/* The tokens that are barred, and those with a penalty, which are ranked: both are NaN
 * afterwards, so that each is seen once. */
static inline void beam_rank_special(const eet_beam_args *a, int32_t row, double log_sum,
                                     beam_ranking *r) {
    float *logits = a->logits + row * a->stride;
    const bool penalised = a->penalty != 0.0F && a->penalty != 1.0F;
    const int32_t *history = a->history + (penalised ? row * a->history_stride : 0);

    for (int32_t i = 0; i < a->barred; ++i) {
        if (a->bar[i] >= 0 && a->bar[i] < a->vocab) {
            logits[a->bar[i]] = NAN;
        }
    }
    for (int32_t i = 0; penalised && i < a->history_length[row]; ++i) {
        const int32_t id = history[i];
        const float log_prob = (float)((double)logits[id] - log_sum);

        beam_rank(r, id, eet_penalised(log_prob, a->penalty), log_prob);
        logits[id] = NAN;
    }
}

#endif
