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

enum { DEFAULT_BATCH = 16, DEFAULT_AT_ONCE = 2048 };

typedef struct encode_options {
    eet_option_list ids;
    const char *pooling, *head, *format, *output;
    int64_t batch, threads;
    bool normalize, force;
} encode_options;

#define AT(field) (uint32_t) offsetof(encode_options, field)

static const eet_option options[] = {
    {.name = "ids",
     .kind = EET_OPTION_LIST,
     .value = "1,2,3",
     .help = "a row of token ids; may be given several times",
     .offset = AT(ids)},
    {.name = "pooling",
     .kind = EET_OPTION_CHOICE,
     .value = "HOW",
     .choices = "none|cls|mean|pooler",
     .help = "none: one a token; cls, mean (default), pooler: one a row",
     .offset = AT(pooling)},
    {.name = "head",
     .kind = EET_OPTION_STRING,
     .value = "NAME",
     .help = "the values of a head of the model instead",
     .offset = AT(head)},
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
    {.name = "batch",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "rows that run together (16)",
     .low = 1,
     .high = 65536,
     .offset = AT(batch)},
    {.name = "threads",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .help = "threads (one per CPU)",
     .low = 1,
     .high = 1024,
     .offset = AT(threads)},
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

typedef struct encoding {
    const encode_options *options;
    eet_model *model;
    eet_session *session;
    eet_packed packed;
    eet_npy *npy; /* NULL: JSON Lines */
    int32_t head, take, width;
    const char *key; /* of a result in JSON */
    float *values;   /* of one call */
    eet_error *err;
} encoding;

/* ---- what is wanted ------------------------------------------------------ */

static eet_status find_head(encoding *e, const char *name, const eet_model_info *info) {
    eet_shown shown;

    for (int32_t i = 0; i < info->heads; ++i) {
        eet_head_info head = {.size = sizeof head};

        if (eet_model_head(e->model, i, &head, NULL) == EET_OK && strcmp(head.name, name) == 0) {
            e->head = i;
            e->take = head.take == EET_TAKE_GIVEN ? EET_TAKE_EVERY : head.take;
            e->width = head.width;
            return EET_OK;
        }
    }
    return eet_fail(e->err, EET_E_ARGUMENT, EET_NOWHERE,
                    "the model has no head \"%s\"; eet-inspect lists them",
                    eet_show(&shown, name, strlen(name)));
}

static eet_status choose_output(encoding *e) {
    const char *pooling = e->options->pooling != NULL ? e->options->pooling : "mean";
    eet_model_info info = {.size = sizeof info};
    eet_fact hidden = {.size = sizeof hidden}; /* of the stack that an encoding runs */
    eet_status status = eet_model_describe(e->model, &info, e->err);

    if (status == EET_OK) {
        status = eet_model_fact(e->model, info.has_encoder ? "enc.hidden" : "dec.hidden", &hidden,
                                e->err);
    }

    if (status != EET_OK) {
        return status;
    }
    e->head = EET_HIDDEN;
    e->width = (int32_t)hidden.integer;
    e->key = "embedding";
    if (e->options->head != NULL) {
        e->key = "values";
        return find_head(e, e->options->head, &info);
    }
    if (strcmp(pooling, "pooler") == 0) {
        return find_head(e, "pooler", &info);
    }
    e->take = EET_TAKE_MEAN;
    if (strcmp(pooling, "none") == 0) {
        e->take = EET_TAKE_EVERY;
        e->key = "hidden";
    } else if (strcmp(pooling, "cls") == 0) {
        e->take = EET_TAKE_FIRST;
    }
    return EET_OK;
}

static eet_status check_options(const encode_options *o, eet_error *err) {
    const bool npy = o->format != NULL && strcmp(o->format, "npy") == 0;

    if (o->head != NULL && o->pooling != NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--head and --pooling exclude each other");
    }
    if (npy != (o->output != NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--format npy and -o FILE go together");
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

static eet_status print_row(const encoding *e, int32_t row) {
    const bool every = e->take == EET_TAKE_EVERY;
    const int64_t first = every ? e->packed.start[row] : row;
    const int64_t end = every ? e->packed.start[row + 1] : row + 1;
    eet_json *line = eet_json_object();
    eet_json *vectors = eet_json_array();

    eet_json_set_integer(line, "schema_version", 1);
    eet_record_answer(&e->packed.record[row], line);
    for (int64_t i = first; i < end && every; ++i) {
        eet_json_append(vectors, vector_of(e->values + i * e->width, e->width));
    }
    if (every) {
        eet_json_set(line, e->key, vectors);
    } else {
        eet_json_free(vectors);
        eet_json_set(line, e->key, vector_of(e->values + first * e->width, e->width));
    }
    return eet_json_write(line, stdout, true, e->err);
}

static eet_status put_results(encoding *e, int64_t rows) {
    eet_status status = EET_OK;

    if (e->options->normalize) {
        normalize(e->values, rows, e->width);
    }
    if (e->npy != NULL) {
        return eet_npy_append(e->npy, e->values, rows, e->err);
    }
    for (int32_t r = 0; r < e->packed.rows && status == EET_OK; ++r) {
        status = print_row(e, r);
    }
    return status;
}

static eet_status encode_batch(encoding *e) {
    const int64_t rows = e->take == EET_TAKE_EVERY ? eet_packed_tokens(&e->packed) : e->packed.rows;
    const uint64_t bytes = (uint64_t)rows * (uint64_t)e->width * sizeof *e->values;

    e->values = malloc((size_t)bytes);
    if (e->values == NULL) {
        return eet_fail(e->err, EET_E_MEMORY, EET_NOWHERE, "no memory for the results");
    }
    const eet_output output = {
        .size = sizeof output,
        .head = e->head,
        .take = e->take,
        .data = e->values,
        .bytes = bytes,
    };
    eet_status status = eet_encode(e->session, &e->packed.batch, &output, 1, e->err);

    if (status == EET_OK) {
        status = put_results(e, rows);
    }
    free(e->values);
    e->values = NULL;
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
    eet_session_options wanted = {
        .size = sizeof wanted,
        .threads = (int32_t)o->threads,
        .max_batch_tokens = DEFAULT_AT_ONCE,
        .cache_tokens = 1, /* an encoding keeps no cache */
    };
    eet_status status = choose_output(e);

    if (status == EET_OK) {
        status = eet_record_rules_of(e->model, true, rules, e->err);
    }
    if (status == EET_OK && rules->positions > wanted.max_batch_tokens) {
        wanted.max_batch_tokens = rules->positions;
    }
    if (status == EET_OK) {
        status = eet_session_create(e->model, &wanted, &e->session, e->err);
    }
    if (status == EET_OK) {
        status =
            eet_packed_make(&e->packed, o->batch > 0 ? (int32_t)o->batch : DEFAULT_BATCH, e->err);
    }
    if (status == EET_OK && o->output != NULL) {
        status = eet_npy_create(o->output, o->force, e->width, &e->npy, e->err);
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
