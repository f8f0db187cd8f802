/* h5_tensors.c - which dataset of an HDF5 file is which tensor, and whether its bytes are
 * where the process that parsed the file says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/h5_internal.h"
#include "format/checked.h"

enum { CHUNK = 64 << 10 };

static int by_path(const void *a, const void *b) {
    return strcmp(((const eet_h5_dataset *)a)->path, ((const eet_h5_dataset *)b)->path);
}

static int by_text(const void *a, const void *b) {
    return strcmp(((const eet_h5_item *)a)->text, ((const eet_h5_item *)b)->text);
}

static int by_name(const void *a, const void *b) {
    const eet_h5_entry *x = a;
    const eet_h5_entry *y = b;
    const int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->dataset > y->dataset) - (x->dataset < y->dataset);
}

/* The dataset "group/weight"; -1: there is none. */
static int32_t dataset_of(const eet_h5_state *h5, const eet_h5_item *weight) {
    char path[2 * EET_H5_MAX_PATH + 2];
    const eet_h5_dataset key = {.path = path};

    (void)snprintf(path, sizeof path, "%s/%s", weight->group, weight->text);
    const eet_h5_dataset *found =
        h5->datasets == 0
            ? NULL
            : bsearch(&key, h5->dataset, (size_t)h5->datasets, sizeof *h5->dataset, by_path);

    return found != NULL ? (int32_t)(found - h5->dataset) : -1;
}

static eet_status add_entry(eet_h5_state *h5, const eet_h5_item *weight, eet_error *err) {
    char name[EET_KERAS_NAME + 1];
    eet_h5_entry *entry = &h5->entry[h5->entries];
    eet_shown shown;

    entry->dataset = dataset_of(h5, weight);
    if (entry->dataset < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the weight \"%s\" is listed, and there is no such dataset",
                        eet_show(&shown, weight->text, strlen(weight->text)));
    }
    const eet_h5_record *r = &h5->dataset[entry->dataset].record;

    if (!eet_keras_name(weight->text, true, r->rank, r->shape, name, &entry->turn)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "a weight's name is too long");
    }
    entry->name = strdup(name);
    h5->entries += entry->name != NULL ? 1 : 0;
    return entry->name != NULL ? EET_OK : eet_h5_no_memory(err);
}

/* The weights of the layers that the file lists; what no layer owns is not the model's. */
static eet_status find_entries(eet_source *source, eet_h5_state *h5, eet_error *err) {
    eet_status status = EET_OK;

    if (h5->layers.count == 0) {
        return EET_OK; /* and no tensor */
    }
    if (h5->datasets > 0) {
        qsort(h5->dataset, (size_t)h5->datasets, sizeof *h5->dataset, by_path);
    }
    qsort(h5->layers.item, (size_t)h5->layers.count, sizeof *h5->layers.item, by_text);
    h5->entry = calloc((size_t)h5->weights.count + 1, sizeof *h5->entry);
    if (h5->entry == NULL) {
        return eet_h5_no_memory(err);
    }
    for (int32_t i = 0; status == EET_OK && i < h5->weights.count; i++) {
        const eet_h5_item key = {.text = h5->weights.item[i].group};

        if (bsearch(&key, h5->layers.item, (size_t)h5->layers.count, sizeof key, by_text) != NULL) {
            status = add_entry(h5, &h5->weights.item[i], err);
        }
    }
    if (status == EET_OK && h5->entries < h5->datasets) {
        status = eet_source_warn(source, err, "%d datasets are skipped, for no layer lists them",
                                 (int)(h5->datasets - h5->entries));
    }
    return status;
}

/* ---- tensors ------------------------------------------------------------ */

static eet_source_dtype dtype_of(const eet_h5_record *r) {
    static const struct {
        uint8_t type, size;
        eet_source_dtype dtype;
    } rows[] = {
        {EET_H5_FLOAT, 2, EET_SRC_F16},    {EET_H5_FLOAT, 4, EET_SRC_F32},
        {EET_H5_FLOAT, 8, EET_SRC_F64},    {EET_H5_SIGNED, 1, EET_SRC_I8},
        {EET_H5_SIGNED, 2, EET_SRC_I16},   {EET_H5_SIGNED, 4, EET_SRC_I32},
        {EET_H5_SIGNED, 8, EET_SRC_I64},   {EET_H5_UNSIGNED, 1, EET_SRC_U8},
        {EET_H5_UNSIGNED, 2, EET_SRC_U16}, {EET_H5_UNSIGNED, 4, EET_SRC_U32},
        {EET_H5_UNSIGNED, 8, EET_SRC_U64},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].type == r->type && rows[i].size == r->size) {
            return rows[i].dtype;
        }
    }
    return EET_SRC_OTHER;
}

static const char *refusal_of(const eet_h5_record *r) {
    static const char *const why[] = {
#define X(symbol, text) text,
        EET_H5_LAYOUT_MAP(X)
#undef X
    };

    return why[r->layout];
}

/* What the other process says of a place must be true of the file. */
static eet_status check_place(const eet_source *source, const eet_h5_entry *entry,
                              const eet_h5_record *r, uint64_t bytes, eet_error *err) {
    eet_shown shown;
    uint64_t end = 0;

    (void)eet_show(&shown, entry->name, strlen(entry->name));
    if (bytes != r->stored) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" has %llu bytes by its shape, and %llu in the file",
                        shown.text, (unsigned long long)bytes, (unsigned long long)r->stored);
    }
    if (!eet_add_u64(r->offset, bytes, &end) || end > source->bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "tensor \"%s\" reaches past the end of the file", shown.text);
    }
    return EET_OK;
}

/* The bytes of a shape; false when they cannot be counted. */
static bool bytes_of(const eet_h5_record *r, uint32_t item, uint64_t *bytes) {
    uint64_t total = item;

    for (int32_t i = 0; i < r->rank; i++) {
        if (r->shape[i] == 0) {
            *bytes = 0;
            return true;
        }
    }
    for (int32_t i = 0; i < r->rank; i++) {
        if (!eet_mul_u64(total, r->shape[i], &total)) {
            return false;
        }
    }
    *bytes = total;
    return true;
}

/* Shape and strides as PyTorch has them: another view of the same bytes. */
static void turn(const eet_h5_record *r, eet_keras_turn how, eet_source_tensor *tensor) {
    uint64_t step = 1;

    tensor->rank = r->rank;
    for (int32_t i = r->rank - 1; i >= 0; i--) {
        tensor->shape[i] = r->shape[i];
        tensor->stride[i] = step;
        step *= r->shape[i]; /* divides the bytes, which were counted */
    }
    eet_keras_turn_tensor(tensor, how);
}

static eet_status add_tensor(eet_source *source, eet_h5_state *h5, const eet_h5_entry *entry,
                             eet_error *err) {
    const eet_h5_record *r = &h5->dataset[entry->dataset].record;
    eet_h5_storage *storage = &h5->storage[h5->storages];
    eet_source_tensor tensor = {.name = entry->name,
                                .name_bytes = (uint32_t)strlen(entry->name),
                                .dtype = dtype_of(r),
                                .storage = h5->storages,
                                .refusal = refusal_of(r)};
    const uint32_t item = eet_source_dtype_bytes(tensor.dtype);
    eet_status status = EET_OK;

    if (tensor.refusal == NULL && tensor.dtype == EET_SRC_OTHER) {
        tensor.refusal = "its type is no IEEE float and no integer";
    }
    if (tensor.refusal == NULL && !bytes_of(r, item, &storage->bytes)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "a dataset has more elements than can be counted");
    }
    if (tensor.refusal == NULL) {
        status = check_place(source, entry, r, storage->bytes, err);
        turn(r, entry->turn, &tensor);
    }
    storage->offset = r->offset;
    storage->swap = r->big_endian != 0 && item > 1 ? item : 0;
    h5->storages++;
    return status == EET_OK ? eet_source_add(source, &tensor, err) : status;
}

static bool same_shape(const eet_h5_record *a, const eet_h5_record *b) {
    return a->type == b->type && a->size == b->size && a->big_endian == b->big_endian &&
           a->layout == EET_H5_CONTIGUOUS && b->layout == EET_H5_CONTIGUOUS && a->rank == b->rank &&
           memcmp(a->shape, b->shape, sizeof a->shape) == 0 && a->stored == b->stored;
}

static eet_status compare_bytes(const eet_source *source, uint64_t a, uint64_t b, uint64_t bytes,
                                bool *equal, eet_error *err) {
    uint8_t *data = malloc((size_t)2 * CHUNK);
    eet_status status = EET_OK;

    if (data == NULL) {
        return eet_h5_no_memory(err);
    }
    *equal = true;
    for (uint64_t at = 0; status == EET_OK && *equal && at < bytes; at += CHUNK) {
        const uint64_t part = bytes - at < CHUNK ? bytes - at : CHUNK;

        status = eet_read_at(source->fd, a + at, data, part, err);
        if (status == EET_OK) {
            status = eet_read_at(source->fd, b + at, data + CHUNK, part, err);
        }
        *equal = status == EET_OK && memcmp(data, data + CHUNK, (size_t)part) == 0;
    }
    free(data);
    return status;
}

/* Keras lists a variable that two layers share with both, and saves it twice. */
static eet_status check_twice(const eet_source *source, const eet_h5_state *h5,
                              const eet_h5_entry *first, const eet_h5_entry *second,
                              eet_error *err) {
    const eet_h5_record *a = &h5->dataset[first->dataset].record;
    const eet_h5_record *b = &h5->dataset[second->dataset].record;
    eet_shown shown;
    bool equal = first->dataset == second->dataset;
    eet_status status = EET_OK;

    if (!equal) {
        status = check_place(source, second, b, a->stored, err);
    }
    if (status == EET_OK && !equal) {
        equal = same_shape(a, b);
        status =
            equal ? compare_bytes(source, a->offset, b->offset, a->stored, &equal, err) : EET_OK;
    }
    return status != EET_OK || equal
               ? status
               : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                          "the tensor \"%s\" stands there twice, and not the same",
                          eet_show(&shown, first->name, strlen(first->name)));
}

static eet_status add_tensors(eet_source *source, eet_h5_state *h5, eet_error *err) {
    const eet_h5_entry *first = NULL;
    eet_status status = EET_OK;

    h5->storage = calloc((size_t)h5->entries + 1, sizeof *h5->storage);
    if (h5->storage == NULL) {
        return eet_h5_no_memory(err);
    }
    if (h5->entries > 0) {
        qsort(h5->entry, (size_t)h5->entries, sizeof *h5->entry, by_name);
    }
    for (int32_t i = 0; status == EET_OK && i < h5->entries; i++) {
        const eet_h5_entry *entry = &h5->entry[i];

        if (first != NULL && strcmp(first->name, entry->name) == 0) {
            status = check_twice(source, h5, first, entry, err);
        } else {
            status = add_tensor(source, h5, entry, err);
            first = entry;
        }
    }
    return status;
}

eet_status eet_h5_list_tensors(eet_source *source, eet_h5_state *h5, eet_error *err) {
    const eet_status status = find_entries(source, h5, err);

    return status == EET_OK ? add_tensors(source, h5, err) : status;
}
