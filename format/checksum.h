/* checksum.h - XXH3; checksum.c is the one file that knows xxhash. */
#ifndef EET_FORMAT_CHECKSUM_H
#define EET_FORMAT_CHECKSUM_H

#include <stdint.h>

/* XXH3-64 of a block. */
uint64_t eet_xxh3_64(const void *data, uint64_t bytes);

/* XXH3-128 of a block as the format stores it: low 64 bits, then high. */
typedef struct eet_xxh3 {
    uint64_t word[2];
} eet_xxh3;
eet_xxh3 eet_xxh3_128(const void *data, uint64_t bytes);

/* The same of a stream. */
typedef struct eet_xxh3_stream eet_xxh3_stream;
eet_xxh3_stream *eet_xxh3_create(void); /* NULL: no memory */
void eet_xxh3_free(eet_xxh3_stream *stream);
void eet_xxh3_add(eet_xxh3_stream *stream, const void *data, uint64_t bytes);
eet_xxh3 eet_xxh3_finish(eet_xxh3_stream *stream); /* and starts anew */

#endif
