/* share.c - memory of the host that kernels write into, and the wait for what they write. */
#include "kernels/cuda/share.h"

#include <sched.h>
#include <string.h>

#include "kernels/cuda/watch.h"

enum { LOOKS = 1 << 14 }; /* at a word, before one at the stream: half a millisecond or so */

void *eet_share(eet_backend *backend, uint64_t bytes) {
    const eet_device_scope scope = eet_device_enter(backend);
    void *shared = NULL;

    const cudaError_t code = scope.code == cudaSuccess
                                 ? cudaHostAlloc(&shared, (size_t)bytes, cudaHostAllocMapped)
                                 : scope.code;

    eet_device_leave(scope);
    return eet_watch_end(backend, "shared memory", code) == EET_OK
               ? memset(shared, 0, (size_t)bytes)
               : NULL;
}

void eet_unshare(eet_backend *backend, void *shared) {
    const eet_device_scope scope = eet_device_enter(backend);

    if (shared != NULL) {
        (void)cudaFreeHost(shared);
    }
    eet_device_leave(scope);
}

static bool is_there(const uint64_t *word, uint64_t number) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) >= number;
}

static void pause_a_little(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Does work go on? An idle stream has written all that it will. */
static eet_status look_at_stream(eet_backend *backend, const uint64_t *word, uint64_t number) {
    const eet_device_scope scope = eet_device_enter(backend);
    const cudaError_t code =
        scope.code == cudaSuccess ? cudaStreamQuery(backend->stream) : scope.code;

    eet_device_leave(scope);
    if (code == cudaErrorNotReady || is_there(word, number)) {
        return EET_OK;
    }
    eet_watch_failure(backend, "a step ahead of the host",
                      code == cudaSuccess ? cudaErrorNotReady : code);
    return EET_E_DEVICE;
}

eet_status eet_share_wait(eet_backend *backend, const uint64_t *word, uint64_t number) {
    eet_status status = EET_OK;

    for (int32_t i = 1; status == EET_OK && !is_there(word, number); ++i) {
        pause_a_little();
        if (i == LOOKS) {
            status = look_at_stream(backend, word, number);
            (void)sched_yield();
            i = 0;
        }
    }
    return status;
}
