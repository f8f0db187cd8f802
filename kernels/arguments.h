/* arguments.h - what the arguments of the ops say, to every backend alike: whether there is code
 * for them, where an output belongs, and which ops an op consists of. */
#ifndef EET_KERNELS_ARGUMENTS_H
#define EET_KERNELS_ARGUMENTS_H

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

/* embed and score as the other ops that they consist of. */
eet_project_args eet_embed_projection(const eet_embed_args *a);
eet_norm_args eet_score_norm(const eet_score_args *a);
eet_project_args eet_score_projection(const eet_score_args *a);

#endif
