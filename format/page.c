/* page.c - checks page 0 of a .eet file: the header and the table of sections. */
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/file.h"

enum { MIN_ALIGN = 12, MAX_ALIGN = 21, DEFLATE_RATIO = 1032, DEFLATE_SLACK = 64 };

bool eet_is_zero(const void *data, uint64_t bytes) {
    const uint8_t *at = data;

    for (uint64_t i = 0; i < bytes; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

static eet_status corrupt(eet_error *err, uint64_t at, const char *what) {
    return eet_fail(err, EET_E_CORRUPT, at, "%s", what);
}

/* What a wrong beginning tells about what the file is, or what happened to it. */
static const struct {
    const char *bytes;
    uint8_t count, at;
    eet_status status;
    const char *says;
} beginnings[] = {
    {"\0\0\0\0\0\0\0\0", 8, 0, EET_E_CORRUPT,
     "no .eet file: it begins with zeros, as an unfinished one does"},
    {"\xEF\xBB\xBF", 3, 0, EET_E_CORRUPT, "no .eet file: a byte-order mark was put in front"},
    {"\x89\x45\x45\x54", 4, 4, EET_E_CORRUPT,
     "a .eet file damaged in transfer: line ends were translated"},
    {"\x09\x45\x45\x54", 4, 0, EET_E_CORRUPT,
     "a .eet file damaged in transfer: bytes lost their high bit"},
    {"version https://git-lfs", 23, 0, EET_E_UNSUPPORTED,
     "a pointer of git-lfs and not the file; \"git lfs pull\" fetches it"},
    {"PK\3\4", 4, 0, EET_E_CORRUPT,
     "no .eet file: a zip archive; eet-convert makes a .eet file from a checkpoint"},
};

static eet_status check_magic(const eet_file *file, eet_error *err) {
    static const uint8_t magic[] = EET_MAGIC;
    const uint8_t *page = file->page; /* zeros behind the end of a short file */

    if (memcmp(page, magic, 8) == 0) {
        return EET_OK;
    }
    if (file->size < sizeof magic - 1) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "no .eet file: too short, %llu bytes",
                        (unsigned long long)file->size);
    }
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        if (memcmp(page, beginnings[i].bytes, beginnings[i].count) == 0) {
            return eet_fail(err, beginnings[i].status, beginnings[i].at, "%s", beginnings[i].says);
        }
    }
    if (page[8] == '{') {
        return corrupt(err, 0,
                       "no .eet file, but maybe safetensors; eet-convert makes a .eet file from a "
                       "checkpoint");
    }
    return corrupt(err, 0, "no .eet file: wrong magic");
}

static eet_status check_version(const eet_disk_header *h, eet_error *err) {
    if (h->endian_tag == 0x04030201) {
        return corrupt(err, 16, "the file's bytes are swapped");
    }
    if (h->ver_major != EET_VERSION_MAJOR) {
        return eet_fail(err, EET_E_UNSUPPORTED, 8, "format version %u; this program reads %d",
                        h->ver_major, EET_VERSION_MAJOR);
    }
    return EET_OK;
}

static eet_status check_size(const eet_file *file, eet_error *err) {
    const eet_disk_header *h = &file->header;

    if (h->file_bytes != file->size) {
        return eet_fail(err, EET_E_CORRUPT, 32, "the file has %llu bytes; its header says %llu",
                        (unsigned long long)file->size, (unsigned long long)h->file_bytes);
    }
    if (file->size % EET_PAGE != 0) {
        return corrupt(err, 32, "the file is no whole number of pages");
    }
    return EET_OK;
}

static eet_status check_header(const eet_file *file, eet_error *err) {
    const eet_disk_header *h = &file->header;
    eet_status status = check_magic(file, err);

    if (status == EET_OK && file->size < EET_PAGE) {
        status = eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "a .eet file cut short: %llu bytes",
                          (unsigned long long)file->size);
    }
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
    if (h->min_reader_minor > EET_VERSION_MINOR) {
        return eet_fail(err, EET_E_UNSUPPORTED, 12,
                        "the file needs a reader of format %d.%u; this one reads %d.%d",
                        EET_VERSION_MAJOR, h->min_reader_minor, EET_VERSION_MAJOR,
                        EET_VERSION_MINOR);
    }
    status = check_size(file, err);
    if (status != EET_OK) {
        return status;
    }
    if (h->flags != EET_FILE_SEALED || !eet_is_zero(h->uuid_reserved, sizeof h->uuid_reserved) ||
        !eet_is_zero(h->reserved, sizeof h->reserved)) {
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

/* The sections of this version, in the order in which they stand in a file. */
typedef struct kind {
    char name[5];
    bool required, single, packable; /* packable: may be compressed */
} kind;

static const kind kinds[] = {
    {"META", true, true, false}, {"NAME", true, true, false},  {"TENS", true, true, false},
    {"QUAN", true, true, false}, {"VOCB", false, false, true}, {"ASST", false, true, true},
    {"PROV", false, true, true}, {"DATA", true, false, false}, {"PACK", false, false, true},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int kind_of(const eet_disk_section *s) {
    for (int i = 0; i < KINDS; i++) {
        if (memcmp(kinds[i].name, &s->type, 4) == 0) {
            return i;
        }
    }
    return -1;
}

/* May it be compressed, and could it be: deflate packs 1032 to 1 at most. */
static const char *codec_fault(const eet_disk_section *s, bool packable) {
    uint64_t most = 0;

    if (s->codec == EET_CODEC_RAW) {
        return s->raw_bytes == s->stored_bytes ? NULL : "its two lengths differ";
    }
    if (s->codec != EET_CODEC_ZLIB || !packable) {
        return "its codec is not legal";
    }
    if (s->raw_bytes > EET_MAX_ASSET || !eet_mul_u64(s->stored_bytes, DEFLATE_RATIO, &most) ||
        s->raw_bytes > most + DEFLATE_SLACK) {
        return "it claims more bytes than its compression can hold";
    }
    return NULL;
}

/* A section against what its type says. `last` is the type before it in the order of types. */
static eet_status check_type(const eet_disk_section *s, uint32_t index, int *last, eet_error *err) {
    const int number = kind_of(s);
    const bool required = (s->flags & EET_SECTION_REQUIRED) != 0;
    const bool known = number >= 0 && s->sec_ver_major == 1;
    const bool data = s->type == EET_SECTION_DATA;
    const uint64_t at = 256 + 64 * (uint64_t)index;
    eet_shown shown;
    const char *name = eet_show(&shown, (const char *)&s->type, 4);
    const char *fault = codec_fault(s, number < 0 || kinds[number].packable);

    if (required && !known) {
        return eet_fail(err, EET_E_UNSUPPORTED, at,
                        "required section \"%s\" of version %u is not known to this version; "
                        "a newer eet may read the file",
                        name, s->sec_ver_major);
    }
    if (fault == NULL && number >= 0 && number < *last) {
        fault = "it is out of order";
    }
    if (fault == NULL && number >= 0 && kinds[number].required && !required) {
        fault = "it is not marked as required";
    }
    if (fault == NULL && number >= 0 && kinds[number].single && s->index > 0) {
        fault = "there is more than one";
    }
    if (fault == NULL && ((s->flags & EET_SECTION_TENSOR_DATA) != 0) != data) {
        fault = "its flags contradict its type";
    }
    if (fault != NULL) {
        return eet_fail(err, EET_E_CORRUPT, at, "section \"%s\": %s", name, fault);
    }
    *last = number >= 0 ? number : *last;
    return EET_OK;
}

static eet_status check_types(const eet_file *file, eet_error *err) {
    static const uint32_t needed[] = {EET_SECTION_META, EET_SECTION_NAME, EET_SECTION_TENS};
    eet_status status = EET_OK;
    int last = 0;

    for (uint32_t i = 0; status == EET_OK && i < file->header.section_count; i++) {
        status = check_type(&file->sections[i], i, &last, err);
    }
    for (size_t k = 0; status == EET_OK && k < sizeof needed / sizeof needed[0]; k++) {
        if (eet_file_section_of(file, needed[k]) == NULL) {
            eet_shown shown;

            status = eet_fail(err, EET_E_CORRUPT, 256, "section \"%s\" is missing",
                              eet_show(&shown, (const char *)&needed[k], 4));
        }
    }
    return status;
}

static eet_status check_table(eet_file *file, eet_error *err) {
    const uint64_t bytes = 64 * (uint64_t)file->header.section_count;
    uint64_t end = EET_PAGE;
    eet_status status = EET_OK;

    if (eet_xxh3_64(file->page + 256, bytes) != file->header.table_xxh3) {
        return corrupt(err, 240, "the section table's checksum is wrong");
    }
    if (!eet_is_zero(file->page + 256 + bytes, EET_PAGE - 256 - bytes)) {
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
    if (status == EET_OK && (end + EET_PAGE - 1) / EET_PAGE != file->size / EET_PAGE) {
        status = corrupt(err, end, "bytes after the last section");
    }
    return status == EET_OK ? check_types(file, err) : status;
}

eet_status eet_file_load_page(eet_file *file, eet_error *err) {
    const uint64_t there = file->size < EET_PAGE ? file->size : EET_PAGE;
    eet_status status = eet_file_read(file, 0, file->page, there, err);

    if (status != EET_OK) {
        return status;
    }
    memcpy(&file->header, file->page, sizeof file->header);
    status = check_header(file, err);
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
