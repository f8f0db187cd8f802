/* project_few_mma.cu - products of few rows with weights of 16 bits. Bound by the read rate of
 * memory, of which a step of GPT-2 reaches 9 to 48 % so far (docs/performance.md).
 *
 * Weights are the left operand of m16n8k16 and rows of x the right one, eight at a time. A lane
 * reads 8 neighbours of k of a row of weights into its own place of a ring in shared memory; as
 * both operands of a product may have their k in any order, what it reads is what it multiplies:
 * nothing is exchanged and nobody waits for a neighbour. All of the ring is asked for before the
 * kernel before this one has ended.
 *
 * Deep: a block has 16 rows of weights, its warps (and the blocks of a cluster) have slices
 * of k, whose sums are added up in their order. Wide, for so many rows that every warp has some: a
 * warp has all of k for its rows, and takes more when it is done. Which of them, and where slices
 * are, is a function of (n, k). */
#include "kernels/cuda/project_few_mma.cuh"

namespace {

constexpr int32_t MOST_STAGED = 20 << 10; /* elements */
constexpr int MOST_CLUSTER = 4;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

__device__ void arrive_at_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

__device__ void wait_for_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

/* An output of a block's tiles, by its number: neighbours are columns of one row. */
struct output {
    int32_t row, col;
};

template <int TILES> __device__ output output_of(int32_t number, int32_t tile) {
    return {number / (TILES * TILE), tile * TILES * TILE + number % (TILES * TILE)};
}

/* The outputs of a block or of a cluster, whose ranks have a share of them each. */
struct shares {
    int32_t tile, rank, each, outputs;
};

template <int GROUPS> __device__ shares shares_of(const few_args &a) {
    const int32_t outputs = 1 * TILE * a.f.a.rows;

    return {(int32_t)blockIdx.x / a.cluster, (int32_t)blockIdx.x % a.cluster,
            (outputs + a.cluster - 1) / a.cluster, outputs};
}

/* A thread's output number i; none has no column of n. */
template <int GROUPS> __device__ output mine_of(const few_args &a, shares s, int32_t i) {
    const int32_t at = (int32_t)threadIdx.x + i * FEW_THREADS;
    const int32_t number = s.rank * s.each + at;

    return at < s.each && number < s.outputs ? output_of<1>(number, s.tile) : output{0, a.f.a.w.n};
}

EET_BOTH constexpr int batch_of(int groups) { /* outputs of a thread that are made together */
    return groups > 2 ? 4 : 1;
}

template <int GROUPS>
__device__ void find_endings(const few_args &a, shares s, const float *moment, int32_t from,
                             ending (&e)[batch_of(GROUPS)]) {
#pragma unroll
    for (int i = 0; i < batch_of(GROUPS); ++i) {
        const output o = mine_of<GROUPS>(a, s, from + i);

        if (o.col < a.f.a.w.n) {
            e[i].residual = residual_at(a.f.a, moment, o.row, o.col);
            e[i].bias = bias_of(a.f.a, o.col);
        }
    }
}

/* `e` is of a thread's first outputs. */
template <int GROUPS>
__device__ void finish_tile(const few_args &a, shares s, const unsigned char *regions,
                            float *gather, const float *moment, ending (&e)[batch_of(GROUPS)]) {
    constexpr int BATCH = batch_of(GROUPS);

    if (a.cluster > 1) {
        for (int32_t i = (int32_t)threadIdx.x; i < s.outputs; i += FEW_THREADS) {
            store_in_cluster(gather + s.rank * s.each + i % s.each, i / s.each,
                             sum_of_warps(a, regions, i / TILE, i % TILE));
        }
        arrive_at_cluster();
        wait_for_cluster();
    }
    for (int32_t from = 0; from * FEW_THREADS < s.each; from += BATCH) {
        if (from > 0) {
            find_endings<GROUPS>(a, s, moment, from, e);
        }
#pragma unroll
        for (int i = 0; i < BATCH; ++i) {
            const output o = mine_of<GROUPS>(a, s, from + i);
            const int32_t at = (int32_t)threadIdx.x + (from + i) * FEW_THREADS;
            float sum = 0.0F;

            if (o.col >= a.f.a.w.n) {
                continue;
            }
            if (a.cluster > 1) {
                for (int32_t r = 0; r < a.cluster; ++r) {
                    sum += gather[r * s.each + at];
                }
            } else {
                const int32_t number = s.rank * s.each + at;

                sum = sum_of_warps(a, regions, number / TILE, number % TILE);
            }
            e[i].place = place_of(a.f, o.row, o.col);
            finish_few(a.f, o.col, sum, e[i]);
        }
    }
}

template <bool BF16, int GROUPS>
__device__ void multiply_deep(const few_args &a, unsigned char *shared) {
    constexpr int TILES = 1;
    constexpr bool EARLY = GROUPS <= 2; /* are there registers for endings? */
    const room r = room_of(a, shared);
    const shares s = shares_of<GROUPS>(a);
    const int warp = (int)threadIdx.x / WARP;
    const few_slice mine = slice_of(a.steps, a.cluster, s.rank, warp);
    stream<TILES> w = {shared + warp * a.region, mine.from, mine.to, s.tile, mine.from, 0,
                       mine.to - mine.from,      0};
    float sum[TILES][GROUPS][4] = {};
    ending e[batch_of(GROUPS)];

    for (int i = 0; i < depth_of(GROUPS, false); ++i) {
        w.fetch(a, i);
    }
    fetch_ahead(a.f.a.bias != nullptr ? a.f.a.bias + s.tile * TILES * TILE : nullptr, TILES);
    if (a.cluster > 1) {
        arrive_at_cluster();
    }
    wait_for_previous();
    if (EARLY) {
        find_endings<GROUPS>(a, s, a.f.moment, 0, e);
    }
    sum_up<BF16, GROUPS, false, false>(a, w, nullptr, sum);
#pragma unroll
    for (int at = 0; at < TILES * GROUPS; ++at) {
        keep_sums((float *)(shared + warp * a.region) + at * EACH * APART,
                  sum[at / GROUPS][at % GROUPS]);
    }
    if (!EARLY) {
        find_endings<GROUPS>(a, s, a.f.moment, 0, e);
    }
    __syncthreads();
    if (a.cluster > 1) {
        wait_for_cluster(); /* all of it has begun */
    }
    finish_tile<GROUPS>(a, s, shared, r.gather, a.f.moment, e);
}

/* The outputs of a warp for 8 rows of x. */
template <int TILES>
__device__ void finish_group(const few_args &a, const float *sums, const float *moment,
                             int32_t tile, int group) {
    const int32_t left = min(a.f.a.rows - group * EACH, EACH);

#pragma unroll 1
    for (int32_t i = (int32_t)threadIdx.x % WARP; i < TILES * TILE * left; i += WARP) {
        const output o = output_of<TILES>(i, tile);
        const int32_t row = group * EACH + o.row;
        const int32_t m = i % (TILES * TILE);

        if (o.col < a.f.a.w.n) {
            finish_few(a.f, o.col, sums[(m / TILE * EACH + o.row) * APART + m % TILE],
                       {bias_of(a.f.a, o.col), residual_at(a.f.a, moment, row, o.col),
                        place_of(a.f, row, o.col)});
        }
    }
}

template <bool BF16, int GROUPS, bool STAGE>
__device__ void multiply_wide(const few_args &a, unsigned char *shared) {
    constexpr int TILES = tiles_of(GROUPS, true);
    const eet_project_args &p = a.f.a;
    const room r = room_of(a, shared);
    const int warp = (int)threadIdx.x / WARP;
    const int32_t tiles = (p.w.n + TILES * TILE - 1) / (TILES * TILE);
    const int32_t tile = warp * (int32_t)gridDim.x + (int32_t)blockIdx.x;
    const int32_t stride = FEW_WARPS * (int32_t)gridDim.x;
    const int32_t mine = tile < tiles ? (tiles - tile + stride - 1) / stride : 0;
    stream<TILES> w = {shared + warp * a.region, 0, a.steps, tile, 0, stride, mine * a.steps, 0};

    norm_four ahead = {};

    if (STAGE) {
        ahead = norm_at(a, 4 * (int32_t)threadIdx.x);
    }
    for (int i = 0; i < depth_of(GROUPS, true); ++i) {
        w.fetch(a, i);
    }
    wait_for_previous();
    if (STAGE) {
        stage<BF16>(a, ahead, r);
    }
    for (int32_t i = 0; i < mine; ++i) {
        float sum[TILES][GROUPS][4] = {};

        sum_up<BF16, GROUPS, true, STAGE>(a, w, r.staged, sum);
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            __syncwarp();
#pragma unroll
            for (int t = 0; t < TILES; ++t) {
                keep_sums(r.gather + warp * TILES * EACH * APART + t * EACH * APART, sum[t][g]);
            }
            __syncwarp();
            finish_group<TILES>(a, r.gather + warp * TILES * EACH * APART,
                                STAGE ? r.moment : a.f.moment, tile + i * stride, g);
        }
    }
}

#endif

template <bool BF16, int GROUPS, bool WIDE, bool STAGE>
__global__ void __launch_bounds__(FEW_THREADS, blocks_of(GROUPS, WIDE))
    multiply_few(const __grid_constant__ few_args a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    extern __shared__ __align__(16) unsigned char shared[];

    let_next_begin();
    if constexpr (WIDE) {
        multiply_wide<BF16, GROUPS, STAGE>(a, shared);
    } else {
        multiply_deep<BF16, GROUPS>(a, shared);
    }
#endif
}

bool is_wide(const eet_project_args *a) {
    return a->w.n >= FEW_WIDE_N;
}

/* Blocks that share k: more while the device has room for them and each has enough to do. Chosen
 * by single runs of GPT-2's shapes on one H200: less than FIRST steps were faster in one block. */
int32_t cluster_of(const eet_backend *backend, const eet_project_args *a, int32_t steps) {
    constexpr int32_t FULL = 200; /* blocks */
    constexpr int32_t LEAST = 24; /* steps of a block */
    constexpr int32_t FIRST = 64;
    const int32_t tiles = (a->w.n + TILE - 1) / TILE;
    int32_t cluster = 1;

    if (is_wide(a) || backend->capability < HOPPER || steps < FIRST) {
        return 1;
    }
    while (cluster < MOST_CLUSTER && tiles * cluster < FULL && steps >= 2 * cluster * LEAST) {
        cluster *= 2;
    }
    return cluster;
}

template <bool BF16, int GROUPS, bool WIDE, bool STAGE>
void launch(const eet_backend *backend, few_args *a) {
    constexpr int TILES = tiles_of(GROUPS, WIDE);
    constexpr int32_t SUMS = TILES * GROUPS * EACH * APART * 4;
    const int32_t tiles = (a->f.a.w.n + TILES * TILE - 1) / (TILES * TILE);
    const int32_t block_steps = (a->steps + a->cluster - 1) / a->cluster;
    const int32_t warp_steps = WIDE ? a->steps : (block_steps + FEW_WARPS - 1) / FEW_WARPS;

    a->slots = warp_steps < depth_of(GROUPS, WIDE) && !WIDE ? warp_steps : depth_of(GROUPS, WIDE);
    a->region = a->slots * TILES * 1024;
    if (!WIDE && a->region < SUMS) {
        a->region = SUMS;
    }
    a->gather = 0;
    if (WIDE) {
        a->gather = FEW_WARPS * TILES * EACH * APART;
    } else if (a->cluster > 1) {
        a->gather = TILES * TILE * GROUPS * EACH;
    }
    size_t shared = (size_t)FEW_WARPS * (size_t)a->region;

    shared += ((size_t)a->gather + FIXED) * sizeof(float);
    shared += STAGE ? (size_t)a->f.a.rows * (size_t)a->stride * sizeof(uint16_t) : 0;
    const int32_t full = 2 * backend->blocks;
    const int32_t wanted = (tiles + FEW_WARPS - 1) / FEW_WARPS;
    const int32_t blocks = WIDE ? (wanted < full ? wanted : full) : tiles * a->cluster;

    launch_early(backend, multiply_few<BF16, GROUPS, WIDE, STAGE>,
                 {dim3((unsigned)blocks), FEW_THREADS, shared, (unsigned)a->cluster}, *a);
}

template <bool BF16, bool WIDE> void launch_rows(const eet_backend *backend, few_args *a) {
    if (WIDE && a->ready == nullptr) {
        launch<BF16, 1, true, true>(backend, a);
    } else if (a->f.a.rows <= EACH) {
        launch<BF16, 1, WIDE, false>(backend, a);
    } else if (a->f.a.rows <= 2 * EACH) {
        launch<BF16, 2, WIDE, false>(backend, a);
    } else if (a->f.a.rows <= 4 * EACH) {
        launch<BF16, 4, WIDE, false>(backend, a);
    } else {
        launch<BF16, 8, WIDE, false>(backend, a);
    }
}

} // namespace

void eet_few_plan(const eet_backend *backend, few_args *a) {
    const eet_matrix *w = &a->f.a.w;

    a->steps = (w->k + STEP - 1) / STEP;
    a->cluster = cluster_of(backend, &a->f.a, a->steps);
    a->stride = (a->steps | 1) * STEP; /* an odd multiple of 64 bytes: rows on different banks */
    a->aligned = (uintptr_t)w->data % 16 == 0 && w->ld % 8 == 0;
}

bool eet_few_stages(const eet_backend *backend, const few_args *a) {
    constexpr int32_t RINGS = FEW_WARPS * depth_of(1, true) * tiles_of(1, true) * 1024;
    constexpr int32_t FLOATS = FEW_WARPS * tiles_of(1, true) * EACH * APART + FIXED;
    constexpr int32_t BESIDE = RINGS + FLOATS * (int32_t)sizeof(float);
    const eet_project_args *p = &a->f.a;

    const int32_t bytes = 2 * p->rows * a->stride;

    return is_wide(p) && p->rows <= STAGED && bytes <= 2 * MOST_STAGED &&
           BESIDE + bytes <= backend->shared;
}

void eet_few_multiply(const eet_backend *backend, few_args *a) {
    const bool wide = is_wide(&a->f.a);

    if (a->f.a.w.dtype == EET_BF16) {
        wide ? launch_rows<true, true>(backend, a) : launch_rows<true, false>(backend, a);
    } else {
        wide ? launch_rows<false, true>(backend, a) : launch_rows<false, false>(backend, a);
    }
}
