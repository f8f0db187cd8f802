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

enum { MOST_RANGES = 64 };

/* Pieces of memory that is read once: a thread takes those of a range of its own in turn, so
 * that it reads on where it was, and then what others have left. Nobody waits for a thread that
 * begins late. Zero but for `count` at the start. */
typedef struct ranges {
    int64_t count;
    _Atomic int64_t taken[MOST_RANGES];
} ranges;

static inline bool take_near(ranges *p, int32_t part, int32_t parts, int64_t *piece) {
    const int32_t most = parts < MOST_RANGES ? parts : MOST_RANGES;

    for (int32_t i = 0; i < most; ++i) {
        const int32_t range = (part + i) % most;
        const int64_t first = p->count * range / most;
        const int64_t end = p->count * (range + 1) / most;

        *piece = first + atomic_fetch_add_explicit(&p->taken[range], 1, memory_order_relaxed);
        if (*piece < end) {
            return true;
        }
    }
    return false;
}

/* Below this the other threads would wake for less than their waking costs. */
enum { WORTH_SHARING = 16384 }; /* multiply-adds or elements */

/* `context` begins with the task's pieces. */
static inline void run_task(eet_backend *backend, double work, eet_task task, void *context) {
    const pieces *p = context;

    eet_pool_run(work < WORTH_SHARING || p->count < 2 ? NULL : backend->pool, task, context);
}

#endif
