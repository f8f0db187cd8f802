/* logprob.cu - log-probabilities of given ids and of the likeliest: one block a row.
 *
 * A row is read once for its maximum, once for its sum and once for each of the likeliest: bound by
 * memory, from the second time on by that of the cache. */
#include "kernels/cuda/common.cuh"

namespace {

/* The first column in order behind `after` (id -1: the very first); a NaN counts as -inf. */
__device__ choice<float> next_of(const float *logits, int32_t vocab, choice<float> after) {
    choice<float> next = {0.0F, -1};

    for (int32_t i = (int32_t)threadIdx.x; i < vocab; i += BLOCK) {
        const choice<float> one = {isnan(logits[i]) ? -INFINITY : logits[i], i};

        if ((after.id < 0 || comes_before(after, one)) && comes_before(one, next)) {
            next = one;
        }
    }
    return block_first(next);
}

__global__ void __launch_bounds__(BLOCK) logprob_rows(eet_logprob_args a) {
    const int64_t row = blockIdx.x;
    const float *logits = a.logits + row * a.stride;
    const float top = logits[block_best(logits, a.vocab)];
    const double parts = block_log_parts(logits, a.vocab, top);
    choice<float> last = {0.0F, -1};

    if (a.target != nullptr && threadIdx.x == 0) {
        a.log_prob[row] = (float)((double)logits[a.target[row]] - (double)top - parts);
    }
    for (int32_t i = 0; i < a.top; ++i) {
        last = next_of(logits, a.vocab, last);
        if (threadIdx.x == 0) {
            a.top_token[row * a.top + i] = last.id;
            a.top_log_prob[row * a.top + i] =
                (float)((double)logits[last.id] - (double)top - parts);
        }
    }
}

} // namespace

extern "C" eet_status eet_logprob_cuda(eet_backend *backend, const eet_logprob_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    logprob_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    return scope.launched();
}
