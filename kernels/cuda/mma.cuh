/* mma.cuh - matrix products of a warp (mma.sync m16n8k16), their operands out of shared memory,
 * and copies into it that go on behind the work: from compute capability 8.0 on. */
#ifndef EET_KERNELS_CUDA_MMA_CUH
#define EET_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/attention.cuh"

__device__ inline uint32_t shared_at(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* 16 bytes, or as many zeros. */
__device__ inline void copy_wide(uint32_t to, const void *from, bool there) {
    const int bytes = there ? 16 : 0;

    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

__device__ inline void end_of_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* For all of this thread's. */
__device__ inline void wait_for_copies() {
    asm volatile("cp.async.wait_group 0;" ::: "memory");
}

/* Four matrices of 8 x 8 numbers of 16 bits; lane i says where row i % 8 of matrix i / 8 is. */
__device__ inline void load_4(uint32_t (&x)[4], uint32_t from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(from)
                 : "memory");
}

/* The same, each of them transposed. */
__device__ inline void load_4_turned(uint32_t (&x)[4], uint32_t from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(from)
                 : "memory");
}

/* sum (16 x 8) += a (16 x 16) b (16 x 8) */
template <typename T>
__device__ inline void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    if constexpr (sizeof(T) != 2) {
        return;
    } else if constexpr (T::is_bf16) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
}

#endif
