/* zip_directory.c - reads and checks the directory of a zip archive: its lines, the
 * headers they point to, and that entries follow each other without overlap or gap. */
#include "converter/zip_directory.h"

#include <stdlib.h>
#include <string.h>

#include "converter/input.h"
#include "converter/zip_end.h"
#include "format/checked.h"
#include "format/utf8.h"

enum {
    LINE = 46,   /* bytes of a line of the central directory, without its strings */
    HEADER = 30, /* bytes of a local header, without its strings */
    DESCRIPTOR = 24,
    MAX_BYTES = 256 << 20,
    FLAG_DESCRIPTOR = 0x0008,
    FLAGS_ENCRYPTED = 0x2041, /* encryption, strong encryption, hidden headers */
    FLAGS_KNOWN = 0x080E      /* deflate's level, descriptor, UTF-8 */
};

static eet_status fail_line(const eet_zip_line *line, eet_status status, uint64_t at,
                            const char *what, eet_error *err) {
    eet_shown shown;

    return eet_fail(err, status, at, "zip entry \"%s\" %s",
                    eet_show(&shown, line->name, line->name_bytes), what);
}

/* Is some component of the path empty, "." or ".."? */
static bool has_odd_component(const char *name, uint32_t bytes) {
    uint32_t start = 0;

    for (uint32_t i = 0; i <= bytes; i++) {
        if (i < bytes && name[i] != '/') {
            continue;
        }
        const uint32_t length = i - start;

        if ((length == 0 && i < bytes) || (length == 1 && name[start] == '.') ||
            (length == 2 && memcmp(name + start, "..", 2) == 0)) {
            return true;
        }
        start = i + 1;
    }
    return false;
}

static eet_status check_name(const eet_zip_line *line, eet_error *err) {
    const char *name = line->name;

    if (line->name_bytes == 0 || line->name_bytes > EET_ZIP_MAX_NAME) {
        return eet_fail(err, EET_E_CORRUPT, line->header,
                        "a zip entry's name has %u bytes; 1 to %d are allowed", line->name_bytes,
                        EET_ZIP_MAX_NAME);
    }
    if (!eet_utf8_clean(name, line->name_bytes)) {
        return fail_line(line, EET_E_CORRUPT, line->header,
                         "has a name that is not printable UTF-8", err);
    }
    if (has_odd_component(name, line->name_bytes) || memchr(name, '\\', line->name_bytes) != NULL ||
        (line->name_bytes > 1 && name[1] == ':')) {
        return fail_line(line, EET_E_CORRUPT, line->header,
                         "has a name that is no plain relative path", err);
    }
    return EET_OK;
}

static const char *method_name(uint16_t method) {
    static const struct {
        uint16_t method;
        const char *name;
    } names[] = {{1, "shrink"}, {6, "implode"}, {9, "deflate64"},
                 {12, "bzip2"}, {14, "LZMA"},   {93, "zstd"},
                 {95, "xz"},    {98, "PPMd"},   {99, "AES encryption"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].method == method) {
            return names[i].name;
        }
    }
    return "unknown";
}

static eet_status check_method(const eet_zip_line *line, eet_error *err) {
    eet_shown shown;
    uint64_t most = 0;

    if ((line->flags & FLAGS_ENCRYPTED) != 0) {
        return fail_line(line, EET_E_CORRUPT, line->header, "is marked as encrypted", err);
    }
    if ((line->flags & ~FLAGS_KNOWN) != 0) {
        return fail_line(line, EET_E_CORRUPT, line->header, "has flags of no known meaning", err);
    }
    if (line->method != 0 && line->method != 8) {
        return eet_fail(err, EET_E_UNSUPPORTED, line->header,
                        "zip entry \"%s\" uses method %u (%s); stored and deflated are read",
                        eet_show(&shown, line->name, line->name_bytes), line->method,
                        method_name(line->method));
    }
    if (line->method == 0 && line->raw_bytes != line->packed_bytes) {
        return fail_line(line, EET_E_CORRUPT, line->header, "is stored, and its two sizes differ",
                         err);
    }
    if (line->method == 8 && (!eet_mul_u64(line->packed_bytes, 1032, &most) ||
                              !eet_add_u64(most, 64, &most) || line->raw_bytes > most)) {
        return fail_line(line, EET_E_CORRUPT, line->header,
                         "says it inflates to more than deflate can hold", err);
    }
    return EET_OK;
}

/* Takes the next 8 bytes of the zip64 field when `*value` is all ones. */
static bool take_large(const uint8_t **at, const uint8_t *end, uint64_t *value) {
    if (*value != UINT32_MAX) {
        return true;
    }
    if (end - *at < 8) {
        return false;
    }
    *value = eet_zip_u64(*at);
    *at += 8;
    return true;
}

/* Walks the extra fields of a line; sizes that did not fit stand in field 1. */
static bool resolve_extra(eet_zip_line *line, const uint8_t *extra, uint16_t bytes) {
    const bool large = line->raw_bytes == UINT32_MAX || line->packed_bytes == UINT32_MAX ||
                       line->header == UINT32_MAX;
    const uint8_t *end = extra + bytes;
    bool found = false;

    while (end - extra >= 4) {
        const uint16_t id = eet_zip_u16(extra);
        const uint16_t length = eet_zip_u16(extra + 2);
        const uint8_t *at = extra + 4;

        if (end - at < length || (id == 1 && found)) {
            return false;
        }
        extra = at + length;
        if (id != 1) {
            continue;
        }
        found = true;
        if (!take_large(&at, extra, &line->raw_bytes) ||
            !take_large(&at, extra, &line->packed_bytes) ||
            !take_large(&at, extra, &line->header)) {
            return false;
        }
    }
    return extra == end && (found || !large);
}

/* One line of the central directory at *at; moves *at behind it. */
static eet_status read_line(const eet_zip_directory *d, uint64_t *at, eet_zip_line *line,
                            eet_error *err) {
    const uint8_t *text = d->text + *at;

    if (d->bytes - *at < LINE || memcmp(text, "PK\1\2", 4) != 0) {
        return eet_fail(err, EET_E_CORRUPT, d->start + *at, "the zip directory is malformed");
    }
    const uint16_t name_bytes = eet_zip_u16(text + 28);
    const uint16_t extra_bytes = eet_zip_u16(text + 30);
    const uint64_t length = (uint64_t)LINE + name_bytes + extra_bytes + eet_zip_u16(text + 32);

    if (length > d->bytes - *at) {
        return eet_fail(err, EET_E_CORRUPT, d->start + *at, "the zip directory is malformed");
    }
    *line = (eet_zip_line){
        .name = (const char *)text + LINE,
        .name_bytes = name_bytes,
        .flags = eet_zip_u16(text + 8),
        .method = eet_zip_u16(text + 10),
        .crc = eet_zip_u32(text + 16),
        .packed_bytes = eet_zip_u32(text + 20),
        .raw_bytes = eet_zip_u32(text + 24),
        .header = eet_zip_u32(text + 42),
    };
    *at += length;
    eet_status status = check_name(line, err);

    if (status == EET_OK && (!resolve_extra(line, text + LINE + name_bytes, extra_bytes) ||
                             eet_zip_u16(text + 34) != 0)) {
        status = fail_line(line, EET_E_CORRUPT, d->start, "has a malformed directory line", err);
    }
    return status == EET_OK ? check_method(line, err) : status;
}

static eet_status read_lines(eet_zip_directory *d, eet_error *err) {
    uint64_t at = 0;
    eet_status status = EET_OK;

    for (uint64_t i = 0; status == EET_OK && i < d->count; i++) {
        status = read_line(d, &at, &d->line[i], err);
    }
    if (status == EET_OK && at != d->bytes) {
        return eet_fail(err, EET_E_CORRUPT, d->start + at,
                        "the zip directory goes on after its last entry");
    }
    return status;
}

/* The local header of a line, which must say the same; sets where its data begin. */
static eet_status read_header(const eet_zip_directory *d, eet_zip_line *line, eet_error *err) {
    uint8_t header[HEADER + EET_ZIP_MAX_NAME];
    const uint64_t bytes = (uint64_t)HEADER + line->name_bytes;

    if (!eet_within_u64(line->header, bytes, d->start)) {
        return fail_line(line, EET_E_CORRUPT, line->header, "lies outside of the archive", err);
    }
    const eet_status status = eet_read_at(d->fd, line->header, header, bytes, err);

    if (status != EET_OK) {
        return status;
    }
    if (memcmp(header, "PK\3\4", 4) != 0) {
        return fail_line(line, EET_E_CORRUPT, line->header, "has no header where it should", err);
    }
    if ((eet_zip_u16(header + 6) & FLAGS_ENCRYPTED) != 0) {
        return fail_line(line, EET_E_CORRUPT, line->header,
                         "is marked as encrypted in its own header", err);
    }
    if (eet_zip_u16(header + 6) != line->flags || eet_zip_u16(header + 8) != line->method) {
        return fail_line(line, EET_E_CORRUPT, line->header,
                         "has other flags or another method in its own header", err);
    }
    if (eet_zip_u16(header + 26) != line->name_bytes ||
        memcmp(header + HEADER, line->name, line->name_bytes) != 0) {
        return fail_line(line, EET_E_CORRUPT, line->header, "has another name in its own header",
                         err);
    }
    line->data = line->header + bytes + eet_zip_u16(header + 28);
    if (!eet_within_u64(line->data, line->packed_bytes, d->start)) {
        return fail_line(line, EET_E_CORRUPT, line->header, "is larger than the archive", err);
    }
    return EET_OK;
}

static int by_header(const void *a, const void *b, void *context) {
    const eet_zip_line *line = context;
    const uint64_t x = line[*(const uint32_t *)a].header;
    const uint64_t y = line[*(const uint32_t *)b].header;

    return x < y ? -1 : x > y;
}

/* Entries must follow each other from byte 0 to the directory, with at most a
 * data descriptor in between: no overlap, nothing hidden. */
static eet_status check_layout(const eet_zip_directory *d, const uint32_t *order, eet_error *err) {
    uint64_t end = 0;
    uint64_t room = 0; /* for a descriptor */

    for (uint64_t i = 0; i < d->count; i++) {
        const eet_zip_line *line = &d->line[order[i]];

        if (line->header < end) {
            return fail_line(line, EET_E_CORRUPT, line->header, "overlaps another entry", err);
        }
        if (line->header - end > room) {
            return eet_fail(err, EET_E_CORRUPT, end,
                            i == 0 ? "%llu bytes stand in front of the first entry of the zip "
                                     "archive"
                                   : "%llu bytes of the zip archive belong to no entry",
                            (unsigned long long)(line->header - end));
        }
        end = line->data + line->packed_bytes;
        room = (line->flags & FLAG_DESCRIPTOR) != 0 ? DESCRIPTOR : 0;
    }
    if (d->start < end || d->start - end > room) {
        return eet_fail(err, EET_E_CORRUPT, end,
                        "bytes of the zip archive belong to no entry, or entries overlap its "
                        "directory");
    }
    return EET_OK;
}

static eet_status read_headers(eet_zip_directory *d, eet_error *err) {
    uint32_t *order = malloc((size_t)d->count * sizeof *order + 1);
    eet_status status = EET_OK;

    if (order == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a zip directory");
    }
    for (uint64_t i = 0; i < d->count; i++) {
        order[i] = (uint32_t)i;
    }
    qsort_r(order, (size_t)d->count, sizeof *order, by_header, d->line);
    for (uint64_t i = 0; status == EET_OK && i < d->count; i++) {
        status = read_header(d, &d->line[order[i]], err);
    }
    if (status == EET_OK) {
        status = check_layout(d, order, err);
    }
    free(order);
    return status;
}

static eet_status check_counts(const eet_zip_directory *d, eet_error *err) {
    if (d->count > EET_ZIP_MAX_ENTRIES || d->bytes > MAX_BYTES) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the zip directory has %llu entries in %llu bytes; at most %d and %d are "
                        "read",
                        (unsigned long long)d->count, (unsigned long long)d->bytes,
                        EET_ZIP_MAX_ENTRIES, MAX_BYTES);
    }
    if (d->count * LINE > d->bytes) {
        return eet_fail(err, EET_E_CORRUPT, d->start,
                        "the zip directory has %llu bytes, too few for %llu entries",
                        (unsigned long long)d->bytes, (unsigned long long)d->count);
    }
    return EET_OK;
}

eet_status eet_zip_directory_read(int fd, uint64_t size, eet_zip_directory *out, eet_error *err) {
    eet_zip_directory d = {.fd = fd, .size = size};
    eet_status status = eet_zip_end_read(&d, err);

    if (status == EET_OK) {
        status = check_counts(&d, err);
    }
    if (status != EET_OK) {
        return status;
    }
    d.text = malloc((size_t)d.bytes + 1);
    d.line = malloc((size_t)d.count * sizeof *d.line + 1);
    if (d.text == NULL || d.line == NULL) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a zip directory");
    }
    if (status == EET_OK) {
        status = eet_read_at(fd, d.start, d.text, d.bytes, err);
    }
    if (status == EET_OK) {
        status = read_lines(&d, err);
    }
    if (status == EET_OK) {
        status = read_headers(&d, err);
    }
    if (status != EET_OK) {
        eet_zip_directory_free(&d);
        return status;
    }
    *out = d;
    return EET_OK;
}

void eet_zip_directory_free(eet_zip_directory *directory) {
    free(directory->text);
    free(directory->line);
    directory->text = NULL;
    directory->line = NULL;
}
