/* attention_sm90.cu - attention of many queries with 16-bit numbers on Hopper: a block for each
 * tile of a row's queries and head, GROUPS warp groups with 64 queries each, and one warp that lets
 * the copy engine bring tiles of 64 keys and values, STAGES ahead.
 *
 * Queries and weights are operands from registers, keys and values from shared memory, where rows
 * of 64 numbers are swizzled as the products (wgmma) want them; larger heads are several such
 * panels. While some groups are at their softmax others' products run. What a query's output is
 * made of is done in one order, whichever tile the query is in. Bound by the exponentials as much
 * as by the products. */
#include "kernels/cuda/attention_many.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace {

constexpr int PANEL = 64; /* columns in a row of 128 bytes */
constexpr int GROUP_QUERIES = 64;
constexpr int GROUP_THREADS = 128;

/* Heads of up to DIMS columns; BLOCKS of them on a multiprocessor. */
template <typename T, int DIMS_, int GROUPS_, int STAGES_, int BLOCKS_> struct warp_groups {
    using number = T;
    static constexpr int DIMS = DIMS_;
    static constexpr int TILES = 1;
    static constexpr int KEYS = EET_PAGE_TOKENS;
    static constexpr int THREADS = GROUP_THREADS * GROUPS_; /* and a warp */
    static constexpr int QUERIES = GROUP_QUERIES * GROUPS_;
    static constexpr bool HOLDS_Q = true;
    static constexpr int STAGES = STAGES_;
    static constexpr int BLOCKS = BLOCKS_;
    static constexpr int PANELS = DIMS / PANEL;
    static constexpr int PANEL_BYTES = KEYS * PANEL * 2;
    static constexpr int TILE_BYTES = PANELS * PANEL_BYTES; /* of keys, and of values */
    static constexpr int ALIGNED = 1024;                    /* eight rows, of one swizzle */
    static constexpr int SHARED = STAGES * 2 * TILE_BYTES + ALIGNED;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---- products ----------------------------------------------------------------- */

/* Rows of 128 bytes in eights, whichever way the instruction goes over them. */
__device__ uint64_t operand_at(const void *from) {
    return (uint64_t)((shared_place(from) & 0x3FFFF) >> 4) | (uint64_t)64 << 16 |
           (uint64_t)64 << 32 | (uint64_t)1 << 62;
}

#define EET_SUM(n) "+f"(sum[n][0]), "+f"(sum[n][1]), "+f"(sum[n][2]), "+f"(sum[n][3])
#define EET_PRODUCT(type, turned)                                                          \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                              \
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type               \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, "               \
                 "%13, %14, %15, %16, "                                                    \
                 "%17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, "            \
                 "%29, %30, %31}, "                                                        \
                 "{%32, %33, %34, %35}, %36, p, 1, 1, " turned ";\n}\n"                    \
                 : EET_SUM(0), EET_SUM(1), EET_SUM(2), EET_SUM(3), EET_SUM(4), EET_SUM(5), \
                   EET_SUM(6), EET_SUM(7)                                                  \
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right),     \
                   "r"((int32_t)add))

/* sum (64 x 64) = left (64 x 16) right (16 x 64), and what it was if `add`; right stands in rows of
 * its columns, or TURNED, in rows of its own. */
template <typename T, bool TURNED>
__device__ void multiply_64(float (*sum)[4], const uint32_t (&left)[4], uint64_t right, bool add) {
    if constexpr (T::is_bf16 && TURNED) {
        EET_PRODUCT("bf16", "1");
    } else if constexpr (T::is_bf16) {
        EET_PRODUCT("bf16", "0");
    } else if constexpr (TURNED) {
        EET_PRODUCT("f16", "1");
    } else {
        EET_PRODUCT("f16", "0");
    }
}

#undef EET_PRODUCT
#undef EET_SUM

/* Registers are as they are here: what makes them comes before, what uses them behind. */
template <int N> __device__ void settle(float (&x)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
        asm volatile("" : "+f"(x[n][0]), "+f"(x[n][1]), "+f"(x[n][2]), "+f"(x[n][3])::"memory");
    }
}

template <int N> __device__ void settle(uint32_t (&x)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
        asm volatile("" : "+r"(x[n][0]), "+r"(x[n][1]), "+r"(x[n][2]), "+r"(x[n][3])::"memory");
    }
}

__device__ void products_begin() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ void products_end() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

__device__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* Lets s = q k^T begin. */
template <typename G>
__device__ __forceinline__ void begin_scores(const char *tile, warp_state<G> &state,
                                             score_tile<G> &s) {
    const uint64_t keys = operand_at(tile);

    settle(state.q[0]);
    settle(s.x[0]);
    products_begin();
#pragma unroll
    for (int k = 0; k < G::DIMS / 16; ++k) {
        multiply_64<typename G::number, false>(
            s.x[0], state.q[0][k], keys + (uint64_t)(k / 4 * (G::PANEL_BYTES / 16) + k % 4 * 2),
            k > 0);
    }
    products_end();
}

/* y += weights v, begun. */
template <typename G>
__device__ __forceinline__ void begin_values(const char *tile, uint32_t (&weights)[G::KEYS / 16][4],
                                             warp_state<G> &state) {
    const uint64_t values = operand_at(tile);

    settle(weights);
    settle(state.y[0]);
    products_begin();
#pragma unroll
    for (int k = 0; k < G::KEYS / 16; ++k) {
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            multiply_64<typename G::number, true>(
                state.y[0] + p * 8, weights[k],
                values + (uint64_t)(p * (G::PANEL_BYTES / 16) + k * (16 * PANEL * 2 / 16)), true);
        }
    }
    products_end();
}

/* ---- tiles of keys and values ------------------------------------------------- */

struct tile_barriers {
    uint64_t full[8], empty[8];
};

__device__ void bring_panel(void *to, const CUtensorMap *map, const int32_t (&at)[3],
                            uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::"
                 "complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_place(to)),
                 "l"(map), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(shared_place(barrier))
                 : "memory");
}

/* A thread's work: the maps are (column, head, token), or (column, key, page, kv and head). */
template <typename G>
__device__ void bring_tiles(const work &w, const CUtensorMap *k, const CUtensorMap *v, char *stages,
                            tile_barriers &b) {
    const eet_attention_args &a = *w.a;
    const bool paged = a.k == nullptr;
    const int32_t first = paged ? 0 : a.kv_start[w.row];
    int32_t page = page_of(w, 0);
    int stage = 0;
    uint32_t parity = 1;

    for (int32_t key = 0; key < w.keys; key += G::KEYS) {
        const int32_t next = page_of(w, key + G::KEYS);
        char *to = stages + stage * 2 * G::TILE_BYTES;
        uint64_t *full = &b.full[stage];

        wait_at(&b.empty[stage], parity);
        expect_bytes(full, 2 * G::TILE_BYTES);
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            const int32_t at_k[3] = {p * PANEL, paged ? 0 : w.head,
                                     paged ? 2 * page * a.pages.heads + w.head : first + key};
            const int32_t at_v[3] = {p * PANEL, at_k[1], paged ? at_k[2] + a.pages.heads : at_k[2]};

            bring_panel(to + p * G::PANEL_BYTES, k, at_k, full);
            bring_panel(to + G::TILE_BYTES + p * G::PANEL_BYTES, v, at_v, full);
        }
        page = next;
        stage = stage + 1 < G::STAGES ? stage + 1 : 0;
        parity ^= stage == 0 ? 1U : 0U;
    }
}

/* Values from `count` on, which no query sees, become zero: a weight of 0 does not hide a NaN. The
 * other groups do the same, or see none of the tile's. */
template <typename G> __device__ void clear_values(char *values, int32_t count) {
    constexpr int CHUNKS = PANEL * 2 / 16;
    const int thread = (int)threadIdx.x % GROUP_THREADS;

    for (int i = thread; i < (G::KEYS - count) * CHUNKS; i += GROUP_THREADS) {
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            *(uint4 *)(values + p * G::PANEL_BYTES + count * PANEL * 2 + i * 16) = uint4{};
        }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("bar.sync %0, %1;" ::"r"(1 + (int)threadIdx.x / GROUP_THREADS), "n"(GROUP_THREADS)
                 : "memory");
}

/* ---- queries --------------------------------------------------------------------- */

/* The warp's 16 queries from memory, as left operands. */
template <typename G>
__device__ void hold_queries(const work &w, int32_t query, warp_state<G> &state) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const int lane = (int)threadIdx.x % WARP;
    const T *q = (const T *)a.q + (int64_t)(a.q_start[w.row] + w.first + query) * a.q_stride +
                 (int64_t)w.head * a.head_dim;

#pragma unroll
    for (int k = 0; k < G::DIMS / 16; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i % 2 * 8;
            const int column = k * 16 + lane % 4 * 2 + i / 2 * 8;
            const bool there = query + row < w.count && column < a.head_dim;

            state.q[0][k][i] = there ? *(const uint32_t *)(q + row * a.q_stride + column) : 0U;
        }
    }
    state.top[0][0] = state.top[0][1] = -INFINITY;
    state.sum[0][0] = state.sum[0][1] = 0.0F;
#pragma unroll
    for (int n = 0; n < G::DIMS / 8; ++n) {
        state.y[0][n][0] = state.y[0][n][1] = state.y[0][n][2] = state.y[0][n][3] = 0.0F;
    }
}

template <typename G>
__device__ void put_outputs(const work &w, int32_t query, const warp_state<G> &state) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const int lane = (int)threadIdx.x % WARP;
    const int64_t stride = (int64_t)a.heads * a.head_dim;
    T *y = (T *)a.y + (a.q_start[w.row] + w.first + query) * stride + (int64_t)w.head * a.head_dim;

#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = lane / 4 + half * 8;
        float sum = state.sum[0][half];

        sum += __shfl_xor_sync(ALL_LANES, sum, 1);
        sum += __shfl_xor_sync(ALL_LANES, sum, 2);
        const float scale = sum == 0.0F ? 0.0F : 1.0F / sum; /* 0: it sees no key */

#pragma unroll
        for (int n = 0; n < G::DIMS / 8; ++n) {
            const int column = n * 8 + lane % 4 * 2;
            const float(&x)[4] = state.y[0][n];

            if (query + row < w.count && column < a.head_dim) {
                *(uint32_t *)(y + row * stride + column) =
                    packed<T>(x[2 * half] * scale, x[2 * half + 1] * scale);
            }
        }
    }
}

template <typename G>
__device__ __forceinline__ void pack_weights(const score_tile<G> &s,
                                             uint32_t (&weights)[G::KEYS / 16][4]) {
#pragma unroll
    for (int k = 0; k < G::KEYS / 16; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float(&pair)[4] = s.x[0][2 * k + i / 2];

            weights[k][i] = packed<typename G::number>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
        }
    }
}

/* One tile of keys and values in shared memory, of which all of the row's queries see `count`. */
template <typename G>
__device__ __forceinline__ void attend_tile(const work &w, int32_t query, int32_t key,
                                            int32_t fewest, char *tile, warp_state<G> &state) {
    score_tile<G> s;
    uint32_t weights[G::KEYS / 16][4];
    float shrink[1][2];

    begin_scores<G>(tile, state, s);
    if (w.keys - key < G::KEYS) {
        clear_values<G>(tile + G::TILE_BYTES, w.keys - key);
    }
    wait_for_products();
    settle(s.x[0]);
    if (key + G::KEYS > fewest) {
        hide<G>(w, query, key, s);
    }
    weigh<G>(w.a->scale * LOG2_E, state, s, shrink);
    pack_weights<G>(s, weights);
    shrink_values<G>(shrink, state);
    begin_values<G>(tile + G::TILE_BYTES, weights, state);
    wait_for_products();
    settle(weights);
    settle(state.y[0]);
}

/* The queries of a group with all keys that they see. */
template <typename G> __device__ void attend(const work &w, char *stages, tile_barriers &b) {
    const int32_t query = (int32_t)threadIdx.x / WARP * 16;
    const int32_t group = query / GROUP_QUERIES * GROUP_QUERIES;
    const int32_t fewest = seen_by(w, query); /* keys that all of the warp's queries see */
    const int32_t most = group < w.count ? seen_by(w, group + GROUP_QUERIES - 1) : 0;
    warp_state<G> state;
    int stage = 0;
    uint32_t parity = 0;

    hold_queries<G>(w, query, state);
#pragma unroll 1
    for (int32_t key = 0; key < w.keys; key += G::KEYS) {
        wait_at(&b.full[stage], parity);
        if (key < most) {
            attend_tile<G>(w, query, key, fewest, stages + stage * 2 * G::TILE_BYTES, state);
        }
        __syncwarp();
        if (threadIdx.x % WARP == 0) {
            arrive(&b.empty[stage]);
        }
        stage = stage + 1 < G::STAGES ? stage + 1 : 0;
        parity ^= stage == 0 ? 1U : 0U;
    }
    put_outputs<G>(w, query, state);
}

#endif

template <typename G>
__global__ void __launch_bounds__(G::THREADS + WARP, G::BLOCKS)
    attend_sm90(const __grid_constant__ eet_attention_args a, const __grid_constant__ CUtensorMap k,
                const __grid_constant__ CUtensorMap v, int32_t tiles) {
    static_assert(G::TILES == 1 && G::HOLDS_Q, "a use of them where nothing else is made");
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint4 dynamic[];
    __shared__ tile_barriers barriers;
    char *stages = (char *)(((uintptr_t)dynamic + G::ALIGNED - 1) / G::ALIGNED * G::ALIGNED);
    work w;

    let_next_begin();
    if (threadIdx.x == 0) {
        for (int i = 0; i < G::STAGES; ++i) {
            make_barrier(&barriers.full[i], 1);
            make_barrier(&barriers.empty[i], G::THREADS / WARP);
        }
        show_barriers();
    }
    __syncthreads();
    wait_for_previous();
    if (!find_work(a, G::QUERIES, tiles, w)) {
        return;
    }
    if (threadIdx.x >= G::THREADS) {
        if (threadIdx.x == G::THREADS) {
            bring_tiles<G>(w, &k, &v, stages, barriers);
        }
    } else {
        attend<G>(w, stages, barriers);
    }
#endif
}

/* ---- launching ------------------------------------------------------------------- */

using encode_tiled = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                  const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                  const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                  CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's own, without linking it. */
encode_tiled encoder() {
    constexpr unsigned SINCE = 12000;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    void *entry = nullptr;

    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, SINCE, cudaEnableDefault,
                                         &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess) {
        return nullptr;
    }
    return (encode_tiled)entry;
}

/* Panels of 64 keys: of one head's out of (tokens, heads, head_dim), or a page's of one head. */
bool make_map(const eet_attention_args *a, const void *packed_keys, CUtensorMap *map) {
    static const encode_tiled encode = encoder(); /* asking takes long */
    const bool paged = a->k == nullptr;
    const eet_pages *p = &a->pages;
    const cuuint32_t keys = EET_PAGE_TOKENS;
    const cuuint64_t key_bytes = (cuuint64_t)p->dp * 2;
    const cuuint64_t of_pages[] = {(cuuint64_t)p->dp, keys, (cuuint64_t)p->pages * 2 * p->heads};
    const cuuint64_t of_packed[] = {(cuuint64_t)a->head_dim, (cuuint64_t)a->heads,
                                    (cuuint64_t)a->tokens};
    const cuuint64_t page_strides[] = {key_bytes, key_bytes * keys};
    const cuuint64_t packed_strides[] = {(cuuint64_t)a->head_dim * 2, (cuuint64_t)a->kv_stride * 2};
    const cuuint32_t page_box[] = {PANEL, keys, 1};
    const cuuint32_t packed_box[] = {PANEL, 1, keys};
    const cuuint32_t steps[] = {1, 1, 1};
    void *data = const_cast<void *>(packed_keys);

    if (paged) {
        data = (char *)p->data + eet_page_at(p, a->layer, 0, 0, 0, 0) * 2;
    }
    return encode != nullptr &&
           encode(map,
                  a->dtype == EET_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                       : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  3, data, paged ? of_pages : of_packed, paged ? page_strides : packed_strides,
                  paged ? page_box : packed_box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <typename G> eet_status launch(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t tiles = (a->longest_q + G::QUERIES - 1) / G::QUERIES;
    const int64_t blocks = (int64_t)tiles * a->rows * a->heads;
    const launch_shape shape = {dim3((unsigned)blocks), G::THREADS + WARP, (size_t)G::SHARED, 1};
    CUtensorMap k;
    CUtensorMap v;

    if (blocks > INT32_MAX) {
        return EET_E_UNSUPPORTED;
    }
    if (!make_map(a, a->k, &k) || !make_map(a, a->v, &v)) {
        return EET_E_DEVICE;
    }
    launch_early(backend, attend_sm90<G>, shape, *a, k, v, tiles);
    return EET_OK;
}

/* More groups share keys where that leaves enough blocks for the device. */
template <typename Large, typename Small>
eet_status launch_either(const eet_backend *backend, const eet_attention_args *a) {
    const int64_t pairs = (int64_t)a->tokens / Large::QUERIES * a->heads;

    return a->longest_q > GROUP_QUERIES && pairs >= (int64_t)backend->blocks
               ? launch<Large>(backend, a)
               : launch<Small>(backend, a);
}

template <typename T>
eet_status launch_for(const eet_backend *backend, const eet_attention_args *a) {
    return a->head_dim <= 64
               ? launch_either<warp_groups<T, 64, 3, 6, 1>, warp_groups<T, 64, 1, 4, 3>>(backend, a)
               : launch_either<warp_groups<T, 128, 2, 4, 1>, warp_groups<T, 128, 1, 3, 2>>(backend,
                                                                                           a);
}

} // namespace

eet_status eet_attention_sm90(const eet_backend *backend, const eet_attention_args *a) {
    const bool size =
        (a->head_dim > 32 && a->head_dim <= 64) || (a->head_dim > 96 && a->head_dim <= 128);
    /* where packed keys end is known only of those that queries stand beside */
    const bool ends = a->k == nullptr || (a->kv_start == a->q_start && a->kv_offset == nullptr &&
                                          a->kv_head_stride == 0);

    if (backend->capability != HOPPER || !size || !ends || !queries_are_wide(*a) ||
        !keys_are_wide(*a)) {
        return EET_E_UNSUPPORTED;
    }
    return a->dtype == EET_F16 ? launch_for<f16>(backend, a) : launch_for<bf16>(backend, a);
}
