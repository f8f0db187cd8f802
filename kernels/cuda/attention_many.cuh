/* attention_many.cuh - what the tensor-core kernels of attention share: a tile of a row's queries
 * as a block's work, keys and values into shared memory, softmax in registers, and y out of them.
 *
 * G is a kernel's tiling: number, DIMS columns that a head has at most, QUERIES and KEYS of a tile,
 * TILES of 16 queries for a warp, THREADS, and place<ROWS>(row, column) in a tile of so many rows
 * in shared memory, whose rows take STRIDE numbers. What a query's output is made of is done in one
 * order, whichever tile the query is in: tiles of keys begin where the row's keys do, and one that
 * a query sees nothing of leaves its bits as they are. */
#ifndef EET_KERNELS_CUDA_ATTENTION_MANY_CUH
#define EET_KERNELS_CUDA_ATTENTION_MANY_CUH

#include "kernels/cuda/mma.cuh"

constexpr int CHUNK = 8; /* numbers of 16 bytes */

/* What a block works on. */
struct work {
    const eet_attention_args *a;
    int32_t row, head;
    int32_t first, count; /* queries of the row, from the tile's first on */
    int32_t seen;         /* keys that the row's query 0 sees, when causal; else all see them */
    int32_t keys;         /* that the tile's last query sees */
    bool wide_q, wide_keys;
    int64_t keys_at; /* elements before the head's first key, in page 0 when paged */
};

/* The last key that a query of the tile sees, and one. */
__device__ inline int32_t seen_by(const work &w, int32_t query) {
    return w.a->causal ? w.seen + w.first + query : w.seen;
}

/* Tile number `tile` of a row and head; false: it has no queries. */
__device__ inline bool find_tile(const eet_attention_args &a, int32_t queries, int32_t tile,
                                 int32_t pair, work &w) {
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

/* The longest tiles of a row and head come first. */
__device__ inline bool find_work(const eet_attention_args &a, int32_t queries, int32_t tiles,
                                 work &w) {
    const int32_t tile = tiles - 1 - (int32_t)(blockIdx.x % (unsigned)tiles);
    const bool found = find_tile(a, queries, tile, (int32_t)(blockIdx.x / (unsigned)tiles), w);

    w.keys_at = a.k != nullptr ? eet_attention_kv_at(&a, w.row, w.head)
                               : eet_page_at(&a.pages, a.layer, 0, 0, w.head, 0);
    return found;
}

/* ROWS rows of DIMS numbers into shared memory; zeros where there are none. Only what is wide goes
 * on behind the work. */
template <typename G, int ROWS>
__device__ inline void copy_rows(typename G::number *to, const typename G::number *from,
                                 int64_t stride, int32_t rows, int32_t dims, bool wide) {
    using T = typename G::number;

    if (wide) {
        constexpr int CHUNKS = G::DIMS / CHUNK;
        constexpr int STEP = G::THREADS / CHUNKS; /* rows of which all threads copy one chunk */
        const int row = (int)threadIdx.x / CHUNKS;
        const int column = (int)threadIdx.x % CHUNKS * CHUNK;
        const uint32_t at = shared_at(to + G::template place<ROWS>(row, column));
        const int32_t mine = column < dims ? rows - row : 0;

        from += row * stride + column;
        if (row < STEP) {
#pragma unroll
            for (int r = 0; r < ROWS; r += STEP) {
                if (ROWS % STEP == 0 || row + r < ROWS) {
                    copy_wide(at + (uint32_t)(r * G::STRIDE) * 2, from, r < mine);
                    from += r + STEP < mine ? STEP * stride : 0;
                }
            }
        }
    } else {
#pragma unroll 1
        for (int i = (int)threadIdx.x; i < ROWS * G::DIMS; i += G::THREADS) {
            const int row = i / G::DIMS;
            const int column = i % G::DIMS;

            to[G::template place<ROWS>(row, column)] =
                row < rows && column < dims ? from[row * stride + column] : T{0};
        }
    }
}

/* A tile of keys and of values, KEYS each, one behind the other. */
template <typename G>
__device__ inline void copy_keys(const work &w, int32_t first, int32_t page,
                                 typename G::number *to) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const int32_t rest = w.keys - first;
    const int32_t rows = rest < G::KEYS ? rest : G::KEYS;
    const T *k = nullptr;
    const T *v = nullptr;

    if (a.k != nullptr) {
        k = (const T *)a.k + w.keys_at + first * a.kv_stride;
        v = (const T *)a.v + w.keys_at + first * a.kv_stride;
    } else {
        const int32_t head = EET_PAGE_TOKENS * a.pages.dp; /* one of a page's keys */

        k = (const T *)a.pages.data + w.keys_at + (int64_t)page * 2 * a.pages.heads * head +
            first % EET_PAGE_TOKENS * a.pages.dp;
        v = k + (int64_t)a.pages.heads * head;
    }
    const int64_t stride = a.k != nullptr ? a.kv_stride : (int64_t)a.pages.dp;
    const int32_t dims = a.k != nullptr ? a.head_dim : a.pages.dp;

    copy_rows<G, G::KEYS>(to, k, stride, rows, dims, w.wide_keys);
    copy_rows<G, G::KEYS>(to + G::KEYS * G::STRIDE, v, stride, rows, dims, w.wide_keys);
    end_of_copies();
}

__device__ inline int32_t page_of(const work &w, int32_t token) {
    if (w.a->k != nullptr || token >= w.keys) {
        return 0;
    }
    return w.a->page_table[(int64_t)w.row * w.a->table_stride + token / EET_PAGE_TOKENS];
}

/* A warp's state over the tiles of keys. Of a tile of 16 queries a lane has two, 8 apart. */
template <typename G> struct warp_state {
    uint32_t q[G::HOLDS_Q ? G::TILES : 1][G::DIMS / 16][4];
    float y[G::TILES][G::DIMS / 8][4];
    float top[G::TILES][2]; /* in units of which 2^x is a weight */
    float sum[G::TILES][2]; /* of this lane's weights */
};

template <typename G> struct score_tile { float x[G::TILES][G::KEYS / 8][4]; };

/* What a query does not see. */
template <typename G>
__device__ inline void hide(const work &w, int32_t query, int32_t key, score_tile<G> &s) {
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

/* Scores become weights; what was added up so far is to shrink as the largest score grows. */
template <typename G>
__device__ inline void weigh(float scale, warp_state<G> &state, score_tile<G> &s,
                             float (&shrink)[G::TILES][2]) {
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
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

            shrink[t][half] = power_of_two(state.top[t][half] - base);
            state.top[t][half] = top;
#pragma unroll
            for (int n = 0; n < G::KEYS / 8; ++n) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    s.x[t][n][i] = power_of_two(fmaf(s.x[t][n][i], scale, -base));
                    sum += s.x[t][n][i];
                }
            }
            state.sum[t][half] = fmaf(state.sum[t][half], shrink[t][half], sum);
        }
    }
}

/* What was added up so far becomes less. */
template <typename G>
__device__ inline void shrink_values(const float (&shrink)[G::TILES][2], warp_state<G> &state) {
#pragma unroll
    for (int t = 0; t < G::TILES; ++t) {
        if (__any_sync(ALL_LANES, shrink[t][0] != 1.0F || shrink[t][1] != 1.0F)) {
#pragma unroll
            for (int n = 0; n < G::DIMS / 8; ++n) {
                state.y[t][n][0] *= shrink[t][0];
                state.y[t][n][1] *= shrink[t][0];
                state.y[t][n][2] *= shrink[t][1];
                state.y[t][n][3] *= shrink[t][1];
            }
        }
    }
}

/* ---- values that are hidden from some queries -------------------------------------- */

/* The halves of a word that are no finite numbers, as all ones. */
template <typename T> __device__ inline uint32_t odd_halves(uint32_t pair) {
    constexpr uint32_t EXPONENT = T::is_bf16 ? 0x7F80 : 0x7C00;
    const uint32_t low = (pair & EXPONENT) == EXPONENT ? 0xFFFFU : 0U;
    const uint32_t high = (pair >> 16 & EXPONENT) == EXPONENT ? 0xFFFF0000U : 0U;

    return low | high;
}

/* Not zero from the first number on that is not finite. */
template <typename T> __device__ inline uint32_t odd_among(uint32_t odd, uint32_t pair) {
    if constexpr (T::is_bf16) {
        asm("fma.rn.bf16x2 %0, %1, %2, %0;" : "+r"(odd) : "r"(pair), "r"(0));
    } else {
        asm("fma.rn.f16x2 %0, %1, %2, %0;" : "+r"(odd) : "r"(pair), "r"(0));
    }
    return odd;
}

template <typename T> __device__ inline uint32_t odd_among(uint32_t odd, uint4 numbers) {
    odd = odd_among<T>(odd_among<T>(odd, numbers.x), numbers.y);
    return odd_among<T>(odd_among<T>(odd, numbers.z), numbers.w);
}

/* Adds what is odd of a tile's values from key `from` on, for those of a lane's two queries that
 * see it: `low` and `high` of the tile's keys. read(key, n): a lane's columns of 8 times n. */
template <typename T, int KEYS, int DIMS, typename Read>
__device__ __forceinline__ void add_odd_values(float (&y)[DIMS / 8][4],
                                               const uint32_t (*weights)[4], int32_t from,
                                               int32_t low, int32_t high, Read read) {
    const int lane = (int)threadIdx.x % WARP;

#pragma unroll 1
    for (int32_t key = from; key < KEYS; ++key) {
        const int owner = lane / 4 * 4 + key % 8 / 2;
        uint32_t pair[2] = {0, 0};
        float weight[2];

#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) {
            const uint32_t mine = n == key / 8 ? ~0U : 0U; /* no index: they stay in registers */

            pair[0] |= weights[n / 2][n % 2 * 2] & mine;
            pair[1] |= weights[n / 2][n % 2 * 2 + 1] & mine;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float2 two = unpacked<T>(__shfl_sync(ALL_LANES, pair[half], owner));

            weight[half] = key % 2 == 0 ? two.x : two.y;
        }
#pragma unroll
        for (int n = 0; n < DIMS / 8; ++n) {
            const uint32_t word = read(key, n);
            const uint32_t odd = odd_halves<T>(word);
            const float2 value = unpacked<T>(word);

            y[n][0] += (odd & 0xFFFFU) != 0 && key < low ? weight[0] * value.x : 0.0F;
            y[n][1] += odd >> 16 != 0 && key < low ? weight[0] * value.y : 0.0F;
            y[n][2] += (odd & 0xFFFFU) != 0 && key < high ? weight[1] * value.x : 0.0F;
            y[n][3] += odd >> 16 != 0 && key < high ? weight[1] * value.y : 0.0F;
        }
    }
}

/* y into the warp's own rows of shared memory, in the place of its queries. */
template <typename G> __device__ inline void gather(warp_state<G> &state, typename G::number *to) {
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

                *(uint32_t *)(to + G::template place<G::QUERIES>(row, n * 8 + lane % 4 * 2)) =
                    packed<typename G::number>(y[2 * half] * scale, y[2 * half + 1] * scale);
            }
        }
    }
    __syncwarp();
}

template <typename G>
__device__ inline void put_rows(const work &w, int32_t query, const typename G::number *from) {
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
                    *(const uint4 *)(from + G::template place<G::QUERIES>(row, column));
            }
        }
        return;
    }
    for (int i = lane; i < G::WARP_QUERIES * a.head_dim; i += WARP) {
        const int row = i / a.head_dim;
        const int column = i % a.head_dim;

        if (row < rows) {
            y[row * stride + column] = from[G::template place<G::QUERIES>(row, column)];
        }
    }
}

/* Before the first tile: its queries and keys are on their way. */
template <typename G>
__device__ inline void begin_tile(const work &w, typename G::number *memory, warp_state<G> &state) {
    using T = typename G::number;
    const eet_attention_args &a = *w.a;
    const T *q = (const T *)a.q + (int64_t)(a.q_start[w.row] + w.first) * a.q_stride +
                 (int64_t)w.head * a.head_dim;

    copy_rows<G, G::QUERIES>(memory, q, a.q_stride, w.count, a.head_dim, w.wide_q);
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
}

/* After the last: y of the warp's queries, from `query` on, through their place. */
template <typename G>
__device__ inline void end_tile(const work &w, typename G::number *memory, int32_t query,
                                warp_state<G> &state) {
    if (w.keys < 1) { /* its queries, which nothing waited for, shall not come over y */
        wait_for_copies();
        __syncthreads();
    }
    if (query < w.count) {
        typename G::number *mine = memory + G::template place<G::QUERIES>(query, 0);

        gather<G>(state, mine);
        put_rows<G>(w, query, mine);
    }
}

#endif
