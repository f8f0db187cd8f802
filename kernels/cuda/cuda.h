/* cuda.h - a backend of CUDA from the inside: its C files and its .cu files alike see this. */
#ifndef EET_KERNELS_CUDA_CUDA_H
#define EET_KERNELS_CUDA_CUDA_H

#include <cuda_runtime_api.h>

#include "kernels/arguments.h"
#include "kernels/backend.h"

struct eet_backend {
    int device;          /* CUDA's number */
    int blocks;          /* multiprocessors: how wide a grid is that strides over its work */
    cudaStream_t stream; /* all work is in its order */
    bool in_turn;        /* no kernel begins before the one before it has ended (launch.cuh) */
};

#define X(op) eet_status eet_##op##_cuda(eet_backend *, const eet_##op##_args *);
EET_OP_MAP(X)
#undef X

#endif
