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

/* A file with a small decoder. */
eet_tmp sample(void);

#endif
