/* zip_end.c - finds the central directory of a zip archive from its end records,
 * which must be the last bytes of the file. */
#include "converter/zip_end.h"

#include <stdlib.h>
#include <string.h>

#include "converter/input.h"

enum {
    END = 22,     /* end of central directory */
    LOCATOR = 20, /* where the zip64 record is */
    LARGE = 56,   /* the zip64 record */
    COMMENT = 65535
};

/* Looks for the end record that is not where it should be, to say why. */
static eet_status explain_missing_end(const eet_zip_directory *d, eet_error *err) {
    const uint64_t bytes = d->size < END + COMMENT ? d->size : END + COMMENT;
    const uint64_t start = d->size - bytes;
    uint8_t *tail = malloc((size_t)bytes);

    if (tail == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the end of an archive");
    }
    eet_status status = eet_read_at(d->fd, start, tail, bytes, err);

    for (uint64_t i = bytes - END + 1; status == EET_OK && i > 0; i--) {
        const uint8_t *at = tail + i - 1;
        const uint64_t after = bytes - (i - 1) - END;

        if (memcmp(at, "PK\5\6", 4) != 0) {
            continue;
        }
        status = eet_fail(err, EET_E_CORRUPT, start + i - 1 + END,
                          eet_zip_u16(at + 20) == after
                              ? "the zip archive has a comment of %llu bytes; checkpoints have none"
                              : "%llu bytes follow the end of the zip archive",
                          (unsigned long long)after);
    }
    free(tail);
    return status != EET_OK ? status
                            : eet_fail(err, EET_E_CORRUPT, d->size,
                                       "the zip archive has no end: the file is cut short; "
                                       "download it again");
}

static eet_status corrupt_end(const eet_zip_directory *d, eet_error *err) {
    return eet_fail(err, EET_E_CORRUPT, d->size - END,
                    "the end records of the zip archive disagree");
}

/* Is a field of the short record the long record's, or all ones? */
static bool agrees(uint64_t field, uint64_t full, uint64_t ones) {
    return field == full || field == ones;
}

/* The zip64 record that the locator in front of the end record points to. */
static eet_status read_large(eet_zip_directory *d, const uint8_t *end, const uint8_t *locator,
                             uint64_t *stop, eet_error *err) {
    const uint64_t at = eet_zip_u64(locator + 8);
    uint8_t large[LARGE];

    if (d->size < END + LOCATOR + LARGE || at != d->size - END - LOCATOR - LARGE ||
        eet_zip_u32(locator + 4) != 0 || eet_zip_u32(locator + 16) != 1) {
        return eet_fail(err, EET_E_CORRUPT, d->size - END - LOCATOR,
                        "the zip64 locator points elsewhere than to the record in front of it");
    }
    const eet_status status = eet_read_at(d->fd, at, large, sizeof large, err);

    if (status != EET_OK) {
        return status;
    }
    d->count = eet_zip_u64(large + 32);
    d->bytes = eet_zip_u64(large + 40);
    d->start = eet_zip_u64(large + 48);
    *stop = at;
    if (memcmp(large, "PK\6\6", 4) != 0 || eet_zip_u64(large + 4) != LARGE - 12 ||
        eet_zip_u32(large + 16) != 0 || eet_zip_u32(large + 20) != 0 ||
        eet_zip_u64(large + 24) != d->count ||
        !agrees(eet_zip_u16(end + 10), d->count, UINT16_MAX) ||
        !agrees(eet_zip_u32(end + 12), d->bytes, UINT32_MAX) ||
        !agrees(eet_zip_u32(end + 16), d->start, UINT32_MAX)) {
        return corrupt_end(d, err);
    }
    return EET_OK;
}

eet_status eet_zip_end_read(eet_zip_directory *d, eet_error *err) {
    uint8_t tail[LOCATOR + END] = {0};
    const uint8_t *end = tail + LOCATOR;
    const uint64_t have = d->size < sizeof tail ? d->size : sizeof tail;

    if (d->size < END) {
        return eet_fail(err, EET_E_CORRUPT, d->size, "too short for a zip archive");
    }
    eet_status status = eet_read_at(d->fd, d->size - have, tail + sizeof tail - have, have, err);

    if (status != EET_OK) {
        return status;
    }
    if (memcmp(end, "PK\5\6", 4) != 0 || eet_zip_u16(end + 20) != 0) {
        return explain_missing_end(d, err);
    }
    uint64_t stop = d->size - END;

    d->count = eet_zip_u16(end + 10);
    d->bytes = eet_zip_u32(end + 12);
    d->start = eet_zip_u32(end + 16);
    if (eet_zip_u32(end + 4) != 0 || eet_zip_u16(end + 8) != eet_zip_u16(end + 10)) {
        return corrupt_end(d, err);
    }
    if (memcmp(tail, "PK\6\7", 4) == 0) {
        status = read_large(d, end, tail, &stop, err);
    }
    if (status == EET_OK && (d->start > stop || d->bytes != stop - d->start)) {
        return corrupt_end(d, err);
    }
    return status;
}
