/* embed.c - token, position and type rows added up: reference and cost. */
#include <stddef.h>

#include "format/half.h"
#include "kernels/reference.h"

/* Element j of a table's row, 0 where no row is to be added. */
static double added(const void *table, int32_t dtype, const int32_t *rows, int64_t token,
                    int64_t cols, int32_t j) {
    if (table == NULL || rows == NULL || rows[token] < 0) {
        return 0.0;
    }
    return (double)eet_float_at(table, dtype, rows[token] * cols + j);
}

eet_status eet_embed_ref(eet_backend *backend, const eet_embed_args *a) {
    const bool projected = a->proj_in.data != NULL;
    float *scaled = projected ? a->scratch : a->x;

    if (eet_embed_check(a) != EET_OK || !eet_all_f32(a->x_dtype, 0, 0)) {
        return EET_E_UNSUPPORTED;
    }
    for (int64_t t = 0; t < a->tokens; ++t) {
        for (int32_t j = 0; j < a->dim; ++j) {
            const double token = added(a->token, a->token_dtype, a->ids, t, a->dim, j);

            scaled[t * a->dim + j] = (float)(token * a->scale);
        }
    }
    if (projected) {
        const eet_project_args projection = eet_embed_projection(a);

        (void)eet_project_ref(backend, &projection);
    }
    for (int64_t t = 0; t < a->tokens; ++t) {
        float *x = (float *)a->x + t * a->hidden;

        for (int32_t j = 0; j < a->hidden; ++j) {
            x[j] = (float)((double)x[j] +
                           added(a->position, a->position_dtype, a->positions, t, a->hidden, j) +
                           added(a->type, a->type_dtype, a->types, t, a->hidden, j));
        }
    }
    return EET_OK;
}

eet_cost eet_embed_cost(const eet_embed_args *a) {
    const double tokens = a->tokens;
    const double elements = tokens * a->hidden;
    eet_cost cost = {
        .flops = tokens * a->dim,
        .bytes = tokens * a->dim * eet_float_bytes(a->token_dtype) + 4.0 * elements,
    };

    if (a->position != NULL) {
        cost.flops += elements;
        cost.bytes += elements * eet_float_bytes(a->position_dtype);
    }
    if (a->type != NULL && a->types != NULL) {
        cost.flops += elements;
        cost.bytes += elements * eet_float_bytes(a->type_dtype);
    }
    if (a->proj_in.data != NULL) {
        cost.flops += 2.0 * elements * a->dim;
        cost.bytes += eet_matrix_bytes(&a->proj_in);
    }
    return cost;
}
