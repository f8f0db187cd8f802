/* source_h5.c - tf_model.h5 of Transformers. Another process parses the HDF5 (h5_jail.c) and
 * says where each dataset's bytes lie; here they are checked, named as in PyTorch, and read. */
#include <stdlib.h>
#include <string.h>

#include "converter/h5_internal.h"
#include "converter/h5_wire.h"

enum { PATIENCE = 60 * 1000 };

eet_status eet_h5_no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the parts of an HDF5 file");
}

/* ---- listening ---------------------------------------------------------- */

/* Makes room for one more of `each` bytes; the counts are bounded by EET_H5_MAX_RECORDS. */
static bool grow(void **items, int32_t count, int32_t *room, size_t each) {
    if (count < *room) {
        return true;
    }
    const int32_t more = *room == 0 ? 64 : 2 * *room;
    void *made = realloc(*items, (size_t)more * each);

    if (made != NULL) {
        *items = made;
        *room = more;
    }
    return made != NULL;
}

static eet_status keep_item(eet_h5_list *list, const char *group, const char *text,
                            eet_error *err) {
    void *items = list->item;

    if (!grow(&items, list->count, &list->room, sizeof *list->item)) {
        return eet_h5_no_memory(err);
    }
    list->item = items;
    eet_h5_item *item = &list->item[list->count++];

    *item = (eet_h5_item){.group = strdup(group), .text = strdup(text)};
    return item->group != NULL && item->text != NULL ? EET_OK : eet_h5_no_memory(err);
}

static eet_status keep_dataset(eet_h5_state *h5, const eet_h5_message *message, eet_error *err) {
    void *items = h5->dataset;

    if (!grow(&items, h5->datasets, &h5->dataset_room, sizeof *h5->dataset)) {
        return eet_h5_no_memory(err);
    }
    h5->dataset = items;
    h5->dataset[h5->datasets] = (eet_h5_dataset){strdup(message->path), message->record};
    return h5->dataset[h5->datasets++].path != NULL ? EET_OK : eet_h5_no_memory(err);
}

/* Only what the parser has reasons to say. */
static eet_status repeat_failure(const eet_h5_message *message, eet_error *err) {
    switch (message->record.status) {
    case EET_E_CORRUPT:
    case EET_E_UNSUPPORTED:
    case EET_E_SUSPICIOUS:
    case EET_E_LIMIT:
    case EET_E_MEMORY:
        return eet_fail(err, (eet_status)message->record.status, EET_NOWHERE, "%s", message->text);
    default:
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the process that parses HDF5 fails without a reason");
    }
}

static eet_status hear(eet_h5_state *h5, const eet_h5_message *message, eet_error *err) {
    switch (message->record.kind) {
    case EET_H5_LAYER:
        return keep_item(&h5->layers, "", message->text, err);
    case EET_H5_WEIGHT:
        return keep_item(&h5->weights, message->path, message->text, err);
    case EET_H5_DATASET:
        return keep_dataset(h5, message, err);
    case EET_H5_FAILED:
        return repeat_failure(message, err);
    default:
        return EET_OK;
    }
}

static eet_status listen_to(eet_h5_state *h5, int from, eet_error *err) {
    eet_h5_message *message = calloc(1, sizeof *message);
    eet_h5_stream stream;
    eet_status status = message != NULL ? EET_OK : eet_h5_no_memory(err);

    eet_h5_stream_begin(&stream, from, PATIENCE);
    while (status == EET_OK && message->record.kind != EET_H5_END) {
        status = eet_h5_receive(&stream, message, err);
        if (status == EET_OK) {
            status = hear(h5, message, err);
        }
    }
    free(message);
    return status;
}

static eet_status ask(const eet_source *source, eet_h5_state *h5, eet_error *err) {
    eet_h5_child child;
    eet_status status = eet_h5_start(source->fd, source->bytes, &child, err);

    if (status == EET_OK) {
        status = eet_h5_end(&child, listen_to(h5, child.from, err), err);
    }
    return status;
}

/* ---- the reader --------------------------------------------------------- */

static eet_status h5_open(eet_source *source, eet_error *err) {
    eet_h5_state *h5 = calloc(1, sizeof *h5);

    source->state = h5;
    if (h5 == NULL) {
        return eet_h5_no_memory(err);
    }
    eet_status status = ask(source, h5, err);

    return status == EET_OK ? eet_h5_list_tensors(source, h5, err) : status;
}

static void free_list(eet_h5_list *list) {
    for (int32_t i = 0; i < list->count; i++) {
        free(list->item[i].group);
        free(list->item[i].text);
    }
    free(list->item);
}

static void h5_close(eet_source *source) {
    eet_h5_state *h5 = source->state;

    if (h5 == NULL) {
        return;
    }
    free_list(&h5->layers);
    free_list(&h5->weights);
    for (int32_t i = 0; i < h5->datasets; i++) {
        free(h5->dataset[i].path);
    }
    for (int32_t i = 0; i < h5->entries; i++) {
        free(h5->entry[i].name);
    }
    free(h5->dataset);
    free(h5->entry);
    free(h5->storage);
    free(h5);
    source->state = NULL;
}

static uint64_t h5_storage_bytes(const eet_source *source, int32_t index) {
    return ((const eet_h5_state *)source->state)->storage[index].bytes;
}

static eet_status h5_storage_read(eet_source *source, int32_t index, void *data, eet_error *err) {
    const eet_h5_storage *storage = &((const eet_h5_state *)source->state)->storage[index];
    const eet_status status = eet_read_at(source->fd, storage->offset, data, storage->bytes, err);

    if (status == EET_OK && storage->swap > 0) {
        eet_source_swap(data, storage->bytes, storage->swap);
    }
    return status;
}

const eet_source_reader eet_source_reader_h5 = {
    .kind = "h5",
    .open = h5_open,
    .close = h5_close,
    .storage_bytes = h5_storage_bytes,
    .storage_read = h5_storage_read,
};
