/* cluster.cuh - the instructions of sm_90: barriers in the shared memories of a cluster's blocks,
 * that threads and copies arrive at, and copies of runs of bytes into shared memory. */
#ifndef EET_KERNELS_CUDA_CLUSTER_CUH
#define EET_KERNELS_CUDA_CLUSTER_CUH

#include <stdint.h>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ inline uint32_t shared_place(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

__device__ inline void make_barrier(uint64_t *barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_place(barrier)),
                 "r"(arrivals)
                 : "memory");
}

/* Barriers are as they were made, for copies and for the cluster too. */
__device__ inline void show_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline uint32_t cluster_rank() {
    uint32_t rank;

    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* All threads of all blocks of the cluster. */
__device__ inline void sync_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* Where another block of the cluster has what this one has at `place`. */
__device__ inline uint32_t place_in(uint32_t place, uint32_t rank) {
    uint32_t there;

    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(place), "r"(rank));
    return there;
}

__device__ inline float read_shared(uint32_t place) {
    float x;

    asm volatile("ld.shared::cta.f32 %0, [%1];" : "=f"(x) : "r"(place) : "memory");
    return x;
}

__device__ inline float read_cluster(uint32_t place) {
    float x;

    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(x) : "r"(place) : "memory");
    return x;
}

__device__ inline void arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_place(barrier))
                 : "memory");
}

/* At the barrier of a block of the cluster, which then sees what this thread has written. */
__device__ inline void arrive_at(uint64_t *barrier, uint32_t rank) {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                     place_in(shared_place(barrier), rank))
                 : "memory");
}

/* The same of a thread that has written nothing which the other block is to see. */
__device__ inline void arrive_after_reads(uint64_t *barrier, uint32_t rank) {
    asm volatile("mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                     place_in(shared_place(barrier), rank))
                 : "memory");
}

/* An arrival, and so many bytes that copies are to bring. */
__device__ inline void expect_bytes(uint64_t *barrier, uint32_t bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_place(barrier)),
        "r"(bytes)
        : "memory");
}

#define EET_WAIT(how)                                                                \
    asm volatile("{\n"                                                               \
                 ".reg .pred done;\n"                                                \
                 "again:\n"                                                          \
                 "mbarrier.try_wait.parity" how ".shared::cta.b64 done, [%0], %1;\n" \
                 "@!done bra again;\n"                                               \
                 "}\n" ::"r"(shared_place(barrier)),                                 \
                 "r"(parity)                                                         \
                 : "memory")

/* Until the phase of this parity has ended. */
__device__ inline void wait_at(uint64_t *barrier, uint32_t parity) {
    EET_WAIT("");
}

/* The same, where blocks of the cluster arrive. */
__device__ inline void wait_for_cluster(uint64_t *barrier, uint32_t parity) {
    EET_WAIT(".acquire.cluster");
}

#undef EET_WAIT

/* `bytes` and both addresses are multiples of 16. */
__device__ inline void bring_bytes(void *to, const void *from, uint32_t bytes, uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], "
                 "%2, [%3];" ::"r"(shared_place(to)),
                 "l"(from), "r"(bytes), "r"(shared_place(barrier))
                 : "memory");
}

#endif
#endif
