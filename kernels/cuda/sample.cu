/* sample.cu - the choice of a token and its log-probability. The largest score and the sum of all
 * e^score come from PARTS blocks a row, which a last block puts together in their order; where
 * there is more to choose than the largest, that block does it.
 *
 * Nothing is sorted. The ids in order of choice are numbers in order (the score's bits turned
 * round, then the id), so that the last id of top_k and that of top_p are found bit by bit: how
 * many ids, or how much of the mass, is before a number. Masses are integers: the order of adding
 * does not matter. Bound by the cache's bandwidth and, with top_p, by f64. */
#include "kernels/cuda/launch.cuh"

namespace {

constexpr unsigned ALL_LANES = 0xFFFFFFFF;

/* A row as it is chosen from. */
struct row_of_scores {
    const float *y; /* processed scores: no NaN */
    int32_t vocab;
    float top; /* the largest */
    const eet_sampler *how;

    __device__ uint64_t order(int32_t id) const {
        const float score = y[id] == 0.0F ? 0.0F : y[id]; /* -0 is no less than 0 */
        const uint32_t bits = eet_bits_of(score);
        const uint32_t up = bits >> 31 != 0 ? ~bits : bits | UINT32_C(0x80000000);

        return (uint64_t)~up << 32 | (uint32_t)id;
    }
    __device__ double scaled(int32_t id) const {
        return eet_scaled(y[id], top, how->temperature);
    }
};

/* Scores that differ from each other by a number, or not at all: a NaN is never chosen. */
__device__ float bounded(float score) {
    const float below = score > FLT_MAX ? FLT_MAX : score;

    return below >= -FLT_MAX ? below : -INFINITY;
}

/* Repetition penalty and minimum length. */
__device__ void process(const eet_sample_args &a, int64_t row, const eet_sampler &s, float *y) {
    const float *logits = a.logits + row * a.stride;
    const int32_t history = s.penalty != 0.0F && s.penalty != 1.0F ? s.history : 0;

    for (int32_t i = (int32_t)threadIdx.x; i < a.vocab; i += BLOCK) {
        y[i] = bounded(logits[i]);
    }
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < history; i += BLOCK) {
        const int32_t id = a.history[row * a.history_stride + i];

        y[id] = bounded(eet_penalised(logits[id], s.penalty));
    }
    __syncthreads();
    for (int32_t i = (int32_t)threadIdx.x; i < s.barred; i += BLOCK) {
        if (a.bar[i] >= 0 && a.bar[i] < a.vocab) {
            y[a.bar[i]] = -INFINITY;
        }
    }
    __syncthreads();
}

/* How many ids are before a number in order. */
__device__ uint64_t count_before(const row_of_scores &r, uint64_t number) {
    uint64_t count = 0;

    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += BLOCK) {
        count += r.order(i) < number ? 1 : 0;
    }
    return block_sum(count);
}

/* How much of the mass is before a number and not behind `last`. */
__device__ uint64_t mass_before(const row_of_scores &r, uint64_t number, uint64_t last) {
    uint64_t mass = 0;

    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += BLOCK) {
        const uint64_t order = r.order(i);

        if (order < number && order <= last) {
            mass += eet_weight(r.scaled(i));
        }
    }
    return block_sum(mass);
}

/* The largest number before which there are fewer than k ids: those up to it are the first k. */
__device__ uint64_t last_of_count(const row_of_scores &r, uint64_t k) {
    uint64_t last = 0;

    for (int bit = 63; bit >= 0; --bit) {
        const uint64_t longer = last | UINT64_C(1) << bit;

        last = count_before(r, longer) < k ? longer : last;
    }
    return last;
}

/* The largest number before which there is less than top_p's share of the mass up to `last`. */
__device__ uint64_t last_of_mass(const row_of_scores &r, uint64_t last) {
    const double share = r.how->top_p * (double)mass_before(r, UINT64_MAX, last);
    uint64_t inside = 0;

    for (int bit = 63; bit >= 0; --bit) {
        const uint64_t longer = inside | UINT64_C(1) << bit;

        inside = (double)mass_before(r, longer, last) < share ? longer : inside;
    }
    return inside < last ? inside : last;
}

/* The largest sum of scaled score and noise, among the ids up to `last`. */
__device__ int32_t draw(const row_of_scores &r, uint64_t last) {
    const eet_sampler &s = *r.how;
    choice<double> best = {0.0, -1};

    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += BLOCK) {
        if (r.order(i) <= last) {
            const choice<double> one = {r.scaled(i) + eet_noise(s.seed, s.stream, s.position, i),
                                        i};

            best = comes_before(one, best) ? one : best;
        }
    }
    return block_first(best).id;
}

__device__ int32_t choose(const eet_sample_args &a, int64_t row) {
    const eet_sampler s = a.sampler[row];
    float *y = (float *)a.scratch + row * 2 * a.vocab;
    uint64_t last = UINT64_MAX;

    process(a, row, s, y);
    const int32_t best = block_best(y, a.vocab);

    if (s.temperature == 0.0 || y[best] == -INFINITY) {
        return best;
    }
    const row_of_scores r = {y, a.vocab, y[best], &s};

    if (s.top_k > 0 && s.top_k < a.vocab) {
        last = last_of_count(r, (uint64_t)s.top_k);
    }
    if (s.top_p > 0.0 && s.top_p < 1.0) {
        last = last_of_mass(r, last);
    }
    return draw(r, last);
}

/* What a part of a row's scores comes to. */
struct part_of_row {
    choice<float> best;    /* as the scores are; id -1: all are NaN */
    choice<float> bounded; /* as they are chosen from */
    double sum;            /* of e^(score - best) */
};

/* The first in order over a warp, in every lane. */
__device__ choice<float> warp_first(choice<float> mine) {
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const choice<float> other = {__shfl_xor_sync(ALL_LANES, mine.value, apart),
                                     __shfl_xor_sync(ALL_LANES, mine.id, apart)};

        mine = comes_before(other, mine) ? other : mine;
    }
    return mine;
}

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
constexpr int LARGE_VOCAB = 1024; /* the parts find room where there is one number an id */

static_assert(PARTS == 2 * WARP, "two for each lane");
static_assert(LARGE_VOCAB * sizeof(float) >= (PARTS + 1) * sizeof(part_of_row), "room for parts");

/* Behind the scores of a row that are chosen from. */
__device__ part_of_row *parts_of(const eet_sample_args &a, int64_t row) {
    const uintptr_t end = (uintptr_t)((float *)a.scratch + row * 2 * a.vocab + a.vocab);

    return (part_of_row *)((end + alignof(part_of_row) - 1) / alignof(part_of_row) *
                           alignof(part_of_row));
}

__device__ float part_sum_of(float score, float best) {
    return best == -INFINITY && score == -INFINITY ? 0.0F : expf(score - best);
}

/* A thread's scores, whose largest is its warp's. */
__device__ part_of_row warp_scores(const float *logits, int32_t begin, int32_t end) {
    choice<float> best = {0.0F, -1};
    choice<float> chosen = {0.0F, -1};
    double sum = 0.0;

#pragma unroll 4
    for (int32_t i = begin + (int32_t)threadIdx.x; i < end; i += BLOCK) {
        const float score = logits[i];
        const choice<float> raw = {score, isnan(score) ? -1 : i};
        const choice<float> one = {bounded(score), i};

        best = comes_before(raw, best) ? raw : best;
        chosen = comes_before(one, chosen) ? one : chosen;
    }
    best = warp_first(best);
#pragma unroll 4
    for (int32_t i = begin + (int32_t)threadIdx.x; i < end; i += BLOCK) {
        sum += (double)part_sum_of(logits[i], best.value);
    }
    return {best, warp_first(chosen), warp_sum(sum)};
}

__global__ void __launch_bounds__(BLOCK) find_parts(eet_sample_args a) {
    __shared__ part_of_row parts[WARPS];
    const int64_t row = blockIdx.y;
    const int32_t each = (a.vocab + PARTS - 1) / PARTS;
    const int32_t begin = (int32_t)blockIdx.x * each;
    const int32_t end = begin + each < a.vocab ? begin + each : a.vocab;
    const int warp = (int)threadIdx.x / WARP;
    const int lane = (int)threadIdx.x % WARP;

    let_next_begin();
    wait_for_previous();
    const part_of_row mine = warp_scores(a.logits + row * a.stride, begin, end);

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

/* Is the largest bounded score all there is to choose? */
__device__ bool takes_largest(const eet_sampler &s) {
    return s.temperature == 0.0 && s.barred == 0 && (s.penalty == 0.0F || s.penalty == 1.0F);
}

__global__ void __launch_bounds__(BLOCK) sample_from_parts(eet_sample_args a) {
    const int64_t row = blockIdx.x;
    const float *logits = a.logits + row * a.stride;

    let_next_begin();
    wait_for_previous();
    const part_of_row all = all_of_row(a, row); /* what is chosen from may lie in their place now */
    int32_t token = all.best.id < 0 ? 0 : all.best.id;

    if (a.sampler != nullptr) {
        token = takes_largest(a.sampler[row]) ? all.bounded.id : choose(a, row);
    }

    if (threadIdx.x == 0) {
        a.token[row] = token;
        if (a.log_prob != nullptr) {
            a.log_prob[row] =
                (float)((double)logits[token] - (double)all.best.value - log(all.sum));
        }
    }
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
        launch_early(backend, sample_from_parts, {dim3((unsigned)a->rows), BLOCK, 0, 1}, *a);
    } else {
        sample_rows<<<(unsigned)a->rows, BLOCK, 0, backend->stream>>>(*a);
    }
    return scope.launched();
}
