/* attention.cu - softmax(q k^T scale) v over packed or paged keys and values: which kernel takes
 * it, by what the host knows of all rows, and the one that takes anything, masks too: one warp a
 * query and head, in one pass over its keys with a running maximum.
 *
 * 32 keys at a time: each lane scores one of them, then each lane adds up some of the output's
 * columns over all 32, DIMS columns in all (a larger head goes over its keys again for the next).
 * Where the 32s begin depends on the row alone. A key that a mask hides has a score of -inf, and
 * a value without weight is not read. Bound by the latency of scattered reads. */
#include "kernels/cuda/attention.cuh"

namespace {

constexpr int EACH = 8;           /* columns of a lane */
constexpr int DIMS = EACH * WARP; /* columns of a pass */
constexpr int WARPS = BLOCK / WARP;

/* A query of a row and head. */
struct query_of_row {
    const eet_attention_args *a;
    int32_t row, head;
    int32_t number; /* of the row's queries */
    int32_t keys;   /* that it sees, but for those that a mask hides */
    int64_t q, y;   /* elements before its own */

    __device__ int64_t key(int32_t kv, int32_t token) const {
        return key_at(*a, kv, row, head, token);
    }
};

/* The scaled score of a key, -inf where a mask hides it. */
__device__ float score(const query_of_row &query, int32_t token) {
    const eet_attention_args &a = *query.a;
    const int32_t at[4] = {query.row, query.head, query.number, token};
    const void *data = keys_data(a, 0);
    const int32_t dtype = keys_dtype(a);
    const int64_t key = query.key(0, token);
    float sum = 0.0F;

    for (int32_t i = 0; i < a.head_dim; ++i) {
        sum += eet_float_at(a.q, a.dtype, query.q + i) * eet_float_at(data, dtype, key + i);
    }
    return (float)eet_masked(&a, at, (double)(sum * a.scale));
}

__device__ float warp_max(float x) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, apart));
    }
    return x;
}

__device__ float warp_sum(float x) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, apart);
    }
    return x;
}

/* Adds `count` values, each with the weight that its lane has, to a lane's columns from `first`. */
__device__ void add_values(const query_of_row &query, int32_t token0, int32_t count, int32_t first,
                           float weight, float *sum) {
    const void *data = keys_data(*query.a, 1);
    const int32_t dtype = keys_dtype(*query.a);
    const int lane = (int)threadIdx.x % WARP;

    for (int32_t t = 0; t < count; ++t) {
        const float w = __shfl_sync(ALL_LANES, weight, t);

        if (w == 0.0F) { /* in all lanes; the value may be a NaN */
            continue;
        }
        const int64_t at = query.key(1, token0 + t);

#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const int32_t column = first + e * WARP + lane;

            if (column < query.a->head_dim) {
                sum[e] += w * eet_float_at(data, dtype, at + column);
            }
        }
    }
}

/* Columns [first, first + DIMS) of one query's output. */
__device__ void attend(const query_of_row &query, int32_t first) {
    const int lane = (int)threadIdx.x % WARP;
    float sum[EACH] = {};
    float top = -INFINITY;
    float weights = 0.0F;

    for (int32_t token = 0; token < query.keys; token += WARP) {
        const int32_t count = query.keys - token < WARP ? query.keys - token : WARP;
        const float mine = lane < count ? score(query, token + lane) : -INFINITY;
        const float now = fmaxf(top, warp_max(mine));
        const float shrink = top == now ? 1.0F : expf(top - now);
        const float weight = mine != -INFINITY ? expf(mine - now) : 0.0F;

        weights = weights * shrink + warp_sum(weight);
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            sum[e] *= shrink;
        }
        add_values(query, token, count, first, weight, sum);
        top = now;
    }
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
        const int32_t column = first + e * WARP + lane;

        if (column < query.a->head_dim) { /* without weights it sees no key */
            eet_float_put(query.a->y, query.a->dtype, query.y + column,
                          weights == 0.0F ? 0.0F : sum[e] / weights);
        }
    }
}

/* How many queries there are only the device knows: the grid strides over them. */
__global__ void __launch_bounds__(BLOCK) attention(eet_attention_args a) {
    const int64_t first = a.q_start[0];
    const int64_t items = (a.q_start[a.rows] - first) * a.heads;
    const int64_t stride = (int64_t)gridDim.x * WARPS;

    for (int64_t item = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP; item < items;
         item += stride) {
        const int32_t token = (int32_t)(first + item / a.heads);
        const int32_t head = (int32_t)(item % a.heads);
        const int32_t row = eet_row_of(a.q_start, a.rows, token);
        const int32_t after = a.causal ? a.q_start[row + 1] - 1 - token : 0;
        const query_of_row query = {
            .a = &a,
            .row = row,
            .head = head,
            .number = token - a.q_start[row],
            .keys = a.kv_length[row] - after,
            .q = token * a.q_stride + (int64_t)head * a.head_dim,
            .y = ((int64_t)token * a.heads + head) * a.head_dim,
        };

        for (int32_t column = 0; column < a.head_dim; column += DIMS) {
            attend(query, column);
        }
    }
}

/* Is there code for every operand? Activations may be of 16 bits here. */
eet_status check(const eet_attention_args *a) {
    eet_attention_args f32 = *a;

    f32.dtype = 0;
    return eet_is_float(eet_activation(a->dtype)) ? eet_attention_check(&f32) : EET_E_UNSUPPORTED;
}

} // namespace

extern "C" eet_status eet_attention_cuda(eet_backend *backend, const eet_attention_args *a) {
    if (check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    eet_attention_args args = *a;
    eet_status status = EET_E_UNSUPPORTED;

    args.dtype = eet_activation(a->dtype);
    if (eet_attention_is_masked(a)) {
        status = EET_E_UNSUPPORTED;
    } else if (a->family == EET_FEW) {
        status = eet_attention_few(backend, &args);
    } else {
        status = eet_attention_many(backend, &args);
        if (status == EET_E_UNSUPPORTED) {
            status = eet_attention_tile(backend, &args);
        }
    }
    if (status == EET_E_UNSUPPORTED) {
        attention<<<(unsigned)backend->blocks * 8, BLOCK, 0, backend->stream>>>(args);
        status = EET_OK;
    }
    return status == EET_OK ? scope.launched() : status;
}
