/* pool.h - the threads of one session. The caller is worker 0; a pool of one
 * thread starts none. Workers spin some tens of microseconds for the next task, then
 * sleep. One caller at a time; tasks must not call eet_pool_run. */
#ifndef EET_KERNELS_POOL_H
#define EET_KERNELS_POOL_H

#include <stdint.h>

#include "eet_types.h"

typedef struct eet_pool eet_pool;

/* Does part `part` of `parts` of a task. */
typedef void (*eet_task)(void *context, int32_t part, int32_t parts);

/* CPUs in the affinity mask of the calling thread, at least 1. */
int32_t eet_pool_default_threads(void);

/* `threads` 0 = the default. E_MEMORY, E_LIMIT (more than 1,024, or the system
 * gives no more threads). Workers block all signals. */
eet_status eet_pool_create(int32_t threads, eet_pool **out);
void eet_pool_destroy(eet_pool *pool); /* NULL is fine */
int32_t eet_pool_threads(const eet_pool *pool);

/* Runs the task's parts, one a thread, and returns when all are done. A NULL
 * pool runs them in the calling thread as one part. */
void eet_pool_run(eet_pool *pool, eet_task task, void *context);

/* Items [*first, *first + *count) of `items` for part `part` of `parts`, in
 * multiples of `grain` except the last. */
void eet_part_range(int64_t items, int64_t grain, int32_t part, int32_t parts, int64_t *first,
                    int64_t *count);

#endif
