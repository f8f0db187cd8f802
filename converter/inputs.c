/* inputs.c - finds the files that an operand means. */
#include "converter/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/hints.h"

/* Files that hold weights, in the order in which they are preferred. */
static const char *const weights_names[] = {
    "model.safetensors",  "model.safetensors.index.json",
    "pytorch_model.bin",  "pytorch_model.bin.index.json",
    "checkpoint_best.pt", /* Fairseq's */
    "checkpoint_last.pt", "model.pt",
    "tf_model.h5",
};
enum { WEIGHTS_NAMES = sizeof weights_names / sizeof weights_names[0] };

const eet_asset_row eet_asset_rows[] = {
    {"config.json", false},
    {"generation_config.json", false},
    {"tokenizer.json", true},
    {"tokenizer_config.json", true},
    {"special_tokens_map.json", true},
    {"added_tokens.json", true},
    {"vocab.json", true},
    {"merges.txt", true},
    {"vocab.txt", true},
    {"dict.txt", true},
    {"dict.src.txt", true},
    {"dict.tgt.txt", true},
    {"bpe.codes", true},
    {"encoder.json", true},
    {"vocab.bpe", true},
    {"sentencepiece.bpe.model", true},
    {"spiece.model", true},
    {"modules.json", false},
    {"sentence_bert_config.json", true},
    {"config_sentence_transformers.json", true},
    {NULL, false},
};

char *eet_path_join(const char *folder, const char *name) {
    const size_t length = strlen(folder);
    char *path = malloc(length + strlen(name) + 2);

    if (path != NULL) {
        (void)sprintf(path, "%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/",
                      name);
    }
    return path;
}

const char *eet_base_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Is there a file `name` in the folder? What cannot be found out is an error: another file would
 * be taken in its place. */
static eet_status look_for(const char *folder, const char *name, bool *there, eet_error *err) {
    char *path = eet_path_join(folder, name);
    struct stat about;

    if (path == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    *there = lstat(path, &about) == 0;
    const int number = errno;

    free(path);
    return *there || number == ENOENT ? EET_OK
                                      : eet_fail_errno(err, number, "%s cannot be read", name);
}

/* A name without a slash is looked for in the folder. */
static char *chosen_weights(const char *folder, const char *weights) {
    return strchr(weights, '/') == NULL ? eet_path_join(folder, weights) : strdup(weights);
}

static eet_status find_weights(const char *folder, const char **found, eet_notes *notes,
                               eet_error *err) {
    *found = NULL;
    for (int i = 0; i < WEIGHTS_NAMES; i++) {
        bool there = false;
        const eet_status status = look_for(folder, weights_names[i], &there, err);

        if (status != EET_OK) {
            return status;
        }
        if (there && *found == NULL) {
            *found = weights_names[i];
        } else if (there) {
            eet_notes_add(notes, "%s is read, and %s beside it is not; --weights FILE decides",
                          *found, weights_names[i]);
        }
    }
    return *found != NULL ? EET_OK : eet_hint_at_folder(folder, err);
}

static eet_status find_in_folder(const char *folder, const char *weights, eet_inputs *out,
                                 eet_notes *notes, eet_error *err) {
    const char *found = weights;
    const eet_status status = weights == NULL ? find_weights(folder, &found, notes, err) : EET_OK;

    if (status != EET_OK) {
        return status;
    }
    out->weights = chosen_weights(folder, found);
    return weights != NULL && out->weights != NULL ? eet_hint_at_part(out->weights, err) : EET_OK;
}

/* The path that leads to the open folder without links; NULL: the system does not tell, a
 * folder above is closed to us, or no name fits behind it. */
static char *path_of(int folder) {
    char link[64];
    struct stat here;
    struct stat there;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    char *path = realpath(link, NULL);

    if (path != NULL && strlen(path) < PATH_MAX - NAME_MAX - 1 && stat(path, &there) == 0 &&
        fstat(folder, &here) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino) {
        return path;
    }
    free(path);
    return NULL;
}

/* The folder itself, if links lead to it: they may lead elsewhere before all of its files
 * are read. Where that cannot be, as given. */
char *eet_path_settled(const char *folder) {
    const int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *path = fd >= 0 ? path_of(fd) : NULL;

    if (fd >= 0) {
        (void)close(fd);
    }
    return path != NULL ? path : strdup(folder);
}

static char *settled_inside(const char *folder, const char *inside) {
    char *path = inside[0] != '\0' ? eet_path_join(folder, inside) : strdup(folder);
    char *whole = path != NULL ? eet_path_settled(path) : NULL;

    free(path);
    return whole;
}

/* The folder that a file lies in. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return strdup(".");
    }
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* A file in its folder, and that folder. */
static eet_status settle_file(const char *operand, eet_inputs *out, eet_error *err) {
    char *folder = folder_of(operand);

    out->folder = folder != NULL ? eet_path_settled(folder) : NULL;
    free(folder);
    out->weights = out->folder != NULL ? eet_path_join(out->folder, eet_base_name(operand)) : NULL;
    return out->weights != NULL ? eet_hint_at_part(operand, err)
                                : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
}

static char *model_name(const char *operand, bool is_folder) {
    char *absolute = is_folder ? realpath(operand, NULL) : NULL;
    char *name = strdup(eet_base_name(absolute != NULL ? absolute : operand));
    char *index = name != NULL && !is_folder ? strstr(name, ".index.") : NULL;

    if (index != NULL && index != name && strcmp(strrchr(index, '.'), ".json") == 0) {
        *index = '\0';
    }
    char *dot = name != NULL ? strrchr(name, '.') : NULL;

    if (dot != NULL && dot != name && !is_folder) {
        *dot = '\0';
    }
    if (name != NULL && (name[0] == '\0' || name[0] == '.')) {
        free(name);
        name = strdup("model");
    }
    free(absolute);
    return name;
}

/* The configuration: the one given, or config.json in the folder, or none. */
static eet_status find_config(const char *config, eet_inputs *found, eet_error *err) {
    bool there = config != NULL;
    eet_status status = EET_OK;

    if (config == NULL && found->folder != NULL) {
        status = look_for(found->folder, "config.json", &there, err);
    }
    if (status != EET_OK || !there) {
        return status;
    }
    found->config = config != NULL ? strdup(config) : eet_path_join(found->folder, "config.json");
    return found->config != NULL ? EET_OK
                                 : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
}

eet_status eet_inputs_find(const char *operand, const char *inside, const char *config,
                           const char *weights, eet_inputs *out, eet_notes *notes, eet_error *err) {
    eet_inputs found = {0};
    struct stat about;
    eet_status status = EET_OK;

    if (stat(operand, &about) != 0) {
        return errno != ENOENT
                   ? eet_fail_errno(err, errno, "it cannot be read")
                   : eet_fail(err, EET_E_IO, EET_NOWHERE,
                              "No such file or directory; give a file or folder that is here, for "
                              "nothing is downloaded");
    }
    if (S_ISDIR(about.st_mode)) {
        found.folder = settled_inside(operand, inside);
        status = found.folder != NULL
                     ? find_in_folder(found.folder, weights, &found, notes, err)
                     : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    } else if (weights != NULL) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "--weights is for a folder");
    } else {
        status = settle_file(operand, &found, err);
        if (config != NULL) { /* nothing else of the folder is the model's */
            free(found.folder);
            found.folder = NULL;
        }
    }
    found.is_folder = S_ISDIR(about.st_mode);
    if (status == EET_OK) {
        status = find_config(config, &found, err);
    }
    if (status == EET_OK) {
        found.name = model_name(operand, found.is_folder);
    }
    if (status == EET_OK &&
        (found.weights == NULL || found.name == NULL || (config == NULL && found.folder == NULL))) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for paths");
    }
    if (status != EET_OK) {
        eet_inputs_free(&found);
        return status;
    }
    *out = found;
    return EET_OK;
}

void eet_inputs_free(eet_inputs *inputs) {
    free(inputs->weights);
    free(inputs->config);
    free(inputs->folder);
    free(inputs->name);
    *inputs = (eet_inputs){0};
}
