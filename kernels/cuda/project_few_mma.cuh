/* project_few_mma.cuh - how weights of 16 bits and few rows of x come to the products: the weights'
 * ring of loads, rows made ready in shared memory, and the sums of a warp. */
#ifndef EET_KERNELS_CUDA_PROJECT_FEW_MMA_CUH
#define EET_KERNELS_CUDA_PROJECT_FEW_MMA_CUH

#include "kernels/cuda/project_few_rows.cuh"

constexpr int TILE = 16;  /* rows of weights in a product */
constexpr int APART = 20; /* floats from column to column of a product's sums: no bank twice */

constexpr int FIXED = 4 * STAGED + 8 * STAGED * FEW_WARPS; /* floats of room's moments */

EET_BOTH constexpr int tiles_of(int groups, bool wide) { /* of a warp; groups of 8 rows of x */
    return wide && groups > 2 ? 2 : 1;
}

EET_BOTH constexpr int blocks_of(int groups, bool wide) { /* of a multiprocessor, at least */
    return wide || groups > 1 ? 2 : 3;
}

EET_BOTH constexpr int depth_of(int groups, bool wide) { /* steps under way, at most */
    return wide && groups > 2 ? 4 : 8;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* Bytes of k .. k + 7 of a row of weights into a lane's place. */
__device__ inline void fetch_eight(const few_args &a, unsigned char *to, int32_t row, int32_t k) {
    const eet_matrix &w = a.f.a.w;
    const int32_t there = row < w.n ? min(max(w.k - k, 0), 8) : 0;
    const uint16_t *from = (const uint16_t *)w.data + (there > 0 ? (int64_t)row * w.ld + k : 0);

    if (a.aligned && there % 8 == 0) {
        copy_16(to, from, 2 * there);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        ((uint16_t *)to)[i] = i < there ? from[i] : 0;
    }
}

/* A warp's way through its weights: steps [first, last) of one group of tiles after another. */
template <int TILES> struct stream {
    unsigned char *ring;
    int32_t first, last, tile, step, stride, left, slot;

    __device__ void fetch(const few_args &a, int32_t to) {
        const int lane = (int)threadIdx.x % WARP;

        if (left > 0) {
#pragma unroll
            for (int p = 0; p < 2 * TILES; ++p) {
                fetch_eight(a, ring + ((to * 2 * TILES + p) * WARP + lane) * 16,
                            tile * TILES * TILE + p * 8 + lane / 4, step * STEP + lane % 4 * 8);
            }
            left -= 1;
            step += 1;
            if (step == last) {
                step = first;
                tile += stride;
            }
        }
        end_copies();
    }
    __device__ uint4 taken(int p) const {
        const int lane = (int)threadIdx.x % WARP;

        return *(const uint4 *)(ring + ((slot * 2 * TILES + p) * WARP + lane) * 16);
    }
};

/* x of a block: staged, or ready in global memory. */
template <bool STAGE>
__device__ uint4 x_at(const few_args &a, const uint16_t *staged, int group, int32_t step) {
    const int lane = (int)threadIdx.x % WARP;
    const int32_t row = group * EACH + lane / 4;
    const int32_t k = lane % 4 * 8 + step * STEP;

    if (row >= a.f.a.rows || (!STAGE && k >= a.ready_cols)) {
        return {0, 0, 0, 0};
    }
    return STAGE ? *(const uint4 *)(staged + row * a.stride + k)
                 : *(const uint4 *)((const uint16_t *)a.ready + (int64_t)row * a.ready_stride + k);
}

EET_BOTH constexpr int ahead_of(int groups, bool wide) { /* steps whose x is asked for at once */
    return wide ? (groups > 2 ? 1 : 4 / groups) : 8 / groups;
}

/* The sums of one group of tiles over the warp's steps. Of x some steps are asked for at once. */
template <bool BF16, int GROUPS, bool WIDE, bool STAGE>
__device__ inline void sum_up(const few_args &a, stream<tiles_of(GROUPS, WIDE)> &w,
                              const uint16_t *x, float (&sum)[tiles_of(GROUPS, WIDE)][GROUPS][4]) {
    constexpr int TILES = tiles_of(GROUPS, WIDE);
    constexpr int MOST = WIDE ? 4 : 8; /* of the rows of x at a time, for registers */
    constexpr int PART = GROUPS < MOST ? GROUPS : MOST;
    constexpr int AHEAD = STAGE ? 2 : ahead_of(GROUPS, WIDE);

    for (int32_t base = w.first; base < w.last; base += AHEAD) {
        uint4 right[AHEAD][PART];

#pragma unroll
        for (int at = 0; at < AHEAD * PART; ++at) {
            right[at / PART][at % PART] = base + at / PART < w.last
                                              ? x_at<STAGE>(a, x, at % PART, base + at / PART)
                                              : uint4{};
        }
#pragma unroll
        for (int u = 0; u < AHEAD; ++u) {
            uint4 left[2 * TILES];

            if (base + u >= w.last) {
                break;
            }
            wait_for_copies<depth_of(GROUPS, WIDE) - 1>();
#pragma unroll
            for (int p = 0; p < 2 * TILES; ++p) {
                left[p] = w.taken(p);
            }
            w.fetch(a, w.slot);
            w.slot = w.slot + 1 == a.slots ? 0 : w.slot + 1;
#pragma unroll
            for (int part = 0; part < GROUPS; part += PART) {
#pragma unroll
                for (int g = 0; g < PART && part > 0; ++g) {
                    right[u][g] = x_at<STAGE>(a, x, part + g, base + u);
                }
#pragma unroll
                for (int at = 0; at < PART * TILES; ++at) {
                    const int t = at % TILES;

                    multiply_32<BF16>(sum[t][part + at / TILES], left[2 * t], left[2 * t + 1],
                                      right[u][at / TILES]);
                }
            }
        }
    }
}

/* Sums of a product as the lanes have them: column of x after column, APART from each other. */
__device__ inline void keep_sums(float *to, const float (&sum)[4]) {
    const int lane = (int)threadIdx.x % WARP;
    float *p = to + lane % 4 * 2 * APART + lane / 4;

    p[0] = sum[0];
    p[APART] = sum[1];
    p[8] = sum[2];
    p[APART + 8] = sum[3];
}

/* What the warps of a block have for row `row` of x and column `m` of a tile, in order. */
__device__ inline float sum_of_warps(const few_args &a, const unsigned char *regions, int32_t row,
                                     int32_t m) {
    float sum = 0.0F;

#pragma unroll
    for (int warp = 0; warp < FEW_WARPS; ++warp) {
        sum += ((const float *)(regions + warp * a.region))[row * APART + m];
    }
    return sum;
}

/* Writes to the same place of another block of the cluster. */
__device__ inline void store_in_cluster(float *p, int32_t rank, float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    uint32_t there;

    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"(shared_address(p)), "r"(rank));
    asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(x) : "memory");
#else
    (void)rank;
    *p = x;
#endif
}

/* What comes behind the warps' regions in shared memory. */
struct room {
    float *gather;    /* (blocks of the cluster, share of outputs), or sums of each warp */
    float *moment;    /* (STAGED, 4) of normed residuals */
    float4 *parts;    /* (2, STAGED, FEW_WARPS) of moments */
    uint16_t *staged; /* (rows, stride) */
};

__device__ inline room room_of(const few_args &a, unsigned char *shared) {
    float *gather = (float *)(shared + FEW_WARPS * a.region);
    float *moment = gather + a.gather;
    float4 *parts = (float4 *)(moment + 4 * STAGED);

    return {gather, moment, parts, (uint16_t *)(parts + 2 * STAGED * FEW_WARPS)};
}

/* Rows of x into shared memory; moments of normed residuals. */
template <bool BF16>
__device__ inline void stage(const few_args &a, const norm_four &ahead, const room &r) {
    const eet_project_args &p = a.f.a;

    if (p.rows == 1) {
        make_rows<BF16, 1>(a, 0, ahead, a.steps * STEP, r.parts, r.staged, a.stride);
    } else {
        make_rows<BF16, STAGED>(a, 0, ahead, a.steps * STEP, r.parts, r.staged, a.stride);
    }
    for (int32_t row = 0; row < p.rows && p.residual_norm.weight != nullptr; ++row) {
        put_moments<1>(residual_of(p), row, r.parts + (STAGED + row) * FEW_WARPS,
                       r.moment + 4 * row);
    }
    __syncthreads();
}

#endif
#endif
