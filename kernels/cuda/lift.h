/* lift.h - much of the host's memory to the device's, behind the caller's back: weights. */
#ifndef EET_KERNELS_CUDA_LIFT_H
#define EET_KERNELS_CUDA_LIFT_H

#include "kernels/cuda/cuda.h"

/* Less of it is not worth threads. */
enum { EET_LIFT_LEAST = 1 << 20 };

/* The host's bytes are read until eet_lift_end, and are on the device then. The first call starts
 * threads that copy. The backend's device is the thread's. */
cudaError_t eet_lift_up(eet_backend *backend, void *device, const void *host, size_t bytes);
/* Waits for all of it: what went wrong first. */
cudaError_t eet_lift_wait(eet_backend *backend);
/* Waits for all of it and ends the threads: what went wrong first. Fine where nothing began. */
cudaError_t eet_lift_end(eet_backend *backend);

#endif
