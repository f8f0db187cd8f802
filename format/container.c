/* container.c - opens a .eet file, runs the checks in their order, and answers
 * questions about what is in it. */
#include "format/container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/checked.h"
#include "format/file.h"

enum { READ_STEP = 64 << 20, HUGE_PAGE = 2 << 20 };

static eet_status read_fd(const eet_file *file, uint64_t offset, uint8_t *out, uint64_t bytes,
                          eet_error *err) {
    while (bytes > 0) {
        const size_t step = bytes < READ_STEP ? (size_t)bytes : READ_STEP;
        const ssize_t got = pread(file->fd, out, step, (off_t)offset);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return eet_fail_errno(err, errno, "cannot read at byte %llu",
                                  (unsigned long long)offset);
        }
        if (got == 0) {
            return eet_fail(err, EET_E_IO, offset,
                            "the file ends at byte %llu: it was cut while it was read",
                            (unsigned long long)offset);
        }
        out += got;
        offset += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return EET_OK;
}

eet_status eet_file_read(const eet_file *file, uint64_t offset, void *out, uint64_t bytes,
                         eet_error *err) {
    if (!eet_within_u64(offset, bytes, file->size)) {
        return eet_fail(err, EET_E_CORRUPT, offset, "the file ends inside what is read");
    }
    if (file->fd >= 0) {
        return read_fd(file, offset, out, bytes, err);
    }
    if (bytes > 0) {
        memcpy(out, file->bytes + offset, (size_t)bytes);
    }
    return EET_OK;
}

/* Brings the whole file into memory: until now everything was read through the descriptor. */
static eet_status load_bytes(eet_file *file, eet_load load, eet_error *err) {
    if (load == EET_LOAD_MAP) {
        void *map = mmap(NULL, (size_t)file->size, PROT_READ, MAP_SHARED, file->fd, 0);

        if (map == MAP_FAILED) {
            return eet_fail_errno(err, errno, "cannot map the file");
        }
        file->bytes = map;
        file->mapped = true;
        return EET_OK;
    }
    uint8_t *copy =
        aligned_alloc(file->size < HUGE_PAGE ? EET_PAGE : HUGE_PAGE, (size_t)file->size);

    if (copy == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a copy of %llu bytes",
                        (unsigned long long)file->size);
    }
    if (file->size >= HUGE_PAGE) { /* advice: weights are read a few per cent faster in them */
        (void)madvise(copy, (size_t)file->size, MADV_HUGEPAGE);
    }
    file->bytes = copy;
    file->copied = true;
    return read_fd(file, 0, copy, file->size, err);
}

static eet_status check_structure(eet_file *file, eet_error *err) {
    eet_status status = eet_file_load_page(file, err);

    if (status == EET_OK) {
        status = eet_file_load_metadata(file, err);
    }
    if (status == EET_OK) {
        status = eet_file_load_tensors(file, err);
    }
    return status == EET_OK ? eet_file_bind(file, err) : status;
}

static eet_status check_kind(eet_file *file, eet_error *err) {
    struct stat info;

    if (fstat(file->fd, &info) != 0) {
        return eet_fail_errno(err, errno, "cannot read the file's status");
    }
    if (S_ISDIR(info.st_mode)) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE, "is a directory, not a .eet file");
    }
    if (!S_ISREG(info.st_mode)) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE, "is no regular file");
    }
    if ((uint64_t)info.st_size > UINT64_C(1) << EET_MAX_FILE_LOG2) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "%llu bytes; a .eet file has at most 2^%d",
                        (unsigned long long)info.st_size, EET_MAX_FILE_LOG2);
    }
    file->size = (uint64_t)info.st_size;
    return EET_OK;
}

static eet_status check_level(int level, eet_load load, eet_error *err) {
    if (level < 0 || level > 1) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "level %d of checking; 0 or 1 here",
                        level);
    }
    if (load != EET_LOAD_MAP && load != EET_LOAD_COPY) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "unknown way %d to load a file",
                        (int)load);
    }
    return EET_OK;
}

void eet_file_read_ahead(const eet_file *file, bool on) {
    if (file->mapped) { /* advice: without it the file is only read sooner */
        (void)madvise((void *)(uintptr_t)file->bytes, (size_t)file->size,
                      on ? MADV_NORMAL : MADV_RANDOM);
    }
}

void eet_file_forget(const eet_file *file, const eet_file_tensor *tensor) {
    const uint64_t from = (tensor->offset + EET_PAGE - 1) / EET_PAGE * EET_PAGE;
    const uint64_t end = (tensor->offset + tensor->bytes) / EET_PAGE * EET_PAGE;

    if (file->mapped && from < end) { /* advice: without it more is resident */
        (void)madvise((void *)(uintptr_t)(file->bytes + from), (size_t)(end - from), MADV_DONTNEED);
    }
}

static eet_status finish(eet_file *file, int level, eet_status status, eet_file **out,
                         eet_error *err) {
    if (file->fd >= 0) {
        (void)close(file->fd);
        file->fd = -1;
    }
    if (status == EET_OK && level == 1) {
        status = eet_file_check_tensors(file, err);
    }
    if (status != EET_OK) {
        eet_file_close(file);
        return status;
    }
    *out = file;
    return EET_OK;
}

/* Takes over `fd`. */
static eet_status open_taken(int fd, int level, eet_load load, eet_file **out, eet_error *err) {
    eet_file *file = calloc(1, sizeof *file);

    if (file == NULL) {
        (void)close(fd);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for an open file");
    }
    file->fd = fd;
    eet_status status = check_kind(file, err);

    if (status == EET_OK) {
        status = check_structure(file, err);
    }
    if (status == EET_OK) {
        status = load_bytes(file, load, err);
    }
    return finish(file, level, status, out, err);
}

eet_status eet_file_open(const char *path, int level, eet_load load, eet_file **out,
                         eet_error *err) {
    const eet_status status = check_level(level, load, err);

    if (status != EET_OK) {
        return status;
    }
    /* O_NONBLOCK: a named pipe is refused below instead of waited for. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        return eet_fail_errno(err, errno, "cannot open");
    }
    return open_taken(fd, level, load, out, err);
}

eet_status eet_file_open_fd(int fd, int level, eet_load load, eet_file **out, eet_error *err) {
    const eet_status status = check_level(level, load, err);

    if (status != EET_OK) {
        return status;
    }
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (own < 0) {
        return eet_fail_errno(err, errno, "cannot duplicate descriptor %d", fd);
    }
    return open_taken(own, level, load, out, err);
}

eet_status eet_file_open_memory(const void *bytes, uint64_t size, int level, eet_file **out,
                                eet_error *err) {
    eet_status status = check_level(level, EET_LOAD_MAP, err);

    if (status != EET_OK) {
        return status;
    }
    if (bytes == NULL || (uintptr_t)bytes % 8 != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a model in memory begins at a multiple of 8 bytes");
    }
    eet_file *file = calloc(1, sizeof *file);

    if (file == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for an open file");
    }
    file->fd = -1;
    file->bytes = bytes;
    file->size = size;
    status = check_structure(file, err);
    return finish(file, level, status, out, err);
}

void eet_file_close(eet_file *file) {
    if (file == NULL) {
        return;
    }
    if (file->mapped) {
        (void)munmap((void *)file->bytes, (size_t)file->size);
    } else if (file->copied) {
        free((void *)file->bytes);
    }
    eet_kv_close(&file->meta_view);
    eet_kv_close(&file->prov_view);
    eet_facts_release(&file->facts);
    free(file->sections);
    free(file->meta.bytes);
    free(file->names.bytes);
    free(file->tensors.bytes);
    free(file->assets.bytes);
    free(file->prov.bytes);
    free(file->asset_names);
    free(file->name_text);
    free(file->name_at);
    free(file->by_role);
    free(file->by_offset);
    free(file);
}

uint64_t eet_file_bytes(const eet_file *file) {
    return file->size;
}

const eet_facts *eet_file_facts(const eet_file *file) {
    return &file->facts;
}

const eet_kv_view *eet_file_meta(const eet_file *file) {
    return &file->meta_view;
}

const eet_kv_view *eet_file_provenance(const eet_file *file) {
    return file->has_prov ? &file->prov_view : NULL;
}

const uint8_t *eet_file_content_sha256(const eet_file *file) {
    return file->header.content_sha256;
}

const uint8_t *eet_file_weights_sha256(const eet_file *file) {
    return file->header.weights_sha256;
}

void eet_file_version(const eet_file *file, int32_t *major, int32_t *minor,
                      int32_t *min_reader_minor) {
    *major = file->header.ver_major;
    *minor = file->header.ver_minor;
    *min_reader_minor = file->header.min_reader_minor;
}

int32_t eet_file_sections(const eet_file *file) {
    return file->header.section_count;
}

eet_file_section eet_file_section_at(const eet_file *file, int32_t index) {
    const eet_disk_section *s = &file->sections[index];
    eet_file_section section = {.flags = s->flags,
                                .codec = s->codec,
                                .align_log2 = s->align_log2,
                                .version_major = s->sec_ver_major,
                                .version_minor = s->sec_ver_minor,
                                .index = s->index,
                                .offset = s->offset,
                                .stored_bytes = s->stored_bytes,
                                .raw_bytes = s->raw_bytes};

    memcpy(section.type, &s->type, 4);
    return section;
}
