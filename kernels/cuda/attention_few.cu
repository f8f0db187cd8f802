/* attention_few.cu - attention of a few queries with many keys: a block for each query, head and
 * part of EET_SPLIT_KEYS keys.
 *
 * Bound by reading keys and values once. A warp has 32 of a part's keys, all in one page: LANES
 * lanes read one, 16 bytes each, and several reads are on the way before the first is used. A
 * query with one part writes y; of several, the last to end adds them up in their order, so that
 * a query's bits depend on its own keys alone. */
#include "kernels/cuda/attention.cuh"

namespace {

constexpr int WARPS = BLOCK / WARP;
constexpr int WARP_KEYS = EET_SPLIT_KEYS / WARPS;
constexpr int WIDE = 16; /* bytes of a read */
constexpr int MOST_DIMS = 256;

static_assert(EET_PAGE_TOKENS % WARP_KEYS == 0);

/* How a head's chunks of 16 bytes are laid on lanes: CHUNKS for each of LANES, of COUNT numbers. */
template <typename T, int LANES_, int CHUNKS_> struct lanes_of {
    using number = T;
    static constexpr int LANES = LANES_;
    static constexpr int CHUNKS = CHUNKS_;
    static constexpr int COUNT = WIDE / (int)sizeof(T);
    static constexpr int GROUPS = WARP / LANES; /* keys of one read of a warp */
    static constexpr int READS = 4 / CHUNKS;
};

__device__ uint4 read_wide(const void *from) {
    uint4 x;

    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "l"(from));
    return x;
}

/* A lane's columns of the query, or what it has added up for them. */
template <typename L> struct columns { float x[L::CHUNKS][L::COUNT]; };

/* Where a warp's keys or values begin, and how far apart they are. */
template <typename T> struct warp_keys {
    const T *k, *v;
    int64_t stride;
    int32_t count, chunks; /* chunks of a key */
};

template <typename T>
__device__ warp_keys<T> keys_of(const eet_attention_args &a, query_facts q, int32_t head,
                                int32_t first) {
    const int32_t rest = q.keys - first;
    const int32_t count = rest < 0 ? 0 : (rest < WARP_KEYS ? rest : WARP_KEYS);
    const int32_t from = count > 0 ? first : 0; /* no page behind the last */
    const int32_t dims = a.k != nullptr ? a.head_dim : a.pages.dp;
    const T *k = (const T *)keys_data(a, 0) + key_at(a, 0, q.row, head, from);
    const T *v = a.k != nullptr ? (const T *)a.v + (k - (const T *)a.k)
                                : k + (int64_t)a.pages.heads * EET_PAGE_TOKENS * a.pages.dp;

    return {k, v, a.k != nullptr ? a.kv_stride : (int64_t)a.pages.dp, count,
            dims * (int32_t)sizeof(T) / WIDE};
}

/* READS keys and values of each group, of them the lane's chunks; zero where there is none. */
template <typename L> struct some_keys { uint4 k[L::READS][L::CHUNKS], v[L::READS][L::CHUNKS]; };

template <typename L>
__device__ void read_keys(const warp_keys<typename L::number> &keys, int32_t first,
                          some_keys<L> &some) {
    const int lane = (int)threadIdx.x % WARP;

#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        const int32_t key = first + r * L::GROUPS + lane / L::LANES;

#pragma unroll
        for (int c = 0; c < L::CHUNKS; ++c) {
            const int32_t chunk = lane % L::LANES + c * L::LANES;
            const bool there = key < keys.count && chunk < keys.chunks;
            const int64_t at = key * keys.stride + (int64_t)chunk * L::COUNT;

            some.k[r][c] = there ? read_wide(keys.k + at) : uint4{};
            some.v[r][c] = there ? read_wide(keys.v + at) : uint4{};
        }
    }
}

/* What softmax has come to over some keys: the largest score, the sum of 2^(score - top). */
struct soft {
    float top, sum;
};

template <typename L>
__device__ void add_keys(const some_keys<L> &some, const columns<L> &q, int32_t left, soft &s,
                         columns<L> &y) {
    const int32_t group = (int32_t)threadIdx.x % WARP / L::LANES;
    float score[L::READS];
    float top = s.top;

#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        float sum = 0.0F;

#pragma unroll
        for (int c = 0; c < L::CHUNKS; ++c) {
            float k[L::COUNT];

            unpack<typename L::number>(some.k[r][c], k);
#pragma unroll
            for (int i = 0; i < L::COUNT; ++i) {
                sum += q.x[c][i] * k[i];
            }
        }
#pragma unroll
        for (int apart = 1; apart < L::LANES; apart *= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, apart);
        }
        score[r] = r * L::GROUPS + group < left ? sum : -INFINITY;
        top = fmaxf(top, score[r]);
    }
#pragma unroll
    for (int apart = L::LANES; apart < WARP; apart *= 2) {
        top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, apart));
    }
    const float base = top == -INFINITY ? 0.0F : top;
    const float shrink = weight_of<typename L::number>(s.top - base);

    s = {top, s.sum * shrink};
#pragma unroll
    for (int c = 0; c < L::CHUNKS; ++c) {
#pragma unroll
        for (int i = 0; i < L::COUNT; ++i) {
            y.x[c][i] *= shrink;
        }
    }
#pragma unroll
    for (int r = 0; r < L::READS; ++r) {
        const float weight = weight_of<typename L::number>(score[r] - base);

        s.sum += weight;
#pragma unroll
        for (int c = 0; c < L::CHUNKS; ++c) {
            float v[L::COUNT];

            unpack<typename L::number>(some.v[r][c], v);
#pragma unroll
            for (int i = 0; i < L::COUNT; ++i) {
                y.x[c][i] += weight * v[i];
            }
        }
    }
}

/* The query's columns of this lane, in units of which a score's power of two is its weight. */
template <typename L>
__device__ columns<L> read_query(const eet_attention_args &a, int32_t token, int32_t head) {
    const int64_t from = token * a.q_stride + (int64_t)head * a.head_dim;
    const int lane = (int)threadIdx.x % L::LANES;
    columns<L> q;

#pragma unroll
    for (int c = 0; c < L::CHUNKS; ++c) {
#pragma unroll
        for (int i = 0; i < L::COUNT; ++i) {
            const int32_t column = (lane + c * L::LANES) * L::COUNT + i;

            q.x[c][i] = column < a.head_dim
                            ? eet_float_at(a.q, a.dtype, from + column) * (a.scale * LOG2_E)
                            : 0.0F;
        }
    }
    return q;
}

/* The weighted values of a block's warps, and their soft. */
struct shared_parts {
    soft s[WARPS];
    float y[WARPS][MOST_DIMS];
};

/* Adds up the groups of a warp, for all warps to see. */
template <typename L> __device__ void share(shared_parts &parts, soft s, columns<L> &y) {
    const int lane = (int)threadIdx.x % WARP;
    const int warp = (int)threadIdx.x / WARP;

#pragma unroll
    for (int apart = L::LANES; apart < WARP; apart *= 2) {
        s.sum += __shfl_xor_sync(ALL_LANES, s.sum, apart);
    }
#pragma unroll
    for (int c = 0; c < L::CHUNKS; ++c) {
#pragma unroll
        for (int i = 0; i < L::COUNT; ++i) {
#pragma unroll
            for (int apart = L::LANES; apart < WARP; apart *= 2) {
                y.x[c][i] += __shfl_xor_sync(ALL_LANES, y.x[c][i], apart);
            }
            if (lane < L::LANES) {
                parts.y[warp][(lane + c * L::LANES) * L::COUNT + i] = y.x[c][i];
            }
        }
    }
    if (lane == 0) {
        parts.s[warp] = s;
    }
}

/* Parts of a query, wherever they are: one after another in order. T: of its keys. */
template <typename T, typename Soft, typename Value>
__device__ soft add_parts(int32_t count, Soft soft_of, Value value_of, float &y) {
    soft all = {-INFINITY, 0.0F};

#pragma unroll 4
    for (int32_t p = 0; p < count; ++p) {
        all.top = fmaxf(all.top, soft_of(p).top);
    }
    const float base = all.top == -INFINITY ? 0.0F : all.top;

    y = 0.0F;
#pragma unroll 4
    for (int32_t p = 0; p < count; ++p) {
        const soft s = soft_of(p);
        const float weight = weight_of<T>(s.top - base);

        all.sum += weight * s.sum;
        y += weight * value_of(p);
    }
    return all;
}

/* Where the parts of a query's head are in the scratch: {top, sum} and head_dim values each. */
__device__ float *scratch_of(const eet_attention_args &a, int64_t item) {
    const int64_t parts = (a.longest_kv + EET_SPLIT_KEYS - 1) / EET_SPLIT_KEYS;

    return (float *)a.scratch + (int64_t)EET_FEW_TOKENS * a.heads + item * parts * (a.head_dim + 2);
}

/* Is this the last part of its query's head to come here? All of them are visible to it then. */
__device__ bool is_last(const eet_attention_args &a, int64_t item, int32_t parts) {
    __shared__ bool last;

    __syncthreads();
    if (threadIdx.x == 0) {
        int32_t *counter = (int32_t *)a.scratch + item;

        __threadfence(); /* of what the block has written, which the barrier brought together */
        last = atomicAdd(counter, 1) == parts - 1;
        if (last) {
            *counter = 0;
        }
        __threadfence();
    }
    __syncthreads();
    return last;
}

/* What a block's warps have comes together: in y, or for the last part to add up. */
template <typename T>
__device__ void finish(const eet_attention_args &a, const shared_parts &shared, int64_t item,
                       int32_t part, int32_t parts) {
    const int32_t column = (int32_t)threadIdx.x;
    const int32_t size = a.head_dim + 2;
    float y = 0.0F;
    soft s = {};

    static_assert(MOST_DIMS <= BLOCK);
    if (column < a.head_dim) {
        s = add_parts<T>(
            WARPS, [&](int32_t p) { return shared.s[p]; },
            [&](int32_t p) { return shared.y[p][column]; }, y);
    }
    if (parts > 1) {
        float *all = scratch_of(a, item);

        if (column < a.head_dim) {
            all[(int64_t)part * size + 2 + column] = y;
        }
        if (column == 0) {
            all[(int64_t)part * size] = s.top;
            all[(int64_t)part * size + 1] = s.sum;
        }
        if (!is_last(a, item, parts)) {
            return;
        }
        if (column < a.head_dim) {
            s = add_parts<T>(
                parts,
                [&](int32_t p) {
                    const float *one = all + (int64_t)p * size;

                    return soft{__ldcg(one), __ldcg(one + 1)};
                },
                [&](int32_t p) { return __ldcg(all + (int64_t)p * size + 2 + column); }, y);
        }
    }
    if (column < a.head_dim) {
        eet_float_put(a.y, a.dtype, item * a.head_dim + column, y / s.sum);
    }
}

template <typename L>
__global__ void __launch_bounds__(BLOCK, 3) attend_few(eet_attention_args a, int32_t most_parts) {
    __shared__ shared_parts shared;
    const int64_t blocks = (int64_t)most_parts * a.heads * a.tokens;

    let_next_begin();
    wait_for_previous();
    for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
        const int32_t part = (int32_t)(block % most_parts);
        const int64_t item = block / most_parts; /* token and head */
        const int32_t head = (int32_t)(item % a.heads);
        const int32_t token = (int32_t)(item / a.heads);
        const query_facts q = query_of(a, token);

        if (part * EET_SPLIT_KEYS >= q.keys) {
            if (part == 0 && q.keys == 0 && (int32_t)threadIdx.x < a.head_dim) {
                eet_float_put(a.y, a.dtype, item * a.head_dim + threadIdx.x, 0.0F);
            }
            continue;
        }
        const columns<L> mine = read_query<L>(a, token, head);
        const int32_t first = part * EET_SPLIT_KEYS + (int32_t)threadIdx.x / WARP * WARP_KEYS;
        const auto keys = keys_of<typename L::number>(a, q, head, first);
        soft s = {-INFINITY, 0.0F};
        columns<L> y = {};

#pragma unroll 1
        for (int32_t at = 0; at < keys.count; at += L::READS * L::GROUPS) {
            some_keys<L> some;

            read_keys<L>(keys, at, some);
            add_keys<L>(some, mine, keys.count - at, s, y);
        }
        share<L>(shared, s, y);
        __syncthreads();
        finish<typename L::number>(a, shared, item, part,
                                   (q.keys + EET_SPLIT_KEYS - 1) / EET_SPLIT_KEYS);
        __syncthreads(); /* the next item's are not written before these are read */
    }
}

template <typename T, int LANES, int CHUNKS>
void launch(const eet_backend *backend, const eet_attention_args *a) {
    constexpr int64_t EACH = 16; /* blocks for a multiprocessor, before one takes a second item */
    const int32_t parts = (a->longest_kv + EET_SPLIT_KEYS - 1) / EET_SPLIT_KEYS;
    const int64_t wanted = (int64_t)parts * a->heads * a->tokens;
    const int64_t most = backend->blocks * EACH;
    const launch_shape shape = {dim3((unsigned)(wanted < most ? wanted : most)), BLOCK, 0, 1};

    launch_early(backend, attend_few<lanes_of<T, LANES, CHUNKS>>, shape, *a, parts);
}

template <typename T> void launch_for(const eet_backend *backend, const eet_attention_args *a) {
    const int32_t dims = a->k != nullptr ? a->head_dim : a->pages.dp;
    const int32_t chunks = dims * (int32_t)sizeof(T) / WIDE;

    if (chunks <= 4) {
        launch<T, 4, 1>(backend, a);
    } else if (chunks <= 8) {
        launch<T, 8, 1>(backend, a);
    } else if (chunks <= 16) {
        launch<T, 16, 1>(backend, a);
    } else if (chunks <= 32) {
        launch<T, 32, 1>(backend, a);
    } else if constexpr (sizeof(T) == 4) {
        launch<T, 32, 2>(backend, a);
    }
}

} // namespace

eet_status eet_attention_few(const eet_backend *backend, const eet_attention_args *a) {
    if (a->tokens < 1 || a->tokens > EET_FEW_TOKENS || a->longest_kv < 1 ||
        a->head_dim > MOST_DIMS || !keys_are_wide(*a) ||
        (a->scratch == nullptr && a->longest_kv > EET_SPLIT_KEYS)) {
        return EET_E_UNSUPPORTED;
    }
    if (eet_attention_pages(backend, a) == EET_OK) {
        return EET_OK;
    }
    switch (keys_dtype(*a)) {
    case EET_F16:
        launch_for<f16>(backend, a);
        break;
    case EET_BF16:
        launch_for<bf16>(backend, a);
        break;
    default:
        launch_for<float>(backend, a);
    }
    return EET_OK;
}
