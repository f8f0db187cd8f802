/* project_few_long.cu - products of at most EACH rows with large matrices of 16 bits, on devices of
 * capability 9.0 and later: one block for each multiprocessor, which takes one group of rows of
 * weights after another.
 *
 * All that a block's shared memory holds is asked for ahead, over the ends of groups and of the
 * kernel before: that many bytes on their way are what keeps memory busy. x comes the same way,
 * beside the weights that it is multiplied with: a lane that waits for x on its own would stop
 * asking meanwhile. As in project_few_mma.cu a lane reads what it multiplies, and slices of k and
 * their order are the same: so are an output's bits.
 *
 * Deep: the warps have a slice of k each. Wide: a warp has all of k. */
#include "kernels/cuda/project_few_mma.cuh"

namespace {

constexpr int PAIR = 2; /* tiles of a warp, which share what it reads of x */
constexpr int COLUMNS = PAIR * TILE;
constexpr int TOGETHER = 2;         /* steps of a slot: whole lines of 128 bytes */
constexpr int PARTS = 2 * PAIR + 1; /* of a step: eights of rows of weights, and x */
constexpr int32_t SLOT = TOGETHER * PARTS * WARP * 16; /* bytes */
constexpr int32_t SUMS = PAIR * EACH * APART;          /* floats of a warp */
constexpr int32_t MOST_SHARED = 220 << 10;             /* of a block */
constexpr int MOST_WARPS = 12;
constexpr int32_t LEAST_STEPS = 64;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* What a warp still has to ask for, and where it goes. */
struct walk {
    unsigned char *ring; /* this lane's place in it */
    const uint16_t *rows[2 * PAIR], *x;
    int32_t from, to, step; /* of k */
    int32_t pair, stride, left;
    bool has_x;

    __device__ void point(const few_args &a) {
        const int32_t lane = (int32_t)threadIdx.x % WARP;
        const eet_matrix &w = a.f.a.w;

#pragma unroll
        for (int p = 0; p < 2 * PAIR; ++p) {
            const int32_t row = min(pair * COLUMNS + p * EACH + lane / 4, w.n - 1);

            rows[p] = (const uint16_t *)w.data + (int64_t)row * w.ld + lane % 4 * 8;
        }
    }

    __device__ unsigned char *place(int32_t slot, int u, int part) const {
        return ring + slot * SLOT + (u * PARTS + part) * WARP * 16;
    }

    /* The next steps' weights, and x if WITH_X. */
    template <bool WITH_X> __device__ void ask(const few_args &a, int32_t slot) {
        if (left > 0) {
#pragma unroll
            for (int p = 0; p < 2 * PAIR; ++p) {
#pragma unroll
                for (int u = 0; u < TOGETHER; ++u) {
                    if (step + u < to) {
                        copy_16(place(slot, u, p), rows[p] + (step + u) * STEP, 16);
                    }
                }
            }
            if (WITH_X && has_x) {
#pragma unroll
                for (int u = 0; u < TOGETHER; ++u) {
                    if (step + u < to) {
                        copy_16(place(slot, u, 2 * PAIR), x + (step + u) * STEP, 16);
                    }
                }
            }
            step += TOGETHER;
            if (step >= to) {
                step = from;
                pair += stride;
                left -= 1;
                if (left > 0) {
                    point(a);
                }
            }
        }
        end_copies();
    }
};

/* x of what was asked for before there was any. */
template <int DEPTH> __device__ void put_first(const walk &w) {
    uint4 right[DEPTH * TOGETHER];
    int32_t step = w.from;

#pragma unroll
    for (int slot = 0; slot < DEPTH; ++slot) {
#pragma unroll
        for (int u = 0; u < TOGETHER; ++u) {
            right[slot * TOGETHER + u] =
                w.has_x && step + u < w.to ? *(const uint4 *)(w.x + (step + u) * STEP) : uint4{};
        }
        step = step + TOGETHER < w.to ? step + TOGETHER : w.from;
    }
#pragma unroll
    for (int at = 0; at < DEPTH * TOGETHER; ++at) {
        *(uint4 *)w.place(at / TOGETHER, at % TOGETHER, 2 * PAIR) = right[at];
    }
}

/* The sums of a pair over the warp's slice. */
template <bool BF16, int DEPTH>
__device__ void sum_up(const few_args &a, walk &w, int32_t &slot, float (&sum)[PAIR][4]) {
    for (int32_t step = w.from; step < w.to; step += TOGETHER) {
        uint4 part[TOGETHER][PARTS];

        wait_for_copies<DEPTH - 1>();
#pragma unroll
        for (int u = 0; u < TOGETHER; ++u) {
#pragma unroll
            for (int p = 0; p < PARTS; ++p) {
                part[u][p] = *(const uint4 *)w.place(slot, u, p);
            }
        }
        w.ask<true>(a, slot);
        slot = slot + 1 == DEPTH ? 0 : slot + 1;
#pragma unroll
        for (int u = 0; u < TOGETHER; ++u) {
            if (step + u < w.to) {
#pragma unroll
                for (int t = 0; t < PAIR; ++t) {
                    multiply_32<BF16>(sum[t], part[u][2 * t], part[u][2 * t + 1],
                                      part[u][2 * PAIR]);
                }
            }
        }
    }
}

/* (PAIR, EACH, APART). */
__device__ void keep_pair(float *to, const float (&sum)[PAIR][4]) {
#pragma unroll
    for (int t = 0; t < PAIR; ++t) {
        keep_sums(to + t * EACH * APART, sum[t]);
    }
}

__device__ int32_t sum_at(int32_t row, int32_t m) {
    return (m / TILE * EACH + row) * APART + m % TILE;
}

__device__ ending ending_of(const few_args &a, int32_t row, int32_t col) {
    ending e = {};

    if (row < a.f.a.rows && col < a.f.a.w.n) {
        e = {bias_of(a.f.a, col), residual_at(a.f.a, a.f.moment, row, col),
             place_of(a.f, row, col)};
    }
    return e;
}

/* Each thread has an output of a pair: what the warps have for it, in order. */
template <bool BF16, int DEPTH>
__device__ void multiply_deep(const few_args &a, walk &w, float *sums) {
    const int32_t row = (int32_t)threadIdx.x / COLUMNS;
    const int32_t m = (int32_t)threadIdx.x % COLUMNS;
    const int32_t pairs = w.left;
    int32_t col = (int32_t)blockIdx.x * COLUMNS + m;
    int32_t slot = 0;

    for (int i = 0; i < DEPTH; ++i) {
        w.ask<false>(a, i);
    }
    wait_for_previous();
    put_first<DEPTH>(w);
    ending e = ending_of(a, row, col);

    for (int32_t i = 0; i < pairs; ++i) {
        float sum[PAIR][4] = {};
        float *all = sums + i % 2 * FEW_WARPS * SUMS; /* two, so that nobody waits to write */
        float mine = 0.0F;

        sum_up<BF16, DEPTH>(a, w, slot, sum);
        keep_pair(all + (int32_t)threadIdx.x / WARP * SUMS, sum);
        __syncthreads();
#pragma unroll
        for (int warp = 0; warp < FEW_WARPS; ++warp) {
            mine += all[warp * SUMS + sum_at(row, m)];
        }
        if (row < a.f.a.rows && col < a.f.a.w.n) {
            finish_few(a.f, col, mine, e);
        }
        col += (int32_t)gridDim.x * COLUMNS;
        if (i + 1 < pairs) {
            e = ending_of(a, row, col);
        }
    }
}

/* A lane has a column of the pair, and all rows of it. */
__device__ void finish_pair(const few_args &a, const float *sums, float *beside, int32_t pair) {
    const eet_project_args &p = a.f.a;
    const int32_t m = (int32_t)threadIdx.x % WARP;
    const int32_t col = pair * COLUMNS + m;
    float residual[EACH];

    static_assert(COLUMNS == WARP);
    if (col >= p.w.n) {
        return;
    }
    if (p.residual != nullptr) { /* all of them at once */
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            residual[row] = row < p.rows ? residual_at(p, a.f.moment, row, col) : 0.0F;
        }
#pragma unroll
        for (int row = 0; row < EACH; ++row) {
            beside[row * WARP + m] = residual[row];
        }
    }
    const float bias = bias_of(p, col);

#pragma unroll 1
    for (int32_t row = 0; row < p.rows; ++row) {
        finish_few(
            a.f, col, sums[sum_at(row, m)],
            {bias, p.residual != nullptr ? beside[row * WARP + m] : 0.0F, place_of(a.f, row, col)});
    }
}

template <bool BF16, int DEPTH>
__device__ void multiply_wide(const few_args &a, walk &w, float *sums) {
    const int warp = (int)threadIdx.x / WARP;
    const int32_t pairs = w.left;
    int32_t pair = w.pair;
    int32_t slot = 0;

    for (int i = 0; i < DEPTH; ++i) {
        w.ask<false>(a, i);
    }
    sums += warp * (SUMS + EACH * WARP);
    wait_for_previous();
    put_first<DEPTH>(w);
    for (int32_t i = 0; i < pairs; ++i) {
        float sum[PAIR][4] = {};

        sum_up<BF16, DEPTH>(a, w, slot, sum);
        __syncwarp();
        keep_pair(sums, sum);
        __syncwarp();
        finish_pair(a, sums, sums + SUMS, pair);
        pair += w.stride;
    }
}

#endif

template <bool BF16, bool WIDE, int DEPTH>
__global__ void __launch_bounds__(WIDE ? MOST_WARPS *WARP : FEW_THREADS, 1)
    multiply_long(const __grid_constant__ few_args a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) unsigned char shared[];
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const int32_t warp = (int32_t)threadIdx.x / WARP;
    const int32_t warps = (int32_t)blockDim.x / WARP;
    const int32_t pairs = (a.f.a.w.n + COLUMNS - 1) / COLUMNS;
    const few_slice s = WIDE ? few_slice{0, a.steps} : slice_of(a.steps, 1, 0, warp);
    walk w = {};

    let_next_begin();
    w.ring = shared + warp * DEPTH * SLOT + lane * 16;
    w.from = w.step = s.from;
    w.to = s.to;
    w.pair = (WIDE ? warp * (int32_t)gridDim.x : 0) + (int32_t)blockIdx.x;
    w.stride = (WIDE ? warps : 1) * (int32_t)gridDim.x;
    w.left = w.pair < pairs ? (pairs - w.pair + w.stride - 1) / w.stride : 0;
    w.has_x = lane / 4 < a.f.a.rows;
    w.x = (const uint16_t *)a.ready + (int64_t)(w.has_x ? lane / 4 : 0) * a.ready_stride +
          lane % 4 * 8;
    w.point(a);
    float *sums = (float *)(shared + warps * DEPTH * SLOT);

    if constexpr (WIDE) {
        multiply_wide<BF16, DEPTH>(a, w, sums);
    } else {
        multiply_deep<BF16, DEPTH>(a, w, sums);
    }
#endif
}

template <bool BF16, bool WIDE, int DEPTH>
void launch(const eet_backend *backend, const few_args &a, int32_t warps) {
    const int32_t pairs = (a.f.a.w.n + COLUMNS - 1) / COLUMNS;
    const int32_t floats = WIDE ? warps * (SUMS + EACH * WARP) : 2 * FEW_WARPS * SUMS;
    const launch_shape shape = {dim3((unsigned)(pairs < backend->blocks ? pairs : backend->blocks)),
                                (unsigned)(warps * WARP),
                                (size_t)(warps * DEPTH * SLOT) + (size_t)floats * sizeof(float), 1};

    launch_early(backend, multiply_long<BF16, WIDE, DEPTH>, shape, a);
}

/* Warps of a wide product's blocks: as many as have equally many pairs each. */
int32_t warps_of(const eet_backend *backend, int32_t n) {
    const int32_t pairs = (n + COLUMNS - 1) / COLUMNS;
    const int32_t block = (pairs + backend->blocks - 1) / backend->blocks;
    const int32_t rounds = (block + MOST_WARPS - 1) / MOST_WARPS;

    return (block + rounds - 1) / rounds;
}

template <bool BF16> void launch_any(const eet_backend *backend, const few_args &a, bool wide) {
    constexpr int FEW = 5;
    const int32_t warps = wide ? warps_of(backend, a.f.a.w.n) : FEW_WARPS;

    if (!wide) {
        launch<BF16, false, 5>(backend, a, warps);
    } else if (warps <= FEW) {
        launch<BF16, true, 8>(backend, a, warps);
    } else if (warps <= FEW_WARPS) {
        launch<BF16, true, 5>(backend, a, warps);
    } else {
        launch<BF16, true, 3>(backend, a, warps);
    }
}

} // namespace

/* With much to do, of which no block has much more than others. */
bool eet_few_is_long(const eet_backend *backend, const few_args *a) {
    const eet_project_args *p = &a->f.a;
    const int32_t pairs = (p->w.n + COLUMNS - 1) / COLUMNS;
    const int32_t rounds =
        (pairs + backend->blocks - 1) / backend->blocks; /* of a block, at most */

    return backend->capability >= HOPPER && p->rows <= EACH && a->steps >= LEAST_STEPS &&
           p->w.k % STEP == 0 && a->aligned && a->cluster == 1 &&
           4 * pairs >= 3 * rounds * backend->blocks && backend->shared >= MOST_SHARED;
}

void eet_few_long(const eet_backend *backend, const few_args *a) {
    const bool wide = a->f.a.w.n >= FEW_WIDE_N;

    if (a->f.a.w.dtype == EET_BF16) {
        launch_any<true>(backend, *a, wide);
    } else {
        launch_any<false>(backend, *a, wide);
    }
}
