/* peak.c - multiply-adds on registers alone: what no product of matrices can surpass. */
#include <string.h>

#include "tests/bench/bench.h"

enum { STEPS = 20000, CHAINS = 12 }; /* chains enough to hide the latency of one */

#if defined(__x86_64__)
typedef float lanes8 __attribute__((vector_size(32)));
typedef float lanes16 __attribute__((vector_size(64)));

typedef struct burn {
    bool wide;
    float start;
    float left[1024]; /* of each part, so that nothing is optimised away */
} burn;

__attribute__((target("avx2,fma"))) static float burn8(float start) {
    lanes8 sum[CHAINS];
    lanes8 all = {0};

    for (int32_t c = 0; c < CHAINS; ++c) { /* all different, or the compiler does one for all */
        sum[c] = all + start * (float)(c + 1);
    }
    for (int32_t i = 0; i < STEPS; ++i) {
#pragma GCC unroll 12
        for (int32_t c = 0; c < CHAINS; ++c) {
            sum[c] = sum[c] * 0.75F + 0.5F;
        }
    }
    for (int32_t c = 0; c < CHAINS; ++c) {
        all += sum[c];
    }
    return all[0];
}

__attribute__((target("avx512f"))) static float burn16(float start) {
    lanes16 sum[CHAINS];
    lanes16 all = {0};

    for (int32_t c = 0; c < CHAINS; ++c) { /* all different, or the compiler does one for all */
        sum[c] = all + start * (float)(c + 1);
    }
    for (int32_t i = 0; i < STEPS; ++i) {
#pragma GCC unroll 12
        for (int32_t c = 0; c < CHAINS; ++c) {
            sum[c] = sum[c] * 0.75F + 0.5F;
        }
    }
    for (int32_t c = 0; c < CHAINS; ++c) {
        all += sum[c];
    }
    return all[0];
}

static void burn_part(void *context, int32_t part, int32_t parts) {
    burn *b = context;

    (void)parts;
    b->left[part] = b->wide ? burn16(b->start) : burn8(b->start);
}

typedef struct burn_call {
    eet_pool *pool;
    burn *burn;
} burn_call;

static void burn_once(void *context) {
    const burn_call *call = context;

    eet_pool_run(call->pool, burn_part, call->burn);
}

double bench_peak(eet_pool *pool, const char *isa) {
    burn b = {.wide = strcmp(isa, "avx512") == 0, .start = (float)bench_now()};
    burn_call call = {.pool = pool, .burn = &b};

    if (!b.wide && strcmp(isa, "avx2") != 0) {
        return 0.0;
    }
    const double lanes = b.wide ? 16.0 : 8.0;
    const double flops = 2.0 * lanes * CHAINS * STEPS * eet_pool_threads(pool);

    return flops / bench_fastest(burn_once, &call, 0.3);
}
#else
double bench_peak(eet_pool *pool, const char *isa) {
    (void)pool;
    (void)isa;
    return 0.0;
}
#endif
