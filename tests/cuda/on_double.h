/* on_double.h - what suites over the double of the runtime (double.h) begin with. */
#ifndef EET_TESTS_CUDA_ON_DOUBLE_H
#define EET_TESTS_CUDA_ON_DOUBLE_H

#include "kernels/backend.h"
#include "tests/cuda/double.h"
#include "tests/engine/support.h"

void *symbol_of(const char *library, const char *name);
/* The double's backend, and what tests may set of it; models are opened on it from then on. */
const eet_backend_api *entry(void);
eet_double *device(void);

/* The prompt goes on, drawn with a penalty by this seed, for `steps` tokens of one row, of which at
 * most `room` are taken at once; log_probs may be NULL. */
eet_status draw_tokens(eet_session *session, const eet_batch *prompt, uint64_t seed, int32_t steps,
                       int32_t room, int32_t *tokens, float *log_probs, eet_error *err);

/* A file with a small decoder. */
eet_tmp sample(void);

#endif
