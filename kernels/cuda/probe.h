/* probe.h - what a device could do at best: the bounds that eet-bench compares with. */
#ifndef EET_KERNELS_CUDA_PROBE_H
#define EET_KERNELS_CUDA_PROBE_H

#include "kernels/cuda/cuda.h"

/* Does this build have code for the device? */
cudaError_t eet_cuda_has_code(void);

/* See eet_backend_api.read_rate and product_rate. */
double eet_cuda_read_rate(eet_backend *backend);
double eet_cuda_product_rate(eet_backend *backend, int32_t dtype);
/* Frees what they keep. */
void eet_cuda_rates_end(eet_backend *backend);

#endif
