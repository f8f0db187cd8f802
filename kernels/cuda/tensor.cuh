/* tensor.cuh - the instructions of sm_80 and later for numbers of 16 bits: conversions, copies into
 * shared memory that nobody waits for at once, products of small matrices. */
#ifndef EET_KERNELS_CUDA_TENSOR_CUH
#define EET_KERNELS_CUDA_TENSOR_CUH

#include <stdint.h>

#include "kernels/cuda/common.cuh"

__device__ inline float f32_of_half(uint16_t x, bool bf16) {
    float y;

    if (bf16) {
        return eet_bf16_to_f32(x);
    }
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* Two numbers rounded to nearest even, the first in the low half. */
template <bool BF16> __device__ inline uint32_t halves_of(float low, float high) {
    uint32_t both;

    if constexpr (BF16) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    }
    return both;
}

__device__ inline uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* 16 bytes of shared memory, of which the first `bytes` come from global memory and the others are
 * zero; both addresses are multiples of 16. */
__device__ inline void copy_16(void *shared, const void *global, int bytes) {
    asm volatile(
        "cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
        "l"(global), "r"(bytes)
        : "memory");
}

__device__ inline void end_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until all but the last LEFT groups of this thread's copies are there. */
template <int LEFT> __device__ inline void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/* sum (16, 8) += a (16, 16) b (16, 8): lane 4 g + q has rows g and g + 8 of a and of the sum,
 * column g of b, and the columns of the sum 2 q and 2 q + 1. */
template <bool BF16>
__device__ inline void multiply_16(float (&sum)[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                   uint32_t a3, uint32_t b0, uint32_t b1) {
    if constexpr (BF16) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
            "{%8,%9}, {%0,%1,%2,%3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    } else {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
            "{%8,%9}, {%0,%1,%2,%3};"
            : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    }
}

#endif
#endif
