/* crc32.h - the checksum of zip entries; crc32.c is the one file that knows libdeflate. */
#ifndef EET_CONVERTER_CRC32_H
#define EET_CONVERTER_CRC32_H

#include <stdint.h>

/* CRC-32 (ISO-HDLC, as in zip) of `bytes`, continuing from `crc` (0 to start). */
uint32_t eet_crc32(uint32_t crc, const void *data, uint64_t bytes);

#endif
