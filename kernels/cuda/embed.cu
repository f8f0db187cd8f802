/* embed.cu - token, position and type rows added up: one thread an element.
 *
 * Launched when all that came before has ended, and no earlier: what follows in the same pass may
 * read what was written before it without a wait (attention_pages.cu). What follows may begin,
 * though. Bound by memory: a row of each table is read once and x written once (twice with
 * proj_in). */
#include "kernels/cuda/launch.cuh"

namespace {

__device__ float token_at(const eet_embed_args &a, int64_t token, int64_t j) {
    const int32_t id = a.ids[token];
    const float x = id < 0 ? 0.0F : eet_float_at(a.token, a.token_dtype, (int64_t)id * a.dim + j);

    return (float)((double)x * a.scale);
}

/* The tokens alone, for a projection. */
__global__ void __launch_bounds__(BLOCK) take_tokens(eet_embed_args a) {
    const int64_t count = (int64_t)a.tokens * a.dim;
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < count; i += stride) {
        a.scratch[i] = token_at(a, i / a.dim, i % a.dim);
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

/* What is there is the projection of the tokens, where there is one. */
__global__ void __launch_bounds__(BLOCK) add_tables(eet_embed_args a) {
    const int64_t count = (int64_t)a.tokens * a.hidden;
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    let_next_begin();
    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < count; i += stride) {
        const int64_t token = i / a.hidden;
        const int64_t j = i % a.hidden;
        const float x =
            a.proj_in.data != nullptr ? eet_float_at(a.x, a.x_dtype, i) : token_at(a, token, j);
        const double position =
            (double)added(a.position, a.position_dtype, a.positions, token, a.hidden, j);
        const double type = (double)added(a.type, a.type_dtype, a.types, token, a.hidden, j);

        eet_float_put(a.x, a.x_dtype, i, (float)((double)x + position + type));
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
    eet_embed_args args = *a;

    args.x_dtype = eet_activation(a->x_dtype);
    if (a->proj_in.data != nullptr) {
        take_tokens<<<grid_of(backend, (int64_t)a->tokens * a->dim, BLOCK), BLOCK, 0,
                      backend->stream>>>(args);
        const eet_project_args projection = eet_embed_projection(a);
        const eet_status status = eet_project_cuda(backend, &projection);

        if (status != EET_OK) {
            return status;
        }
    }
    add_tables<<<grid_of(backend, (int64_t)a->tokens * a->hidden, BLOCK), BLOCK, 0,
                 backend->stream>>>(args);
    return scope.launched();
}
