/* trial.h - one golden put to the test: its checkpoint converted by the command,
 * opened by libeet, with the inputs of the golden at hand.
 *
 * Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_GOLDEN_TRIAL_H
#define EET_TESTS_GOLDEN_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/eet.h"
#include "tests/support/golden.h"

enum { TRIAL_SLOTS = 16 }; /* cache slots of its session */

typedef struct eet_trial {
    eet_golden *golden;
    eet_model *model;
    eet_session *session;
    int32_t rows;
    int32_t *start, *tokens;
    int32_t *types, *positions; /* NULL where the golden has none */
    int32_t *at;                /* ... positions for heads that take those given, one a row */
    int32_t *source_start, *source_tokens; /* ... what row r's cross attention looks at: slot r */
    int32_t *source;                       /* (rows) 0, 1, 2 ... where there are some */
    char checkpoint[64];
} eet_trial;

/* Converts fixtures/checkpoints/<checkpoint> (`weights` NULL: the directory; else that file of it)
 * with --dtype ("f32:f16": in f32, to be computed in f16) and opens the result; model and session
 * are to be released. */
eet_model *eet_trial_model(const char *checkpoint, const char *weights, const char *dtype);

/* The golden "gpt2_base.positions" belongs to the checkpoint "gpt2_base". */
eet_trial eet_trial_begin(const char *golden, const char *dtype);
void eet_trial_end(eet_trial *trial);

/* The sources of all rows, as a batch for the encoder. */
eet_batch eet_trial_sources(const eet_trial *trial);
/* All rows of the golden. */
eet_batch eet_trial_batch(const eet_trial *trial);

/* Number of the head with this name, EET_HIDDEN for "hidden". */
int32_t eet_trial_head(const eet_model *model, const char *name);

/* What eet_encode gives for all rows: (positions, width) values of f32; free(). `width` is told. */
float *eet_trial_encode(const eet_trial *trial, const char *head, int32_t *width);

#endif
