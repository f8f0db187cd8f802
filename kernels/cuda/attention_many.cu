/* attention_many.cu - attention of many queries with 16-bit numbers: a block for each tile of a
 * row's queries and head, on tensor cores (mma.sync), in one pass over tiles of keys.
 *
 * While a tile of keys and values is worked on the next is on its way. Rows in shared memory stand
 * 16 bytes further apart than they are long, so that eight of them are in different banks. What a
 * query's output is made of is done in one order, whichever tile the query is in: tiles of keys
 * begin where the row's keys do, and one that a query sees nothing of leaves its bits as they are.
 * Bound by the products at long rows, by shared memory in large heads. */
#include "kernels/cuda/mma.cuh"

namespace {

constexpr int WARPS = 4;
constexpr int THREADS = WARPS * WARP;

/* A head of up to DIMS columns; WARP_TILES tiles of 16 queries for a warp, KEYS keys in a tile. */
template <typename T, int DIMS_, int WARP_TILES_> struct tiling {
    using number = T;
    static constexpr int DIMS = DIMS_;
    static constexpr int TILES = WARP_TILES_;
    static constexpr int KEYS = DIMS <= 128 ? 64 : 32;
    static constexpr int WARP_QUERIES = 16 * TILES;
    static constexpr int QUERIES = WARP_QUERIES * WARPS;
    static constexpr int STRIDE = DIMS + CHUNK;
    static constexpr bool HOLDS_Q = DIMS <= 80; /* in registers, for all tiles of keys */
    static constexpr int SHARED = (QUERIES + 4 * KEYS) * STRIDE * 2;
    static constexpr int BLOCKS = DIMS <= 128 ? 2 : 1; /* that a multiprocessor shall hold */
};

/* What a block works on. */
struct work {
    const eet_attention_args *a;
    int32_t row, head;
    int32_t first, count; /* queries of the row, from the tile's first on */
    int32_t seen;         /* keys that the row's query 0 sees, when causal; else all see them */
    int32_t keys;         /* that the tile's last query sees */
    bool wide_q, wide_keys;
};

/* The last key that a query of the tile sees, and one. */
__device__ int32_t seen_by(const work &w, int32_t query) {
    return w.a->causal ? w.seen + w.first + query : w.seen;
}

/* The longest tiles of a row and head come first. */
__device__ bool find_work(const eet_attention_args &a, int32_t queries, int32_t tiles, work &w) {
    const int32_t tile = tiles - 1 - (int32_t)(blockIdx.x % (unsigned)tiles);
    const int32_t pair = (int32_t)(blockIdx.x / (unsigned)tiles);

    w.a = &a;
    w.head = pair % a.heads;
    w.row = pair / a.heads;
    w.first = tile * queries;
    const int32_t all = a.q_start[w.row + 1] - a.q_start[w.row];
    const int32_t length = a.kv_length[w.row];

    w.count = all - w.first < queries ? all - w.first : queries;
    w.seen = a.causal ? length - all + 1 : length;
    w.keys = w.count > 0 ? seen_by(w, w.count - 1) : 0;
    return w.count > 0;
}

/* A tile of keys and of values, KEYS each, one behind the other. */
template <typename G>
__device__ void copy_keys(const work &w, int32_t first, int32_t page, typename G::number *to) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const int32_t rest = w.keys - first;
    const int32_t rows = rest < G::KEYS ? rest : G::KEYS;
    const T *k = nullptr;
    const T *v = nullptr;

    if (a.k != nullptr) {
        const int64_t at = key_at(a, 0, w.row, w.head, first);

        k = (const T *)a.k + at;
        v = (const T *)a.v + at;
    } else {
        const int32_t token = first % EET_PAGE_TOKENS;

        k = (const T *)a.pages.data + eet_page_at(&a.pages, a.layer, page, 0, w.head, token);
        v = (const T *)a.pages.data + eet_page_at(&a.pages, a.layer, page, 1, w.head, token);
    }
    const int64_t stride = a.k != nullptr ? a.kv_stride : (int64_t)a.pages.dp;
    const int32_t dims = a.k != nullptr ? a.head_dim : a.pages.dp;

    copy_rows<THREADS, G::KEYS, G::DIMS>(to, k, stride, rows, dims, w.wide_keys);
    copy_rows<THREADS, G::KEYS, G::DIMS>(to + G::KEYS * G::STRIDE, v, stride, rows, dims,
                                         w.wide_keys);
    end_of_copies();
}

__device__ int32_t page_of(const work &w, int32_t token) {
    if (w.a->k != nullptr || token >= w.keys) {
        return 0;
    }
    return w.a->page_table[(int64_t)w.row * w.a->table_stride + token / EET_PAGE_TOKENS];
}

/* 16 x 16 numbers as a product's left operand: this lane's row of them in shared memory. */
template <typename G> __device__ uint32_t left_at(const typename G::number *from) {
    const int lane = (int)threadIdx.x % WARP;

    return shared_at(from + lane % 16 * G::STRIDE + lane / 16 * CHUNK);
}

/* 16 keys x 16 columns of them, as two right operands, one of 8 keys each. */
template <typename G> __device__ uint32_t right_at(const typename G::number *from) {
    const int lane = (int)threadIdx.x % WARP;

    return shared_at(from + (lane / 16 * 8 + lane % 8) * G::STRIDE + lane / 8 % 2 * CHUNK);
}

/* A warp's state over the tiles of keys. Of a tile of 16 queries a lane has two, 8 apart. */
template <typename G> struct warp_state {
    uint32_t q[G::HOLDS_Q ? G::TILES : 1][G::DIMS / 16][4];
    float y[G::TILES][G::DIMS / 8][4];
    float top[G::TILES][2]; /* in units of which 2^x is a weight */
    float sum[G::TILES][2]; /* of this lane's weights */
};

template <typename G> struct score_tile { float x[G::TILES][G::KEYS / 8][4]; };

/* s = q k^T */
template <typename G>
__device__ void find_scores(const warp_state<G> &state, uint32_t q_at, uint32_t k_at,
                            score_tile<G> &s) {
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
#pragma unroll
        for (int n = 0; n < G::KEYS / 8; ++n) {
            s.x[t][n][0] = s.x[t][n][1] = s.x[t][n][2] = s.x[t][n][3] = 0.0F;
        }
    }
#pragma unroll
    for (int k = 0; k < G::DIMS / 16; ++k) {
        uint32_t q[G::TILES][4];

#pragma unroll
        for (int t = 0; t < G::TILES; ++t) {
            if constexpr (G::HOLDS_Q) {
                q[t][0] = state.q[t][k][0];
                q[t][1] = state.q[t][k][1];
                q[t][2] = state.q[t][k][2];
                q[t][3] = state.q[t][k][3];
            } else {
                load_4(q[t], q_at + (uint32_t)(t * 16 * G::STRIDE + k * 16) * 2);
            }
        }
#pragma unroll
        for (int n = 0; n < G::KEYS / 16; ++n) {
            uint32_t keys[4];

            load_4(keys, k_at + (uint32_t)(n * 16 * G::STRIDE + k * 16) * 2);
#pragma unroll
            for (int t = 0; t < G::TILES; ++t) {
                multiply<typename G::number>(s.x[t][2 * n], q[t], keys[0], keys[1]);
                multiply<typename G::number>(s.x[t][2 * n + 1], q[t], keys[2], keys[3]);
            }
        }
    }
}

/* What a query does not see. */
template <typename G>
__device__ void hide(const work &w, int32_t query, int32_t key, score_tile<G> &s) {
    const int lane = (int)threadIdx.x % WARP;

#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
        const int32_t low = seen_by(w, query + t * 16 + lane / 4);
        const int32_t high = seen_by(w, query + t * 16 + lane / 4 + 8);

#pragma unroll
        for (int n = 0; n < G::KEYS / 8; ++n) {
            const int32_t at = key + n * 8 + lane % 4 * 2;

            s.x[t][n][0] = at < low ? s.x[t][n][0] : -INFINITY;
            s.x[t][n][1] = at + 1 < low ? s.x[t][n][1] : -INFINITY;
            s.x[t][n][2] = at < high ? s.x[t][n][2] : -INFINITY;
            s.x[t][n][3] = at + 1 < high ? s.x[t][n][3] : -INFINITY;
        }
    }
}

/* Scores become weights; what was added up so far shrinks as the largest score grows. */
template <typename G> __device__ void weigh(float scale, warp_state<G> &state, score_tile<G> &s) {
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
        float shrink[2];

#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = -INFINITY;

#pragma unroll
            for (int n = 0; n < G::KEYS / 8; ++n) {
                top = fmaxf(top, fmaxf(s.x[t][n][2 * half], s.x[t][n][2 * half + 1]));
            }
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
            /* rounded by itself: a tile without news must shrink by 1, not nearly 1 */
            top = fmaxf(state.top[t][half], __fmul_rn(top, scale));
            const float base = top == -INFINITY ? 0.0F : top;
            float sum = 0.0F;

            shrink[half] = power_of_two(state.top[t][half] - base);
            state.top[t][half] = top;
#pragma unroll
            for (int n = 0; n < G::KEYS / 8; ++n) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    s.x[t][n][i] = power_of_two(fmaf(s.x[t][n][i], scale, -base));
                    sum += s.x[t][n][i];
                }
            }
            state.sum[t][half] = fmaf(state.sum[t][half], shrink[half], sum);
        }
        if (__any_sync(ALL_LANES, shrink[0] != 1.0F || shrink[1] != 1.0F)) {
#pragma unroll
            for (int n = 0; n < G::DIMS / 8; ++n) {
                state.y[t][n][0] *= shrink[0];
                state.y[t][n][1] *= shrink[0];
                state.y[t][n][2] *= shrink[1];
                state.y[t][n][3] *= shrink[1];
            }
        }
    }
}

/* y += weights v */
template <typename G>
__device__ void add_values(const score_tile<G> &s, uint32_t v_at, warp_state<G> &state) {
    using T = typename G::number;

#pragma unroll
    for (int k = 0; k < G::KEYS / 16; ++k) {
        uint32_t weights[G::TILES][4];

#pragma unroll
        for (int t = 0; t < G::TILES; ++t) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float(&pair)[4] = s.x[t][2 * k + i / 2];

                weights[t][i] = packed<T>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
            }
        }
#pragma unroll
        for (int n = 0; n < G::DIMS / 16; ++n) {
            uint32_t values[4];

            load_4_turned(values, v_at + (uint32_t)(k * 16 * G::STRIDE + n * 16) * 2);
#pragma unroll
            for (int t = 0; t < G::TILES; ++t) {
                multiply<T>(state.y[t][2 * n], weights[t], values[0], values[1]);
                multiply<T>(state.y[t][2 * n + 1], weights[t], values[2], values[3]);
            }
        }
    }
}

/* y into the warp's own rows of shared memory, in the place of its queries. */
template <typename G> __device__ void gather(warp_state<G> &state, typename G::number *to) {
    const int lane = (int)threadIdx.x % WARP;

#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float sum = state.sum[t][half];

            sum += __shfl_xor_sync(ALL_LANES, sum, 1);
            sum += __shfl_xor_sync(ALL_LANES, sum, 2);
            const float scale = sum == 0.0F ? 0.0F : 1.0F / sum; /* 0: it sees no key */
            const int row = t * 16 + half * 8 + lane / 4;

#pragma unroll
            for (int n = 0; n < G::DIMS / 8; ++n) {
                const float(&y)[4] = state.y[t][n];

                *(uint32_t *)(to + row * G::STRIDE + n * 8 + lane % 4 * 2) =
                    packed<typename G::number>(y[2 * half] * scale, y[2 * half + 1] * scale);
            }
        }
    }
    __syncwarp();
}

template <typename G>
__device__ void put_rows(const work &w, int32_t query, const typename G::number *from) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const int lane = (int)threadIdx.x % WARP;
    const int32_t rows = w.count - query;
    const int64_t stride = (int64_t)a.heads * a.head_dim;
    T *y = (T *)a.y + (a.q_start[w.row] + w.first + query) * stride + (int64_t)w.head * a.head_dim;

    if (w.wide_q) {
        const int32_t chunks = a.head_dim / CHUNK;

        for (int i = lane; i < G::WARP_QUERIES * chunks; i += WARP) {
            const int row = i / chunks;
            const int column = i % chunks * CHUNK;

            if (row < rows) {
                *(uint4 *)(y + row * stride + column) =
                    *(const uint4 *)(from + row * G::STRIDE + column);
            }
        }
        return;
    }
    for (int i = lane; i < G::WARP_QUERIES * a.head_dim; i += WARP) {
        const int row = i / a.head_dim;
        const int column = i % a.head_dim;

        if (row < rows) {
            y[row * stride + column] = from[row * G::STRIDE + column];
        }
    }
}

/* The queries of a tile with all keys that they see. */
template <typename G>
__device__ void attend(const work &w, typename G::number *memory, warp_state<G> &state) {
    const int32_t query = (int32_t)threadIdx.x / WARP * G::WARP_QUERIES;
    const uint32_t q_at = left_at<G>(memory + query * G::STRIDE);
    typename G::number *tiles = memory + G::QUERIES * G::STRIDE;
    const int32_t fewest = seen_by(w, query); /* keys that all of the warp's queries see */
    const int32_t most = seen_by(w, query + G::WARP_QUERIES - 1);
    const float scale = w.a->scale * LOG2_E;
    int32_t page = page_of(w, G::KEYS);

    for (int32_t key = 0; key < w.keys; key += G::KEYS) {
        typename G::number *tile = tiles + key / G::KEYS % 2 * (2 * G::KEYS * G::STRIDE);

        wait_for_copies();
        __syncthreads();
        if (key + G::KEYS < w.keys) {
            typename G::number *other = tiles + (key / G::KEYS + 1) % 2 * (2 * G::KEYS * G::STRIDE);

            copy_keys<G>(w, key + G::KEYS, page, other);
            page = page_of(w, key + 2 * G::KEYS);
        }
        if constexpr (G::HOLDS_Q) {
            if (key == 0) {
#pragma unroll
                for (int t = 0; t < G::TILES; ++t) {
#pragma unroll
                    for (int k = 0; k < G::DIMS / 16; ++k) {
                        load_4(state.q[t][k], q_at + (uint32_t)(t * 16 * G::STRIDE + k * 16) * 2);
                    }
                }
            }
        }
        if (key >= most || query >= w.count) {
            continue;
        }
        score_tile<G> s;

        find_scores<G>(state, q_at, right_at<G>(tile), s);
        if (key + G::KEYS > fewest) {
            hide<G>(w, query, key, s);
        }
        weigh<G>(scale, state, s);
        add_values<G>(s, left_at<G>(tile + G::KEYS * G::STRIDE), state);
    }
}

template <typename G>
__global__ void __launch_bounds__(THREADS, G::BLOCKS)
    attend_many(const __grid_constant__ eet_attention_args a, int32_t tiles, bool wide_q,
                bool wide_keys) {
#if __CUDA_ARCH__ >= 800
    using T = typename G::number;
    extern __shared__ uint4 dynamic[];
    T *memory = (T *)dynamic;
    work w;

    let_next_begin();
    wait_for_previous();
    if (!find_work(a, G::QUERIES, tiles, w)) {
        return;
    }
    w.wide_q = wide_q;
    w.wide_keys = wide_keys;
    const T *q = (const T *)a.q + (int64_t)(a.q_start[w.row] + w.first) * a.q_stride +
                 (int64_t)w.head * a.head_dim;
    const int32_t query = (int32_t)threadIdx.x / WARP * G::WARP_QUERIES;
    warp_state<G> state;

    copy_rows<THREADS, G::QUERIES, G::DIMS>(memory, q, a.q_stride, w.count, a.head_dim, wide_q);
    copy_keys<G>(w, 0, page_of(w, 0), memory + G::QUERIES * G::STRIDE);
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
        state.top[t][0] = state.top[t][1] = -INFINITY;
        state.sum[t][0] = state.sum[t][1] = 0.0F;
#pragma unroll
        for (int n = 0; n < G::DIMS / 8; ++n) {
            state.y[t][n][0] = state.y[t][n][1] = state.y[t][n][2] = state.y[t][n][3] = 0.0F;
        }
    }
    attend<G>(w, memory, state);
    if (w.keys < 1) { /* its queries, which nothing waited for, shall not come over y */
        wait_for_copies();
        __syncthreads();
    }
    if (query < w.count) {
        T *mine = memory + query * G::STRIDE;

        gather<G>(state, mine);
        put_rows<G>(w, query, mine);
    }
#endif
}

template <typename G> eet_status launch(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t tiles = (a->longest_q + G::QUERIES - 1) / G::QUERIES;
    const int64_t blocks = (int64_t)tiles * a->rows * a->heads;
    const launch_shape shape = {dim3((unsigned)blocks), THREADS, (size_t)G::SHARED, 1};
    int most = 0;

    if (blocks > INT32_MAX ||
        cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, backend->device) !=
            cudaSuccess ||
        most < G::SHARED) {
        return EET_E_UNSUPPORTED;
    }
    launch_early(backend, attend_many<G>, shape, *a, tiles, queries_are_wide(*a),
                 keys_are_wide(*a));
    return EET_OK;
}

/* Larger tiles of queries where they fill the device twice over: they read keys less often. */
template <typename T, int DIMS>
eet_status launch_either(const eet_backend *backend, const eet_attention_args *a) {
    using large = tiling<T, DIMS, 2>;
    const int64_t pairs = (int64_t)a->tokens / large::QUERIES * a->heads;

    if (pairs >= (int64_t)backend->blocks * 2) {
        const eet_status status = launch<large>(backend, a);

        if (status != EET_E_UNSUPPORTED) {
            return status;
        }
    }
    return launch<tiling<T, DIMS, 1>>(backend, a);
}

template <typename T>
eet_status launch_for(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t dims = a->head_dim;

    if (dims <= 32) {
        return launch_either<T, 32>(backend, a);
    }
    if (dims <= 64) {
        return launch_either<T, 64>(backend, a);
    }
    if (dims <= 80) {
        return launch<tiling<T, 80, 1>>(backend, a);
    }
    if (dims <= 96) {
        return launch<tiling<T, 96, 1>>(backend, a);
    }
    if (dims <= 128) {
        return launch<tiling<T, 128, 1>>(backend, a);
    }
    return dims <= 192 ? launch<tiling<T, 192, 1>>(backend, a)
                       : launch<tiling<T, 256, 1>>(backend, a);
}

} // namespace

eet_status eet_attention_many(const eet_backend *backend, const eet_attention_args *a) {
    constexpr int AMPERE = 8;
    constexpr int MOST_DIMS = 256;

    if (a->tokens < 1 || a->longest_q < 1 || a->head_dim > MOST_DIMS || a->dtype == EET_F32 ||
        keys_dtype(*a) != a->dtype || !(a->scale > 0.0F) || capability_of(backend) < AMPERE) {
        return EET_E_UNSUPPORTED;
    }
    return a->dtype == EET_F16 ? launch_for<f16>(backend, a) : launch_for<bf16>(backend, a);
}
