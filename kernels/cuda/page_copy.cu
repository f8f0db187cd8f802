/* page_copy.cu - a page of the cache for one sequence more: one block copies a move's tokens of one
 * layer's keys or values in one head, 16 bytes a thread (a head is padded to 8 elements).
 *
 * Bound by memory: what is copied is read once and written once. */
#include "kernels/cuda/common.cuh"

namespace {

__global__ void __launch_bounds__(BLOCK) copy_pages(eet_page_copy_args a, int64_t bytes) {
    const int64_t parts = (int64_t)a.pages.layers * 2 * a.pages.heads;

    for (int64_t at = blockIdx.x; at < a.count * parts; at += gridDim.x) {
        const eet_page_move move = a.moves[at / parts];
        const int32_t part = (int32_t)(at % parts);
        const int32_t layer = part / (2 * a.pages.heads);
        const int32_t kv = part / a.pages.heads % 2;
        const int32_t head = part % a.pages.heads;
        char *data = (char *)a.pages.data;
        const uint4 *from =
            (const uint4 *)(data + bytes * eet_page_at(&a.pages, layer, move.from, kv, head, 0));
        uint4 *to = (uint4 *)(data + bytes * eet_page_at(&a.pages, layer, move.to, kv, head, 0));
        const int64_t words = (int64_t)move.tokens * a.pages.dp * bytes / (int64_t)sizeof(uint4);

        for (int64_t i = threadIdx.x; i < words; i += BLOCK) {
            to[i] = from[i];
        }
    }
}

} // namespace

extern "C" eet_status eet_page_copy_cuda(eet_backend *backend, const eet_page_copy_args *a) {
    if (!eet_is_float(a->pages.dtype)) {
        return EET_E_UNSUPPORTED;
    }
    const int64_t blocks = (int64_t)a->count * a->pages.layers * 2 * a->pages.heads;

    if (blocks < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    copy_pages<<<grid_of(backend, blocks, 1), BLOCK, 0, backend->stream>>>(
        *a, eet_float_bytes(a->pages.dtype));
    return scope.launched();
}
