/* torch_records.c - the storages of an archive: each is a record, an entry of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/torch_internal.h"

static int64_t find_record(const eet_torch *torch, uint64_t key) {
    char member[sizeof "data/" + 20];

    (void)snprintf(member, sizeof member, "data/%llu", (unsigned long long)key);
    return eet_torch_find_member(torch, member);
}

/* A record has exactly the bytes of its storage: torch reads on behind a short one. */
static eet_status locate(eet_torch *torch, eet_source *source, eet_torch_storage *storage,
                         eet_error *err) {
    const unsigned long long key = storage->key;
    const unsigned long long bytes = storage->bytes;

    storage->entry = find_record(torch, storage->key);
    if (storage->entry < 0 && bytes > source->bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the record data/%llu is missing, and its %llu bytes would be more than "
                        "the whole file",
                        key, bytes);
    }
    if (storage->entry < 0) {
        return bytes == 0 ? EET_OK
                          : eet_source_warn(source, err, "the record data/%llu is missing", key);
    }
    const uint64_t there = eet_archive_at(torch->archive, storage->entry)->bytes;

    if (storage->type->item == 0) {
        storage->bytes = there;
    } else if (there != bytes) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the record data/%llu has %llu bytes; its storage has %llu", key,
                        (unsigned long long)there, bytes);
    }
    return EET_OK;
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
        status = eet_torch_record_read(source, i, data, err);
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

static eet_status collected(eet_torch *torch, eet_source *source, eet_error *err) {
    eet_status status = warn_of_the_rest(torch, source, err);

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

eet_status eet_torch_record_read(eet_source *source, int32_t index, void *data, eet_error *err) {
    const eet_torch *torch = source->state;
    const eet_torch_storage *storage = &torch->storage[index];
    bool matches = false;

    if (storage->entry < 0) {
        return storage->bytes == 0
                   ? EET_OK
                   : eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the record data/%llu is missing",
                              (unsigned long long)storage->key);
    }
    const eet_status status = eet_archive_read(torch->archive, storage->entry, data,
                                               torch->storages_unchecked ? &matches : NULL, err);

    return status == EET_OK ? eet_torch_storage_finish(torch, storage, data, err) : status;
}

const eet_torch_box eet_torch_archive = {
    .id_items = 5,
    .id_form = "(class, key, place, elements)",
    .pickle = "data.pkl",
    .record = "data/",
    .locate = locate,
    .collected = collected,
};
