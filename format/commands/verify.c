/* verify.c - eet-verify: checks .eet files, by default all there is to check
 * (level 2), and says what was checked. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "format/cli/json.h"
#include "format/cli/options.h"
#include "format/cli/text.h"
#include "format/commands/values.h"
#include "format/commands/verify_against.h"
#include "format/verify.h"

enum { DEEPEST = 2, EXIT_CHECK_FAILED = 1, NAMED = 16 };

typedef struct fields {
    bool json, quick, deep, quiet;
    int64_t level;
    const char *against, *config, *arch;
    double atol, rtol; /* negative: not given */
} fields;

#define AT(field) (uint32_t) offsetof(fields, field)

static const eet_option options[] = {
    {.name = "level",
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .low = 0,
     .high = DEEPEST,
     .help = "0 structure, 1 and checksums, 2 and SHA-256 (default)",
     .offset = AT(level)},
    {.name = "quick", .help = "the same as --level 0", .offset = AT(quick)},
    {.name = "deep", .help = "level 2, and no weight is NaN or infinite", .offset = AT(deep)},
    {.name = "against",
     .kind = EET_OPTION_STRING,
     .value = "PATH",
     .help = "compare weights with those of the checkpoint PATH",
     .offset = AT(against)},
    {.name = "atol",
     .kind = EET_OPTION_REAL,
     .value = "X",
     .help = "with --against: weights may be X apart",
     .low = 0,
     .high = 1000000,
     .offset = AT(atol)},
    {.name = "rtol",
     .kind = EET_OPTION_REAL,
     .value = "X",
     .help = "... and X times the size of the checkpoint's",
     .low = 0,
     .high = 1000000,
     .offset = AT(rtol)},
    {.name = "config",
     .kind = EET_OPTION_STRING,
     .value = "FILE",
     .help = "with --against: the config.json of the checkpoint",
     .offset = AT(config)},
    {.name = "arch",
     .kind = EET_OPTION_STRING,
     .value = "NAME",
     .help = "with --against: read it as this architecture",
     .offset = AT(arch)},
    {.name = "quiet", .letter = 'q', .help = "say nothing about good files", .offset = AT(quiet)},
    {.name = "json", .help = "one JSON document instead of text", .offset = AT(json)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-verify gpt2.eet           # every byte and digest",
    "eet-verify --quick *.eet      # structure alone, in milliseconds",
    "eet-verify --against ./gpt2 gpt2.eet   # its weights are the checkpoint's",
};

static const eet_command command = {
    .name = "eet-verify",
    .usage = "[OPTIONS] FILE...",
    .summary = "Checks .eet files. Exit 0: good; 4: damaged; 1: --deep or --against failed.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = -1,
    .suffix = ".eet",
};

/* What is checked up to each level, for people and for "checked". */
static const char *const checks[] = {"structure", "checksums", "SHA-256 and padding"};

/* One file's result. */
typedef struct result {
    const char *path;
    eet_error err; /* status EET_OK: good, or only the census failed */
    eet_file *file;
    eet_census census; /* of all tensors */
    int32_t bad;       /* how many have NaN or infinity */
    eet_against against;
    const char *about; /* what an error is about, where that is not the file */
} result;

/* Number `index` of what is checked; NULL: no more. */
static const char *check_at(const fields *f, int32_t index) {
    const int32_t more = index - (int32_t)f->level - 1;

    if (more < 0) {
        return checks[index];
    }
    if (more == 0 && f->deep) {
        return "no NaN or infinity";
    }
    return f->against != NULL && more == (f->deep ? 1 : 0) ? "the checkpoint's weights" : NULL;
}

/* The census of a tensor; an alias has none of its own. */
static eet_census census_at(const eet_file *file, int32_t index) {
    const eet_file_tensor tensor = eet_file_tensor_at(file, index);
    const eet_census none = {.nans = 0};

    return tensor.alias_of >= 0 ? none : eet_census_of(&tensor);
}

static void take_census(result *r) {
    for (int32_t i = 0; i < eet_file_tensors(r->file); i++) {
        const eet_census census = census_at(r->file, i);

        r->bad += census.nans + census.infinities > 0 ? 1 : 0;
        r->census.nans += census.nans;
        r->census.infinities += census.infinities;
    }
}

static void compare_source(const fields *f, result *r) {
    const eet_against_options how = {.config = f->config,
                                     .arch = f->arch,
                                     .tolerant = f->atol >= 0 || f->rtol >= 0,
                                     .atol = f->atol > 0 ? f->atol : 0,
                                     .rtol = f->rtol > 0 ? f->rtol : 0};

    if (eet_against_source(r->file, f->against, &how, &r->against, &r->err) != EET_OK) {
        r->about = f->against;
    }
}

static void check_file(const fields *f, result *r) {
    const int opened = f->level > 1 ? 1 : (int)f->level;

    if (strcmp(r->path, "-") == 0) {
        (void)eet_fail(&r->err, EET_E_ARGUMENT, EET_NOWHERE,
                       "a .eet file is read in any order, so it cannot be standard input");
        return;
    }
    eet_status status = eet_file_open(r->path, opened, EET_LOAD_MAP, &r->file, &r->err);

    if (status == EET_OK && f->level == DEEPEST) {
        status = eet_file_verify(r->file, &r->err);
    }
    if (status == EET_OK && f->deep) {
        take_census(r);
    }
    if (status == EET_OK && f->against != NULL) {
        compare_source(f, r);
    }
}

/* ---- telling ------------------------------------------------------------ */

static int exit_code(const result *r) {
    if (r->err.status != EET_OK) {
        return eet_status_exit_code((eet_status)r->err.status);
    }
    return r->bad > 0 || r->against.differing > 0 ? EXIT_CHECK_FAILED : 0;
}

static void print_checks(const fields *f) {
    for (int32_t i = 0; check_at(f, i) != NULL; i++) {
        (void)printf("%s%s", i == 0 ? "" : ", ", check_at(f, i));
    }
}

/* How many, and in which tensors. */
static void print_census(const result *r) {
    eet_shown shown;
    int32_t named = 0;

    (void)fprintf(stderr,
                  "%s: error: %s: weights are not finite: %" PRIu64 " NaN, %" PRIu64
                  " infinite, in %d %s\n",
                  command.name, eet_show(&shown, r->path, strlen(r->path)), r->census.nans,
                  r->census.infinities, (int)r->bad, r->bad == 1 ? "tensor" : "tensors");
    for (int32_t i = 0; i < eet_file_tensors(r->file) && named < NAMED; i++) {
        const eet_census census = census_at(r->file, i);
        const char *name = eet_file_tensor_at(r->file, i).name;

        if (census.nans + census.infinities > 0) {
            named++;
            (void)fprintf(
                stderr, "%s: note: tensor \"%s\": %" PRIu64 " NaN, %" PRIu64 " infinite\n",
                command.name, eet_show(&shown, name, strlen(name)), census.nans, census.infinities);
        }
    }
    if (r->bad > named) {
        (void)fprintf(stderr, "%s: note: and %d tensors more; --json lists all\n", command.name,
                      (int)(r->bad - named));
    }
}

static void print_result(const fields *f, const result *r) {
    eet_shown shown;

    if (r->err.status != EET_OK) {
        (void)eet_command_fail(&command, &r->err, r->about, false);
        return;
    }
    if (r->bad > 0) {
        print_census(r);
    }
    if (r->against.differing > 0) {
        eet_against_print(command.name, r->path, f->against, &r->against);
    }
    if (!f->quiet && exit_code(r) == 0) {
        eet_hex_text hex;
        eet_size_text size;

        (void)printf("%s: good (%s; ", eet_show(&shown, r->path, strlen(r->path)),
                     eet_format_size(&size, eet_file_bytes(r->file)));
        print_checks(f);
        (void)printf(") sha256:%s\n", eet_format_sha256(&hex, eet_file_content_sha256(r->file)));
    }
}

static eet_json *census_of(const result *r) {
    eet_json *object = eet_json_object();
    eet_json *list = eet_json_array();
    const char *first = NULL;

    for (int32_t i = 0; i < eet_file_tensors(r->file) && r->bad > 0; i++) {
        const eet_census census = census_at(r->file, i);

        if (census.nans + census.infinities > 0) {
            const char *name = eet_file_tensor_at(r->file, i).name;
            eet_json *tensor = eet_json_object();

            first = first == NULL ? name : first;
            eet_json_set_string(tensor, "name", name);
            eet_json_set_integer(tensor, "nan", (int64_t)census.nans);
            eet_json_set_integer(tensor, "infinite", (int64_t)census.infinities);
            eet_json_append(list, tensor);
        }
    }
    eet_json_set_integer(object, "nan", (int64_t)r->census.nans);
    eet_json_set_integer(object, "infinite", (int64_t)r->census.infinities);
    eet_json_set_string(object, "first", first);
    eet_json_set(object, "tensors", list);
    return object;
}

static eet_json *result_of(const fields *f, const result *r) {
    eet_json *object = eet_json_object();
    eet_hex_text hex;

    eet_json_set_string(object, "path", r->path);
    eet_json_set_bool(object, "good", exit_code(r) == 0);
    eet_json_set_integer(object, "exit_code", exit_code(r));
    if (r->err.status != EET_OK) {
        eet_json_set(object, "error", eet_command_error(&r->err, r->about));
        return object;
    }
    eet_json_set_integer(object, "bytes", (int64_t)eet_file_bytes(r->file));
    eet_json_set_integer(object, "tensors", eet_file_tensors(r->file));
    eet_json_set_string(object, "content_sha256",
                        eet_format_sha256(&hex, eet_file_content_sha256(r->file)));
    eet_json_set_string(object, "weights_sha256",
                        eet_format_sha256(&hex, eet_file_weights_sha256(r->file)));
    if (f->deep) {
        eet_json_set(object, "census", census_of(r));
    }
    if (f->against != NULL) {
        eet_json_set(object, "against", eet_against_json(f->against, &r->against));
    }
    return object;
}

/* ---- all files ---------------------------------------------------------- */

/* The exit code is that of the first bad file; a failed census gives way to what
 * is worse. */
static int worse(int code, int next) {
    return code == 0 || (code == EXIT_CHECK_FAILED && next != 0) ? next : code;
}

static int verify_all(const fields *f, const eet_operands *operands) {
    eet_json *root = f->json ? eet_json_object() : NULL;
    eet_json *list = f->json ? eet_json_array() : NULL;
    eet_json *names = f->json ? eet_json_array() : NULL;
    eet_error err = {.status = EET_OK};
    int code = 0;

    for (int32_t i = 0; i < operands->count; i++) {
        result r = {.path = operands->items[i], .about = operands->items[i]};

        check_file(f, &r);
        if (f->json) {
            eet_json_append(list, result_of(f, &r));
        } else {
            print_result(f, &r);
        }
        code = worse(code, exit_code(&r));
        eet_against_free(&r.against);
        eet_file_close(r.file);
    }
    if (!f->json) {
        return code;
    }
    for (int32_t i = 0; check_at(f, i) != NULL; i++) {
        eet_json_append_string(names, check_at(f, i));
    }
    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set_integer(root, "level", f->level);
    eet_json_set(root, "checked", names);
    eet_json_set(root, "files", list);
    return eet_json_write(root, stdout, false, &err) == EET_OK
               ? code
               : worse(code, eet_command_fail(&command, &err, NULL, false));
}

static int body(void *given, const eet_operands *operands) {
    fields *f = given;
    eet_error err = {.status = EET_OK};

    if (f->quick + f->deep + (f->level >= 0) > 1) {
        (void)eet_fail(&err, EET_E_ARGUMENT, EET_NOWHERE,
                       "--level, --quick and --deep exclude each other");
        return eet_command_fail(&command, &err, NULL, f->json);
    }
    if (f->against == NULL &&
        (f->atol >= 0 || f->rtol >= 0 || f->config != NULL || f->arch != NULL)) {
        (void)eet_fail(&err, EET_E_ARGUMENT, EET_NOWHERE,
                       "--atol, --rtol, --config and --arch are for --against");
        return eet_command_fail(&command, &err, NULL, f->json);
    }
    f->level = f->quick ? 0 : f->level >= 0 ? f->level : DEEPEST;
    return verify_all(f, operands);
}

int main(int argc, char **argv) {
    fields f = {.level = -1, .atol = -1, .rtol = -1};

    return eet_command_main(&command, argc, argv, &f, body);
}
