/* page_copy.c - a page of the cache for one sequence more: reference and cost. */
#include <stddef.h>
#include <string.h>

#include "format/half.h"
#include "kernels/kernels.h"

eet_status eet_page_copy_ref(eet_backend *backend, const eet_page_copy_args *a) {
    (void)backend;
    if (!eet_is_float(a->pages.dtype)) {
        return EET_E_UNSUPPORTED;
    }
    const int64_t bytes = eet_float_bytes(a->pages.dtype);
    char *data = a->pages.data;

    for (int32_t i = 0; i < a->count; ++i) {
        const eet_page_move *move = &a->moves[i];
        const int64_t run = (int64_t)move->tokens * a->pages.dp * bytes;

        for (int32_t part = 0; part < a->pages.layers * 2 * a->pages.heads; ++part) {
            const int32_t layer = part / (2 * a->pages.heads);
            const int32_t kv = part / a->pages.heads % 2;
            const int32_t head = part % a->pages.heads;

            memcpy(data + bytes * eet_page_at(&a->pages, layer, move->to, kv, head, 0),
                   data + bytes * eet_page_at(&a->pages, layer, move->from, kv, head, 0),
                   (size_t)run);
        }
    }
    return EET_OK;
}

eet_cost eet_page_copy_cost(const eet_page_copy_args *a) {
    double tokens = 0.0;

    for (int32_t i = 0; i < a->count; ++i) {
        tokens += a->moves[i].tokens;
    }
    return (eet_cost){
        .bytes = 2.0 * tokens * a->pages.layers * 2 * a->pages.heads * a->pages.dp *
                 eet_float_bytes(a->pages.dtype),
    };
}
