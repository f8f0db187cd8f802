/* bench_decode.c - a GPT-2's prompt and its tokens one by one, against what reading its
 * weights and keys takes on this machine:
 *   bench_decode FILE [THREADS]
 * The bound of a step = (weights + keys and values, in bytes) / the rate at which memory
 * is read. That rate changes with what else the machine does, so it is taken between the
 * steps, and medians are compared. */
#include <stdio.h>
#include <stdlib.h>

#include "eet.h"
#include "tests/bench/bench.h"

enum { PROMPT = 512, STEPS = 256, PROMPTS = 5, READ_EVERY = 8 };

typedef struct run {
    eet_model *model;
    eet_session *session;
    eet_output output;
    float *logits; /* (vocab) */
    int32_t vocab, hidden, layers;
    double weight_bytes;
} run;

static void must(eet_status status, const eet_error *err) {
    if (status != EET_OK) {
        (void)fprintf(stderr, "bench_decode: %s: %s\n", eet_status_name(status), err->text);
        exit(EXIT_FAILURE);
    }
}

static int64_t fact_of(const eet_model *model, const char *key) {
    eet_fact fact = {.size = sizeof fact};
    eet_error err;

    must(eet_model_fact(model, key, &fact, &err), &err);
    return fact.integer;
}

/* Every weight is read once a step but the table of positions, of which one row is. */
static double bytes_of_weights(const eet_model *model) {
    eet_model_info info = {.size = sizeof info};
    eet_error err;
    double bytes = 0.0;

    must(eet_model_describe(model, &info, &err), &err);
    bytes = (double)info.weight_bytes;
    return bytes -
           bytes / (double)info.parameters * (double)info.max_positions * (double)(info.hidden);
}

static run start(const char *path, int32_t threads) {
    const eet_session_options options = {
        .size = sizeof options, .threads = threads, .max_batch_tokens = PROMPT};
    run r = {0};
    eet_error err;

    must(eet_model_open(path, NULL, &r.model, &err), &err);
    must(eet_session_create(r.model, &options, &r.session, &err), &err);
    r.vocab = (int32_t)fact_of(r.model, "dec.vocab.size");
    r.hidden = (int32_t)fact_of(r.model, "dec.hidden");
    r.layers = (int32_t)fact_of(r.model, "dec.layers");
    r.weight_bytes = bytes_of_weights(r.model);
    r.logits = malloc((size_t)r.vocab * sizeof *r.logits);
    if (r.logits == NULL) {
        exit(EXIT_FAILURE);
    }
    r.output = (eet_output){
        .size = sizeof r.output,
        .take = EET_TAKE_LAST,
        .data = r.logits,
        .bytes = (uint64_t)r.vocab * sizeof *r.logits,
    };
    return r;
}

/* Seconds of one call. */
static double step(run *r, const int32_t *tokens, int32_t count) {
    const int32_t begin[] = {0, count};
    const eet_batch batch = {.size = sizeof batch, .rows = 1, .start = begin, .tokens = tokens};
    eet_error err;
    const double before = bench_now();

    must(eet_step(r->session, &batch, &r->output, 1, &err), &err);
    return bench_now() - before;
}

static int32_t best_of(const run *r) {
    int32_t best = 0;

    for (int32_t i = 1; i < r->vocab; ++i) {
        best = r->logits[i] > r->logits[best] ? i : best;
    }
    return best;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double prefill(run *r) {
    int32_t prompt[PROMPT];
    double fastest = 1e30;
    eet_error err;

    for (int32_t i = 0; i < PROMPT; ++i) {
        prompt[i] = (int32_t)((uint32_t)i * 2654435761U % (uint32_t)r->vocab);
    }
    for (int32_t i = 0; i < PROMPTS; ++i) {
        must(eet_sequence_trim(r->session, 0, 0, &err), &err);
        const double took = step(r, prompt, PROMPT);

        fastest = took < fastest ? took : fastest;
    }
    return fastest;
}

/* Seconds of each step and bytes a second of each reading, in ascending order. */
typedef struct timings {
    double step[STEPS], rate[STEPS / READ_EVERY];
} timings;

static timings decode(run *r, eet_pool *pool) {
    timings t;

    for (int32_t i = 0; i < STEPS; ++i) {
        const int32_t token = best_of(r);

        if (i % READ_EVERY == 0) {
            t.rate[i / READ_EVERY] = bench_read_once(pool);
        }
        t.step[i] = step(r, &token, 1);
    }
    qsort(t.step, STEPS, sizeof t.step[0], ascending);
    qsort(t.rate, STEPS / READ_EVERY, sizeof t.rate[0], ascending);
    return t;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_decode FILE [THREADS]\n");
        return 2;
    }
    const int32_t threads = argc > 2 ? atoi(argv[2]) : 0;
    run r = start(argv[1], threads);
    eet_pool *pool = NULL;

    if (eet_pool_create(threads, &pool) != EET_OK) {
        return EXIT_FAILURE;
    }
    (void)bench_read_rate(pool); /* the first reading is of memory never touched */
    const double prompt = prefill(&r);
    const timings t = decode(&r, pool);
    const double rate = t.rate[STEPS / READ_EVERY / 2];
    const double best = t.rate[STEPS / READ_EVERY - 1];
    const double median = t.step[STEPS / 2];
    const double context = PROMPT + (STEPS + 1) / 2.0;
    const double kv_bytes = 2.0 * r.layers * r.hidden * 4.0 * context; /* the cache is f32 */
    const double bytes = r.weight_bytes + kv_bytes;

    printf("prompt of %d: %.1f ms, %.0f tokens/s\n", PROMPT, prompt * 1e3, PROMPT / prompt);
    printf("decode, contexts %d to %d: median %.2f ms a token, fastest %.2f, slowest %.2f; "
           "%.0f tokens/s\n",
           PROMPT + 1, PROMPT + STEPS, median * 1e3, t.step[0] * 1e3, t.step[STEPS - 1] * 1e3,
           1.0 / median);
    printf("bound: %.0f MB of weights and %.0f MB of keys and values at %.1f GB/s (median) are "
           "%.2f ms: decode takes %.2f x that\n",
           r.weight_bytes * 1e-6, kv_bytes * 1e-6, rate * 1e-9, bytes / rate * 1e3,
           median * rate / bytes);
    printf("       the fastest step takes %.2f x the bound by the fastest reading, %.1f GB/s\n",
           t.step[0] * best / bytes, best * 1e-9);
    eet_pool_destroy(pool);
    eet_session_destroy(r.session);
    eet_model_close(r.model);
    free(r.logits);
    return EXIT_SUCCESS;
}
