/* attention_tile.cu - attention of many queries in f32 arithmetic, over numbers of any dtype: a
 * block for each tile of a row's queries and head, in one pass over tiles of keys.
 *
 * 128 threads as 16 x 8: each has a few queries, and with them 4 keys of a tile, then 4 columns of
 * the output in every 32. Tiles of keys begin where the row's keys do, so that a query's bits are
 * the same whichever tile it is in. Bound by the reads of shared memory. */
#include "kernels/cuda/attention.cuh"

namespace {

constexpr int ACROSS = 8; /* threads that share their queries */
constexpr int DOWN = 16;
constexpr int THREADS = ACROSS * DOWN;
constexpr int KEYS = 32;
constexpr int EACH = KEYS / ACROSS;
constexpr int WIDTH = 4;             /* numbers of one read */
constexpr int WEIGHT_ROW = KEYS + 4; /* in shared memory, rows apart by one read more */

/* PARTS times 32 columns are the most that a head has; HELD queries of a thread. */
template <int PARTS, int HELD> struct thread_state {
    float y[HELD][PARTS][WIDTH];
    float top[HELD], sum[HELD];
};

struct tile_work {
    int32_t row, head;
    int32_t first, count; /* queries of the row, from the tile's first on */
    int32_t seen;         /* keys that the row's query 0 sees, when causal; else all see them */
    int32_t keys;         /* that the tile's last query sees */
};

__device__ int32_t seen_by(const eet_attention_args &a, const tile_work &w, int32_t query) {
    return a.causal ? w.seen + w.first + query : w.seen;
}

__device__ tile_work find_work(const eet_attention_args &a, int32_t queries, int32_t tiles) {
    const int32_t tile = tiles - 1 - (int32_t)(blockIdx.x % (unsigned)tiles);
    const int32_t pair = (int32_t)(blockIdx.x / (unsigned)tiles);
    tile_work w = {};

    w.head = pair % a.heads;
    w.row = pair / a.heads;
    w.first = tile * queries;
    const int32_t all = a.q_start[w.row + 1] - a.q_start[w.row];
    const int32_t length = a.kv_length[w.row];

    w.count = all - w.first < queries ? all - w.first : queries;
    w.seen = a.causal ? length - all + 1 : length;
    w.keys = w.count > 0 ? seen_by(a, w, w.count - 1) : 0;
    return w;
}

/* Columns of a head as they stand in shared memory, and how far apart its rows are. */
__device__ int32_t padded(const eet_attention_args &a) {
    return (a.head_dim + WIDTH - 1) / WIDTH * WIDTH;
}

__device__ int32_t stride_of(const eet_attention_args &a) {
    return padded(a) + WIDTH;
}

/* Zeros where there is nothing. */
__device__ void load_queries(const eet_attention_args &a, const tile_work &w, int32_t queries,
                             float *to) {
    const int32_t dims = padded(a);

    for (int32_t i = (int32_t)threadIdx.x; i < queries * dims; i += THREADS) {
        const int32_t query = i / dims;
        const int32_t column = i % dims;
        const int64_t from = (int64_t)(a.q_start[w.row] + w.first + query) * a.q_stride +
                             (int64_t)w.head * a.head_dim + column;
        const bool there = query < w.count && column < a.head_dim;

        to[query * stride_of(a) + column] =
            there ? eet_float_at(a.q, a.dtype, from) * (a.scale * LOG2_E) : 0.0F;
    }
}

__device__ void load_keys(const eet_attention_args &a, const tile_work &w, int32_t kv,
                          int32_t first, float *to) {
    const int32_t dims = padded(a);
    const void *data = keys_data(a, kv);
    const int32_t dtype = keys_dtype(a);
    const int64_t from = key_at(a, kv, w.row, w.head, first); /* a tile is in one page */
    const int64_t stride = a.k != nullptr ? a.kv_stride : (int64_t)a.pages.dp;

#pragma unroll 4
    for (int32_t i = (int32_t)threadIdx.x; i < KEYS * dims; i += THREADS) {
        const int32_t key = i / dims;
        const int32_t column = i % dims;
        const bool there = first + key < w.keys && column < a.head_dim;

        to[key * stride_of(a) + column] =
            there ? eet_float_at(data, dtype, from + key * stride + column) : 0.0F;
    }
}

__device__ float4 read_4(const float *from) {
    return *(const float4 *)from;
}

template <int HELD>
__device__ void find_scores(const float *q, const float *k, int32_t dims, int32_t stride,
                            float (&s)[HELD][EACH]) {
    const int down = (int)threadIdx.x / ACROSS;
    const int across = (int)threadIdx.x % ACROSS;

#pragma unroll
    for (int h = 0; h < HELD; ++h) {
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            s[h][e] = 0.0F;
        }
    }
    for (int32_t at = 0; at < dims; at += WIDTH) {
        float4 keys[EACH];

#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            keys[e] = read_4(k + (across + e * ACROSS) * stride + at);
        }
#pragma unroll
        for (int h = 0; h < HELD; ++h) {
            const float4 one = read_4(q + (down + h * DOWN) * stride + at);

#pragma unroll
            for (int e = 0; e < EACH; ++e) {
                s[h][e] = fmaf(one.x, keys[e].x, s[h][e]);
                s[h][e] = fmaf(one.y, keys[e].y, s[h][e]);
                s[h][e] = fmaf(one.z, keys[e].z, s[h][e]);
                s[h][e] = fmaf(one.w, keys[e].w, s[h][e]);
            }
        }
    }
}

/* Scores become weights in shared memory; what was added up so far shrinks. */
template <int PARTS, int HELD>
__device__ void weigh(const eet_attention_args &a, const tile_work &w, int32_t key,
                      float (&s)[HELD][EACH], thread_state<PARTS, HELD> &state, float *weights) {
    const int down = (int)threadIdx.x / ACROSS;
    const int across = (int)threadIdx.x % ACROSS;

#pragma unroll
    for (int h = 0; h < HELD; ++h) {
        const int32_t seen = seen_by(a, w, down + h * DOWN);
        float top = state.top[h];
        float sum = 0.0F;

#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            s[h][e] = key + across + e * ACROSS < seen ? s[h][e] : -INFINITY;
            top = fmaxf(top, s[h][e]);
        }
#pragma unroll
        for (int apart = 1; apart < ACROSS; apart *= 2) {
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, apart));
        }
        const float base = top == -INFINITY ? 0.0F : top;
        const float shrink = weight_of<float>(state.top[h] - base);

#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const float weight = weight_of<float>(s[h][e] - base);

            weights[(down + h * DOWN) * WEIGHT_ROW + across + e * ACROSS] = weight;
            sum += weight;
        }
        state.top[h] = top;
        state.sum[h] = fmaf(state.sum[h], shrink, sum);
#pragma unroll
        for (int p = 0; p < PARTS; ++p) {
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                state.y[h][p][i] *= shrink;
            }
        }
    }
}

template <int PARTS, int HELD>
__device__ void add_values(const float *weights, const float *v, int32_t dims, int32_t stride,
                           thread_state<PARTS, HELD> &state) {
    const int down = (int)threadIdx.x / ACROSS;
    const int across = (int)threadIdx.x % ACROSS;

#pragma unroll 4
    for (int key = 0; key < KEYS; ++key) {
        float weight[HELD];

#pragma unroll
        for (int h = 0; h < HELD; ++h) {
            weight[h] = weights[(down + h * DOWN) * WEIGHT_ROW + key];
        }
#pragma unroll
        for (int p = 0; p < PARTS; ++p) {
            const int32_t column = (p * ACROSS + across) * WIDTH;

            if (column < dims) {
                const float4 one = read_4(v + key * stride + column);

#pragma unroll
                for (int h = 0; h < HELD; ++h) {
                    state.y[h][p][0] = fmaf(weight[h], one.x, state.y[h][p][0]);
                    state.y[h][p][1] = fmaf(weight[h], one.y, state.y[h][p][1]);
                    state.y[h][p][2] = fmaf(weight[h], one.z, state.y[h][p][2]);
                    state.y[h][p][3] = fmaf(weight[h], one.w, state.y[h][p][3]);
                }
            }
        }
    }
}

/* The same where a query sees only the first of the keys: a value behind them may be NaN. */
template <int PARTS, int HELD>
__device__ void add_seen_values(const eet_attention_args &a, const tile_work &w, int32_t first,
                                const float *weights, const float *v,
                                thread_state<PARTS, HELD> &state) {
    const int down = (int)threadIdx.x / ACROSS;
    const int across = (int)threadIdx.x % ACROSS;

#pragma unroll
    for (int h = 0; h < HELD; ++h) {
        const int32_t seen = seen_by(a, w, down + h * DOWN) - first;

#pragma unroll 2
        for (int key = 0; key < KEYS && key < seen; ++key) {
            const float weight = weights[(down + h * DOWN) * WEIGHT_ROW + key];

#pragma unroll
            for (int p = 0; p < PARTS; ++p) {
                const int32_t column = (p * ACROSS + across) * WIDTH;

                if (column < padded(a)) {
                    const float4 one = read_4(v + key * stride_of(a) + column);

                    state.y[h][p][0] = fmaf(weight, one.x, state.y[h][p][0]);
                    state.y[h][p][1] = fmaf(weight, one.y, state.y[h][p][1]);
                    state.y[h][p][2] = fmaf(weight, one.z, state.y[h][p][2]);
                    state.y[h][p][3] = fmaf(weight, one.w, state.y[h][p][3]);
                }
            }
        }
    }
}

template <int PARTS, int HELD>
__device__ void put(const eet_attention_args &a, const tile_work &w,
                    const thread_state<PARTS, HELD> &state) {
    const int across = (int)threadIdx.x % ACROSS;

#pragma unroll
    for (int h = 0; h < HELD; ++h) {
        const int32_t query = (int32_t)threadIdx.x / ACROSS + h * DOWN;
        const int64_t at = ((int64_t)(a.q_start[w.row] + w.first + query) * a.heads + w.head);
        float sum = state.sum[h];

#pragma unroll
        for (int apart = 1; apart < ACROSS; apart *= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, apart);
        }
#pragma unroll
        for (int p = 0; p < PARTS; ++p) {
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) {
                const int32_t column = (p * ACROSS + across) * WIDTH + i;

                if (query < w.count && column < a.head_dim) {
                    eet_float_put(a.y, a.dtype, at * a.head_dim + column,
                                  sum == 0.0F ? 0.0F : state.y[h][p][i] / sum);
                }
            }
        }
    }
}

template <int PARTS, int HELD>
__global__ void __launch_bounds__(THREADS) attend_tile(eet_attention_args a, int32_t tiles) {
    extern __shared__ float4 dynamic[];
    const int32_t stride = stride_of(a);
    float *q = (float *)dynamic;
    float *keys = q + HELD * DOWN * stride;
    float *weights = keys + KEYS * stride;
    const tile_work w = find_work(a, HELD * DOWN, tiles);
    thread_state<PARTS, HELD> state = {};

    if (w.count < 1) {
        return;
    }
#pragma unroll
    for (int h = 0; h < HELD; ++h) {
        state.top[h] = -INFINITY;
    }
    load_queries(a, w, HELD * DOWN, q);
    for (int32_t key = 0; key < w.keys; key += KEYS) {
        float s[HELD][EACH];

        load_keys(a, w, 0, key, keys);
        __syncthreads();
        find_scores<HELD>(q, keys, padded(a), stride, s);
        weigh<PARTS, HELD>(a, w, key, s, state, weights);
        __syncthreads();
        load_keys(a, w, 1, key, keys);
        __syncthreads();
        if (key + KEYS > seen_by(a, w, 0) && w.keys > seen_by(a, w, 0)) {
            add_seen_values<PARTS, HELD>(a, w, key, weights, keys, state);
        } else {
            add_values<PARTS, HELD>(weights, keys, padded(a), stride, state);
        }
        __syncthreads();
    }
    put<PARTS, HELD>(a, w, state);
}

template <int PARTS, int HELD>
eet_status launch(const eet_backend *backend, const eet_attention_args *a) {
    constexpr int QUERIES = HELD * DOWN;
    const int32_t tiles = (a->longest_q + QUERIES - 1) / QUERIES;
    const int64_t blocks = (int64_t)tiles * a->rows * a->heads;
    const int32_t stride = (a->head_dim + WIDTH - 1) / WIDTH * WIDTH + WIDTH;
    const int shared = ((QUERIES + KEYS) * stride + QUERIES * WEIGHT_ROW) * (int)sizeof(float);

    if (blocks > INT32_MAX || backend->shared < shared) {
        return EET_E_UNSUPPORTED;
    }
    ask_for_shared(backend, (const void *)attend_tile<PARTS, HELD>);
    attend_tile<PARTS, HELD>
        <<<(unsigned)blocks, THREADS, (size_t)shared, backend->stream>>>(*a, tiles);
    return EET_OK;
}

} // namespace

eet_status eet_attention_tile(const eet_backend *backend, const eet_attention_args *a) {
    constexpr int PART = ACROSS * WIDTH;

    if (a->longest_q < 1 || a->head_dim > 8 * PART) {
        return EET_E_UNSUPPORTED;
    }
    if (a->head_dim <= PART) {
        return launch<1, 4>(backend, a);
    }
    if (a->head_dim <= 2 * PART) {
        return launch<2, 4>(backend, a);
    }
    return a->head_dim <= 4 * PART ? launch<4, 4>(backend, a) : launch<8, 2>(backend, a);
}
