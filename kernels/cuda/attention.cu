/* attention.cu - softmax(q k^T scale) v over packed or paged keys and values: which kernel takes
 * it, by what the host knows of all rows, and the one that takes anything: one warp a query and
 * head, in one pass over its keys with a running maximum.
 *
 * 32 keys at a time: each lane scores one of them, then each lane adds up some of the output's
 * columns over all 32, DIMS columns in all (a larger head goes over its keys again for the next).
 * Where the 32s begin depends on the row alone. Bound by the latency of scattered reads. */
#include "kernels/cuda/attention.cuh"

namespace {

constexpr int EACH = 8;           /* columns of a lane */
constexpr int DIMS = EACH * WARP; /* columns of a pass */
constexpr int WARPS = BLOCK / WARP;

/* The keys and values of one row and head. */
struct keys_of_row {
    const eet_attention_args *a;
    int32_t row, head;

    __device__ int64_t at(int32_t kv, int32_t token) const {
        return key_at(*a, kv, row, head, token);
    }
};

__device__ float score(const keys_of_row &keys, int64_t q, int32_t token) {
    const void *data = keys_data(*keys.a, 0);
    const int32_t dtype = keys_dtype(*keys.a);
    const int64_t at = keys.at(0, token);
    float sum = 0.0F;

    for (int32_t i = 0; i < keys.a->head_dim; ++i) {
        sum += eet_float_at(keys.a->q, keys.a->dtype, q + i) * eet_float_at(data, dtype, at + i);
    }
    return sum * keys.a->scale;
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
__device__ void add_values(const keys_of_row &keys, int32_t token0, int32_t count, int32_t first,
                           float weight, float *sum) {
    const void *data = keys_data(*keys.a, 1);
    const int32_t dtype = keys_dtype(*keys.a);
    const int lane = (int)threadIdx.x % WARP;

    for (int32_t t = 0; t < count; ++t) {
        const float w = __shfl_sync(ALL_LANES, weight, t);
        const int64_t at = keys.at(1, token0 + t);

#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const int32_t column = first + e * WARP + lane;

            if (column < keys.a->head_dim) {
                sum[e] += w * eet_float_at(data, dtype, at + column);
            }
        }
    }
}

/* Columns [first, first + DIMS) of one query's output. */
__device__ void attend(const keys_of_row &keys, int64_t q, int32_t length, int32_t first,
                       int64_t y) {
    const int lane = (int)threadIdx.x % WARP;
    float sum[EACH] = {};
    float top = -INFINITY;
    float weights = 0.0F;

    for (int32_t token = 0; token < length; token += WARP) {
        const int32_t count = length - token < WARP ? length - token : WARP;
        const float mine = lane < count ? score(keys, q, token + lane) : -INFINITY;
        const float now = fmaxf(top, warp_max(mine));
        const float shrink = top == -INFINITY ? 0.0F : expf(top - now);
        const float weight = lane < count ? expf(mine - now) : 0.0F;

        weights = weights * shrink + warp_sum(weight);
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            sum[e] *= shrink;
        }
        add_values(keys, token, count, first, weight, sum);
        top = now;
    }
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
        const int32_t column = first + e * WARP + lane;

        if (column < keys.a->head_dim) {
            eet_float_put(keys.a->y, keys.a->dtype, y + column,
                          length > 0 ? sum[e] / weights : 0.0F);
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
        const int32_t query = (int32_t)(first + item / a.heads);
        const int32_t head = (int32_t)(item % a.heads);
        const int32_t row = row_of(a, query);
        const int32_t after = a.causal ? a.q_start[row + 1] - 1 - query : 0;
        const keys_of_row keys = {&a, row, head};
        const int64_t q = query * a.q_stride + (int64_t)head * a.head_dim;
        const int64_t y = ((int64_t)query * a.heads + head) * a.head_dim;

        for (int32_t column = 0; column < a.head_dim; column += DIMS) {
            attend(keys, q, a.kv_length[row] - after, column, y);
        }
    }
}

} // namespace

extern "C" eet_status eet_attention_cuda(eet_backend *backend, const eet_attention_args *a) {
    if (!eet_attention_is_plain(a) || (a->k == nullptr && !eet_is_float(a->pages.dtype))) {
        return EET_E_UNSUPPORTED;
    }
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    eet_attention_args args = *a;
    eet_status status = EET_E_UNSUPPORTED;

    args.dtype = eet_activation(a->dtype);
    if (a->family == EET_FEW) {
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
