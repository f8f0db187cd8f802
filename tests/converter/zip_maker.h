/* zip_maker.h - builds zip archives byte by byte, wrong ones too. */
#ifndef EET_TESTS_CONVERTER_ZIP_MAKER_H
#define EET_TESTS_CONVERTER_ZIP_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zip_fields {
    const char *name;
    uint16_t name_bytes;
    uint16_t flags, method;
    uint32_t crc, packed, raw;
} zip_fields;

/* An entry as its two headers tell of it, and its packed bytes. */
typedef struct zip_part {
    zip_fields local, central;
    const void *data;
    size_t bytes;
    bool described;    /* a data descriptor follows */
    bool hidden;       /* no line in the central directory */
    uint32_t shift;    /* added to the header's offset in the central directory */
    const void *extra; /* fields of the line there */
    uint16_t extra_bytes;
} zip_part;

typedef struct zip_ends {
    size_t head, tail;             /* zero bytes in front and behind */
    uint16_t comment;              /* bytes of a comment */
    int32_t count;                 /* added to the end record's count */
    bool large;                    /* zip64 records too */
    uint64_t large_count, locator; /* added to the zip64 count, to the locator's offset */
} zip_ends;

zip_part zip_stored(const char *name, const void *data, size_t bytes);

/* The archive; free() it. `ends` may be NULL. */
uint8_t *zip_build(const zip_part *parts, size_t count, const zip_ends *ends, size_t *size);

/* Little-endian numbers. */
uint8_t *zip_put(uint8_t *at, uint64_t value, int bytes);

#endif
