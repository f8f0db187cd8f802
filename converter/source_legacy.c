/* source_legacy.c - a checkpoint of torch before 1.6: pickles one after another (a magic
 * number, a version, the system, the objects, the keys of the storages), then the
 * storages, each behind the number of its elements. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/torch_internal.h"

enum {
    FIRST_READ = 64 << 10,
    SMALL_PICKLE = 64 << 10,
    LARGE_PICKLE = 64 << 20,
    VERSION = 1001,
    COUNT_BYTES = 8
};

/* One pickle of the stream; its strings lie in `data`. */
typedef struct piece {
    void *data;
    eet_pickle *pickle;
} piece;

static void free_piece(piece *p) {
    eet_pickle_free(p->pickle);
    free(p->data);
    *p = (piece){0};
}

/* How long a pickle is its end alone says: reads more until it is there. */
static eet_status read_growing(const eet_source *source, uint64_t at, uint64_t limit, piece *out,
                               uint64_t *used, eet_error *err) {
    const uint64_t whole = source->bytes - at;
    eet_status status = EET_OK;

    *used = 0;
    for (uint64_t size = FIRST_READ; status == EET_OK && *used == 0; size *= 2) {
        const uint64_t bytes = size < whole ? size : whole;

        if (size > limit) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                            "the pickle has more than %llu bytes, and no more are read",
                            (unsigned long long)limit);
        }
        out->data = malloc((size_t)bytes + 1);
        if (out->data == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a pickle");
        }
        status = eet_read_at(source->fd, at, out->data, bytes, err);
        if (status == EET_OK) {
            status = eet_pickle_read_first(out->data, bytes, whole, &out->pickle, used, err);
        }
        if (status != EET_OK || *used == 0) {
            free(out->data);
            out->data = NULL;
        }
    }
    return status;
}

/* The pickle at byte *at, which moves behind it. */
static eet_status read_piece(const eet_source *source, uint64_t *at, const char *what,
                             uint64_t limit, piece *out, eet_error *err) {
    uint64_t used = 0;
    const eet_status status = read_growing(source, *at, limit, out, &used, err);

    if (status != EET_OK) {
        char prefix[96];

        (void)snprintf(prefix, sizeof prefix, "%s at byte %llu", what, (unsigned long long)*at);
        eet_error_prefix(err, prefix);
    }
    *at += used;
    return status;
}

static eet_status check_number(const eet_source *source, uint64_t *at, eet_error *err) {
    static const char number[] = "\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
    piece p = {0};
    uint32_t bytes = 0;
    eet_status status = read_piece(source, at, "the magic number", SMALL_PICKLE, &p, err);

    if (status == EET_OK) {
        const eet_pickle_node *root = eet_pickle_root(p.pickle);
        const char *text = eet_pickle_text(root, &bytes);

        if (eet_pickle_kind_of(root) != EET_PICKLE_BIG || bytes != sizeof number - 1 ||
            memcmp(text, number, bytes) != 0) {
            status = eet_fail(err, EET_E_CORRUPT, 0,
                              "the magic number in front is not that of a checkpoint of torch");
        }
    }
    free_piece(&p);
    return status;
}

static eet_status check_version(const eet_source *source, uint64_t *at, eet_error *err) {
    piece p = {0};
    int64_t version = 0;
    eet_status status = read_piece(source, at, "the version", SMALL_PICKLE, &p, err);

    if (status == EET_OK &&
        (!eet_pickle_int(eet_pickle_root(p.pickle), &version) || version != VERSION)) {
        status =
            eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                     "the version of the stream is not %d, the only one that torch wrote", VERSION);
    }
    free_piece(&p);
    return status;
}

/* Only the byte order means something here; the sizes of C's types do not. */
static eet_status read_system(eet_source *source, uint64_t *at, eet_error *err) {
    eet_torch *torch = source->state;
    const eet_pickle_node *order = NULL;
    piece p = {0};
    bool little = true;
    eet_status status = read_piece(source, at, "the system", SMALL_PICKLE, &p, err);

    if (status == EET_OK && eet_pickle_kind_of(eet_pickle_root(p.pickle)) != EET_PICKLE_DICT) {
        status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                          "what should tell the system that wrote the stream is no map");
    }
    if (status == EET_OK) {
        status = eet_pickle_find(eet_pickle_root(p.pickle), "little_endian", &order, err);
    }
    if (status == EET_OK && order != NULL && !eet_pickle_bool(order, &little)) {
        status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                          "\"little_endian\" of the stream's system is no boolean");
    }
    torch->big_endian = !little;
    free_piece(&p);
    return status;
}

static eet_status read_objects(eet_source *source, uint64_t *at, eet_error *err) {
    eet_torch *torch = source->state;
    piece p = {0};
    eet_status status = read_piece(source, at, "the objects", LARGE_PICKLE, &p, err);

    torch->after_pickle = *at;
    if (status == EET_OK) {
        status = eet_torch_list(source, p.pickle, err);
    }
    free_piece(&p);
    return status;
}

/* ---- storages ----------------------------------------------------------- */

static eet_status locate(eet_torch *torch, eet_source *source, eet_torch_storage *storage,
                         eet_error *err) {
    (void)torch;
    (void)source;
    if (storage->type->item == 0) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "storage %llu is of %s, whose length in the stream is not known",
                        (unsigned long long)storage->key, storage->type->name);
    }
    return EET_OK;
}

/* The number in front of a storage tells the byte order of both: torch on a machine that is
 * big-endian came to write little-endian too, and said nothing of it. */
static eet_status check_count(eet_torch *torch, const eet_torch_storage *storage, uint64_t count,
                              eet_error *err) {
    const bool swapped = count != storage->elements && torch->big_endian;

    if ((swapped ? __builtin_bswap64(count) : count) != storage->elements) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "storage %llu has %llu elements, and %llu in front of its data",
                        (unsigned long long)storage->key, (unsigned long long)storage->elements,
                        (unsigned long long)count);
    }
    if (storage->elements != 0 && torch->ordered && swapped != torch->swapped) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "storage %llu is of another byte order than those before it",
                        (unsigned long long)storage->key);
    }
    if (storage->elements != 0) {
        torch->swapped = swapped;
        torch->ordered = true;
    }
    return EET_OK;
}

static eet_status place_storage(eet_torch *torch, const eet_source *source,
                                eet_torch_storage *storage, uint64_t *at, eet_error *err) {
    uint64_t count = 0;

    if (source->bytes - *at < COUNT_BYTES) {
        return eet_fail(err, EET_E_CORRUPT, *at, "the file ends in front of storage %llu",
                        (unsigned long long)storage->key);
    }
    eet_status status = eet_read_at(source->fd, *at, &count, sizeof count, err);

    if (status == EET_OK) {
        status = check_count(torch, storage, le64toh(count), err);
    }
    if (status != EET_OK) {
        return status;
    }
    *at += COUNT_BYTES;
    if (storage->bytes > source->bytes - *at) {
        return eet_fail(err, EET_E_CORRUPT, *at,
                        "the file ends in the middle of storage %llu, which has %llu bytes",
                        (unsigned long long)storage->key, (unsigned long long)storage->bytes);
    }
    storage->offset = *at;
    *at += storage->bytes;
    return EET_OK;
}

/* -1, 0, 1 as torch sorts keys. */
static int order_of(const eet_pickle_node *a, const eet_pickle_node *b) {
    uint32_t left_bytes = 0;
    uint32_t right_bytes = 0;
    const char *left = eet_pickle_text(a, &left_bytes);
    const char *right = eet_pickle_text(b, &right_bytes);
    const int order = memcmp(left, right, left_bytes < right_bytes ? left_bytes : right_bytes);

    return order != 0 ? order : (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

/* torch sorts the list: another order is not its own, and would give tensors each other's
 * numbers where they are equally long. */
static eet_status check_order(const eet_pickle_node *list, eet_error *err) {
    eet_shown shown;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < eet_pickle_count(list); i++) {
        const eet_pickle_node *node = eet_pickle_item(list, i);

        if (eet_pickle_kind_of(node) != EET_PICKLE_TEXT) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "a key in the list of storages is %s",
                            eet_pickle_kind_name(node));
        }
        if (i > 0 && order_of(eet_pickle_item(list, i - 1), node) >= 0) {
            const char *text = eet_pickle_text(node, &bytes);

            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "the list of storages is not sorted, or names \"%s\" twice",
                            eet_show(&shown, text, bytes));
        }
    }
    return EET_OK;
}

/* The storage that the list's item names. */
static eet_status storage_of(const eet_torch *torch, const eet_pickle_node *list, uint32_t item,
                             int32_t *out, eet_error *err) {
    const eet_pickle_node *node = eet_pickle_item(list, item);
    uint32_t bytes = 0;
    uint64_t key = 0;
    const char *text = eet_pickle_text(node, &bytes);
    eet_shown shown;

    *out = eet_torch_parse_key(text, bytes, &key) ? eet_torch_find_storage(torch, key) : -1;
    return *out >= 0 ? EET_OK
                     : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                                "the list of storages names \"%s\", and no tensor does",
                                eet_show(&shown, text, bytes));
}

static eet_status place_all(eet_torch *torch, const eet_source *source, const eet_pickle_node *list,
                            uint64_t *at, eet_error *err) {
    const uint32_t count = eet_pickle_count(list);
    eet_status status = check_order(list, err);

    for (uint32_t i = 0; status == EET_OK && i < count; i++) {
        int32_t storage = -1;

        status = storage_of(torch, list, i, &storage, err);
        if (status == EET_OK) {
            status = place_storage(torch, source, &torch->storage[storage], at, err);
        }
    }
    for (int32_t i = 0; status == EET_OK && i < torch->storages; i++) {
        if (torch->storage[i].offset == 0) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "storage %llu is not in the list of storages",
                            (unsigned long long)torch->storage[i].key);
        }
    }
    if (status == EET_OK && *at != source->bytes) {
        return eet_fail(err, EET_E_CORRUPT, *at, "%llu bytes follow the last storage",
                        (unsigned long long)(source->bytes - *at));
    }
    return status;
}

static eet_status collected(eet_torch *torch, eet_source *source, eet_error *err) {
    uint64_t at = torch->after_pickle;
    piece p = {0};
    eet_status status = read_piece(source, &at, "the list of storages", LARGE_PICKLE, &p, err);

    if (status == EET_OK && eet_pickle_kind_of(eet_pickle_root(p.pickle)) != EET_PICKLE_LIST) {
        status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the list of storages is %s",
                          eet_pickle_kind_name(eet_pickle_root(p.pickle)));
    }
    if (status == EET_OK) {
        status = place_all(torch, source, eet_pickle_root(p.pickle), &at, err);
    }
    free_piece(&p);
    return status;
}

static const eet_torch_box stream_box = {
    .id_items = 6,
    .id_form = "(class, key, place, elements, view)",
    .pickle = "the stream",
    .record = "storage ",
    .locate = locate,
    .collected = collected,
};

/* ---- the reader --------------------------------------------------------- */

static eet_status legacy_open(eet_source *source, eet_error *err) {
    eet_torch *torch = calloc(1, sizeof *torch);
    uint64_t at = 0;

    source->state = torch;
    if (torch == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint");
    }
    torch->box = &stream_box;
    eet_status status = check_number(source, &at, err);

    if (status == EET_OK) {
        status = check_version(source, &at, err);
    }
    if (status == EET_OK) {
        status = read_system(source, &at, err);
    }
    return status == EET_OK ? read_objects(source, &at, err) : status;
}

static eet_status legacy_read(eet_source *source, int32_t index, void *data, eet_error *err) {
    const eet_torch *torch = source->state;
    const eet_torch_storage *storage = &torch->storage[index];
    const eet_status status = eet_read_at(source->fd, storage->offset, data, storage->bytes, err);

    return status == EET_OK ? eet_torch_storage_finish(torch, storage, data, err) : status;
}

const eet_source_reader eet_source_reader_legacy = {
    .kind = "torch_stream",
    .open = legacy_open,
    .close = eet_torch_close,
    .storage_bytes = eet_torch_storage_bytes,
    .storage_read = legacy_read,
};
