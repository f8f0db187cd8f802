/* zip_maker.c - builds zip archives byte by byte. */
#include "tests/converter/zip_maker.h"

#include <stdlib.h>
#include <string.h>

#include "converter/crc32.h"

uint8_t *zip_put(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        const uint64_t shifted = i < 8 ? value >> 8 * i : 0;

        at[i] = (uint8_t)shifted;
    }
    return at + bytes;
}

zip_part zip_stored(const char *name, const void *data, size_t bytes) {
    const zip_fields fields = {
        .name = name,
        .name_bytes = (uint16_t)strlen(name),
        .crc = eet_crc32(0, data, bytes),
        .packed = (uint32_t)bytes,
        .raw = (uint32_t)bytes,
    };

    return (zip_part){.local = fields, .central = fields, .data = data, .bytes = bytes};
}

/* Flags, method, time, CRC and sizes, which both headers have alike. */
static uint8_t *put_fields(uint8_t *at, const zip_fields *f) {
    at = zip_put(at, f->flags, 2);
    at = zip_put(at, f->method, 2);
    at = zip_put(at, 0, 4);
    at = zip_put(at, f->crc, 4);
    at = zip_put(at, f->packed, 4);
    at = zip_put(at, f->raw, 4);
    return zip_put(at, f->name_bytes, 2);
}

static uint8_t *put_local(uint8_t *at, const zip_part *part) {
    at = zip_put(at, 0x04034B50, 4);
    at = zip_put(at, 20, 2);
    at = put_fields(at, &part->local);
    at = zip_put(at, 0, 2);
    memcpy(at, part->local.name, part->local.name_bytes);
    at += part->local.name_bytes;
    memcpy(at, part->data, part->bytes);
    at += part->bytes;
    if (part->described) {
        at = zip_put(at, 0x08074B50, 4);
        at = zip_put(at, part->central.crc, 4);
        at = zip_put(at, part->central.packed, 4);
        at = zip_put(at, part->central.raw, 4);
    }
    return at;
}

static uint8_t *put_central(uint8_t *at, const zip_part *part, uint32_t header) {
    at = zip_put(at, 0x02014B50, 4);
    at = zip_put(at, 20, 2);
    at = zip_put(at, 20, 2);
    at = put_fields(at, &part->central);
    at = zip_put(at, part->extra_bytes, 2);
    at = zip_put(at, 0, 10);
    at = zip_put(at, header + part->shift, 4);
    memcpy(at, part->central.name, part->central.name_bytes);
    at += part->central.name_bytes;
    if (part->extra_bytes > 0) {
        memcpy(at, part->extra, part->extra_bytes);
    }
    return at + part->extra_bytes;
}

static uint8_t *put_end(uint8_t *at, const zip_ends *ends, uint64_t count, uint64_t bytes,
                        uint64_t start) {
    if (ends->large) {
        at = zip_put(at, 0x06064B50, 4);
        at = zip_put(at, 44, 8);
        at = zip_put(at, 45, 2);
        at = zip_put(at, 45, 2);
        at = zip_put(at, 0, 8);
        at = zip_put(at, count + ends->large_count, 8);
        at = zip_put(at, count + ends->large_count, 8);
        at = zip_put(at, bytes, 8);
        at = zip_put(at, start, 8);
        at = zip_put(at, 0x07064B50, 4);
        at = zip_put(at, 0, 4);
        at = zip_put(at, start + bytes + ends->locator, 8);
        at = zip_put(at, 1, 4);
    }
    const uint64_t told = count + (uint64_t)(int64_t)ends->count;
    const uint64_t shown = told < 0xFFFF ? told : 0xFFFF;

    at = zip_put(at, 0x06054B50, 4);
    at = zip_put(at, 0, 4);
    at = zip_put(at, shown, 2);
    at = zip_put(at, shown, 2);
    at = zip_put(at, bytes, 4);
    at = zip_put(at, start, 4);
    at = zip_put(at, ends->comment, 2);
    memset(at, 'c', ends->comment);
    return at + ends->comment;
}

uint8_t *zip_build(const zip_part *parts, size_t count, const zip_ends *ends, size_t *size) {
    const zip_ends plain = {0};
    size_t room = 256;
    size_t lines = 0;

    ends = ends == NULL ? &plain : ends;
    room += ends->head + ends->tail + ends->comment;
    for (size_t i = 0; i < count; i++) {
        room += 96 + parts[i].bytes + parts[i].local.name_bytes + parts[i].central.name_bytes +
                parts[i].extra_bytes;
    }
    uint8_t *made = calloc(1, room);
    uint32_t *header = malloc((count + 1) * sizeof *header);
    uint8_t *at = made + ends->head;

    for (size_t i = 0; i < count; i++) {
        header[i] = (uint32_t)(at - made);
        at = put_local(at, &parts[i]);
    }
    const uint64_t start = (uint64_t)(at - made);

    for (size_t i = 0; i < count; i++) {
        if (!parts[i].hidden) {
            at = put_central(at, &parts[i], header[i]);
            lines++;
        }
    }
    at = put_end(at, ends, lines, (uint64_t)(at - made) - start, start);
    *size = (size_t)(at - made) + ends->tail;
    free(header);
    return made;
}
