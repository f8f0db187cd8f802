/* deflate.h - inflate; deflate.c is the one file that knows zlib. */
#ifndef EET_FORMAT_DEFLATE_H
#define EET_FORMAT_DEFLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

/* Inflates exactly `packed_bytes` into exactly `raw_bytes`: the stream must end
 * with the last byte of both. `raw_deflate`: as in zip, else a zlib stream.
 * Never writes past raw_bytes. E_CORRUPT, E_MEMORY. */
eet_status eet_inflate(const void *packed, uint64_t packed_bytes, void *raw, uint64_t raw_bytes,
                       bool raw_deflate, eet_error *err);

#endif
