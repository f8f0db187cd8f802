/* writer.c - what a writer is told before it writes: facts, provenance, assets,
 * tensors. */
#include "format/writer.h"

#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/slots.h"
#include "format/writer_parts.h"

enum { MAX_DATA_ALIGN = 2 << 20 };

static eet_status misuse(eet_error *err, const char *what) {
    return eet_fail(err, EET_E_STATE, EET_NOWHERE, "%s", what);
}

eet_status eet_writer_create(const char *path, const eet_writer_options *options, eet_writer **out,
                             eet_error *err) {
    const eet_writer_options chosen = options != NULL ? *options : (eet_writer_options){0};
    const uint64_t align = chosen.data_align != 0 ? chosen.data_align : EET_PAGE;

    if (align < EET_PAGE || align > MAX_DATA_ALIGN || (align & (align - 1)) != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "data is aligned to a power of two between 4096 and 2097152, not %llu",
                        (unsigned long long)align);
    }
    eet_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a writer");
    }
    writer->options = chosen;
    writer->options.data_align = align;
    writer->plan.fd = -1;
    const eet_status status = eet_target_set(&writer->target, path, err);

    if (status != EET_OK) {
        eet_writer_free(writer);
        return status;
    }
    *out = writer;
    return EET_OK;
}

/* What eet_file_close would free, from within the writer. */
static void free_plan(eet_file *plan) {
    eet_kv_close(&plan->meta_view);
    eet_facts_release(&plan->facts);
    free(plan->sections);
    free(plan->meta.bytes);
    free(plan->names.bytes);
    free(plan->tensors.bytes);
    free(plan->prov.bytes);
    free(plan->name_text);
    free(plan->name_at);
    free(plan->by_role);
    free(plan->by_offset);
}

void eet_writer_free(eet_writer *writer) {
    if (writer == NULL) {
        return;
    }
    eet_hasher_free(writer->hasher);
    eet_xxh3_free(writer->stream);
    eet_target_drop(&writer->target);
    free_plan(&writer->plan);
    for (int32_t i = 0; i < writer->asset_count; i++) {
        free(writer->assets[i].bytes);
    }
    free(writer->asset_block);
    free(writer->tensors);
    free(writer);
}

eet_status eet_writer_facts(eet_writer *writer, const eet_facts *facts, eet_error *err) {
    eet_file *plan = &writer->plan;
    eet_status status = eet_facts_check(facts, err);

    if (status == EET_OK && (writer->has_facts || writer->state != EET_WRITER_DECLARING)) {
        status = misuse(err, "the facts are declared once, before the plan");
    }
    if (status != EET_OK) {
        return status;
    }
    eet_kv_builder *builder = eet_kv_builder_create();

    eet_facts_encode(facts, builder);
    status = eet_kv_build(builder, &plan->meta.bytes, &plan->meta.size, err);
    eet_kv_builder_free(builder);
    if (status == EET_OK) {
        status = eet_kv_open(plan->meta.bytes, plan->meta.size, 0, &plan->meta_view, err);
    }
    if (status == EET_OK) {
        status = eet_facts_decode(&plan->meta_view, 0, &plan->facts, err);
    }
    writer->has_facts = status == EET_OK;
    return status;
}

eet_status eet_writer_provenance(eet_writer *writer, const eet_kv_builder *prov, eet_error *err) {
    eet_block *block = &writer->plan.prov;
    eet_block later = {0};

    if (block->bytes != NULL && writer->state == EET_WRITER_BEGUN) {
        const eet_status status = eet_kv_build(prov, &later.bytes, &later.size, err);

        if (status == EET_OK && later.size == block->size) {
            memcpy(block->bytes, later.bytes, (size_t)later.size);
        }
        free(later.bytes);
        return status == EET_OK && later.size != block->size
                   ? misuse(err, "provenance that replaces another has its size")
                   : status;
    }
    if (block->bytes != NULL || writer->state != EET_WRITER_DECLARING) {
        return misuse(err, "provenance is declared before the plan");
    }
    return eet_kv_build(prov, &block->bytes, &block->size, err);
}

static bool asset_name_is_good(const char *name) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t length = strlen(name);

    return length >= 1 && length <= EET_MAX_ASSET_NAME && name[0] != '.' &&
           strspn(name, letters) == length;
}

/* Why an asset cannot be carried, or NULL. */
static const char *asset_fault(const eet_writer *writer, const char *name, uint64_t size) {
    if (!asset_name_is_good(name)) {
        return "its name is not [A-Za-z0-9_-][A-Za-z0-9._-]*";
    }
    if (size > EET_MAX_ASSET) {
        return "it is larger than 256 MiB";
    }
    if (writer->asset_count == EET_MAX_ASSETS) {
        return "256 assets are in already";
    }
    for (int32_t i = 0; i < writer->asset_count; i++) {
        if (strcmp(writer->assets[i].name, name) == 0) {
            return "one of its name is in already";
        }
    }
    return NULL;
}

eet_status eet_writer_asset(eet_writer *writer, const char *name, bool functional,
                            const void *bytes, uint64_t size, eet_error *err) {
    const char *fault = asset_fault(writer, name, size);

    if (writer->state != EET_WRITER_DECLARING) {
        return misuse(err, "assets are declared before the plan");
    }
    if (fault != NULL) {
        eet_shown shown;

        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "asset \"%s\": %s",
                        eet_show(&shown, name, strlen(name)), fault);
    }
    eet_carried *asset = &writer->assets[writer->asset_count];

    asset->bytes = malloc((size_t)size + 1);
    if (asset->bytes == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for asset \"%s\"", name);
    }
    if (size > 0) {
        memcpy(asset->bytes, bytes, (size_t)size);
    }
    asset->size = size;
    asset->functional = functional;
    strncpy(asset->name, name, sizeof asset->name - 1);
    writer->asset_count++;
    return EET_OK;
}

static eet_status make_room(eet_writer *writer, eet_error *err) {
    if (writer->count < writer->room) {
        return EET_OK;
    }
    if (writer->count == EET_MAX_TENSORS) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "more than %d tensors", EET_MAX_TENSORS);
    }
    const int32_t room = writer->room == 0 ? 64 : writer->room * 2;
    eet_planned *tensors = realloc(writer->tensors, (size_t)room * sizeof *tensors);

    if (tensors == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the plan of a file");
    }
    writer->tensors = tensors;
    writer->room = room;
    return EET_OK;
}

/* Bytes of a declared shape; false when it is none. */
static bool declared_bytes(const eet_writer_tensor *t, uint64_t *out) {
    uint64_t bits = eet_dtype_bits((eet_dtype)t->dtype);

    if (t->rank < 0 || t->rank > EET_MAX_RANK || bits == 0) {
        return false;
    }
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->dims[i] == 0 || t->dims[i] > UINT64_C(1) << EET_MAX_TENSOR_DIM_LOG2 ||
            !eet_mul_u64(bits, t->dims[i], &bits)) {
            return false;
        }
    }
    *out = bits / 8 + (bits % 8 != 0 ? 1 : 0);
    return *out <= UINT64_C(1) << EET_MAX_FILE_LOG2;
}

static bool alias_is_good(const eet_writer *writer, const eet_writer_tensor *alias) {
    if (alias->alias_of < 0 || alias->alias_of >= writer->count) {
        return alias->alias_of == -1;
    }
    const eet_writer_tensor *t = &writer->tensors[alias->alias_of].declared;

    return t->alias_of < 0 && t->dtype == alias->dtype && t->rank == alias->rank &&
           memcmp(t->dims, alias->dims, (size_t)t->rank * sizeof t->dims[0]) == 0;
}

eet_status eet_writer_tensor_add(eet_writer *writer, const eet_writer_tensor *tensor,
                                 int32_t *number, eet_error *err) {
    eet_planned planned = {.declared = *tensor};

    if (writer->state != EET_WRITER_DECLARING) {
        return misuse(err, "tensors are declared before the plan");
    }
    if (!eet_role_known(tensor->role) || !declared_bytes(tensor, &planned.bytes) ||
        !alias_is_good(writer, tensor)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "tensor %d of the plan (role %04x, layer %d) has an unknown role, a "
                        "malformed shape or a wrong alias",
                        (int)writer->count, tensor->role, tensor->layer);
    }
    const eet_status status = make_room(writer, err);

    if (status != EET_OK) {
        return status;
    }
    *number = writer->count;
    writer->tensors[writer->count++] = planned;
    return EET_OK;
}

int32_t eet_writer_next(const eet_writer *writer, int32_t number) {
    while (number < writer->count && writer->tensors[number].declared.alias_of >= 0) {
        number++;
    }
    return number;
}

uint64_t eet_writer_bytes(const eet_writer *writer) {
    return writer->plan.size;
}

const uint8_t *eet_writer_content_sha256(const eet_writer *writer) {
    return writer->plan.header.content_sha256;
}

const eet_live_path *eet_writer_temporary(const eet_writer *writer) {
    return &writer->target.live;
}
