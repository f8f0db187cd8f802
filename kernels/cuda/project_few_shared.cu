/* project_few_shared.cu - products of 9 and more of the few rows with weights of 16 bits, on
 * devices of capability 9.0 and later: to the bit what project_few_mma.cu has for them, sooner.
 *
 * There lanes wait for x, which all blocks read, again and again. Here x comes by copies that
 * nobody waits for at once, as weights do: a warp has its slice of k in a ring of steps, of which
 * each lane reads what it has brought. A thread's outputs are of one column, and get their
 * activation together. Slices, and the order in which they are added up, are those of
 * project_few_mma.cu. */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/project_few_mma.cuh"

namespace {

constexpr int32_t LEAST_ROWS = 9;

EET_BOTH constexpr int32_t sums_of(int groups) { /* bytes of a warp's, with no bank twice */
    return (groups * EACH * APART + TILE) * 4;
}

EET_BOTH constexpr int32_t slot_bytes(int groups) { /* a warp's step: weights, then x */
    return 1024 + 512 * groups;
}

EET_BOTH constexpr int depth_of(int groups) { /* steps under way, at most */
    return groups == 2 ? 6 : (groups == 4 ? 3 : 2);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

constexpr int APART_ROWS = FEW_THREADS / TILE; /* a thread ends outputs of a column so far apart */

__device__ constexpr int ends_of(int groups) { /* outputs of a thread, at most */
    return groups * EACH / APART_ROWS;
}

/* Where a block is: its tile of rows of weights, and its share of k. */
struct block_place {
    int32_t tile, share;
};

/* A warp's ring. */
template <int GROUPS> struct ring {
    unsigned char *at;
    int32_t tile;

    __device__ unsigned char *place(int32_t slot, int32_t piece) const {
        return at + slot * slot_bytes(GROUPS) + piece * 512 + (int)threadIdx.x % WARP * 16;
    }
    /* Rows that are not there are others once more: nobody looks at what becomes of them. */
    __device__ void fetch_weights(const few_args &a, int32_t step, int32_t slot) const {
        const eet_matrix &w = a.f.a.w;
        const int lane = (int)threadIdx.x % WARP;
        const int32_t k = step * STEP + lane % 4 * 8;
        const uint16_t *from = (const uint16_t *)w.data + (k < w.k ? k : 0);

#pragma unroll
        for (int p = 0; p < 2; ++p) {
            const int32_t row = min(tile * TILE + p * 8 + lane / 4, w.n - 1);

            copy_16(place(slot, p), from + (int64_t)row * w.ld, k < w.k ? 16 : 0);
        }
    }
    __device__ void fetch_rows(const few_args &a, int32_t step, int32_t slot) const {
        const int lane = (int)threadIdx.x % WARP;
        const int32_t k = step * STEP + lane % 4 * 8;
        const uint16_t *from = (const uint16_t *)a.ready + (k < a.ready_cols ? k : 0);

#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const int32_t row = min(g * EACH + lane / 4, a.f.a.rows - 1);

            copy_16(place(slot, 2 + g), from + row * a.ready_stride, k < a.ready_cols ? 16 : 0);
        }
    }
    __device__ uint4 taken(int32_t slot, int32_t piece) const {
        return *(const uint4 *)place(slot, piece);
    }
};

/* The first steps on their way: weights, which no kernel writes, before the kernel before this has
 * ended. */
template <int GROUPS>
__device__ void begin_steps(const few_args &a, const ring<GROUPS> &r, few_slice mine) {
    constexpr int DEPTH = depth_of(GROUPS);

#pragma unroll 1
    for (int i = 0; i < DEPTH && mine.from + i < mine.to; ++i) {
        r.fetch_weights(a, mine.from + i, i);
    }
    fetch_ahead(a.f.a.bias != nullptr ? a.f.a.bias + r.tile * TILE : nullptr, 1);
    wait_for_previous();
#pragma unroll 1
    for (int i = 0; i < DEPTH; ++i) {
        if (mine.from + i < mine.to) {
            r.fetch_rows(a, mine.from + i, i);
        }
        end_copies();
    }
}

/* The warp's sums over its steps. */
template <bool BF16, int GROUPS>
__device__ void sum_steps(const few_args &a, const ring<GROUPS> &r, few_slice mine,
                          float (&sum)[GROUPS][4]) {
    constexpr int DEPTH = depth_of(GROUPS);
    int32_t slot = 0;

#pragma unroll 1
    for (int32_t step = mine.from; step < mine.to; ++step) {
        wait_for_copies<DEPTH - 1>();
        const uint4 upper = r.taken(slot, 0);
        const uint4 lower = r.taken(slot, 1);

#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            multiply_32<BF16>(sum[g], upper, lower, r.taken(slot, 2 + g));
        }
        if (step + DEPTH < mine.to) {
            r.fetch_weights(a, step + DEPTH, slot);
            r.fetch_rows(a, step + DEPTH, slot);
        }
        end_copies();
        slot = slot + 1 == DEPTH ? 0 : slot + 1;
    }
}

/* What a thread ends: column m of its block's, col of all, and every APART_ROWS'th from `row` on of
 * the `per` rows from `first` on, which are its block's share. */
struct column {
    int32_t m, col, row, per, first;
};

__device__ column column_of(const few_args &a, const block_place &b) {
    const int32_t m = (int32_t)threadIdx.x % TILE;
    const int32_t per = (a.f.a.rows + a.cluster - 1) / a.cluster;

    return {m, b.tile * TILE + m, (int32_t)threadIdx.x / TILE, per, b.share * per};
}

/* Is there an output number i? */
__device__ bool has_end(const few_args &a, const column &c, int i) {
    const int32_t row = c.row + i * APART_ROWS;

    return row < c.per && c.first + row < a.f.a.rows && c.col < a.f.a.w.n;
}

/* The sums of all shares for the rows that each ends, in its own memory. */
template <int GROUPS>
__device__ void hand_on(const few_args &a, const block_place &b, const column &c,
                        const unsigned char *shared, float *gather) {
#pragma unroll
    for (int i = 0; i < ends_of(GROUPS); ++i) {
        const int32_t row = c.row + i * APART_ROWS;

        if (row < a.f.a.rows) {
            store_in_cluster(gather + (b.share * c.per + row % c.per) * TILE + c.m, row / c.per,
                             sum_of_warps(a, shared, row, c.m));
        }
    }
    sync_cluster();
}

/* The whole sums of a thread's outputs. */
template <int GROUPS>
__device__ void whole_sums(const few_args &a, const column &c, const unsigned char *shared,
                           const float *gather, float (&y)[ends_of(GROUPS)]) {
#pragma unroll
    for (int i = 0; i < ends_of(GROUPS); ++i) {
        const int32_t row = c.row + i * APART_ROWS;

        y[i] = 0.0F;
        if (row >= c.per) {
            continue;
        }
        if (a.cluster > 1) {
            for (int32_t share = 0; share < a.cluster; ++share) {
                y[i] += gather[(share * c.per + row) * TILE + c.m];
            }
        } else {
            y[i] = sum_of_warps(a, shared, row, c.m);
        }
    }
}

/* As finish_few does it, the activation of all outputs together: code that is run once has to come
 * from memory first. */
template <int GROUPS>
__device__ void finish(const few_args &a, const column &c, const float (&residual)[ends_of(GROUPS)],
                       float (&y)[ends_of(GROUPS)]) {
    activate_few(a.f.a, c.col < a.f.a.w.n ? bias_of(a.f.a, c.col) : 0.0F, y);
#pragma unroll
    for (int i = 0; i < ends_of(GROUPS); ++i) {
        if (has_end(a, c, i)) {
            put_few(a.f, c.col, y[i], residual[i],
                    place_of(a.f, c.first + c.row + i * APART_ROWS, c.col));
        }
    }
}

#endif

template <bool BF16, int GROUPS>
__global__ void __launch_bounds__(FEW_THREADS, 2)
    multiply_shared(const __grid_constant__ few_args a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    extern __shared__ __align__(16) unsigned char shared[];
    const block_place b = {(int32_t)blockIdx.x / a.cluster, (int32_t)blockIdx.x % a.cluster};
    const column c = column_of(a, b);
    const int warp = (int)threadIdx.x / WARP;
    const few_slice mine = slice_of(a.steps, a.cluster, b.share, warp);
    const ring<GROUPS> r = {shared + warp * a.region, b.tile};
    float *gather = (float *)(shared + FEW_WARPS * a.region);
    float sum[GROUPS][4] = {};
    float residual[ends_of(GROUPS)] = {};
    float y[ends_of(GROUPS)];

    let_next_begin();
    begin_steps(a, r, mine);
#pragma unroll
    for (int i = 0; i < ends_of(GROUPS); ++i) {
        if (a.f.a.residual != nullptr && has_end(a, c, i)) {
            residual[i] = residual_at(a.f.a, a.f.moment, c.first + c.row + i * APART_ROWS, c.col);
        }
    }
    sum_steps<BF16, GROUPS>(a, r, mine, sum);
    __syncwarp();
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) {
        keep_sums((float *)r.at + g * EACH * APART, sum[g]);
    }
    __syncthreads();
    if (a.cluster > 1) {
        sync_cluster(); /* all of it has begun */
        hand_on<GROUPS>(a, b, c, shared, gather);
    }
    whole_sums<GROUPS>(a, c, shared, gather, y);
    finish<GROUPS>(a, c, residual, y);
#endif
}

template <bool BF16, int GROUPS> bool launch(const eet_backend *backend, few_args a) {
    const int32_t tiles = (a.f.a.w.n + TILE - 1) / TILE;
    const int32_t steps = (a.steps + a.cluster * FEW_WARPS - 1) / (a.cluster * FEW_WARPS);
    const int32_t ring = (steps < depth_of(GROUPS) ? steps : depth_of(GROUPS)) * slot_bytes(GROUPS);

    a.region = ring > sums_of(GROUPS) ? ring : sums_of(GROUPS);
    a.gather = a.cluster > 1 ? (GROUPS * EACH + a.cluster) * TILE : 0;
    const int32_t shared = FEW_WARPS * a.region + 4 * a.gather;

    if (shared > backend->shared) {
        return false;
    }
    launch_early(
        backend, multiply_shared<BF16, GROUPS>,
        {dim3((unsigned)(tiles * a.cluster)), FEW_THREADS, (size_t)shared, (unsigned)a.cluster}, a);
    return true;
}

template <bool BF16> bool launch_rows(const eet_backend *backend, const few_args &a) {
    return a.f.a.rows <= 2 * EACH   ? launch<BF16, 2>(backend, a)
           : a.f.a.rows <= 4 * EACH ? launch<BF16, 4>(backend, a)
                                    : launch<BF16, 8>(backend, a);
}

} // namespace

bool eet_few_shared(const eet_backend *backend, const few_args *a) {
    const eet_matrix *w = &a->f.a.w;

    if (backend->capability < HOPPER || a->f.a.rows < LEAST_ROWS || w->n >= FEW_WIDE_N ||
        w->k % 8 != 0 || !a->aligned) {
        return false;
    }
    return w->dtype == EET_BF16 ? launch_rows<true>(backend, *a) : launch_rows<false>(backend, *a);
}
