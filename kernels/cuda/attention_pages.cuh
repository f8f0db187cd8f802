/* attention_pages.cuh - how the blocks of attention_pages.cu share their work, and its pages on
 * their way into shared memory. */
#ifndef EET_KERNELS_CUDA_ATTENTION_PAGES_CUH
#define EET_KERNELS_CUDA_ATTENTION_PAGES_CUH

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cluster.cuh"

constexpr int WARPS = 8; /* of a team that have keys; one more brings its pages */
constexpr int MOST_TEAMS = 2;
constexpr int WARP_KEYS = EET_PAGE_TOKENS / WARPS;
constexpr int CHAINS = 8;
constexpr int STATES = CHAINS * WARPS;
constexpr int WIDE = 16;       /* bytes of a read */
constexpr int MOST_STAGES = 8; /* of a team */
constexpr int LEAST_STAGES = 2;
constexpr int WANTED_SHARED = 104 << 10; /* bytes of a block: two are on many multiprocessors */

/* How a head's chunks of 16 bytes are laid on lanes. */
template <typename T, int LANES_> struct lanes_of {
    using number = T;
    static constexpr int LANES = LANES_;
    static constexpr int COUNT = WIDE / (int)sizeof(T);
    static constexpr int GROUPS = WARP / LANES; /* keys of one read of a warp */
    static constexpr int READS = WARP_KEYS / GROUPS;
    static constexpr int COLUMNS = LANES * COUNT; /* that a head has at most */
    static constexpr int STATE = COLUMNS + 8;     /* floats: values, top, sum; no bank twice */
    static constexpr int STATE_BYTES = STATES * STATE * 4;
};

/* The call as a block needs it. */
struct tokens_of_call {
    int32_t row[EET_FEW_TOKENS], keys[EET_FEW_TOKENS], kept[EET_FEW_TOKENS];
    int32_t before[EET_FEW_TOKENS + 1]; /* pages of the tokens before, one head's */
    int32_t begin, end;                 /* the cluster's queries and heads */
};

struct team_barriers {
    uint64_t full[MOST_STAGES], empty[MOST_STAGES];
};

struct block_barriers {
    team_barriers team[MOST_TEAMS];
    uint64_t ready, read; /* the states of an item */
};

/* Of a block, at most, besides what it asks for. */
constexpr int static_shared_of(int teams) {
    return (int)(sizeof(tokens_of_call) + sizeof(block_barriers)) + teams * WARPS * STATES * 4 +
           128;
}

/* What all parts of a kernel know. */
struct block_work {
    tokens_of_call *tokens;
    block_barriers *barriers;
    char *pages;    /* the team's: `stages` of stage_bytes each */
    float *states;  /* STATES */
    float *weights; /* STATES of each warp */
    int32_t stages, stage_bytes, key_bytes;
    int32_t rank, ranks; /* of the block in its cluster */
    int32_t team, teams; /* of the warp in its block */
    bool wide_q;         /* queries can be read as keys are, 16 bytes at a time */
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

struct stage {
    int32_t at;
    uint32_t parity;

    __device__ void go_on(int32_t stages) {
        at += 1;
        if (at == stages) {
            at = 0;
            parity ^= 1;
        }
    }
};

/* ---- which work is whose --------------------------------------------------- */

/* The warp's chains of an item are [first, first + count). */
struct chains_of_team {
    int32_t first, count;
};

__device__ inline chains_of_team chains_of(const block_work &w) {
    const int32_t count = CHAINS / (w.ranks * w.teams);

    return {(w.rank * w.teams + w.team) * count, count};
}

/* The first item that begins at `at` or behind, in pages of all heads. */
__device__ inline void find_item(const eet_attention_args &a, const tokens_of_call &t, int64_t at,
                                 int32_t *item) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;

    if (lane == 0) {
        *item = a.tokens * a.heads;
    }
    __syncwarp();
    for (int32_t token = lane; token < a.tokens; token += WARP) {
        const int32_t each = t.before[token + 1] - t.before[token];
        const int32_t found = eet_item_at(token, a.heads, t.before[token], each, at);

        if (found >= 0) {
            *item = found;
        }
    }
}

__device__ inline void list_tokens(const eet_attention_args &a, tokens_of_call &t, int32_t clusters,
                                   int32_t cluster) {
    const int32_t lane = (int32_t)threadIdx.x;
    int32_t sum = 0;

    if (lane >= WARP) {
        return;
    }
    if (lane == 0) {
        t.before[0] = 0;
    }
#pragma unroll
    for (int32_t token = lane; token < EET_FEW_TOKENS; token += WARP) {
        const query_facts q = token < a.tokens ? query_of(a, token) : query_facts{0, -1, 0};
        const int32_t pages = eet_pages_of(q.keys);
        int32_t all = q.keys < 0 ? 0 : (pages > 0 ? pages : 1);

        t.row[token] = q.row;
        t.keys[token] = q.keys;
        t.kept[token] = a.causal ? q.kept : 0;
#pragma unroll
        for (int apart = 1; apart < WARP; apart *= 2) {
            const int32_t other = __shfl_up_sync(ALL_LANES, all, apart);

            all += lane >= apart ? other : 0;
        }
        t.before[token + 1] = sum + all;
        sum += __shfl_sync(ALL_LANES, all, WARP - 1);
    }
    __syncwarp();
    const int64_t total = (int64_t)sum * a.heads;

    find_item(a, t, total * cluster / clusters, &t.begin);
    find_item(a, t, total * (cluster + 1) / clusters, &t.end);
}

/* ---- pages into shared memory ---------------------------------------------- */

/* Keys and values of one page and head, `keys` of them. */
template <typename T>
__device__ inline void bring_page(const eet_attention_args &a, const block_work &w, stage at,
                                  int32_t page, int32_t head, int32_t keys) {
    const T *k = (const T *)a.pages.data + eet_page_at(&a.pages, a.layer, page, 0, head, 0);
    const T *v = k + (int64_t)a.pages.heads * EET_PAGE_TOKENS * a.pages.dp;
    team_barriers &barriers = w.barriers->team[w.team];
    char *to = w.pages + at.at * w.stage_bytes;
    const uint32_t bytes = (uint32_t)(keys * w.key_bytes);

    wait_at(&barriers.empty[at.at], at.parity ^ 1);
    expect_bytes(&barriers.full[at.at], 2 * bytes);
    bring_bytes(to, k, bytes, &barriers.full[at.at]);
    bring_bytes(to + w.stage_bytes / 2, v, bytes, &barriers.full[at.at]);
}

/* A warp's work: its team's pages of the block's items, in their order. */
template <typename T>
__device__ inline void bring_pages(const eet_attention_args &a, const block_work &w) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;
    const chains_of_team chains = chains_of(w);
    bool waited = false;
    stage at = {0, 0};

    for (int32_t item = w.tokens->begin; item < w.tokens->end; ++item) {
        const int32_t token = item / a.heads;
        const int32_t head = item % a.heads;
        const int32_t keys = w.tokens->keys[token];
        const int32_t pages = eet_pages_of(keys);
        const int32_t begin = eet_chain_at(chains.first, CHAINS, pages);
        const int32_t end = keys < 0 ? 0 : eet_chain_at(chains.first + chains.count, CHAINS, pages);
        const int32_t *table = a.page_table + (int64_t)w.tokens->row[token] * a.table_stride;
        int32_t mine = 0;

        for (int32_t i = begin; i < end; ++i) {
            const int32_t first = i * EET_PAGE_TOKENS;
            const int32_t some = keys - first < EET_PAGE_TOKENS ? keys - first : EET_PAGE_TOKENS;
            const int32_t turn = (i - begin) % WARP;

            if (turn == 0) {
                mine = i + lane < end ? table[i + lane] : 0;
            }
            const int32_t page = __shfl_sync(ALL_LANES, mine, turn);

            if (!waited && first + some > w.tokens->kept[token]) {
                wait_for_previous();
                waited = true;
            }
            if (lane == 0) {
                bring_page<T>(a, w, at, page, head, some);
            }
            at.go_on(w.stages);
        }
    }
    if (!waited) {
        wait_for_previous();
    }
}

/* ---- barriers --------------------------------------------------------------- */

__device__ inline void make_barriers(const block_work &w) {
    if (threadIdx.x == 0) {
        for (int32_t team = 0; team < w.teams; ++team) {
            for (int32_t i = 0; i < w.stages; ++i) {
                make_barrier(&w.barriers->team[team].full[i], 1);
                make_barrier(&w.barriers->team[team].empty[i], WARPS);
            }
        }
        make_barrier(&w.barriers->ready, (uint32_t)(WARPS * w.teams * w.ranks));
        make_barrier(&w.barriers->read, (uint32_t)(WARPS * w.teams * w.ranks));
        show_barriers();
    }
}

/* The warp is through with something: all of the cluster's blocks know. */
__device__ inline void tell(uint64_t *barrier, const block_work &w) {
    const int32_t lane = (int32_t)threadIdx.x % WARP;

    __syncwarp();
    if (lane < w.ranks) {
        arrive_at(barrier, (uint32_t)lane);
    }
}

#endif
#endif
