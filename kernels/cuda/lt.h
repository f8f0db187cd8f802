/* lt.h - products of 16-bit weights by cuBLASLt, where the machine has it. */
#ifndef EET_KERNELS_CUDA_LT_H
#define EET_KERNELS_CUDA_LT_H

#include "kernels/cuda/project.h"

/* Makes a product that eet_gemm_sm90 takes, with the same bits, by a library that is opened at run
 * time; false: nothing was done, as there is none (EET_CUBLASLT, see lt_find.c), or it is no
 * faster. */
bool eet_lt_multiply(eet_backend *backend, const eet_finish *f);
void eet_lt_end(eet_backend *backend);

/* What is known of biases by their addresses no longer holds. */
void eet_lt_forget(eet_backend *backend);

/* The library (lt_find.c), which stays for as long as the process lives; NULL: there is none. */
void *eet_lt_find(void);

#endif
