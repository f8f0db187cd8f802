/* cuda.h - a backend of CUDA from the inside: its C files and its .cu files alike see this. */
#ifndef EET_KERNELS_CUDA_CUDA_H
#define EET_KERNELS_CUDA_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/arguments.h"
#include "kernels/backend.h"

/* A download on its way: from pinned memory to where the caller wants it. */
typedef struct eet_arrival {
    void *host;
    const void *pinned;
    size_t bytes;
} eet_arrival;

enum { EET_MOST_ARRIVALS = 64 };

typedef struct eet_lt eet_lt;     /* lt.c */
typedef struct eet_lift eet_lift; /* lift.c */

struct eet_backend {
    int device;          /* CUDA's number */
    int capability;      /* the major number of its compute capability */
    int blocks;          /* multiprocessors: how wide a grid is that strides over its work */
    int shared;          /* bytes of shared memory that a block can have: some have 99 KiB */
    cudaStream_t stream; /* all work is in its order */
    bool in_turn;        /* no kernel begins before the one before it has ended (launch.cuh) */
    bool one_by_one;     /* see eet_backend_options */
    char why[200];       /* the first failure */
    void *ring;          /* pinned memory for what is small (transfer.c) */
    size_t ring_used;
    eet_arrival arrival[EET_MOST_ARRIVALS];
    int arrivals;
    void *probe;                    /* memory to read, of who asked for rates (probe.cu) */
    eet_lift *lift;                 /* NULL: no weights are on their way */
    uint64_t unused_before, graphs; /* see eet_backend_memory; before a recording */
    eet_lt *lt;                     /* NULL without cuBLASLt */
    bool lt_asked;
    bool borrowed;     /* the stream is a caller's */
    cudaEvent_t event; /* to wait for other streams (stream.c); NULL until one is needed */
};

/* The backend's device becomes the thread's; the scope knows what it was before. What frees goes on
 * where that fails: memory, streams and graphs know their device. */
typedef struct eet_device_scope {
    int before;
    cudaError_t code;
} eet_device_scope;

static inline eet_device_scope eet_device_enter(const eet_backend *backend) {
    eet_device_scope scope = {-1, cudaSuccess};

    scope.code = cudaGetDevice(&scope.before);
    if (scope.code == cudaSuccess) {
        scope.code = cudaSetDevice(backend->device);
    }
    return scope;
}

static inline void eet_device_leave(eet_device_scope scope) {
    if (scope.before >= 0) {
        (void)cudaSetDevice(scope.before);
    }
}

/* What a call of CUDA gave, as a status. */
static inline eet_status eet_cuda_status(cudaError_t code) {
    return code == cudaSuccess                 ? EET_OK
           : code == cudaErrorMemoryAllocation ? EET_E_MEMORY
                                               : EET_E_DEVICE;
}

/* The same where the call is over: CUDA forgets what it was, and the next does not fail for it. */
static inline eet_status eet_cuda_end(cudaError_t code) {
    if (code != cudaSuccess) {
        (void)cudaGetLastError();
    }
    return eet_cuda_status(code);
}

#define X(op) eet_status eet_##op##_cuda(eet_backend *, const eet_##op##_args *);
EET_OP_MAP(X)
#undef X

#endif
