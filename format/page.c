/* page.c - checks page 0 of a .eet file: the header and the table of sections. */
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/file.h"

enum { MAJOR = 1, MINOR = 0, MIN_ALIGN = 12, MAX_ALIGN = 21, SEALED = 1 };

static bool is_zero(const void *data, size_t bytes) {
    const uint8_t *at = data;

    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

static eet_status corrupt(eet_error *err, uint64_t at, const char *what) {
    return eet_fail(err, EET_E_CORRUPT, at, "%s", what);
}

/* What a wrong first line tells about what happened to the file. */
static eet_status check_magic(const eet_file *file, eet_error *err) {
    static const uint8_t magic[] = EET_MAGIC;
    const uint8_t *page = file->page;

    if (memcmp(page, magic, 8) == 0) {
        return EET_OK;
    }
    if (is_zero(page, 8)) {
        return corrupt(err, 0, "no .eet file: it begins with zeros, as an unfinished one does");
    }
    if (memcmp(page, "\xEF\xBB\xBF", 3) == 0) {
        return corrupt(err, 0, "no .eet file: a byte-order mark was put in front");
    }
    if (memcmp(page,
               "\x89"
               "EET",
               4) == 0) {
        return corrupt(err, 4, "a .eet file damaged in transfer: line ends were translated");
    }
    if (memcmp(page,
               "\x09"
               "EET",
               4) == 0) {
        return corrupt(err, 0, "a .eet file damaged in transfer: bytes lost their high bit");
    }
    return corrupt(err, 0, "no .eet file: wrong magic");
}

static eet_status check_version(const eet_disk_header *h, eet_error *err) {
    if (h->endian_tag == 0x04030201) {
        return corrupt(err, 16, "the file's bytes are swapped");
    }
    if (h->ver_major != MAJOR) {
        return eet_fail(err, EET_E_UNSUPPORTED, 8, "format version %u; this program reads %d",
                        h->ver_major, MAJOR);
    }
    return EET_OK;
}

static eet_status check_header(const eet_file *file, eet_error *err) {
    const eet_disk_header *h = &file->header;
    eet_status status = check_magic(file, err);

    if (status == EET_OK) {
        status = check_version(h, err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (h->endian_tag != 0x01020304 || h->header_bytes != 256) {
        return corrupt(err, 14, "the header is malformed");
    }
    if (eet_xxh3_64(file->page, 248) != h->header_xxh3) {
        return corrupt(err, 248, "the header's checksum is wrong");
    }
    if (h->min_reader_minor > MINOR) {
        return eet_fail(err, EET_E_UNSUPPORTED, 12,
                        "the file needs a reader of format %u.%u; this one reads %d.%d", MAJOR,
                        h->min_reader_minor, MAJOR, MINOR);
    }
    if (h->file_bytes != file->size) {
        return eet_fail(err, EET_E_CORRUPT, 32, "the file has %llu bytes; its header says %llu",
                        (unsigned long long)file->size, (unsigned long long)h->file_bytes);
    }
    if (h->flags != SEALED || !is_zero(h->uuid_reserved, sizeof h->uuid_reserved) ||
        !is_zero(h->reserved, sizeof h->reserved)) {
        return corrupt(err, 44, "reserved fields of the header are not zero, or it is not sealed");
    }
    if (h->section_count > EET_MAX_SECTIONS || h->section_entry_bytes != 64 ||
        h->section_table_off != 256) {
        return corrupt(err, 20, "the section table is malformed");
    }
    return EET_OK;
}

/* One section by itself and behind the one before it. */
static eet_status check_section(const eet_file *file, uint32_t index, uint64_t *end,
                                eet_error *err) {
    const eet_disk_section *s = &file->sections[index];
    const uint64_t at = 256 + 64 * (uint64_t)index;
    uint32_t ordinal = 0;

    if (s->offset % EET_PAGE != 0 || s->offset < *end ||
        !eet_within_u64(s->offset, s->stored_bytes, file->size)) {
        return eet_fail(err, EET_E_CORRUPT, at, "section %u is misplaced", index);
    }
    if (s->align_log2 < MIN_ALIGN || s->align_log2 > MAX_ALIGN ||
        s->offset % (UINT64_C(1) << s->align_log2) != 0 || s->reserved != 0 || s->flags > 3) {
        return eet_fail(err, EET_E_CORRUPT, at, "section %u has malformed fields", index);
    }
    if (s->codec > EET_CODEC_ZLIB ||
        (s->codec == EET_CODEC_RAW && s->raw_bytes != s->stored_bytes)) {
        return eet_fail(err, EET_E_CORRUPT, at, "section %u has a malformed codec", index);
    }
    for (uint32_t i = 0; i < index; i++) {
        ordinal += file->sections[i].type == s->type ? 1 : 0;
    }
    if (s->index != ordinal) {
        return eet_fail(err, EET_E_CORRUPT, at, "section %u is numbered wrongly in its type",
                        index);
    }
    *end = s->offset + s->stored_bytes;
    return EET_OK;
}

static bool is_known(const eet_disk_section *s) {
    static const char known[][5] = {"META", "NAME", "TENS", "QUAN", "VOCB", "ASST", "PROV", "DATA"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (memcmp(known[i], &s->type, 4) == 0) {
            return s->sec_ver_major == 1;
        }
    }
    return false;
}

static eet_status check_types(const eet_file *file, eet_error *err) {
    static const char one[][5] = {"META", "NAME", "TENS"};

    for (uint32_t i = 0; i < file->header.section_count; i++) {
        const eet_disk_section *s = &file->sections[i];

        if ((s->flags & EET_SECTION_REQUIRED) != 0 && !is_known(s)) {
            eet_shown shown;

            return eet_fail(err, EET_E_UNSUPPORTED, 256 + 64 * (uint64_t)i,
                            "required section \"%s\" of version %u is not known to this version",
                            eet_show(&shown, (const char *)&s->type, 4), s->sec_ver_major);
        }
    }
    for (size_t k = 0; k < sizeof one / sizeof one[0]; k++) {
        uint32_t type = 0;
        uint32_t count = 0;

        memcpy(&type, one[k], 4);
        for (uint32_t i = 0; i < file->header.section_count; i++) {
            count += file->sections[i].type == type ? 1 : 0;
        }
        if (count != 1) {
            return eet_fail(err, EET_E_CORRUPT, 256, "%u sections \"%s\"; there is one", count,
                            one[k]);
        }
    }
    return EET_OK;
}

static eet_status check_table(eet_file *file, eet_error *err) {
    const uint64_t bytes = 64 * (uint64_t)file->header.section_count;
    uint64_t end = EET_PAGE;
    eet_status status = EET_OK;

    if (eet_xxh3_64(file->page + 256, bytes) != file->header.table_xxh3) {
        return corrupt(err, 240, "the section table's checksum is wrong");
    }
    if (!is_zero(file->page + 256 + bytes, EET_PAGE - 256 - (size_t)bytes)) {
        return corrupt(err, 256 + bytes, "the rest of page 0 is not zero");
    }
    file->sections = malloc((size_t)bytes + 1);
    if (file->sections == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the section table");
    }
    memcpy(file->sections, file->page + 256, (size_t)bytes);
    for (uint32_t i = 0; status == EET_OK && i < file->header.section_count; i++) {
        status = check_section(file, i, &end, err);
    }
    return status == EET_OK ? check_types(file, err) : status;
}

eet_status eet_file_load_page(eet_file *file, eet_error *err) {
    if (file->size < EET_PAGE || file->size % EET_PAGE != 0) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "no whole .eet file: %llu bytes is no multiple of %d",
                        (unsigned long long)file->size, EET_PAGE);
    }
    eet_status status = eet_file_read(file, 0, file->page, EET_PAGE, err);

    memcpy(&file->header, file->page, sizeof file->header);
    if (status == EET_OK) {
        status = check_header(file, err);
    }
    return status == EET_OK ? check_table(file, err) : status;
}

const eet_disk_section *eet_file_section_of(const eet_file *file, uint32_t type) {
    for (uint32_t i = 0; i < file->header.section_count; i++) {
        if (file->sections[i].type == type) {
            return &file->sections[i];
        }
    }
    return NULL;
}
