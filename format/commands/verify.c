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
#include "format/verify.h"

enum { DEEPEST = 2, EXIT_CHECK_FAILED = 1 };

typedef struct fields {
    bool json, quick, deep, quiet;
    int64_t level;
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
    {.name = "quiet", .letter = 'q', .help = "say nothing about good files", .offset = AT(quiet)},
    {.name = "json", .help = "one JSON document instead of text", .offset = AT(json)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-verify gpt2.eet           # every byte and digest",
    "eet-verify --quick *.eet      # structure alone, in milliseconds",
    "eet-verify --deep --json a.eet",
};

static const eet_command command = {
    .name = "eet-verify",
    .usage = "[OPTIONS] FILE...",
    .summary = "Checks .eet files. Exit 0: good; 4: damaged; 1: --deep found NaN or infinity.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = -1,
    .suffix = ".eet",
};

/* What is checked up to each level, for people and for "checked". */
static const char *const checks[] = {"structure", "checksums", "SHA-256 and padding",
                                     "no NaN or infinity"};

/* One file's result. */
typedef struct result {
    const char *path;
    eet_error err; /* status EET_OK: good, or only the census failed */
    eet_file *file;
    eet_census census;
    const char *bad; /* the first tensor with NaN or infinity; in the file */
} result;

static int32_t check_count(const fields *f) {
    return (int32_t)f->level + 1 + (f->deep ? 1 : 0);
}

static void take_census(result *r) {
    for (int32_t i = 0; i < eet_file_tensors(r->file); i++) {
        const eet_file_tensor tensor = eet_file_tensor_at(r->file, i);

        if (tensor.alias_of >= 0) {
            continue;
        }
        const eet_census census = eet_census_of(&tensor);

        if (r->bad == NULL && census.nans + census.infinities > 0) {
            r->bad = tensor.name;
        }
        r->census.nans += census.nans;
        r->census.infinities += census.infinities;
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
}

/* ---- telling ------------------------------------------------------------ */

static int exit_code(const result *r) {
    if (r->err.status != EET_OK) {
        return eet_status_exit_code((eet_status)r->err.status);
    }
    return r->bad != NULL ? EXIT_CHECK_FAILED : 0;
}

static void print_checks(const fields *f) {
    for (int32_t i = 0; i < check_count(f); i++) {
        (void)printf("%s%s", i == 0 ? "" : ", ", checks[i]);
    }
}

static void print_result(const fields *f, const result *r) {
    eet_shown shown;
    eet_shown name;

    if (r->err.status != EET_OK) {
        (void)eet_command_fail(&command, &r->err, r->path, false);
        return;
    }
    if (r->bad != NULL) {
        (void)fprintf(stderr,
                      "%s: error: %s: %" PRIu64 " NaN and %" PRIu64
                      " infinite weights, the first in tensor \"%s\"\n",
                      command.name, eet_show(&shown, r->path, strlen(r->path)), r->census.nans,
                      r->census.infinities, eet_show(&name, r->bad, strlen(r->bad)));
        return;
    }
    if (!f->quiet) {
        eet_hex_text hex;
        eet_size_text size;

        (void)printf("%s: good (%s; ", eet_show(&shown, r->path, strlen(r->path)),
                     eet_format_size(&size, eet_file_bytes(r->file)));
        print_checks(f);
        (void)printf(") sha256:%s\n", eet_format_sha256(&hex, eet_file_content_sha256(r->file)));
    }
}

static eet_json *error_of(const eet_error *err) {
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "code", eet_status_symbol((eet_status)err->status));
    eet_json_set_string(object, "message", err->text);
    if (err->offset <= INT64_MAX) {
        eet_json_set_integer(object, "offset", (int64_t)err->offset);
    } else {
        eet_json_set_string(object, "offset", NULL);
    }
    return object;
}

static eet_json *census_of(const result *r) {
    eet_json *object = eet_json_object();

    eet_json_set_integer(object, "nan", (int64_t)r->census.nans);
    eet_json_set_integer(object, "infinite", (int64_t)r->census.infinities);
    eet_json_set_string(object, "first", r->bad);
    return object;
}

static eet_json *result_of(const fields *f, const result *r) {
    eet_json *object = eet_json_object();
    eet_hex_text hex;

    eet_json_set_string(object, "path", r->path);
    eet_json_set_bool(object, "good", exit_code(r) == 0);
    eet_json_set_integer(object, "exit_code", exit_code(r));
    if (r->err.status != EET_OK) {
        eet_json_set(object, "error", error_of(&r->err));
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
        result r = {.path = operands->items[i]};

        check_file(f, &r);
        if (f->json) {
            eet_json_append(list, result_of(f, &r));
        } else {
            print_result(f, &r);
        }
        code = worse(code, exit_code(&r));
        eet_file_close(r.file);
    }
    if (!f->json) {
        return code;
    }
    for (int32_t i = 0; i < check_count(f); i++) {
        eet_json_append_string(names, checks[i]);
    }
    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set_integer(root, "level", f->level);
    eet_json_set(root, "checked", names);
    eet_json_set(root, "files", list);
    if (eet_json_write(root, stdout, false, &err) != EET_OK) {
        return worse(code, eet_command_fail(&command, &err, NULL, false));
    }
    return code;
}

static int body(void *given, const eet_operands *operands) {
    fields *f = given;
    eet_error err = {.status = EET_OK};

    if (f->quick + f->deep + (f->level >= 0) > 1) {
        (void)eet_fail(&err, EET_E_ARGUMENT, EET_NOWHERE,
                       "--level, --quick and --deep exclude each other");
        return eet_command_fail(&command, &err, NULL, f->json);
    }
    f->level = f->quick ? 0 : f->level >= 0 ? f->level : DEEPEST;
    return verify_all(f, operands);
}

int main(int argc, char **argv) {
    fields f = {.level = -1};

    return eet_command_main(&command, argc, argv, &f, body);
}
