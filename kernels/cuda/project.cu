/* project.cu - a linear layer with its norm before, its activation and its residual after: which
 * kernel makes it, with what as its x.
 *
 * The tensor cores' kernels take x in the weights' dtype: another x is rounded into the scratch,
 * after its norm. A normed residual's moments are behind that. What is chosen depends on the
 * weights and the device alone, and so do a row's bits. EET_FEW is project_few.cu. */
#include "kernels/cuda/launch.cuh"
extern "C" {
#include "kernels/cuda/few.h"
#include "kernels/cuda/lt.h"
#include "kernels/cuda/project.h"
}

namespace {

constexpr int32_t ALIGNED = 16; /* bytes of a wide load */

bool aligned(const void *p) {
    return (uintptr_t)p % ALIGNED == 0;
}

__global__ void __launch_bounds__(BLOCK)
    find_moments(const void *x, int32_t dtype, int32_t cols, double eps, float *out) {
    const moments m = block_moments(x, dtype, (int64_t)blockIdx.x * cols, cols, eps);

    if (threadIdx.x == 0) {
        out[4 * (int64_t)blockIdx.x] = m.first;
        out[4 * (int64_t)blockIdx.x + 1] = m.mean;
        out[4 * (int64_t)blockIdx.x + 2] = m.scale;
    }
}

/* Are 8 outputs of a row from a multiple of 8 on together and aligned, wherever they go? */
bool is_wide(const eet_project_args &a, int32_t y_columns) {
    const bool y = y_columns == 0 || aligned(a.y);
    const bool pages = a.to == EET_TO_Y || (a.pages.head_dim % 8 == 0 && aligned(a.pages.data));

    return a.w.n % 8 == 0 && y_columns % 8 == 0 && y && pages && aligned(a.bias) &&
           aligned(a.residual) && a.residual_norm.weight == nullptr;
}

/* x as a kernel for `dtype` takes it: in the scratch, unless it is so already. */
eet_status ready_x(eet_backend *backend, eet_project_args *a, int32_t dtype) {
    const bool rounded = a->x_dtype != dtype || (dtype != EET_F32 && !aligned(a->x));
    eet_norm_args norm = {};

    if (a->norm.weight == nullptr && !rounded) {
        return EET_OK;
    }
    norm.x = a->x;
    norm.x_dtype = a->x_dtype;
    norm.norm = a->norm;
    norm.rows = a->rows;
    norm.cols = a->w.k;
    norm.y = a->scratch;
    norm.y_dtype = dtype;
    a->x = a->scratch;
    a->x_dtype = dtype;
    return eet_norm_cuda(backend, &norm);
}

/* embed's x is f32 and has no scratch. */
bool tensor_cores(const eet_backend *backend, const eet_project_args *a) {
    return (a->x_dtype == a->w.dtype || a->scratch != nullptr) &&
           eet_gemm_mma_takes(backend, &a->w);
}

} // namespace

extern "C" int32_t eet_project_dtype(const eet_backend *backend, const eet_matrix *w) {
    return eet_gemm_mma_takes(backend, w) ? (int32_t)w->dtype : (int32_t)EET_F32;
}

extern "C" eet_status eet_project_cuda(eet_backend *backend, const eet_project_args *a) {
    if (eet_project_check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    if (a->rows < 1 || a->w.n < 1) {
        return EET_OK;
    }
    if (eet_few_takes(backend, a)) {
        return eet_project_few(backend, a, nullptr);
    }
    const on_device scope(backend);
    eet_finish f = {*a, nullptr, eet_project_y_columns(a), false};

    f.a.x_dtype = eet_activation(a->x_dtype);
    f.a.y_dtype = eet_activation(a->y_dtype);
    f.a.residual_dtype = eet_activation(a->residual_dtype);
    const bool fast = tensor_cores(backend, &f.a);
    const int32_t dtype =
        fast ? (int32_t)a->w.dtype : (a->norm.weight != nullptr ? (int32_t)EET_F32 : f.a.x_dtype);
    eet_status status = ready_x(backend, &f.a, dtype);

    if (status != EET_OK) {
        return status;
    }
    if (a->residual != nullptr && a->residual_norm.weight != nullptr) {
        float *moment = a->scratch + (int64_t)a->rows * a->w.k;

        find_moments<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(
            a->residual, f.a.residual_dtype, a->w.n, a->residual_norm.eps, moment);
        f.moment = moment;
    }
    f.wide = is_wide(f.a, f.y_columns);
    if (fast && eet_gemm_sm90_takes(backend, &a->w)) {
        status = eet_lt_multiply(backend, &f) ? EET_OK : eet_gemm_sm90(backend, &f, -1);
    } else if (fast) {
        status = eet_gemm_mma(backend, &f);
    } else {
        eet_project_plain(backend, &f);
    }
    const eet_status launched = scope.launched();

    return status != EET_OK ? status : launched;
}
