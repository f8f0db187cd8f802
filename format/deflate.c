/* deflate.c - inflate by zlib. */
#include "format/deflate.h"

#include <zlib.h>

enum { CHUNK = 1 << 30 };

static uInt next_chunk(uint64_t left) {
    return left > CHUNK ? (uInt)CHUNK : (uInt)left;
}

/* Runs a stream until its end; true when it ended with both buffers. */
static bool inflate_all(z_stream *stream, uint64_t packed_bytes, uint64_t raw_bytes) {
    uint64_t in_left = packed_bytes;
    uint64_t out_left = raw_bytes;
    int code = Z_OK;

    while (code == Z_OK) {
        const uInt in = next_chunk(in_left);
        const uInt out = next_chunk(out_left);

        stream->avail_in = in;
        stream->avail_out = out;
        code = inflate(stream, Z_NO_FLUSH);
        in_left -= in - stream->avail_in;
        out_left -= out - stream->avail_out;
        if (code == Z_OK && stream->avail_in == in && stream->avail_out == out) {
            return false;
        }
    }
    return code == Z_STREAM_END && in_left == 0 && out_left == 0;
}

eet_status eet_inflate(const void *packed, uint64_t packed_bytes, void *raw, uint64_t raw_bytes,
                       bool raw_deflate, eet_error *err) {
    unsigned char none = 0;
    z_stream stream = {.next_in = (z_const Bytef *)packed, .next_out = raw_bytes > 0 ? raw : &none};

    if (inflateInit2(&stream, raw_deflate ? -MAX_WBITS : MAX_WBITS) != Z_OK) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory to inflate");
    }
    const bool whole = inflate_all(&stream, packed_bytes, raw_bytes);

    (void)inflateEnd(&stream);
    if (!whole) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "compressed data does not end where its lengths say (%llu bytes packed, "
                        "%llu raw)",
                        (unsigned long long)packed_bytes, (unsigned long long)raw_bytes);
    }
    return EET_OK;
}
