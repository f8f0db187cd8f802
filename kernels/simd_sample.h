/* simd_sample.h - choosing tokens: by selection instead of sorting, and with noise only for ids
 * that it could help. What comes out is the reference's choice, to the bit. */
#ifndef EET_KERNELS_SIMD_SAMPLE_H
#define EET_KERNELS_SIMD_SAMPLE_H

#include <math.h>
#include <stddef.h>

#include "kernels/random.h"
#include "kernels/simd_logprob.h"

enum {
    LISTED_AT_MOST = 256, /* more of the largest are found by digits, not in a heap */
    DIGIT_VALUES = 2048,
    TAKEN_AT_ONCE = 64
};

/* ---- a bound instead of an order ---------------------------------------- */

/* Larger for larger scores; -0 is 0. */
static inline uint32_t key_of(float score) {
    const float plain = score + 0.0F;
    uint32_t bits = 0;

    memcpy(&bits, &plain, sizeof bits);
    return bits >> 31 != 0 ? ~bits : bits | UINT32_C(0x80000000);
}

static inline float score_of(uint32_t key) {
    const uint32_t bits = key >> 31 != 0 ? key & UINT32_C(0x7FFFFFFF) : ~key;
    float score = 0.0F;

    memcpy(&score, &bits, sizeof score);
    return score;
}

/* A row that is chosen from: ids whose y is at least `low`. */
typedef struct choice_row {
    float *y;
    int32_t vocab;
    float top, low;
    const eet_sampler *sampler;
} choice_row;

/* The masses of ids [first, first + count): 0 for those that are out. Doubles throughout, so
 * that it turns into vectors. */
static inline void weigh_ids(const choice_row *r, int32_t first, int32_t count, uint64_t *mass) {
    const double temperature = r->sampler->temperature;
    const double top = (double)r->top;
    const double low = (double)r->low;
    double z[TAKEN_AT_ONCE];

    for (int32_t i = 0; i < count; ++i) {
        const double y = (double)r->y[first + i];
        const double scaled = (y - top) / temperature;

        z[i] = y < low ? -1e3 : scaled;
    }
    for (int32_t i = 0; i < count; ++i) {
        mass[i] = eet_weight(z[i]);
    }
}

static inline uint64_t mass_of_all(const choice_row *r) {
    uint64_t mass[TAKEN_AT_ONCE];
    uint64_t total = 0;

    for (int32_t first = 0; first < r->vocab; first += TAKEN_AT_ONCE) {
        const int32_t left = r->vocab - first;
        const int32_t count = left < TAKEN_AT_ONCE ? left : TAKEN_AT_ONCE;

        weigh_ids(r, first, count, mass);
        for (int32_t i = 0; i < count; ++i) {
            total += mass[i];
        }
    }
    return total;
}

/* What ids [first, first + count) count when their key begins with `prefix`, above `shift`. */
static inline void sum_some(const choice_row *r, bool by_mass, int32_t shift, uint64_t prefix,
                            int32_t first, int32_t count, uint64_t *sums) {
    uint64_t mass[TAKEN_AT_ONCE];
    uint32_t key[TAKEN_AT_ONCE];
    uint32_t here = 0;

    for (int32_t i = 0; i < count; ++i) {
        key[i] = key_of(r->y[first + i]);
        here |= (uint64_t)key[i] >> shift >> 11 == prefix ? 1 : 0;
    }
    if (here == 0) {
        return;
    }
    if (by_mass) {
        weigh_ids(r, first, count, mass);
    }
    for (int32_t i = 0; i < count; ++i) {
        if ((uint64_t)key[i] >> shift >> 11 == prefix) {
            sums[key[i] >> shift & (DIGIT_VALUES - 1)] += by_mass ? mass[i] : 1;
        }
    }
}

/* Sums by the digit of the key at `shift`, of ids whose higher digits are `prefix`. */
static inline void sum_digits(const choice_row *r, bool by_mass, int32_t shift, uint64_t prefix,
                              uint64_t sums[DIGIT_VALUES]) {
    memset(sums, 0, sizeof *sums * DIGIT_VALUES);
    for (int32_t first = 0; first < r->vocab; first += TAKEN_AT_ONCE) {
        const int32_t left = r->vocab - first;

        sum_some(r, by_mass, shift, prefix, first, left < TAKEN_AT_ONCE ? left : TAKEN_AT_ONCE,
                 sums);
    }
}

/* Of the ids with the bound's own score the first ones stay: those with less than `limit`
 * before them. */
static inline void trim_ties(const choice_row *r, uint64_t before, uint64_t share, double limit) {
    for (int32_t i = 0; i < r->vocab; ++i) {
        if (r->y[i] == r->low) {
            if ((double)before >= limit) {
                r->y[i] = -__builtin_inff();
            }
            before += share;
        }
    }
}

/* Keeps the ids in order while less than `limit` is before them. Digit after digit of the key:
 * no id is sorted. */
static inline void keep_until(choice_row *r, bool by_mass, double limit) {
    static const int32_t shifts[] = {22, 11, 0};
    uint64_t sums[DIGIT_VALUES];
    uint64_t before = 0;
    uint64_t prefix = 0;

    for (int32_t level = 0; level < 3; ++level) {
        int32_t digit = DIGIT_VALUES - 1;

        sum_digits(r, by_mass, shifts[level], prefix, sums);
        while (digit > 0 && (double)(before + sums[digit]) < limit) {
            before += sums[digit--];
        }
        prefix = prefix << 11 | (uint64_t)digit;
    }
    r->low = score_of((uint32_t)prefix);
    const double z = eet_scaled(r->low, r->top, r->sampler->temperature);

    trim_ties(r, before, by_mass ? eet_weight(z) : 1, limit);
}

/* ---- the draw ----------------------------------------------------------- */

typedef struct leader {
    double sum;
    int32_t id;
} leader;

static inline void challenge(leader *best, double sum, int32_t id) {
    if (sum > best->sum || (sum == best->sum && id < best->id)) {
        best->sum = sum;
        best->id = id;
    }
}

/* The first two words of Philox for ids [first, first + TAKEN_AT_ONCE). A word is the lower half
 * of a lane; what is above it does not matter. Groups of lanes go side by side: a product takes
 * longer than it keeps others waiting. */
static inline void draw_words(const eet_sampler *s, int32_t first, uint32_t high[TAKEN_AT_ONCE],
                              uint32_t low[TAKEN_AT_ONCE]) {
    enum { GROUPS = 2 };
    const wide m0 = wide_all(EET_PHILOX_M0);
    const wide m1 = wide_all(EET_PHILOX_M1);
    uint64_t words[2][TAKEN_AT_ONCE];

    for (int32_t i = 0; i < TAKEN_AT_ONCE; i += GROUPS * WIDE_LANES) {
        wide x[GROUPS][4];
        uint32_t key0 = (uint32_t)s->seed;
        uint32_t key1 = (uint32_t)(s->seed >> 32);

        for (int32_t g = 0; g < GROUPS; ++g) {
            x[g][0] = wide_all(s->stream);
            x[g][1] = wide_all(s->stream >> 32);
            x[g][2] = wide_all((uint32_t)s->position);
            x[g][3] = wide_from((uint64_t)first + (uint64_t)(i + g * WIDE_LANES));
        }
        for (int32_t round = 0; round < EET_PHILOX_ROUNDS; ++round) {
            for (int32_t g = 0; g < GROUPS; ++g) {
                const wide a = wide_mul(x[g][0], m0);
                const wide b = wide_mul(x[g][2], m1);

                x[g][0] = wide_xor(wide_xor(wide_high(b), x[g][1]), wide_all(key0));
                x[g][1] = b;
                x[g][2] = wide_xor(wide_xor(wide_high(a), x[g][3]), wide_all(key1));
                x[g][3] = a;
            }
            key0 += EET_PHILOX_W0;
            key1 += EET_PHILOX_W1;
        }
        for (int32_t g = 0; g < GROUPS; ++g) {
            wide_store(words[0] + i + (ptrdiff_t)g * WIDE_LANES, x[g][0]);
            wide_store(words[1] + i + (ptrdiff_t)g * WIDE_LANES, x[g][1]);
        }
    }
    for (int32_t i = 0; i < TAKEN_AT_ONCE; ++i) {
        high[i] = (uint32_t)words[0][i];
        low[i] = (uint32_t)words[1][i];
    }
}

/* Noise is at most -ln(1 - u), and 1 - u at least 2^-32 of the word's complement: a bound in
 * whole powers of 2, for less than a logarithm. */
static inline float noise_bound(uint32_t high) {
    const float rest = (float)(int32_t)((~high & UINT32_C(0xFFFFFF00)) >> 1);
    int32_t bits = 0;

    memcpy(&bits, &rest, sizeof bits);
    return (float)(31 - ((bits >> 23) - 127)) * 0.693147182F;
}

/* Does any of a block's ids at least reach `goal`? `hope` tells which could. */
static inline bool may_reach(const choice_row *r, int32_t first, const uint32_t *high, float goal,
                             float *hope) {
    const float scale = (float)(1.0 / r->sampler->temperature);
    int32_t reached = 0;

    for (int32_t i = 0; i < TAKEN_AT_ONCE; ++i) {
        const float y = r->y[first + i];
        const float scaled = y < r->low ? -__builtin_inff() : (y - r->top) * scale;

        hope[i] = scaled + noise_bound(high[i]);
        reached |= hope[i] < goal ? 0 : 1; /* 0 * infinity counts */
    }
    return reached != 0;
}

static inline double sum_at(const choice_row *r, int32_t id, uint32_t high, uint32_t low) {
    return eet_scaled(r->y[id], r->top, r->sampler->temperature) +
           eet_gumbel(eet_uniform(high, low));
}

static inline void draw_block(const choice_row *r, int32_t first, leader *best) {
    const float goal = (float)(best->sum - 1e-3); /* far more than the bound's rounding */
    uint32_t high[TAKEN_AT_ONCE];
    uint32_t low[TAKEN_AT_ONCE];
    float hope[TAKEN_AT_ONCE];

    draw_words(r->sampler, first, high, low);
    if (!may_reach(r, first, high, goal, hope)) {
        return;
    }
    for (int32_t i = 0; i < TAKEN_AT_ONCE; ++i) {
        if (!(hope[i] < goal) && r->y[first + i] >= r->low) {
            challenge(best, sum_at(r, first + i, high[i], low[i]), first + i);
        }
    }
}

static inline bool is_block_empty(const choice_row *r, int32_t first) {
    uint32_t kept = 0;

    for (int32_t i = 0; i < TAKEN_AT_ONCE; i += LANES) {
        kept |= vec_bits(vec_below(vec_load(r->y + first + i), vec_all(r->low))) ^
                vec_bits(vec_equal(vec_zero(), vec_zero()));
    }
    return kept == 0;
}

static inline int32_t draw_among(const choice_row *r) {
    const eet_sampler *s = r->sampler;
    const int32_t top = place_of(r->y, r->vocab, r->top);
    leader best = {.sum = eet_noise(s->seed, s->stream, s->position, top), .id = top};
    int32_t i = 0;

    for (; i + TAKEN_AT_ONCE <= r->vocab; i += TAKEN_AT_ONCE) {
        if (!is_block_empty(r, i)) {
            draw_block(r, i, &best);
        }
    }
    for (; i < r->vocab; ++i) {
        if (r->y[i] >= r->low) {
            challenge(&best,
                      eet_scaled(r->y[i], r->top, s->temperature) +
                          eet_noise(s->seed, s->stream, s->position, i),
                      i);
        }
    }
    return best.id;
}

/* From ids in order, as far as less than `limit` of mass is before them. False: they are not
 * that many. */
static inline bool draw_ranked(const choice_row *r, const shortlist *ranks, double limit,
                               int32_t *choice) {
    const eet_sampler *s = r->sampler;
    leader best = {.sum = -__builtin_inf(), .id = ranks->id[0]};
    uint64_t before = 0;

    for (int32_t i = 0; i < ranks->count && (double)before < limit; ++i) {
        const double z = eet_scaled(ranks->score[i], r->top, s->temperature);

        before += eet_weight(z);
        challenge(&best, z + eet_noise(s->seed, s->stream, s->position, ranks->id[i]),
                  ranks->id[i]);
    }
    *choice = best.id;
    return (double)before >= limit;
}

/* From the top_k first ones, with top_p among them. */
static inline int32_t draw_listed(const choice_row *r, double top_p) {
    float score[LISTED_AT_MOST];
    int32_t id[LISTED_AT_MOST];
    const shortlist ranks = {.score = score, .id = id, .count = r->sampler->top_k};
    uint64_t total = 0;
    int32_t choice = 0;

    rank_largest(r->y, r->vocab, &ranks);
    for (int32_t i = 0; i < ranks.count; ++i) {
        total += eet_weight(eet_scaled(score[i], r->top, r->sampler->temperature));
    }
    (void)draw_ranked(r, &ranks, top_p * (double)total, &choice);
    return choice;
}

/* With top_p among all: most often few of them have that mass. */
static inline int32_t draw_by_mass(choice_row *r) {
    const double limit = r->sampler->top_p * (double)mass_of_all(r);
    float score[LISTED_AT_MOST];
    int32_t id[LISTED_AT_MOST];
    const int32_t count = r->vocab < LISTED_AT_MOST ? r->vocab : LISTED_AT_MOST;
    const shortlist ranks = {.score = score, .id = id, .count = count};
    int32_t choice = 0;

    rank_largest(r->y, r->vocab, &ranks);
    if (draw_ranked(r, &ranks, limit, &choice)) {
        return choice;
    }
    keep_until(r, true, limit);
    return draw_among(r);
}

static inline int32_t choose_from(const eet_sample_args *a, int64_t row) {
    const eet_sampler *s = &a->sampler[row];
    choice_row r = {
        .y = (float *)a->scratch + row * 2 * a->vocab,
        .vocab = a->vocab,
        .low = -__builtin_inff(),
        .sampler = s,
    };

    eet_sample_process(a, (int32_t)row, r.y);
    r.top = top_of(r.y, r.vocab);
    if (s->temperature == 0.0 || r.top == -__builtin_inff()) {
        return place_of(r.y, r.vocab, r.top);
    }
    const bool by_mass = s->top_p > 0.0 && s->top_p < 1.0;

    if (s->top_k > 0 && s->top_k <= LISTED_AT_MOST && s->top_k < r.vocab) {
        return draw_listed(&r, by_mass ? s->top_p : __builtin_inf());
    }
    if (s->top_k > 0 && s->top_k < r.vocab) {
        keep_until(&r, false, (double)s->top_k);
    }
    return by_mass ? draw_by_mass(&r) : draw_among(&r);
}

static inline void sample_row(const void *args, int64_t row) {
    const eet_sample_args *a = args;
    const float *logits = a->logits + row * a->stride;
    const int32_t best = place_of(logits, a->vocab, top_of(logits, a->vocab));
    const int32_t token = a->sampler != NULL ? choose_from(a, row) : best;

    a->token[row] = token;
    if (a->log_prob != NULL) {
        const double apart = (double)logits[token] - (double)logits[best];

        a->log_prob[row] = (float)(apart - log(sum_of_powers(logits, a->vocab, logits[best])));
    }
}

static inline eet_status sample_simd(eet_backend *backend, const eet_sample_args *a) {
    for_rows(backend, a->rows, a->vocab, sample_row, a);
    return EET_OK;
}

#endif
