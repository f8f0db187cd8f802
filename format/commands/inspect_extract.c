/* inspect_extract.c - writes the assets of a .eet file into a folder. Names are those of the
 * format (no slash, no leading dot); every asset is proven by its SHA-256 before the first is
 * written, and appears whole, beside what is there and never through a symbolic link. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "format/cli/signals.h"
#include "format/commands/inspect.h"
#include "format/commands/tensor_json.h"
#include "format/verify.h"

/* Which assets, into which folder. */
typedef struct extraction {
    const eet_file *file;
    const eet_inspect_options *options;
    int32_t first, end; /* one asset, or all */
    int folder_length;  /* without slashes at its end */
} extraction;

static eet_status choose(extraction *x, eet_error *err) {
    const char *name = x->options->extract;
    eet_shown shown;

    x->end = eet_file_assets(x->file);
    if (name[0] == '\0') {
        return EET_OK;
    }
    for (int32_t i = 0; i < x->end; i++) {
        if (strcmp(eet_file_asset_at(x->file, i).name, name) == 0) {
            x->first = i;
            x->end = i + 1;
            return EET_OK;
        }
    }
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                    "there is no asset \"%s\" in the file; eet-inspect lists them",
                    eet_show(&shown, name, strlen(name)));
}

/* Where a filesystem takes both for one, the second would replace the first. */
static eet_status check_case(const extraction *x, eet_error *err) {
    for (int32_t i = x->first; i < x->end; i++) {
        for (int32_t j = i + 1; j < x->end; j++) {
            const char *one = eet_file_asset_at(x->file, i).name;
            const char *other = eet_file_asset_at(x->file, j).name;

            if (strcasecmp(one, other) == 0) {
                return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                                "assets \"%s\" and \"%s\" differ in case alone; --extract=NAME "
                                "writes one of them",
                                one, other);
            }
        }
    }
    return EET_OK;
}

/* The digests of functional assets are part of the content digest; all have their own. */
static eet_status prove(const extraction *x, eet_error *err) {
    eet_status status = eet_file_check_digests(x->file, err);

    for (int32_t i = x->first; status == EET_OK && i < x->end; i++) {
        status = eet_file_check_asset(x->file, i, err);
    }
    return status;
}

/* FOLDER/NAME; free it. */
static char *path_of(const extraction *x, int32_t index) {
    char *path = NULL;

    if (asprintf(&path, "%.*s/%s", x->folder_length, x->options->output,
                 eet_file_asset_at(x->file, index).name) < 0) {
        return NULL;
    }
    return path;
}

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a path");
}

static eet_status make_folder(const extraction *x, eet_error *err) {
    const char *folder = x->options->output;
    struct stat info;
    eet_shown shown;

    if (mkdir(folder, 0777) == 0) {
        return EET_OK;
    }
    if (errno == EEXIST && stat(folder, &info) == 0 && S_ISDIR(info.st_mode)) {
        return EET_OK;
    }
    return eet_fail_errno(err, errno, "cannot make the folder \"%s\"",
                          eet_show(&shown, folder, strlen(folder)));
}

/* All or nothing where it can be known: what is there already is told before the first write. */
static eet_status check_free(const extraction *x, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t i = x->first; status == EET_OK && i < x->end && !x->options->force; i++) {
        char *path = path_of(x, i);
        struct stat info;
        eet_shown shown;

        if (path == NULL) {
            return no_memory(err);
        }
        if (lstat(path, &info) == 0) {
            status = eet_fail(err, EET_E_EXISTS, EET_NOWHERE, "\"%s\" exists; --force replaces it",
                              eet_show(&shown, path, strlen(path)));
        }
        free(path);
    }
    return status;
}

static eet_status write_file(const char *path, bool force, const uint8_t *bytes, uint64_t size,
                             eet_error *err) {
    eet_target target = {.fd = -1};
    eet_status status = eet_target_set(&target, path, err);

    if (status == EET_OK) {
        status = eet_signals_begin(&target, force, size, err);
    }
    if (status == EET_OK) {
        status = eet_target_write(&target, 0, bytes, size, err);
    }
    if (status == EET_OK) {
        status = eet_target_commit(&target, force, false, err);
    }
    eet_signals_drop(&target);
    return status;
}

/* What is written is the copy that was checked, whatever becomes of the file meanwhile. */
static eet_status extract_one(const extraction *x, int32_t index, const char *path,
                              eet_error *err) {
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    eet_status status = eet_file_asset_read(x->file, index, &bytes, &size, err);

    if (status == EET_OK) {
        status = write_file(path, x->options->force, bytes, size, err);
    }
    free(bytes);
    return status;
}

static void tell_one(const extraction *x, int32_t index, const char *path, eet_json *list) {
    const eet_file_asset asset = eet_file_asset_at(x->file, index);
    eet_shown shown;

    if (!x->options->json) {
        (void)puts(eet_show(&shown, path, strlen(path)));
        return;
    }
    eet_json *object = eet_asset_json(&asset);

    eet_json_set_string(object, "path", path);
    eet_json_append(list, object);
}

static eet_status extract_all(const extraction *x, eet_json *list, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t i = x->first; status == EET_OK && i < x->end; i++) {
        char *path = path_of(x, i);

        if (path == NULL) {
            return no_memory(err);
        }
        status = extract_one(x, i, path, err);
        if (status == EET_OK) {
            tell_one(x, i, path, list);
        }
        free(path);
    }
    return status;
}

static int length_without_slashes(const char *folder) {
    size_t length = strlen(folder);

    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    return length > INT32_MAX ? INT32_MAX : (int)length;
}

eet_status eet_inspect_extract(const eet_file *file, const eet_inspect_options *options,
                               eet_error *err) {
    extraction x = {
        .file = file, .options = options, .folder_length = length_without_slashes(options->output)};
    eet_json *list = options->json ? eet_json_array() : NULL;
    eet_status status = choose(&x, err);

    if (status == EET_OK) {
        status = check_case(&x, err);
    }
    if (status == EET_OK) {
        status = prove(&x, err);
    }
    if (status == EET_OK) {
        status = make_folder(&x, err);
    }
    if (status == EET_OK) {
        status = check_free(&x, err);
    }
    if (status == EET_OK) {
        status = extract_all(&x, list, err);
    }
    if (status != EET_OK || !options->json) {
        eet_json_free(list);
        return status;
    }
    eet_json *root = eet_json_object();

    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set(root, "extracted", list);
    return eet_json_write(root, stdout, false, err);
}
