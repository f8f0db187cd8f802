/* attention_many.cu - attention of many queries with 16-bit numbers: a block for each tile of a
 * row's queries and head, on tensor cores (mma.sync), in one pass over tiles of keys.
 *
 * While a tile of keys and values is worked on the next is on its way. Rows in shared memory stand
 * 16 bytes further apart than they are long, so that eight of them are in different banks. What a
 * query's output is made of is done in one order, whichever tile the query is in: tiles of keys
 * begin where the row's keys do, and one that a query sees nothing of leaves its bits as they are.
 * Bound by the products at long rows, by shared memory in large heads. */
#include "kernels/cuda/attention_many.cuh"

namespace {

/* A head of up to DIMS columns; WARP_TILES tiles of 16 queries for a warp, KEYS keys in a tile. */
template <typename T, int DIMS_, int WARP_TILES_> struct tiling {
    using number = T;
    static constexpr int DIMS = DIMS_;
    static constexpr int TILES = WARP_TILES_;
    static constexpr int KEYS = DIMS <= 128 ? 64 : 32;
    static constexpr int THREADS = 4 * WARP;
    static constexpr int WARP_QUERIES = 16 * TILES;
    static constexpr int QUERIES = WARP_QUERIES * 4;
    static constexpr int STRIDE = DIMS + CHUNK;
    static constexpr bool HOLDS_Q = DIMS <= 80; /* in registers, for all tiles of keys */
    static constexpr int SHARED = (QUERIES + 4 * KEYS) * STRIDE * 2;
    static constexpr int SMALL = DIMS <= 32 ? 4 : 3;
    static constexpr int BLOCKS = /* that a multiprocessor shall hold */
        TILES == 1 && DIMS <= 96 && DIMS != 80 ? SMALL : (DIMS <= 128 ? 2 : 1);

    template <int ROWS> __device__ static int place(int row, int column) {
        return row * STRIDE + column;
    }
};

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

template <typename G>
__device__ void pack_weights(const float (&s)[G::KEYS / 8][4], int k, uint32_t (&weights)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float(&pair)[4] = s[2 * k + i / 2];

        weights[i] = packed<typename G::number>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
    }
}

/* y += weights v; CLEAN: without the values that are no finite numbers. */
template <typename G, bool CLEAN>
__device__ void add_values(const score_tile<G> &s, uint32_t v_at, warp_state<G> &state) {
    using T = typename G::number;

#pragma unroll
    for (int k = 0; k < G::KEYS / 16; ++k) {
        uint32_t weights[G::TILES][4];

#pragma unroll
        for (int t = 0; t < G::TILES; ++t) {
            pack_weights<G>(s.x[t], k, weights[t]);
        }
#pragma unroll
        for (int n = 0; n < G::DIMS / 16; ++n) {
            uint32_t values[4];

            load_4_turned(values, v_at + (uint32_t)(k * 16 * G::STRIDE + n * 16) * 2);
            if constexpr (CLEAN) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    values[i] &= ~odd_halves<T>(values[i]);
                }
            }
#pragma unroll
            for (int t = 0; t < G::TILES; ++t) {
                multiply<T>(state.y[t][2 * n], weights[t], values[0], values[1]);
                multiply<T>(state.y[t][2 * n + 1], weights[t], values[2], values[3]);
            }
        }
    }
}

/* Is there a value from key `from` on that is no finite number? For all threads. */
template <typename G> __device__ bool is_odd(const typename G::number *values, int32_t from) {
    constexpr int CHUNKS = G::DIMS / CHUNK;
    uint32_t odd = 0;

    for (int i = from * CHUNKS + (int)threadIdx.x; i < G::KEYS * CHUNKS; i += G::THREADS) {
        const uint4 some = *(const uint4 *)(values + i / CHUNKS * G::STRIDE + i % CHUNKS * CHUNK);

        odd = odd_among<typename G::number>(odd, some);
    }
    return __syncthreads_or((int)odd) != 0;
}

/* The same where some of the warp's queries do not see all keys: what those must not see stays
 * away from them, also if it is NaN. */
template <typename G>
__device__ void add_seen_values(const work &w, int32_t query, int32_t key, const score_tile<G> &s,
                                const typename G::number *values, warp_state<G> &state) {
    using T = typename G::number;
    const int lane = (int)threadIdx.x % WARP;

    add_values<G, true>(s, left_at<G>(values), state);
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
        const int32_t low = seen_by(w, query + t * 16 + lane / 4) - key;
        const int32_t high = seen_by(w, query + t * 16 + lane / 4 + 8) - key;
        uint32_t weights[G::KEYS / 16][4];

#pragma unroll
        for (int k = 0; k < G::KEYS / 16; ++k) {
            pack_weights<G>(s.x[t], k, weights[k]);
        }
        add_odd_values<T, G::KEYS, G::DIMS>(
            state.y[t], weights, 0, low, high, [values, lane](int32_t at, int n) {
                return *(const uint32_t *)(values + at * G::STRIDE + n * 8 + lane % 4 * 2);
            });
    }
}

/* The warp's queries into registers, where there is room for them. */
template <typename G> __device__ void hold_queries(uint32_t q_at, warp_state<G> &state) {
    if constexpr (G::HOLDS_Q) {
#pragma unroll
        for (int t = 0; t < G::TILES; ++t) {
#pragma unroll
            for (int k = 0; k < G::DIMS / 16; ++k) {
                load_4(state.q[t][k], q_at + (uint32_t)(t * 16 * G::STRIDE + k * 16) * 2);
            }
        }
    }
}

/* The queries of a tile with all keys that they see. False: among values that are hidden from some
 * of them is one that is no finite number; CAREFUL minds it. */
template <typename G, bool CAREFUL>
__device__ bool attend(const work &w, typename G::number *memory, warp_state<G> &state) {
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
        const typename G::number *values = tile + G::KEYS * G::STRIDE;
        const int32_t all = seen_by(w, 0) - key; /* of the tile's keys, that all queries see */

        if (!CAREFUL && all < G::KEYS && key + all < w.keys &&
            is_odd<G>(values, all > 0 ? all : 0)) {
            wait_for_copies();
            __syncthreads();
            return false;
        }
        if (G::HOLDS_Q && key == 0) {
            hold_queries<G>(q_at, state);
        }
        if (key >= most || query >= w.count) {
            continue;
        }
        score_tile<G> s;
        float shrink[G::TILES][2];

        find_scores<G>(state, q_at, right_at<G>(tile), s);
        const bool hidden = key + G::KEYS > fewest;

        if (hidden) {
            hide<G>(w, query, key, s);
        }
        weigh<G>(scale, state, s, shrink);
        shrink_values<G>(shrink, state);
        if (CAREFUL && hidden) {
            add_seen_values<G>(w, query, key, s, values, state);
        } else {
            add_values<G, false>(s, left_at<G>(values), state);
        }
    }
    return true;
}

template <typename G>
__global__ void __launch_bounds__(G::THREADS, G::BLOCKS)
    attend_many(const __grid_constant__ eet_attention_args a, int32_t tiles, bool wide_q,
                bool wide_keys) {
    static_assert(G::HOLDS_Q || G::DIMS > 80, "a use of it where nothing else is made");
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
    warp_state<G> state;

    begin_tile<G>(w, memory, state);
    if (!attend<G, false>(w, memory, state)) {
        begin_tile<G>(w, memory, state);
        (void)attend<G, true>(w, memory, state);
    }
    end_tile<G>(w, memory, (int32_t)threadIdx.x / WARP * G::WARP_QUERIES, state);
#endif
}

template <typename G> eet_status launch(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t tiles = (a->longest_q + G::QUERIES - 1) / G::QUERIES;
    const int64_t blocks = (int64_t)tiles * a->rows * a->heads;
    const launch_shape shape = {dim3((unsigned)blocks), G::THREADS, (size_t)G::SHARED, 1};

    if (blocks > INT32_MAX || backend->shared < G::SHARED) {
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
        keys_dtype(*a) != a->dtype || !(a->scale > 0.0F) || backend->capability < AMPERE) {
        return EET_E_UNSUPPORTED;
    }
    const eet_status status = eet_attention_sm90(backend, a);

    if (status != EET_E_UNSUPPORTED) {
        return status;
    }
    return a->dtype == EET_F16 ? launch_for<f16>(backend, a) : launch_for<bf16>(backend, a);
}
