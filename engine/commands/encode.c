/* encode.c - eet-encode: hidden states, sentence vectors and the values of heads for
 * rows of token ids. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/npy.h"
#include "engine/commands/records.h"
#include "format/cli/signals.h"

enum { DEFAULT_BATCH = 16, DEFAULT_AT_ONCE = 2048, MAX_OUTPUTS = 16 };

typedef struct encode_options {
    eet_option_list ids, heads;
    const char *pooling, *format, *output;
    int64_t batch, threads;
    bool normalize, force;
} encode_options;

#define AT(field) (uint32_t) offsetof(encode_options, field)

static const eet_option options[] = {
    EET_OPTION_IDS(AT(ids)),
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

/* One output of a call. */
typedef struct wanted {
    const char *name; /* of a head, or NULL */
    int32_t head, take, width;
    int64_t rows; /* of the call at hand */
    float *values;
} wanted;

typedef struct encoding {
    const encode_options *options;
    eet_model *model;
    eet_session *session;
    int32_t at_once; /* tokens that the session computes at once */
    eet_packed packed;
    eet_npy *npy; /* NULL: JSON Lines */
    wanted output[MAX_OUTPUTS];
    int32_t outputs;
    int32_t *at;     /* of one call, for heads that take what is given */
    const char *key; /* of a result in JSON */
    eet_error *err;
} encoding;

/* ---- what is wanted ------------------------------------------------------ */

/* The head of this name, or -1. */
static int32_t number_of(const encoding *e, const char *name, eet_head_info *head) {
    *head = (eet_head_info){.size = sizeof *head};
    for (int32_t i = 0; eet_model_head(e->model, i, head, NULL) == EET_OK; ++i) {
        if (strcmp(head->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static eet_status add_head(encoding *e, const char *name) {
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
    e->output[e->outputs++] =
        (wanted){.name = head.name, .head = number, .take = head.take, .width = head.width};
    return EET_OK;
}

/* The hidden states, pooled in a way that needs no head. */
static eet_status add_hidden(encoding *e, int32_t take) {
    eet_model_info info = {.size = sizeof info};
    eet_fact hidden = {.size = sizeof hidden}; /* of the stack that an encoding runs */
    eet_status status = eet_model_describe(e->model, &info, e->err);

    if (status == EET_OK) {
        status = eet_model_fact(e->model, info.has_encoder ? "enc.hidden" : "dec.hidden", &hidden,
                                e->err);
    }
    e->output[e->outputs++] =
        (wanted){.head = EET_HIDDEN, .take = take, .width = (int32_t)hidden.integer};
    return status;
}

/* Of --pooling, and of neither: what the model says of itself, else a mean. */
static eet_status choose_pooling(encoding *e, const char *pooling) {
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
    if (pooling == NULL) {
        return number_of(e, "sentence", &head) >= 0 ? add_head(e, "sentence")
                                                    : add_hidden(e, EET_TAKE_MEAN);
    }
    if (strcmp(pooling, "pooler") == 0) {
        return add_head(e, "pooler");
    }
    while (strcmp(takes[i].name, pooling) != 0) { /* the option's choices are these */
        ++i;
    }
    return add_hidden(e, takes[i].take);
}

static eet_status choose_outputs(encoding *e) {
    const eet_option_list *heads = &e->options->heads;
    eet_status status = EET_OK;

    e->key = "values";
    for (int32_t i = 0; status == EET_OK && i < heads->count; ++i) {
        status = i == MAX_OUTPUTS ? eet_fail(e->err, EET_E_LIMIT, EET_NOWHERE,
                                             "--head is given more than %d times", MAX_OUTPUTS)
                                  : add_head(e, heads->items[i]);
    }
    return heads->count == 0 ? choose_pooling(e, e->options->pooling) : status;
}

static bool takes_given(const encoding *e) {
    for (int32_t i = 0; i < e->outputs; ++i) {
        if (e->output[i].take == EET_TAKE_GIVEN) {
            return true;
        }
    }
    return false;
}

static eet_status check_options(const encode_options *o, eet_error *err) {
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
    return EET_OK;
}

/* ---- results ------------------------------------------------------------ */

static void normalize(float *values, int64_t rows, int32_t width) {
    for (int64_t r = 0; r < rows; ++r) {
        float *row = values + r * width;
        double sum = 0.0;

        for (int32_t i = 0; i < width; ++i) {
            sum += (double)row[i] * (double)row[i];
        }
        const double length = fmax(sqrt(sum), 1e-12);

        for (int32_t i = 0; i < width; ++i) {
            row[i] = (float)((double)row[i] / length);
        }
    }
}

static eet_json *vector_of(const float *values, int32_t width) {
    eet_json *vector = eet_json_array();

    for (int32_t i = 0; i < width; ++i) {
        eet_json_append_real(vector, (double)values[i]);
    }
    return vector;
}

/* What an output has for a row: a vector, or a list of them, one a token. `at` is where
 * the row's given tokens begin. */
static eet_json *values_of(const encoding *e, const wanted *output, int32_t row, int64_t at) {
    const eet_record *record = &e->packed.record[row];
    const int32_t take = output->take;
    const bool is_list = take == EET_TAKE_EVERY || (take == EET_TAKE_GIVEN && record->at_listed);
    int64_t first = row;
    int64_t end = row + 1;

    if (take == EET_TAKE_EVERY) {
        first = e->packed.start[row];
        end = e->packed.start[row + 1];
    } else if (take == EET_TAKE_GIVEN) {
        first = at;
        end = at + record->at_count;
    }
    if (!is_list) {
        return vector_of(output->values + first * output->width, output->width);
    }
    eet_json *list = eet_json_array();

    for (int64_t i = first; i < end; ++i) {
        eet_json_append(list, vector_of(output->values + i * output->width, output->width));
    }
    return list;
}

static eet_status print_row(const encoding *e, int32_t row, int64_t at) {
    eet_json *line = eet_json_object();

    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&e->packed.record[row], line);
    if (e->outputs == 1) {
        eet_json_set(line, e->key, values_of(e, &e->output[0], row, at));
    } else {
        eet_json *all = eet_json_object();

        for (int32_t i = 0; i < e->outputs; ++i) {
            eet_json_set(all, e->output[i].name, values_of(e, &e->output[i], row, at));
        }
        eet_json_set(line, e->key, all);
    }
    return eet_json_write(line, stdout, true, e->err);
}

static eet_status put_results(encoding *e) {
    eet_status status = EET_OK;
    int64_t at = 0;

    for (int32_t i = 0; e->options->normalize && i < e->outputs; ++i) {
        normalize(e->output[i].values, e->output[i].rows, e->output[i].width);
    }
    if (e->npy != NULL) {
        return eet_npy_append(e->npy, e->output[0].values, e->output[0].rows, e->err);
    }
    for (int32_t r = 0; r < e->packed.rows && status == EET_OK; ++r) {
        status = print_row(e, r, at);
        at += e->packed.record[r].at_count;
    }
    return status;
}

/* ---- calls --------------------------------------------------------------- */

/* A session that computes the longest row of the call at once: a model without a bound on
 * its positions takes rows of any length. */
static eet_status make_session(encoding *e) {
    int32_t longest = DEFAULT_AT_ONCE;

    for (int32_t r = 0; r < e->packed.rows; ++r) {
        longest = e->packed.record[r].count > longest ? e->packed.record[r].count : longest;
    }
    if (e->session != NULL && longest <= e->at_once) {
        return EET_OK;
    }
    const eet_session_options wanted_session = {
        .size = sizeof wanted_session,
        .threads = (int32_t)e->options->threads,
        .max_batch_tokens = longest,
        .cache_tokens = 1, /* an encoding keeps no cache */
    };

    eet_session_destroy(e->session);
    e->session = NULL;
    e->at_once = longest;
    return eet_session_create(e->model, &wanted_session, &e->session, e->err);
}

/* Where the given tokens of all rows are among the packed ones; how many. */
static eet_status gather_given(encoding *e, int32_t *count) {
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

static eet_status set_output(encoding *e, wanted *w, int32_t given, eet_output *out) {
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

static eet_status encode_batch(encoding *e) {
    eet_output outputs[MAX_OUTPUTS];
    int32_t given = 0;
    eet_status status = gather_given(e, &given);

    for (int32_t i = 0; status == EET_OK && i < e->outputs; ++i) {
        status = set_output(e, &e->output[i], given, &outputs[i]);
    }
    if (status == EET_OK) {
        status = make_session(e);
    }
    if (status == EET_OK) {
        status = eet_encode(e->session, &e->packed.batch, outputs, e->outputs, e->err);
    }
    if (status == EET_OK) {
        status = put_results(e);
    }
    for (int32_t i = 0; i < e->outputs; ++i) {
        free(e->output[i].values);
        e->output[i].values = NULL;
    }
    free(e->at);
    e->at = NULL;
    return status;
}

static eet_status encode_rows(encoding *e, const eet_record_rules *rules) {
    eet_records records = {.ids = &e->options->ids, .stream = stdin, .rules = rules};
    eet_record held = {0};
    eet_status status = EET_OK;

    do {
        status = eet_packed_read(&e->packed, &records, &held, e->err);
        if (status == EET_OK && e->packed.rows > 0) {
            status = encode_batch(e);
        }
        if (fflush(stdout) != 0 && status == EET_OK) {
            status = eet_fail(e->err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
        }
    } while (status == EET_OK && e->packed.rows > 0);
    eet_record_free(&held);
    eet_records_end(&records);
    return status;
}

/* ---- the command -------------------------------------------------------- */

static eet_status prepare(encoding *e, eet_record_rules *rules) {
    const encode_options *o = e->options;
    eet_status status = choose_outputs(e);

    if (status == EET_OK) {
        status = eet_record_rules_of(e->model, true, rules, e->err);
    }
    if (status == EET_OK) {
        rules->at = takes_given(e);
        status = make_session(e);
    }
    if (status == EET_OK) {
        status =
            eet_packed_make(&e->packed, o->batch > 0 ? (int32_t)o->batch : DEFAULT_BATCH, e->err);
    }
    if (status == EET_OK && o->output != NULL) {
        status = eet_npy_create(o->output, o->force, e->output[0].width, &e->npy, e->err);
    }
    return status;
}

static eet_status encode(const encode_options *o, const char *path, eet_error *err) {
    encoding e = {.options = o, .err = err};
    eet_record_rules rules;
    eet_status status = check_options(o, err);

    if (status == EET_OK) {
        status = eet_model_open(path, NULL, &e.model, err);
    }
    if (status == EET_OK) {
        status = prepare(&e, &rules);
    }
    if (status == EET_OK) {
        status = encode_rows(&e, &rules);
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
    const encode_options *o = fields;
    eet_error err = {.status = EET_OK};

    return encode(o, operands->items[0], &err) == EET_OK
               ? 0
               : eet_command_fail(&command, &err, NULL, false);
}

int main(int argc, char **argv) {
    encode_options o = {.normalize = false};

    eet_signals_catch();
    return eet_command_main(&command, argc, argv, &o, body);
}
