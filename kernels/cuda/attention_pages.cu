/* attention_pages.cu - attention of a few queries with many keys in pages, on devices of capability
 * 9.0 and later: clusters of blocks that stay, of which each goes over some queries and heads.
 *
 * A query's pages are CHAINS runs, cut by their number alone. A block has one team of warps or two,
 * of which each has chains of its own: one warp has pages brought to shared memory, keys and values
 * of one page and head at a time, as long as there is room; the others have some keys of each page.
 * What a warp has come to at the end of a chain is one of STATES states, which are added up in one
 * order, whichever team of the cluster had them: a query's bits do not depend on how many blocks
 * share it. Bound by reading keys and values once.
 *
 * Keys that were there before the pass are read while the kernel before this one still runs, and so
 * are lengths and page tables. That is right because nothing that an early launch can overtake
 * writes them: a pass begins with embed, which is launched when everything before has ended. */
#include "kernels/cuda/attention_pages.cuh"
#include "kernels/stages.h"

namespace {

constexpr int ACROSS = 8;           /* columns of a warp that adds up states */
constexpr int DOWN = WARP / ACROSS; /* threads that share a column */

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/* ---- keys ------------------------------------------------------------------- */

/* What a lane has come to over the keys of its group: the largest score, in units of which 2^x is a
 * weight; the sum of weights; its columns of the weighted values. */
template <typename L> struct lane_state { float top, sum, y[L::COUNT]; };

__device__ int32_t warp_of_team() {
    return (int32_t)threadIdx.x / WARP % WARPS;
}

/* The lane's columns of a query in units of which a score's power of two is its weight. */
template <typename L>
__device__ void read_query(const eet_attention_args &a, int32_t item, bool wide,
                           float (&q)[L::COUNT]) {
    using T = typename L::number;
    const int64_t from = item / a.heads * a.q_stride + (int64_t)(item % a.heads) * a.head_dim;
    const int32_t first = (int32_t)threadIdx.x % L::LANES * L::COUNT;

    if (wide) { /* as keys are */
        unpack<T>(first < a.head_dim ? *(const uint4 *)((const T *)a.q + from + first) : uint4{},
                  q);
    }
#pragma unroll
    for (int i = 0; i < L::COUNT; ++i) {
        if (!wide) {
            q[i] = first + i < a.head_dim ? eet_float_at(a.q, a.dtype, from + first + i) : 0.0F;
        }
        q[i] *= a.scale * LOG2_E;
    }
}

/* The warp's keys of a page that has `count` of the query's, which is in a stage. */
template <typename L>
__device__ void add_page(const block_work &w, const char *from, int32_t count,
                         const float (&q)[L::COUNT], lane_state<L> &s) {
    using T = typename L::number;
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const int32_t key = warp_of_team() * WARP_KEYS + lane / L::LANES;
    const int32_t chunk = lane % L::LANES * WIDE;
    uint4 k[L::READS];
    uint4 v[L::READS];
    float score[L::READS];
    float top = s.top;

#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        const bool there = key + r * L::GROUPS < count && chunk < w.key_bytes;
        const char *at = from + (key + r * L::GROUPS) * w.key_bytes + chunk;

        k[r] = there ? *(const uint4 *)at : uint4{};
        v[r] = there ? *(const uint4 *)(at + w.stage_bytes / 2) : uint4{};
    }
#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        float x[L::COUNT];
        float sum = 0.0F;

        unpack<T>(k[r], x);
#pragma unroll
        for (int i = 0; i < L::COUNT; ++i) {
            sum += q[i] * x[i];
        }
#pragma unroll
        for (int apart = 1; apart < L::LANES; apart *= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, apart);
        }
        score[r] = key + r * L::GROUPS < count ? sum : -INFINITY;
        top = fmaxf(top, score[r]);
    }
    const float base = top == -INFINITY ? 0.0F : top;
    const float shrink = weight_of<typename L::number>(s.top - base);

    s.top = top;
    s.sum *= shrink;
#pragma unroll
    for (int i = 0; i < L::COUNT; ++i) {
        s.y[i] *= shrink;
    }
#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        const float weight = weight_of<typename L::number>(score[r] - base);
        float x[L::COUNT];

        unpack<T>(v[r], x);
        s.sum += weight;
#pragma unroll
        for (int i = 0; i < L::COUNT; ++i) {
            s.y[i] += weight * x[i];
        }
    }
}

/* The groups of a warp as one, of which each lane keeps some columns. */
template <typename L> __device__ void hand_on(float *state, lane_state<L> &s) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    int32_t column = lane % L::LANES * L::COUNT;
    float top = s.top;

#pragma unroll
    for (int apart = L::LANES; apart < WARP; apart *= 2) {
        top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, apart));
    }
    const float shrink = weight_of<typename L::number>(s.top - (top == -INFINITY ? 0.0F : top));

    s.sum *= shrink;
#pragma unroll
    for (int i = 0; i < L::COUNT; ++i) {
        s.y[i] *= shrink;
    }
#pragma unroll
    for (int apart = L::LANES, keep = L::COUNT / 2; apart < WARP; apart *= 2, keep /= 2) {
        const bool upper = (lane & apart) != 0;

        s.sum += __shfl_xor_sync(ALL_LANES, s.sum, apart);
        column += upper ? keep : 0;
        if (keep == 0) {
            s.y[0] += __shfl_xor_sync(ALL_LANES, s.y[0], apart);
        }
#pragma unroll
        for (int i = 0; i < keep; ++i) {
            const float other = __shfl_xor_sync(ALL_LANES, upper ? s.y[i] : s.y[i + keep], apart);

            s.y[i] = (upper ? s.y[i + keep] : s.y[i]) + other;
        }
    }
    constexpr int LEFT = L::COUNT / L::GROUPS > 0 ? L::COUNT / L::GROUPS : 1;

#pragma unroll
    for (int i = 0; i < LEFT; ++i) {
        state[column + i] = s.y[i];
    }
    if (lane == 0) {
        state[L::COLUMNS] = top;
        state[L::COLUMNS + 1] = s.sum;
    }
}

/* ---- states ------------------------------------------------------------------ */

/* Number `at` of a state, wherever in the cluster it is. */
template <typename L, bool ALONE>
__device__ float read_state(const block_work &w, int32_t state, int32_t at) {
    const uint32_t place = shared_place(w.states + state * L::STATE + at);

    if constexpr (ALONE) {
        return read_shared(place);
    }
    return read_cluster(place_in(place, (uint32_t)(state / WARPS * w.ranks / CHAINS)));
}

/* Every state's weight in the sum of all, for the warp to read; gives back the sum of weights. What
 * is read of a chain without pages is anything. */
template <typename L, bool ALONE>
__device__ float weigh_states(const block_work &w, int32_t pages, float *weights) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    float top[STATES / WARP];
    float sum[STATES / WARP];
    float most = -INFINITY;
    float all = 0.0F;

#pragma unroll
    for (int i = 0; i < STATES / WARP; ++i) {
        top[i] = read_state<L, ALONE>(w, lane + i * WARP, L::COLUMNS);
        sum[i] = read_state<L, ALONE>(w, lane + i * WARP, L::COLUMNS + 1);
    }
#pragma unroll
    for (int i = 0; i < STATES / WARP; ++i) {
        const int32_t chain = (lane + i * WARP) / WARPS;
        const bool there =
            eet_chain_at(chain + 1, CHAINS, pages) > eet_chain_at(chain, CHAINS, pages);

        top[i] = there ? top[i] : -INFINITY;
        sum[i] = there ? sum[i] : 0.0F;
        most = fmaxf(most, top[i]);
    }
#pragma unroll
    for (int apart = 1; apart < WARP; apart *= 2) {
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, apart));
    }
#pragma unroll
    for (int i = 0; i < STATES / WARP; ++i) {
        const float weight =
            weight_of<typename L::number>(top[i] - (most == -INFINITY ? 0.0F : most));

        weights[lane + i * WARP] = weight;
        all += weight * sum[i];
    }
#pragma unroll
    for (int apart = 1; apart < WARP; apart *= 2) {
        all += __shfl_xor_sync(ALL_LANES, all, apart);
    }
    __syncwarp();
    return all;
}

/* The block's columns of y, of all states that the cluster has. All reads are on the way before one
 * is used. */
template <typename L, bool ALONE>
__device__ void add_states(const eet_attention_args &a, const block_work &w, int32_t item,
                           int32_t pages) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const int32_t warp = (int32_t)threadIdx.x / WARP;
    const int32_t columns = ALONE ? L::COLUMNS : L::COLUMNS / w.ranks;
    float *weights = w.weights + warp * STATES;

    if (warp * ACROSS >= columns) {
        return;
    }
    for (int32_t first = warp * ACROSS; first < columns; first += w.teams * WARPS * ACROSS) {
        const int32_t mine = first + lane % ACROSS;
        const int32_t column = w.rank * columns + (mine < columns ? mine : 0);
        float x[STATES / DOWN];
        float y = 0.0F;

#pragma unroll
        for (int i = 0; i < STATES / DOWN; ++i) {
            x[i] = read_state<L, ALONE>(w, i * DOWN + lane / ACROSS, column);
        }
        const float all = weigh_states<L, ALONE>(w, pages, weights);

#pragma unroll
        for (int i = 0; i < STATES / DOWN; ++i) {
            const float weight = weights[i * DOWN + lane / ACROSS];

            y += weight != 0.0F ? weight * x[i] : 0.0F;
        }
#pragma unroll
        for (int apart = ACROSS; apart < WARP; apart *= 2) {
            y += __shfl_xor_sync(ALL_LANES, y, apart);
        }
        if (lane < ACROSS && mine < columns && column < a.head_dim) {
            eet_float_put(a.y, a.dtype, (int64_t)item * a.head_dim + column, y / all);
        }
        __syncwarp(); /* the next weights come when these are read */
    }
}

__device__ void put_zeros(const eet_attention_args &a, const block_work &w, int32_t item) {
    const int32_t column = (int32_t)threadIdx.x;

    if (w.rank == 0 && column < a.head_dim) {
        eet_float_put(a.y, a.dtype, (int64_t)item * a.head_dim + column, 0.0F);
    }
}

/* The team's chains of an item, then the block's columns of it. */
template <typename L>
__device__ void add_chains(const eet_attention_args &a, const block_work &w, int32_t item,
                           uint32_t round, stage &at) {
    const chains_of_team chains = chains_of(w);
    team_barriers &barriers = w.barriers->team[w.team];
    const int32_t keys = w.tokens->keys[item / a.heads];
    const int32_t pages = eet_pages_of(keys);
    float q[L::COUNT];

    read_query<L>(a, item, w.wide_q, q);
    if (round > 0) { /* the last item's states are read */
        wait_for_cluster(&w.barriers->read, (round - 1) & 1);
    }
#pragma unroll 1
    for (int32_t chain = chains.first; chain < chains.first + chains.count; ++chain) {
        const int32_t end = eet_chain_at(chain + 1, CHAINS, pages);
        int32_t page = eet_chain_at(chain, CHAINS, pages);
        lane_state<L> s = {-INFINITY, 0.0F, {}};

        if (page == end) {
            continue;
        }
#pragma unroll 1
        for (; page < end; ++page) {
            wait_at(&barriers.full[at.at], at.parity);
            add_page<L>(w, w.pages + at.at * w.stage_bytes, keys - page * EET_PAGE_TOKENS, q, s);
            __syncwarp();
            if (threadIdx.x % WARP == 0) {
                arrive(&barriers.empty[at.at]);
            }
            at.go_on(w.stages);
        }
        hand_on<L>(w.states + (chain * WARPS + warp_of_team()) * L::STATE, s);
    }
    tell(&w.barriers->ready, w);
    wait_for_cluster(&w.barriers->ready, round & 1);
    if (w.ranks == 1) {
        add_states<L, true>(a, w, item, pages);
    } else {
        add_states<L, false>(a, w, item, pages);
    }
    tell(&w.barriers->read, w);
}

template <typename L> __device__ void attend(const eet_attention_args &a, const block_work &w) {
    uint32_t round = 0;
    stage at = {0, 0};

    for (int32_t item = w.tokens->begin; item < w.tokens->end; ++item) {
        const int32_t keys = w.tokens->keys[item / a.heads];

        if (keys > 0) {
            add_chains<L>(a, w, item, round, at);
            ++round;
        } else if (keys == 0) {
            put_zeros(a, w, item);
        }
    }
    if (round > 0) { /* others read this block's states until then */
        wait_for_cluster(&w.barriers->read, (round - 1) & 1);
    }
}

#endif

constexpr int threads_of(int teams) {
    return teams * (WARPS + 1) * WARP;
}

template <typename L, int TEAMS>
__global__ void __launch_bounds__(threads_of(TEAMS), TEAMS == 1 ? 2 : 1)
    attend_pages(const __grid_constant__ eet_attention_args a, int32_t stages, int32_t ranks,
                 bool wide_q) {
    static_assert(L::READS * L::GROUPS == WARP_KEYS && ACROSS * DOWN == WARP);
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    extern __shared__ uint4 dynamic[];
    __shared__ tokens_of_call tokens;
    __shared__ block_barriers barriers;
    __shared__ float weights[TEAMS * WARPS * STATES];
    const int32_t key_bytes = a.pages.dp * (int32_t)sizeof(typename L::number);
    const int32_t stage_bytes = 2 * EET_PAGE_TOKENS * key_bytes;
    const int32_t warp = (int32_t)threadIdx.x / WARP;
    const bool brings = warp >= TEAMS * WARPS;
    const int32_t team = brings ? warp - TEAMS * WARPS : warp / WARPS;
    const block_work w = {
        .tokens = &tokens,
        .barriers = &barriers,
        .pages = (char *)dynamic + L::STATE_BYTES + team * stages * stage_bytes,
        .states = (float *)dynamic,
        .weights = weights,
        .stages = stages,
        .stage_bytes = stage_bytes,
        .key_bytes = key_bytes,
        .rank = (int32_t)blockIdx.x % ranks,
        .ranks = ranks,
        .team = team,
        .teams = TEAMS,
        .wide_q = wide_q,
    };

    let_next_begin();
    make_barriers(w);
    list_tokens(a, tokens, (int32_t)gridDim.x / ranks, (int32_t)blockIdx.x / ranks);
    if (ranks > 1) {
        sync_cluster();
    } else {
        __syncthreads();
    }
    if (brings) {
        bring_pages<typename L::number>(a, w);
    } else {
        wait_for_previous();
        attend<L>(a, w);
    }
#endif
}

/* Is there room for them? */
template <typename T, int LANES, int TEAMS>
bool launch_teams(const eet_backend *backend, const eet_attention_args *a, int64_t clusters,
                  int32_t ranks) {
    using L = lanes_of<T, LANES>;
    const int32_t bytes = TEAMS * 2 * EET_PAGE_TOKENS * a->pages.dp * (int32_t)sizeof(T);
    const int32_t room = backend->shared - static_shared_of(TEAMS);
    int32_t stages = eet_stages_in(room < WANTED_SHARED ? room : WANTED_SHARED, L::STATE_BYTES,
                                   bytes, MOST_STAGES);

    if (stages == 0) {
        stages = eet_stages_in(room, L::STATE_BYTES, bytes, LEAST_STAGES);
    }
    if (stages == 0) {
        return false;
    }
    launch_early(backend, attend_pages<L, TEAMS>,
                 {dim3((unsigned)(clusters * ranks)), (unsigned)threads_of(TEAMS),
                  (size_t)(L::STATE_BYTES + stages * bytes), (unsigned)ranks},
                 *a, stages, ranks, a->dtype == a->pages.dtype && queries_are_wide(*a));
    return true;
}

/* Blocks that share a query and head: as many as are on the device at once, and its clusters beside
 * blocks of the kernels before and after, which take their time to leave. */
int32_t ranks_of(int64_t items, int64_t blocks) {
    if (4 * items <= blocks * 3 / 4) {
        return 4;
    }
    return 2 * items <= blocks ? 2 : 1;
}

/* While every query and head can have a multiprocessor of its own, its blocks have two teams. */
template <typename T, int LANES>
eet_status launch(const eet_backend *backend, const eet_attention_args *a) {
    const int64_t blocks = backend->blocks;
    const int64_t items = a->tokens > 0 ? (int64_t)a->tokens * a->heads : 1;
    const int64_t clusters = items < 2 * blocks ? items : 2 * blocks;

    if (items <= blocks &&
        launch_teams<T, LANES, MOST_TEAMS>(backend, a, items, ranks_of(items, blocks))) {
        return EET_OK;
    }
    return launch_teams<T, LANES, 1>(backend, a, clusters, 1) ? EET_OK : EET_E_UNSUPPORTED;
}

template <typename T>
eet_status launch_for(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t chunks = a->pages.dp * (int32_t)sizeof(T) / WIDE;

    if (chunks <= 4) {
        return launch<T, 4>(backend, a);
    }
    if (chunks <= 8) {
        return launch<T, 8>(backend, a);
    }
    return chunks <= 16 ? launch<T, 16>(backend, a) : EET_E_UNSUPPORTED;
}

} // namespace

eet_status eet_attention_pages(const eet_backend *backend, const eet_attention_args *a) {
    if (backend->capability < HOPPER || a->k != nullptr || a->tokens > EET_FEW_TOKENS) {
        return EET_E_UNSUPPORTED;
    }
    switch (a->pages.dtype) {
    case EET_F16:
        return launch_for<f16>(backend, a);
    case EET_BF16:
        return launch_for<bf16>(backend, a);
    default:
        return launch_for<float>(backend, a);
    }
}
