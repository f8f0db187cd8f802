/* embed.cu - token, position and type rows added up: one thread an element.
 *
 * Bound by memory: a row of each table is read once and x written once (twice with proj_in). */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) take_tokens(eet_embed_args a, float *y) {
    const int64_t count = (int64_t)a.tokens * a.dim;
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < count; i += stride) {
        const int32_t id = a.ids[i / a.dim];
        const float x =
            id < 0 ? 0.0F : eet_float_at(a.token, a.token_dtype, (int64_t)id * a.dim + i % a.dim);

        y[i] = (float)((double)x * a.scale);
    }
}

/* Element j of a table's row, 0 where no row is to be added. */
__device__ float added(const void *table, int32_t dtype, const int32_t *rows, int64_t token,
                       int64_t cols, int64_t j) {
    if (table == nullptr || rows == nullptr || rows[token] < 0) {
        return 0.0F;
    }
    return eet_float_at(table, dtype, rows[token] * cols + j);
}

__global__ void __launch_bounds__(BLOCK) add_tables(eet_embed_args a) {
    const int64_t count = (int64_t)a.tokens * a.hidden;
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < count; i += stride) {
        const int64_t token = i / a.hidden;
        const int64_t j = i % a.hidden;
        const double position =
            (double)added(a.position, a.position_dtype, a.positions, token, a.hidden, j);
        const double type = (double)added(a.type, a.type_dtype, a.types, token, a.hidden, j);

        a.x[i] = (float)((double)a.x[i] + position + type);
    }
}

} // namespace

extern "C" eet_status eet_embed_cuda(eet_backend *backend, const eet_embed_args *a) {
    if (eet_embed_check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    if (a->tokens < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    const bool projected = a->proj_in.data != nullptr;

    take_tokens<<<grid_of(backend, (int64_t)a->tokens * a->dim, BLOCK), BLOCK, 0,
                  backend->stream>>>(*a, projected ? a->scratch : a->x);
    if (projected) {
        const eet_project_args projection = eet_embed_projection(a);
        const eet_status status = eet_project_cuda(backend, &projection);

        if (status != EET_OK) {
            return status;
        }
    }
    add_tables<<<grid_of(backend, (int64_t)a->tokens * a->hidden, BLOCK), BLOCK, 0,
                 backend->stream>>>(*a);
    return scope.launched();
}
