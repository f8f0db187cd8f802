/* archive.c - reads a zip archive by libzip, held to our own reading of its
 * directory (zip_directory.c): where the two differ, the archive is refused. */
#include "converter/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "converter/crc32.h"
#include "converter/input.h"
#include "converter/zip_directory.h"
#include "format/deflate.h"

struct eet_archive {
    int fd;     /* -1: none for now */
    zip_t *zip; /* while it is opened */
    int64_t count;
    char *names; /* of the entries, one after the other */
    char *next;  /* room for the next of them */
    eet_archive_entry *entry;
    uint64_t *data;    /* (count) offset of an entry's packed bytes */
    uint32_t *by_name; /* (count) entries in the order of fold_order */
};

/* libzip's words for why it does not open an archive. */
static eet_status fail_open(int code, eet_error *err) {
    zip_error_t error;
    eet_status status = EET_E_CORRUPT;

    zip_error_init_with_code(&error, code);
    if (code == ZIP_ER_MEMORY) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a zip archive");
    } else if (code == ZIP_ER_OPEN || code == ZIP_ER_READ || code == ZIP_ER_SEEK) {
        status = eet_fail(err, EET_E_IO, EET_NOWHERE, "cannot read the zip archive: %s",
                          zip_error_strerror(&error));
    } else {
        status =
            eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                     code == ZIP_ER_EXISTS ? "two entries of the zip archive have one name (%s)"
                                           : "the zip archive is malformed (%s)",
                     zip_error_strerror(&error));
    }
    zip_error_fini(&error);
    return status;
}

/* Order of names that does not see upper and lower case of ASCII. */
static int fold_order(const char *a, const char *b) {
    for (; *a != '\0' || *b != '\0'; a++, b++) {
        const int x = *a >= 'A' && *a <= 'Z' ? *a + 32 : (unsigned char)*a;
        const int y = *b >= 'A' && *b <= 'Z' ? *b + 32 : (unsigned char)*b;

        if (x != y) {
            return x - y;
        }
    }
    return 0;
}

static int by_name(const void *a, const void *b, void *context) {
    const eet_archive_entry *entry = context;

    return fold_order(entry[*(const uint32_t *)a].name, entry[*(const uint32_t *)b].name);
}

/* Entry `index` as libzip sees it must be `line`. */
static eet_status take_entry(eet_archive *archive, int64_t index, const eet_zip_line *line,
                             eet_error *err) {
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_CRC |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t stat;
    eet_shown shown;

    zip_stat_init(&stat);
    if (zip_stat_index(archive->zip, (zip_uint64_t)index, ZIP_FL_ENC_RAW, &stat) != 0 ||
        (stat.valid & needed) != needed || strlen(stat.name) != line->name_bytes ||
        memcmp(stat.name, line->name, line->name_bytes) != 0 || stat.size != line->raw_bytes ||
        stat.comp_size != line->packed_bytes || stat.crc != line->crc ||
        stat.comp_method != line->method || stat.encryption_method != ZIP_EM_NONE) {
        return eet_fail(err, EET_E_CORRUPT, line->header,
                        "zip entry \"%s\" can be read in two ways",
                        eet_show(&shown, line->name, line->name_bytes));
    }
    memcpy(archive->next, line->name, line->name_bytes);
    archive->next[line->name_bytes] = '\0';
    archive->entry[index] = (eet_archive_entry){
        .name = archive->next,
        .bytes = line->raw_bytes,
        .packed_bytes = line->packed_bytes,
        .crc = line->crc,
        .deflated = line->method == ZIP_CM_DEFLATE,
    };
    archive->next += line->name_bytes + 1;
    archive->data[index] = line->data;
    archive->by_name[index] = (uint32_t)index;
    return EET_OK;
}

/* Sorts the names; two that differ in case only are refused. */
static eet_status sort_names(eet_archive *archive, eet_error *err) {
    qsort_r(archive->by_name, (size_t)archive->count, sizeof *archive->by_name, by_name,
            archive->entry);
    for (int64_t i = 1; i < archive->count; i++) {
        const char *name = archive->entry[archive->by_name[i]].name;
        const char *before = archive->entry[archive->by_name[i - 1]].name;

        if (fold_order(before, name) == 0) {
            eet_shown shown;

            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                            "two entries of the zip archive are called \"%s\", or differ in case "
                            "only",
                            eet_show(&shown, name, strlen(name)));
        }
    }
    return EET_OK;
}

/* Opens libzip on a descriptor of its own, which it closes. */
static eet_status open_zip(eet_archive *archive, eet_error *err) {
    const int fd = fcntl(archive->fd, F_DUPFD_CLOEXEC, 0);
    int code = 0;

    if (fd < 0) {
        return eet_fail_errno(err, errno, "cannot open the zip archive");
    }
    archive->zip = zip_fdopen(fd, ZIP_CHECKCONS, &code);
    if (archive->zip == NULL) {
        (void)close(fd);
        return fail_open(code, err);
    }
    return EET_OK;
}

static eet_status take_entries(eet_archive *archive, const eet_zip_directory *directory,
                               eet_error *err) {
    const size_t count = (size_t)directory->count;
    size_t names = 0;
    eet_status status = open_zip(archive, err);

    if (status != EET_OK) {
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        names += directory->line[i].name_bytes + 1;
    }
    archive->count = (int64_t)count;
    archive->names = malloc(names + 1);
    archive->next = archive->names;
    archive->entry = malloc(count * sizeof *archive->entry + 1);
    archive->data = malloc(count * sizeof *archive->data + 1);
    archive->by_name = malloc(count * sizeof *archive->by_name + 1);
    if (archive->names == NULL || archive->entry == NULL || archive->data == NULL ||
        archive->by_name == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a zip archive");
    }
    if (zip_get_num_entries(archive->zip, 0) != archive->count) {
        return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                        "the zip archive's entries can be counted in two ways");
    }
    for (int64_t i = 0; status == EET_OK && i < archive->count; i++) {
        status = take_entry(archive, i, &directory->line[i], err);
    }
    return status == EET_OK ? sort_names(archive, err) : status;
}

static void close_zip(eet_archive *archive) {
    if (archive->zip != NULL) {
        zip_discard(archive->zip);
    }
    archive->zip = NULL;
}

eet_status eet_archive_use(eet_archive *archive, int fd, eet_error *err) {
    if (archive->fd >= 0) {
        (void)close(archive->fd);
    }
    archive->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    return fd < 0 || archive->fd >= 0 ? EET_OK
                                      : eet_fail_errno(err, errno, "cannot open the zip archive");
}

eet_status eet_archive_open(int fd, uint64_t bytes, eet_archive **out, eet_error *err) {
    eet_zip_directory directory;
    eet_status status = eet_zip_directory_read(fd, bytes, &directory, err);

    if (status != EET_OK) {
        return status;
    }
    eet_archive *archive = calloc(1, sizeof *archive);

    if (archive == NULL) {
        status = eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a zip archive");
        goto end;
    }
    archive->fd = -1;
    status = eet_archive_use(archive, fd, err);
    if (status == EET_OK) {
        status = take_entries(archive, &directory, err);
    }
    close_zip(archive);
    if (status != EET_OK) {
        eet_archive_close(archive);
        goto end;
    }
    *out = archive;
end:
    eet_zip_directory_free(&directory);
    return status;
}

void eet_archive_close(eet_archive *archive) {
    if (archive == NULL) {
        return;
    }
    if (archive->fd >= 0) {
        (void)close(archive->fd);
    }
    free(archive->names);
    free(archive->entry);
    free(archive->data);
    free(archive->by_name);
    free(archive);
}

int64_t eet_archive_count(const eet_archive *archive) {
    return archive->count;
}

const eet_archive_entry *eet_archive_at(const eet_archive *archive, int64_t index) {
    return &archive->entry[index];
}

int64_t eet_archive_find(const eet_archive *archive, const char *name) {
    int64_t low = 0;
    int64_t high = archive->count;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const uint32_t index = archive->by_name[middle];
        const int order = fold_order(archive->entry[index].name, name);

        if (order == 0) {
            return strcmp(archive->entry[index].name, name) == 0 ? (int64_t)index : -1;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return -1;
}

/* Reads stored bytes in pieces, so that each is still in the cache for its checksum. */
static eet_status read_stored(const eet_archive *archive, int64_t index, void *data, uint32_t *crc,
                              eet_error *err) {
    enum { PIECE = 256 << 10 };
    const eet_archive_entry *entry = &archive->entry[index];
    uint8_t *at = data;

    for (uint64_t done = 0; done < entry->bytes;) {
        const uint64_t bytes = entry->bytes - done < PIECE ? entry->bytes - done : PIECE;
        const eet_status status =
            eet_read_at(archive->fd, archive->data[index] + done, at + done, bytes, err);

        if (status != EET_OK) {
            return status;
        }
        *crc = eet_crc32(*crc, at + done, bytes);
        done += bytes;
    }
    return EET_OK;
}

static eet_status read_deflated(const eet_archive *archive, int64_t index, void *data,
                                uint32_t *crc, eet_error *err) {
    const eet_archive_entry *entry = &archive->entry[index];
    void *packed = malloc((size_t)entry->packed_bytes + 1);

    if (packed == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu compressed bytes",
                        (unsigned long long)entry->packed_bytes);
    }
    eet_status status =
        eet_read_at(archive->fd, archive->data[index], packed, entry->packed_bytes, err);

    if (status == EET_OK) {
        status = eet_inflate(packed, entry->packed_bytes, data, entry->bytes, true, err);
    }
    free(packed);
    if (status == EET_OK) {
        *crc = eet_crc32(0, data, entry->bytes);
    }
    return status;
}

eet_status eet_archive_read(eet_archive *archive, int64_t index, void *data, bool *crc_matches,
                            eet_error *err) {
    const eet_archive_entry *entry = &archive->entry[index];
    uint32_t crc = 0;
    eet_shown shown;
    char prefix[sizeof shown.text + 16];
    const eet_status status = entry->deflated ? read_deflated(archive, index, data, &crc, err)
                                              : read_stored(archive, index, data, &crc, err);

    (void)eet_show(&shown, entry->name, strlen(entry->name));
    if (status != EET_OK) {
        (void)snprintf(prefix, sizeof prefix, "zip entry \"%s\"", shown.text);
        eet_error_prefix(err, prefix);
        return status;
    }
    if (crc_matches != NULL) {
        *crc_matches = crc == entry->crc;
        return EET_OK;
    }
    if (crc != entry->crc) {
        return eet_fail(err, EET_E_CORRUPT, archive->data[index],
                        "zip entry \"%s\" is damaged: its CRC-32 is %08x and should be %08x",
                        shown.text, crc, entry->crc);
    }
    return EET_OK;
}
