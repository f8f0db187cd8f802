/* common.cuh - what the kernels share: launching in the backend's stream, and what a block adds up
 * or looks for together, in an order that depends on nothing but the block's own operands. */
#ifndef EET_KERNELS_CUDA_COMMON_CUH
#define EET_KERNELS_CUDA_COMMON_CUH

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "kernels/cuda/cuda.h"
}
#include "format/half.h"
#include "kernels/random.h"

constexpr int WARP = 32;
constexpr int BLOCK = 256; /* threads of a block that works on one row */

/* The backend's device is the thread's while this lives. */
class on_device {
  public:
    explicit on_device(const eet_backend *backend) : scope(eet_device_enter(backend)) {}
    ~on_device() {
        eet_device_leave(scope);
    }
    on_device(const on_device &) = delete;
    on_device &operator=(const on_device &) = delete;

    /* After a launch; watch.c asks what it was. */
    eet_status launched() const {
        return eet_cuda_status(scope.code == cudaSuccess ? cudaPeekAtLastError() : scope.code);
    }

  private:
    const eet_device_scope scope;
};

/* Blocks for `items` of work at `each` a block, when a grid strides over the rest. */
inline unsigned grid_of(const eet_backend *backend, int64_t items, int64_t each) {
    const int64_t wanted = (items + each - 1) / each;
    const int64_t most = (int64_t)backend->blocks * 32;

    return (unsigned)(wanted < most ? wanted : most);
}

/* The sum over a block of BLOCK threads, in every thread. */
template <typename T> __device__ inline T block_sum(T mine) {
    __shared__ T part[BLOCK];

    __syncthreads(); /* the last one's readers are done */
    part[threadIdx.x] = mine;
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) {
            part[threadIdx.x] = part[threadIdx.x] + part[threadIdx.x + half];
        }
    }
    __syncthreads();
    return part[0];
}

/* A candidate of a choice: the larger value comes first, then the lower id; id -1 comes last. */
template <typename T> struct choice {
    T value;
    int32_t id;
};

template <typename T> __device__ inline bool comes_before(choice<T> a, choice<T> b) {
    if (a.id < 0 || b.id < 0) {
        return a.id >= 0;
    }
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

/* The first in order over a block, in every thread. No value is NaN. */
template <typename T> __device__ inline choice<T> block_first(choice<T> mine) {
    __shared__ T value[BLOCK];
    __shared__ int32_t id[BLOCK];

    __syncthreads();
    value[threadIdx.x] = mine.value;
    id[threadIdx.x] = mine.id;
    for (int half = BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) {
            const int other = (int)threadIdx.x + half;

            if (comes_before<T>({value[other], id[other]}, {value[threadIdx.x], id[threadIdx.x]})) {
                value[threadIdx.x] = value[other];
                id[threadIdx.x] = id[other];
            }
        }
    }
    __syncthreads();
    return {value[0], id[0]};
}

/* The largest score of a row, the lowest id among equals; 0 where all are NaN. */
__device__ inline int32_t block_best(const float *scores, int32_t vocab) {
    choice<float> best = {0.0F, -1};

    for (int32_t i = (int32_t)threadIdx.x; i < vocab; i += BLOCK) {
        const choice<float> one = {scores[i], isnan(scores[i]) ? -1 : i};

        best = comes_before(one, best) ? one : best;
    }
    const int32_t id = block_first(best).id;

    return id < 0 ? 0 : id;
}

/* log of the sum of all e^(logit - top), where top is the largest logit. */
__device__ inline double block_log_parts(const float *logits, int32_t vocab, float top) {
    double sum = 0.0;

    for (int32_t i = (int32_t)threadIdx.x; i < vocab; i += BLOCK) {
        sum += exp((double)logits[i] - (double)top);
    }
    return log(block_sum(sum));
}

/* A row's mean, as the distance from its first element, where a mean far from zero loses nothing;
 * and 1 / sqrt(variance + eps). */
struct moments {
    float first, mean, scale;
};

__device__ inline moments block_moments(const void *x, int32_t dtype, int64_t at, int32_t cols,
                                        double eps) {
    const float first = eet_float_at(x, dtype, at);
    double sum = 0.0;

    for (int32_t j = (int32_t)threadIdx.x; j < cols; j += BLOCK) {
        sum += (double)(eet_float_at(x, dtype, at + j) - first);
    }
    const float mean = (float)block_sum(sum) / (float)cols;
    double squares = 0.0;

    for (int32_t j = (int32_t)threadIdx.x; j < cols; j += BLOCK) {
        const double apart = (eet_float_at(x, dtype, at + j) - first) - mean;

        squares += apart * apart;
    }
    const float variance = (float)block_sum(squares) / (float)cols;

    return {first, mean, 1.0F / sqrtf(variance + (float)eps)};
}

__device__ inline float normed(float x, int32_t j, const float *weight, const float *bias,
                               moments m) {
    const float y = ((x - m.first) - m.mean) * m.scale * weight[j];

    return bias != nullptr ? y + bias[j] : y;
}

#endif
