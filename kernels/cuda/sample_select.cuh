/* sample_select.cuh - which of a row's ids top_k and top_p leave.
 *
 * Nothing is sorted. The ids in order of choice are numbers in order (the score's bits turned
 * round, then the id). A block counts ids, or their masses, in bins of equal width below the
 * largest score; the bin where enough is before is looked through one id against all others.
 * Where a bin has more ids than that, the last one is found bit by bit: how many ids, or how much
 * of the mass, is before a number. Masses are integers: the order of adding does not matter. */
#ifndef EET_KERNELS_CUDA_SAMPLE_SELECT_CUH
#define EET_KERNELS_CUDA_SAMPLE_SELECT_CUH

#include "kernels/cuda/common.cuh"

namespace {

using word = unsigned long long; /* of atomics: what uint64_t is in another name */

constexpr int BINS = 2048;
constexpr int LIST = 1024; /* ids of a bin that is looked through */
constexpr int MOST_WARPS = 32;

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
    __device__ uint64_t weight(int32_t id) const {
        return eet_weight(scaled(id));
    }
    /* Larger scores are in no later bin; masses of any temperature and scores of a common spread
     * are in bins of their own. */
    __device__ int bin(int32_t id) const {
        const float below = top - y[id];
        const float width = fmaxf((float)(64.0 / how->temperature), 32.0F);

        return below == 0.0F ? 0 : (int)fminf(below * width, (float)(BINS - 1));
    }
};

struct selection {
    word mass[BINS];
    uint32_t count[BINS];
    word key[LIST], weight[LIST];
    word part[MOST_WARPS];
    word before, found; /* of the bin; the last id's number */
    int bin, listed;
};

/* The sum of what the block's threads before this one have, and of all. */
__device__ word sum_before(selection &s, word mine, word &all) {
    const int lane = (int)threadIdx.x % WARP;
    const int warps = (int)blockDim.x / WARP;
    word sum = mine;

    for (int step = 1; step < WARP; step *= 2) {
        const word other = __shfl_up_sync(0xFFFFFFFFU, sum, step);

        sum += lane >= step ? other : 0;
    }
    __syncthreads(); /* the last one's readers are done */
    if (lane == WARP - 1) {
        s.part[threadIdx.x / WARP] = sum;
    }
    __syncthreads();
    word before = sum - mine;

    all = 0;
    for (int i = 0; i < warps; ++i) {
        before += i < (int)threadIdx.x / WARP ? s.part[i] : 0;
        all += s.part[i];
    }
    return before;
}

__device__ void clear(selection &s) {
    __syncthreads();
    for (int i = (int)threadIdx.x; i < BINS; i += (int)blockDim.x) {
        s.count[i] = 0;
        s.mass[i] = 0;
    }
    if (threadIdx.x == 0) {
        s.bin = 0;
        s.listed = 0;
        s.found = 0;
    }
    __syncthreads();
}

/* The ids of the bin that are not behind `last`, with their masses where they count. */
__device__ void list_bin(selection &s, const row_of_scores &r, uint64_t last, bool masses) {
    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += (int32_t)blockDim.x) {
        const uint64_t order = r.order(i);

        if (order <= last && r.bin(i) == s.bin) {
            const int at = atomicAdd(&s.listed, 1);

            s.key[at] = order;
            s.weight[at] = masses ? r.weight(i) : 1;
        }
    }
    __syncthreads();
}

/* How much of the list is before one of it. */
__device__ word listed_before(const selection &s, int at) {
    word before = 0;

    for (int i = 0; i < s.listed; ++i) {
        before += s.key[i] < s.key[at] ? s.weight[i] : 0;
    }
    return before;
}

/* ---- bit by bit --------------------------------------------------------- */

/* How much is before a number and not behind `last`. */
__device__ word all_before(selection &s, const row_of_scores &r, uint64_t number, uint64_t last,
                           bool masses) {
    word mine = 0;
    word all = 0;

    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += (int32_t)blockDim.x) {
        const uint64_t order = r.order(i);

        if (order < number && order <= last) {
            mine += masses ? r.weight(i) : 1;
        }
    }
    (void)sum_before(s, mine, all);
    return all;
}

/* The largest number before which there are fewer than k ids. */
__device__ uint64_t last_of_count_by_bits(selection &s, const row_of_scores &r, uint64_t k) {
    uint64_t last = 0;

    for (int bit = 63; bit >= 0; --bit) {
        const uint64_t longer = last | UINT64_C(1) << bit;

        last = all_before(s, r, longer, UINT64_MAX, false) < k ? longer : last;
    }
    return last;
}

/* The largest number before which there is less than a share of the mass up to `last`. */
__device__ uint64_t last_of_mass_by_bits(selection &s, const row_of_scores &r, uint64_t last,
                                         double share) {
    uint64_t inside = 0;

    for (int bit = 63; bit >= 0; --bit) {
        const uint64_t longer = inside | UINT64_C(1) << bit;

        inside = (double)all_before(s, r, longer, last, true) < share ? longer : inside;
    }
    return inside < last ? inside : last;
}

/* ---- by bins ------------------------------------------------------------ */

/* The number of the k-th id. */
__device__ uint64_t last_of_count(selection &s, const row_of_scores &r, uint64_t k) {
    const int each = BINS / (int)blockDim.x;
    const int first = (int)threadIdx.x * each;
    word mine = 0;
    word all = 0;

    clear(s);
    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += (int32_t)blockDim.x) {
        (void)atomicAdd(&s.count[r.bin(i)], 1U);
    }
    __syncthreads();
    for (int b = first; b < first + each; ++b) {
        mine += s.count[b];
    }
    word before = sum_before(s, mine, all);

    for (int b = first; b < first + each; ++b) {
        if (before < k && k <= before + s.count[b]) {
            s.bin = b;
            s.before = before;
        }
        before += s.count[b];
    }
    __syncthreads();
    if (s.count[s.bin] > LIST) {
        return last_of_count_by_bits(s, r, k);
    }
    list_bin(s, r, UINT64_MAX, false);
    for (int at = (int)threadIdx.x; at < s.listed; at += (int)blockDim.x) {
        if (s.before + listed_before(s, at) == k - 1) {
            s.found = s.key[at];
        }
    }
    __syncthreads();
    return s.found;
}

/* Of the ids up to `last`, the number of the last before which less than top_p of their mass is. */
__device__ uint64_t last_of_mass(selection &s, const row_of_scores &r, uint64_t last) {
    const int each = BINS / (int)blockDim.x;
    const int first = (int)threadIdx.x * each;
    word mine = 0;
    word all = 0;

    clear(s);
    for (int32_t i = (int32_t)threadIdx.x; i < r.vocab; i += (int32_t)blockDim.x) {
        if (r.order(i) <= last) {
            const int bin = r.bin(i);

            (void)atomicAdd(&s.count[bin], 1U);
            (void)atomicAdd(&s.mass[bin], (word)r.weight(i));
        }
    }
    __syncthreads();
    for (int b = first; b < first + each; ++b) {
        mine += s.mass[b];
    }
    const word before = sum_before(s, mine, all);
    const double share = r.how->top_p * (double)all;
    word so_far = before;

    for (int b = first; b < first + each; ++b) {
        if (s.count[b] > 0 && (double)so_far < share) {
            (void)atomicMax(&s.bin, b);
        }
        so_far += s.mass[b];
    }
    __syncthreads();
    if (s.count[s.bin] > LIST) {
        return last_of_mass_by_bits(s, r, last, share);
    }
    so_far = before;
    for (int b = first; b < first + each; ++b) {
        if (b == s.bin) {
            s.before = so_far;
        }
        so_far += s.mass[b];
    }
    list_bin(s, r, last, true);
    for (int at = (int)threadIdx.x; at < s.listed; at += (int)blockDim.x) {
        if ((double)(s.before + listed_before(s, at)) < share) {
            (void)atomicMax(&s.found, s.key[at]);
        }
    }
    __syncthreads();
    return s.found;
}

__device__ bool selects(const eet_sampler &s, int32_t vocab) {
    return (s.top_k > 0 && s.top_k < vocab) || (s.top_p > 0.0 && s.top_p < 1.0);
}

/* The number of the last id that is left. */
__device__ uint64_t select(const row_of_scores &r) {
    __shared__ selection s;
    uint64_t last = UINT64_MAX;

    if (r.how->top_k > 0 && r.how->top_k < r.vocab) {
        last = last_of_count(s, r, (uint64_t)r.how->top_k);
    }
    if (r.how->top_p > 0.0 && r.how->top_p < 1.0) {
        last = last_of_mass(s, r, last);
    }
    return last;
}

} // namespace

#endif
