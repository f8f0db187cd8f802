/* verify_parts.h - what the files of level 2 share. */
#ifndef EET_FORMAT_VERIFY_PARTS_H
#define EET_FORMAT_VERIFY_PARTS_H

#include "format/file.h"

/* The raw bytes of a section, inflated where it is compressed; free() *owned, which is NULL
 * when *raw points into the file. */
eet_status eet_file_section_raw(const eet_file *file, const eet_disk_section *section,
                                const uint8_t **raw, uint8_t **owned, eet_error *err);

/* SHA-256 of them. */
eet_status eet_file_section_sha256(const eet_file *file, const eet_disk_section *section,
                                   uint8_t digest[32], eet_error *err);

#endif
