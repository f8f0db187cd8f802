/* score.cu - logits of chosen rows: norm, then project, which see to everything else. */
#include "kernels/cuda/common.cuh"

extern "C" eet_status eet_score_cuda(eet_backend *backend, const eet_score_args *a) {
    const eet_norm_args norm = eet_score_norm(a);
    const eet_project_args projection = eet_score_projection(a);

    if (!eet_matrix_is_plain(&a->w)) {
        return EET_E_UNSUPPORTED;
    }
    const eet_status status = eet_norm_cuda(backend, &norm);

    return status == EET_OK ? eet_project_cuda(backend, &projection) : status;
}
