/* hopper.cuh - the instructions of sm_90a: tiles that the copy engine brings into shared memory and
 * stores from there, and products of warp groups. */
#ifndef EET_KERNELS_CUDA_HOPPER_CUH
#define EET_KERNELS_CUDA_HOPPER_CUH

#include <stdint.h>

#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tensor_map.cuh"

constexpr int WARP_GROUP = 128;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* The tile of a map with its first column and row; zero where the matrix has ended. */
__device__ inline void bring_tile(void *to, const CUtensorMap *map, int32_t col, int32_t row,
                                  uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_place(to)),
                 "l"(map), "r"(col), "r"(row), "r"(shared_place(barrier))
                 : "memory");
}

/* The same to one place in the first COUNT blocks of the cluster, whose barriers hear of it. */
template <int COUNT>
__device__ inline void bring_tile_to_all(void *to, const CUtensorMap *map, int32_t col, int32_t row,
                                         uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
                 ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_place(to)),
                 "l"(map), "r"(col), "r"(row), "r"(shared_place(barrier)),
                 "h"((uint16_t)((1 << COUNT) - 1))
                 : "memory");
}

/* Four matrices of 8 x 8 numbers of 16 bits: lane 8 m + r says where row r of matrix m is, and lane
 * 4 r + q has the numbers 2 q and 2 q + 1 of row r of each. */
__device__ inline void store_four(uint32_t at, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(at),
                 "r"(a), "r"(b), "r"(c), "r"(d)
                 : "memory");
}

__device__ inline void load_four(uint32_t at, uint32_t (&word)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(at)
                 : "memory");
}

/* What threads wrote to shared memory is there for the copy engine, once they have met. */
__device__ inline void writes_are_made() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* A tile to a map's matrix, where that has not ended; a group of copies of its own. */
__device__ inline void store_tile(const CUtensorMap *map, int32_t col, int32_t row,
                                  const void *from) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\n"
                 "cp.async.bulk.commit_group;" ::"l"(map),
                 "r"(col), "r"(row), "r"(shared_place(from))
                 : "memory");
}

/* Until all but the last LEFT stores of this thread have read their tiles. */
template <int LEFT> __device__ inline void wait_for_stores_to_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(LEFT) : "memory");
}

__device__ inline void wait_for_stores() {
    asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

__device__ inline void map_is_needed(const CUtensorMap *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* Rows of 128 bytes, 8 of them swizzled together, as the copy engine leaves them. */
__device__ inline uint64_t operand_at(const void *p) {
    return (uint64_t)((shared_place(p) & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)64 << 32 |
           (uint64_t)1 << 62;
}

__device__ inline void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void products_end() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until all but the last LEFT groups of products are done. */
template <int LEFT> __device__ inline void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

/* So many registers for each thread of this warp group from here on. */
template <int REGISTERS> __device__ inline void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> __device__ inline void leave_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/* Registers and operands of the instruction, by tens and eights. */
#define EET_TEN(t) \
    "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define EET_FIRST_TEN "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,"
#define EET_SUM8(i)                                                                       \
    "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3]), "+f"(sum[i + 4]), \
        "+f"(sum[i + 5]), "+f"(sum[i + 6]), "+f"(sum[i + 7])
#define EET_SUM32(i) EET_SUM8(i), EET_SUM8(i + 8), EET_SUM8(i + 16), EET_SUM8(i + 24)
#define EET_PRODUCT(n, type, registers, x, w, more, ...)                                       \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" more ", 0;\n"                            \
                 "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" registers \
                 "}, %" x ", %" w ", p, 1, 1, 0, 0;\n}\n"                                      \
                 : __VA_ARGS__                                                                 \
                 : "l"(x_at), "l"(w_at), "r"((int32_t)add))
#define EET_EITHER(n, registers, x, w, more, ...)                   \
    if constexpr (BF16) {                                           \
        EET_PRODUCT(n, "bf16", registers, x, w, more, __VA_ARGS__); \
    } else {                                                        \
        EET_PRODUCT(n, "f16", registers, x, w, more, __VA_ARGS__);  \
    }

/* sum (64, N) = x (64, 16) w (N, 16)^T, plus what it was if `add`: N / 2 numbers of each thread, in
 * the order of finish_fragment. */
template <bool BF16, int N>
__device__ inline void multiply_64(float *sum, uint64_t x_at, uint64_t w_at, bool add) {
    if constexpr (N == 256) {
        EET_EITHER("256",
                   EET_FIRST_TEN EET_TEN(1) EET_TEN(2) EET_TEN(3) EET_TEN(4) EET_TEN(5) EET_TEN(6)
                       EET_TEN(7) EET_TEN(8) EET_TEN(9) EET_TEN(10)
                           EET_TEN(11) "%120,%121,%122,%123,%124,%125,%126,%127",
                   "128", "129", "130", EET_SUM32(0), EET_SUM32(32), EET_SUM32(64), EET_SUM32(96));
    } else if constexpr (N == 192) {
        EET_EITHER("192",
                   EET_FIRST_TEN EET_TEN(1) EET_TEN(2) EET_TEN(3) EET_TEN(4) EET_TEN(5) EET_TEN(6)
                       EET_TEN(7) EET_TEN(8) "%90,%91,%92,%93,%94,%95",
                   "96", "97", "98", EET_SUM32(0), EET_SUM32(32), EET_SUM32(64));
    } else if constexpr (N == 128) {
        EET_EITHER("128",
                   EET_FIRST_TEN EET_TEN(1) EET_TEN(2) EET_TEN(3) EET_TEN(4)
                       EET_TEN(5) "%60,%61,%62,%63",
                   "64", "65", "66", EET_SUM32(0), EET_SUM32(32));
    } else if constexpr (N == 96) {
        EET_EITHER("96",
                   EET_FIRST_TEN EET_TEN(1) EET_TEN(2) EET_TEN(3) "%40,%41,%42,%43,%44,%45,%46,%47",
                   "48", "49", "50", EET_SUM32(0), EET_SUM8(32), EET_SUM8(40));
    } else if constexpr (N == 64) {
        EET_EITHER("64", EET_FIRST_TEN EET_TEN(1) EET_TEN(2) "%30,%31", "32", "33", "34",
                   EET_SUM32(0));
    } else {
        static_assert(N == 32, "one of the six");
        EET_EITHER("32", EET_FIRST_TEN "%10,%11,%12,%13,%14,%15", "16", "17", "18", EET_SUM8(0),
                   EET_SUM8(8));
    }
}

#undef EET_TEN
#undef EET_FIRST_TEN
#undef EET_SUM8
#undef EET_SUM32
#undef EET_PRODUCT
#undef EET_EITHER

#endif
#endif
