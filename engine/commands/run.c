/* run.c - eet-run: continues rows of token ids. */
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/commands/records.h"

enum { MAX_STOPS = 64, DEFAULT_NEW = 64, DEFAULT_BATCH = 8 };

typedef struct run_options {
    eet_option_list ids;
    int64_t max_new_tokens, batch, threads, max_tokens;
    const char *stop;
    bool stream, json, timings, ignore_eos;
} run_options;

#define AT(field) (uint32_t) offsetof(run_options, field)

static const eet_option options[] = {
    {.name = "ids",
     .kind = EET_OPTION_LIST,
     .value = "1,2,3",
     .help = "a row of token ids; may be given several times",
     .offset = AT(ids)},
    {.name = "max-new-tokens",
     .letter = 'n',
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "tokens per row at most (64)",
     .low = 1,
     .high = INT32_MAX,
     .offset = AT(max_new_tokens)},
    {.name = "stop",
     .kind = EET_OPTION_STRING,
     .value = "1,2",
     .help = "further ids that end a row",
     .offset = AT(stop)},
    {.name = "ignore-eos",
     .help = "the model's end token does not end a row",
     .offset = AT(ignore_eos)},
    {.name = "stream", .help = "print ids as they come", .offset = AT(stream)},
    {.name = "json",
     .help = "JSON Lines: a result a row, with --stream a token",
     .offset = AT(json)},
    {.name = "batch",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "rows that run together (8)",
     .low = 1,
     .high = 65536,
     .offset = AT(batch)},
    {.name = "max-tokens",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "longest text, prompt included (what the model can)",
     .low = 1,
     .high = 1 << 24,
     .offset = AT(max_tokens)},
    {.name = "threads",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "threads (one per CPU)",
     .low = 1,
     .high = 1024,
     .offset = AT(threads)},
    {.name = "timings", .help = "print tokens per second on stderr", .offset = AT(timings)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-run gpt2.eet --ids 464,3290 --stream          # one row, ids as they come",
    "eet-run gpt2.eet --ids 464 --ids 15496,11 -n 20   # two rows together",
    "eet-run gpt2.eet --json < rows.jsonl              # {\"id\": 7, \"ids\": [464]}",
};

static const eet_command command = {
    .name = "eet-run",
    .usage = "[OPTIONS] MODEL.eet [< ROWS.jsonl]",
    .summary = "Continues rows of token ids, each with the likeliest next one.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = 1,
    .suffix = ".eet",
};

/* What a row has chosen so far. */
typedef struct row_result {
    int32_t *ids;
    float *log_probs;
    int32_t count, room;
    int32_t finish;
} row_result;

typedef struct run {
    const run_options *options;
    eet_session *session;
    eet_packed packed;
    row_result *result; /* (packed.room) */
    eet_event *events;  /* (packed.room) */
    int32_t stop[MAX_STOPS];
    int32_t stops;
    int64_t prompt_tokens, first_tokens, next_tokens;
    double prompt_seconds, next_seconds;
    eet_error *err;
} run;

static const char *const finish_names[] = {NULL, "eos", "stop", "length", "cancelled"};

static double now(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static eet_status no_memory(run *r) {
    return eet_fail(r->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the results");
}

/* ---- results ------------------------------------------------------------ */

static eet_status note_event(run *r, const eet_event *event) {
    row_result *row = &r->result[event->row];

    row->finish = event->finish;
    if (event->finish == EET_FINISH_CANCELLED) {
        return EET_OK;
    }
    if (row->count == row->room) {
        const int32_t room = row->room > 0 ? 2 * row->room : DEFAULT_NEW;
        int32_t *ids = realloc(row->ids, (size_t)room * sizeof *ids);

        if (ids == NULL) {
            return no_memory(r);
        }
        row->ids = ids;
        float *log_probs = realloc(row->log_probs, (size_t)room * sizeof *log_probs);

        if (log_probs == NULL) {
            return no_memory(r);
        }
        row->log_probs = log_probs;
        row->room = room;
    }
    row->ids[row->count] = event->token;
    row->log_probs[row->count++] = event->log_prob;
    return EET_OK;
}

static eet_status stream_event(run *r, const eet_event *event) {
    const eet_record *record = &r->packed.record[event->row];

    if (r->options->json) {
        eet_json *line = eet_json_object();

        eet_json_set_integer(line, "schema_version", 1);
        eet_record_answer(record, line);
        eet_json_set_integer(line, "row", record->number);
        eet_json_set_integer(line, "token", event->token);
        eet_json_set_integer(line, "position", event->position);
        eet_json_set_real(line, "log_prob", (double)event->log_prob);
        eet_json_set_string(line, "finish", finish_names[event->finish]);
        const eet_status status = eet_json_write(line, stdout, true, r->err);

        if (status != EET_OK) {
            return status;
        }
    } else {
        (void)printf(r->result[event->row].count > 1 ? ",%d" : "%d", (int)event->token);
        if (event->finish != EET_FINISH_NONE) {
            (void)putchar('\n');
        }
    }
    if (fflush(stdout) != 0) {
        return eet_fail(r->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
    }
    return EET_OK;
}

static eet_status print_json(run *r, int32_t index) {
    const row_result *row = &r->result[index];
    eet_json *line = eet_json_object();
    eet_json *ids = eet_json_array();
    eet_json *log_probs = eet_json_array();

    for (int32_t i = 0; i < row->count; ++i) {
        eet_json_append_integer(ids, row->ids[i]);
        eet_json_append_real(log_probs, (double)row->log_probs[i]);
    }
    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&r->packed.record[index], line);
    eet_json_set_integer(line, "row", r->packed.record[index].number);
    eet_json_set(line, "ids", ids);
    eet_json_set(line, "log_probs", log_probs);
    eet_json_set_string(line, "finish", finish_names[row->finish]);
    return eet_json_write(line, stdout, true, r->err);
}

static eet_status print_results(run *r) {
    eet_status status = EET_OK;

    for (int32_t i = 0; i < r->packed.rows && status == EET_OK && !r->options->stream; ++i) {
        const row_result *row = &r->result[i];

        if (r->options->json) {
            status = print_json(r, i);
            continue;
        }
        for (int32_t j = 0; j < row->count; ++j) {
            (void)printf(j > 0 ? ",%d" : "%d", (int)row->ids[j]);
        }
        (void)putchar('\n');
    }
    return status;
}

static void forget_results(run *r) {
    for (int32_t i = 0; i < r->packed.room; ++i) {
        r->result[i].count = 0;
        r->result[i].finish = EET_FINISH_NONE;
    }
}

/* ---- generation --------------------------------------------------------- */

static eet_status take_events(run *r, eet_generation *generation) {
    int32_t count = 0;
    bool first = true;

    do {
        const double before = now();
        eet_status status =
            eet_generate_next(generation, r->events, r->packed.room, &count, r->err);

        r->next_seconds += now() - before;
        r->first_tokens += first ? count : 0;
        r->next_tokens += first ? 0 : count;
        first = false;
        for (int32_t i = 0; i < count && status == EET_OK; ++i) {
            status = note_event(r, &r->events[i]);
            if (status == EET_OK && r->options->stream) {
                status = stream_event(r, &r->events[i]);
            }
        }
        if (status != EET_OK) {
            return status;
        }
    } while (count > 0);
    return EET_OK;
}

static eet_status generate(run *r) {
    const run_options *o = r->options;
    const eet_generate_options wanted = {
        .size = sizeof wanted,
        .max_new_tokens = o->max_new_tokens > 0 ? (int32_t)o->max_new_tokens : DEFAULT_NEW,
        .ignore_eos = o->ignore_eos ? 1 : 0,
        .stop_count = r->stops,
        .stop = r->stop,
    };
    eet_generation *generation = NULL;
    const double before = now();
    eet_status status =
        eet_generate_begin(r->session, &r->packed.batch, &wanted, &generation, r->err);

    if (status != EET_OK) {
        return status;
    }
    r->prompt_seconds += now() - before;
    r->prompt_tokens += eet_packed_tokens(&r->packed);
    status = take_events(r, generation);
    eet_generate_end(generation);
    for (int32_t i = 0; i < r->packed.rows && status == EET_OK; ++i) {
        status = eet_sequence_trim(r->session, i, 0, r->err);
    }
    return status;
}

static void print_timings(const run *r) {
    (void)fprintf(stderr,
                  "prefill: %" PRId64 " tokens in %.3f s, %.1f tokens/s\n"
                  "decode: %" PRId64 " tokens in %.3f s, %.1f tokens/s\n",
                  r->prompt_tokens, r->prompt_seconds,
                  (double)r->prompt_tokens / (r->prompt_seconds > 0 ? r->prompt_seconds : 1),
                  r->next_tokens, r->next_seconds,
                  (double)r->next_tokens / (r->next_seconds > 0 ? r->next_seconds : 1));
}

/* Rows in the order they came, as many at a time as run together. */
static eet_status run_rows(run *r, const eet_record_rules *rules) {
    eet_records records = {.ids = &r->options->ids, .stream = stdin, .rules = rules};
    eet_record held = {0};
    eet_status status = EET_OK;

    do {
        forget_results(r);
        status = eet_packed_read(&r->packed, &records, &held, r->err);
        if (status == EET_OK && r->packed.rows > 0) {
            status = generate(r);
        }
        if (status == EET_OK) {
            status = print_results(r);
        }
        if (fflush(stdout) != 0 && status == EET_OK) {
            status = eet_fail(r->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
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
static int32_t rows_together(const run_options *o) {
    const int32_t batch = o->batch > 0 ? (int32_t)o->batch : DEFAULT_BATCH;

    if (o->stream && !o->json) {
        return 1;
    }
    return o->ids.count > 0 && o->ids.count < batch ? o->ids.count : batch;
}

static eet_status prepare(run *r, eet_model *model, eet_record_rules *rules) {
    const run_options *o = r->options;
    const int32_t rows = rows_together(o);
    const eet_session_options wanted = {
        .size = sizeof wanted,
        .threads = (int32_t)o->threads,
        .max_sequences = rows,
        .max_tokens = (int32_t)o->max_tokens,
    };
    eet_status status = EET_OK;

    if (o->stop != NULL) {
        status = eet_parse_ids(o->stop, "--stop", r->stop, MAX_STOPS, &r->stops, r->err);
    }
    if (status == EET_OK) {
        status = eet_record_rules_of(model, false, rules, r->err);
    }
    if (status == EET_OK) {
        status = eet_session_create(model, &wanted, &r->session, r->err);
    }
    if (status == EET_OK) {
        status = eet_packed_make(&r->packed, rows, r->err);
    }
    r->result = calloc((size_t)rows, sizeof *r->result);
    r->events = calloc((size_t)rows, sizeof *r->events);
    if (status == EET_OK && (r->result == NULL || r->events == NULL)) {
        status = no_memory(r);
    }
    return status;
}

static eet_status run_model(const run_options *o, const char *path, eet_error *err) {
    run r = {.options = o, .err = err};
    eet_model *model = NULL;
    eet_record_rules rules;
    eet_status status = eet_model_open(path, NULL, &model, err);

    if (status != EET_OK) {
        return status;
    }
    status = prepare(&r, model, &rules);
    if (status == EET_OK) {
        status = run_rows(&r, &rules);
    }
    for (int32_t i = 0; r.result != NULL && i < r.packed.room; ++i) {
        free(r.result[i].ids);
        free(r.result[i].log_probs);
    }
    free(r.result);
    free(r.events);
    eet_packed_free(&r.packed);
    eet_session_destroy(r.session);
    eet_model_close(model);
    return status;
}

static int body(void *fields, const eet_operands *operands) {
    const run_options *o = fields;
    eet_error err = {.status = EET_OK};

    return run_model(o, operands->items[0], &err) == EET_OK
               ? 0
               : eet_command_fail(&command, &err, NULL, o->json);
}

int main(int argc, char **argv) {
    run_options o = {.json = false};

    return eet_command_main(&command, argc, argv, &o, body);
}
