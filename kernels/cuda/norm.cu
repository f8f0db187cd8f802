/* norm.cu - layer normalisation of chosen rows: one block a row.
 *
 * Bound by memory: x is read three times, twice of them from the cache, and y written once. */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) norm_rows(eet_norm_args a) {
    const int64_t row = blockIdx.x;
    const int64_t from = (a.index != nullptr ? (int64_t)a.index[row] : row) * a.cols;
    const int64_t to = row * a.cols;

    if (a.norm.weight == nullptr) {
        for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
            eet_float_put(a.y, a.y_dtype, to + j, eet_float_at(a.x, a.x_dtype, from + j));
        }
        return;
    }
    const moments m = block_moments(a.x, a.x_dtype, from, a.cols, a.norm.eps);

    for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
        const float x = eet_float_at(a.x, a.x_dtype, from + j);

        eet_float_put(a.y, a.y_dtype, to + j, normed(x, j, a.norm.weight, a.norm.bias, m));
    }
}

} // namespace

extern "C" eet_status eet_norm_cuda(eet_backend *backend, const eet_norm_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    eet_norm_args args = *a;

    args.x_dtype = activation(a->x_dtype);
    args.y_dtype = activation(a->y_dtype);
    norm_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(args);
    return scope.launched();
}
