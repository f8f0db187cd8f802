/* bench_ops.c - every op on every instruction set: flops and bytes (as the op's cost
 * function counts them) over time, and both as a share of what the machine can do. */
#include <stdio.h>
#include <stdlib.h>

#include "format/half.h"
#include "tests/bench/bench.h"

enum {
    POOL_BYTES = 1 << 28,
    READINGS = 20,
    TOKENS = 512,
    HIDDEN = 768,
    FFN = 3072,
    HEADS = 12,
    VOCAB = 50257
};

/* One line of the table in the making. */
typedef struct line {
    eet_backend *backend;
    double rate, peak; /* bytes and flops a second: the bounds */
} line;

/* Weights and keys as a model has them: not in a cache when their turn comes. */
typedef struct store {
    char *data;
    int64_t at;
} store;

static const void *next_of(store *s, int64_t bytes) {
    if (s->at + bytes > POOL_BYTES) {
        s->at = 0;
    }
    const void *data = s->data + s->at;

    s->at += (bytes + 4095) / 4096 * 4096;
    return data;
}

static void print_line(const line *l, const char *what, eet_cost cost, double seconds) {
    const double flops = cost.flops / seconds;
    const double bytes = cost.bytes / seconds;

    printf("%-7s %-34s %9.3f ms %8.1f GFLOP/s", l->backend->isa, what, seconds * 1e3, flops * 1e-9);
    if (l->peak > 0.0) {
        printf(" %4.0f %%", 100.0 * flops / l->peak);
    } else {
        printf("     -");
    }
    printf(" %8.1f GB/s %4.0f %%\n", bytes * 1e-9, 100.0 * bytes / l->rate);
}

typedef struct project_call {
    eet_backend *backend;
    eet_project_args args;
    store *store;
} project_call;

static void project_once(void *context) {
    project_call *call = context;
    eet_matrix *w = &call->args.w;

    w->data = next_of(call->store, (int64_t)w->n * w->k * eet_float_bytes(w->dtype));
    (void)call->backend->ops.project(call->backend, &call->args);
}

typedef struct project_shape {
    const char *what;
    int32_t rows, n, k, dtype, act;
    bool norm;
} project_shape;

static void bench_project(const line *l, const project_shape *s) {
    float *ones = bench_random(s->k, EET_F32);
    store weights = {.data = bench_random(POOL_BYTES / eet_float_bytes(s->dtype), s->dtype)};
    project_call call = {
        .backend = l->backend,
        .args =
            {
                .x = bench_random((int64_t)s->rows * s->k, EET_F32),
                .norm = {.weight = s->norm ? ones : NULL, .eps = 1e-5},
                .w = {.n = s->n, .k = s->k, .ld = s->k, .dtype = (uint16_t)s->dtype},
                .bias = bench_random(s->n, EET_F32),
                .act = s->act,
                .rows = s->rows,
                .y = bench_random((int64_t)s->rows * s->n, EET_F32),
                .scratch = bench_random(eet_project_scratch(s->rows, s->k), EET_F32),
            },
        .store = &weights,
    };
    const double seconds = bench_fastest(project_once, &call, 0.25);

    print_line(l, s->what, eet_project_cost(&call.args), seconds);
    free(ones);
    free(weights.data);
    free((void *)(uintptr_t)call.args.x);
    free((void *)(uintptr_t)call.args.bias);
    free(call.args.y);
    free(call.args.scratch);
}

typedef struct attention_call {
    eet_backend *backend;
    eet_attention_args args;
    store *store;
} attention_call;

static void attention_once(void *context) {
    attention_call *call = context;
    eet_attention_args *a = &call->args;

    if (a->k == NULL) {
        a->pages.data = (void *)(uintptr_t)next_of(
            call->store, eet_page_at(&a->pages, 1, 0, 0, 0, 0) * eet_float_bytes(a->pages.dtype));
    }
    (void)call->backend->ops.attention(call->backend, a);
}

/* A prompt over its own keys (packed), and one token over 1,024 in pages. */
static void bench_attention(const line *l, bool prompt) {
    const int32_t start[] = {0, prompt ? TOKENS : 1};
    const int32_t length = prompt ? TOKENS : 1024;
    const int32_t kv_start = 0;
    int32_t table[16];
    float *qkv = bench_random((int64_t)TOKENS * 3 * HIDDEN, EET_F32);
    store pages = {.data = bench_random(POOL_BYTES / 4, EET_F32)};
    attention_call call = {
        .backend = l->backend,
        .args =
            {
                .q = qkv,
                .q_stride = 3 * HIDDEN,
                .k = prompt ? qkv + HIDDEN : NULL,
                .v = prompt ? qkv + 2 * HIDDEN : NULL,
                .kv_stride = 3 * HIDDEN,
                .kv_start = &kv_start,
                .pages = {.pages = 16,
                          .layers = 1,
                          .heads = HEADS,
                          .head_dim = 64,
                          .dp = 64,
                          .dtype = EET_F32},
                .page_table = table,
                .table_stride = 16,
                .rows = 1,
                .q_start = start,
                .kv_length = &length,
                .heads = HEADS,
                .head_dim = 64,
                .scale = 0.125F,
                .causal = true,
                .y = bench_random((int64_t)TOKENS * HIDDEN, EET_F32),
            },
        .store = &pages,
    };

    for (int32_t i = 0; i < 16; ++i) {
        table[i] = 15 - i;
    }
    const double seconds = bench_fastest(attention_once, &call, 0.25);

    print_line(l, prompt ? "attention 512 x 512 causal, packed" : "attention 1 x 1024, paged f32",
               eet_attention_cost(&call.args), seconds);
    free(qkv);
    free(pages.data);
    free(call.args.y);
}

typedef struct small_calls {
    eet_backend *backend;
    eet_embed_args embed;
    eet_norm_args norm;
    eet_sample_args sample;
    eet_pool_args pool;
    eet_convert_args convert;
} small_calls;

static void embed_once(void *context) {
    const small_calls *calls = context;

    (void)calls->backend->ops.embed(calls->backend, &calls->embed);
}

static void norm_once(void *context) {
    const small_calls *calls = context;

    (void)calls->backend->ops.norm(calls->backend, &calls->norm);
}

static void sample_once(void *context) {
    const small_calls *calls = context;

    (void)calls->backend->ops.sample(calls->backend, &calls->sample);
}

static void pool_once(void *context) {
    const small_calls *calls = context;

    (void)calls->backend->ops.pool(calls->backend, &calls->pool);
}

static void convert_once(void *context) {
    const small_calls *calls = context;

    (void)calls->backend->ops.convert(calls->backend, &calls->convert);
}

static void bench_small(const line *l) {
    const int32_t start[] = {0, TOKENS / 4, TOKENS / 2, TOKENS};
    int32_t ids[TOKENS];
    int32_t token = 0;
    float log_prob = 0.0F;
    float *table = bench_random((int64_t)VOCAB * HIDDEN, EET_F32);
    float *x = bench_random((int64_t)TOKENS * HIDDEN, EET_F32);
    float *y = bench_random((int64_t)TOKENS * HIDDEN, EET_F32);
    void *half = bench_random((int64_t)VOCAB * HIDDEN, EET_F16);
    small_calls calls = {
        .backend = l->backend,
        .embed = {.token = table,
                  .position = table,
                  .token_dtype = EET_F32,
                  .position_dtype = EET_F32,
                  .ids = ids,
                  .positions = ids,
                  .scale = 1.0,
                  .tokens = TOKENS,
                  .dim = HIDDEN,
                  .hidden = HIDDEN,
                  .x = y},
        .norm = {.x = x,
                 .norm = {.weight = table, .bias = table, .eps = 1e-5},
                 .rows = TOKENS,
                 .cols = HIDDEN,
                 .y = y},
        .sample = {.logits = table,
                   .stride = VOCAB,
                   .rows = 1,
                   .vocab = VOCAB,
                   .token = &token,
                   .log_prob = &log_prob},
        .pool = {.x = x, .start = start, .rows = 3, .cols = HIDDEN, .normalize = true, .y = y},
        .convert = {.x = half,
                    .y = table,
                    .count = (int64_t)VOCAB * HIDDEN,
                    .from = EET_F16,
                    .to = EET_F32},
    };

    for (int32_t i = 0; i < TOKENS; ++i) {
        ids[i] = i * 97 % VOCAB;
    }
    print_line(l, "embed 512 x 768", eet_embed_cost(&calls.embed),
               bench_fastest(embed_once, &calls, 0.1));
    print_line(l, "norm 512 x 768", eet_norm_cost(&calls.norm),
               bench_fastest(norm_once, &calls, 0.1));
    print_line(l, "sample 1 x 50257", eet_sample_cost(&calls.sample),
               bench_fastest(sample_once, &calls, 0.1));
    print_line(l, "pool 512 x 768", eet_pool_cost(&calls.pool),
               bench_fastest(pool_once, &calls, 0.1));
    print_line(l, "convert 38.6 M f16 to f32", eet_convert_cost(&calls.convert),
               bench_fastest(convert_once, &calls, 0.1));
    free(table);
    free(x);
    free(y);
    free(half);
}

static const project_shape shapes[] = {
    {"project 1 x 2304 x 768 f32", 1, 3 * HIDDEN, HIDDEN, EET_F32, EET_ACT_LINEAR, true},
    {"project 1 x 3072 x 768 f32, gelu", 1, FFN, HIDDEN, EET_F32, EET_ACT_GELU_TANH, true},
    {"project 1 x 768 x 3072 f32", 1, HIDDEN, FFN, EET_F32, EET_ACT_LINEAR, false},
    {"project 1 x 50257 x 768 f32", 1, VOCAB, HIDDEN, EET_F32, EET_ACT_LINEAR, true},
    {"project 1 x 50257 x 768 f16", 1, VOCAB, HIDDEN, EET_F16, EET_ACT_LINEAR, true},
    {"project 1 x 50257 x 768 bf16", 1, VOCAB, HIDDEN, EET_BF16, EET_ACT_LINEAR, true},
    {"project 8 x 3072 x 768 f32", 8, FFN, HIDDEN, EET_F32, EET_ACT_LINEAR, true},
    {"project 512 x 2304 x 768 f32", TOKENS, 3 * HIDDEN, HIDDEN, EET_F32, EET_ACT_LINEAR, true},
    {"project 512 x 3072 x 768 f32, gelu", TOKENS, FFN, HIDDEN, EET_F32, EET_ACT_GELU_TANH, true},
    {"project 512 x 768 x 3072 f32", TOKENS, HIDDEN, FFN, EET_F32, EET_ACT_LINEAR, false},
    {"project 512 x 3072 x 768 bf16", TOKENS, FFN, HIDDEN, EET_BF16, EET_ACT_LINEAR, true},
    {"project 512 x 3072 x 768 f16", TOKENS, FFN, HIDDEN, EET_F16, EET_ACT_LINEAR, true},
};

/* The fastest of several readings. */
static void take_bounds(line *l, eet_probe *probe) {
    for (int32_t i = 0; i < READINGS; ++i) {
        const double rate = eet_probe_read_rate(probe, l->backend);
        const double peak = eet_probe_peak(probe, l->backend);

        l->rate = rate > l->rate ? rate : l->rate;
        l->peak = peak > l->peak ? peak : l->peak;
    }
}

int main(int argc, char **argv) {
    const int32_t threads = argc > 1 ? atoi(argv[1]) : 0;
    int32_t count = 0;
    const eet_cpu_isa *isas = eet_cpu_isas(&count);
    eet_probe *probe = eet_probe_create();

    if (probe == NULL) {
        return EXIT_FAILURE;
    }

    for (int32_t i = 0; i < count; ++i) {
        line l = {0};

        if (eet_cpu_open_isa(isas[i].name, threads, &l.backend) != EET_OK) {
            printf("%-7s skipped: this processor lacks it\n", isas[i].name);
            continue;
        }
        take_bounds(&l, probe);
        printf("%-7s %d threads; memory is read at %.1f GB/s, multiply-adds peak at %.0f GFLOP/s\n",
               isas[i].name, eet_pool_threads(l.backend->pool), l.rate * 1e-9, l.peak * 1e-9);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; ++s) {
            bench_project(&l, &shapes[s]);
        }
        bench_attention(&l, true);
        bench_attention(&l, false);
        bench_small(&l);
        eet_backend_cpu()->close(l.backend);
    }
    eet_probe_free(probe);
    return EXIT_SUCCESS;
}
