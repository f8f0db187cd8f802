/* launch.cuh - kernels that may begin while the one before them in the stream still runs.
 *
 * Such a kernel calls let_next_begin(), at once where nothing is against it, reads what no kernel
 * writes (weights, norms, biases), and in every thread calls wait_for_previous() before it touches
 * anything else, writes or returns: what came before has then ended, with all that it wrote. Where
 * the device or the backend has no such launches both calls do nothing, and the bits are the same.
 */
#ifndef EET_KERNELS_CUDA_LAUNCH_CUH
#define EET_KERNELS_CUDA_LAUNCH_CUH

#include "kernels/cuda/common.cuh"

constexpr int HOPPER = 9; /* the first major capability with early launches and clusters */
constexpr size_t SHARED_UNASKED = 48 << 10;

/* A parameter's type as the kernel says it, whatever the argument's is. */
template <typename T> struct as_is { using type = T; };

struct launch_shape {
    dim3 grid;
    unsigned threads;
    size_t shared;    /* dynamic bytes */
    unsigned cluster; /* blocks along x that share their memories; 1 below HOPPER */
};

/* All that a block of the kernel can have: the bound is the kernel's, whoever launches it, and with
 * the bytes of one launch a thread would take away what another one's is about to need. */
inline void ask_for_shared(const eet_backend *backend, const void *kernel) {
    cudaFuncAttributes has = {};

    if (cudaFuncGetAttributes(&has, kernel) != cudaSuccess) {
        return; /* the launch fails */
    }
    const int left = backend->shared - (int)has.sharedSizeBytes;

    if (has.maxDynamicSharedSizeBytes < left) {
        (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, left);
    }
}

/* In the scope of an on_device, whose launched() tells of failures. */
template <typename... Params>
void launch_early(const eet_backend *backend, void (*kernel)(Params...), launch_shape shape,
                  typename as_is<Params>::type... args) {
    const bool hopper = backend->capability >= HOPPER;
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};

    if (hopper && !backend->in_turn) {
        attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (hopper && shape.cluster > 1) {
        attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[config.numAttrs++].val.clusterDim = {shape.cluster, 1, 1};
    }
    if (shape.shared > SHARED_UNASKED) {
        ask_for_shared(backend, (const void *)kernel);
    }
    config.gridDim = shape.grid;
    config.blockDim = {shape.threads, 1, 1};
    config.dynamicSmemBytes = shape.shared;
    config.stream = backend->stream;
    config.attrs = attributes;
    (void)cudaLaunchKernelEx(&config, kernel, args...);
}

/* The kernel after this one may have blocks wherever there is room. */
__device__ inline void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#endif
