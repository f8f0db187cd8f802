/* stream.h - the stream of a backend: its own, or a caller's. Its device is the thread's where a
 * cudaError_t comes back. */
#ifndef EET_KERNELS_CUDA_STREAM_H
#define EET_KERNELS_CUDA_STREAM_H

#include "kernels/cuda/cuda.h"

cudaError_t eet_stream_begin(eet_backend *backend, void *given); /* NULL: one of its own */
void eet_stream_end(eet_backend *backend);                       /* after all of its work */

/* An upload from memory that will hold something else must not be recorded into a caller's graph:
 * an error where one is being made. */
cudaError_t eet_stream_check(const eet_backend *backend);

/* eet_backend_api's. */
void *eet_stream_of(const eet_backend *backend);
eet_status eet_stream_wait(eet_backend *backend, void *stream);

#endif
