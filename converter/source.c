/* source.c - a checkpoint as a table of named tensors: opens it by what its bytes
 * are, checks every tensor against its storage, and looks tensors up. */
#include "converter/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/foreign.h"
#include "converter/input.h"
#include "converter/magic.h"
#include "converter/source_reader.h"
#include "format/checked.h"
#include "format/utf8.h"

enum { MAX_NAME = 512, MAX_WARNINGS = 64, MAX_EXPANSION = 64 << 20 };

const char *eet_source_dtype_name(eet_source_dtype dtype) {
    switch (dtype) {
#define X(symbol, bytes, name, kept) \
    case symbol:                     \
        return name;
        EET_SOURCE_DTYPE_MAP(X)
#undef X
    }
    return "unknown";
}

uint32_t eet_source_dtype_bytes(eet_source_dtype dtype) {
    switch (dtype) {
#define X(symbol, bytes, name, kept) \
    case symbol:                     \
        return bytes;
        EET_SOURCE_DTYPE_MAP(X)
#undef X
    }
    return 0;
}

/* The number of elements, and where the last one lies behind the first. */
static bool measure(const eet_source_tensor *tensor, uint64_t *elements, uint64_t *reach) {
    uint64_t count = 1;
    uint64_t last = 0;
    uint64_t step = 0;

    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] == 0) {
            *elements = 0;
            *reach = 0;
            return true;
        }
    }
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (!eet_mul_u64(count, tensor->shape[i], &count) ||
            !eet_mul_u64(tensor->shape[i] - 1, tensor->stride[i], &step) ||
            !eet_add_u64(last, step, &last)) {
            return false;
        }
    }
    *elements = count;
    *reach = last;
    return true;
}

/* Does the tensor lie in its storage, and is it no bomb? Sets its elements. */
static eet_status check_extent(const eet_source *source, eet_source_tensor *tensor,
                               const char *name, eet_error *err) {
    const uint32_t size = eet_source_dtype_bytes(tensor->dtype);
    const uint64_t storage = source->reader->storage_bytes(source, tensor->storage);
    uint64_t last = 0;
    uint64_t end = 0;
    uint64_t bytes = 0;

    if (!measure(tensor, &tensor->elements, &last) ||
        !eet_mul_u64(tensor->elements, size, &bytes) || bytes > INT64_MAX) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" has more elements than can be counted", name);
    }
    if (tensor->elements == 0) {
        return EET_OK;
    }
    if (!eet_add_u64(last, tensor->offset, &last) || !eet_add_u64(last, 1, &end) ||
        !eet_mul_u64(end, size, &end) || end > storage) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" reaches past the end of its storage of %llu bytes", name,
                        (unsigned long long)storage);
    }
    if (bytes > storage && bytes > MAX_EXPANSION) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "tensor \"%s\" expands %llu bytes to %llu; at most %d are made", name,
                        (unsigned long long)storage, (unsigned long long)bytes, MAX_EXPANSION);
    }
    return EET_OK;
}

static eet_status check_name(const eet_source_tensor *tensor, eet_error *err) {
    eet_shown shown;

    if (tensor->name_bytes == 0 || tensor->name_bytes > MAX_NAME) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "a tensor's name has %u bytes; 1 to %d are allowed", tensor->name_bytes,
                        MAX_NAME);
    }
    if (!eet_utf8_clean(tensor->name, tensor->name_bytes)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the tensor name \"%s\" is not printable UTF-8",
                        eet_show(&shown, tensor->name, tensor->name_bytes));
    }
    return EET_OK;
}

static eet_status make_room(eet_source *source, eet_error *err) {
    if (source->count < source->room) {
        return EET_OK;
    }
    if (source->room > INT32_MAX / 2) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "too many tensors");
    }
    const int32_t room = source->room == 0 ? 64 : 2 * source->room;
    eet_source_tensor *more = realloc(source->tensor, (size_t)room * sizeof *more);

    if (more == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the table of tensors");
    }
    source->tensor = more;
    source->room = room;
    return EET_OK;
}

eet_status eet_source_add(eet_source *source, const eet_source_tensor *tensor, eet_error *err) {
    eet_source_tensor added = *tensor;
    eet_shown shown;
    eet_status status = check_name(tensor, err);

    if (status != EET_OK) {
        return status;
    }
    (void)eet_show(&shown, tensor->name, tensor->name_bytes);
    if (added.refusal == NULL && (added.rank < 0 || added.rank > EET_SOURCE_MAX_RANK)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" has %d dimensions; 0 to %d are allowed", shown.text,
                        added.rank, EET_SOURCE_MAX_RANK);
    }
    if (added.refusal == NULL && eet_source_dtype_bytes(added.dtype) == 0) {
        added.refusal = "its dtype is not known";
    }
    if (added.refusal == NULL) {
        status = check_extent(source, &added, shown.text, err);
    }
    if (status == EET_OK) {
        status = make_room(source, err);
    }
    if (status != EET_OK) {
        return status;
    }
    char *name = malloc((size_t)tensor->name_bytes + 1);

    if (name == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a tensor's name");
    }
    memcpy(name, tensor->name, tensor->name_bytes);
    name[tensor->name_bytes] = '\0';
    added.name = name;
    source->tensor[source->count++] = added;
    return EET_OK;
}

eet_status eet_source_warn(eet_source *source, eet_error *err, const char *fmt, ...) {
    eet_error line;
    char text[sizeof line.text];
    va_list args;

    if (source->warnings >= MAX_WARNINGS) {
        return EET_OK;
    }
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    eet_error_clear(&line);
    (void)eet_fail(&line, EET_E_CORRUPT, EET_NOWHERE, "%s", text); /* makes it fit to be shown */
    char **more =
        realloc(source->warning, ((size_t)source->warnings + 1) * sizeof *source->warning);

    if (more != NULL) {
        source->warning = more;
        more[source->warnings] = strdup(line.text);
    }
    if (more == NULL || more[source->warnings] == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a warning");
    }
    source->warnings++;
    return EET_OK;
}

static int by_name(const void *a, const void *b, void *context) {
    const eet_source_tensor *tensor = context;

    return strcmp(tensor[*(const int32_t *)a].name, tensor[*(const int32_t *)b].name);
}

static eet_status sort_names(eet_source *source, eet_error *err) {
    const size_t count = (size_t)source->count;

    source->by_name = malloc(count * sizeof *source->by_name + 1);
    if (source->by_name == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the names of tensors");
    }
    for (int32_t i = 0; i < source->count; i++) {
        source->by_name[i] = i;
    }
    qsort_r(source->by_name, count, sizeof *source->by_name, by_name, source->tensor);
    for (int32_t i = 1; i < source->count; i++) {
        const eet_source_tensor *tensor = &source->tensor[source->by_name[i]];
        eet_shown shown;

        if (strcmp(tensor->name, source->tensor[source->by_name[i - 1]].name) == 0) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "two tensors are called \"%s\"",
                            eet_show(&shown, tensor->name, tensor->name_bytes));
        }
    }
    return EET_OK;
}

/* Some files are nothing by their bytes, and by their name a part of somebody's checkpoint. */
static eet_status read_magic(const eet_source *source, eet_magic *magic, eet_error *err) {
    const eet_status status = eet_magic_of(source->fd, source->bytes, magic, err);
    const eet_foreign *foreign = status == EET_E_CORRUPT ? eet_foreign_file(source->name) : NULL;

    if (foreign == NULL) {
        return status;
    }
    eet_error_clear(err);
    return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "by its name this is %s", foreign->what);
}

static eet_status open_by_magic(eet_source *source, bool is_part, eet_error *err) {
    static const eet_source_reader *const readers[] = {
        [EET_MAGIC_ZIP] = &eet_source_reader_torch,
        [EET_MAGIC_TORCH_STREAM] = &eet_source_reader_legacy,
        [EET_MAGIC_H5] = &eet_source_reader_h5,
        [EET_MAGIC_SAFETENSORS] = &eet_source_reader_safetensors,
        [EET_MAGIC_INDEX] = &eet_source_reader_shards,
    };
    eet_magic magic = EET_MAGIC_ZIP;
    eet_status status = read_magic(source, &magic, err);

    if (status == EET_OK && is_part && magic == EET_MAGIC_INDEX) {
        status = eet_fail(err, EET_E_CORRUPT, 0, "this is an index, not a part of a checkpoint");
    }
    if (status != EET_OK) {
        return status;
    }
    source->reader = readers[magic];
    source->file.kind = source->reader->kind;
    status = source->reader->open(source, err);
    if (status == EET_OK) {
        status = sort_names(source, err);
    }
    if (status == EET_OK && source->count == 0 && !is_part) {
        status = eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "the checkpoint has no tensors");
    }
    return status == EET_OK && !is_part ? eet_foreign_check_tensors(source, err) : status;
}

static eet_status open_file(eet_source *source, eet_error *err) {
    eet_status status =
        eet_open_input(source->path, source->follow_symlinks, &source->fd, &source->bytes, err);

    if (status == EET_OK) {
        status = eet_input_mark_of(source->fd, &source->mark, err);
    }
    source->file = (eet_source_file){.name = source->name, .kind = "", .bytes = source->bytes};
    return status;
}

static eet_status open_source(const char *path, bool follow_symlinks, bool is_part,
                              eet_source **out, eet_error *err) {
    eet_source *source = calloc(1, sizeof *source);

    if (source == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint");
    }
    source->fd = -1;
    source->cached = -1;
    source->follow_symlinks = follow_symlinks;
    source->path = strdup(path);
    if (source->path == NULL) {
        eet_source_close(source);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint");
    }
    const char *slash = strrchr(source->path, '/');

    source->name = slash == NULL ? source->path : slash + 1;
    eet_status status = open_file(source, err);

    if (status == EET_OK) {
        status = open_by_magic(source, is_part, err);
    }
    if (status != EET_OK) {
        eet_source_close(source);
        return status;
    }
    *out = source;
    return EET_OK;
}

eet_status eet_source_open(const char *path, bool follow_symlinks, eet_source **out,
                           eet_error *err) {
    return open_source(path, follow_symlinks, false, out, err);
}

eet_status eet_source_open_part(const char *path, bool follow_symlinks, eet_source **out,
                                eet_error *err) {
    return open_source(path, follow_symlinks, true, out, err);
}

void eet_source_close(eet_source *source) {
    if (source == NULL) {
        return;
    }
    if (source->reader != NULL) {
        source->reader->close(source);
    }
    for (int32_t i = 0; i < source->parts; i++) {
        eet_source_close(source->part[i]);
    }
    for (int32_t i = 0; i < source->count; i++) {
        free((char *)source->tensor[i].name);
    }
    for (int32_t i = 0; i < source->warnings; i++) {
        free(source->warning[i]);
    }
    if (source->fd >= 0) {
        (void)close(source->fd);
    }
    free(source->part);
    free(source->tensor);
    free(source->by_name);
    free(source->warning);
    free(source->cache);
    free(source->scratch);
    free(source->config);
    free(source->path);
    free(source);
}

int32_t eet_source_count(const eet_source *source) {
    return source->count;
}

const eet_source_tensor *eet_source_at(const eet_source *source, int32_t index) {
    return &source->tensor[index];
}

const eet_source_tensor *eet_source_find(const eet_source *source, const char *name) {
    int32_t low = 0;
    int32_t high = source->count;

    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const eet_source_tensor *tensor = &source->tensor[source->by_name[middle]];
        const int order = strcmp(tensor->name, name);

        if (order == 0) {
            return tensor;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool eet_source_same(const eet_source_tensor *a, const eet_source_tensor *b) {
    if (a->storage != b->storage || a->dtype != b->dtype || a->rank != b->rank ||
        a->offset != b->offset || a->refusal != NULL || b->refusal != NULL) {
        return false;
    }
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->shape[i] != b->shape[i] || (a->shape[i] > 1 && a->stride[i] != b->stride[i])) {
            return false;
        }
    }
    return true;
}

const char *eet_source_config(const eet_source *source, uint64_t *bytes) {
    *bytes = source->config_bytes;
    return source->config;
}

int32_t eet_source_warnings(const eet_source *source) {
    return source->warnings;
}

const char *eet_source_warning(const eet_source *source, int32_t index) {
    return source->warning[index];
}
