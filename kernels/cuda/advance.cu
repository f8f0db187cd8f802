/* advance.cu - the end of a step, for rows that go on without the host: a thread a row, in one
 * block. What the host is to know goes to memory that it shares, its number last.
 *
 * Bound by latency: some words a row, of which all but the choice are read while sample's kernels
 * still run, for only the last advance wrote them, or the host. */
#include "kernels/advance.h"
#include "kernels/cuda/launch.cuh"

namespace {

/* Comes into the multiprocessor's cache. */
template <typename T> __device__ T fetched(const T *p) {
    const T x = *p;

    asm volatile("" ::"r"((int32_t)x));
    return x;
}

/* What eet_advance_row is going to read of a row, but for its choice. */
__device__ void fetch_row(const eet_advance_args &a, int32_t row) {
    const int32_t page = fetched(&a.going[row].length) / EET_PAGE_TOKENS;
    const int32_t there = page < a.table_stride ? page : a.table_stride - 1; /* a row at its end */

    (void)fetched(&a.page_table[(int64_t)row * a.table_stride + there]);
    (void)fetched(&a.rules->eos);
    if (fetched(&a.rules->stops) + fetched(&a.rules->bars) > 0) {
        (void)fetched(a.bar);
    }
}

__global__ void __launch_bounds__(EET_FEW_TOKENS)
    advance_rows(const __grid_constant__ eet_advance_args a) {
    const int32_t row = (int32_t)threadIdx.x;
    eet_step_end *end = eet_advance_end(&a);
    const uint64_t number = a.rules->steps + 1;
    bool cancelled = false;

    if (row < a.rows) {
        cancelled = eet_advance_is_cancelled(&a);
        fetch_row(a, row);
    }
    wait_for_previous();
    if (row < a.rows) {
        const eet_chosen chosen = eet_advance_row(&a, row);

        *(int4 *)&end->row[row] =
            make_int4(chosen.token, chosen.ending, __float_as_int(chosen.log_prob), 0);
        if (cancelled) {
            eet_advance_to_nobody(&a, row);
        }
    }
    __syncthreads();
    if (row == 0) {
        a.rules->steps = number;
        __threadfence_system(); /* for what the others have written before the barrier too */
        *(volatile uint64_t *)&end->number = number;
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

    launch_early(backend, advance_rows, {dim3(1), EET_FEW_TOKENS, 0, 1}, *a);
    return scope.launched();
}
