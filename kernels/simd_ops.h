/* simd_ops.h - every op that is faster with vectors, for the file of an instruction set. */
#ifndef EET_KERNELS_SIMD_OPS_H
#define EET_KERNELS_SIMD_OPS_H

#include "kernels/simd_attention.h"
#include "kernels/simd_project.h"

enum { CONVERT_AT_ONCE = 65536 };

/* The largest logit, NaNs aside; -inf when there is none. */
static inline float top_of(const float *logits, int32_t vocab) {
    vec top = vec_all(-__builtin_inff());
    int32_t i = 0;

    for (; i + LANES <= vocab; i += LANES) {
        top = vec_max(vec_load(logits + i), top);
    }
    float best = vec_top(top);

    for (; i < vocab; ++i) {
        best = logits[i] > best ? logits[i] : best;
    }
    return best;
}

/* The first place of a value; 0 when it is nowhere (only NaNs are there). */
static inline int32_t place_of(const float *logits, int32_t vocab, float value) {
    int32_t i = 0;

    for (; i + LANES <= vocab; i += LANES) {
        const uint32_t here = vec_bits(vec_equal(vec_load(logits + i), vec_all(value)));

        if (here != 0) {
            return i + __builtin_ctz(here);
        }
    }
    for (; i < vocab; ++i) {
        if (logits[i] == value) {
            return i;
        }
    }
    return 0;
}

/* The sum of all e^(x - top), in double from lane to lane: thousands are added. */
static inline double sum_of_powers(const float *logits, int32_t vocab, float top) {
    double sum = 0.0;

    for (int32_t first = 0; first < vocab; first += 64 * LANES) {
        const int32_t end = vocab - first < 64 * LANES ? vocab : first + 64 * LANES;
        vec part = vec_zero();

        for (int32_t i = first; i < end; i += LANES) {
            const int32_t some = lanes_at(i, end);
            const vec x = vec_load_some(logits + i, some);

            part = vec_add(part, vec_first(vec_exp(vec_sub(x, vec_all(top))), some));
        }
        sum += (double)vec_sum(part);
    }
    return sum;
}

static inline void sample_row(const void *args, int64_t row) {
    const eet_sample_args *a = args;
    const float *logits = a->logits + row * a->stride;
    const int32_t best = place_of(logits, a->vocab, top_of(logits, a->vocab));

    a->token[row] = best;
    if (a->log_prob != NULL) {
        a->log_prob[row] = (float)-log(sum_of_powers(logits, a->vocab, logits[best]));
    }
}

static inline eet_status sample_simd(eet_backend *backend, const eet_sample_args *a) {
    for_rows(backend, a->rows, a->vocab, sample_row, a);
    return EET_OK;
}

/* Elements [piece * CONVERT_AT_ONCE, ...) of a conversion. */
static inline void convert_piece(const void *args, int64_t piece) {
    const eet_convert_args *a = args;
    const int64_t first = piece * CONVERT_AT_ONCE;
    const int64_t left = a->count - first;
    const int64_t end = first + (left < CONVERT_AT_ONCE ? left : CONVERT_AT_ONCE);

    if (a->from == EET_F64) {
        const eet_convert_args part = {
            .x = (const double *)a->x + first,
            .y = (char *)a->y + first * eet_float_bytes(a->to),
            .count = end - first,
            .from = a->from,
            .to = a->to,
        };

        (void)eet_convert_ref(NULL, &part);
        return;
    }
    for (int64_t i = first; i < end; i += LANES) {
        const int32_t some = lanes_at(i, end);

        vec_put_some(a->y, a->to, i, vec_some_at(a->x, a->from, i, some), some);
    }
}

static inline eet_status convert_simd(eet_backend *backend, const eet_convert_args *a) {
    if (!eet_convert_is_known(a)) {
        return EET_E_UNSUPPORTED;
    }
    for_rows(backend, (a->count + CONVERT_AT_ONCE - 1) / CONVERT_AT_ONCE, CONVERT_AT_ONCE,
             convert_piece, a);
    return EET_OK;
}

static inline void use_simd(eet_ops *ops) {
    ops->embed = embed_simd;
    ops->project = project_simd;
    ops->norm = norm_simd;
    ops->attention = attention_simd;
    ops->score = score_simd;
    ops->sample = sample_simd;
    ops->pool = pool_simd;
    ops->convert = convert_simd;
}

#endif
