/* attention_sm90.cu - attention of many queries with 16-bit numbers on Hopper: blocks that stay and
 * take one tile of a row's queries and head after another, GROUPS warp groups with 64 queries each,
 * and a group that lets the copy engine bring the queries of the next tile, and STEP keys and
 * values SLOTS times ahead.
 *
 * Rows of 64 numbers are swizzled in shared memory as the products (wgmma) want them; larger heads
 * are several such panels. The groups' products run while others are at their softmax; few groups
 * make their next scores while they add up values. What a query's output is made of is done in one
 * order, whichever tile the query is in and whichever kernel has it: steps begin where the row's
 * keys do, half a step is a step whose second half is hidden, and what a query does not see leaves
 * its bits as they are. Bound by the exponentials as much as by the products. */
#include "kernels/cuda/attention_steps.cuh"

namespace {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <typename G> __device__ __forceinline__ void put_outputs(const group_state<G> &g) {
    using T = typename G::number;
    const eet_attention_args &a = *g.a;
    const int32_t query = my_query();
    const int lane = (int)threadIdx.x % WARP;
    const int64_t stride = (int64_t)a.heads * a.head_dim;
    T *y = (T *)a.y + (g.i->first_query + query) * stride + (int64_t)g.i->w.head * a.head_dim;

#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int row = lane / 4 + half * 8;
        float sum = g.sum[half];

        sum += __shfl_xor_sync(ALL_LANES, sum, 1);
        sum += __shfl_xor_sync(ALL_LANES, sum, 2);
        const float scale = sum == 0.0F ? 0.0F : 1.0F / sum; /* 0: it sees no key */

#pragma unroll
        for (int n = 0; n < G::DIMS / 8; ++n) {
            const int column = n * 8 + lane % 4 * 2;
            const float(&x)[4] = g.y[n];

            if (query + row < g.i->w.count && column < a.head_dim) {
                *(uint32_t *)(y + row * stride + column) =
                    packed<T>(x[2 * half] * scale, x[2 * half + 1] * scale);
            }
        }
    }
}

/* A group's part of one tile of queries. */
template <typename G> __device__ __forceinline__ void attend(group_state<G> &g) {
    const work &w = g.i->w;
    const int32_t first = my_group() * GROUP_QUERIES;
    const int32_t last = w.count - first < GROUP_QUERIES ? w.count - 1 : first + GROUP_QUERIES - 1;
    int32_t taken = 0;

    g.fewest = seen_in(g, first);
    g.most = first < w.count ? seen_in(g, last) : 0;
    g.top[0] = g.top[1] = -INFINITY;
    g.sum[0] = g.sum[1] = 0.0F;
#pragma unroll
    for (int n = 0; n < G::DIMS / 8; ++n) {
        g.y[n][0] = g.y[n][1] = g.y[n][2] = g.y[n][3] = 0.0F;
    }
    if (g.most > 0) {
        taken = (g.most + STEP - 1) / STEP * STEP;
        if constexpr (G::AHEAD) {
            take_steps_ahead(g);
        } else {
            take_steps(g);
        }
    }
    pass_steps(g, taken);
    put_outputs(g);
}

template <typename G>
__device__ __forceinline__ void multiply(const eet_attention_args &a, uint32_t memory,
                                         block_state<G> &b) {
    group_state<G> g;
    place<QUEUE> from = {0, 0};

    g.a = &a;
    g.memory = memory;
    g.b = &b;
    g.at = {0, 0};
    while (true) {
        wait_at(&b.queries_full[from.slot], from.parity);
        g.i = &b.items[from.slot];
        if (g.i->w.count < 1) {
            break;
        }
        attend(g);
        __syncwarp();
        if (threadIdx.x % WARP == 0) {
            arrive(&b.queries_empty[from.slot]);
        }
        from.go_on();
    }
}

template <typename G> __device__ void make_state(block_state<G> &b) {
    constexpr uint32_t ALL = G::GROUPS * GROUP_WARPS;

    for (int i = 0; i < QUEUE; ++i) {
        make_barrier(&b.queries_full[i], 1);
        make_barrier(&b.queries_empty[i], ALL + 1); /* and the one that brings keys */
        make_barrier(&b.item_full[i], 1);
    }
    for (int i = 0; i < G::SLOTS; ++i) {
        make_barrier(&b.keys_full[i], 1);
        make_barrier(&b.keys_empty[i], ALL);
        make_barrier(&b.values_full[i], 1);
        make_barrier(&b.values_empty[i], ALL);
    }
    b.spare = 0;
    show_barriers();
}

#endif

template <typename G>
__global__ void __launch_bounds__(G::THREADS, G::BLOCKS)
    attend_sm90(const __grid_constant__ eet_attention_args a, const __grid_constant__ CUtensorMap q,
                const __grid_constant__ CUtensorMap k, const __grid_constant__ CUtensorMap v,
                int32_t tiles) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint4 dynamic[];
    __shared__ block_state<G> state;
    const uint32_t memory = (shared_place(dynamic) + G::ALIGNED - 1) / G::ALIGNED * G::ALIGNED;

    let_next_begin();
    if (threadIdx.x == 0) {
        make_state(state);
        map_is_needed(&q);
        map_is_needed(&k);
        map_is_needed(&v);
    }
    __syncthreads();
    wait_for_previous();
    if (threadIdx.x >= WARP_GROUP * G::GROUPS) {
        leave_registers<G::BRING>();
        if (threadIdx.x == WARP_GROUP * G::GROUPS) {
            bring_queries<G>(a, &q, tiles, memory, state);
        } else if (threadIdx.x == WARP_GROUP * G::GROUPS + WARP) {
            bring_keys<G>(a, &k, &v, memory, state);
        }
    } else {
        take_registers<G::MULTIPLY>();
        multiply<G>(a, memory, state);
    }
#else
    __trap(); /* this code is for another device */
#endif
}
/* ---- launching ------------------------------------------------------------------- */

/* Panels of 64 queries or keys: of one head's out of (tokens, heads, head_dim), or a page's of one
 * head. */
bool make_map(const eet_attention_args *a, const void *packed, int64_t stride, CUtensorMap *map) {
    static const encode_tiled encode = encoder(); /* asking takes long */
    const bool paged = packed == nullptr;
    const eet_pages *p = &a->pages;
    const cuuint32_t keys = EET_PAGE_TOKENS;
    const cuuint64_t key_bytes = (cuuint64_t)p->dp * 2;
    const cuuint64_t of_pages[] = {(cuuint64_t)p->dp, keys, (cuuint64_t)p->pages * 2 * p->heads};
    const cuuint64_t of_packed[] = {(cuuint64_t)a->head_dim, (cuuint64_t)a->heads,
                                    (cuuint64_t)a->tokens};
    const cuuint64_t page_strides[] = {key_bytes, key_bytes * keys};
    const cuuint64_t packed_strides[] = {(cuuint64_t)a->head_dim * 2, (cuuint64_t)stride * 2};
    const cuuint32_t page_box[] = {PANEL, keys, 1};
    const cuuint32_t packed_box[] = {PANEL, 1, keys};
    const cuuint32_t steps[] = {1, 1, 1};
    void *data = const_cast<void *>(packed);

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
    const int64_t items = (int64_t)tiles * a->rows * a->heads;
    const int64_t room = (int64_t)backend->blocks * G::BLOCKS;
    const launch_shape shape = {dim3((unsigned)(items < room ? items : room)), G::THREADS,
                                (size_t)G::SHARED, 1};
    CUtensorMap q;
    CUtensorMap k;
    CUtensorMap v;

    if (items > INT32_MAX / 2) { /* and two more rounds of blocks */
        return EET_E_UNSUPPORTED;
    }
    if (!make_map(a, a->q, a->q_stride, &q) || !make_map(a, a->k, a->kv_stride, &k) ||
        !make_map(a, a->v, a->kv_stride, &v)) {
        return EET_E_DEVICE;
    }
    launch_early(backend, attend_sm90<G>, shape, *a, q, k, v, tiles);
    return EET_OK;
}

template <typename T>
eet_status launch_for(const eet_backend *backend, const eet_attention_args *a) {
    using large = warp_groups<T, 64, 3, 4, 1, 32, 160, false>;
    const int64_t tiles = (int64_t)a->tokens / large::QUERIES * a->heads;

    if (a->head_dim > 64) {
        return launch<warp_groups<T, 128, 2, 2, 1, 24, 240, true>>(backend, a);
    }
    /* more groups share keys where that leaves enough for each block */
    return a->longest_q > 2 * GROUP_QUERIES && tiles >= (int64_t)backend->blocks * 2
               ? launch<large>(backend, a)
               : launch<warp_groups<T, 64, 1, 2, 2, 40, 216, true>>(backend, a);
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
