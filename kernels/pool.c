/* pool.c - worker threads that spin for some tens of microseconds, then sleep. */
#include "kernels/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 1024, SPIN_NS = 50000 };

typedef struct eet_worker {
    pthread_t thread;
    eet_pool *pool;
    int32_t part;
} eet_worker;

/* A task is published by a new `round`; `task` and `context` are plain because they
 * change only while no worker is in a round. Whoever sleeps says so first and then
 * looks again, whoever wakes changes first and then looks for sleepers: one of the
 * two sees the other. */
struct eet_pool {
    int32_t threads;
    int32_t started;
    pid_t process; /* a child of fork has the memory but not the threads */
    eet_task task;
    void *context;
    bool stopping;
    _Atomic uint32_t round;
    _Atomic int32_t unfinished;
    _Atomic int32_t sleepers;
    _Atomic bool caller_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t done;
    eet_worker worker[];
};

int32_t eet_pool_default_threads(void) {
    cpu_set_t set;
    long count = 0;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    } else { /* more CPUs than a cpu_set_t holds */
        count = sysconf(_SC_NPROCESSORS_ONLN);
    }
    if (count > MAX_THREADS) {
        return MAX_THREADS;
    }
    return count < 1 ? 1 : (int32_t)count;
}

static int64_t now_ns(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Reading the clock is the pause between two looks. */
static bool spin_for_round(eet_pool *pool, uint32_t seen) {
    const int64_t end = now_ns() + SPIN_NS;

    do {
        if (atomic_load_explicit(&pool->round, memory_order_acquire) != seen) {
            return true;
        }
    } while (now_ns() < end);
    return false;
}

static bool spin_for_workers(eet_pool *pool) {
    const int64_t end = now_ns() + SPIN_NS;

    do {
        if (atomic_load_explicit(&pool->unfinished, memory_order_acquire) == 0) {
            return true;
        }
    } while (now_ns() < end);
    return false;
}

static void wait_for_round(eet_pool *pool, uint32_t seen) {
    if (spin_for_round(pool, seen)) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    (void)atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->round) == seen) {
        (void)pthread_cond_wait(&pool->work, &pool->lock);
    }
    (void)atomic_fetch_sub(&pool->sleepers, 1);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(eet_pool *pool) {
    if (spin_for_workers(pool)) {
        return;
    }
    (void)pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->unfinished) != 0) {
        (void)pthread_cond_wait(&pool->done, &pool->lock);
    }
    atomic_store(&pool->caller_sleeps, false);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void start_round(eet_pool *pool) {
    (void)atomic_fetch_add(&pool->round, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        (void)pthread_mutex_lock(&pool->lock);
        (void)pthread_cond_broadcast(&pool->work);
        (void)pthread_mutex_unlock(&pool->lock);
    }
}

static void finish_part(eet_pool *pool) {
    if (atomic_fetch_sub(&pool->unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
        (void)pthread_mutex_lock(&pool->lock);
        (void)pthread_cond_signal(&pool->done);
        (void)pthread_mutex_unlock(&pool->lock);
    }
}

static void *work(void *argument) {
    const eet_worker *worker = argument;
    eet_pool *pool = worker->pool;

    for (uint32_t seen = 0;; ++seen) {
        wait_for_round(pool, seen);
        if (pool->stopping) {
            return NULL;
        }
        pool->task(pool->context, worker->part, pool->threads);
        finish_part(pool);
    }
}

/* Threads inherit the mask of signals: a handler of the program never runs in one. */
static bool start_workers(eet_pool *pool) {
    sigset_t all;
    sigset_t before;
    bool started = true;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started && pool->started < pool->threads - 1) {
        eet_worker *worker = &pool->worker[pool->started];

        *worker = (eet_worker){.pool = pool, .part = pool->started + 1};
        started = pthread_create(&worker->thread, NULL, work, worker) == 0;
        pool->started += started ? 1 : 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

eet_status eet_pool_create(int32_t threads, eet_pool **out) {
    const int32_t count = threads == 0 ? eet_pool_default_threads() : threads;

    if (count < 1 || count > MAX_THREADS) {
        return EET_E_LIMIT;
    }
    eet_pool *pool = calloc(1, sizeof *pool + (size_t)(count - 1) * sizeof pool->worker[0]);

    if (pool == NULL) {
        return EET_E_MEMORY;
    }
    pool->threads = count;
    pool->process = getpid();
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->done, NULL);
    if (!start_workers(pool)) {
        eet_pool_destroy(pool);
        return EET_E_LIMIT;
    }
    *out = pool;
    return EET_OK;
}

void eet_pool_destroy(eet_pool *pool) {
    if (pool == NULL) {
        return;
    }
    if (pool->process == getpid()) {
        pool->stopping = true;
        start_round(pool);
        for (int32_t i = 0; i < pool->started; ++i) {
            (void)pthread_join(pool->worker[i].thread, NULL);
        }
        (void)pthread_cond_destroy(&pool->done);
        (void)pthread_cond_destroy(&pool->work);
        (void)pthread_mutex_destroy(&pool->lock);
    }
    free(pool);
}

int32_t eet_pool_threads(const eet_pool *pool) {
    return pool->threads;
}

void eet_pool_run(eet_pool *pool, eet_task task, void *context) {
    if (pool == NULL || pool->threads == 1) {
        task(context, 0, 1);
        return;
    }
    pool->task = task;
    pool->context = context;
    atomic_store(&pool->unfinished, pool->threads - 1);
    start_round(pool);
    task(context, 0, pool->threads);
    wait_for_workers(pool);
}

void eet_part_range(int64_t items, int64_t grain, int32_t part, int32_t parts, int64_t *first,
                    int64_t *count) {
    const int64_t grains = items / grain + (items % grain != 0);
    const int64_t even = grains / parts;
    const int64_t extra = grains % parts;
    const int64_t begin = part * even + (part < extra ? part : extra);
    const int64_t end = begin + even + (part < extra ? 1 : 0);

    *first = begin * grain < items ? begin * grain : items;
    *count = (end * grain < items ? end * grain : items) - *first;
}
