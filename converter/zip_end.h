/* zip_end.h - the records at the end of a zip archive. */
#ifndef EET_CONVERTER_ZIP_END_H
#define EET_CONVERTER_ZIP_END_H

#include "converter/zip_directory.h"

/* Numbers of a zip archive: little-endian, at any address. */
static inline uint16_t eet_zip_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t eet_zip_u32(const uint8_t *at) {
    return (uint32_t)eet_zip_u16(at) | (uint32_t)eet_zip_u16(at + 2) << 16;
}

static inline uint64_t eet_zip_u64(const uint8_t *at) {
    return (uint64_t)eet_zip_u32(at) | (uint64_t)eet_zip_u32(at + 4) << 32;
}

/* Finds the central directory: fills count, start and bytes of `directory`, whose
 * fd and size are set. */
eet_status eet_zip_end_read(eet_zip_directory *directory, eet_error *err);

#endif
