/* tensors.c - checks the directory of tensors: every entry by itself, against its
 * alias, and against the bytes of the others. */
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/file.h"
#include "format/slots.h"

enum { KNOWN_FLAGS = EET_TENSOR_ALIAS | EET_TENSOR_SYNTH | EET_TENSOR_REQUIRED };

static uint64_t entry_at(const eet_file *file, uint32_t index) {
    return file->tensors.base + sizeof(eet_disk_tensor) * (uint64_t)index;
}

static const char *name_of(const eet_file *file, uint32_t index) {
    return file->name_text + file->name_at[index];
}

/* Who is wrong, where, and why. */
static eet_status blame(const eet_file *file, uint32_t index, const char *what, eet_error *err) {
    return eet_fail(err, EET_E_CORRUPT, entry_at(file, index), "tensor \"%s\": %s",
                    name_of(file, index), what);
}

static bool name_is_good(const uint8_t *name, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) {
        const uint8_t c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9' && i > 0) ||
              ((c == '_' || c == '.') && i > 0))) {
            return false;
        }
    }
    return length > 0;
}

/* Copies the names, terminated, after their grammar and order were checked. */
static eet_status load_names(eet_file *file, eet_error *err) {
    const uint32_t count = file->header.tensor_count;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        bytes += file->directory[i].name_len + UINT64_C(1);
    }
    file->name_text = malloc((size_t)bytes + 1);
    file->name_at = malloc(((size_t)count + 1) * sizeof *file->name_at);
    if (file->name_text == NULL || file->name_at == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the names of tensors");
    }
    bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const eet_disk_tensor *t = &file->directory[i];

        if (t->name_len > EET_MAX_NAME ||
            !eet_within_u64(t->name_off, t->name_len, file->names.size) ||
            !name_is_good(file->names.bytes + t->name_off, t->name_len)) {
            return eet_fail(err, EET_E_CORRUPT, entry_at(file, i),
                            "tensor %u: its name is misplaced or not [a-z][a-z0-9_.]*", i);
        }
        file->name_at[i] = (uint32_t)bytes;
        memcpy(file->name_text + bytes, file->names.bytes + t->name_off, t->name_len);
        bytes += t->name_len;
        file->name_text[bytes++] = '\0';
        if (i > 0 && strcmp(name_of(file, i - 1), name_of(file, i)) >= 0) {
            return blame(file, i, "the names are not in ascending order", err);
        }
    }
    return EET_OK;
}

/* Bytes of the elements; false when the shape is not one. */
static bool shape_bytes(const eet_disk_tensor *t, uint64_t *out) {
    uint64_t bits = eet_dtype_bits((eet_dtype)t->dtype);

    for (int i = 0; i < EET_MAX_RANK; i++) {
        const bool used = i < t->rank;

        if (t->dims[i] == 0 || (!used && t->dims[i] != 1) ||
            t->dims[i] > UINT64_C(1) << EET_MAX_TENSOR_DIM_LOG2 ||
            !eet_mul_u64(bits, t->dims[i], &bits)) {
            return false;
        }
    }
    *out = bits / 8 + (bits % 8 != 0 ? 1 : 0);
    return true;
}

/* What does a REQUIRED entry ask for that this version does not have? */
static const char *unknown_part(const eet_disk_tensor *t) {
    if (eet_dtype_bits((eet_dtype)t->dtype) == 0) {
        return "dtype";
    }
    if (t->layout != 0) {
        return "layout";
    }
    return (t->flags & EET_TENSOR_REQUIRED) != 0 && !eet_role_known(t->role) ? "role" : NULL;
}

static uint32_t unknown_number(const eet_disk_tensor *t, const char *part) {
    if (strcmp(part, "dtype") == 0) {
        return t->dtype;
    }
    return strcmp(part, "layout") == 0 ? t->layout : t->role;
}

static eet_status check_support(const eet_file *file, uint32_t index, eet_error *err) {
    const eet_disk_tensor *t = &file->directory[index];
    const char *part = unknown_part(t);

    if (part != NULL && (t->dtype != 0 || strcmp(part, "dtype") != 0)) {
        return eet_fail(err, EET_E_UNSUPPORTED, entry_at(file, index),
                        "tensor \"%s\": %s %u is not known to this version; the file was written "
                        "for format %d.%u",
                        name_of(file, index), part, unknown_number(t, part), EET_VERSION_MAJOR,
                        file->header.ver_minor);
    }
    if (t->quant != EET_NO_TENSOR) {
        return eet_fail(err, EET_E_UNSUPPORTED, entry_at(file, index),
                        "tensor \"%s\": quantised weights are not read by this version",
                        name_of(file, index));
    }
    return EET_OK;
}

/* Where in its section an entry lies. */
static const char *place_fault(const eet_file *file, const eet_disk_tensor *t) {
    const uint64_t align = t->nbytes >= EET_LARGE_BYTES ? EET_LARGE_ALIGN : EET_TENSOR_ALIGN;

    if (t->section >= file->header.section_count ||
        file->sections[t->section].type != EET_SECTION_DATA) {
        return "its section is not \"DATA\"";
    }
    if (t->offset % align != 0) {
        return "its offset is not aligned";
    }
    if (!eet_within_u64(t->offset, t->nbytes, file->sections[t->section].raw_bytes)) {
        return "its bytes run past their section";
    }
    return NULL;
}

/* The name that follows from role, layer and head; true when it is this one. */
static bool name_agrees(const eet_file *file, uint32_t index) {
    const eet_disk_tensor *t = &file->directory[index];
    char name[EET_MAX_NAME + 1] = "";
    const char *head = NULL;

    if (!eet_role_known(t->role)) {
        return true;
    }
    if (t->role >> 8 == EET_GROUP_HEAD) {
        if (t->layer < 0 || t->layer >= file->facts.heads) {
            return false;
        }
        head = file->facts.head[t->layer].name;
    }
    return eet_slot_name(t->role, t->layer, head, name, sizeof name) > 0 &&
           strcmp(name, name_of(file, index)) == 0;
}

static eet_status check_entry(const eet_file *file, uint32_t index, eet_error *err) {
    const eet_disk_tensor *t = &file->directory[index];
    const eet_status status = check_support(file, index, err);
    uint64_t bytes = 0;

    if (status != EET_OK) {
        return status;
    }
    if (t->rank > EET_MAX_RANK || t->dtype == 0) {
        return blame(file, index, t->dtype == 0 ? "its dtype is 0" : "its rank is above 6", err);
    }
    if (!shape_bytes(t, &bytes)) {
        return blame(file, index, "its shape is malformed", err);
    }
    if (bytes != t->nbytes) {
        return eet_fail(err, EET_E_CORRUPT, entry_at(file, index),
                        "tensor \"%s\": it has %llu bytes; its shape and dtype take %llu",
                        name_of(file, index), (unsigned long long)t->nbytes,
                        (unsigned long long)bytes);
    }
    const char *fault = place_fault(file, t);

    if (fault == NULL && ((t->flags & ~(uint32_t)KNOWN_FLAGS) != 0 || t->reserved0 != 0 ||
                          !eet_is_zero(t->reserved, sizeof t->reserved))) {
        fault = "its reserved fields are not zero";
    }
    if (fault == NULL && ((t->flags & EET_TENSOR_ALIAS) != 0) != (t->alias_of != EET_NO_TENSOR)) {
        fault = "its flags and its alias contradict each other";
    }
    if (fault == NULL && !name_agrees(file, index)) {
        fault = "its name does not follow from its role and layer";
    }
    return fault == NULL ? EET_OK : blame(file, index, fault, err);
}

static eet_status check_alias(const eet_file *file, uint32_t index, eet_error *err) {
    const eet_disk_tensor *a = &file->directory[index];

    if (a->alias_of >= file->header.tensor_count || a->alias_of == index) {
        return blame(file, index, "its alias points nowhere", err);
    }
    const eet_disk_tensor *t = &file->directory[a->alias_of];

    if ((t->flags & EET_TENSOR_ALIAS) != 0) {
        return blame(file, index, "it is the alias of an alias", err);
    }
    if (a->section != t->section || a->offset != t->offset || a->nbytes != t->nbytes ||
        a->dtype != t->dtype || a->rank != t->rank || a->layout != t->layout ||
        memcmp(a->dims, t->dims, sizeof a->dims) != 0) {
        return blame(file, index, "it differs from the tensor that it is an alias of", err);
    }
    if (memcmp(a->xxh3_128, t->xxh3_128, sizeof a->xxh3_128) != 0 ||
        memcmp(a->sha256, t->sha256, sizeof a->sha256) != 0) {
        return blame(file, index, "its digests are not those of its alias", err);
    }
    return EET_OK;
}

static int by_place(const void *left, const void *right, void *context) {
    const eet_file *file = context;
    const eet_disk_tensor *a = &file->directory[*(const uint32_t *)left];
    const eet_disk_tensor *b = &file->directory[*(const uint32_t *)right];

    if (a->section != b->section) {
        return a->section < b->section ? -1 : 1;
    }
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* No two tensors share a byte, and no hole hides one. */
static eet_status check_overlaps(const eet_file *file, eet_error *err) {
    uint64_t end = 0;

    for (uint32_t i = 0; i < file->data_count; i++) {
        const uint32_t index = file->by_offset[i];
        const eet_disk_tensor *t = &file->directory[index];
        const bool last = i + 1 == file->data_count ||
                          file->directory[file->by_offset[i + 1]].section != t->section;

        if (t->offset < end) {
            return blame(file, index, "it overlaps the tensor before it", err);
        }
        if (t->offset - end >= EET_LARGE_ALIGN) {
            return blame(file, index, "unused bytes stand before it", err);
        }
        end = t->offset + t->nbytes;
        if (last && end != file->sections[t->section].raw_bytes) {
            return blame(file, index, "unused bytes follow it at the end of its section", err);
        }
        end = last ? 0 : end;
    }
    return EET_OK;
}

eet_status eet_file_data_hash(const eet_file *file, uint32_t section, uint64_t out[2],
                              eet_error *err) {
    eet_xxh3_stream *stream = eet_xxh3_create();

    if (stream == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checksum");
    }
    for (uint32_t i = 0; i < file->data_count; i++) {
        const eet_disk_tensor *t = &file->directory[file->by_offset[i]];

        if (t->section == section) {
            eet_xxh3_add(stream, t->xxh3_128, sizeof t->xxh3_128);
        }
    }
    const eet_xxh3 hash = eet_xxh3_finish(stream);

    eet_xxh3_free(stream);
    memcpy(out, hash.word, sizeof hash.word);
    return EET_OK;
}

static eet_status check_data_hashes(const eet_file *file, eet_error *err) {
    for (uint32_t i = 0; i < file->header.section_count; i++) {
        const eet_disk_section *s = &file->sections[i];
        uint64_t hash[2] = {0, 0};

        if (s->type != EET_SECTION_DATA) {
            continue;
        }
        const eet_status status = eet_file_data_hash(file, i, hash, err);

        if (status != EET_OK) {
            return status;
        }
        if (memcmp(hash, s->xxh3_128, sizeof hash) != 0) {
            return eet_fail(err, EET_E_CORRUPT, 256 + 64 * (uint64_t)i,
                            "section \"DATA\": its checksum is not that of its tensors'");
        }
    }
    return EET_OK;
}

static eet_status check_bytes(eet_file *file, eet_error *err) {
    const uint32_t count = file->header.tensor_count;

    file->by_offset = malloc(((size_t)count + 1) * sizeof *file->by_offset);
    if (file->by_offset == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the directory");
    }
    for (uint32_t i = 0; i < count; i++) {
        if ((file->directory[i].flags & EET_TENSOR_ALIAS) == 0) {
            file->by_offset[file->data_count++] = i;
        }
    }
    qsort_r(file->by_offset, file->data_count, sizeof *file->by_offset, by_place, file);
    const eet_status status = check_overlaps(file, err);

    return status == EET_OK ? check_data_hashes(file, err) : status;
}

eet_status eet_file_load_tensors(eet_file *file, eet_error *err) {
    const uint32_t count = file->header.tensor_count;
    eet_status status = EET_OK;

    if (count > EET_MAX_TENSORS) {
        return eet_fail(err, EET_E_LIMIT, 40, "%u tensors; at most %d", count, EET_MAX_TENSORS);
    }
    if (file->tensors.size != sizeof(eet_disk_tensor) * (uint64_t)count) {
        return eet_fail(err, EET_E_CORRUPT, 40, "%u tensors take %llu bytes; \"TENS\" has %llu",
                        count, (unsigned long long)sizeof(eet_disk_tensor) * count,
                        (unsigned long long)file->tensors.size);
    }
    file->directory = (const eet_disk_tensor *)(const void *)file->tensors.bytes;
    status = load_names(file, err);
    for (uint32_t i = 0; status == EET_OK && i < count; i++) {
        status = check_entry(file, i, err);
    }
    for (uint32_t i = 0; status == EET_OK && i < count; i++) {
        if ((file->directory[i].flags & EET_TENSOR_ALIAS) != 0) {
            status = check_alias(file, i, err);
        }
    }
    return status == EET_OK ? check_bytes(file, err) : status;
}
