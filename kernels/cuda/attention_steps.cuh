/* attention_steps.cuh - attention on Hopper: what a warp group does with its 64 queries, a step of
 * keys and values after another, and how values that some of them must not see are kept away. */
#ifndef EET_KERNELS_CUDA_ATTENTION_STEPS_CUH
#define EET_KERNELS_CUDA_ATTENTION_STEPS_CUH

#include "kernels/cuda/attention_bring.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---- softmax -------------------------------------------------------------------- */

/* What a group of 64 queries works with; a lane has two of a warp's 16, 8 apart. */
template <typename G> struct group_state {
    const eet_attention_args *a;
    const item *i;
    uint32_t memory;
    block_state<G> *b;
    place<G::SLOTS> at;   /* of keys; of values it is one step behind */
    int32_t fewest, most; /* keys that all, and any, of the group's queries see */
    float y[G::DIMS / 8][4];
    uint32_t weights[STEP / 16][4];
    float top[2]; /* in units of which 2^x is a weight */
    float sum[2]; /* of this lane's weights */
};

__device__ inline char *in_shared(uint32_t place) {
    return (char *)__cvta_shared_to_generic(place);
}

__device__ inline int32_t my_group() {
    return (int32_t)threadIdx.x / WARP_GROUP;
}

/* The first of the warp's queries, counted from the tile's. */
__device__ inline int32_t my_query() {
    return (int32_t)threadIdx.x / WARP * 16;
}

/* The last key that a query of the tile sees, and one. */
template <typename G> __device__ int32_t seen_in(const group_state<G> &g, int32_t query) {
    return g.i->seen + (g.a->causal ? query : 0);
}

/* What a query does not see. */
template <typename G, int N>
__device__ __forceinline__ void hide_keys(const group_state<G> &g, int32_t key, float (&s)[N][4]) {
    const int lane = (int)threadIdx.x % WARP;
    const int32_t at = key + lane % 4 * 2;
    const int32_t low = seen_in(g, my_query() + lane / 4) - at;
    const int32_t high = seen_in(g, my_query() + lane / 4 + 8) - at;

#pragma unroll
    for (int n = 0; n < N; ++n) {
        s[n][0] = n * 8 < low ? s[n][0] : -INFINITY;
        s[n][1] = n * 8 + 1 < low ? s[n][1] : -INFINITY;
        s[n][2] = n * 8 < high ? s[n][2] : -INFINITY;
        s[n][3] = n * 8 + 1 < high ? s[n][3] : -INFINITY;
    }
}

/* What softmax goes over a step's scores with, of a lane's two queries. */
struct softmax {
    float base[2], shrink[2]; /* what was added up so far is to shrink as the largest score grows */
    float sum[2][2];          /* of weights in columns of 8: of the first and the second */
};

template <typename G, int N>
__device__ __forceinline__ void find_tops(group_state<G> &g, const float (&s)[N][4], softmax &m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float tops[2] = {-INFINITY, -INFINITY};

#pragma unroll
        for (int n = 0; n < N; ++n) {
            tops[n % 2] = fmaxf(tops[n % 2], fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        }
        float top = fmaxf(tops[0], tops[1]);

        top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
        top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
        /* rounded by itself: a step without news must shrink by 1, not nearly 1 */
        top = fmaxf(g.top[half], __fmul_rn(top, g.a->scale * LOG2_E));
        m.base[half] = top == -INFINITY ? 0.0F : top;
        m.shrink[half] = power_of_two(g.top[half] - m.base[half]);
        m.sum[half][0] = m.sum[half][1] = 0.0F;
        g.top[half] = top;
    }
}

/* Scores become weights. */
template <typename G, int N>
__device__ __forceinline__ void find_weights(group_state<G> &g, float (&s)[N][4], softmax &m) {
    const float scale = g.a->scale * LOG2_E;

#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            s[n][i] = power_of_two(fmaf(s[n][i], scale, -m.base[i / 2]));
            m.sum[i / 2][i % 2] += s[n][i];
        }
    }
    g.sum[0] = fmaf(g.sum[0], m.shrink[0], m.sum[0][0] + m.sum[0][1]);
    g.sum[1] = fmaf(g.sum[1], m.shrink[1], m.sum[1][0] + m.sum[1][1]);
}

template <typename G, int N>
__device__ __forceinline__ void pack_weights(const float (&s)[N][4], group_state<G> &g) {
#pragma unroll
    for (int k = 0; k < N / 2; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float(&pair)[4] = s[2 * k + i / 2];

            g.weights[k][i] = packed<typename G::number>(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
        }
    }
}

template <typename G>
__device__ __forceinline__ void shrink_sums(const float (&shrink)[2], group_state<G> &g) {
    if (__any_sync(ALL_LANES, shrink[0] != 1.0F || shrink[1] != 1.0F)) {
#pragma unroll
        for (int n = 0; n < G::DIMS / 8; ++n) {
            g.y[n][0] *= shrink[0];
            g.y[n][1] *= shrink[0];
            g.y[n][2] *= shrink[1];
            g.y[n][3] *= shrink[1];
        }
    }
}

/* ---- values that are hidden from some queries ---------------------------------------- */

/* Not zero: there are values from key `from` on that are no finite numbers. */
template <typename G, int KEYS>
__device__ __forceinline__ uint32_t find_odd(const char *values, int32_t from) {
    using T = typename G::number;
    uint32_t odd = 0;

    for (int32_t i = from * 8 + (int32_t)threadIdx.x % WARP_GROUP; i < KEYS * 8; i += WARP_GROUP) {
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            const uint4 x = *(const uint4 *)(values + p * G::PANEL_BYTES + i * 16);

            odd = odd_among<T>(odd, x);
        }
    }
    return odd;
}

/* The tile in the block's spare one, but for what is odd from key `from` on. */
template <typename G, int KEYS>
__device__ __forceinline__ void clean_values(const group_state<G> &g, const char *values,
                                             int32_t from) {
    char *spare = in_shared(g.memory + G::SPARE_AT);
    const int32_t thread = (int32_t)threadIdx.x % WARP_GROUP;

    if (thread == 0) {
        while (atomicExch(&g.b->spare, 1) != 0) {
        }
    }
    (void)any_of_group(my_group(), false);
    for (int32_t i = thread; i < KEYS * 8; i += WARP_GROUP) {
#pragma unroll
        for (int p = 0; p < G::PANELS; ++p) {
            uint4 x = *(const uint4 *)(values + p * G::PANEL_BYTES + i * 16);

            if (i / 8 >= from) {
                x.x &= ~odd_halves<typename G::number>(x.x);
                x.y &= ~odd_halves<typename G::number>(x.y);
                x.z &= ~odd_halves<typename G::number>(x.z);
                x.w &= ~odd_halves<typename G::number>(x.w);
            }
            *(uint4 *)(spare + p * G::PANEL_BYTES + i * 16) = x;
        }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    (void)any_of_group(my_group(), false);
}

/* ---- steps ---------------------------------------------------------------------- */

/* Lets s = q k^T begin. */
template <typename G, int KEYS>
__device__ __forceinline__ void begin_scores(const group_state<G> &g, float (&s)[KEYS / 8][4]) {
    const int32_t slot = (int32_t)(g.i - g.b->items) * G::GROUPS + my_group();
    const uint64_t queries = operand_at(g.memory + G::QUERIES_AT + slot * G::QUERY_BYTES, 0);
    const uint64_t keys = operand_at(g.memory + g.at.slot * 2 * G::TILE_BYTES, 0);

    settle(s);
    products_begin();
#pragma unroll
    for (int k = 0; k < G::DIMS / 16; ++k) {
        multiply_keys<typename G::number, KEYS>(
            s, queries + (uint64_t)(k / 4 * (G::QUERY_PANEL / 16) + k % 4 * 2),
            keys + (uint64_t)(k / 4 * (G::PANEL_BYTES / 16) + k % 4 * 2), k > 0);
    }
    products_end();
}

/* y += weights v, begun. */
template <typename G, int KEYS>
__device__ __forceinline__ void begin_values(group_state<G> &g, place<G::SLOTS> at, bool spare) {
    const int32_t tile = spare ? G::SPARE_AT : (at.slot * 2 + 1) * G::TILE_BYTES;
    const uint64_t values = operand_at(g.memory + tile, G::PANEL_BYTES);

    wait_at(&g.b->values_full[at.slot], at.parity);
    settle(g.weights);
    settle(g.y);
    products_begin();
#pragma unroll
    for (int k = 0; k < KEYS / 16; ++k) {
        multiply_values<typename G::number, G::DIMS>(
            g.y, g.weights[k], values + (uint64_t)(k * (16 * PANEL_ROW / 16)));
    }
    products_end();
}

/* Values of step `key` that some queries do not see, and that are no finite numbers, stay away from
 * those: the products shall take the spare tile then (true). */
template <typename G, int KEYS>
__device__ __forceinline__ bool look_at_values(group_state<G> &g, int32_t key, place<G::SLOTS> at) {
    if (key + KEYS <= g.fewest) {
        return false;
    }
    const int lane = (int)threadIdx.x % WARP;
    const char *tile = in_shared(g.memory + (at.slot * 2 + 1) * G::TILE_BYTES);
    const int32_t from = g.fewest > key ? g.fewest - key : 0;

    wait_at(&g.b->values_full[at.slot], at.parity);
    if (!any_of_group(my_group(), find_odd<G, KEYS>(tile, from) != 0)) {
        return false;
    }
    clean_values<G, KEYS>(g, tile, from);
    const int32_t low = seen_in(g, my_query() + lane / 4) - key;
    const int32_t high = seen_in(g, my_query() + lane / 4 + 8) - key;

    add_odd_values<typename G::number, KEYS, G::DIMS>(
        g.y, g.weights, from, low, high, [tile, lane](int32_t at, int n) {
            const int32_t chunk = n % 8 ^ at % 8; /* swizzled */

            return *(const uint32_t *)(tile + n / 8 * G::PANEL_BYTES + at * PANEL_ROW + chunk * 16 +
                                       lane % 4 * 4);
        });
    return true;
}

template <typename G, int KEYS>
__device__ __forceinline__ void end_values(group_state<G> &g, place<G::SLOTS> at, bool spare) {
    wait_for_products<0>();
    settle(g.weights);
    settle(g.y);
    if (spare) {
        (void)any_of_group(my_group(), false);
        if (threadIdx.x % WARP_GROUP == 0) {
            atomicExch(&g.b->spare, 0);
        }
    }
    if (threadIdx.x % WARP == 0) {
        arrive(&g.b->values_empty[at.slot]);
    }
}

/* The scores of a step, begun and ended. */
template <typename G, int KEYS>
__device__ __forceinline__ void end_scores(group_state<G> &g, int32_t key,
                                           float (&s)[KEYS / 8][4]) {
    settle(s);
    if (threadIdx.x % WARP == 0) {
        arrive(&g.b->keys_empty[g.at.slot]);
    }
    if (key + KEYS > seen_in(g, my_query())) {
        hide_keys(g, key, s);
    }
}

/* The weights of one step, while the values of the one before are added up. */
template <typename G, int KEYS, bool FIRST>
__device__ __forceinline__ void step(group_state<G> &g, int32_t key) {
    float s[KEYS / 8][4];
    softmax m;
    const place<G::SLOTS> before = g.at;
    bool spare = false;

    if constexpr (!FIRST) {
        spare = look_at_values<G, STEP>(g, key - STEP, before);
        g.at.go_on();
    }
    wait_at(&g.b->keys_full[g.at.slot], g.at.parity);
    begin_scores<G, KEYS>(g, s);
    if constexpr (FIRST) {
        wait_for_products<0>();
    } else {
        begin_values<G, STEP>(g, before, spare);
        wait_for_products<1>();
    }
    end_scores<G, KEYS>(g, key, s);
    find_tops(g, s, m);
    find_weights(g, s, m);
    if constexpr (!FIRST) {
        end_values<G, STEP>(g, before, spare);
    }
    shrink_sums(m.shrink, g);
    pack_weights(s, g);
}

template <typename G, int KEYS>
__device__ __forceinline__ void last_values(group_state<G> &g, int32_t key) {
    const bool spare = look_at_values<G, KEYS>(g, key, g.at);

    begin_values<G, KEYS>(g, g.at, spare);
    end_values<G, KEYS>(g, g.at, spare);
}

/* Steps from key `from` on that are of no use to this group. */
template <typename G> __device__ __forceinline__ void pass_steps(group_state<G> &g, int32_t from) {
    for (int32_t key = from; key < g.i->w.keys; key += STEP) {
        wait_at(&g.b->keys_full[g.at.slot], g.at.parity);
        wait_at(&g.b->values_full[g.at.slot], g.at.parity);
        __syncwarp();
        if (threadIdx.x % WARP == 0) {
            arrive(&g.b->keys_empty[g.at.slot]);
            arrive(&g.b->values_empty[g.at.slot]);
        }
        g.at.go_on();
    }
}

/* All steps that the group's queries see something of: whole ones, then half of one perhaps. */
template <typename G> __device__ __forceinline__ void take_steps_ahead(group_state<G> &g) {
    const int32_t whole = (g.most + HALF - 1) / STEP * STEP;

    if (whole > 0) {
        step<G, STEP, true>(g, 0);
#pragma unroll 1
        for (int32_t key = STEP; key < whole; key += STEP) {
            step<G, STEP, false>(g, key);
        }
        if (whole < g.most) {
            step<G, HALF, false>(g, whole);
            last_values<G, HALF>(g, whole);
        } else {
            last_values<G, STEP>(g, whole - STEP);
        }
    } else {
        step<G, HALF, true>(g, 0);
        last_values<G, HALF>(g, 0);
    }
    g.at.go_on();
}

/* The same, one after another. */
template <typename G> __device__ __forceinline__ void take_steps(group_state<G> &g) {
    const int32_t whole = (g.most + HALF - 1) / STEP * STEP;

#pragma unroll 1
    for (int32_t key = 0; key < whole; key += STEP) {
        step<G, STEP, true>(g, key);
        last_values<G, STEP>(g, key);
        g.at.go_on();
    }
    if (whole < g.most) {
        step<G, HALF, true>(g, whole);
        last_values<G, HALF>(g, whole);
        g.at.go_on();
    }
}

#endif
#endif
