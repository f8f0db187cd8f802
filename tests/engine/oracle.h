/* oracle.h - what a sample model computes, written down a second time: a plain transformer in
 * double precision, after docs/architecture.md and without a line of the engine's. */
#ifndef EET_TESTS_ENGINE_ORACLE_H
#define EET_TESTS_ENGINE_ORACLE_H

#include <stdint.h>

#include "tests/support/sample_model.h"

/* One text. */
typedef struct oracle_text {
    int32_t count;
    const int32_t *ids;
    const int32_t *types, *positions; /* (count) or NULL */
    const double *source;             /* (source_count, cross_dim) or NULL: no cross attention */
    int32_t source_count;
} oracle_text;

/* The stack's last hidden states, (count, hidden), its final norm applied; free(). */
double *oracle_hidden(const eet_sample_model *model, int32_t stack, const oracle_text *text);

/* Head number `head` on one position's hidden state; its width is told; free(). */
double *oracle_head(const eet_sample_model *model, int32_t head, const double *hidden,
                    int32_t *width);

#endif
