/* stream.c - the stream of a backend, and its order behind a caller's: an event is recorded in that
 * one and waited for in ours, by the device. */
#include "kernels/cuda/stream.h"

#include "kernels/cuda/watch.h"

cudaError_t eet_stream_begin(eet_backend *backend, void *given) {
    if (given != NULL) {
        backend->stream = given;
        backend->borrowed = true;
        return cudaSuccess;
    }
    return cudaStreamCreateWithFlags(&backend->stream, cudaStreamNonBlocking);
}

void eet_stream_end(eet_backend *backend) {
    (void)cudaStreamSynchronize(backend->stream);
    if (backend->event != NULL) {
        (void)cudaEventDestroy(backend->event);
    }
    if (!backend->borrowed) {
        (void)cudaStreamDestroy(backend->stream);
    }
}

cudaError_t eet_stream_check(const eet_backend *backend) {
    enum cudaStreamCaptureStatus now = cudaStreamCaptureStatusNone;

    if (!backend->borrowed) {
        return cudaSuccess;
    }
    const cudaError_t code = cudaStreamIsCapturing(backend->stream, &now);

    return code == cudaSuccess && now != cudaStreamCaptureStatusNone
               ? cudaErrorStreamCaptureUnsupported
               : code;
}

void *eet_stream_of(const eet_backend *backend) {
    return backend->stream;
}

eet_status eet_stream_wait(eet_backend *backend, void *stream) {
    if (stream == backend->stream) {
        return EET_OK;
    }
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && backend->event == NULL) {
        code = cudaEventCreateWithFlags(&backend->event, cudaEventDisableTiming);
    }
    if (code == cudaSuccess) {
        code = cudaEventRecord(backend->event, stream);
    }
    if (code == cudaSuccess) {
        code = cudaStreamWaitEvent(backend->stream, backend->event, 0);
    }
    eet_device_leave(scope);
    if (code != cudaSuccess) {
        eet_watch_failure(backend, "waiting for a stream", code);
    }
    return eet_cuda_end(code);
}
