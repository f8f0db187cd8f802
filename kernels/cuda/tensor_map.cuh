/* tensor_map.cuh - the driver's description of a tensor for the copy engine (CUtensorMap), and the
 * function that makes one, which is asked of the runtime. */
#ifndef EET_KERNELS_CUDA_TENSOR_MAP_CUH
#define EET_KERNELS_CUDA_TENSOR_MAP_CUH

#include <cuda.h>

#include "kernels/cuda/cuda.h"

using encode_tiled = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                  const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                  const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                  CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's own, without linking it; NULL: it has none. Asking takes long. */
inline encode_tiled encoder() {
    constexpr unsigned SINCE = 12000;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    void *entry = nullptr;

    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, SINCE, cudaEnableDefault,
                                         &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess) {
        return nullptr;
    }
    return (encode_tiled)entry;
}

#endif
