/* backend.c - CUDA as a backend: a device's memory, one stream, and every op.
 *
 * All runs in the device's primary context, never on the legacy stream; a call leaves the
 * thread's current device as it found it. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/graph.h"
#include "kernels/cuda/lift.h"
#include "kernels/cuda/lt.h"
#include "kernels/cuda/probe.h"
#include "kernels/cuda/share.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/transfer.h"
#include "kernels/cuda/watch.h"
#include "kernels/refuse.h"

enum { OLDEST_CAPABILITY = 75, THOUSAND = 1000 };

static eet_status check_driver(eet_error *error) {
    int driver = 0;

    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        return eet_refuse(error, "no CUDA driver is installed; the CPU needs none");
    }
    if (driver / THOUSAND < CUDART_VERSION / THOUSAND) { /* a minor version may be an older one */
        return eet_refuse(
            error,
            "the driver is for CUDA %d.%d, this build needs %d.0 (driver 580); update "
            "the driver, or use the CPU",
            driver / THOUSAND, driver % THOUSAND / 10, CUDART_VERSION / THOUSAND);
    }
    return EET_OK;
}

static eet_status check_device(int device, eet_error *error) {
    int count = 0;
    int major = 0;
    int minor = 0;
    cudaError_t code = cudaGetDeviceCount(&count);

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
    code = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    }
    if (code != cudaSuccess) {
        return eet_refuse(error, "CUDA device %d does not say what it is: %.200s", device,
                          cudaGetErrorString(code));
    }
    if (10 * major + minor < OLDEST_CAPABILITY) {
        return eet_refuse(error,
                          "CUDA device %d has compute capability %d.%d; this build needs 7.5",
                          device, major, minor);
    }
    return EET_OK;
}

/* How wide a grid is. EET_SMS, for tests, says for how many multiprocessors at most. */
static int count_blocks(int multiprocessors) {
    const char *text = getenv("EET_SMS");
    const long wanted = text != NULL ? strtol(text, NULL, 10) : 0;

    return wanted > 0 && wanted < multiprocessors ? (int)wanted : multiprocessors;
}

static cudaError_t look_at_device(eet_backend *backend) {
    int multiprocessors = 0;
    cudaError_t code = eet_cuda_has_code();

    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount,
                                      backend->device);
    }
    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&backend->capability, cudaDevAttrComputeCapabilityMajor,
                                      backend->device);
    }
    if (code == cudaSuccess) {
        code = cudaDeviceGetAttribute(&backend->shared, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                                      backend->device);
    }
    backend->blocks = count_blocks(multiprocessors);
    return code;
}

static eet_status tell_start(const eet_backend *backend, cudaError_t code, eet_error *error) {
    const char *why = cudaGetErrorString(code);

    if (code == cudaErrorMemoryAllocation) {
        return eet_refuse_memory(error, "CUDA device %d has no memory left to start in",
                                 backend->device);
    }
    if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
        return eet_refuse(error, "this build has no code for CUDA device %d: %.200s",
                          backend->device, why);
    }
    return code == cudaSuccess
               ? EET_OK
               : eet_refuse(error, "CUDA device %d does not start: %.200s", backend->device, why);
}

/* The primary context begins here, with the stream in it. */
static eet_status start(eet_backend *backend, const eet_backend_options *options) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code == cudaSuccess ? look_at_device(backend) : scope.code;

    if (code == cudaSuccess) {
        code = eet_stream_begin(backend, options->stream);
    }
    if (code == cudaSuccess && !options->only_memory) {
        code = eet_transfer_begin(backend);
        if (code != cudaSuccess) {
            eet_stream_end(backend);
        }
    }
    eet_device_leave(scope);
    (void)eet_cuda_end(code);
    return tell_start(backend, code, options->error);
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
        return eet_refuse_memory(options->error, "there is no memory for a CUDA backend");
    }
    backend->device = options->device;
    backend->one_by_one = options->one_by_one;
    status = start(backend, options);
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

    (void)eet_lift_end(backend);
    eet_stream_end(backend);
    eet_lt_end(backend);
    eet_transfer_end(backend);
    eet_cuda_rates_end(backend);
    eet_device_leave(scope);
    (void)eet_cuda_end(scope.code);
    free(backend);
}

/* Memory as it is, or zeroed. */
static void *allocate(eet_backend *backend, uint64_t bytes, bool zeroed) {
    const eet_device_scope scope = eet_device_enter(backend);
    void *block = NULL;
    cudaError_t code = scope.code;

    if (code == cudaSuccess) {
        code = cudaMalloc(&block, bytes > 0 ? (size_t)bytes : 1);
    }
    if (code == cudaSuccess && zeroed) {
        code = cudaMemsetAsync(block, 0, (size_t)bytes, backend->stream);
    }
    if (code == cudaSuccess && zeroed) {
        code = cudaStreamSynchronize(backend->stream);
    }
    if (code != cudaSuccess && block != NULL) {
        (void)cudaFree(block);
    }
    eet_device_leave(scope);
    return eet_watch_end(backend, "an allocation", code) == EET_OK ? block : NULL;
}

/* Of an allocation that gave nothing. */
static eet_status denied(const eet_backend *backend) {
    return backend->why[0] != '\0' ? EET_E_DEVICE : EET_E_MEMORY;
}

static void *alloc_zeroed(eet_backend *backend, uint64_t bytes) {
    return allocate(backend, bytes, true);
}

static void free_block(eet_backend *backend, void *block) {
    const eet_device_scope scope = eet_device_enter(backend);

    if (block != NULL) {
        (void)cudaFree(block);
        eet_lt_forget(backend);
    }
    eet_device_leave(scope);
}

static eet_backend_memory memory_of(eet_backend *backend) {
    const eet_device_scope scope = eet_device_enter(backend);
    size_t unused = 0;
    size_t all = 0;
    cudaError_t code = scope.code;

    if (code == cudaSuccess) {
        code = cudaMemGetInfo(&unused, &all);
    }
    eet_device_leave(scope);
    if (eet_cuda_end(code) != EET_OK) {
        unused = 0;
        all = 0;
    }
    return (eet_backend_memory){.unused = unused, .all = all, .graphs = backend->graphs};
}

/* What a recording takes is what is free less: there is no other word for it. */
static eet_status begin_graph(eet_backend *backend) {
    backend->unused_before = memory_of(backend).unused;
    return eet_graph_begin(backend);
}

static eet_status end_graph(eet_backend *backend, void **graph) {
    const eet_status status = eet_graph_end(backend, graph);
    const uint64_t unused = memory_of(backend).unused;

    if (unused < backend->unused_before) {
        backend->graphs += backend->unused_before - unused;
    }
    return status;
}

static eet_status upload(eet_backend *backend, void *device, const void *host, uint64_t bytes) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && bytes > 0) {
        code = eet_stream_check(backend);
        code = code == cudaSuccess ? eet_transfer_up(backend, device, host, (size_t)bytes) : code;
    }
    eet_device_leave(scope);
    return eet_watch_end(backend, "an upload", code);
}

static eet_status download_later(eet_backend *backend, void *host, const void *device,
                                 uint64_t bytes) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && bytes > 0) {
        code = eet_transfer_down_later(backend, host, device, (size_t)bytes);
    }
    eet_device_leave(scope);
    return eet_watch_end(backend, "a download", code);
}

static eet_status wait_for_all(eet_backend *backend) {
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code == cudaSuccess ? eet_lift_end(backend) : scope.code;

    if (code == cudaSuccess) {
        code = eet_transfer_settle(backend);
    }
    eet_device_leave(scope);
    return eet_watch_end(backend, "the device's work", code);
}

static eet_status download(eet_backend *backend, void *host, const void *device, uint64_t bytes) {
    const eet_status status = download_later(backend, host, device, bytes);

    return status == EET_OK ? wait_for_all(backend) : status;
}

/* Much of the host's memory, behind the caller's back; where that does not begin, while he waits.
 */
static eet_status bring(eet_backend *backend, void *device, const void *host, uint64_t bytes) {
    if (bytes >= EET_LIFT_LEAST) {
        const eet_device_scope scope = eet_device_enter(backend);
        const cudaError_t code = scope.code == cudaSuccess
                                     ? eet_lift_up(backend, device, host, (size_t)bytes)
                                     : scope.code;

        eet_device_leave(scope);
        if (eet_cuda_end(code) == EET_OK) {
            return EET_OK;
        }
    }
    return upload(backend, device, host, bytes);
}

/* *block in another dtype, in a block of its own. */
static eet_status convert_block(eet_backend *backend, void **block, int64_t count, int32_t from,
                                int32_t to) {
    const eet_convert_args args = {
        .x = *block,
        .y = allocate(backend, (uint64_t)count * (uint64_t)eet_float_bytes(to), false),
        .count = count,
        .from = from,
        .to = to,
    };

    if (args.y == NULL) {
        return denied(backend);
    }
    eet_status status = eet_watch_end(backend, "an upload", eet_lift_wait(backend)); /* is there */

    if (status == EET_OK) {
        status = eet_watched_ops(backend)->convert(backend, &args);
    }
    if (status == EET_OK) { /* and is read */
        status = eet_watch_end(backend, "a conversion", eet_transfer_settle(backend));
    }
    free_block(backend, status == EET_OK ? *block : args.y);
    *block = status == EET_OK ? args.y : *block;
    return status;
}

/* One row-major copy, with the host's distance between rows. */
static eet_status place(eet_backend *backend, const eet_matrix *host, int32_t dtype,
                        eet_matrix *out) {
    eet_matrix placed = *host;

    if (host->data == NULL || host->n < 1 || host->k < 1) {
        *out = placed;
        return EET_OK;
    }
    if (!eet_matrix_is_plain(host) || !eet_is_float(dtype)) {
        return EET_E_UNSUPPORTED;
    }
    const int64_t elements = (int64_t)(host->n - 1) * host->ld + host->k;
    const uint64_t bytes = (uint64_t)elements * (uint64_t)eet_float_bytes(host->dtype);
    void *block = allocate(backend, bytes, false); /* all of it is written */

    if (block == NULL) {
        return denied(backend);
    }
    eet_status status = bring(backend, block, host->data, bytes);

    if (status == EET_OK && dtype != host->dtype) {
        status = convert_block(backend, &block, elements, host->dtype, dtype);
    }
    if (status != EET_OK) {
        (void)eet_lift_end(backend);
        free_block(backend, block);
        return status;
    }
    placed.data = block;
    placed.dtype = (uint16_t)dtype;
    *out = placed;
    return EET_OK;
}

static void unplace(eet_backend *backend, eet_matrix *matrix) {
    void *block = NULL;

    (void)eet_lift_end(backend);
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
        .memory = memory_of,
        .upload = upload,
        .download = download,
        .download_later = download_later,
        .sync = wait_for_all,
        .graph_begin = begin_graph,
        .graph_end = end_graph,
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
        .read_rate = eet_cuda_read_rate,
        .product_rate = eet_cuda_product_rate,
    };

    return &api;
}
