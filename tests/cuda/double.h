/* double.h - a double of the CUDA runtime, and of the ops: the backend's own C files above the
 * host's memory and the plain-C reference. What the calls of the runtime give is the test's. */
#ifndef EET_TESTS_CUDA_DOUBLE_H
#define EET_TESTS_CUDA_DOUBLE_H

#include <stdint.h>

typedef struct eet_double {
    int64_t calls;      /* of the runtime that can fail, so far */
    int64_t fails;      /* which of them does, from 1; 0: none */
    char failed[64];    /* the name of that call */
    int32_t code;       /* with what, a cudaError_t */
    int32_t sticky;     /* not 0: so do all behind it */
    int64_t made[2];    /* how many, by the device that was current */
    int64_t blocks;     /* that were allocated and not freed: memory, streams, events, graphs */
    uint64_t unused;    /* bytes that can still be allocated, */
    uint64_t all;       /* of so many */
    int32_t driver;     /* its version, 13000; 0: there is none */
    int32_t devices;    /* how many */
    int32_t capability; /* of each, 90 */
    char faulty[16];    /* an op whose kernel fails behind its launch: all calls do from then on */
    int32_t no_code;    /* not 0: the build has none for it */
    char refuses[32];   /* a call of the runtime that fails, whenever it comes */
    int32_t busy;       /* how many looks at a stream find it at work */
} eet_double;

/* Of the plugin (dlsym). */
eet_double *eet_double_get(void);
int32_t eet_double_current(void); /* the thread's device */
typedef eet_double *(*eet_double_get_fn)(void);

#endif
