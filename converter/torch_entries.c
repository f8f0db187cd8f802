/* torch_entries.c - the archive around data.pkl and the storages: its one folder, the
 * small entries, and which checksums mean something. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "converter/torch_internal.h"
#include "format/utf8.h"

enum {
    NAME_ROOM = 1024,
    SMALL = 64, /* no small entry is longer */
    MAX_VERSION = 10,
    MAX_FORMAT = 1,
    MAX_ALIGNMENT = 1 << 20,
    MAX_PICKLE = 64 << 20
};

const char *eet_torch_member(const eet_torch *torch, int64_t entry) {
    return eet_archive_at(torch->archive, entry)->name + strlen(torch->prefix);
}

static eet_status take_prefix(eet_torch *torch, eet_error *err) {
    const char *first = eet_archive_at(torch->archive, 0)->name;
    const char *slash = strchr(first, '/');
    const size_t bytes = slash == NULL ? 0 : (size_t)(slash - first) + 1;
    eet_shown shown;

    if (bytes < 2) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the entry \"%s\" is in no folder",
                        eet_show(&shown, first, strlen(first)));
    }
    torch->prefix = strndup(first, bytes);
    if (torch->prefix == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint");
    }
    for (int64_t i = 1; i < eet_archive_count(torch->archive); i++) {
        const char *name = eet_archive_at(torch->archive, i)->name;

        if (strncmp(name, torch->prefix, bytes) != 0) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "the entry \"%s\" is not in the archive's one folder",
                            eet_show(&shown, name, strlen(name)));
        }
    }
    return EET_OK;
}

/* torch can leave out the checksums of all entries, or of the storages alone. */
static void look_at_checksums(eet_torch *torch) {
    int64_t data = 0;
    int64_t data_zero = 0;
    int64_t other_set = 0;

    for (int64_t i = 0; i < eet_archive_count(torch->archive); i++) {
        const eet_archive_entry *entry = eet_archive_at(torch->archive, i);
        const bool is_data = strncmp(eet_torch_member(torch, i), "data/", 5) == 0;

        if (entry->bytes == 0) {
            continue;
        }
        data += is_data ? 1 : 0;
        data_zero += is_data && entry->crc == 0 ? 1 : 0;
        other_set += !is_data && entry->crc != 0 ? 1 : 0;
    }
    torch->storages_unchecked = data > 0 && data == data_zero;
    torch->all_unchecked = data == data_zero && other_set == 0;
}

/* No entry's name is longer than NAME_ROOM. */
int64_t eet_torch_find_member(const eet_torch *torch, const char *member) {
    char name[NAME_ROOM];
    const int length = snprintf(name, sizeof name, "%s%s", torch->prefix, member);

    return length < 0 || length >= NAME_ROOM ? -1 : eet_archive_find(torch->archive, name);
}

static eet_status read_checked(eet_torch *torch, int64_t entry, void *data, eet_error *err) {
    bool matches = false;
    eet_status status =
        eet_archive_read(torch->archive, entry, data, torch->all_unchecked ? &matches : NULL, err);

    if (status == EET_OK && torch->all_unchecked && !matches &&
        eet_archive_at(torch->archive, entry)->crc != 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the checksum of \"%s\" is wrong",
                        eet_torch_member(torch, entry));
    }
    return status;
}

/* The text of a small entry, without a line end; *found says whether it is there. */
static eet_status read_small(eet_torch *torch, const char *member, char text[SMALL + 1],
                             bool *found, eet_error *err) {
    const int64_t entry = eet_torch_find_member(torch, member);

    *found = entry >= 0;
    memset(text, 0, SMALL + 1);
    if (entry < 0) {
        return EET_OK;
    }
    const uint64_t bytes = eet_archive_at(torch->archive, entry)->bytes;

    if (bytes > SMALL) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" has %llu bytes; at most %d",
                        member, (unsigned long long)bytes, SMALL);
    }
    eet_status status = read_checked(torch, entry, text, err);

    if (status != EET_OK) {
        return status;
    }
    const size_t length = bytes > 0 && text[bytes - 1] == '\n' ? bytes - 1 : bytes;

    text[length] = '\0';
    if (!eet_utf8_clean(text, length)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" is no line of text", member);
    }
    return EET_OK;
}

/* A number of a small entry: digits alone. `missing` when the entry is not there. */
static eet_status read_number(eet_torch *torch, const char *member, uint64_t missing, uint64_t *out,
                              eet_error *err) {
    char text[SMALL + 1];
    bool found = false;
    eet_status status = read_small(torch, member, text, &found, err);
    uint64_t value = 0;

    if (status != EET_OK || !found) {
        *out = missing;
        return status;
    }
    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text)) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "\"%s\" says \"%s\", which is no number",
                        member, text);
    }
    for (const char *at = text; *at != '\0'; at++) {
        value = value > UINT32_MAX ? value : 10 * value + (uint64_t)(*at - '0');
    }
    *out = value;
    return EET_OK;
}

static eet_status check_versions(eet_torch *torch, eet_error *err) {
    uint64_t version = 0;
    uint64_t format = 0;
    uint64_t alignment = 0;
    const char *member = eet_torch_find_member(torch, "version") >= 0 ? "version" : ".data/version";

    if (eet_torch_find_member(torch, member) < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the archive has no entry \"version\"");
    }
    eet_status status = read_number(torch, member, 0, &version, err);

    if (status == EET_OK) {
        status = read_number(torch, ".format_version", MAX_FORMAT, &format, err);
    }
    if (status == EET_OK) {
        status = read_number(torch, ".storage_alignment", 64, &alignment, err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (version == 0 || version > MAX_VERSION) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the archive is of version %llu; 1 to %d are read",
                        (unsigned long long)version, MAX_VERSION);
    }
    if (format > MAX_FORMAT) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the archive is of format %llu; up to %d is read",
                        (unsigned long long)format, MAX_FORMAT);
    }
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > MAX_ALIGNMENT) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "\".storage_alignment\" is %llu, not a power of two up to %d",
                        (unsigned long long)alignment, MAX_ALIGNMENT);
    }
    return EET_OK;
}

static eet_status read_byte_order(eet_torch *torch, eet_error *err) {
    char text[SMALL + 1];
    bool found = false;
    eet_status status = read_small(torch, "byteorder", text, &found, err);

    if (status != EET_OK || !found) {
        return status;
    }
    if (strcmp(text, "little") != 0 && strcmp(text, "big") != 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "\"byteorder\" says \"%s\", neither \"little\" nor \"big\"", text);
    }
    torch->swapped = strcmp(text, "big") == 0;
    return EET_OK;
}

eet_status eet_torch_check_entries(eet_torch *torch, eet_source *source, eet_error *err) {
    bool found = false;
    eet_status status = take_prefix(torch, err);

    if (status != EET_OK) {
        return status;
    }
    look_at_checksums(torch);
    status = check_versions(torch, err);
    if (status == EET_OK) {
        status = read_byte_order(torch, err);
    }
    if (status == EET_OK) {
        status = read_small(torch, ".data/serialization_id", torch->serialization_id, &found, err);
    }
    if (status == EET_OK && found) {
        source->file.serialization_id = torch->serialization_id;
    }
    return status;
}

eet_status eet_torch_read_pickle(eet_torch *torch, void **data, uint64_t *bytes, eet_error *err) {
    const int64_t entry = eet_torch_find_member(torch, "data.pkl");

    if (entry < 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the archive has no data.pkl");
    }
    const uint64_t size = eet_archive_at(torch->archive, entry)->bytes;

    if (size > MAX_PICKLE) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "data.pkl has %llu bytes; at most %d are read", (unsigned long long)size,
                        MAX_PICKLE);
    }
    void *made = malloc((size_t)size + 1);

    if (made == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for data.pkl");
    }
    eet_status status = read_checked(torch, entry, made, err);

    if (status != EET_OK) {
        free(made);
        return status;
    }
    *data = made;
    *bytes = size;
    return EET_OK;
}
