/* convert.cu - numbers in another dtype: one thread an element.
 *
 * Bound by memory: each element is read and written once. */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) convert(eet_convert_args a) {
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < a.count; i += stride) {
        const eet_convert_place at = eet_convert_at(&a, i);

        eet_number_convert(a.y, a.to, at.to, a.x, a.from, at.from);
    }
}

} // namespace

extern "C" eet_status eet_convert_cuda(eet_backend *backend, const eet_convert_args *a) {
    if (!eet_convert_is_known(a)) {
        return EET_E_UNSUPPORTED;
    }
    if (a->count < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    convert<<<grid_of(backend, a->count, BLOCK), BLOCK, 0, backend->stream>>>(*a);
    return scope.launched();
}
