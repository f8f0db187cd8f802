/* watch.c - every op under its name: as a range for a profiler (NVTX), and, for who asked for it
 * (EET_SYNC), finished before the next one begins, so that the one that fails is known. */
#include "kernels/cuda/watch.h"

#include <nvtx3/nvToolsExt.h>
#include <stdio.h>

#include "kernels/cuda/transfer.h"

void eet_watch_failure(eet_backend *backend, const char *what, cudaError_t code) {
    if (code == cudaSuccess || code == cudaErrorMemoryAllocation) {
        return; /* there being no memory ends nothing */
    }
    if (backend->why[0] == '\0') { /* the first one is the cause of the others */
        (void)snprintf(backend->why, sizeof backend->why, "%s: %s", what, cudaGetErrorString(code));
    }
}

eet_status eet_watch_end(eet_backend *backend, const char *what, cudaError_t code) {
    eet_watch_failure(backend, what, code);
    return eet_cuda_end(code);
}

static eet_status finish(eet_backend *backend, const char *op) {
    const eet_device_scope scope = eet_device_enter(backend);
    const cudaError_t code = scope.code == cudaSuccess ? eet_transfer_settle(backend) : scope.code;

    eet_device_leave(scope);
    return eet_watch_end(backend, op, code);
}

#define X(op)                                                                           \
    static eet_status op##_watched(eet_backend *backend, const eet_##op##_args *args) { \
        (void)nvtxRangePushA(#op);                                                      \
        (void)cudaGetLastError(); /* what was left behind is not this op's */           \
        eet_status status = eet_##op##_cuda(backend, args);                             \
                                                                                        \
        if (status == EET_OK && backend->one_by_one) {                                  \
            status = finish(backend, #op);                                              \
        } else if (status != EET_OK) {                                                  \
            eet_watch_failure(backend, #op, cudaGetLastError());                        \
        }                                                                               \
        (void)nvtxRangePop();                                                           \
        return status;                                                                  \
    }
EET_OP_MAP(X)
#undef X

const eet_ops *eet_watched_ops(const eet_backend *backend) {
    static const eet_ops ops = {
#define X(op) .op = op##_watched,
        EET_OP_MAP(X)
#undef X
    };

    (void)backend;
    return &ops;
}

void eet_watch_range(eet_backend *backend, const char *name, int32_t number) {
    char text[32];

    (void)backend;
    if (name == NULL) {
        (void)nvtxRangePop();
        return;
    }
    if (number >= 0) {
        (void)snprintf(text, sizeof text, "%s %d", name, (int)number);
        name = text;
    }
    (void)nvtxRangePushA(name);
}
