/* attention_bring.cuh - attention on Hopper: how a block is made up of warp groups, and the two
 * threads that find its tiles of queries and let the copy engine bring them, and their keys and
 * values. */
#ifndef EET_KERNELS_CUDA_ATTENTION_BRING_CUH
#define EET_KERNELS_CUDA_ATTENTION_BRING_CUH

#include "kernels/cuda/attention_sm90.cuh"

constexpr int GROUP_QUERIES = 64;
constexpr int GROUP_WARPS = WARP_GROUP / WARP;
constexpr int HALF = EET_PAGE_TOKENS; /* keys that are brought at once */
constexpr int STEP = 2 * HALF;        /* and that softmax goes over at once */
constexpr int QUEUE = 2;              /* tiles of queries in shared memory */

/* Heads of up to DIMS columns; BLOCKS of them on a multiprocessor; the registers of those that
 * bring and of those that multiply. */
template <typename T, int DIMS_, int GROUPS_, int SLOTS_, int BLOCKS_, int BRING_, int MULTIPLY_,
          bool AHEAD_>
struct warp_groups {
    using number = T;
    static constexpr int DIMS = DIMS_;
    static constexpr int GROUPS = GROUPS_;
    static constexpr int SLOTS = SLOTS_;
    static constexpr int BLOCKS = BLOCKS_;
    static constexpr int BRING = BRING_;
    static constexpr int MULTIPLY = MULTIPLY_;
    static constexpr bool AHEAD = AHEAD_; /* a group's next scores while it adds up values */
    static constexpr int THREADS = WARP_GROUP * (GROUPS + 1);
    static constexpr int QUERIES = GROUP_QUERIES * GROUPS;
    static constexpr int PANELS = DIMS / PANEL;
    static constexpr int PANEL_BYTES = STEP * PANEL_ROW;
    static constexpr int TILE_BYTES = PANELS * PANEL_BYTES; /* of keys, and of values */
    static constexpr int QUERY_PANEL = GROUP_QUERIES * PANEL_ROW;
    static constexpr int QUERY_BYTES = PANELS * QUERY_PANEL; /* of a group */
    static constexpr int QUERIES_AT = SLOTS * 2 * TILE_BYTES;
    static constexpr int SPARE_AT = QUERIES_AT + QUEUE * GROUPS * QUERY_BYTES;
    static constexpr int ALIGNED = 1024; /* eight rows, of one swizzle */
    static constexpr int SHARED = SPARE_AT + TILE_BYTES + ALIGNED;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* A tile of queries to work on; count 0: the last has been. */
struct item {
    work w;
    int32_t seen;                   /* keys that the tile's query 0 sees */
    int32_t first_query, first_key; /* the tile's and the row's, in the arrays */
};

/* What the groups tell one another, and the tiles that they work on. */
template <typename G> struct block_state {
    uint64_t queries_full[QUEUE], queries_empty[QUEUE];
    uint64_t keys_full[G::SLOTS], keys_empty[G::SLOTS];
    uint64_t values_full[G::SLOTS], values_empty[G::SLOTS];
    uint64_t item_full[QUEUE];
    item items[QUEUE];
    int32_t spare; /* 1: a group uses it */
};

/* A place in a ring of N, and the parity of its round. */
template <int N> struct place {
    int32_t slot;
    uint32_t parity;

    __device__ void go_on() {
        slot = slot + 1 < N ? slot + 1 : 0;
        parity ^= slot == 0 ? 1U : 0U;
    }
};

/* ---- bringing ------------------------------------------------------------------- */

/* Tile `number` of all; the longest come first where they differ, else those of a row and head stay
 * together. */
__device__ inline bool find_item(const eet_attention_args &a, int32_t queries, int32_t tiles,
                                 int32_t number, item &i) {
    const int32_t pairs = a.rows * a.heads;
    const int32_t tile = a.causal ? tiles - 1 - number / pairs : number % tiles;
    const int32_t pair = a.causal ? number % pairs : number / tiles;
    const bool found = find_tile(a, queries, tile, pair, i.w); /* all is read in one trip */

    i.seen = seen_by(i.w, 0);
    i.first_query = a.q_start[i.w.row] + i.w.first;
    i.first_key = a.k != nullptr ? a.kv_start[i.w.row] : 0;
    return found;
}

/* The number after this block's `number`: in turns where the first are the longest and each block
 * has few, which would all be taken before the first ones end; else the next that no block has. */
__device__ inline int32_t next_number(const eet_attention_args &a, int32_t numbers,
                                      int32_t number) {
    constexpr int32_t FEW = 4;
    const int32_t blocks = (int32_t)gridDim.x;

    if (a.scratch == nullptr || numbers <= (a.causal ? FEW : 1) * blocks) {
        return number + blocks;
    }
    /* as many calls as numbers: the last leaves 0 */
    return blocks + (int32_t)atomicInc((uint32_t *)a.scratch, (uint32_t)numbers - 1);
}

template <typename G>
__device__ void bring_tile(const item &i, const CUtensorMap *map, uint32_t to, uint64_t *full) {
    const int32_t groups = (i.w.count + GROUP_QUERIES - 1) / GROUP_QUERIES;

    expect_bytes(full, (uint32_t)(groups * G::QUERY_BYTES));
    for (int32_t group = 0; group < groups; ++group) {
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            const int32_t at[3] = {p * PANEL, i.w.head, i.first_query + group * GROUP_QUERIES};

            bring_panel(to + group * G::QUERY_BYTES + p * G::QUERY_PANEL, map, at, full);
        }
    }
}

/* One thread's work: finds the block's tiles and brings their queries. */
template <typename G>
__device__ void bring_queries(const eet_attention_args &a, const CUtensorMap *q, int32_t tiles,
                              uint32_t memory, block_state<G> &b) {
    const int32_t numbers = tiles * a.rows * a.heads;
    place<QUEUE> to = {0, 1};
    item i;

    for (int32_t number = (int32_t)blockIdx.x; number < numbers;
         number = next_number(a, numbers, number)) {
        if (find_item(a, G::QUERIES, tiles, number, i)) {
            wait_at(&b.queries_empty[to.slot], to.parity);
            b.items[to.slot] = i;
            arrive(&b.item_full[to.slot]);
            bring_tile<G>(i, q, memory + G::QUERIES_AT + to.slot * G::GROUPS * G::QUERY_BYTES,
                          &b.queries_full[to.slot]);
            to.go_on();
        }
    }
    wait_at(&b.queries_empty[to.slot], to.parity);
    b.items[to.slot].w.count = 0;
    arrive(&b.item_full[to.slot]);
    arrive(&b.queries_full[to.slot]);
}

/* The keys, or values, of a step: of one half or of both, each from where `from` says on. */
template <typename G>
__device__ void bring_step(const CUtensorMap *map, bool both, bool paged, int32_t head,
                           const int32_t (&from)[2], uint32_t to, uint64_t *full) {
    expect_bytes(full, both ? G::TILE_BYTES : G::TILE_BYTES / 2);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        if (h == 0 || both) {
#pragma unroll
            for (int p = 0; p < G::PANELS; ++p) {
                const int32_t at[3] = {p * PANEL, paged ? 0 : head, from[h]};

                bring_panel(to + p * G::PANEL_BYTES + h * HALF * PANEL_ROW, map, at, full);
            }
        }
    }
}

/* Another's: brings the keys and values of those tiles. The maps are (column, head, token), or
 * (column, key, page, kv and head). */
template <typename G>
__device__ void bring_keys(const eet_attention_args &a, const CUtensorMap *k, const CUtensorMap *v,
                           uint32_t memory, block_state<G> &b) {
    const bool paged = a.k == nullptr;
    place<QUEUE> next = {0, 0};
    place<G::SLOTS> at = {0, 1};

    while (true) {
        wait_at(&b.item_full[next.slot], next.parity);
        const item &i = b.items[next.slot];
        const int32_t keys = i.w.keys;
        const int32_t *pages = a.page_table + (int64_t)i.w.row * a.table_stride;

        if (i.w.count < 1) {
            break;
        }
#pragma unroll 1
        for (int32_t key = 0; key < keys; key += STEP) {
            const bool both = keys - key > HALF;
            const uint32_t tile = memory + at.slot * 2 * G::TILE_BYTES;
            int32_t from[2] = {i.first_key + key, i.first_key + key + HALF};

            if (paged) {
                from[0] = pages[key / HALF] * 2 * a.pages.heads + i.w.head;
                from[1] = both ? pages[key / HALF + 1] * 2 * a.pages.heads + i.w.head : 0;
            }
            wait_at(&b.keys_empty[at.slot], at.parity);
            bring_step<G>(k, both, paged, i.w.head, from, tile, &b.keys_full[at.slot]);
            from[0] += paged ? a.pages.heads : 0;
            from[1] += paged ? a.pages.heads : 0;
            wait_at(&b.values_empty[at.slot], at.parity);
            bring_step<G>(v, both, paged, i.w.head, from, tile + G::TILE_BYTES,
                          &b.values_full[at.slot]);
            at.go_on();
        }
        arrive(&b.queries_empty[next.slot]);
        next.go_on();
    }
}

#endif
#endif
