/* backend.c - CUDA as a backend: a device's memory, one stream, and every op.
 *
 * All runs in the device's primary context, never on the legacy stream; a call leaves the
 * thread's current device as it found it. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/graph.h"
#include "kernels/cuda/lt.h"
#include "kernels/cuda/share.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/transfer.h"
#include "kernels/cuda/watch.h"
#include "kernels/refuse.h"

enum { OLDEST_CAPABILITY = 75, THOUSAND = 1000 };

static eet_status status_of(cudaError_t code) {
    return code == cudaSuccess ? EET_OK : EET_E_DEVICE;
}

static eet_status check_driver(eet_error *error) {
    int driver = 0;

    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        return eet_refuse(error, "no CUDA driver is installed; the CPU needs none");
    }
    if (driver < CUDART_VERSION) {
        return eet_refuse(
            error,
            "the driver is for CUDA %d.%d, this build needs %d.%d (driver 580); update the "
            "driver, or use the CPU",
            driver / THOUSAND, driver % THOUSAND / 10, CUDART_VERSION / THOUSAND,
            CUDART_VERSION % THOUSAND / 10);
    }
    return EET_OK;
}

static eet_status check_device(int device, eet_error *error) {
    int count = 0;
    int major = 0;
    int minor = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);

    if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0)) {
        return eet_refuse(error, "this machine has no CUDA device; the CPU needs none");
    }
    if (code != cudaSuccess) {
        return eet_refuse(error, "CUDA does not start: %.200s", cudaGetErrorString(code));
    }
    if (device < 0 || device >= count) {
        return eet_refuse(error, "there is no CUDA device %d; this machine has %d, from 0", device,
                          count);
    }
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
        return eet_refuse(error, "CUDA device %d does not say what it is", device);
    }
    if (10 * major + minor < OLDEST_CAPABILITY) {
        return eet_refuse(error,
                          "CUDA device %d has compute capability %d.%d; this build needs 7.5",
                          device, major, minor);
    }
    return EET_OK;
}

/* The primary context begins here, with the stream in it. */
static eet_status start(eet_backend *backend, void *stream, eet_error *error) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&backend->blocks, cudaDevAttrMultiProcessorCount,
                                      backend->device);
    }
    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&backend->capability, cudaDevAttrComputeCapabilityMajor,
                                      backend->device);
    }
    if (code == cudaSuccess) {
        code = eet_stream_begin(backend, stream);
    }
    if (code == cudaSuccess) {
        code = eet_transfer_begin(backend);
        if (code != cudaSuccess) {
            eet_stream_end(backend);
        }
    }
    eet_device_leave(scope);
    if (code == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        (void)eet_refuse(error, "CUDA device %d has no memory left to start in", backend->device);
        return EET_E_MEMORY;
    }
    if (code != cudaSuccess) {
        return eet_refuse(error, "CUDA device %d does not start: %.200s", backend->device,
                          cudaGetErrorString(code));
    }
    return EET_OK;
}

static eet_status open_cuda(const eet_backend_options *options, eet_backend **out) {
    eet_status status = check_driver(options->error);

    if (status == EET_OK) {
        status = check_device(options->device, options->error);
    }
    if (status != EET_OK) {
        return status;
    }
    eet_backend *backend = calloc(1, sizeof *backend);

    if (backend == NULL) {
        (void)eet_refuse(options->error, "there is no memory for a CUDA backend");
        return EET_E_MEMORY;
    }
    backend->device = options->device;
    backend->one_by_one = options->one_by_one;
    status = start(backend, options->stream, options->error);
    if (status != EET_OK) {
        free(backend);
        return status;
    }
    *out = backend;
    return EET_OK;
}

static void close_cuda(eet_backend *backend) {
    if (backend == NULL) {
        return;
    }
    const eet_device_scope scope = eet_device_enter(backend);

    if (scope.code == cudaSuccess) {
        eet_stream_end(backend);
        eet_lt_end(backend);
        eet_transfer_end(backend);
    }
    eet_device_leave(scope);
    free(backend);
}

/* Memory as it is, or zeroed. */
static void *allocate(eet_backend *backend, uint64_t bytes, bool zeroed) {
    const eet_device_scope scope = eet_device_enter(backend);
    void *block = NULL;

    if (scope.code != cudaSuccess || bytes > SIZE_MAX ||
        cudaMalloc(&block, bytes > 0 ? (size_t)bytes : 1) != cudaSuccess) {
        (void)cudaGetLastError(); /* there being no memory is no error of the next call */
        block = NULL;
    } else if (zeroed &&
               (cudaMemsetAsync(block, 0, (size_t)bytes, backend->stream) != cudaSuccess ||
                cudaStreamSynchronize(backend->stream) != cudaSuccess)) {
        (void)cudaFree(block);
        block = NULL;
    }
    eet_device_leave(scope);
    return block;
}

static void *alloc_zeroed(eet_backend *backend, uint64_t bytes) {
    return allocate(backend, bytes, true);
}

static void free_block(eet_backend *backend, void *block) {
    const eet_device_scope scope = eet_device_enter(backend);

    if (block != NULL && scope.code == cudaSuccess) {
        (void)cudaFree(block);
        eet_lt_forget(backend);
    }
    eet_device_leave(scope);
}

static uint64_t unused_of(eet_backend *backend) {
    const eet_device_scope scope = eet_device_enter(backend);
    size_t unused = 0;
    size_t all = 0;

    if (scope.code != cudaSuccess || cudaMemGetInfo(&unused, &all) != cudaSuccess) {
        unused = 0;
    }
    eet_device_leave(scope);
    return unused;
}

static eet_status upload(eet_backend *backend, void *device, const void *host, uint64_t bytes) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && bytes > 0) {
        code = eet_stream_check(backend);
        code = code == cudaSuccess ? eet_transfer_up(backend, device, host, (size_t)bytes) : code;
    }
    eet_device_leave(scope);
    if (code != cudaSuccess) {
        eet_watch_failure(backend, "an upload", code);
    }
    return status_of(code);
}

static eet_status download_later(eet_backend *backend, void *host, const void *device,
                                 uint64_t bytes) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && bytes > 0) {
        code = eet_transfer_down_later(backend, host, device, (size_t)bytes);
    }
    eet_device_leave(scope);
    return status_of(code);
}

static eet_status wait_for_all(eet_backend *backend) {
    const eet_device_scope scope = eet_device_enter(backend);
    const cudaError_t code = scope.code == cudaSuccess ? eet_transfer_settle(backend) : scope.code;

    eet_device_leave(scope);
    if (code != cudaSuccess) {
        eet_watch_failure(backend, "the device's work", code);
    }
    return status_of(code);
}

static eet_status download(eet_backend *backend, void *host, const void *device, uint64_t bytes) {
    const eet_status status = download_later(backend, host, device, bytes);

    return status == EET_OK ? wait_for_all(backend) : status;
}

/* One row-major copy, with the host's distance between rows. */
static eet_status place(eet_backend *backend, const eet_matrix *host, eet_matrix *out) {
    eet_matrix placed = *host;

    if (host->data == NULL || host->n < 1 || host->k < 1) {
        *out = placed;
        return EET_OK;
    }
    if (!eet_matrix_is_plain(host)) {
        return EET_E_UNSUPPORTED;
    }
    const uint64_t elements = (uint64_t)(host->n - 1) * (uint64_t)host->ld + (uint64_t)host->k;
    const uint64_t bytes = elements * (uint64_t)eet_float_bytes(host->dtype);
    void *block = allocate(backend, bytes, false); /* all of it is written */

    if (block == NULL) {
        return EET_E_MEMORY;
    }
    const eet_status status = upload(backend, block, host->data, bytes);

    if (status != EET_OK) {
        free_block(backend, block);
        return status;
    }
    placed.data = block;
    *out = placed;
    return EET_OK;
}

static void unplace(eet_backend *backend, eet_matrix *matrix) {
    void *block = NULL;

    memcpy(&block, &matrix->data, sizeof block); /* ours, though it is const to all others */
    free_block(backend, block);
    *matrix = (eet_matrix){0};
}

static int32_t inner_of(const eet_backend *backend, int32_t weights) {
    (void)backend;
    return weights == EET_F16 || weights == EET_BF16 ? weights : 0;
}

static bool has_families(const eet_backend *backend) {
    (void)backend;
    return true;
}

static const char *why_of(const eet_backend *backend) {
    return backend->why;
}

/* Of the host, and it works alone. */
static int32_t threads_of(const eet_backend *backend) {
    (void)backend;
    return 1;
}

EET_API const eet_backend_api *eet_backend_entry(void) {
    static const eet_backend_api api = {
        .size = sizeof api,
        .interface = EET_INTERFACE,
        .name = "cuda",
        .open = open_cuda,
        .close = close_cuda,
        .alloc = alloc_zeroed,
        .free = free_block,
        .unused = unused_of,
        .upload = upload,
        .download = download,
        .download_later = download_later,
        .sync = wait_for_all,
        .graph_begin = eet_graph_begin,
        .graph_end = eet_graph_end,
        .graph_launch = eet_graph_launch,
        .graph_free = eet_graph_free,
        .share = eet_share,
        .unshare = eet_unshare,
        .wait_for = eet_share_wait,
        .place = place,
        .unplace = unplace,
        .inner = inner_of,
        .families = has_families,
        .why = why_of,
        .range = eet_watch_range,
        .ops = eet_watched_ops,
        .threads = threads_of,
        .stream = eet_stream_of,
        .wait_stream = eet_stream_wait,
    };

    return &api;
}
