/* run.c - eet-run: continues rows of token ids, or scores them. */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/commands/device.h"
#include "engine/commands/run.h"

enum { DEFAULT_BATCH = 8, DEFAULT_SOURCE = 2048, MIN_AT_ONCE = 512 };

/* ---- cancelling --------------------------------------------------------- */

/* The session at work: a signal handler takes no argument of its own. */
static _Atomic(eet_session *) working;

enum { EXIT_CANCELLED = 130 };

/* The first signal lets the rows end with what they have, the next one ends the command. */
static void on_signal(int number) {
    eet_session *session = atomic_exchange(&working, NULL);

    (void)number;
    if (session == NULL) {
        _exit(EXIT_CANCELLED);
    }
    eet_session_cancel(session);
}

static void catch_signals(void) {
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction before;

    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; ++i) {
        if (sigaction(ending[i], NULL, &before) != 0 || before.sa_handler != SIG_IGN) {
            (void)sigaction(ending[i], &action, NULL);
        }
    }
}

/* ---- rows --------------------------------------------------------------- */

double eet_run_now(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

eet_status eet_run_no_memory(eet_run *run) {
    return eet_fail(run->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the results");
}

eet_status eet_run_sources(eet_run *r) {
    const eet_batch *sources = &r->packed.sources;
    const double before = eet_run_now();

    if (sources->rows == 0) {
        return EET_OK;
    }
    const eet_status status = eet_source(r->session, sources, r->err);

    r->prompt_seconds += eet_run_now() - before;
    r->prompt_tokens += sources->start[sources->rows];
    return status;
}

static void print_timings(const eet_run *r) {
    (void)fprintf(stderr,
                  "prefill: %" PRId64 " tokens in %.3f s, %.1f tokens/s\n"
                  "decode: %" PRId64 " tokens in %.3f s, %.1f tokens/s\n",
                  r->prompt_tokens, r->prompt_seconds,
                  (double)r->prompt_tokens / (r->prompt_seconds > 0 ? r->prompt_seconds : 1),
                  r->next_tokens, r->next_seconds,
                  (double)r->next_tokens / (r->next_seconds > 0 ? r->next_seconds : 1));
    eet_device_tell_memory(r->session);
}

static eet_status work_on_packed(eet_run *r) {
    eet_status status = eet_run_sources(r);

    if (status == EET_OK && r->options->score) {
        return eet_run_score(r);
    }
    if (status == EET_OK) {
        status = eet_run_generate(r);
    }

    if (status == EET_E_CANCELLED) { /* in the prompts: no row began */
        for (int32_t i = 0; i < r->packed.rows; ++i) {
            r->result[i].finish = EET_FINISH_CANCELLED;
        }
    }
    return status == EET_OK || status == EET_E_CANCELLED ? eet_run_print(r) : status;
}

/* The rows that are packed. A signal meanwhile takes the session out of `working`. */
static eet_status run_packed(eet_run *r) {
    atomic_store(&working, r->session);
    eet_status status = work_on_packed(r);

    if (fflush(stdout) != 0 && status == EET_OK) {
        status = eet_fail(r->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
    }
    if (atomic_exchange(&working, NULL) == NULL && status == EET_OK) {
        status = eet_fail(r->err, EET_E_CANCELLED, EET_NOWHERE,
                          "cancelled; the rows end with what they have");
    }
    return status;
}

/* Rows in the order they came, as many at a time as run together. */
static eet_status run_rows(eet_run *r, const eet_record_rules *rules) {
    eet_records records = {.ids = &r->options->ids,
                           .source_ids = &r->options->source_ids,
                           .stream = stdin,
                           .rules = rules};
    eet_record held = {0};
    eet_status status = EET_OK;

    do {
        eet_run_forget(r);
        status = eet_packed_read(&r->packed, &records, &held, r->err);
        if (status == EET_OK && r->packed.rows > 0) {
            status = run_packed(r);
        }
    } while (status == EET_OK && r->packed.rows > 0);
    eet_record_free(&held);
    eet_records_end(&records);
    if (status == EET_OK && r->options->timings) {
        print_timings(r);
    }
    return status;
}

/* ids that mean one row at a time: a stream of bare ids has no place for a second row. */
static int32_t rows_together(const eet_run_options *o) {
    const int32_t batch = o->batch > 0 ? (int32_t)o->batch : DEFAULT_BATCH;

    if (o->stream && !o->json) {
        return 1;
    }
    const int32_t given = o->source_ids.count > 0 ? o->source_ids.count : o->ids.count;

    return given > 0 && given < batch ? given : batch;
}

static eet_status make_results(eet_run *r, int32_t rows) {
    r->result = calloc((size_t)rows, sizeof *r->result);
    r->events = calloc((size_t)rows, sizeof *r->events);
    r->streams = calloc((size_t)rows, sizeof *r->streams);
    r->beams = calloc((size_t)rows, sizeof *r->beams);
    if (r->result == NULL || r->events == NULL || r->streams == NULL || r->beams == NULL) {
        return eet_run_no_memory(r);
    }
    return EET_OK;
}

/* More likeliest tokens than the vocabulary has are those of all. */
static eet_status count_tops(eet_run *r, const eet_model *model) {
    eet_model_info info = {.size = sizeof info};
    const eet_status status = eet_model_describe(model, &info, r->err);

    r->tops = (int32_t)r->options->logprobs;
    if (status == EET_OK && r->tops > info.vocab_size) {
        r->tops = info.vocab_size;
    }
    if (status == EET_OK && !info.has_decoder) {
        return eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no decoder; use eet-encode");
    }
    return status;
}

static eet_status prepare(eet_run *r, eet_model *model, eet_record_rules *rules) {
    const eet_run_options *o = r->options;
    const int32_t rows = rows_together(o);
    const int64_t sequences = (int64_t)rows * eet_run_beams(o);
    eet_session_options wanted = {
        .size = sizeof wanted,
        .threads = (int32_t)o->threads,
        .max_sequences = sequences < INT32_MAX ? (int32_t)sequences : INT32_MAX,
        .max_tokens = (int32_t)o->max_tokens,
    };
    eet_status status = count_tops(r, model);

    if (status == EET_OK && o->stop != NULL) {
        status = eet_parse_ids(o->stop, "--stop", r->stop, EET_RUN_MAX_STOPS, &r->stops, r->err);
    }
    if (status == EET_OK) {
        status = eet_record_rules_of(model, false, true, rules, r->err);
    }
    if (status == EET_OK && rules->source) { /* a source goes through the encoder in one piece */
        wanted.max_sources = rows;
        wanted.max_batch_tokens =
            rules->source_positions > 0 ? rules->source_positions : DEFAULT_SOURCE;
        wanted.max_batch_tokens =
            wanted.max_batch_tokens > MIN_AT_ONCE ? wanted.max_batch_tokens : MIN_AT_ONCE;
    }
    if (status == EET_OK) {
        status = eet_session_create(model, &wanted, &r->session, r->err);
    }
    if (status == EET_OK) {
        status = eet_packed_make(&r->packed, rows, r->err);
    }
    return status == EET_OK ? make_results(r, rows) : status;
}

static eet_status run_model(const eet_run_options *o, const char *path, eet_error *err) {
    eet_run r = {.options = o, .err = err};
    eet_model *model = NULL;
    eet_record_rules rules;
    eet_status status = eet_device_open(path, o->device, o->dtype, &model, err);

    if (status != EET_OK) {
        return status;
    }
    catch_signals();
    status = prepare(&r, model, &rules);
    if (status == EET_OK) {
        status = run_rows(&r, &rules);
    }
    eet_run_free_results(&r);
    eet_packed_free(&r.packed);
    eet_session_destroy(r.session);
    eet_model_close(model);
    return status;
}

static int body(void *fields, const eet_operands *operands) {
    const eet_run_options *o = fields;
    eet_error err = {.status = EET_OK};
    eet_status status = eet_run_check_options(o, operands->given, &err);

    if (status == EET_OK) {
        status = run_model(o, operands->items[0], &err);
    }
    if (status == EET_OK) {
        return 0;
    }
    /* a cancelled row has said so in its own record */
    return eet_command_fail(&eet_run_command, &err, NULL, o->json && status != EET_E_CANCELLED);
}

int main(int argc, char **argv) {
    eet_run_options o = {.top_p = 1, .repetition_penalty = 1, .length_penalty = 1};

    return eet_command_main(&eet_run_command, argc, argv, &o, body);
}
