/* sentence.c - reads modules.json: which modules there are, in which folders. */
#include "converter/sentence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "converter/input.h"
#include "converter/inputs.h"
#include "format/sha256.h"

#define OURS "sentence_transformers."

enum { MAX_SMALL = 1 << 20, MAX_PATH = 200, MAX_MODULES = 16 };

typedef struct reading {
    eet_sentence *out;
    bool follow_symlinks;
    eet_notes *notes;
    eet_error *err;
} reading;

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the modules of a sentence");
}

/* ---- small files --------------------------------------------------------- */

static eet_status remember(const reading *r, const char *name, const char *text, uint64_t bytes) {
    eet_sentence *out = r->out;
    eet_sha256 *hash = eet_sha256_create();

    if (out->files == EET_SENTENCE_FILES || hash == NULL) {
        eet_sha256_free(hash);
        return no_memory(r->err);
    }
    eet_sentence_file *file = &out->file[out->files];

    file->name = strdup(name);
    file->bytes = bytes;
    eet_sha256_add(hash, text, bytes);
    eet_sha256_finish(hash, file->sha256);
    eet_sha256_free(hash);
    out->files += file->name != NULL ? 1 : 0;
    return file->name != NULL ? EET_OK : no_memory(r->err);
}

/* "name" of the folder, as JSON of this kind. */
static eet_status read_json(const reading *r, const char *name, eet_json_kind kind,
                            eet_json **root) {
    char *path = eet_path_join(r->out->folder, name);
    char *text = NULL;
    uint64_t bytes = 0;
    eet_status status =
        path != NULL ? eet_read_small(path, r->follow_symlinks, MAX_SMALL, &text, &bytes, r->err)
                     : no_memory(r->err);

    if (status == EET_OK) {
        status = eet_json_parse(text, bytes, root, r->err);
    }
    if (status == EET_OK && eet_json_kind_of(*root) != kind) {
        status = eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "it is %s, expected %s",
                          eet_json_kind_name(eet_json_kind_of(*root)), eet_json_kind_name(kind));
    }
    if (status == EET_OK) {
        status = remember(r, name, text, bytes);
    }
    free(path);
    free(text);
    eet_error_prefix(r->err, name);
    return status;
}

static eet_status look_for(const reading *r, const char *name, bool *there) {
    char *path = eet_path_join(r->out->folder, name);
    struct stat about;

    if (path == NULL) {
        return no_memory(r->err);
    }
    *there = lstat(path, &about) == 0;
    const int number = errno;

    free(path);
    return *there || number == ENOENT ? EET_OK
                                      : eet_fail_errno(r->err, number, "%s cannot be read", name);
}

/* ---- folders of modules --------------------------------------------------- */

/* A path below the folder: names without "..", and no link where links are not followed. */
static eet_status check_path(const reading *r, const char *path) {
    const size_t length = strlen(path);
    eet_shown shown;

    if (length > MAX_PATH || path[0] == '/' || strchr(path, '\\') != NULL ||
        strstr(path, "//") != NULL) {
        return eet_fail(r->err, EET_E_SUSPICIOUS, EET_NOWHERE,
                        "\"%s\" is no path of a folder below this one",
                        eet_show(&shown, path, length));
    }
    for (const char *at = path; *at != '\0';) {
        const size_t bytes = strcspn(at, "/");
        struct stat about;

        if (bytes <= 2 && strspn(at, ".") >= bytes) {
            return eet_fail(r->err, EET_E_SUSPICIOUS, EET_NOWHERE,
                            "\"%s\" is no path of a folder below this one",
                            eet_show(&shown, path, length));
        }
        at += bytes;
        char *part = strndup(path, (size_t)(at - path));
        char *whole = part != NULL ? eet_path_join(r->out->folder, part) : NULL;
        const bool is_link = whole != NULL && lstat(whole, &about) == 0 && S_ISLNK(about.st_mode);

        free(part);
        free(whole);
        if (is_link && !r->follow_symlinks) {
            return eet_fail(r->err, EET_E_AMBIGUOUS, EET_NOWHERE,
                            "the folder \"%s\" is a symbolic link; --follow-symlinks follows it",
                            eet_show(&shown, path, length));
        }
        at += *at == '/' ? 1 : 0;
    }
    return EET_OK;
}

/* The path of a module: where its folder is. */
static eet_status path_of(const reading *r, const eet_json *module, const char **path) {
    uint64_t bytes = 0;

    *path = eet_json_as_string(eet_json_get(module, "path"), &bytes);
    if (*path == NULL || strlen(*path) != bytes) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "a module has no \"path\"");
    }
    return check_path(r, *path);
}

/* The class of a module: "Pooling" of "sentence_transformers.models.Pooling". */
static eet_status class_of(const reading *r, const eet_json *module, const char **class) {
    const char *type = eet_json_as_string(eet_json_get(module, "type"), NULL);

    if (type == NULL) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE, "a module has no \"type\"");
    }
    if (strncmp(type, OURS, strlen(OURS)) != 0 || strrchr(type, '.')[1] == '\0') {
        return eet_sentence_refuse(r->err, "code of the checkpoint's own", type);
    }
    *class = strrchr(type, '.') + 1;
    return EET_OK;
}

/* ---- modules --------------------------------------------------------------- */

/* The configuration of a module, read. */
static eet_status config_of(const reading *r, const char *path, eet_json **config) {
    char name[MAX_PATH + 16];

    (void)snprintf(name, sizeof name, "%s%s%s", path, path[0] != '\0' ? "/" : "", "config.json");
    return read_json(r, name, EET_JSON_OBJECT, config);
}

static eet_status read_pooling(const reading *r, const char *path) {
    eet_json *config = NULL;
    eet_status status = config_of(r, path, &config);

    if (status == EET_OK) {
        status = eet_sentence_pooling(r->out, config, r->notes, r->err);
        eet_error_prefix(r->err, path[0] != '\0' ? path : "config.json");
    }
    eet_json_free(config);
    return status;
}

static eet_status read_dense(const reading *r, const char *path) {
    eet_json *config = NULL;
    eet_status status = config_of(r, path, &config);

    if (status == EET_OK) {
        status = eet_sentence_add_dense(r->out, path, config, r->err);
        eet_error_prefix(r->err, path[0] != '\0' ? path : "config.json");
    }
    eet_json_free(config);
    return status;
}

/* One module behind the transformer, in the only order that a head has. */
static eet_status read_module(const reading *r, const eet_json *module) {
    const char *path = "";
    const char *class = "";
    eet_status status = class_of(r, module, &class);

    if (status == EET_OK) {
        status = path_of(r, module, &path);
    }
    if (status != EET_OK || strcmp(class, "Dropout") == 0) { /* nothing happens in it */
        return status;
    }
    if (strcmp(class, "Pooling") == 0 && !r->out->head) {
        return read_pooling(r, path);
    }
    if (strcmp(class, "Dense") == 0 && r->out->head && !r->out->normalize) {
        return read_dense(r, path);
    }
    if (strcmp(class, "Normalize") == 0 && r->out->head) {
        r->out->normalize = true;
        return EET_OK;
    }
    return eet_sentence_refuse(r->err, "a module in this place", class);
}

/* Without a head its class does not matter: the configuration says what the model is. */
static eet_status read_transformer(const reading *r, bool head, const eet_json *module) {
    const char *path = "";
    const char *class = "";
    eet_status status = head ? class_of(r, module, &class) : EET_OK;

    if (status == EET_OK) {
        status = path_of(r, module, &path);
    }
    if (status == EET_OK && head && strcmp(class, "Transformer") != 0) {
        status = eet_fail(r->err, EET_E_UNSUPPORTED, EET_NOWHERE,
                          "the first module is \"%s\", expected \"Transformer\"", class);
    }
    if (status == EET_OK) {
        r->out->inside = strdup(path);
        status = r->out->inside != NULL ? EET_OK : no_memory(r->err);
    }
    return status;
}

static eet_status read_modules(const reading *r, bool head, const eet_json *list) {
    const uint64_t count = eet_json_length(list);

    if (count < 1 || count > MAX_MODULES) {
        return eet_fail(r->err, EET_E_CORRUPT, EET_NOWHERE,
                        "it lists %llu modules, expected 1 to %d", (unsigned long long)count,
                        MAX_MODULES);
    }
    eet_status status = read_transformer(r, head, eet_json_item(list, 0));

    for (uint64_t i = 1; head && status == EET_OK && i < count; i++) {
        status = read_module(r, eet_json_item(list, i));
    }
    return status;
}

/* What whoever makes the ids has to know. */
static eet_status note_limits(const reading *r) {
    static const char file[] = "sentence_bert_config.json";
    char name[MAX_PATH + sizeof file + 1];
    eet_json *root = NULL;
    int64_t most = 0;
    bool lower = false;
    bool there = false;

    (void)snprintf(name, sizeof name, "%s%s%s", r->out->inside,
                   r->out->inside[0] != '\0' ? "/" : "", file);
    eet_status status = look_for(r, name, &there);

    if (status != EET_OK || !there) {
        return status;
    }
    status = read_json(r, name, EET_JSON_OBJECT, &root);

    if (eet_json_as_integer(eet_json_get(root, "max_seq_length"), &most)) {
        eet_notes_add(r->notes, "%s: texts are cut to %lld tokens; whoever makes the ids does it",
                      name, (long long)most);
    }
    if (eet_json_as_bool(eet_json_get(root, "do_lower_case"), &lower) && lower) {
        eet_notes_add(r->notes, "%s: texts are put into lower case; whoever makes the ids does it",
                      name);
    }
    eet_json_free(root);
    return status;
}

eet_status eet_sentence_read(const char *folder, bool head, bool follow_symlinks, eet_sentence *out,
                             eet_notes *notes, eet_error *err) {
    const reading r = {out, follow_symlinks, notes, err};
    eet_json *list = NULL;
    bool there = false;

    *out = (eet_sentence){.folder = eet_path_settled(folder)};
    if (out->folder == NULL) {
        return no_memory(err);
    }
    eet_status status = look_for(&r, "modules.json", &there);

    if (status != EET_OK || !there) {
        return status;
    }
    status = read_json(&r, "modules.json", EET_JSON_ARRAY, &list);
    if (status == EET_OK) {
        status = read_modules(&r, head, list);
        eet_error_prefix(err, "modules.json");
    }
    eet_json_free(list);
    return status == EET_OK && out->head ? note_limits(&r) : status;
}

void eet_sentence_free(eet_sentence *sentence) {
    for (int32_t i = 0; i < sentence->files; i++) {
        free(sentence->file[i].name);
    }
    for (int32_t i = 0; i < sentence->denses; i++) {
        free(sentence->dense[i].path);
        eet_source_close(sentence->dense[i].source);
    }
    free(sentence->folder);
    free(sentence->inside);
    *sentence = (eet_sentence){0};
}
