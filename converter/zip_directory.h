/* zip_directory.h - the directory of a zip archive, as its bytes have it.
 *
 * libzip reads an archive as other programs do, forgivingly, and does not tell
 * where entries lie. This is the strict second opinion: archive.c opens an archive
 * only when both agree on every entry. */
#ifndef EET_CONVERTER_ZIP_DIRECTORY_H
#define EET_CONVERTER_ZIP_DIRECTORY_H

#include <stdint.h>

#include "format/types.h"

enum { EET_ZIP_MAX_ENTRIES = 2000000, EET_ZIP_MAX_NAME = 512 };

typedef struct eet_zip_line {
    const char *name; /* borrowed from the directory; not NUL-terminated */
    uint32_t name_bytes;
    uint32_t crc;
    uint64_t raw_bytes;
    uint64_t packed_bytes;
    uint64_t header; /* offset of the local header */
    uint64_t data;   /* offset of the packed bytes */
    uint16_t flags;
    uint16_t method;
} eet_zip_line;

typedef struct eet_zip_directory {
    int fd;         /* borrowed */
    uint64_t size;  /* of the file */
    uint64_t start; /* of the central directory, and its length */
    uint64_t bytes;
    uint64_t count;
    uint8_t *text; /* the central directory */
    eet_zip_line *line;
} eet_zip_directory;

/* Checks the end records, every line of the central directory and every local
 * header. E_CORRUPT, E_UNSUPPORTED, E_LIMIT, E_IO, E_MEMORY; on failure nothing is
 * left to free. */
eet_status eet_zip_directory_read(int fd, uint64_t size, eet_zip_directory *out, eet_error *err);
void eet_zip_directory_free(eet_zip_directory *directory);

#endif
