/* few.h - project and score of EET_FEW, for at most EET_FEW_TOKENS rows. */
#ifndef EET_KERNELS_CUDA_FEW_H
#define EET_KERNELS_CUDA_FEW_H

#include "kernels/cuda/cuda.h"

/* Is a call for this family, with operands that it has code for? */
bool eet_few_takes(const eet_backend *backend, const eet_project_args *a);

/* y of rows index[i] of x; NULL = 0, 1, 2 ... */
eet_status eet_project_few(const eet_backend *backend, const eet_project_args *a,
                           const int32_t *index);

#endif
