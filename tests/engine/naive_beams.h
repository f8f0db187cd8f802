/* naive_beams.h - beam search after the words of Transformers' BeamSearchScorer: every text is
 * run from its start, every candidate sorted.
 *
 * Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_ENGINE_NAIVE_BEAMS_H
#define EET_TESTS_ENGINE_NAIVE_BEAMS_H

#include "engine/eet.h"

enum { NAIVE_TOKENS = 90, NAIVE_BEAMS = 7, NAIVE_VOCAB = 40 }; /* at most */

typedef struct naive_text {
    int32_t count, finish; /* prompt included; EET_FINISH_* */
    int32_t tokens[NAIVE_TOKENS];
    float log_prob[NAIVE_TOKENS];
    double sum, score;
} naive_text;

typedef struct naive_search {
    const eet_generate_options *options;
    eet_session *session; /* for one sequence */
    int32_t vocab, eos;
    int32_t prompt; /* tokens */
    int32_t open_count, kept_count;
    naive_text open[NAIVE_BEAMS], kept[NAIVE_BEAMS + 1];
} naive_search;

/* Fills `kept`, best first; the other fields but counts and `open` are the caller's. */
void naive_find(naive_search *f, const int32_t *prompt, int32_t count);

#endif
