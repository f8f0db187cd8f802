/* diff.c - eet-diff: are two .eet files the same model, and if not, where do they differ?
 * The exit code is that of diff(1): 0 same, 1 different, 2 and above trouble. */
#include "format/commands/diff.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "format/cli/options.h"

enum { EXIT_DIFFERENT = 1 };

#define AT(field) (uint32_t) offsetof(eet_diff_options, field)

static const eet_option options[] = {
    {.name = "stats",
     .help = "for each tensor: max |A-B|, relative L2, cosine, NaNs",
     .offset = AT(stats)},
    {.name = "metadata-only",
     .help = "compare all but the numbers of the tensors",
     .offset = AT(metadata_only)},
    {.name = "quick",
     .help = "compare digests as the files claim them, no bytes",
     .offset = AT(quick)},
    {.name = "provenance", .help = "compare where they came from, too", .offset = AT(provenance)},
    {.name = "quiet", .letter = 'q', .help = "say only whether they differ", .offset = AT(quiet)},
    {.name = "json", .help = "one JSON document instead of text", .offset = AT(json)},
    {.name = NULL},
};

static const char *const examples[] = {
    "eet-diff base.eet tuned.eet          # what differs",
    "eet-diff --stats f32.eet bf16.eet    # and by how much",
    "eet-diff -q --quick a.eet b.eet      # in milliseconds",
};

static const eet_command command = {
    .name = "eet-diff",
    .usage = "[OPTIONS] A B",
    .summary = "Compares the content of two .eet files. Exit 0: same; 1: different.",
    .options = options,
    .examples = examples,
    .min_operands = 2,
    .max_operands = 2,
    .suffix = ".eet",
};

static eet_status check_options(const eet_diff_options *o, const char *const *paths,
                                eet_error *err) {
    if (strcmp(paths[0], "-") == 0 || strcmp(paths[1], "-") == 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a .eet file is read in any order, so it cannot be standard input");
    }
    if (o->stats + o->quick + o->metadata_only > 1) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--stats, --quick and --metadata-only exclude each other");
    }
    return EET_OK;
}

static eet_status tell(const eet_diff *diff, eet_error *err) {
    eet_shown a;
    eet_shown b;

    if (diff->options->json) {
        return eet_json_write(eet_diff_document(diff), stdout, false, err);
    }
    if (diff->count == 0) {
        return EET_OK;
    }
    if (diff->options->quiet) {
        (void)printf("Files %s and %s differ\n", eet_show(&a, diff->path[0], strlen(diff->path[0])),
                     eet_show(&b, diff->path[1], strlen(diff->path[1])));
        return EET_OK;
    }
    return eet_diff_print(diff, err);
}

static int body(void *fields, const eet_operands *operands) {
    const eet_diff_options *o = fields;
    eet_diff diff = {.path = {operands->items[0], operands->items[1]}, .options = o};
    eet_error err = {.status = EET_OK};
    eet_status status = check_options(o, diff.path, &err);

    if (status == EET_OK) {
        status = eet_diff_find(&diff, &err);
    }
    if (status == EET_OK) {
        status = tell(&diff, &err);
    }
    const int code = status != EET_OK ? eet_command_fail(&command, &err, diff.blamed, o->json)
                     : diff.count > 0 ? EXIT_DIFFERENT
                                      : 0;

    eet_diff_free(&diff);
    return code;
}

int main(int argc, char **argv) {
    eet_diff_options o = {.json = false};

    return eet_command_main(&command, argc, argv, &o, body);
}
