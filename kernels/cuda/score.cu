/* score.cu - logits of chosen rows: norm, then project, which see to everything else; few rows are
 * project's alone. */
#include "kernels/cuda/common.cuh"
extern "C" {
#include "kernels/cuda/few.h"
#include "kernels/cuda/project.h"
}

extern "C" eet_status eet_score_cuda(eet_backend *backend, const eet_score_args *a) {
    eet_norm_args norm = eet_score_norm(a);
    eet_project_args projection = eet_score_projection(a);

    if (!eet_matrix_is_plain(&a->w)) {
        return EET_E_UNSUPPORTED;
    }
    if (eet_few_takes(backend, &projection)) { /* its norm is a prologue */
        projection.x = a->x;
        projection.x_dtype = a->x_dtype;
        projection.norm = a->norm;
        projection.scratch = a->scratch;
        return projection.rows < 1 || projection.w.n < 1
                   ? EET_OK
                   : eet_project_few(backend, &projection, a->index);
    }
    norm.y_dtype = eet_project_dtype(backend, &a->w);
    projection.x_dtype = norm.y_dtype;
    if (a->index == nullptr && a->norm.weight == nullptr &&
        eet_activation(a->x_dtype) == norm.y_dtype) {
        projection.x = a->x; /* nothing to do beforehand */
        return eet_project_cuda(backend, &projection);
    }
    const eet_status status = eet_norm_cuda(backend, &norm);

    return status == EET_OK ? eet_project_cuda(backend, &projection) : status;
}
