/* every_call.h - every call that a session has, so that what it costs can be counted. */
#ifndef EET_TESTS_ENGINE_EVERY_CALL_H
#define EET_TESTS_ENGINE_EVERY_CALL_H

#include <stdbool.h>

#include "engine/eet.h"

enum { EVERY_SEQUENCES = 3, EVERY_TOKENS = 30, EVERY_VALUES = 4096 };

/* Check itself allocates: what goes wrong is kept for later. */
typedef struct every_verdict {
    const char *wrong; /* the first call with another status than it should have */
    eet_error err;
} every_verdict;

/* Makes them, refused ones too: `ids` are EVERY_TOKENS, `data` has room for EVERY_VALUES. */
void every_call(eet_session *session, const int32_t *ids, float *data, bool decoder,
                every_verdict *v);

/* Those about sources, of a model with both stacks whose sources are 16 wide. */
void every_source_call(eet_session *session, const int32_t *ids, float *data, every_verdict *v);

#endif
