/* arguments.c - what the arguments of the ops say. */
#include "kernels/arguments.h"

#include "format/half.h"

bool eet_matrix_is_plain(const eet_matrix *w) {
    return eet_is_float(w->dtype) && w->scale == NULL && w->zero == NULL && w->meta == NULL &&
           w->order == NULL && w->layout == 0 && w->flags == 0;
}

int32_t eet_project_y_columns(const eet_project_args *a) {
    if (a->to == EET_TO_PAGES) {
        return 0;
    }
    return a->to == EET_TO_Q_AND_PAGES ? a->w.n / 3 : a->w.n;
}

eet_status eet_project_check(const eet_project_args *a) {
    const bool pages = a->to == EET_TO_Y || eet_is_float(a->pages.dtype);

    return eet_matrix_is_plain(&a->w) && pages ? EET_OK : EET_E_UNSUPPORTED;
}

eet_status eet_embed_check(const eet_embed_args *a) {
    const bool tables = eet_is_float(a->token_dtype) &&
                        (a->position == NULL || eet_is_float(a->position_dtype)) &&
                        (a->type == NULL || eet_is_float(a->type_dtype));
    const bool projection = a->proj_in.data == NULL || eet_matrix_is_plain(&a->proj_in);

    return tables && projection ? EET_OK : EET_E_UNSUPPORTED;
}

eet_project_args eet_embed_projection(const eet_embed_args *a) {
    return (eet_project_args){
        .x = a->scratch,
        .w = a->proj_in,
        .bias = a->proj_in_bias,
        .rows = a->tokens,
        .y_dtype = a->x_dtype,
        .y = a->x,
    };
}

bool eet_attention_is_masked(const eet_attention_args *a) {
    return a->kv_seen != NULL || a->allowed.data != NULL || a->added.data != NULL;
}

eet_status eet_attention_check(const eet_attention_args *a) {
    const int32_t kv_dtype = a->k == NULL ? a->pages.dtype : eet_attention_kv_dtype(a);
    const bool masks = (a->allowed.data == NULL || a->allowed.dtype == EET_U8) &&
                       (a->added.data == NULL || eet_is_float(a->added.dtype));

    return eet_all_f32(a->dtype, 0, 0) && eet_is_float(kv_dtype) && masks ? EET_OK
                                                                          : EET_E_UNSUPPORTED;
}

bool eet_convert_is_known(const eet_convert_args *a) {
    if (a->to == EET_I32) {
        return a->from == EET_I32 || a->from == EET_I64;
    }
    return (eet_is_float(a->from) || a->from == EET_F64) && eet_is_float(a->to);
}

eet_norm_args eet_score_norm(const eet_score_args *a) {
    return (eet_norm_args){
        .x = a->x,
        .index = a->index,
        .x_dtype = a->x_dtype,
        .norm = a->norm,
        .rows = a->rows,
        .cols = a->w.k,
        .y = a->scratch,
    };
}

eet_project_args eet_score_projection(const eet_score_args *a) {
    return (eet_project_args){
        .x = a->scratch,
        .w = a->w,
        .bias = a->bias,
        .family = a->family,
        .rows = a->rows,
        .y = a->logits,
    };
}
