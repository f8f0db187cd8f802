/* beam.cu - the tokens that a beam may go on with: one block a row.
 *
 * The row's logits become log-probabilities in place, which are never above zero: a sign turned
 * round marks an id with a penalty, a NaN one without a chance. Then each of the best is looked
 * for behind the one before it. Bound by memory, from the second pass on by that of the cache. */
#include "kernels/cuda/common.cuh"

namespace {

__device__ void to_log_probs(const eet_beam_args &a, float *row) {
    const float top = row[block_best(row, a.vocab)];
    const double log_sum = (double)top + block_log_parts(row, a.vocab, top);

    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < a.vocab; i += BLOCK) {
        row[i] = copysignf((float)((double)row[i] - log_sum), -1.0F);
    }
}

/* The same id twice is marked twice, and is as it was after once. */
__device__ void mark(const eet_beam_args &a, int64_t at, float *row) {
    const bool penalised = a.penalty != 0.0F && a.penalty != 1.0F;
    const int32_t history = penalised ? a.history_length[at] : 0;

    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < history; i += BLOCK) {
        const int32_t id = a.history[at * a.history_stride + i];

        row[id] = copysignf(row[id], 1.0F);
    }
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < a.barred; i += BLOCK) {
        if (a.bar[i] >= 0 && a.bar[i] < a.vocab) {
            row[a.bar[i]] = NAN;
        }
    }
    __syncthreads();
}

__device__ float log_prob_of(float marked) {
    return 0.0F - fabsf(marked);
}

__device__ float score_of(float marked, float penalty) {
    const float log_prob = log_prob_of(marked);

    return signbit(marked) ? log_prob : eet_penalised(log_prob, penalty);
}

__device__ choice<float> next_of(const eet_beam_args &a, const float *row, choice<float> after) {
    choice<float> next = {0.0F, -1};

    for (int32_t i = (int32_t)threadIdx.x; i < a.vocab; i += BLOCK) {
        const choice<float> one = {score_of(row[i], a.penalty), i};

        if (one.value > -INFINITY && (after.id < 0 || comes_before(after, one)) &&
            comes_before(one, next)) {
            next = one;
        }
    }
    return block_first(next);
}

__global__ void __launch_bounds__(BLOCK) beam_rows(eet_beam_args a) {
    const int64_t at = blockIdx.x;
    float *row = a.logits + at * a.stride;
    choice<float> last = {0.0F, -1};

    to_log_probs(a, row);
    mark(a, at, row);
    for (int32_t i = 0; i < a.count; ++i) {
        const bool is_over = i > 0 && last.id < 0;

        if (!is_over) {
            last = next_of(a, row, last);
        }
        if (threadIdx.x == 0) {
            const int64_t to = at * a.count + i;

            a.token[to] = last.id;
            a.score[to] = last.id < 0 ? -INFINITY : last.value;
            a.log_prob[to] = last.id < 0 ? -INFINITY : log_prob_of(row[last.id]);
        }
    }
}

} // namespace

extern "C" eet_status eet_beam_cuda(eet_backend *backend, const eet_beam_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    beam_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    return scope.launched();
}
