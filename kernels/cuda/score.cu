/* score.cu - logits of chosen rows: norm, then project, which see to everything else. */
#include "kernels/cuda/common.cuh"

extern "C" eet_status eet_score_cuda(eet_backend *backend, const eet_score_args *a) {
    eet_norm_args norm = {};
    eet_project_args projection = {};

    if (!eet_cuda_is_plain(&a->w)) {
        return EET_E_UNSUPPORTED;
    }
    norm.x = a->x;
    norm.index = a->index;
    norm.norm = a->norm;
    norm.rows = a->rows;
    norm.cols = a->w.k;
    norm.y = a->scratch;
    projection.x = a->scratch;
    projection.w = a->w;
    projection.bias = a->bias;
    projection.rows = a->rows;
    projection.y = a->logits;
    const eet_status status = eet_norm_cuda(backend, &norm);

    return status == EET_OK ? eet_project_cuda(backend, &projection) : status;
}
