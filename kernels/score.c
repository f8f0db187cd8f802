/* score.c - logits of chosen rows: reference and cost. */
#include <stddef.h>

#include "kernels/reference.h"

eet_status eet_score_ref(eet_backend *backend, const eet_score_args *a) {
    const eet_norm_args norm = eet_score_norm(a);
    const eet_project_args projection = eet_score_projection(a);

    if (!eet_matrix_is_plain(&a->w)) {
        return EET_E_UNSUPPORTED;
    }
    (void)eet_norm_ref(backend, &norm);
    return eet_project_ref(backend, &projection);
}

eet_cost eet_score_cost(const eet_score_args *a) {
    const eet_project_args projection = eet_score_projection(a);

    return eet_project_cost(&projection);
}
