/* arguments.h - what the arguments of the ops say, to every backend alike: whether there is code
 * for them, where an output belongs, and which ops an op consists of. */
#ifndef EET_KERNELS_ARGUMENTS_H
#define EET_KERNELS_ARGUMENTS_H

#include <stddef.h>

#include "kernels/kernels.h"

/* A weight that is read as it is: plain, and f32, f16 or bf16. */
bool eet_matrix_is_plain(const eet_matrix *w);

/* Are these dtypes of activations all f32, as the CPU takes them? */
static inline bool eet_all_f32(int32_t a, int32_t b, int32_t c) {
    return (a == 0 || a == EET_F32) && (b == 0 || b == EET_F32) && (c == 0 || c == EET_F32);
}

/* E_UNSUPPORTED when there is no code for an operand's dtype. */
eet_status eet_project_check(const eet_project_args *a);
eet_status eet_embed_check(const eet_embed_args *a);
eet_status eet_attention_check(const eet_attention_args *a); /* on the CPU */
/* Is there anything that hides a key from a query, or changes its score? */
bool eet_attention_is_masked(const eet_attention_args *a);
bool eet_convert_is_known(const eet_convert_args *a);

/* How many of the leading columns go to y; the others go into pages. */
int32_t eet_project_y_columns(const eet_project_args *a);

/* Elements before output `at` of a row, counted behind those of y, in the pages. */
EET_BOTH static inline int64_t eet_project_place(const eet_project_args *a, int64_t row,
                                                 int32_t at) {
    const eet_pages *p = &a->pages;
    const int32_t head = at / p->head_dim; /* of keys, then of values */

    return at % p->head_dim + eet_page_at(p, a->layer, (int32_t)(a->slot[row] / EET_PAGE_TOKENS),
                                          head / p->heads, head % p->heads,
                                          (int32_t)(a->slot[row] % EET_PAGE_TOKENS));
}

/* Of packed keys and values: their dtype, and the elements before those of a row's head. */
EET_BOTH static inline int32_t eet_attention_kv_dtype(const eet_attention_args *a) {
    return eet_activation(a->kv_dtype != 0 ? a->kv_dtype : a->dtype);
}

EET_BOTH static inline int64_t eet_attention_kv_at(const eet_attention_args *a, int32_t row,
                                                   int32_t head) {
    const int64_t stride = a->kv_head_stride != 0 ? a->kv_head_stride : a->head_dim;
    const int64_t offset =
        a->kv_offset != NULL ? a->kv_offset[row] : (int64_t)a->kv_start[row] * a->kv_stride;

    return offset + head * stride;
}

/* The number of a mask for query `query` of a row and its key `key`. */
EET_BOTH static inline int64_t eet_mask_at(const eet_mask *m, int32_t row, int32_t head,
                                           int32_t query, int32_t key) {
    return row * m->row + head * m->head + query * m->query + key * m->key;
}

/* A scaled score with what the masks say: -inf where the key is not seen. */
EET_BOTH static inline double eet_masked(const eet_attention_args *a, const int32_t at[4],
                                         double score) {
    const int32_t row = at[0];
    const eet_mask *m = &a->allowed;

    if (a->kv_seen != NULL && at[3] >= a->kv_seen[row]) {
        return -__builtin_inf();
    }
    if (m->data != NULL &&
        ((const uint8_t *)m->data)[eet_mask_at(m, row, at[1], at[2], at[3])] == 0) {
        return -__builtin_inf();
    }
    m = &a->added;
    if (m->data != NULL) {
        const int64_t place = eet_mask_at(m, row, at[1], at[2], at[3]);
        const double more = (double)eet_float_at(m->data, m->dtype, place);

        return more == -__builtin_inf() ? more : score + more;
    }
    return score;
}

/* Where element i of a conversion is: in x, and in y. */
typedef struct eet_convert_place {
    int64_t from, to;
} eet_convert_place;

EET_BOTH static inline eet_convert_place eet_convert_at(const eet_convert_args *a, int64_t i) {
    eet_convert_place at = {0, 0};

    if (a->rank == 0) {
        at.from = at.to = i;
        return at;
    }
    for (int32_t axis = a->rank - 1; axis > 0; --axis) {
        const int64_t index = i % a->shape[axis];

        at.from += index * a->x_stride[axis];
        at.to += index * a->y_stride[axis];
        i /= a->shape[axis];
    }
    at.from += i * a->x_stride[0];
    at.to += a->y_at != NULL ? a->y_at[i] : i * a->y_stride[0];
    return at;
}

/* embed and score as the other ops that they consist of. */
eet_project_args eet_embed_projection(const eet_embed_args *a);
eet_norm_args eet_score_norm(const eet_score_args *a);
eet_project_args eet_score_projection(const eet_score_args *a);

#endif
