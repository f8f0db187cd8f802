/* plain.h - a transformer as a text book has it: in double, one row at a time, without
 * cache, fused ops or batches. Written from the facts of docs/format.md, not from the engine. */
#ifndef EET_TESTS_ENGINE_PLAIN_H
#define EET_TESTS_ENGINE_PLAIN_H

#include "eet.h"
#include "tests/support/sample_model.h"

/* Hidden states of one row, final norm applied: (count, hidden), to be freed. NULL: types and
 * positions as the model has them by itself. */
double *eet_plain_hidden(const eet_model *model, const eet_sample_model *sample, int stack,
                         const int32_t *ids, const int32_t *types, const int32_t *positions,
                         int32_t count);

/* A head's values for one vector of hidden states: (width), to be freed. */
double *eet_plain_head(const eet_model *model, const eet_sample_model *sample, int32_t head,
                       const double *hidden);

#endif
