/* transfer.h - copies between the host and the device, in the order of the backend's stream. The
 * backend's device is the thread's. */
#ifndef EET_KERNELS_CUDA_TRANSFER_H
#define EET_KERNELS_CUDA_TRANSFER_H

#include "kernels/cuda/cuda.h"

cudaError_t eet_transfer_begin(eet_backend *backend);
void eet_transfer_end(eet_backend *backend);

/* The host's bytes are free to change when this returns. */
cudaError_t eet_transfer_up(eet_backend *backend, void *device, const void *host, size_t bytes);
/* The host's bytes are there after eet_transfer_settle. */
cudaError_t eet_transfer_down_later(eet_backend *backend, void *host, const void *device,
                                    size_t bytes);
/* Waits for all work, and hands out what was downloaded. */
cudaError_t eet_transfer_settle(eet_backend *backend);

#endif
