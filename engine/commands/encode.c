/* encode.c - eet-encode: hidden states, sentence vectors and the values of heads for
 * rows of token ids. */
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/commands/device.h"
#include "engine/commands/encode.h"
#include "format/cli/signals.h"

enum { DEFAULT_BATCH = 16, DEFAULT_AT_ONCE = 2048 };

#define AT(field) (uint32_t) offsetof(eet_encode_options, field)

static const eet_option options[] = {
    EET_OPTION_IDS(AT(ids)),
    EET_OPTION_SOURCE_IDS(AT(source_ids)),
    {.name = "pooling",
     .kind = EET_OPTION_CHOICE,
     .value = "HOW",
     .choices = "none|cls|last|mean|pooler",
     .help = "none: one a token; others: one a row",
     .offset = AT(pooling)},
    {.name = "head",
     .kind = EET_OPTION_LIST,
     .value = "NAME",
     .help = "the values of a head of the model, repeatable",
     .offset = AT(heads)},
    {.name = "normalize", .help = "scale vectors to length 1", .offset = AT(normalize)},
    {.name = "format",
     .kind = EET_OPTION_CHOICE,
     .value = "FORMAT",
     .choices = "jsonl|npy",
     .help = "JSON Lines (default), or npy into -o FILE",
     .offset = AT(format)},
    {.name = "output",
     .letter = 'o',
     .kind = EET_OPTION_STRING,
     .value = "FILE",
     .help = "where --format npy writes (rows or tokens, width)",
     .offset = AT(output)},
    {.name = "force", .help = "replace an existing FILE of -o", .offset = AT(force)},
    EET_OPTION_BATCH("rows that run together (16)", AT(batch)),
    EET_OPTION_THREADS(AT(threads)),
    EET_OPTION_DEVICE(AT(device)),
    EET_OPTION_DTYPE(AT(dtype)),
    EET_OPTION_TIMINGS(AT(timings)),
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-encode bert.eet --ids 101,7592,102 --normalize     # one sentence vector",
    "eet-encode bert.eet --pooling none < rows.jsonl        # {\"ids\": [...]}",
    "eet-encode bert.eet --format npy -o out.npy < rows.jsonl",
};

static const eet_command command = {
    .name = "eet-encode",
    .usage = "[OPTIONS] MODEL.eet [< ROWS.jsonl]",
    .summary = "Gives hidden states, sentence vectors or a head's values for rows of token ids.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = 1,
    .suffix = ".eet",
};

/* ---- what is wanted ------------------------------------------------------ */

/* The head of this name, or -1. */
static int32_t number_of(const eet_encoding *e, const char *name, eet_head_info *head) {
    *head = (eet_head_info){.size = sizeof *head};
    for (int32_t i = 0; eet_model_head(e->model, i, head, NULL) == EET_OK; ++i) {
        if (strcmp(head->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static eet_status add_head(eet_encoding *e, const char *name) {
    eet_head_info head;
    const int32_t number = number_of(e, name, &head);
    eet_shown shown;

    if (number < 0) {
        return eet_fail(e->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "the model has no head \"%s\"; eet-inspect lists them",
                        eet_show(&shown, name, strlen(name)));
    }
    for (int32_t i = 0; i < e->outputs; ++i) {
        if (e->output[i].head == number) {
            return eet_fail(e->err, EET_E_ARGUMENT, EET_NOWHERE, "--head %s is given twice",
                            head.name);
        }
    }
    e->output[e->outputs++] = (eet_encoding_output){
        .name = head.name, .head = number, .take = head.take, .width = head.width};
    return EET_OK;
}

/* The hidden states, pooled in a way that needs no head. */
static void add_hidden(eet_encoding *e, int32_t take) {
    e->output[e->outputs++] = (eet_encoding_output){.head = EET_HIDDEN, .take = take};
}

/* Of --pooling, and of neither: what the model says of itself, else a mean. */
static eet_status choose_pooling(eet_encoding *e, const char *pooling) {
    static const struct {
        const char *name;
        int32_t take;
    } takes[] = {{"none", EET_TAKE_EVERY},
                 {"cls", EET_TAKE_FIRST},
                 {"last", EET_TAKE_LAST},
                 {"mean", EET_TAKE_MEAN}};
    eet_head_info head;
    int i = 0;

    e->key = pooling != NULL && strcmp(pooling, "none") == 0 ? "hidden" : "embedding";
    if (pooling == NULL && number_of(e, "sentence", &head) >= 0) {
        return add_head(e, "sentence");
    }
    if (pooling == NULL) {
        add_hidden(e, EET_TAKE_MEAN);
        return EET_OK;
    }
    if (strcmp(pooling, "pooler") == 0) {
        return add_head(e, "pooler");
    }
    while (strcmp(takes[i].name, pooling) != 0) { /* the option's choices are these */
        ++i;
    }
    add_hidden(e, takes[i].take);
    return EET_OK;
}

static eet_status choose_outputs(eet_encoding *e) {
    const eet_option_list *heads = &e->options->heads;
    eet_status status = EET_OK;

    e->key = "values";
    for (int32_t i = 0; status == EET_OK && i < heads->count; ++i) {
        status = i == EET_ENCODING_OUTPUTS
                     ? eet_fail(e->err, EET_E_LIMIT, EET_NOWHERE,
                                "--head is given more than %d times", EET_ENCODING_OUTPUTS)
                     : add_head(e, heads->items[i]);
    }
    return heads->count == 0 ? choose_pooling(e, e->options->pooling) : status;
}

static bool takes_given(const eet_encoding *e) {
    for (int32_t i = 0; i < e->outputs; ++i) {
        if (e->output[i].take == EET_TAKE_GIVEN) {
            return true;
        }
    }
    return false;
}

static eet_status check_options(const eet_encode_options *o, eet_error *err) {
    const bool npy = o->format != NULL && strcmp(o->format, "npy") == 0;

    if (o->heads.count > 0 && o->pooling != NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--head and --pooling exclude each other");
    }
    if (npy != (o->output != NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--format npy and -o FILE go together");
    }
    if (npy && o->heads.count > 1) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "an npy file holds one --head");
    }
    if (npy && strcmp(o->output, "-") == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "npy is written to a file, not to standard output");
    }
    return eet_records_check_options(&o->ids, &o->source_ids, err);
}

/* ---- calls --------------------------------------------------------------- */

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* A session that computes the longest row of the call at once: a model without a bound on
 * its positions takes rows of any length. A source, too, goes through in one piece. */
static eet_status make_session(eet_encoding *e) {
    const int32_t sources = e->packed.sources.rows;
    int32_t source_tokens = 0;
    int32_t longest = DEFAULT_AT_ONCE;

    for (int32_t r = 0; r < e->packed.rows; ++r) {
        source_tokens = larger(source_tokens, e->packed.record[r].source_count);
        longest = larger(longest, e->packed.record[r].count);
    }
    longest = larger(longest, source_tokens);
    if (e->session != NULL && longest <= e->at_once && sources <= e->sources &&
        source_tokens <= e->source_tokens) {
        return EET_OK;
    }
    e->at_once = larger(longest, e->at_once);
    e->sources = larger(sources, e->sources);
    e->source_tokens = larger(source_tokens, e->source_tokens);
    const eet_session_options wanted = {
        .size = sizeof wanted,
        .threads = (int32_t)e->options->threads,
        .max_tokens = 1,
        .max_batch_tokens = e->at_once,
        .cache_tokens = e->sources > 0 ? 0 : 1, /* an encoding keeps its sources alone */
        .max_sources = e->sources,
        .source_tokens = e->source_tokens,
    };

    eet_session_destroy(e->session);
    e->session = NULL;
    return eet_session_create(e->model, &wanted, &e->session, e->err);
}

/* Where the given tokens of all rows are among the packed ones; how many. */
static eet_status gather_given(eet_encoding *e, int32_t *count) {
    int64_t all = 0;

    for (int32_t r = 0; r < e->packed.rows; ++r) {
        all += e->packed.record[r].at_count;
    }
    e->at = calloc((size_t)all + 1, sizeof *e->at);
    *count = 0;
    if (e->at == NULL || all > INT32_MAX) {
        return eet_fail(e->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the given tokens");
    }
    for (int32_t r = 0; r < e->packed.rows; ++r) {
        const eet_record *record = &e->packed.record[r];

        for (int32_t i = 0; i < record->at_count; ++i) {
            e->at[(*count)++] = e->packed.start[r] + record->at[i];
        }
    }
    return EET_OK;
}

static eet_status set_output(eet_encoding *e, eet_encoding_output *w, int32_t given,
                             eet_output *out) {
    w->rows = w->take == EET_TAKE_EVERY   ? eet_packed_tokens(&e->packed)
              : w->take == EET_TAKE_GIVEN ? given
                                          : e->packed.rows;
    const uint64_t bytes = (uint64_t)w->rows * (uint64_t)w->width * sizeof *w->values;

    w->values = malloc((size_t)bytes + 1);
    *out = (eet_output){
        .size = sizeof *out,
        .head = w->head,
        .take = w->head == EET_HIDDEN ? w->take : EET_TAKE_DEFAULT,
        .at = e->at,
        .count = given,
        .data = w->values,
        .bytes = bytes,
    };
    return w->values != NULL
               ? EET_OK
               : eet_fail(e->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the results");
}

static double now(void) {
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* What --timings times: the calls alone. */
static eet_status run_batch(eet_encoding *e, const eet_output *outputs) {
    const eet_batch *sources = &e->packed.sources;
    const double before = now();
    eet_status status = EET_OK;

    if (sources->rows > 0) {
        status = eet_source(e->session, sources, e->err);
        e->tokens += sources->start[sources->rows];
    }
    if (status == EET_OK) {
        status = eet_encode(e->session, &e->packed.batch, outputs, e->outputs, e->err);
    }
    e->tokens += eet_packed_tokens(&e->packed);
    e->seconds += now() - before;
    return status;
}

static void print_timings(const eet_encoding *e) {
    (void)fprintf(stderr, "encode: %" PRId64 " tokens in %.3f s, %.1f tokens/s\n", e->tokens,
                  e->seconds, (double)e->tokens / (e->seconds > 0 ? e->seconds : 1));
    eet_device_tell_memory(e->session);
}

static eet_status encode_batch(eet_encoding *e) {
    eet_output outputs[EET_ENCODING_OUTPUTS];
    int32_t given = 0;
    eet_status status = gather_given(e, &given);

    for (int32_t i = 0; status == EET_OK && i < e->outputs; ++i) {
        status = set_output(e, &e->output[i], given, &outputs[i]);
    }
    if (status == EET_OK) {
        status = make_session(e);
    }
    if (status == EET_OK) {
        status = run_batch(e, outputs);
    }
    if (status == EET_OK) {
        status = eet_encoding_print(e);
    }
    for (int32_t i = 0; i < e->outputs; ++i) {
        free(e->output[i].values);
        e->output[i].values = NULL;
    }
    free(e->at);
    e->at = NULL;
    return status;
}

/* A head reads the stack that runs: the decoder where rows have source ids, else the encoder. */
static eet_status check_heads(const eet_encoding *e, const char *runs) {
    for (int32_t i = 0; i < e->outputs; ++i) {
        const eet_encoding_output *output = &e->output[i];
        eet_fact stack = {.size = sizeof stack};
        char key[32];

        (void)snprintf(key, sizeof key, "head.%d.stack", (int)output->head);
        if (output->head == EET_HIDDEN || eet_model_fact(e->model, key, &stack, NULL) != EET_OK ||
            strcmp(stack.text, runs) == 0) {
            continue;
        }
        return eet_fail(e->err, EET_E_ARGUMENT, EET_NOWHERE,
                        strcmp(runs, "enc") == 0
                            ? "head \"%s\" reads the decoder; give --source-ids, or "
                              "\"source_ids\" in every line"
                            : "head \"%s\" reads the encoder; leave the source ids out",
                        output->name);
    }
    return EET_OK;
}

/* What is known with the first row: whether the decoder runs. */
static eet_status begin(eet_encoding *e, bool sourced) {
    const eet_encode_options *o = e->options;
    eet_model_info info = {.size = sizeof info};
    eet_fact hidden = {.size = sizeof hidden};
    eet_status status = eet_model_describe(e->model, &info, e->err);

    const bool encodes = info.has_encoder && !(sourced && info.has_decoder);

    if (status == EET_OK) {
        status = eet_model_fact(e->model, encodes ? "enc.hidden" : "dec.hidden", &hidden, e->err);
    }
    if (status == EET_OK && info.has_cross) {
        status = check_heads(e, encodes ? "enc" : "dec");
    }
    for (int32_t i = 0; i < e->outputs; ++i) {
        if (e->output[i].head == EET_HIDDEN) {
            e->output[i].width = (int32_t)hidden.integer;
        }
    }
    if (status == EET_OK && o->output != NULL) {
        status = eet_npy_create(o->output, o->force, e->output[0].width, &e->npy, e->err);
    }
    return status;
}

static eet_status encode_rows(eet_encoding *e, eet_records *records) {
    eet_record held = {0};
    bool begun = false;
    eet_status status = EET_OK;

    do {
        status = eet_packed_read(&e->packed, records, &held, e->err);
        if (status == EET_OK && !begun) {
            status = begin(e, records->rules->source);
            begun = true;
        }
        if (status == EET_OK && e->packed.rows > 0) {
            status = encode_batch(e);
        }
        if (fflush(stdout) != 0 && status == EET_OK) {
            status = eet_fail(e->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
        }
    } while (status == EET_OK && e->packed.rows > 0);
    eet_record_free(&held);
    eet_records_end(records);
    return status;
}

/* ---- the command -------------------------------------------------------- */

static eet_status prepare(eet_encoding *e, eet_record_rules *rules, eet_record_rules *sourced) {
    const eet_encode_options *o = e->options;
    eet_status status = choose_outputs(e);

    if (status == EET_OK) {
        status = eet_record_rules_of(e->model, true, false, rules, e->err);
    }
    if (status == EET_OK) {
        status = eet_record_rules_of(e->model, true, true, sourced, e->err);
    }
    if (status == EET_OK) {
        rules->at = takes_given(e);
        sourced->at = rules->at;
        status =
            eet_packed_make(&e->packed, o->batch > 0 ? (int32_t)o->batch : DEFAULT_BATCH, e->err);
    }
    return status;
}

static eet_status encode(const eet_encode_options *o, const char *path, eet_error *err) {
    eet_encoding e = {.options = o, .err = err};
    eet_record_rules rules;
    eet_record_rules sourced;
    eet_status status = check_options(o, err);

    if (status == EET_OK) {
        status = eet_device_open(path, o->device, o->dtype, &e.model, err);
    }
    if (status == EET_OK) {
        status = prepare(&e, &rules, &sourced);
    }
    if (status == EET_OK) {
        eet_records records = {.ids = &o->ids,
                               .source_ids = &o->source_ids,
                               .stream = stdin,
                               .rules = &rules,
                               .sourced = sourced.source ? &sourced : NULL};

        status = encode_rows(&e, &records);
        if (status == EET_OK && o->timings) {
            print_timings(&e);
        }
    }
    if (status == EET_OK && e.npy != NULL) {
        status = eet_npy_commit(e.npy, err);
    }
    eet_npy_free(e.npy);
    eet_packed_free(&e.packed);
    eet_session_destroy(e.session);
    eet_model_close(e.model);
    return status;
}

static int body(void *fields, const eet_operands *operands) {
    const eet_encode_options *o = fields;
    eet_error err = {.status = EET_OK};

    return encode(o, operands->items[0], &err) == EET_OK
               ? 0
               : eet_command_fail(&command, &err, NULL, false);
}

int main(int argc, char **argv) {
    eet_encode_options o = {.normalize = false};

    eet_signals_catch();
    return eet_command_main(&command, argc, argv, &o, body);
}
