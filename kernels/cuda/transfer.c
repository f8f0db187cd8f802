/* transfer.c - between the host's memory and the device's. What is small goes through a ring of
 * pinned memory: an upload need not wait for the work before it, and downloads wait once for all
 * of them. */
#include "kernels/cuda/transfer.h"

#include <string.h>

enum { RING_BYTES = 4 << 20, SMALL = 256 << 10, ALIGN = 256 };

cudaError_t eet_transfer_begin(eet_backend *backend) {
    return cudaMallocHost(&backend->ring, RING_BYTES);
}

void eet_transfer_end(eet_backend *backend) {
    (void)cudaFreeHost(backend->ring);
}

cudaError_t eet_transfer_settle(eet_backend *backend) {
    const cudaError_t code = cudaStreamSynchronize(backend->stream);

    for (int i = 0; code == cudaSuccess && i < backend->arrivals; ++i) {
        const eet_arrival *one = &backend->arrival[i];

        memcpy(one->host, one->pinned, one->bytes);
    }
    backend->arrivals = 0;
    backend->ring_used = 0;
    return code;
}

/* Pinned memory that nothing on its way uses. */
static cudaError_t take(eet_backend *backend, size_t bytes, void **out) {
    const size_t taken = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    cudaError_t code = cudaSuccess;

    if (backend->ring_used + taken > RING_BYTES) {
        code = eet_transfer_settle(backend);
    }
    *out = (char *)backend->ring + backend->ring_used;
    backend->ring_used += taken;
    return code;
}

cudaError_t eet_transfer_up(eet_backend *backend, void *device, const void *host, size_t bytes) {
    void *pinned = NULL;

    if (bytes > SMALL) {
        const cudaError_t code =
            cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, backend->stream);

        return code == cudaSuccess ? eet_transfer_settle(backend) : code;
    }
    const cudaError_t code = take(backend, bytes, &pinned);

    if (code != cudaSuccess) {
        return code;
    }
    memcpy(pinned, host, bytes);
    return cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, backend->stream);
}

cudaError_t eet_transfer_down_later(eet_backend *backend, void *host, const void *device,
                                    size_t bytes) {
    void *pinned = NULL;
    cudaError_t code = cudaSuccess;

    if (bytes > SMALL) {
        code = cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, backend->stream);
        return code == cudaSuccess ? eet_transfer_settle(backend) : code;
    }
    if (backend->arrivals == EET_MOST_ARRIVALS) {
        code = eet_transfer_settle(backend);
    }
    if (code == cudaSuccess) {
        code = take(backend, bytes, &pinned);
    }
    if (code == cudaSuccess) {
        code = cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, backend->stream);
    }
    if (code == cudaSuccess) {
        backend->arrival[backend->arrivals] =
            (eet_arrival){.host = host, .pinned = pinned, .bytes = bytes};
        backend->arrivals += 1;
    }
    return code;
}
