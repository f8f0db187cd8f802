/* writer_commit.c - streams the tensors into the temporary file, seals it and lets it
 * take its name. */
#include <string.h>

#include "format/verify.h"
#include "format/writer_parts.h"

static eet_status give_up(eet_writer *writer, eet_status status) {
    if (status != EET_OK) {
        writer->state = EET_WRITER_FAILED;
    }
    return status;
}

static eet_status misuse(eet_error *err, const char *what) {
    return eet_fail(err, EET_E_STATE, EET_NOWHERE, "%s", what);
}

eet_status eet_writer_begin(eet_writer *writer, eet_error *err) {
    if (writer->state != EET_WRITER_PLANNED) {
        return misuse(err, "writing begins after the plan, and once");
    }
    writer->hasher = eet_hasher_create();
    writer->stream = eet_xxh3_create();
    if (writer->hasher == NULL || writer->stream == NULL) {
        return give_up(writer, eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a writer"));
    }
    writer->current = eet_writer_next(writer, 0);
    writer->state = EET_WRITER_BEGUN;
    return give_up(
        writer, eet_target_begin(&writer->target, writer->options.force, writer->plan.size, err));
}

/* The section of tensors is the last one. */
static const eet_disk_section *data_section(const eet_writer *writer) {
    return &writer->plan.sections[writer->plan.header.section_count - 1];
}

eet_status eet_writer_append(eet_writer *writer, int32_t number, const void *data, uint64_t bytes,
                             eet_error *err) {
    if (writer->state != EET_WRITER_BEGUN) {
        return misuse(err, "tensors are written after the beginning");
    }
    if (number != writer->current || number >= writer->count) {
        return misuse(err, "tensors are written in the order of their declaration");
    }
    eet_planned *t = &writer->tensors[number];

    if (bytes > t->bytes - writer->written) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE, "tensor \"%s\" has %llu bytes; more came",
                        t->name, (unsigned long long)t->bytes);
    }
    if (bytes == 0) {
        return EET_OK;
    }
    eet_hasher_add(writer->hasher, data, bytes);
    eet_xxh3_add(writer->stream, data, bytes);
    const uint64_t at = data_section(writer)->offset + t->offset + writer->written;
    const eet_status status = eet_target_write(&writer->target, at, data, bytes, err);

    if (!writer->options.no_sync) {
        eet_target_start_writing(&writer->target, at + bytes);
    }
    writer->written += bytes;
    if (writer->written == t->bytes) {
        eet_hasher_end(writer->hasher, t->sha256);
        t->xxh3 = eet_xxh3_finish(writer->stream);
        writer->current = eet_writer_next(writer, number + 1);
        writer->written = 0;
    }
    return give_up(writer, status);
}

/* The digests of the tensors go into the directory, an alias' from its target. */
static void fill_digests(eet_writer *writer) {
    eet_disk_tensor *directory = (eet_disk_tensor *)(void *)writer->plan.tensors.bytes;

    for (int32_t i = 0; i < writer->count; i++) {
        const int32_t alias = writer->tensors[i].declared.alias_of;
        const eet_planned *from = &writer->tensors[alias >= 0 ? alias : i];
        eet_disk_tensor *entry = &directory[writer->tensors[i].entry];

        memcpy(entry->xxh3_128, from->xxh3.word, sizeof entry->xxh3_128);
        memcpy(entry->sha256, from->sha256, sizeof entry->sha256);
    }
}

/* The bytes of a metadata section. */
static const void *section_bytes(const eet_writer *writer, uint32_t type) {
    switch (type) {
    case EET_SECTION_META:
        return writer->plan.meta.bytes;
    case EET_SECTION_NAME:
        return writer->plan.names.bytes;
    case EET_SECTION_TENS:
        return writer->plan.tensors.bytes;
    case EET_SECTION_ASST:
        return writer->asset_block;
    default:
        return writer->plan.prov.bytes;
    }
}

/* To the file, or to the image of one in memory. */
static eet_status put(const eet_writer *writer, uint8_t *image, uint64_t offset, const void *bytes,
                      uint64_t count, eet_error *err) {
    if (image == NULL) {
        return eet_target_write(&writer->target, offset, bytes, count, err);
    }
    memcpy(image + offset, bytes, (size_t)count);
    return EET_OK;
}

static eet_status write_sections(eet_writer *writer, uint8_t *image, eet_error *err) {
    eet_file *plan = &writer->plan;

    for (uint32_t i = 0; i < plan->header.section_count; i++) {
        eet_disk_section *s = &plan->sections[i];
        eet_status status = EET_OK;

        if (s->type == EET_SECTION_DATA) {
            status = eet_file_data_hash(plan, i, s->xxh3_128, err);
        } else {
            const void *bytes = section_bytes(writer, s->type);
            const eet_xxh3 hash = eet_xxh3_128(bytes, s->stored_bytes);

            memcpy(s->xxh3_128, hash.word, sizeof s->xxh3_128);
            status = put(writer, image, s->offset, bytes, s->stored_bytes, err);
        }
        if (status != EET_OK) {
            return status;
        }
    }
    return EET_OK;
}

/* Page 0 is written last: until then the file begins with zeros. */
static eet_status write_page(eet_writer *writer, uint8_t *image, eet_error *err) {
    eet_file *plan = &writer->plan;
    eet_disk_header *h = &plan->header;
    const uint64_t table = sizeof(eet_disk_section) * (uint64_t)h->section_count;

    memcpy(h->magic, EET_MAGIC, sizeof h->magic);
    h->ver_major = EET_VERSION_MAJOR;
    h->ver_minor = EET_VERSION_MINOR;
    h->header_bytes = sizeof *h;
    h->endian_tag = 0x01020304;
    h->section_entry_bytes = sizeof(eet_disk_section);
    h->section_table_off = sizeof *h;
    h->file_bytes = plan->size;
    h->flags = EET_FILE_SEALED;
    memcpy(plan->page + sizeof *h, plan->sections, (size_t)table);
    h->table_xxh3 = eet_xxh3_64(plan->page + sizeof *h, table);
    memcpy(plan->page, h, sizeof *h);
    h->header_xxh3 = eet_xxh3_64(plan->page, offsetof(eet_disk_header, header_xxh3));
    memcpy(plan->page, h, sizeof *h);
    return put(writer, image, 0, plan->page, sizeof plan->page, err);
}

/* Opens what was written as its readers will. */
static eet_status check_written(const eet_writer *writer, eet_error *err) {
    eet_file *file = NULL;
    eet_status status = eet_file_open_fd(writer->target.fd, 1, EET_LOAD_MAP, &file, err);

    if (status == EET_OK) {
        eet_file_close(file);
        return EET_OK;
    }
    eet_error_prefix(err, "what was written does not read back");
    return status == EET_E_CORRUPT ? EET_E_IO : status;
}

static eet_status seal(eet_writer *writer, eet_error *err) {
    eet_disk_header *h = &writer->plan.header;

    eet_hasher_drain(writer->hasher);
    fill_digests(writer);
    writer->plan.assets = (eet_block){writer->asset_block, writer->asset_bytes, 0};
    eet_status status = eet_file_digests(&writer->plan, h->content_sha256, h->weights_sha256, err);

    if (status == EET_OK) {
        status = write_sections(writer, NULL, err);
    }
    if (status == EET_OK) {
        status = write_page(writer, NULL, err);
    }
    if (status == EET_OK && !writer->options.no_verify) {
        status = check_written(writer, err);
    }
    return status;
}

eet_status eet_writer_commit(eet_writer *writer, eet_error *err) {
    if (writer->state != EET_WRITER_BEGUN) {
        return misuse(err, "only what has begun is committed");
    }
    if (writer->current < writer->count) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE, "tensor \"%s\" was not written whole",
                        writer->tensors[writer->current].name);
    }
    eet_status status = seal(writer, err);

    if (status == EET_OK) {
        status = eet_target_commit(&writer->target, writer->options.force, !writer->options.no_sync,
                                   err);
    }
    writer->state = status == EET_OK ? EET_WRITER_DONE : EET_WRITER_FAILED;
    return status;
}

uint64_t eet_writer_offset(const eet_writer *writer, int32_t number) {
    return data_section(writer)->offset + writer->tensors[number].offset;
}

eet_status eet_writer_image(eet_writer *writer, void *image, eet_error *err) {
    if (writer->state != EET_WRITER_PLANNED) {
        return misuse(err, "an image follows the plan, and once");
    }
    eet_status status = write_sections(writer, image, err);

    if (status == EET_OK) {
        status = write_page(writer, image, err);
    }
    writer->state = status == EET_OK ? EET_WRITER_DONE : EET_WRITER_FAILED;
    return status;
}
