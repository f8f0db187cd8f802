/* attention_sm90.cuh - products of a warp group for attention (wgmma): scores out of queries and
 * keys in shared memory, sums of values out of weights in registers, and the rows of 128 bytes that
 * the copy engine swizzles for both. */
#ifndef EET_KERNELS_CUDA_ATTENTION_SM90_CUH
#define EET_KERNELS_CUDA_ATTENTION_SM90_CUH

#include "kernels/cuda/attention_many.cuh"
#include "kernels/cuda/hopper.cuh"

constexpr int PANEL = 64;            /* columns in a row of 128 bytes */
constexpr int PANEL_ROW = 2 * PANEL; /* bytes */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Rows of 128 bytes in eights; `apart`: bytes between panels, where an operand's columns go over
 * two. */
__device__ inline uint64_t operand_at(uint32_t from, uint32_t apart) {
    return (uint64_t)((from & 0x3FFFF) >> 4) | (uint64_t)(apart >> 4) << 16 | (uint64_t)64 << 32 |
           (uint64_t)1 << 62;
}

#define EET_TEN(t) \
    "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define EET_32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9," EET_TEN(1) EET_TEN(2) "%30,%31"
#define EET_64                                                                   \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9," EET_TEN(1) EET_TEN(2) EET_TEN(3) EET_TEN(4) \
        EET_TEN(5) "%60,%61,%62,%63"
#define EET_SUM(n) "+f"(sum[n][0]), "+f"(sum[n][1]), "+f"(sum[n][2]), "+f"(sum[n][3])
#define EET_SUM8(n)                                                                             \
    EET_SUM(n), EET_SUM(n + 1), EET_SUM(n + 2), EET_SUM(n + 3), EET_SUM(n + 4), EET_SUM(n + 5), \
        EET_SUM(n + 6), EET_SUM(n + 7)
#define EET_SCORES(n, type, sums, q, k, more, ...)                                              \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" more ", 0;\n"                             \
                 "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" sums "}, " \
                 "%" q ", %" k ", p, 1, 1, 0, 0;\n}\n"                                          \
                 : __VA_ARGS__                                                                  \
                 : "l"(queries), "l"(keys), "r"((int32_t)add))
#define EET_VALUES(n, type, sums, w0, w1, w2, w3, v, ...)                                       \
    asm volatile("{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\n"                                     \
                 "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" sums "}, " \
                 "{%" w0 ", %" w1 ", %" w2 ", %" w3 "}, %" v ", p, 1, 1, 1;\n}\n"               \
                 : __VA_ARGS__                                                                  \
                 : "r"(weights[0]), "r"(weights[1]), "r"(weights[2]), "r"(weights[3]),          \
                   "l"(values))

/* sum (64 x KEYS) = queries (64 x 16) keys (KEYS x 16)^T, and what it was if `add`. */
template <typename T, int KEYS>
__device__ inline void multiply_keys(float (*sum)[4], uint64_t queries, uint64_t keys, bool add) {
    if constexpr (T::is_bf16 && KEYS == 128) {
        EET_SCORES("128", "bf16", EET_64, "64", "65", "66", EET_SUM8(0), EET_SUM8(8));
    } else if constexpr (T::is_bf16) {
        EET_SCORES("64", "bf16", EET_32, "32", "33", "34", EET_SUM8(0));
    } else if constexpr (KEYS == 128) {
        EET_SCORES("128", "f16", EET_64, "64", "65", "66", EET_SUM8(0), EET_SUM8(8));
    } else {
        EET_SCORES("64", "f16", EET_32, "32", "33", "34", EET_SUM8(0));
    }
}

/* sum (64 x DIMS) += weights (64 x 16) values (16 x DIMS), which stand in rows of their own. */
template <typename T, int DIMS>
__device__ inline void multiply_values(float (*sum)[4], const uint32_t (&weights)[4],
                                       uint64_t values) {
    if constexpr (T::is_bf16 && DIMS == 128) {
        EET_VALUES("128", "bf16", EET_64, "64", "65", "66", "67", "68", EET_SUM8(0), EET_SUM8(8));
    } else if constexpr (T::is_bf16) {
        EET_VALUES("64", "bf16", EET_32, "32", "33", "34", "35", "36", EET_SUM8(0));
    } else if constexpr (DIMS == 128) {
        EET_VALUES("128", "f16", EET_64, "64", "65", "66", "67", "68", EET_SUM8(0), EET_SUM8(8));
    } else {
        EET_VALUES("64", "f16", EET_32, "32", "33", "34", "35", "36", EET_SUM8(0));
    }
}

#undef EET_TEN
#undef EET_32
#undef EET_64
#undef EET_SUM
#undef EET_SUM8
#undef EET_SCORES
#undef EET_VALUES

/* Registers are as they are here: what makes them comes before, what uses them behind. */
template <int N> __device__ inline void settle(float (&x)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
        asm volatile("" : "+f"(x[n][0]), "+f"(x[n][1]), "+f"(x[n][2]), "+f"(x[n][3])::"memory");
    }
}

template <int N> __device__ inline void settle(uint32_t (&x)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
        asm volatile("" : "+r"(x[n][0]), "+r"(x[n][1]), "+r"(x[n][2]), "+r"(x[n][3])::"memory");
    }
}

/* All threads of a warp group, by a barrier of its own: is it so in any of them? */
__device__ inline bool any_of_group(int32_t group, bool is_so) {
    int32_t any;

    __syncwarp(); /* after a loop of one of its threads, say */
    asm volatile("{\n.reg .pred p, q;\nsetp.ne.b32 p, %1, 0;\n"
                 "barrier.cta.red.or.pred.aligned q, %2, 128, p;\n"
                 "selp.b32 %0, 1, 0, q;\n}\n"
                 : "=r"(any)
                 : "r"((int32_t)is_so), "r"(group + 1)
                 : "memory");
    return any != 0;
}

__device__ inline void bring_panel(uint32_t to, const CUtensorMap *map, const int32_t (&at)[3],
                                   uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::"
                 "complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
                 "l"(map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(shared_place(barrier))
                 : "memory");
}

#endif
#endif
