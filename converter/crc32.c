/* crc32.c - CRC-32 by libdeflate: each byte of a checkpoint goes through it, and zlib's is half as
 * fast. */
#include "converter/crc32.h"

#include <libdeflate.h>

uint32_t eet_crc32(uint32_t crc, const void *data, uint64_t bytes) {
    return libdeflate_crc32(crc, data, (size_t)bytes);
}
