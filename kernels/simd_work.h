/* simd_work.h - how the fast ops share work: threads take the next piece until none is
 * left. Who does a piece never changes what comes out of it. */
#ifndef EET_KERNELS_SIMD_WORK_H
#define EET_KERNELS_SIMD_WORK_H

#include <stdatomic.h>
#include <stddef.h>

#include "kernels/cpu.h"

typedef struct pieces {
    int64_t count;
    _Atomic int64_t next;
} pieces;

static inline bool take_piece(pieces *p, int64_t *piece) {
    *piece = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
    return *piece < p->count;
}

/* Below this the other threads would wake for less than their waking costs. */
enum { WORTH_SHARING = 16384 }; /* multiply-adds or elements */

/* `context` begins with the task's pieces. */
static inline void run_task(eet_backend *backend, double work, eet_task task, void *context) {
    const pieces *p = context;

    eet_pool_run(work < WORTH_SHARING || p->count < 2 ? NULL : backend->pool, task, context);
}

#endif
