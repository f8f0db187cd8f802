/* watch.h - the ops under their names, and what went wrong first. */
#ifndef EET_KERNELS_CUDA_WATCH_H
#define EET_KERNELS_CUDA_WATCH_H

#include "kernels/cuda/cuda.h"

const eet_ops *eet_watched_ops(const eet_backend *backend);

/* See eet_backend_api.range. */
void eet_watch_range(eet_backend *backend, const char *name, int32_t number);

/* Keeps the sentence of the first failure for eet_backend_api.why. */
void eet_watch_failure(eet_backend *backend, const char *what, cudaError_t code);
/* The same at the end of a call (see eet_cuda_end): its status. */
eet_status eet_watch_end(eet_backend *backend, const char *what, cudaError_t code);

#endif
