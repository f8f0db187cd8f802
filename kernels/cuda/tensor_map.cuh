/* tensor_map.cuh - the driver's description of a tensor for the copy engine (CUtensorMap): types
 * alone, the function that makes one is asked of the runtime. */
#ifndef EET_KERNELS_CUDA_TENSOR_MAP_CUH
#define EET_KERNELS_CUDA_TENSOR_MAP_CUH

#include <cuda.h>

#endif
