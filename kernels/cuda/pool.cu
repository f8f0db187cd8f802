/* pool.cu - the mean of each row's tokens, and lengths of 1: one block a row, one thread a column.
 *
 * Bound by memory: x is read once; a column adds up its tokens in their order. */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) pool_rows(eet_pool_args a) {
    const int64_t row = blockIdx.x;
    const int64_t first = a.start != nullptr ? (int64_t)a.start[row] : row;
    const int64_t end = a.start != nullptr ? (int64_t)a.start[row + 1] : first + 1;
    float *y = a.y + row * a.cols;
    double squares = 0.0;

    for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
        double sum = 0.0;

        for (int64_t t = first; t < end; ++t) {
            sum += (double)a.x[t * a.cols + j];
        }
        y[j] = end > first ? (float)(sum / (double)(end - first)) : 0.0F;
        squares += (double)y[j] * (double)y[j];
    }
    if (!a.normalize) {
        return;
    }
    const double length = fmax(sqrt(block_sum(squares)), 1e-12);

    for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
        y[j] = (float)((double)y[j] / length);
    }
}

} // namespace

extern "C" eet_status eet_pool_cuda(eet_backend *backend, const eet_pool_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    pool_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    return scope.launched();
}
