/* writer_plan.c - fixes where everything of a file will stand, before its first
 * byte is written. */
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/sha256.h"
#include "format/slots.h"
#include "format/writer_parts.h"

enum { MAX_PLANNED = 6 };

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the plan of a file");
}

static eet_status name_tensors(eet_writer *writer, eet_error *err) {
    const eet_facts *facts = &writer->plan.facts;

    for (int32_t i = 0; i < writer->count; i++) {
        eet_planned *t = &writer->tensors[i];
        const int32_t layer = t->declared.layer;
        const bool of_head = t->declared.role >> 8 == EET_GROUP_HEAD;
        const bool there = !of_head || (layer >= 0 && layer < facts->heads);

        if (!there ||
            eet_slot_name(t->declared.role, layer, of_head ? facts->head[layer].name : NULL,
                          t->name, sizeof t->name) == 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "tensor %d of the plan (role %04x) is of head %d, which the facts "
                            "have not",
                            (int)i, t->declared.role, (int)layer);
        }
    }
    return EET_OK;
}

/* Places the tensors in DATA in the order of declaration; *bytes is the size of DATA. */
static eet_status place_tensors(eet_writer *writer, uint64_t *bytes, eet_error *err) {
    uint64_t at = 0;

    for (int32_t i = 0; i < writer->count; i++) {
        eet_planned *t = &writer->tensors[i];
        const uint64_t align = t->bytes >= EET_LARGE_BYTES ? EET_LARGE_ALIGN : EET_TENSOR_ALIGN;

        if (t->declared.alias_of >= 0) {
            t->offset = writer->tensors[t->declared.alias_of].offset;
            continue;
        }
        /* Each is below 2^46 and there are at most 2^20: this cannot wrap before the check. */
        at = (at + align - 1) & ~(align - 1);
        t->offset = at;
        at += t->bytes;
        if (at > UINT64_C(1) << EET_MAX_FILE_LOG2) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "the tensors take more than 2^%d bytes",
                            EET_MAX_FILE_LOG2);
        }
    }
    *bytes = at;
    return EET_OK;
}

static int by_name(const void *left, const void *right, void *context) {
    const eet_planned *tensors = context;

    return strcmp(tensors[*(const int32_t *)left].name, tensors[*(const int32_t *)right].name);
}

static eet_disk_tensor entry_of(const eet_writer *writer, const eet_planned *t) {
    const int32_t alias = t->declared.alias_of;
    uint32_t flags = EET_TENSOR_REQUIRED;

    flags |= alias >= 0 ? (uint32_t)EET_TENSOR_ALIAS : 0;
    flags |= t->declared.synth ? (uint32_t)EET_TENSOR_SYNTH : 0;
    eet_disk_tensor entry = {.name_len = (uint16_t)strlen(t->name),
                             .dtype = (uint8_t)t->declared.dtype,
                             .rank = (uint8_t)t->declared.rank,
                             .offset = t->offset,
                             .nbytes = t->bytes,
                             .role = t->declared.role,
                             .layer = t->declared.layer,
                             .flags = flags,
                             .alias_of = alias >= 0 ? writer->tensors[alias].entry : EET_NO_TENSOR,
                             .quant = EET_NO_TENSOR};

    for (int i = 0; i < EET_MAX_RANK; i++) {
        entry.dims[i] = i < t->declared.rank ? t->declared.dims[i] : 1;
    }
    return entry;
}

/* NAME and TENS, and the names as the checks want them. */
static void fill_directory(eet_writer *writer, const int32_t *sorted) {
    eet_file *plan = &writer->plan;
    eet_disk_tensor *directory = (eet_disk_tensor *)(void *)plan->tensors.bytes;
    uint32_t text = 0;
    uint32_t name = 0;

    for (int32_t i = 0; i < writer->count; i++) {
        writer->tensors[sorted[i]].entry = (uint32_t)i;
    }
    for (int32_t i = 0; i < writer->count; i++) {
        const eet_planned *t = &writer->tensors[sorted[i]];

        directory[i] = entry_of(writer, t);
        directory[i].name_off = name;
        memcpy(plan->names.bytes + name, t->name, directory[i].name_len);
        memcpy(plan->name_text + text, t->name, directory[i].name_len + UINT64_C(1));
        plan->name_at[i] = text;
        name += directory[i].name_len;
        text += directory[i].name_len + 1U;
    }
    for (int32_t i = 0; i < writer->count; i++) {
        if (writer->tensors[i].declared.alias_of < 0) {
            plan->by_offset[plan->data_count++] = writer->tensors[i].entry;
        }
    }
    plan->names.size = name;
    plan->directory = directory;
}

static eet_status make_directory(eet_writer *writer, eet_error *err) {
    eet_file *plan = &writer->plan;
    const size_t count = (size_t)writer->count;
    int32_t *sorted = malloc((count + 1) * sizeof *sorted);
    eet_disk_tensor *directory = calloc(count + 1, sizeof *directory);

    plan->header.tensor_count = (uint32_t)count;
    plan->tensors.size = count * sizeof(eet_disk_tensor);
    plan->tensors.bytes = (uint8_t *)directory;
    plan->names.bytes = malloc(count * EET_MAX_NAME + 1);
    plan->name_text = malloc(count * (EET_MAX_NAME + 1) + 1);
    plan->name_at = malloc((count + 1) * sizeof *plan->name_at);
    plan->by_offset = malloc((count + 1) * sizeof *plan->by_offset);
    if (sorted == NULL || plan->tensors.bytes == NULL || plan->names.bytes == NULL ||
        plan->name_text == NULL || plan->name_at == NULL || plan->by_offset == NULL) {
        free(sorted);
        return no_memory(err);
    }
    for (int32_t i = 0; i < writer->count; i++) {
        sorted[i] = i;
    }
    qsort_r(sorted, count, sizeof *sorted, by_name, writer->tensors);
    fill_directory(writer, sorted);
    free(sorted);
    return EET_OK;
}

static int by_asset_name(const void *left, const void *right) {
    return strcmp(((const eet_carried *)left)->name, ((const eet_carried *)right)->name);
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

/* Section ASST: the table, the names, the bytes (file.h, eet_disk_asset). */
static eet_status make_assets(eet_writer *writer, eet_error *err) {
    const size_t count = (size_t)writer->asset_count;
    const uint32_t head[2] = {(uint32_t)count, 0};
    uint64_t name_at = EET_ASSET_HEAD + count * sizeof(eet_disk_asset);
    eet_sha256 *hash = eet_sha256_create();
    uint64_t end = name_at;

    qsort(writer->assets, count, sizeof writer->assets[0], by_asset_name);
    for (size_t i = 0; i < count; i++) {
        end += strlen(writer->assets[i].name);
    }
    uint64_t at = end;

    for (size_t i = 0; i < count; i++) {
        end = padded(end) + writer->assets[i].size;
    }
    writer->asset_bytes = end;
    writer->asset_block = calloc(1, (size_t)end);
    if (hash == NULL || writer->asset_block == NULL) {
        eet_sha256_free(hash);
        return no_memory(err);
    }
    memcpy(writer->asset_block, head, sizeof head);
    for (size_t i = 0; i < count; i++) {
        const eet_carried *from = &writer->assets[i];
        eet_disk_asset asset = {.kind =
                                    from->functional ? EET_ASSET_FUNCTIONAL : EET_ASSET_INFORMATIVE,
                                .name_len = (uint16_t)strlen(from->name),
                                .off = padded(at),
                                .len = from->size,
                                .name_off = name_at};

        eet_sha256_add(hash, from->bytes, from->size);
        eet_sha256_finish(hash, asset.sha256);
        memcpy(writer->asset_block + EET_ASSET_HEAD + i * sizeof asset, &asset, sizeof asset);
        memcpy(writer->asset_block + name_at, from->name, asset.name_len);
        memcpy(writer->asset_block + asset.off, from->bytes, (size_t)from->size);
        name_at += asset.name_len;
        at = asset.off + asset.len;
    }
    eet_sha256_free(hash);
    return EET_OK;
}

/* Puts a section behind those that are planned; at its end stands the file's. */
static void add_section(eet_file *plan, uint32_t type, uint16_t flags, uint64_t bytes,
                        uint64_t align) {
    const uint64_t start = (plan->size + align - 1) & ~(align - 1);

    plan->sections[plan->header.section_count++] =
        (eet_disk_section){.type = type,
                           .flags = flags,
                           .codec = EET_CODEC_RAW,
                           .align_log2 = (uint8_t)__builtin_ctzll(align),
                           .offset = start,
                           .stored_bytes = bytes,
                           .raw_bytes = bytes,
                           .sec_ver_major = 1};
    plan->size = start + bytes;
}

static eet_status place_sections(eet_writer *writer, uint64_t data_bytes, eet_error *err) {
    eet_file *plan = &writer->plan;

    plan->sections = calloc(MAX_PLANNED, sizeof *plan->sections);
    if (plan->sections == NULL) {
        return no_memory(err);
    }
    plan->size = EET_PAGE;
    add_section(plan, EET_SECTION_META, EET_SECTION_REQUIRED, plan->meta.size, EET_PAGE);
    add_section(plan, EET_SECTION_NAME, EET_SECTION_REQUIRED, plan->names.size, EET_PAGE);
    add_section(plan, EET_SECTION_TENS, EET_SECTION_REQUIRED, plan->tensors.size, EET_PAGE);
    if (writer->asset_count > 0) {
        add_section(plan, EET_SECTION_ASST, 0, writer->asset_bytes, EET_PAGE);
    }
    if (plan->prov.bytes != NULL) {
        add_section(plan, EET_SECTION_PROV, 0, plan->prov.size, EET_PAGE);
    }
    add_section(plan, EET_SECTION_DATA, EET_SECTION_REQUIRED | EET_SECTION_TENSOR_DATA, data_bytes,
                writer->options.data_align);
    eet_disk_tensor *directory = (eet_disk_tensor *)(void *)plan->tensors.bytes;

    for (uint32_t i = 0; i < plan->header.tensor_count; i++) {
        directory[i].section = (uint16_t)(plan->header.section_count - 1);
    }
    return eet_align_u64(plan->size, EET_PAGE, &plan->size) ? EET_OK : no_memory(err);
}

eet_status eet_writer_plan(eet_writer *writer, eet_error *err) {
    uint64_t data_bytes = 0;

    if (writer->state != EET_WRITER_DECLARING || !writer->has_facts) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE, "a plan follows the facts, and once");
    }
    writer->state = EET_WRITER_FAILED;
    eet_status status = name_tensors(writer, err);

    if (status == EET_OK) {
        status = place_tensors(writer, &data_bytes, err);
    }
    if (status == EET_OK) {
        status = make_directory(writer, err);
    }
    if (status == EET_OK && writer->asset_count > 0) {
        status = make_assets(writer, err);
    }
    if (status == EET_OK) {
        status = place_sections(writer, data_bytes, err);
    }
    if (status == EET_OK) {
        status = eet_file_bind(&writer->plan, err);
    }
    writer->state = status == EET_OK ? EET_WRITER_PLANNED : EET_WRITER_FAILED;
    return status;
}
