/* checksum.c - XXH3 by xxhash, compiled into this file so that libeet.so needs no
 * libxxhash. */
#include "format/checksum.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct eet_xxh3_stream {
    XXH3_state_t *state;
};

uint64_t eet_xxh3_64(const void *data, uint64_t bytes) {
    return XXH3_64bits(data, (size_t)bytes);
}

static eet_xxh3 words_of(XXH128_hash_t hash) {
    return (eet_xxh3){{hash.low64, hash.high64}};
}

eet_xxh3 eet_xxh3_128(const void *data, uint64_t bytes) {
    return words_of(XXH3_128bits(data, (size_t)bytes));
}

eet_xxh3_stream *eet_xxh3_create(void) {
    eet_xxh3_stream *stream = malloc(sizeof *stream);

    if (stream == NULL) {
        return NULL;
    }
    stream->state = XXH3_createState();
    if (stream->state == NULL) {
        free(stream);
        return NULL;
    }
    (void)XXH3_128bits_reset(stream->state);
    return stream;
}

void eet_xxh3_free(eet_xxh3_stream *stream) {
    if (stream != NULL) {
        (void)XXH3_freeState(stream->state);
        free(stream);
    }
}

void eet_xxh3_add(eet_xxh3_stream *stream, const void *data, uint64_t bytes) {
    (void)XXH3_128bits_update(stream->state, data, (size_t)bytes);
}

eet_xxh3 eet_xxh3_finish(eet_xxh3_stream *stream) {
    const eet_xxh3 words = words_of(XXH3_128bits_digest(stream->state));

    (void)XXH3_128bits_reset(stream->state);
    return words;
}
