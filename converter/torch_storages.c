/* torch_storages.c - the storages that a checkpoint's pickle names, whatever holds them. */
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

static eet_status add_storage(eet_torch *torch, eet_source *source,
                              const eet_torch_storage *storage, eet_error *err) {
    eet_torch_storage added = *storage;
    eet_status status = make_room(torch, err);

    if (status == EET_OK) {
        status = torch->box->locate(torch, source, &added, err);
    }
    if (status == EET_OK) {
        torch->slot[slot_of(torch, added.key)] = torch->storages;
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

/* ('storage', class, key, location, elements), and before torch 1.6 a view or None. */
static eet_status add_id(eet_torch *torch, eet_source *source, const eet_pickle_node *id,
                         eet_error *err) {
    int64_t elements = 0;
    uint32_t length = 0;
    eet_torch_storage found = {.entry = -1};

    if (eet_pickle_count(id) != torch->box->id_items ||
        eet_pickle_kind_of(eet_pickle_item(id, 2)) != EET_PICKLE_TEXT ||
        eet_pickle_kind_of(eet_pickle_item(id, 3)) != EET_PICKLE_TEXT ||
        !eet_pickle_int(eet_pickle_item(id, 4), &elements) || elements < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "a storage in %s is not %s",
                        torch->box->pickle, torch->box->id_form);
    }
    const char *text = eet_pickle_text(eet_pickle_item(id, 2), &length);
    eet_pickle_label label;
    eet_shown shown;

    found.type = eet_torch_storage_type(eet_pickle_item(id, 1));
    found.elements = (uint64_t)elements;
    if (!eet_torch_parse_key(text, length, &found.key)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the key \"%s\" of a storage is no number",
                        eet_show(&shown, text, length));
    }
    const unsigned long long key = found.key;

    if (found.type == NULL) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "storage %llu is of %s, no storage class",
                        key, eet_pickle_describe(eet_pickle_item(id, 1), &label));
    }
    if (!eet_mul_u64(found.elements, found.type->item, &found.bytes)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "storage %llu has too many elements", key);
    }
    found.is_bool = found.type->dtype == EET_SRC_BOOL;
    const int32_t known = eet_torch_find_storage(torch, found.key);

    return known >= 0 ? check_again(&torch->storage[known], found.type, found.bytes, err)
                      : add_storage(torch, source, &found, err);
}

eet_status eet_torch_collect(eet_torch *torch, eet_source *source, const eet_pickle *pickle,
                             eet_error *err) {
    eet_status status = EET_OK;

    for (const eet_pickle_node *id = eet_pickle_first_storage(pickle);
         status == EET_OK && id != NULL; id = eet_pickle_next_storage(id)) {
        status = add_id(torch, source, id, err);
    }
    return status == EET_OK ? torch->box->collected(torch, source, err) : status;
}

uint64_t eet_torch_storage_bytes(const eet_source *source, int32_t storage) {
    const eet_torch *torch = source->state;

    return torch->storage[storage].bytes;
}

eet_status eet_torch_storage_finish(const eet_torch *torch, const eet_torch_storage *storage,
                                    void *data, eet_error *err) {
    uint8_t *bytes = data;

    for (uint64_t i = 0; storage->is_bool && i < storage->bytes; i++) {
        if (bytes[i] > 1) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "byte %llu of %s%llu is %u; booleans are 0 and 1",
                            (unsigned long long)i, torch->box->record,
                            (unsigned long long)storage->key, bytes[i]);
        }
    }
    if (torch->swapped && storage->type->swap > 1) {
        eet_source_swap(data, storage->bytes, storage->type->swap);
    }
    return EET_OK;
}
