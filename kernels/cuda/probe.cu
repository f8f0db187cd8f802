/* probe.cu - reads the device's memory, and multiplies numbers that are in its registers or its
 * shared memory, as fast as it can: nothing is waited for but what the bound is about. */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/hopper.cuh"

extern "C" {
#include "kernels/cuda/probe.h"
}

namespace {

constexpr int64_t READ_BYTES = (int64_t)512 << 20; /* beyond what any cache holds */
constexpr int THREADS = 512;
constexpr int AHEAD = 8; /* loads of a thread on their way */
constexpr int RUNS = 3;
constexpr int HOPPER = 9;
constexpr int TENSOR_CORES =
    8; /* the first major capability whose f16 and bf16 we multiply in them */

struct words {
    uint4 at[AHEAD];
};

__device__ inline uint32_t mixed(uint4 x) {
    return x.x ^ x.y ^ x.z ^ x.w;
}

/* `out` is not written; that it could be is what keeps the loads. */
__global__ void __launch_bounds__(THREADS) read_all(const uint4 *from, int64_t count, float *out) {
    const int64_t stride = (int64_t)gridDim.x * THREADS;
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    uint32_t all = 0;

    for (; i + (AHEAD - 1) * stride < count; i += AHEAD * stride) {
        words w;

#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            w.at[j] = __ldcs(from + i + j * stride);
        }
#pragma unroll
        for (int j = 0; j < AHEAD; ++j) {
            all ^= mixed(w.at[j]);
        }
    }
    for (; i < count; i += stride) {
        all ^= mixed(from[i]);
    }
    if (all == 0x9E3779B9U) {
        out[0] = 0.0F;
    }
}

/* ---- products ------------------------------------------------------------ */

/* Each step of a block is so many multiplications and additions. */
struct product_shape {
    int threads, blocks, steps; /* blocks of a multiprocessor */
    double flops;
};

constexpr int CHAINS = 16;
constexpr product_shape plain = {256, 4, 8192, 2.0 * 256 * CHAINS};

/* f32, by chains that do not wait for each other. */
__global__ void __launch_bounds__(plain.threads) multiply_f32(float *out, int steps) {
    float x[CHAINS];

#pragma unroll
    for (int c = 0; c < CHAINS; ++c) {
        x[c] = (float)(threadIdx.x + c);
    }
    for (int i = 0; i < steps; ++i) {
#pragma unroll
        for (int c = 0; c < CHAINS; ++c) {
            x[c] = fmaf(x[c], 0.75F, 0.5F);
        }
    }
    float all = 0.0F;

#pragma unroll
    for (int c = 0; c < CHAINS; ++c) {
        all += x[c];
    }
    if (all == -1.0F) {
        out[0] = all;
    }
}

constexpr int TILES = 8; /* sums (16, 8) of a warp */
constexpr product_shape warps = {256, 2, 4096, 2.0 * 16 * 8 * 16 * TILES *(256.0 / WARP)};

#if __CUDA_ARCH__ >= 800
/* Two numbers of 16 bits, small ones, no two alike: what is multiplied sets the power it takes. */
__device__ inline uint32_t two_numbers(uint32_t number) {
    return (number * 0x9E3779B9U & 0x83FF83FFU) | 0x30003000U;
}

template <bool BF16>
__device__ inline void multiply_16(float (&sum)[4], const uint32_t (&a)[4],
                                   const uint32_t (&b)[2]) {
    if constexpr (BF16) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }
}
#endif

/* 16-bit numbers, a warp's instruction. */
template <bool BF16>
__global__ void __launch_bounds__(warps.threads) multiply_warps(float *out, int steps) {
#if __CUDA_ARCH__ >= 800
    uint32_t a[4];
    uint32_t b[2];
    float sum[TILES][4] = {};

#pragma unroll
    for (int i = 0; i < 4; ++i) {
        a[i] = two_numbers(threadIdx.x * 4 + i + 1);
        b[i % 2] = two_numbers(threadIdx.x * 4 + i + 7777);
    }
    for (int i = 0; i < steps; ++i) {
#pragma unroll
        for (int t = 0; t < TILES; ++t) {
            multiply_16<BF16>(sum[t], a, b);
        }
    }
    float all = 0.0F;

#pragma unroll
    for (int t = 0; t < TILES; ++t) {
        all += sum[t][0] + sum[t][1] + sum[t][2] + sum[t][3];
    }
    if (all == -1.0F) {
        out[0] = all;
    }
#endif
}

constexpr int GROUPS = 2; /* warp groups of a block, each with sums (64, 256) */
constexpr int COLUMNS = 256;
constexpr int DEPTH = 64; /* of the tiles: rows of 128 bytes */
constexpr product_shape groups = {GROUPS * WARP_GROUP, 1, 2048, 2.0 * 64 * COLUMNS *DEPTH *GROUPS};

/* 16-bit numbers, the instruction of warp groups on operands in shared memory. */
template <bool BF16>
__global__ void __launch_bounds__(groups.threads, 1) multiply_groups(float *out, int steps) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint32_t tile[]; /* (64 + COLUMNS, DEPTH / 2) */
    const uint32_t *x = tile;
    const uint32_t *w = tile + 64 * DEPTH / 2;
    float sum[COLUMNS / 2] = {};

    for (uint32_t i = threadIdx.x; i < (64 + COLUMNS) * DEPTH / 2; i += blockDim.x) {
        tile[i] = two_numbers(i + 1);
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    for (int i = 0; i < steps; ++i) {
        products_begin();
#pragma unroll
        for (int k = 0; k < DEPTH / 16; ++k) {
            multiply_64<BF16, COLUMNS>(sum, operand_at(x + k * 8), operand_at(w + k * 8), true);
        }
        products_end();
        wait_for_products<0>();
    }
    float all = 0.0F;

#pragma unroll
    for (int i = 0; i < COLUMNS / 2; ++i) {
        all += sum[i];
    }
    if (all == -1.0F) {
        out[0] = all;
    }
#endif
}

constexpr int TILE_BYTES = (64 + COLUMNS) * DEPTH * 2;

/* ---- times --------------------------------------------------------------- */

/* Milliseconds of RUNS calls behind one that warms up; 0 where something fails. */
template <typename F> float time_runs(eet_backend *backend, F run) {
    cudaEvent_t before = nullptr;
    cudaEvent_t after = nullptr;
    float ms = 0.0F;
    cudaError_t code = cudaEventCreate(&before);

    if (code == cudaSuccess) {
        code = cudaEventCreate(&after);
    }
    if (code == cudaSuccess) {
        run();
        code = cudaEventRecord(before, backend->stream);
    }
    for (int i = 0; i < RUNS && code == cudaSuccess; ++i) {
        run();
    }
    if (code == cudaSuccess) {
        code = cudaEventRecord(after, backend->stream);
    }
    if (code == cudaSuccess) {
        code = cudaEventSynchronize(after);
    }
    if (code == cudaSuccess) {
        code = cudaEventElapsedTime(&ms, before, after);
    }
    (void)cudaEventDestroy(before);
    (void)cudaEventDestroy(after);
    return eet_cuda_end(code) == EET_OK && cudaGetLastError() == cudaSuccess ? ms : 0.0F;
}

/* The memory to read, the first time it is asked for. */
bool has_memory(eet_backend *backend) {
    if (backend->probe == nullptr && cudaMalloc(&backend->probe, READ_BYTES) == cudaSuccess) {
        (void)cudaMemsetAsync(backend->probe, 1, READ_BYTES, backend->stream);
    }
    (void)cudaGetLastError();
    return backend->probe != nullptr;
}

using product = void (*)(float *, int);

double time_product(eet_backend *backend, product kernel, product_shape shape, int shared) {
    const unsigned blocks = (unsigned)(backend->blocks * shape.blocks);
    float *out = (float *)backend->probe;

    if (shared > 0) {
        (void)cudaFuncSetAttribute((const void *)kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize, shared);
    }
    const float ms = time_runs(backend, [=] {
        kernel<<<blocks, (unsigned)shape.threads, (size_t)shared, backend->stream>>>(out,
                                                                                     shape.steps);
    });

    return ms > 0.0F ? 1e3 * RUNS * shape.flops * shape.steps * blocks / (double)ms : 0.0;
}

} // namespace

extern "C" cudaError_t eet_cuda_has_code(void) {
    cudaFuncAttributes attributes;

    return cudaFuncGetAttributes(&attributes, (const void *)read_all);
}

extern "C" double eet_cuda_read_rate(eet_backend *backend) {
    const on_device scope(backend);

    if (!has_memory(backend)) {
        return 0.0;
    }
    const unsigned blocks = (unsigned)backend->blocks * 4;
    const float ms = time_runs(backend, [=] {
        read_all<<<blocks, THREADS, 0, backend->stream>>>((const uint4 *)backend->probe,
                                                          READ_BYTES / (int64_t)sizeof(uint4),
                                                          (float *)backend->probe);
    });

    return ms > 0.0F ? 1e3 * RUNS * (double)READ_BYTES / (double)ms : 0.0;
}

extern "C" double eet_cuda_product_rate(eet_backend *backend, int32_t dtype) {
    const on_device scope(backend);
    const bool bf16 = dtype == EET_BF16;

    if (!has_memory(backend)) {
        return 0.0;
    }
    if (dtype == EET_F32 || backend->capability < TENSOR_CORES) {
        return time_product(backend, multiply_f32, plain, 0);
    }
    if (backend->capability == HOPPER) {
        return time_product(backend, bf16 ? multiply_groups<true> : multiply_groups<false>, groups,
                            TILE_BYTES);
    }
    return time_product(backend, bf16 ? multiply_warps<true> : multiply_warps<false>, warps, 0);
}

extern "C" void eet_cuda_rates_end(eet_backend *backend) {
    (void)cudaFree(backend->probe);
    backend->probe = nullptr;
}
