/* inspect.c - eet-inspect: what a .eet file holds. Reads page 0 and the metadata
 * (level 0); tensors only when asked about. */
#include "format/commands/inspect.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "format/cli/options.h"
#include "format/cli/signals.h"
#include "format/cli/text.h"
#include "format/commands/values.h"
#include "format/verify.h"

#define AT(field) (uint32_t) offsetof(eet_inspect_options, field)

static const eet_option options[] = {
    {.name = "json", .help = "one JSON document instead of text", .offset = AT(json)},
    {.name = "no-tensors", .help = "leave out the list of tensors", .offset = AT(no_tensors)},
    {.name = "sections", .help = "list the sections of the file too", .offset = AT(sections)},
    {.name = "provenance",
     .help = "print where the model came from, and no more",
     .offset = AT(provenance)},
    {.name = "digest",
     .kind = EET_OPTION_CHOICE,
     .optional_value = true,
     .value = "WHAT",
     .choices = "content|weights|file",
     .help = "print sha256:... of content (default), weights or file",
     .offset = AT(digest)},
    {.name = "key",
     .kind = EET_OPTION_STRING,
     .value = "KEY",
     .help = "print one value of the metadata: dec.layers",
     .offset = AT(key)},
    {.name = "tensor",
     .kind = EET_OPTION_STRING,
     .value = "NAME",
     .help = "tell about one tensor",
     .offset = AT(tensor)},
    {.name = "stats",
     .help = "with --tensor: minimum, mean, NaNs, first values",
     .offset = AT(stats)},
    {.name = "dump",
     .kind = EET_OPTION_CHOICE,
     .value = "FORMAT",
     .choices = "npy|raw",
     .help = "with --tensor: write it to -o FILE as npy or raw",
     .offset = AT(dump)},
    {.name = "extract",
     .kind = EET_OPTION_STRING,
     .optional_value = true,
     .value = "NAME",
     .help = "write the asset NAME, or all, into the folder of -o",
     .offset = AT(extract)},
    {.name = "output",
     .letter = 'o',
     .kind = EET_OPTION_STRING,
     .value = "FILE",
     .help = "where --dump writes; for --extract a folder",
     .offset = AT(output)},
    {.name = "force", .help = "replace what is there already", .offset = AT(force)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-inspect gpt2.eet                              # what it is",
    "eet-inspect --digest gpt2.eet                     # the name of its content",
    "eet-inspect --tensor dec.emb.tok --stats gpt2.eet # one tensor's numbers",
};

static const eet_command command = {
    .name = "eet-inspect",
    .usage = "[OPTIONS] FILE",
    .summary = "Tells what a .eet file holds: facts, heads, tensors, assets, digests.",
    .options = options,
    .examples = examples,
    .min_operands = 1,
    .max_operands = 1,
    .suffix = ".eet",
};

static eet_status misuse(eet_error *err, const char *what) {
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s", what);
}

/* Options that contradict each other. */
static eet_status check_options(const eet_inspect_options *o, const char *path, eet_error *err) {
    const int asked = (o->digest != NULL) + (o->key != NULL) + (o->tensor != NULL) +
                      (o->extract != NULL) + o->provenance;

    if (strcmp(path, "-") == 0) {
        return misuse(err, "a .eet file is read in any order, so it cannot be standard input");
    }
    if (asked > 1) {
        return misuse(err,
                      "--digest, --key, --tensor, --extract and --provenance exclude each other");
    }
    if (o->tensor == NULL && (o->stats || o->dump != NULL)) {
        return misuse(err, "--stats and --dump are of one tensor; name it with --tensor");
    }
    if (o->extract != NULL && (o->output == NULL || o->output[0] == '\0')) {
        return misuse(err, "--extract needs a folder; name it with --output");
    }
    if (o->extract == NULL && (o->dump != NULL) != (o->output != NULL)) {
        return misuse(err, "--dump and --output FILE go together");
    }
    if (o->output != NULL && strcmp(o->output, "-") == 0) {
        return misuse(err, "nothing is dumped or extracted to standard output");
    }
    return EET_OK;
}

/* ---- one answer --------------------------------------------------------- */

static eet_status print_digest(const eet_file *file, const eet_inspect_options *o, eet_error *err) {
    const bool content = o->digest[0] == '\0' || strcmp(o->digest, "content") == 0;
    uint8_t computed[32];
    const uint8_t *digest = computed;
    eet_hex_text hex;

    if (content) {
        digest = eet_file_content_sha256(file);
    } else if (strcmp(o->digest, "weights") == 0) {
        digest = eet_file_weights_sha256(file);
    } else {
        const eet_status status = eet_file_sha256(file, computed, err);

        if (status != EET_OK) {
            return status;
        }
    }
    if (!o->json) {
        (void)printf("sha256:%s\n", eet_format_sha256(&hex, digest));
        return EET_OK;
    }
    char text[80];
    eet_json *root = eet_json_object();

    (void)snprintf(text, sizeof text, "sha256:%s", eet_format_sha256(&hex, digest));
    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set_string(root, "of", content ? "content" : o->digest);
    eet_json_set_string(root, "digest", text);
    return eet_json_write(root, stdout, false, err);
}

static eet_status print_key(const eet_file *file, const eet_inspect_options *o, eet_error *err) {
    const eet_kv_view *provenance = eet_file_provenance(file);
    eet_kv entry;
    eet_shown shown;

    if (!eet_kv_find(eet_file_meta(file), o->key, &entry) &&
        !(provenance != NULL && eet_kv_find(provenance, o->key, &entry))) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "there is no key \"%s\" in the file; eet-inspect --json lists them",
                        eet_show(&shown, o->key, strlen(o->key)));
    }
    if (!o->json) {
        eet_value_print(&entry, stdout);
        (void)putchar('\n');
        return EET_OK;
    }
    eet_json *root = eet_json_object();

    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set_string(root, "key", o->key);
    eet_value_set(root, "value", &entry);
    return eet_json_write(root, stdout, false, err);
}

static eet_status print_answer(eet_file *file, const char *path, const eet_inspect_options *o,
                               eet_error *err) {
    eet_status status = eet_file_unpack_assets(file, err);

    if (status == EET_OK) {
        status = eet_file_unpack_provenance(file, err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (o->digest != NULL) {
        return print_digest(file, o, err);
    }
    if (o->key != NULL) {
        return print_key(file, o, err);
    }
    if (o->tensor != NULL) {
        return eet_inspect_tensor(file, o, err);
    }
    if (o->extract != NULL) {
        return eet_inspect_extract(file, o, err);
    }
    if (o->json) {
        return eet_json_write(eet_inspect_document(file, path, o), stdout, false, err);
    }
    if (o->provenance) {
        eet_inspect_print_provenance(file);
        return EET_OK;
    }
    return eet_inspect_print(file, path, o, err);
}

static eet_status inspect(const eet_inspect_options *o, const char *path, eet_error *err) {
    eet_file *file = NULL;
    eet_status status = check_options(o, path, err);

    if (status == EET_OK) {
        status = eet_file_open(path, 0, EET_LOAD_MAP, &file, err);
    }
    if (status == EET_OK) {
        status = print_answer(file, path, o, err);
    }
    eet_file_close(file);
    return status;
}

static int body(void *fields, const eet_operands *operands) {
    const eet_inspect_options *o = fields;
    eet_error err = {.status = EET_OK};

    return inspect(o, operands->items[0], &err) == EET_OK
               ? 0
               : eet_command_fail(&command, &err, operands->items[0], o->json);
}

int main(int argc, char **argv) {
    eet_inspect_options o = {.json = false};

    eet_signals_catch();
    return eet_command_main(&command, argc, argv, &o, body);
}
