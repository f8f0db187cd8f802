/* hints.c - says what was meant where the files do not say it themselves. */
#include "converter/hints.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/foreign.h"
#include "converter/inputs.h"

/* What a folder's entry may be, the more telling first. */
typedef enum kind { SURELY, VARIANT, PART, OTHER, FOREIGN, SNAPSHOTS, BLOBS, KINDS } kind;

/* The first name of each kind, in the order of names; NULL: none. */
typedef struct findings {
    char *name[KINDS];
} findings;

static bool begins_with(const char *name, const char *begin) {
    return strncmp(name, begin, strlen(begin)) == 0;
}

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name);

    return length >= strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

/* ---- parts --------------------------------------------------------------- */

/* "model-00001-of-00003.safetensors": its number, of how many, and what stands around. */
typedef struct part_name {
    long number, total;
    int stem; /* bytes before "-00001" */
    const char *rest;
} part_name;

static bool parse_part(const char *name, part_name *out) {
    const char *of = strstr(name, "-of-");
    const char *dash = of;
    char *end = NULL;

    while (dash != NULL && dash > name && dash[-1] >= '0' && dash[-1] <= '9') {
        dash--;
    }
    if (dash == NULL || dash == of || dash - name < 2 || dash[-1] != '-' || of - dash > 6 ||
        strspn(of + 4, "0123456789") - 1 > 5) {
        return false;
    }
    out->number = strtol(dash, NULL, 10);
    out->total = strtol(of + 4, &end, 10);
    out->stem = (int)(dash - 1 - name);
    out->rest = end;
    return out->total > 1 && (strcmp(end, ".safetensors") == 0 || strcmp(end, ".bin") == 0);
}

static bool is_there(const char *path) {
    struct stat about;

    return lstat(path, &about) == 0;
}

/* The path of the part's index when it is there: model.safetensors.index.json, or with a
 * variant model.safetensors.index.fp16.json. */
static bool find_index(const char *path, const part_name *part, char *index, size_t room) {
    const char *name = eet_base_name(path);
    const int folder = (int)(name - path);
    const char *dot = memchr(name, '.', (size_t)part->stem);

    (void)snprintf(index, room, "%.*s%.*s%s.index.json", folder, path, part->stem, name,
                   part->rest);
    if (is_there(index) || dot == NULL) {
        return is_there(index);
    }
    (void)snprintf(index, room, "%.*s%.*s%s.index%.*s.json", folder, path, (int)(dot - name), name,
                   part->rest, part->stem - (int)(dot - name), dot);
    return is_there(index);
}

eet_status eet_hint_at_part(const char *path, eet_error *err) {
    const size_t room = strlen(path) + sizeof ".index..json";
    part_name part;
    eet_shown shown;

    if (!parse_part(eet_base_name(path), &part)) {
        return EET_OK;
    }
    char *index = malloc(room);

    if (index == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    const eet_status status =
        find_index(path, &part, index, room)
            ? eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                       "it is part %ld of %ld of a checkpoint; eet-convert %s reads all of them",
                       part.number, part.total, eet_show(&shown, index, strlen(index)))
            : eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                       "it is part %ld of %ld of a checkpoint, and their index is not beside it; "
                       "give the folder that holds all of them",
                       part.number, part.total);
    free(index);
    return status;
}

/* ---- folders ------------------------------------------------------------- */

/* "model.fp16.safetensors", "pytorch_model.fp16.bin", "model.safetensors.index.fp16.json" */
static bool is_variant(const char *name) {
    const bool named = begins_with(name, "model.") || begins_with(name, "pytorch_model.");
    const bool is_index = strstr(name, ".index.") != NULL && ends_with(name, ".json");

    return named && (is_index || ends_with(name, ".safetensors") || ends_with(name, ".bin"));
}

/* What a trainer leaves beside the weights. */
static bool is_state_of_training(const char *name) {
    return begins_with(name, "training_args") || begins_with(name, "optimizer") ||
           begins_with(name, "scheduler") || begins_with(name, "rng_state");
}

static kind kind_of(const char *name) {
    static const char *const ends[] = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5"};
    const eet_foreign *foreign = eet_foreign_file(name);
    part_name part;

    if (foreign != NULL) {
        return foreign->surely ? SURELY : FOREIGN;
    }
    if (strcmp(name, "snapshots") == 0 || strcmp(name, "blobs") == 0) {
        return name[0] == 's' ? SNAPSHOTS : BLOBS;
    }
    if (parse_part(name, &part)) {
        return PART;
    }
    if (is_variant(name)) {
        return VARIANT;
    }
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends_with(name, ends[i]) && !is_state_of_training(name)) {
            return OTHER;
        }
    }
    return KINDS;
}

static eet_status note_name(findings *found, const char *name, eet_error *err) {
    const kind k = kind_of(name);

    if (k == KINDS || (found->name[k] != NULL && strcmp(found->name[k], name) <= 0)) {
        return EET_OK;
    }
    free(found->name[k]);
    found->name[k] = strdup(name);
    return found->name[k] != NULL ? EET_OK
                                  : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for names");
}

static eet_status list(const char *folder, findings *found, eet_error *err) {
    DIR *stream = opendir(folder);
    eet_status status = EET_OK;

    if (stream == NULL) {
        return eet_fail_errno(err, errno, "the folder cannot be read");
    }
    while (status == EET_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream);

        if (entry == NULL) {
            status = errno == 0 ? EET_OK : eet_fail_errno(err, errno, "the folder cannot be read");
            break;
        }
        status = note_name(found, entry->d_name, err);
    }
    (void)closedir(stream);
    return status;
}

/* The one revision of a cache; NULL: there are several, or none, or it cannot be told. */
static char *only_revision(const char *folder) {
    char *path = eet_path_join(folder, "snapshots");
    DIR *stream = path != NULL ? opendir(path) : NULL;
    const struct dirent *entry = NULL;
    char *only = NULL;
    int count = 0;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] != '.' && count++ == 0) {
            only = strdup(entry->d_name);
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    if (count != 1) {
        free(only);
        only = NULL;
    }
    free(path);
    return only;
}

static eet_status explain_cache(const char *folder, eet_error *err) {
    char *only = only_revision(folder);
    eet_shown shown;
    const eet_status status =
        eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                 "the folder is a model's place in a cache of Transformers; give %s%s in it",
                 only != NULL ? "snapshots/" : "the folder of a revision below snapshots/",
                 only != NULL ? eet_show(&shown, only, strlen(only)) : "");

    free(only);
    return status;
}

/* Some are known by two files together. */
static bool is_telling(const findings *found, kind k) {
    const char *with =
        found->name[k] != NULL && k == SURELY ? eet_foreign_file(found->name[k])->with : NULL;

    return found->name[k] != NULL && (with == NULL || (found->name[VARIANT] != NULL &&
                                                       strcmp(found->name[VARIANT], with) == 0));
}

static eet_status explain(const char *folder, const findings *found, eet_error *err) {
    eet_shown shown;
    kind k = SURELY;

    while (k < KINDS && !is_telling(found, k)) {
        k++;
    }
    const char *name = k < KINDS ? eet_show(&shown, found->name[k], strlen(found->name[k])) : "";

    if (k == SURELY || k == FOREIGN) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "the folder holds %s: this is %s",
                        name, eet_foreign_file(found->name[k])->what);
    }
    if (k == VARIANT || k == OTHER) {
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "the folder holds neither model.safetensors nor pytorch_model.bin; "
                        "--weights %s reads that file",
                        name);
    }
    if (k == PART) {
        return eet_fail(
            err, EET_E_CORRUPT, EET_NOWHERE,
            "the folder holds %s, but not the index of the parts; fetch the .index.json "
            "file too",
            name);
    }
    if (found->name[SNAPSHOTS] != NULL && found->name[BLOBS] != NULL) {
        return explain_cache(folder, err);
    }
    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                    "the folder holds neither model.safetensors nor pytorch_model.bin; --weights "
                    "FILE names another");
}

eet_status eet_hint_at_folder(const char *folder, eet_error *err) {
    findings found = {{NULL}};
    eet_status status = list(folder, &found, err);

    if (status == EET_OK) {
        status = explain(folder, &found, err);
    }
    for (int k = 0; k < KINDS; k++) {
        free(found.name[k]);
    }
    return status;
}
