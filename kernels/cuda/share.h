/* share.h - memory that the host and the device both see, see eet_backend_api. */
#ifndef EET_KERNELS_CUDA_SHARE_H
#define EET_KERNELS_CUDA_SHARE_H

#include "kernels/cuda/cuda.h"

void *eet_share(eet_backend *backend, uint64_t bytes);
void eet_unshare(eet_backend *backend, void *shared);
eet_status eet_share_wait(eet_backend *backend, const uint64_t *word, uint64_t number);

#endif
