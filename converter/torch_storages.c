/* torch_storages.c - the storages that a checkpoint's pickle names, and their records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/torch_internal.h"
#include "format/checked.h"

enum { MAX_DIGITS = 18 };

bool eet_torch_parse_key(const char *text, uint64_t bytes, uint64_t *key) {
    uint64_t value = 0;

    if (bytes == 0 || bytes > MAX_DIGITS || (bytes > 1 && text[0] == '0')) {
        return false;
    }
    for (uint64_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = 10 * value + (uint64_t)(text[i] - '0');
    }
    *key = value;
    return true;
}

/* The place in the hash table of `key`, or of the free slot it would take. */
static uint64_t slot_of(const eet_torch *torch, uint64_t key) {
    uint64_t at = (key * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (torch->slots - 1);

    while (torch->slot[at] >= 0 && torch->storage[torch->slot[at]].key != key) {
        at = (at + 1) & (torch->slots - 1);
    }
    return at;
}

int32_t eet_torch_find_storage(const eet_torch *torch, uint64_t key) {
    return torch->slots == 0 ? -1 : torch->slot[slot_of(torch, key)];
}

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the table of storages");
}

/* The table is at most half full. */
static eet_status make_room(eet_torch *torch, eet_error *err) {
    if (torch->storages < torch->storage_room) {
        return EET_OK;
    }
    const int32_t room = torch->storage_room == 0 ? 64 : 2 * torch->storage_room;
    eet_torch_storage *more = realloc(torch->storage, (size_t)room * sizeof *more);

    if (more == NULL) {
        return no_memory(err);
    }
    torch->storage = more;
    torch->storage_room = room;
    int32_t *slot = realloc(torch->slot, 2 * (size_t)room * sizeof *slot);

    if (slot == NULL) {
        return no_memory(err);
    }
    torch->slot = slot;
    torch->slots = 2 * (uint64_t)room;
    memset(slot, 0xFF, (size_t)torch->slots * sizeof *slot);
    for (int32_t i = 0; i < torch->storages; i++) {
        slot[slot_of(torch, torch->storage[i].key)] = i;
    }
    return EET_OK;
}

static int64_t find_record(const eet_torch *torch, uint64_t key) {
    char member[sizeof "data/" + MAX_DIGITS + 2];

    (void)snprintf(member, sizeof member, "data/%llu", (unsigned long long)key);
    return eet_torch_find_member(torch, member);
}

/* A record has exactly the bytes of its storage: torch reads on behind a short one. */
static eet_status check_record(const eet_torch *torch, const eet_source *source,
                               eet_torch_storage *storage, uint64_t bytes, eet_error *err) {
    const unsigned long long key = storage->key;

    storage->bytes = bytes;
    if (storage->entry < 0) {
        if (bytes > source->bytes) {
            return eet_fail(
                err, EET_E_CORRUPT, EET_NOWHERE,
                "the record data/%llu is missing, and its %llu bytes would be more than "
                "the whole file",
                key, (unsigned long long)bytes);
        }
        return EET_OK;
    }
    const uint64_t there = eet_archive_at(torch->archive, storage->entry)->bytes;

    if (storage->type->item == 0) {
        storage->bytes = there;
    } else if (there != bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the record data/%llu has %llu bytes; its storage has %llu", key,
                        (unsigned long long)there, (unsigned long long)bytes);
    }
    return EET_OK;
}

static eet_status add_storage(eet_torch *torch, eet_source *source, uint64_t key,
                              const eet_torch_type *type, uint64_t bytes, eet_error *err) {
    eet_torch_storage added = {
        .key = key, .type = type, .is_bool = type->dtype == EET_SRC_BOOL, .entry = -1};
    eet_status status = make_room(torch, err);

    if (status != EET_OK) {
        return status;
    }
    added.entry = find_record(torch, key);
    status = check_record(torch, source, &added, bytes, err);
    if (status == EET_OK && added.entry < 0 && bytes > 0) {
        status = eet_source_warn(source, err, "the record data/%llu is missing",
                                 (unsigned long long)key);
    }
    if (status == EET_OK) {
        torch->slot[slot_of(torch, key)] = torch->storages;
        torch->storage[torch->storages++] = added;
    }
    return status;
}

/* A storage named again: the same bytes of the same class, or its bytes alone. */
static eet_status check_again(eet_torch_storage *known, const eet_torch_type *type, uint64_t bytes,
                              eet_error *err) {
    const unsigned long long key = known->key;

    if (known->type != type && !eet_torch_is_untyped(type) && !eet_torch_is_untyped(known->type)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "storage %llu is named as %s and as %s",
                        key, known->type->name, type->name);
    }
    if (known->type->item != 0 && type->item != 0 && known->bytes != bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "storage %llu is named with %llu and with %llu bytes", key,
                        (unsigned long long)known->bytes, (unsigned long long)bytes);
    }
    if (eet_torch_is_untyped(known->type)) {
        known->type = type;
    }
    known->is_bool = known->is_bool || type->dtype == EET_SRC_BOOL;
    return EET_OK;
}

/* ('storage', class, key, location, elements) */
static eet_status add_id(eet_torch *torch, eet_source *source, const eet_pickle_node *id,
                         eet_error *err) {
    int64_t elements = 0;
    uint64_t key = 0;
    uint64_t bytes = 0;
    uint32_t length = 0;

    if (eet_pickle_count(id) != 5 ||
        eet_pickle_kind_of(eet_pickle_item(id, 2)) != EET_PICKLE_TEXT ||
        eet_pickle_kind_of(eet_pickle_item(id, 3)) != EET_PICKLE_TEXT ||
        !eet_pickle_int(eet_pickle_item(id, 4), &elements) || elements < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "a storage in data.pkl is not (class, key, place, elements)");
    }
    const char *text = eet_pickle_text(eet_pickle_item(id, 2), &length);
    const eet_torch_type *type = eet_torch_storage_type(eet_pickle_item(id, 1));
    eet_pickle_label label;
    eet_shown shown;

    if (!eet_torch_parse_key(text, length, &key)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the key \"%s\" of a storage is no number",
                        eet_show(&shown, text, length));
    }
    if (type == NULL) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "storage %llu is of %s, no storage class",
                        (unsigned long long)key,
                        eet_pickle_describe(eet_pickle_item(id, 1), &label));
    }
    if (!eet_mul_u64((uint64_t)elements, type->item, &bytes)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "storage %llu has too many elements",
                        (unsigned long long)key);
    }
    const int32_t known = eet_torch_find_storage(torch, key);

    return known >= 0 ? check_again(&torch->storage[known], type, bytes, err)
                      : add_storage(torch, source, key, type, bytes, err);
}

static eet_status warn_of_the_rest(const eet_torch *torch, eet_source *source, eet_error *err) {
    unsigned long long unnamed = 0;
    const char *first = NULL;

    for (int64_t i = 0; i < eet_archive_count(torch->archive); i++) {
        const char *member = eet_torch_member(torch, i);
        uint64_t key = 0;

        if (strncmp(member, "data/", 5) != 0 || member[5] == '\0' ||
            (eet_torch_parse_key(member + 5, strlen(member + 5), &key) &&
             eet_torch_find_storage(torch, key) >= 0)) {
            continue;
        }
        first = first == NULL ? member : first;
        unnamed++;
    }
    if (unnamed == 1) {
        return eet_source_warn(source, err, "nothing refers to the record %s", first);
    }
    return unnamed == 0 ? EET_OK
                        : eet_source_warn(source, err,
                                          "nothing refers to %llu records, the first of them %s",
                                          unnamed, first);
}

static bool is_zero(const uint8_t *data, uint64_t bytes) {
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0);
}

/* torch's skip_data() reserves the space of storages, without checksums, for somebody to
 * fill. Were they filled? The first byte that is not zero answers. */
static eet_status check_filled(eet_torch *torch, eet_source *source, eet_error *err) {
    bool empty = true;
    bool any = false;
    eet_status status = EET_OK;

    for (int32_t i = 0; status == EET_OK && empty && i < torch->storages; i++) {
        const eet_torch_storage *storage = &torch->storage[i];

        if (storage->entry < 0 || storage->bytes == 0) {
            continue;
        }
        void *data = calloc(1, (size_t)storage->bytes);

        if (data == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes of data/%llu",
                            (unsigned long long)storage->bytes, (unsigned long long)storage->key);
        }
        any = true;
        status = eet_torch_storage_read(source, i, data, err);
        empty = status == EET_OK && is_zero(data, storage->bytes);
        free(data);
    }
    if (status == EET_OK && any && empty) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "all storages are zero and carry no checksum; the file was written with "
                        "skip_data(), which reserves space, and never filled");
    }
    return status;
}

eet_status eet_torch_collect(eet_torch *torch, eet_source *source, const eet_pickle *pickle,
                             eet_error *err) {
    eet_status status = EET_OK;

    for (const eet_pickle_node *id = eet_pickle_first_storage(pickle);
         status == EET_OK && id != NULL; id = eet_pickle_next_storage(id)) {
        status = add_id(torch, source, id, err);
    }
    if (status == EET_OK) {
        status = warn_of_the_rest(torch, source, err);
    }
    if (status == EET_OK && torch->storages_unchecked) {
        source->file.crcless = true;
        status = eet_source_warn(source, err,
                                 "the storages carry no checksum (CRC 0); damage to "
                                 "them cannot be noticed");
        if (status == EET_OK) {
            status = check_filled(torch, source, err);
        }
    }
    return status;
}

uint64_t eet_torch_storage_bytes(const eet_source *source, int32_t storage) {
    const eet_torch *torch = source->state;

    return torch->storage[storage].bytes;
}

static void swap_items(uint8_t *data, uint64_t bytes, uint32_t size) {
    for (uint64_t at = 0; at + size <= bytes; at += size) {
        for (uint32_t i = 0; i < size / 2; i++) {
            const uint8_t kept = data[at + i];

            data[at + i] = data[at + size - 1 - i];
            data[at + size - 1 - i] = kept;
        }
    }
}

eet_status eet_torch_storage_read(eet_source *source, int32_t index, void *data, eet_error *err) {
    const eet_torch *torch = source->state;
    const eet_torch_storage *storage = &torch->storage[index];
    const unsigned long long key = storage->key;
    uint8_t *bytes = data;
    bool matches = false;

    if (storage->entry < 0) {
        return storage->bytes == 0 ? EET_OK
                                   : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                                              "the record data/%llu is missing", key);
    }
    eet_status status = eet_archive_read(torch->archive, storage->entry, data,
                                         torch->storages_unchecked ? &matches : NULL, err);

    if (status != EET_OK) {
        return status;
    }
    for (uint64_t i = 0; storage->is_bool && i < storage->bytes; i++) {
        if (bytes[i] > 1) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "byte %llu of data/%llu is %u; booleans are 0 and 1",
                            (unsigned long long)i, key, bytes[i]);
        }
    }
    if (torch->swapped && storage->type->swap > 1) {
        swap_items(data, storage->bytes, storage->type->swap);
    }
    return EET_OK;
}
