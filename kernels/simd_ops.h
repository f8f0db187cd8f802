/* simd_ops.h - every op that is faster with vectors, for the file of an instruction set. */
#ifndef EET_KERNELS_SIMD_OPS_H
#define EET_KERNELS_SIMD_OPS_H

#include "kernels/simd_attention.h"
#include "kernels/simd_beam.h"
#include "kernels/simd_project.h"
#include "kernels/simd_sample.h"

enum { CONVERT_AT_ONCE = 65536 };

/* Elements [piece * CONVERT_AT_ONCE, ...) of a conversion. */
static inline void convert_piece(const void *args, int64_t piece) {
    const eet_convert_args *a = args;
    const int64_t first = piece * CONVERT_AT_ONCE;
    const int64_t left = a->count - first;
    const int64_t end = first + (left < CONVERT_AT_ONCE ? left : CONVERT_AT_ONCE);

    if (a->rank > 0 || !eet_is_float(a->from) || !eet_is_float(a->to)) {
        eet_convert_some(a, first, end);
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
    ops->logprob = logprob_simd;
    ops->beam = beam_simd;
    ops->pool = pool_simd;
    ops->convert = convert_simd;
}

#endif
