/* bench_test.c - runs one test: a call for warming up, then repetitions, and between them a
 * look at what the machine can do at that moment. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/bench.h"

enum { AT_ONCE = 2048, PROBE_EVERY = 16 };

typedef struct work {
    const eet_bench_model *model;
    const eet_bench_test *test;
    const eet_bench_meter *meter;
    eet_session *session;
    eet_batch batch;
    int32_t *start, *tokens; /* (batch + 1), (batch * the longest call) */
    eet_output output;
    int64_t drawn;  /* tokens so far: every call has new ones */
    double *calls;  /* (repetitions * calls of each) seconds */
    double *wholes; /* (repetitions) seconds */
    double *rates, *peaks;
    int32_t call_count, rate_count, peak_count;
    eet_error *err;
} work;

const char *eet_bench_kind_name(int32_t kind) {
    static const char *const names[] = {"prefill", "decode", "encode"};

    return names[kind];
}

/* ---- calls --------------------------------------------------------------- */

/* A call that gives every row `tokens` new ones; `seconds` may be NULL. */
static eet_status call(work *w, int32_t tokens, bool scored, double *seconds) {
    const int32_t rows = w->test->batch;

    for (int32_t r = 0; r <= rows; ++r) {
        w->start[r] = r * tokens;
    }
    for (int32_t i = 0; i < rows * tokens; ++i) {
        w->tokens[i] = eet_bench_token(w->model, w->drawn++);
    }
    const double before = eet_probe_now();
    const eet_status status =
        w->test->kind == EET_BENCH_ENCODE
            ? eet_encode(w->session, &w->batch, &w->output, 1, w->err)
            : eet_step(w->session, &w->batch, &w->output, scored ? 1 : 0, w->err);

    if (seconds != NULL) {
        *seconds = eet_probe_now() - before;
    }
    return status;
}

/* The sequences as they are at the beginning of a repetition. */
static eet_status rewind_to_depth(work *w) {
    eet_status status = EET_OK;

    for (int32_t r = 0; r < w->test->batch && status == EET_OK; ++r) {
        if (eet_sequence_length(w->session, r) > w->test->depth) {
            status = eet_sequence_trim(w->session, r, w->test->depth, w->err);
        }
    }
    return status;
}

static int32_t calls_of(const eet_bench_test *test) {
    return test->kind == EET_BENCH_DECODE ? test->tokens : 1;
}

static int32_t tokens_of(const eet_bench_test *test) {
    return test->kind == EET_BENCH_DECODE ? 1 : test->tokens;
}

/* One repetition; `keep` its times. */
static eet_status repeat(work *w, int32_t index, bool keep) {
    const int32_t calls = calls_of(w->test);
    double whole = 0.0;
    eet_status status = w->test->kind == EET_BENCH_ENCODE ? EET_OK : rewind_to_depth(w);

    for (int32_t i = 0; i < calls && status == EET_OK; ++i) {
        double seconds = 0.0;

        if (keep && i % PROBE_EVERY == 0) {
            w->rates[w->rate_count++] = eet_bench_meter_read(w->meter);
        }
        status = call(w, tokens_of(w->test), true, &seconds);
        whole += seconds;
        if (keep) {
            w->calls[w->call_count++] = seconds;
        }
    }
    if (keep) {
        w->wholes[index] = whole;
        w->peaks[w->peak_count++] = eet_bench_meter_peak(w->meter);
    }
    return status;
}

/* ---- what came out ------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_of(double *values, int32_t count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2.0;
}

/* Mean and deviation (of a sample) of scale / value or scale * value. */
static eet_bench_spread spread_of(const double *values, int32_t count, double scale, bool inverse) {
    eet_bench_spread s = {.mean = 0.0};

    for (int32_t i = 0; i < count; ++i) {
        s.mean += (inverse ? scale / values[i] : scale * values[i]) / count;
    }
    for (int32_t i = 0; i < count && count > 1; ++i) {
        const double off = (inverse ? scale / values[i] : scale * values[i]) - s.mean;

        s.deviation += off * off / (count - 1);
    }
    s.deviation = sqrt(s.deviation);
    return s;
}

static void sum_up(work *w, eet_bench_result *out) {
    const eet_bench_test *t = w->test;
    const int32_t calls = calls_of(t);
    const double all = (double)t->tokens * t->batch;

    out->ms = spread_of(w->wholes, t->repetitions, 1e3 / calls, false);
    out->ms.median = 1e3 * median_of(w->calls, w->call_count);
    out->tokens = spread_of(w->wholes, t->repetitions, all, true);
    out->tokens.median = all / calls / (1e-3 * out->ms.median);
    out->read_rate = median_of(w->rates, w->rate_count);
    out->peak = median_of(w->peaks, w->peak_count);
    for (int32_t i = 0; i < calls; ++i) { /* the mean call: contexts grow evenly */
        double bytes = 0.0;
        double flops = 0.0;

        eet_bench_cost(w->model, t->kind, t->batch, t->depth + i, tokens_of(t), &bytes, &flops);
        out->bytes += bytes / calls;
        out->flops += flops / calls;
    }
}

/* ---- the test ------------------------------------------------------------ */

static eet_status no_memory(const work *w) {
    return eet_fail(w->err, EET_E_MEMORY, EET_NOWHERE, "no memory for %d rows of %d tokens",
                    (int)w->test->batch, (int)w->test->tokens);
}

static eet_status allocate(work *w) {
    const eet_bench_test *t = w->test;
    const size_t calls = (size_t)t->repetitions * (size_t)calls_of(t);
    const size_t longest = (size_t)(tokens_of(t) > t->depth ? tokens_of(t) : t->depth);
    const size_t values = (size_t)t->batch * (size_t)(t->kind == EET_BENCH_ENCODE ? t->tokens : 1) *
                          (size_t)w->model->width;

    w->start = calloc((size_t)t->batch + 1, sizeof *w->start);
    w->tokens = calloc((size_t)t->batch * longest, sizeof *w->tokens);
    w->calls = calloc(calls, sizeof *w->calls);
    w->rates = calloc(calls, sizeof *w->rates);
    w->wholes = calloc((size_t)t->repetitions, sizeof *w->wholes);
    w->peaks = calloc((size_t)t->repetitions, sizeof *w->peaks);
    w->output = (eet_output){.size = sizeof w->output,
                             .head = w->model->head,
                             .take = t->kind == EET_BENCH_ENCODE ? EET_TAKE_EVERY : EET_TAKE_LAST,
                             .data = malloc(values * sizeof(float)),
                             .bytes = values * sizeof(float)};
    w->batch = (eet_batch){
        .size = sizeof w->batch, .rows = t->batch, .start = w->start, .tokens = w->tokens};
    return w->start != NULL && w->tokens != NULL && w->calls != NULL && w->rates != NULL &&
                   w->wholes != NULL && w->peaks != NULL && w->output.data != NULL
               ? EET_OK
               : no_memory(w);
}

static eet_status open_session(work *w) {
    const eet_bench_test *t = w->test;
    const int64_t all = (int64_t)t->batch * tokens_of(t);
    const int32_t longest = t->depth + t->tokens;
    eet_session_options options = {
        .size = sizeof options,
        .threads = t->threads,
        .max_sequences = t->batch,
        .max_tokens = longest,
        .max_batch_tokens = all < AT_ONCE ? (int32_t)all : AT_ONCE,
        .max_outputs = t->batch,
    };

    if (t->kind == EET_BENCH_ENCODE) { /* keeps no cache, and takes a text whole */
        options.max_tokens = 0;
        options.cache_tokens = 1;
        options.max_outputs = 0;
        options.max_batch_tokens =
            t->tokens > options.max_batch_tokens ? t->tokens : options.max_batch_tokens;
    } else if (options.max_batch_tokens < t->depth) {
        options.max_batch_tokens = t->depth < AT_ONCE ? t->depth : AT_ONCE;
    }
    return eet_session_create(w->model->model, &options, &w->session, w->err);
}

eet_status eet_bench_run(const eet_bench_model *model, const eet_bench_test *test,
                         const eet_bench_meter *meter, eet_bench_result *out, eet_error *err) {
    work w = {.model = model, .test = test, .meter = meter, .err = err};
    eet_status status = open_session(&w);

    if (status == EET_OK) {
        status = allocate(&w);
    }
    if (status == EET_OK && test->depth > 0) {
        status = call(&w, test->depth, false, NULL);
    }
    if (status == EET_OK) {
        status = repeat(&w, 0, false); /* warm-up */
    }
    for (int32_t i = 0; i < test->repetitions && status == EET_OK; ++i) {
        status = repeat(&w, i, true);
    }
    if (status == EET_OK) {
        sum_up(&w, out);
        out->memory = (eet_memory_use){.size = sizeof out->memory};
        status = eet_session_memory(w.session, &out->memory, err);
    }
    free(w.start);
    free(w.tokens);
    free(w.calls);
    free(w.rates);
    free(w.wholes);
    free(w.peaks);
    free(w.output.data);
    eet_session_destroy(w.session);
    return status;
}
