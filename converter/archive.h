/* archive.h - a zip archive that somebody else wrote; archive.c is the one file
 * that knows libzip.
 *
 * Opening checks every name, size, method and flag of the directory and that no
 * entries overlap; nothing is inflated or trusted before. The rules are those of
 * docs/refusals.md, "Zip archives". */
#ifndef EET_CONVERTER_ARCHIVE_H
#define EET_CONVERTER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

typedef struct eet_archive eet_archive;

typedef struct eet_archive_entry {
    const char *name;      /* valid UTF-8, no NUL, no "..", not absolute */
    uint64_t bytes;        /* as read */
    uint64_t packed_bytes; /* in the file */
    uint32_t crc;          /* as declared */
    bool deflated;         /* else stored */
} eet_archive_entry;

/* `fd` is dup'ed; `bytes` is the file's size. E_CORRUPT, E_UNSUPPORTED, E_LIMIT,
 * E_IO, E_MEMORY. */
eet_status eet_archive_open(int fd, uint64_t bytes, eet_archive **out, eet_error *err);
void eet_archive_close(eet_archive *archive); /* NULL is fine */

/* Reads from a dup of `fd`, the same file opened again, from now on; -1: from none,
 * until the next call. E_IO. */
eet_status eet_archive_use(eet_archive *archive, int fd, eet_error *err);

int64_t eet_archive_count(const eet_archive *archive);
const eet_archive_entry *eet_archive_at(const eet_archive *archive, int64_t index);
int64_t eet_archive_find(const eet_archive *archive, const char *name); /* -1: not there */

/* Reads all of an entry into `data` (entry->bytes of room), inflating when it is
 * deflated, and compares the CRC-32: *crc_matches when `crc_matches` is not NULL,
 * else a difference is E_CORRUPT naming the entry. */
eet_status eet_archive_read(eet_archive *archive, int64_t index, void *data, bool *crc_matches,
                            eet_error *err);

#endif
