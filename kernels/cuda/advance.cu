/* advance.cu - the end of a step, for rows that go on without the host: a thread a row, in one
 * block. What the host is to know goes to memory that it shares, its number last.
 *
 * Bound by latency: some words a row. */
#include "kernels/advance.h"
#include "kernels/cuda/common.cuh"

namespace {

/* What other threads of the block have written, seen by them at a barrier before, goes ahead. */
__device__ void store_for_host(uint64_t *word, uint64_t number) {
    __threadfence_system();
    *(volatile uint64_t *)word = number;
}

__global__ void __launch_bounds__(EET_FEW_TOKENS) advance_rows(eet_advance_args a) {
    const int32_t row = (int32_t)threadIdx.x;
    eet_step_end *end = eet_advance_end(&a);

    if (row < a.rows) {
        const bool cancelled = eet_advance_is_cancelled(&a); /* on its way beside all else */
        const eet_chosen chosen = eet_advance_row(&a, row);

        *(int4 *)&end->row[row] =
            make_int4(chosen.token, chosen.ending, __float_as_int(chosen.log_prob), 0);
        __threadfence_system();
        if (cancelled) {
            eet_advance_to_nobody(&a, row);
        }
    }
    __syncthreads();
    if (row == 0) {
        a.rules->steps += 1;
        store_for_host(&end->number, a.rules->steps);
    }
}

} // namespace

extern "C" eet_status eet_advance_cuda(eet_backend *backend, const eet_advance_args *a) {
    if (a->rows > EET_FEW_TOKENS) {
        return EET_E_UNSUPPORTED;
    }
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    advance_rows<<<1, EET_FEW_TOKENS, 0, backend->stream>>>(*a);
    return scope.launched();
}
