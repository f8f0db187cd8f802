/* texts.h - the texts that a library drew or found by beams, as a golden has them: how they were
 * asked for, and that a session gives the same. For the suites here and for gpu_check.
 *
 * False: it does not, and `why` is the sentence. */
#ifndef EET_TESTS_GOLDEN_TEXTS_H
#define EET_TESTS_GOLDEN_TEXTS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/eet.h"

enum { EET_TEXTS_WHY = 256, EET_TEXTS_ROWS = 5, EET_TEXTS_BEAMS = 8, EET_TEXTS_NEW = 80 };

typedef struct eet_texts {
    int32_t rows, count;           /* prompts; draws or searches, each of all prompts */
    const int32_t *start, *tokens; /* of the prompts */
    const int32_t *source;         /* (rows) what they look at, or NULL */
    const int32_t *options;        /* (count, 5) of draws, (count, 6) of searches */
    const int32_t *stops;
    const int32_t *seeds;    /* draws: (count, 8) quarters of seed and stream, low first */
    const double *numbers;   /* draws: (count, 3) */
    const double *penalties; /* searches: (count, 2) */
    const int32_t *text_start, *text_tokens;
    const double *text_log_probs;     /* of draws, a number a token */
    const int32_t *text_ended;        /* of searches */
    const double *text_score, *score; /* of searches; of the prompts' own tokens */
} eet_texts;

/* All draws, with the prompts together and each alone; the session has slots for all. */
bool eet_texts_draw(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]);
/* The log-probabilities of the prompts' own tokens. */
bool eet_texts_score(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]);
/* All searches, and that events, lengths and slots are as they are to be after each; the session
 * has EET_TEXTS_ROWS * EET_TEXTS_BEAMS slots. */
bool eet_texts_search(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]);

#endif
