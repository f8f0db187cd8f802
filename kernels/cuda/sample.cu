/* sample.cu - the choice of a token and its log-probability. A row's scores are processed in PARTS
 * blocks, each of which finds its largest, its part of the sum of all e^score, and, where all ids
 * may be drawn, its best of score and noise; a last block puts these together in their order, or
 * draws from what top_k and top_p leave (sample_select.cuh).
 *
 * Bound by the cache's bandwidth and, with top_p, by f64. */
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sample_select.cuh"
#include "kernels/shares.h"

namespace {

constexpr unsigned ALL_LANES = 0xFFFFFFFF;

/* Scores that differ from each other by a number, or not at all: a NaN is never chosen. */
__device__ float bounded(float score) {
    const float below = score > FLT_MAX ? FLT_MAX : score;

    return below >= -FLT_MAX ? below : -INFINITY;
}

/* Repetition penalty and minimum length, of the ids [begin, end). */
__device__ void process(const eet_sample_args &a, int64_t row, int32_t begin, int32_t end,
                        float *y) {
    const eet_sampler &s = a.sampler[row];
    const float *logits = a.logits + row * a.stride;
    const int32_t history = s.penalty != 0.0F && s.penalty != 1.0F ? s.history : 0;
    const int32_t step = (int32_t)blockDim.x;

    for (int32_t i = begin + (int32_t)threadIdx.x; i < end; i += step) {
        y[i] = bounded(logits[i]);
    }
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < history; i += step) {
        const int32_t id = a.history[row * a.history_stride + i];

        if (id >= begin && id < end) {
            y[id] = bounded(eet_penalised(logits[id], s.penalty));
        }
    }
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < s.barred; i += step) {
        if (a.bar[i] >= begin && a.bar[i] < end) {
            y[a.bar[i]] = -INFINITY;
        }
    }
    __syncthreads();
}

/* The first in order over a warp, in every lane. */
template <typename T> __device__ choice<T> warp_first(choice<T> mine) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const choice<T> other = {__shfl_xor_sync(ALL_LANES, mine.value, apart),
                                 __shfl_xor_sync(ALL_LANES, mine.id, apart)};

        mine = comes_before(other, mine) ? other : mine;
    }
    return mine;
}

/* The first in order over a block of any size, in every thread. */
template <typename T> __device__ choice<T> any_first(choice<T> mine) {
    __shared__ T value[MOST_WARPS];
    __shared__ int32_t id[MOST_WARPS];
    const int warps = (int)blockDim.x / WARP;

    mine = warp_first(mine);
    __syncthreads(); /* the last one's readers are done */
    if (threadIdx.x % WARP == 0) {
        value[threadIdx.x / WARP] = mine.value;
        id[threadIdx.x / WARP] = mine.id;
    }
    __syncthreads();
    mine = {value[0], id[0]};
    for (int i = 1; i < warps; ++i) {
        const choice<T> other = {value[i], id[i]};

        mine = comes_before(other, mine) ? other : mine;
    }
    return mine;
}

/* The largest sum of scaled score and noise, among the ids [begin, end) up to `last` in order. */
__device__ choice<double> draw(const row_of_scores &r, int32_t begin, int32_t end, uint64_t last) {
    const eet_sampler &s = *r.how;
    choice<double> best = {0.0, -1};

    for (int32_t i = begin + (int32_t)threadIdx.x; i < end; i += (int32_t)blockDim.x) {
        if (r.order(i) <= last) {
            const choice<double> one = {r.scaled(i) + eet_noise(s.seed, s.stream, s.position, i),
                                        i};

            best = comes_before(one, best) ? one : best;
        }
    }
    return any_first(best);
}

__device__ float *processed(const eet_sample_args &a, int64_t row) {
    return (float *)a.scratch + row * 2 * a.vocab;
}

/* What a part of a row's scores comes to. */
struct part_of_row {
    choice<float> best;    /* as the scores are; id -1: all are NaN */
    choice<float> bounded; /* as they are chosen from */
    double sum;            /* of e^(score - best) */
};

__device__ double warp_sum(double mine) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        mine += __shfl_xor_sync(ALL_LANES, mine, apart);
    }
    return mine;
}

/* The parts that a warp's lanes have as one, in every lane; one of no scores has a sum of 0. */
__device__ part_of_row warp_part(const part_of_row &mine) {
    const choice<float> best = warp_first(mine.best);
    double sum = 0.0;

    if (mine.sum != 0.0) { /* a NaN is no 0 */
        sum = mine.sum * exp((double)mine.best.value - (double)best.value);
    }
    return {best, warp_first(mine.bounded), warp_sum(sum)};
}

constexpr int PARTS = 64;
constexpr int WARPS = BLOCK / WARP;
constexpr int LAST = 1024;        /* threads of the block that draws from what is left of a row */
constexpr int LARGE_VOCAB = 1024; /* the parts find room where there is one number an id */

static_assert(PARTS == 2 * WARP, "two for each lane");
static_assert(LARGE_VOCAB * sizeof(float) >=
                  (PARTS + 1) * (sizeof(part_of_row) + sizeof(choice<double>)),
              "room for parts and what they draw");

/* Behind the scores of a row that are chosen from. */
__device__ part_of_row *parts_of(const eet_sample_args &a, int64_t row) {
    const uintptr_t end = (uintptr_t)(processed(a, row) + a.vocab);

    return (part_of_row *)((end + alignof(part_of_row) - 1) / alignof(part_of_row) *
                           alignof(part_of_row));
}

/* Each part's choice where all ids may be drawn. */
__device__ choice<double> *drawn_of(const eet_sample_args &a, int64_t row) {
    return (choice<double> *)(parts_of(a, row) + PARTS);
}

__device__ float part_sum_of(float score, float best) {
    return best == -INFINITY && score == -INFINITY ? 0.0F : expf(score - best);
}

/* Is the largest bounded score all there is to choose? */
__device__ bool takes_largest(const eet_sampler &s) {
    return s.temperature == 0.0 && s.barred == 0 && (s.penalty == 0.0F || s.penalty == 1.0F);
}

constexpr int HELD = 4; /* scores of a thread that are asked for at once */

/* The first HELD of a part's scores that are this thread's; what is not there is a NaN. */
__device__ void hold_scores(const float *scores, eet_ids mine, float (&held)[HELD]) {
#pragma unroll
    for (int j = 0; j < HELD; ++j) {
        const int32_t i = mine.begin + (int32_t)threadIdx.x + j * BLOCK;

        held[j] = i < mine.end ? scores[i] : NAN;
    }
}

/* Id -1: it is none, beyond the part's ids or as a NaN that is not bounded. */
template <bool BOUNDED> __device__ choice<float> candidate(float score, int32_t i, int32_t end) {
    const bool there = i < end && (BOUNDED || !isnan(score));

    return {BOUNDED ? bounded(score) : score, there ? i : -1};
}

/* The thread's largest score, bounded or as it is: id -1, all are NaN. */
template <bool BOUNDED>
__device__ choice<float> largest_of(const float *scores, eet_ids mine, const float (&held)[HELD]) {
    const int32_t first = mine.begin + (int32_t)threadIdx.x;
    choice<float> best = {0.0F, -1};

#pragma unroll
    for (int j = 0; j < HELD; ++j) {
        const choice<float> one = candidate<BOUNDED>(held[j], first + j * BLOCK, mine.end);

        best = comes_before(one, best) ? one : best;
    }
    for (int32_t i = first + HELD * BLOCK; i < mine.end; i += BLOCK) {
        const choice<float> one = candidate<BOUNDED>(scores[i], i, mine.end);

        best = comes_before(one, best) ? one : best;
    }
    return best;
}

/* The scores of a part as they are, and as they are chosen from, `y`, which is NULL where nobody
 * asks for that: all its ids that a warp's threads have. */
__device__ part_of_row warp_scores(const float *logits, const float *y, eet_ids mine) {
    const int32_t first = mine.begin + (int32_t)threadIdx.x;
    choice<float> chosen = {0.0F, -1};
    double sum = 0.0;
    float held[HELD];

    hold_scores(logits, mine, held);
    const choice<float> best = warp_first(largest_of<false>(logits, mine, held));

#pragma unroll
    for (int j = 0; j < HELD; ++j) {
        if (first + j * BLOCK < mine.end) {
            sum += (double)part_sum_of(held[j], best.value);
        }
    }
    for (int32_t i = first + HELD * BLOCK; i < mine.end; i += BLOCK) {
        sum += (double)part_sum_of(logits[i], best.value);
    }
    if (y != nullptr) {
        hold_scores(y, mine, held);
        chosen = warp_first(largest_of<true>(y, mine, held));
    }
    return {best, chosen, warp_sum(sum)};
}

__global__ void __launch_bounds__(BLOCK) find_parts(eet_sample_args a) {
    __shared__ part_of_row parts[WARPS];
    const int64_t row = blockIdx.y;
    const eet_ids range = eet_ids_of_part(a.vocab, (int)blockIdx.x, PARTS);
    const float *logits = a.logits + row * a.stride;
    const float *y = nullptr;
    const int warp = (int)threadIdx.x / WARP;
    const int lane = (int)threadIdx.x % WARP;

    let_next_begin();
    wait_for_previous();
    if (a.sampler != nullptr && takes_largest(a.sampler[row])) {
        y = logits;
    } else if (a.sampler != nullptr) {
        process(a, row, range.begin, range.end, processed(a, row));
        y = processed(a, row);
    }
    const part_of_row mine = warp_scores(logits, y, range);

    if (lane == 0) {
        parts[warp] = mine;
    }
    __syncthreads();
    if (warp == 0) {
        part_of_row one = {{0.0F, -1}, {0.0F, -1}, 0.0};

        if (lane < WARPS) {
            one = parts[lane];
        }
        const part_of_row all = warp_part(one);

        if (lane == 0) {
            parts_of(a, row)[blockIdx.x] = all;
        }
    }
}

/* Two parts as one. */
__device__ part_of_row both_of(const part_of_row &x, const part_of_row &y) {
    const choice<float> best = comes_before(y.best, x.best) ? y.best : x.best;
    double sum = 0.0;

    if (x.sum != 0.0) {
        sum = x.sum * exp((double)x.best.value - (double)best.value);
    }
    if (y.sum != 0.0) {
        sum += y.sum * exp((double)y.best.value - (double)best.value);
    }
    return {best, comes_before(y.bounded, x.bounded) ? y.bounded : x.bounded, sum};
}

/* The parts of a row as one, in every thread. */
__device__ part_of_row all_of_row(const eet_sample_args &a, int64_t row) {
    __shared__ part_of_row all;
    const part_of_row *parts = parts_of(a, row);
    const int i = (int)threadIdx.x;

    if (i < WARP) {
        const part_of_row one = warp_part(both_of(parts[i], parts[i + WARP]));

        if (i == 0) {
            all = one;
        }
    }
    __syncthreads();
    return all;
}

/* Is there more to choose than the largest? */
__device__ bool draws(const eet_sampler &s, choice<float> largest) {
    return s.temperature != 0.0 && largest.value != -INFINITY;
}

/* Each part's best where all ids may be drawn. */
__global__ void __launch_bounds__(BLOCK) draw_parts(eet_sample_args a) {
    const int64_t row = blockIdx.y;

    let_next_begin();
    wait_for_previous();
    const eet_sampler *how = &a.sampler[row];

    if (how->temperature == 0.0 || selects(*how, a.vocab)) {
        return;
    }
    const choice<float> largest = all_of_row(a, row).bounded;

    if (draws(*how, largest)) {
        const eet_ids mine = eet_ids_of_part(a.vocab, (int)blockIdx.x, PARTS);
        const row_of_scores r = {processed(a, row), a.vocab, largest.value, how};
        const choice<double> drawn = draw(r, mine.begin, mine.end, UINT64_MAX);

        if (threadIdx.x == 0) {
            drawn_of(a, row)[blockIdx.x] = drawn;
        }
    }
}

/* The choice of a row whose parts are there. */
__device__ int32_t choose_of_parts(const eet_sample_args &a, int64_t row, choice<float> largest) {
    const eet_sampler *how = &a.sampler[row];

    if (!draws(*how, largest)) {
        return largest.id;
    }
    const row_of_scores r = {processed(a, row), a.vocab, largest.value, how};

    if (selects(*how, a.vocab)) {
        return draw(r, 0, a.vocab, select(r)).id;
    }
    const choice<double> none = {0.0, -1};

    return any_first((int)threadIdx.x < PARTS ? drawn_of(a, row)[threadIdx.x] : none).id;
}

__device__ void write_choice(const eet_sample_args &a, int64_t row, int32_t token,
                             const part_of_row &all) {
    if (threadIdx.x == 0) {
        a.token[row] = token;
        if (a.log_prob != nullptr) {
            a.log_prob[row] = (float)((double)a.logits[row * a.stride + token] -
                                      (double)all.best.value - log(all.sum));
        }
    }
}

__global__ void __launch_bounds__(BLOCK) take_largest(eet_sample_args a) {
    const int64_t row = blockIdx.x;

    let_next_begin();
    wait_for_previous();
    const part_of_row all = all_of_row(a, row);

    write_choice(a, row, all.best.id < 0 ? 0 : all.best.id, all);
}

__global__ void __launch_bounds__(LAST) sample_from_parts(eet_sample_args a) {
    const int64_t row = blockIdx.x;

    let_next_begin();
    wait_for_previous();
    const part_of_row all = all_of_row(a, row);

    write_choice(a, row, choose_of_parts(a, row, all.bounded), all);
}

/* The choice of a row of few ids. */
__device__ int32_t choose(const eet_sample_args &a, int64_t row) {
    const eet_sampler *how = &a.sampler[row];
    float *y = processed(a, row);

    process(a, row, 0, a.vocab, y);
    const int32_t best = block_best(y, a.vocab);

    if (!draws(*how, {y[best], best})) {
        return best;
    }
    const row_of_scores r = {y, a.vocab, y[best], how};

    return draw(r, 0, a.vocab, select(r)).id;
}

__global__ void __launch_bounds__(BLOCK) sample_rows(eet_sample_args a) {
    const int64_t row = blockIdx.x;
    const float *logits = a.logits + row * a.stride;
    const int32_t best = block_best(logits, a.vocab);
    const int32_t token = a.sampler != nullptr ? choose(a, row) : best;

    if (a.log_prob != nullptr) {
        const float top = logits[best];
        const double parts = block_log_parts(logits, a.vocab, top);

        if (threadIdx.x == 0) {
            a.log_prob[row] = (float)((double)logits[token] - (double)top - parts);
        }
    }
    if (threadIdx.x == 0) {
        a.token[row] = token;
    }
}

} // namespace

extern "C" eet_status eet_sample_cuda(eet_backend *backend, const eet_sample_args *a) {
    if (a->rows < 1) {
        return EET_OK;
    }
    const on_device scope(backend);

    if (a->scratch != nullptr && a->vocab >= LARGE_VOCAB) {
        launch_early(backend, find_parts, {dim3(PARTS, (unsigned)a->rows), BLOCK, 0, 1}, *a);
        if (a->sampler == nullptr) {
            launch_early(backend, take_largest, {dim3((unsigned)a->rows), BLOCK, 0, 1}, *a);
            return scope.launched();
        }
        launch_early(backend, draw_parts, {dim3(PARTS, (unsigned)a->rows), BLOCK, 0, 1}, *a);
        launch_early(backend, sample_from_parts, {dim3((unsigned)a->rows), LAST, 0, 1}, *a);
    } else {
        sample_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    }
    return scope.launched();
}
