/* lift.c - much of the host's memory to the device's. Threads take it a piece at a time: each has
 * two pieces of pinned memory, and fills one while the bus empties the other. So the disk, the
 * copies and the bus work at once, and what is slowest of them sets the pace. */
#include "kernels/cuda/lift.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

enum { PIECE = 2 << 20, PIECES = 2, MOST_COPIERS = 8 };

typedef struct copier {
    struct eet_lift *lift;
    pthread_t thread;
    cudaStream_t stream;
    cudaEvent_t sent[PIECES];
    char *pinned; /* (PIECES * PIECE) */
} copier;

/* One block of memory at a time; `left` of it nobody has taken yet. */
struct eet_lift {
    int device;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *from;
    char *to;
    size_t left;
    int filling; /* pieces that are being copied to pinned memory */
    bool over;
    cudaError_t code; /* the first failure */
    void *pinned;
    int copiers;
    copier copier[MOST_COPIERS];
};

typedef struct piece {
    const char *from;
    char *to;
    size_t bytes;
} piece;

/* Waits for work; false when there will be none. */
static bool take(eet_lift *lift, piece *out) {
    (void)pthread_mutex_lock(&lift->lock);
    while (lift->left == 0 && !lift->over) {
        (void)pthread_cond_wait(&lift->changed, &lift->lock);
    }
    const size_t bytes = lift->left < PIECE ? lift->left : PIECE;

    *out = (piece){lift->from, lift->to, bytes};
    lift->from += bytes;
    lift->to += bytes;
    lift->left -= bytes;
    lift->filling += bytes > 0 ? 1 : 0;
    if (lift->left == 0) {
        (void)pthread_cond_broadcast(&lift->changed);
    }
    (void)pthread_mutex_unlock(&lift->lock);
    return bytes > 0;
}

/* A piece is on the bus, or is not. */
static void note(eet_lift *lift, cudaError_t code) {
    (void)pthread_mutex_lock(&lift->lock);
    if (lift->code == cudaSuccess) {
        lift->code = code;
    }
    lift->filling -= 1;
    if (lift->filling == 0) {
        (void)pthread_cond_broadcast(&lift->changed);
    }
    (void)pthread_mutex_unlock(&lift->lock);
}

/* The pages of a mapped file are read together, not one fault after the other. */
static void bring_in(const char *from, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)from / page * page;
    void *start = NULL;

    memcpy(&start, &first, sizeof start);
    (void)madvise(start, (size_t)((uintptr_t)from + bytes - first), MADV_WILLNEED);
    (void)madvise(start, (size_t)((uintptr_t)from + bytes - first), MADV_POPULATE_READ);
}

static cudaError_t send_piece(const copier *c, const piece *p, int half) {
    char *pinned = c->pinned + (size_t)half * PIECE;
    cudaError_t code = cudaEventSynchronize(c->sent[half]); /* its last piece is gone */

    if (code == cudaSuccess) {
        bring_in(p->from, p->bytes);
        memcpy(pinned, p->from, p->bytes);
        code = cudaMemcpyAsync(p->to, pinned, p->bytes, cudaMemcpyHostToDevice, c->stream);
    }
    return code == cudaSuccess ? cudaEventRecord(c->sent[half], c->stream) : code;
}

static void *copy_pieces(void *context) {
    const copier *c = context;
    const cudaError_t there = cudaSetDevice(c->lift->device);
    piece p;

    for (int half = 0; take(c->lift, &p); half = (half + 1) % PIECES) {
        note(c->lift, there == cudaSuccess ? send_piece(c, &p, half) : there);
    }
    return NULL;
}

static int count_copiers(void) {
    cpu_set_t set;
    const int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return cpus < MOST_COPIERS ? cpus : MOST_COPIERS;
}

static void free_copier(copier *c) {
    for (int i = 0; i < PIECES; ++i) {
        if (c->sent[i] != NULL) {
            (void)cudaEventDestroy(c->sent[i]);
        }
    }
    if (c->stream != NULL) {
        (void)cudaStreamDestroy(c->stream);
    }
}

static cudaError_t make_copier(copier *c) {
    cudaError_t code = cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking);

    for (int i = 0; i < PIECES && code == cudaSuccess; ++i) {
        code =
            cudaEventCreateWithFlags(&c->sent[i], cudaEventDisableTiming | cudaEventBlockingSync);
    }
    if (code == cudaSuccess && pthread_create(&c->thread, NULL, copy_pieces, c) != 0) {
        code = cudaErrorOperatingSystem;
    }
    if (code != cudaSuccess) {
        free_copier(c);
    }
    return code;
}

/* At least one copier, or the failure. Signals are for the caller's threads. */
static cudaError_t begin(eet_backend *backend) {
    eet_lift *lift = calloc(1, sizeof *lift);
    const int wanted = count_copiers();
    cudaError_t code = lift != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
    sigset_t all;
    sigset_t before;

    if (code == cudaSuccess) {
        code = cudaMallocHost(&lift->pinned, (size_t)wanted * PIECES * PIECE);
    }
    if (code != cudaSuccess) {
        free(lift);
        return code;
    }
    lift->device = backend->device;
    (void)pthread_mutex_init(&lift->lock, NULL);
    (void)pthread_cond_init(&lift->changed, NULL);
    backend->lift = lift;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < wanted && code == cudaSuccess; ++i) {
        copier *c = &lift->copier[i];

        *c = (copier){.lift = lift, .pinned = (char *)lift->pinned + (size_t)i * PIECES * PIECE};
        code = make_copier(c);
        lift->copiers += code == cudaSuccess ? 1 : 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return lift->copiers > 0 ? cudaSuccess : code;
}

cudaError_t eet_lift_up(eet_backend *backend, void *device, const void *host, size_t bytes) {
    cudaError_t code = backend->lift == NULL ? begin(backend) : cudaSuccess;

    if (code != cudaSuccess) {
        (void)eet_lift_end(backend);
        return code;
    }
    eet_lift *lift = backend->lift;

    (void)pthread_mutex_lock(&lift->lock);
    while (lift->left > 0) {
        (void)pthread_cond_wait(&lift->changed, &lift->lock);
    }
    code = lift->code;
    if (code == cudaSuccess) {
        lift->from = host;
        lift->to = device;
        lift->left = bytes;
        (void)pthread_cond_broadcast(&lift->changed);
    }
    (void)pthread_mutex_unlock(&lift->lock);
    return code;
}

cudaError_t eet_lift_wait(eet_backend *backend) {
    eet_lift *lift = backend->lift;

    if (lift == NULL) {
        return cudaSuccess;
    }
    (void)pthread_mutex_lock(&lift->lock);
    while (lift->left > 0 || lift->filling > 0) {
        (void)pthread_cond_wait(&lift->changed, &lift->lock);
    }
    (void)pthread_mutex_unlock(&lift->lock);
    for (int i = 0; i < lift->copiers; ++i) {
        const cudaError_t code = cudaStreamSynchronize(lift->copier[i].stream);

        if (lift->code == cudaSuccess) {
            lift->code = code;
        }
    }
    return lift->code;
}

cudaError_t eet_lift_end(eet_backend *backend) {
    eet_lift *lift = backend->lift;
    const cudaError_t code = eet_lift_wait(backend);

    if (lift == NULL) {
        return cudaSuccess;
    }
    (void)pthread_mutex_lock(&lift->lock);
    lift->over = true;
    (void)pthread_cond_broadcast(&lift->changed);
    (void)pthread_mutex_unlock(&lift->lock);
    for (int i = 0; i < lift->copiers; ++i) {
        (void)pthread_join(lift->copier[i].thread, NULL);
        free_copier(&lift->copier[i]);
    }
    (void)cudaFreeHost(lift->pinned);
    (void)pthread_cond_destroy(&lift->changed);
    (void)pthread_mutex_destroy(&lift->lock);
    free(lift);
    backend->lift = NULL;
    return code;
}
