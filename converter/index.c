/* index.c - reads the index of a checkpoint in several files. */
#include "converter/index.h"

#include <stdlib.h>
#include <string.h>

#include "converter/input.h"

enum { MAX_INDEX = 100000000, MAX_FILE_NAME = 128 };

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the index of a checkpoint");
}

static eet_status parse(int fd, uint64_t bytes, eet_json **root, eet_error *err) {
    if (bytes > MAX_INDEX) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the index has %llu bytes; at most %d are read", (unsigned long long)bytes,
                        MAX_INDEX);
    }
    char *text = malloc((size_t)bytes + 1);

    if (text == NULL) {
        return no_memory(err);
    }
    eet_status status = eet_read_at(fd, 0, text, bytes, err);

    if (status == EET_OK) {
        status = eet_json_parse(text, bytes, root, err);
    }
    free(text);
    return status;
}

/* A name of a file beside the index, and nothing that leads elsewhere. */
static eet_status check_file(const char *name, uint64_t bytes, eet_error *err) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    eet_shown shown;

    if (strchr(name, '/') != NULL || strcmp(name, "..") == 0 || strcmp(name, ".") == 0) {
        return eet_fail(err, EET_E_SUSPICIOUS, EET_NOWHERE,
                        "the index names \"%s\", a path; only names of files beside it are read",
                        eet_show(&shown, name, bytes));
    }
    if (bytes == 0 || bytes > MAX_FILE_NAME || strspn(name, plain) != bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the index names \"%s\"; a file's name is 1 to %d of a-z, A-Z, 0-9, '.', "
                        "'_' and '-'",
                        eet_show(&shown, name, bytes), MAX_FILE_NAME);
    }
    return EET_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_tensor(const void *a, const void *b) {
    return strcmp(((const eet_index_entry *)a)->tensor, ((const eet_index_entry *)b)->tensor);
}

/* Sorts the files' names and keeps each once. */
static eet_status sort_files(eet_index *index, eet_error *err) {
    int32_t kept = 0;

    qsort(index->file, (size_t)index->files, sizeof *index->file, by_text);
    for (int32_t i = 0; i < index->files; i++) {
        if (kept == 0 || strcmp(index->file[kept - 1], index->file[i]) != 0) {
            index->file[kept++] = index->file[i];
        }
    }
    index->files = kept;
    return kept <= EET_INDEX_MAX_FILES ? EET_OK
                                       : eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                                                  "the index names %d files; at most %d are read",
                                                  (int)kept, EET_INDEX_MAX_FILES);
}

/* Every tensor with the name of its file, which becomes a number afterwards. */
static eet_status take_entries(eet_index *index, const eet_json *map, eet_error *err) {
    eet_json_iterator it = eet_json_members(map);
    const eet_json *value = NULL;
    const char *tensor = NULL;
    uint64_t bytes = 0;

    while (eet_json_next(&it, &tensor, &bytes, &value)) {
        uint64_t length = 0;
        const char *file = eet_json_as_string(value, &length);
        eet_shown shown;

        if (file == NULL) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "the index has %s for tensor \"%s\", expected the name of a file",
                            eet_json_kind_name(eet_json_kind_of(value)),
                            eet_show(&shown, tensor, bytes));
        }
        const eet_status status = check_file(file, length, err);

        if (status != EET_OK) {
            return status;
        }
        index->entry[index->count++] =
            (eet_index_entry){.tensor = tensor, .bytes = bytes, .number = -1};
        index->file[index->files++] = file;
    }
    return EET_OK;
}

/* The entries once more, in the map's order, with their files' numbers. */
static void number_files(eet_index *index, const eet_json *map) {
    eet_json_iterator it = eet_json_members(map);
    const eet_json *value = NULL;
    const char *tensor = NULL;
    uint64_t bytes = 0;

    for (int32_t i = 0; eet_json_next(&it, &tensor, &bytes, &value); i++) {
        const char *file = eet_json_as_string(value, NULL);
        const char **at =
            bsearch(&file, index->file, (size_t)index->files, sizeof *index->file, by_text);

        index->entry[i].file = (int32_t)(at - index->file);
    }
    qsort(index->entry, (size_t)index->count, sizeof *index->entry, by_tensor);
}

static eet_status find_map(const eet_json *root, const eet_json **map, eet_error *err) {
    if (eet_json_kind_of(root) != EET_JSON_OBJECT) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the index is %s, expected an object",
                        eet_json_kind_name(eet_json_kind_of(root)));
    }
    *map = eet_json_get(root, "weight_map");
    if (*map == NULL) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the index has no \"weight_map\"");
    }
    if (eet_json_kind_of(*map) != EET_JSON_OBJECT) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"weight_map\" is %s, expected an object",
                        eet_json_kind_name(eet_json_kind_of(*map)));
    }
    if (eet_json_length(*map) == 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"weight_map\" names no tensors");
    }
    return eet_json_length(*map) < INT32_MAX
               ? EET_OK
               : eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "\"weight_map\" names too many tensors");
}

static eet_status read_map(eet_index *index, eet_error *err) {
    const eet_json *map = NULL;
    eet_status status = find_map(index->root, &map, err);

    if (status != EET_OK) {
        return status;
    }
    const size_t count = (size_t)eet_json_length(map);

    index->entry = calloc(count, sizeof *index->entry);
    index->file = calloc(count, sizeof *index->file);
    if (index->entry == NULL || index->file == NULL) {
        return no_memory(err);
    }
    status = take_entries(index, map, err);
    if (status == EET_OK) {
        status = sort_files(index, err);
    }
    if (status == EET_OK) {
        number_files(index, map);
        index->total_size = eet_json_get(eet_json_get(index->root, "metadata"), "total_size");
    }
    return status;
}

eet_status eet_index_read(int fd, uint64_t bytes, eet_index *out, eet_error *err) {
    *out = (eet_index){0};
    eet_status status = parse(fd, bytes, &out->root, err);

    if (status == EET_OK) {
        status = read_map(out, err);
    }
    if (status != EET_OK) {
        eet_index_free(out);
    }
    return status;
}

void eet_index_free(eet_index *index) {
    eet_json_free(index->root);
    free(index->entry);
    free(index->file);
    *index = (eet_index){0};
}

eet_index_entry *eet_index_find(const eet_index *index, const char *tensor) {
    const eet_index_entry key = {.tensor = tensor};

    return index->count == 0
               ? NULL
               : bsearch(&key, index->entry, (size_t)index->count, sizeof *index->entry, by_tensor);
}
