/* project_few_mma.cuh - how weights of 16 bits and few rows of x come to the products: the weights'
 * ring of loads, rows made ready in shared memory, and the sums of a warp. */
#ifndef EET_KERNELS_CUDA_PROJECT_FEW_MMA_CUH
#define EET_KERNELS_CUDA_PROJECT_FEW_MMA_CUH

#include "kernels/cuda/project_few.cuh"

constexpr int TILE = 16;  /* rows of weights in a product */
constexpr int APART = 20; /* floats from column to column of a product's sums: no bank twice */

constexpr int FIXED = 8 * STAGED + STAGED * FEW_WARPS; /* floats of room's moments and parts */

EET_BOTH constexpr int tiles_of(int groups, bool wide) { /* of a warp; groups of 8 rows of x */
    return wide && groups > 2 ? 2 : 1;
}

EET_BOTH constexpr int blocks_of(int groups, bool wide) { /* of a multiprocessor, at least */
    return wide || groups == 2 ? 2 : (groups > 2 ? 1 : 3);
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

/* Where x is for a block: staged rows from step `first` on, or ready ones in global memory. */
struct source {
    const uint16_t *staged;
    int32_t first;
};

template <bool STAGE> __device__ uint4 x_at(const few_args &a, source x, int group, int32_t step) {
    const int lane = (int)threadIdx.x % WARP;
    const int32_t row = group * EACH + lane / 4;
    const int32_t k = lane % 4 * 8 + (STAGE ? step - x.first : step) * STEP;

    if (row >= a.f.a.rows || (!STAGE && k >= a.ready_cols)) {
        return {0, 0, 0, 0};
    }
    return STAGE ? *(const uint4 *)(x.staged + row * a.stride + k)
                 : *(const uint4 *)((const uint16_t *)a.ready + (int64_t)row * a.ready_stride + k);
}

/* A step's product: the upper and the lower 8 rows of weights, and 8 rows of x. */
template <bool BF16>
__device__ inline void multiply_32(float (&sum)[4], uint4 upper, uint4 lower, uint4 x) {
    multiply_16<BF16>(sum, upper.x, lower.x, upper.y, lower.y, x.x, x.y);
    multiply_16<BF16>(sum, upper.z, lower.z, upper.w, lower.w, x.z, x.w);
}

EET_BOTH constexpr int ahead_of(int groups, bool wide) { /* steps whose x is asked for at once */
    const int registers = groups > 2 ? 16 : 8;

    return wide ? (groups > 2 ? 1 : 4 / groups) : registers / groups;
}

/* The sums of one group of tiles over the warp's steps. Of x some steps are asked for at once. */
template <bool BF16, int GROUPS, bool WIDE, bool STAGE>
__device__ inline void sum_up(const few_args &a, stream<tiles_of(GROUPS, WIDE)> &w, source x,
                              float (&sum)[tiles_of(GROUPS, WIDE)][GROUPS][4]) {
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

/* Asks for `count` numbers of what no kernel writes. */
__device__ inline void copy_floats(float *to, const float *from, int32_t count) {
    if (from != nullptr && (uintptr_t)from % 16 == 0 && count % 4 == 0) {
        for (int32_t j = 4 * (int32_t)threadIdx.x; j < count; j += 4 * FEW_THREADS) {
            copy_16(to + j, from + j, 16);
        }
    } else if (from != nullptr) {
        for (int32_t j = (int32_t)threadIdx.x; j < count; j += FEW_THREADS) {
            to[j] = from[j];
        }
    }
}

/* Where the weights of the norm will be: a group of copies goes before those of the ring. */
__device__ inline eet_norm_weights norm_ahead(const few_args &a, float *shared) {
    eet_norm_weights norm = a.f.a.norm;
    const int32_t k = a.f.a.w.k;

    if (a.norms > 0) {
        copy_floats(shared, norm.weight, k);
        copy_floats(shared + a.norms / 2, norm.bias, k);
        norm.weight = shared;
        norm.bias = norm.bias != nullptr ? shared + a.norms / 2 : nullptr;
    } else if (norm.weight != nullptr) {
        fetch_ahead(norm.weight, k);
        fetch_ahead(norm.bias, k);
    }
    end_copies();
    return norm;
}

/* Rows of x for steps [first, last), with their moments known. */
template <bool BF16, int KIND>
__device__ inline void stage_rows(const few_args &a, const row_set &s, eet_norm_weights norm,
                                  uint16_t *staged, int32_t first, int32_t last) {
    const eet_project_args &p = a.f.a;
    const int32_t from = first * STEP;

#pragma unroll 2
    for (int32_t row = 0; row < s.rows; ++row) {
        const int64_t at = start_of(s, row);
        const float *m = s.moment + 4 * row;

        for (int32_t j = from + 4 * (int32_t)threadIdx.x; j < last * STEP; j += 4 * FEW_THREADS) {
            float4 v = {};

            if (KIND == ANY) {
                v = ready_four(p, at, j, norm, m);
            } else if (j < p.w.k) {
                v = four_of<KIND>(p.x, p.x_dtype, at + j, 4);
                v = norm.weight != nullptr ? four_normed(v, j, norm, {m[0], m[1], m[2]}) : v;
            }
            *(uint2 *)(staged + row * a.stride + j - from) = {halves_of<BF16>(v.x, v.y),
                                                              halves_of<BF16>(v.z, v.w)};
        }
    }
}

/* What comes behind the warps' regions in shared memory. */
struct room {
    float *gather;    /* (blocks of the cluster, share of outputs), or sums of each warp */
    float *moment;    /* (STAGED, 4) of normed residuals */
    float *about;     /* (STAGED, 4) moments of x */
    float *parts;     /* (STAGED, FEW_WARPS) */
    float *norms;     /* of the norm's weights */
    uint16_t *staged; /* (rows, stride) */
};

__device__ inline room room_of(const few_args &a, unsigned char *shared) {
    float *gather = (float *)(shared + FEW_WARPS * a.region);
    float *moment = gather + a.gather;
    float *norms = moment + FIXED;

    return {gather,
            moment,
            moment + 4 * STAGED,
            moment + 8 * STAGED,
            norms,
            (uint16_t *)(norms + a.norms)};
}

/* Rows of x for a block's steps into shared memory; moments of normed residuals. */
template <bool BF16, int LEFT>
__device__ inline void stage(const few_args &a, eet_norm_weights norm, const room &r, int32_t first,
                             int32_t last) {
    const eet_project_args &p = a.f.a;
    const row_set x = {p.x, a.index, p.x_dtype, p.rows, p.w.k, p.norm.eps, r.parts, r.about};

    if (norm.weight != nullptr) {
        find_moments_of(x);
    }
    wait_for_copies<LEFT>();
    __syncthreads(); /* the norm's weights are there */
    switch (kind_of(p.x, p.x_dtype, p.w.k)) {
    case F32_FOURS:
        stage_rows<BF16, F32_FOURS>(a, x, norm, r.staged, first, last);
        break;
    case HALF_FOURS:
        stage_rows<BF16, HALF_FOURS>(a, x, norm, r.staged, first, last);
        break;
    default:
        stage_rows<BF16, ANY>(a, x, norm, r.staged, first, last);
        break;
    }
    if (p.residual != nullptr && p.residual_norm.weight != nullptr) {
        find_moments_of({p.residual, nullptr, p.residual_dtype, p.rows, p.w.n, p.residual_norm.eps,
                         r.parts, r.moment});
    }
    __syncthreads();
}

#endif
#endif
