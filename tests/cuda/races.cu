/* races.cu - kernels for racecheck to look at: what it has to find, what it must not, and a form of
 * barrier that not every version of it knows.
 *
 *   races told     a block reads what its threads have written, behind a barrier
 *   races untold   the same without the barrier
 *   races lanes    blocks of a cluster read what their warps have written, each of which one lane
 *                  tells of for its warp, as attention_pages.cu does: right, whatever racecheck
 * says
 *
 * Exit 0: what was to be read was read; of "untold" that is luck. 77: the device has no clusters.
 */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cluster.cuh"

namespace {

[[maybe_unused]] constexpr int WARP = 32;
constexpr int THREADS = 256;
constexpr int RANKS = 2;
constexpr int ROUNDS = 3;
constexpr int SKIPPED = 77;

template <bool TOLD> __global__ void __launch_bounds__(THREADS) in_turn(float *y) {
    __shared__ float state[THREADS];
    const int thread = (int)threadIdx.x;

    state[thread] = (float)thread;
    if (TOLD) {
        __syncthreads();
    }
    y[thread] = state[THREADS - 1 - thread];
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ void tell(uint64_t *barrier) {
    const uint32_t lane = threadIdx.x % WARP;

    __syncwarp();
    if (lane < RANKS) {
        arrive_at(barrier, lane);
    }
}

#endif

__global__ void __launch_bounds__(THREADS) by_lanes(float *y) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    __shared__ float state[THREADS];
    __shared__ uint64_t ready, read;
    const int thread = (int)threadIdx.x;
    float sum = 0.0F;

    if (thread == 0) {
        make_barrier(&ready, THREADS / WARP * RANKS);
        make_barrier(&read, THREADS / WARP * RANKS);
        show_barriers();
    }
    sync_cluster();
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        if (round > 0) {
            wait_for_cluster(&read, (round - 1) & 1);
        }
        state[thread] = (float)(thread + (int)round);
        tell(&ready);
        wait_for_cluster(&ready, round & 1);
        for (uint32_t rank = 0; rank < RANKS; ++rank) {
            sum += read_cluster(place_in(shared_place(&state[THREADS - 1 - thread]), rank));
        }
        tell(&read);
    }
    wait_for_cluster(&read, (ROUNDS - 1) & 1); /* others read this block's until then */
    y[blockIdx.x * THREADS + threadIdx.x] = sum;
#endif
}

void launch_cluster(float *y) {
    cudaLaunchAttribute cluster = {};
    cudaLaunchConfig_t config = {};

    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {RANKS, 1, 1};
    config.gridDim = {RANKS, 1, 1};
    config.blockDim = {THREADS, 1, 1};
    config.attrs = &cluster;
    config.numAttrs = 1;
    (void)cudaLaunchKernelEx(&config, by_lanes, y);
}

/* What thread 0 of the block reads in `rounds`, from so many blocks. */
float wanted(int rounds, int blocks) {
    float sum = 0.0F;

    for (int round = 0; round < rounds; ++round) {
        sum += (float)(blocks * (THREADS - 1 + round));
    }
    return sum;
}

int expect(float *device, float want) {
    float got = 0.0F;
    const cudaError_t code = cudaMemcpy(&got, device, sizeof got, cudaMemcpyDeviceToHost);

    if (code != cudaSuccess || got != want) {
        printf("%s: %g, should be %g\n", cudaGetErrorString(code), (double)got, (double)want);
        return 1;
    }
    return 0;
}

} // namespace

int main(int count, char **argument) {
    const char *what = count == 2 ? argument[1] : "";
    int major = 0;
    float *y = nullptr;

    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        cudaMalloc(&y, RANKS * THREADS * sizeof *y) != cudaSuccess) {
        printf("no CUDA device\n");
        return SKIPPED;
    }
    if (strcmp(what, "told") == 0) {
        in_turn<true><<<1, THREADS>>>(y);
        return expect(y, wanted(1, 1));
    }
    if (strcmp(what, "untold") == 0) {
        in_turn<false><<<1, THREADS>>>(y);
        return expect(y, wanted(1, 1));
    }
    if (strcmp(what, "lanes") == 0) {
        if (major < 9) {
            printf("no clusters\n");
            return SKIPPED;
        }
        launch_cluster(y);
        return expect(y, wanted(ROUNDS, RANKS));
    }
    printf("usage: races told|untold|lanes\n");
    return 2;
}
