/* norm.cu - layer normalisation of chosen rows: one block a row.
 *
 * Bound by memory: x is read three times, twice of them from the cache, and y written once. */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) norm_rows(eet_norm_args a) {
    const int64_t row = blockIdx.x;
    const float *x = a.x + (a.index != nullptr ? (int64_t)a.index[row] : row) * a.cols;
    float *y = a.y + row * a.cols;

    if (a.norm.weight == nullptr) {
        for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
            y[j] = x[j];
        }
        return;
    }
    const moments m = block_moments(x, a.cols, a.norm.eps);

    for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
        y[j] = normed(x[j], j, a.norm.weight, a.norm.bias, m);
    }
}

} // namespace

extern "C" eet_status eet_norm_cuda(eet_backend *backend, const eet_norm_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    norm_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    return scope.launched();
}
