/* main.c - eet-convert: a checkpoint becomes one .eet file. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "converter/convert.h"
#include "converter/report.h"
#include "format/cli/options.h"
#include "format/cli/signals.h"
#include "format/cli/text.h"

typedef struct settings {
    const char *output, *config, *weights, *arch, *dtype, *allow_unused, *final_norm;
    bool dry_run, json, force, hash_source, clamp, allow_nonfinite, follow_symlinks, quiet;
    bool no_sentence_head;
    bool print_supported_models;
    eet_option_list metadata;
} settings;

#define FLAG(field, option_name, text)                                  \
    {                                                                   \
        .name = (option_name), .kind = EET_OPTION_FLAG, .help = (text), \
        .offset = offsetof(settings, field)                             \
    }
#define BRIEF(field, option_name, text)                                                \
    {                                                                                  \
        .name = (option_name), .kind = EET_OPTION_FLAG, .brief = true, .help = (text), \
        .offset = offsetof(settings, field)                                            \
    }
#define STRING(field, option_name, what, text)                                             \
    {                                                                                      \
        .name = (option_name), .kind = EET_OPTION_STRING, .value = (what), .help = (text), \
        .offset = offsetof(settings, field)                                                \
    }

static const eet_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = EET_OPTION_STRING,
     .value = "FILE",
     .help = "the file to write (default: NAME.eet here)",
     .offset = offsetof(settings, output)},
    STRING(config, "config", "FILE", "the config.json to read"),
    STRING(weights, "weights", "FILE", "the checkpoint to read in a folder with several"),
    STRING(arch, "arch", "NAME", "read it as this architecture"),
    {.name = "dtype",
     .kind = EET_OPTION_CHOICE,
     .value = "TYPE",
     .help = "keep (default), f32, f16 or bf16",
     .choices = "keep|f32|f16|bf16",
     .offset = offsetof(settings, dtype)},
    FLAG(clamp, "clamp", "write the largest number where one overflows"),
    FLAG(allow_nonfinite, "allow-nonfinite", "keep NaN and infinity"),
    STRING(allow_unused, "allow-unused", "REGEX", "tensors that may be left out"),
    {.name = "metadata",
     .kind = EET_OPTION_LIST,
     .value = "KEY=VALUE",
     .help = "a note to keep in the file, repeatable",
     .offset = offsetof(settings, metadata)},
    {.name = "final-norm",
     .kind = EET_OPTION_CHOICE,
     .value = "WHAT",
     .brief = true,
     .help = "keep or drop a Fairseq norm whose version is not known",
     .choices = "keep|drop",
     .offset = offsetof(settings, final_norm)},
    BRIEF(no_sentence_head, "no-sentence-head", "leave out what modules.json adds to the model"),
    BRIEF(hash_source, "hash-source", "keep the SHA-256 of the checkpoint too"),
    FLAG(follow_symlinks, "follow-symlinks", "follow any symbolic link"),
    FLAG(force, "force", "replace FILE"),
    FLAG(dry_run, "dry-run", "say what would be done, write nothing"),
    FLAG(json, "json", "one JSON document on standard output"),
    {.name = "quiet",
     .letter = 'q',
     .kind = EET_OPTION_FLAG,
     .help = "no notes, no progress",
     .offset = offsetof(settings, quiet)},
    FLAG(print_supported_models, "print-supported-models", "list them and end"),
    {0},
};

static const char *const examples[] = {
    "eet-convert ./gpt2                          # writes gpt2.eet",
    "eet-convert model.bin --config config.json --dtype f16 -o small.eet",
    "eet-convert ./bert --dry-run                # tensors, sizes, nothing written",
};

static const eet_command command = {
    .name = "eet-convert",
    .usage = "[OPTIONS] FOLDER|CHECKPOINT",
    .summary = "Converts a checkpoint of Transformers into one .eet file.",
    .options = options,
    .examples = examples,
    .min_operands = 0,
    .max_operands = 1,
};

static eet_status begin(eet_writer *writer, eet_error *err) {
    eet_signals_hold();
    eet_signals_watch(eet_writer_temporary(writer));
    const eet_status status = eet_writer_begin(writer, err);

    eet_signals_release();
    return status;
}

static void show_progress(void *context, uint64_t places, uint64_t bytes) {
    eet_progress_step(context, places, bytes);
}

static eet_status check_target(const settings *s, const char *target, eet_error *err) {
    struct stat about;

    if (strcmp(target, "-") == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a .eet file is not written to standard output; -o FILE names one");
    }
    const bool there = lstat(target, &about) == 0;

    if (there && S_ISDIR(about.st_mode)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "it is a folder; -o names the file to write");
    }
    if (there && !s->force) {
        return eet_fail(err, EET_E_EXISTS, EET_NOWHERE, "it is there already; --force replaces it");
    }
    return EET_OK;
}

/* Not even --force puts the result in place of what it is made of. */
static eet_status check_inputs(const eet_conversion *c, const char *target, eet_error *err) {
    struct stat about;
    struct stat config;

    if (stat(target, &about) != 0) {
        return EET_OK;
    }
    bool is_input = c->inputs.config != NULL && stat(c->inputs.config, &config) == 0 &&
                    config.st_dev == about.st_dev && config.st_ino == about.st_ino;

    for (int32_t i = -1; i < c->sentence.denses; i++) {
        const eet_source *source = i < 0 ? c->source : c->sentence.dense[i].source;

        is_input = is_input || (source != NULL && eet_source_is_of(source, (uint64_t)about.st_dev,
                                                                   (uint64_t)about.st_ino));
    }
    return is_input ? eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                               "it is what is converted; -o FILE names another")
                    : EET_OK;
}

/* The file to write: -o, or the model's name here. */
static eet_status choose_target(const settings *s, const eet_conversion *c, char **target,
                                eet_error *err) {
    const size_t room = strlen(c->inputs.name) + 8;

    *target = s->output != NULL ? strdup(s->output) : malloc(room);
    if (*target == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a path");
    }
    if (s->output == NULL) {
        (void)snprintf(*target, room, "%s.eet", c->inputs.name);
    }
    const eet_status status = check_target(s, *target, err);

    return status == EET_OK ? check_inputs(c, *target, err) : status;
}

/* The file is made of what was read; *at_target: an error is about the file. */
static eet_status write_file(const settings *s, eet_conversion *c, eet_writer *writer,
                             bool *at_target, eet_error *err) {
    const bool quiet = s->quiet || s->json;
    eet_status status = begin(writer, err);

    *at_target = true;
    if (status == EET_OK) {
        eet_progress *bar =
            eet_progress_begin("tensor", (uint64_t)c->plan.places, c->weight_bytes, quiet);

        status = eet_conversion_write(c, writer, show_progress, bar, err);
        eet_progress_end(bar);
        *at_target = status == EET_OK || c->at_target;
    }
    return status == EET_OK ? eet_writer_commit(writer, err) : status;
}

static eet_status convert(const settings *s, eet_conversion *c, const char *target, bool *at_target,
                          eet_error *err) {
    const eet_writer_options how = {.force = s->force};
    eet_writer *writer = NULL;
    eet_status status = eet_writer_create(target, &how, &writer, err);

    *at_target = status != EET_OK;
    if (status == EET_OK) {
        status = eet_conversion_declare(c, writer, err);
    }
    if (status == EET_OK && !s->dry_run) {
        status = write_file(s, c, writer, at_target, err);
    }
    if (status == EET_OK) {
        const eet_report report = {c, writer, target, s->dry_run};

        status = s->json ? eet_report_json(&report, err) : eet_report_text(&report, err);
    }
    eet_signals_hold();
    eet_signals_watch(NULL);
    eet_writer_free(writer);
    eet_signals_release();
    return status;
}

static void print_notes(const eet_conversion *c, const settings *s) {
    for (int32_t i = 0; !s->quiet && i < c->notes.count; i++) {
        (void)fprintf(stderr, "eet-convert: note: %s\n", c->notes.line[i]);
    }
}

static eet_dtype wanted_dtype(const settings *s) {
    return s->dtype == NULL || strcmp(s->dtype, "keep") == 0 ? EET_DTYPE_NONE
                                                             : eet_dtype_named(s->dtype);
}

/* The whole conversion; *about is the path that an error is about, the operand or *target,
 * which the caller frees. */
static eet_status run_steps(const settings *s, eet_conversion *c, const eet_convert_options *wanted,
                            char **target, const char **about, eet_error *err) {
    const char *operand = *about;
    bool at_target = true;
    eet_status status = s->output != NULL ? check_target(s, s->output, err) : EET_OK;

    if (status != EET_OK) {
        *about = s->output;
        return status;
    }
    status = eet_conversion_open(operand, wanted, c, err);
    print_notes(c, s);
    if (status != EET_OK) {
        return status;
    }
    status = choose_target(s, c, target, err);
    if (status == EET_OK) {
        status = convert(s, c, *target, &at_target, err);
    }
    *about = at_target && *target != NULL ? *target : operand;
    return status;
}

static int run(const settings *s, const char *operand) {
    const eet_convert_options wanted = {
        .config = s->config,
        .weights = s->weights,
        .arch = s->arch,
        .allow_unused = s->allow_unused,
        .emit = {wanted_dtype(s), s->clamp, s->allow_nonfinite},
        .hash_source = s->hash_source,
        .follow_symlinks = s->follow_symlinks,
        .final_norm = s->final_norm,
        .no_sentence_head = s->no_sentence_head,
        .metadata = s->metadata.items,
        .metadata_count = s->metadata.count,
    };
    const char *about = operand;
    char *target = NULL;
    eet_conversion c = {0};
    eet_error err = {0};
    const eet_status status = run_steps(s, &c, &wanted, &target, &about, &err);
    const int code = status == EET_OK ? 0 : eet_command_fail(&command, &err, about, s->json);

    eet_conversion_free(&c);
    free(target);
    return code;
}

static int body(void *fields, const eet_operands *operands) {
    const settings *s = fields;
    eet_error err = {0};

    if (s->print_supported_models) {
        return eet_report_models(s->json, &err) == EET_OK
                   ? 0
                   : eet_command_fail(&command, &err, NULL, s->json);
    }
    if (operands->count != 1) {
        (void)eet_fail(&err, EET_E_ARGUMENT, EET_NOWHERE,
                       "a folder or a checkpoint is missing; eet-convert --help shows how");
        return eet_command_fail(&command, &err, NULL, s->json);
    }
    return run(s, operands->items[0]);
}

int main(int argc, char **argv) {
    settings s = {0};

    eet_signals_catch();
    return eet_command_main(&command, argc, argv, &s, body);
}
