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

/* An error where a stream's work is being recorded. */
static cudaError_t check_idle(cudaStream_t stream) {
    enum cudaStreamCaptureStatus now = cudaStreamCaptureStatusNone;
    const cudaError_t code = cudaStreamIsCapturing(stream, &now);

    return code == cudaSuccess && now != cudaStreamCaptureStatusNone
               ? cudaErrorStreamCaptureUnsupported
               : code;
}

cudaError_t eet_stream_check(const eet_backend *backend) {
    return backend->borrowed ? check_idle(backend->stream) : cudaSuccess;
}

void *eet_stream_of(const eet_backend *backend) {
    return backend->stream;
}

/* Of a stream that is recorded its event takes ours into the recording: not one that we have to
 * wait for ourselves. */
static cudaError_t wait_for_event(eet_backend *backend, cudaStream_t stream) {
    cudaError_t code = backend->event == NULL
                           ? cudaEventCreateWithFlags(&backend->event, cudaEventDisableTiming)
                           : cudaSuccess;

    if (code == cudaSuccess) {
        code = cudaEventRecord(backend->event, stream);
    }
    return code == cudaSuccess ? cudaStreamWaitEvent(backend->stream, backend->event, 0) : code;
}

/* A stream that is not to be waited for is the caller's mistake, and nothing happened. */
static eet_status status_of(cudaError_t code) {
    switch (code) {
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorStreamCaptureIsolation:
        return EET_E_STATE;
    case cudaErrorInvalidResourceHandle:
        return EET_E_ARGUMENT;
    default:
        return eet_cuda_status(code);
    }
}

eet_status eet_stream_wait(eet_backend *backend, void *stream) {
    if (stream == backend->stream) {
        return EET_OK;
    }
    const eet_device_scope scope = eet_device_enter(backend);
    cudaError_t code = scope.code;

    if (code == cudaSuccess && !backend->borrowed) {
        code = check_idle(stream);
    }
    if (code == cudaSuccess) {
        code = wait_for_event(backend, stream);
    }
    eet_device_leave(scope);
    const eet_status status = status_of(code);

    (void)eet_cuda_end(code);
    if (status == EET_E_DEVICE) {
        eet_watch_failure(backend, "waiting for a stream", code);
    }
    return status;
}
