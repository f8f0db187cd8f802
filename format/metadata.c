/* metadata.c - brings META, NAME, PROV and the table of assets into the heap and
 * checks them there. */
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/file.h"

enum { MAX_ASSET_TABLE = EET_ASSET_HEAD + EET_MAX_ASSETS * (64 + EET_MAX_ASSET_NAME) };

static const char *section_name(const eet_disk_section *s, eet_shown *shown) {
    return eet_show(shown, (const char *)&s->type, 4);
}

/* Copies the first `bytes` bytes of a section. */
static eet_status copy_head(const eet_file *file, const eet_disk_section *s, uint64_t bytes,
                            eet_block *out, eet_error *err) {
    eet_shown shown;
    uint8_t *copy = malloc((size_t)bytes + 1);

    if (copy == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for section \"%s\"",
                        section_name(s, &shown));
    }
    *out = (eet_block){copy, bytes, s->offset};
    return eet_file_read(file, s->offset, copy, bytes, err);
}

/* Copies a whole section and compares it with its hash. */
static eet_status copy_section(const eet_file *file, const eet_disk_section *s, uint64_t limit,
                               eet_block *out, eet_error *err) {
    eet_shown shown;

    if (s->stored_bytes > limit) {
        return eet_fail(err, EET_E_LIMIT, s->offset, "section \"%s\" has %llu bytes; at most %llu",
                        section_name(s, &shown), (unsigned long long)s->stored_bytes,
                        (unsigned long long)limit);
    }
    const eet_status status = copy_head(file, s, s->stored_bytes, out, err);

    if (status != EET_OK) {
        return status;
    }
    const eet_xxh3 hash = eet_xxh3_128(out->bytes, out->size);

    if (memcmp(hash.word, s->xxh3_128, sizeof hash.word) != 0) {
        return eet_fail(err, EET_E_CORRUPT, s->offset, "section \"%s\": its checksum is wrong",
                        section_name(s, &shown));
    }
    return EET_OK;
}

static bool asset_name_is_good(const char *name, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) {
        const char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return length > 0 && length <= EET_MAX_ASSET_NAME && name[0] != '.';
}

/* Is the name of entry `b` after that of `a`, byte by byte? */
static bool names_ascend(const uint8_t *bytes, const eet_disk_asset *a, const eet_disk_asset *b) {
    const size_t common = a->name_len < b->name_len ? a->name_len : b->name_len;
    const int order = memcmp(bytes + a->name_off, bytes + b->name_off, common);

    return order < 0 || (order == 0 && a->name_len < b->name_len);
}

static const char *asset_fault(const eet_block *block, const eet_disk_asset *a, uint64_t name_at,
                               const eet_disk_asset *before) {
    if ((a->kind != EET_ASSET_FUNCTIONAL && a->kind != EET_ASSET_INFORMATIVE) || a->zero != 0) {
        return "its kind is unknown";
    }
    if (a->name_off != name_at || !eet_within_u64(name_at, a->name_len, block->size)) {
        return "its name is misplaced";
    }
    if (!asset_name_is_good((const char *)block->bytes + name_at, a->name_len)) {
        return "its name is not [A-Za-z0-9_-][A-Za-z0-9._-]*";
    }
    if (before != NULL && !names_ascend(block->bytes, before, a)) {
        return "the names are not in ascending order";
    }
    return a->len > EET_MAX_ASSET ? "it is larger than 256 MiB" : NULL;
}

static eet_disk_asset asset_at(const eet_block *block, uint32_t index) {
    eet_disk_asset asset;

    memcpy(&asset, block->bytes + EET_ASSET_HEAD + sizeof asset * (size_t)index, sizeof asset);
    return asset;
}

/* The bytes of the assets: in the order of the table, each at the next multiple of 8. */
static eet_status check_extents(const eet_block *block, uint32_t count, uint64_t end,
                                uint64_t raw_bytes, eet_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        const eet_disk_asset asset = asset_at(block, i);

        end = (end + 7) & ~UINT64_C(7);
        if (asset.off != end || !eet_within_u64(end, asset.len, raw_bytes)) {
            return eet_fail(err, EET_E_CORRUPT, block->base + EET_ASSET_HEAD + 64 * (uint64_t)i,
                            "asset %u: its bytes are misplaced", i);
        }
        end += asset.len;
    }
    if (end != raw_bytes) {
        return eet_fail(err, EET_E_CORRUPT, block->base, "bytes after the last asset");
    }
    return EET_OK;
}

eet_status eet_file_check_assets(const eet_block *block, uint64_t raw_bytes, eet_error *err) {
    uint32_t head[2] = {0, 0};
    eet_disk_asset before = {0};

    if (block->size >= sizeof head) {
        memcpy(head, block->bytes, sizeof head);
    }
    if (head[0] > EET_MAX_ASSETS) {
        return eet_fail(err, EET_E_LIMIT, block->base, "%u assets; at most %d", head[0],
                        EET_MAX_ASSETS);
    }
    const uint64_t table = EET_ASSET_HEAD + sizeof before * (uint64_t)head[0];
    uint64_t name_at = table;

    if (head[1] != 0 || table > block->size) {
        return eet_fail(err, EET_E_CORRUPT, block->base, "the table of assets is malformed");
    }
    for (uint32_t i = 0; i < head[0]; i++) {
        const eet_disk_asset asset = asset_at(block, i);
        const char *fault = asset_fault(block, &asset, name_at, i > 0 ? &before : NULL);

        if (fault != NULL) {
            return eet_fail(err, EET_E_CORRUPT, block->base + EET_ASSET_HEAD + 64 * (uint64_t)i,
                            "asset %u: %s", i, fault);
        }
        name_at += asset.name_len;
        before = asset;
    }
    return check_extents(block, head[0], name_at, raw_bytes, err);
}

eet_disk_asset eet_file_disk_asset(const eet_file *file, int32_t index) {
    return asset_at(&file->assets, (uint32_t)index);
}

int32_t eet_file_assets(const eet_file *file) {
    uint32_t count = 0;

    if (file->assets.bytes != NULL) {
        memcpy(&count, file->assets.bytes, sizeof count);
    }
    return (int32_t)count;
}

eet_status eet_file_name_assets(eet_file *file, eet_error *err) {
    const int32_t count = eet_file_assets(file);

    file->asset_names = calloc((size_t)count + 1, EET_ASSET_NAME_ROOM);
    if (file->asset_names == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the names of assets");
    }
    for (int32_t i = 0; i < count; i++) {
        const eet_disk_asset asset = eet_file_disk_asset(file, i);

        memcpy(file->asset_names + (size_t)i * EET_ASSET_NAME_ROOM,
               file->assets.bytes + asset.name_off, asset.name_len);
    }
    return EET_OK;
}

eet_file_asset eet_file_asset_at(const eet_file *file, int32_t index) {
    const eet_disk_asset asset = eet_file_disk_asset(file, index);
    const size_t entry = EET_ASSET_HEAD + sizeof asset * (size_t)index;

    return (eet_file_asset){.name = file->asset_names + (size_t)index * EET_ASSET_NAME_ROOM,
                            .functional = asset.kind == EET_ASSET_FUNCTIONAL,
                            .bytes = asset.len,
                            .sha256 =
                                file->assets.bytes + entry + offsetof(eet_disk_asset, sha256)};
}

/* Assets may be large and are not needed to run: their table alone is read here, and checked
 * by its rules; its hash is level 2's. */
static eet_status load_assets(eet_file *file, eet_error *err) {
    const eet_disk_section *s = eet_file_section_of(file, EET_SECTION_ASST);

    if (s == NULL || s->codec != EET_CODEC_RAW) {
        return EET_OK;
    }
    const uint64_t bytes = s->stored_bytes < MAX_ASSET_TABLE ? s->stored_bytes : MAX_ASSET_TABLE;
    eet_status status = copy_head(file, s, bytes, &file->assets, err);

    if (status == EET_OK) {
        status = eet_file_check_assets(&file->assets, s->raw_bytes, err);
    }
    return status == EET_OK ? eet_file_name_assets(file, err) : status;
}

static eet_status load_provenance(eet_file *file, eet_error *err) {
    const eet_disk_section *s = eet_file_section_of(file, EET_SECTION_PROV);

    if (s == NULL || s->codec != EET_CODEC_RAW) {
        return EET_OK;
    }
    eet_status status = copy_section(file, s, EET_MAX_BLOCK, &file->prov, err);

    if (status == EET_OK) {
        status = eet_kv_open(file->prov.bytes, file->prov.size, s->offset, &file->prov_view, err);
    }
    file->has_prov = status == EET_OK;
    return status;
}

/* Records of a later version's quantisation: whole and unharmed is all that can be said. */
static eet_status check_quan(const eet_file *file, eet_error *err) {
    const eet_disk_section *s = eet_file_section_of(file, EET_SECTION_QUAN);
    const uint64_t limit = EET_MAX_TENSORS * (uint64_t)sizeof(eet_disk_quant);
    eet_block block = {0};

    if (s == NULL) {
        return EET_OK;
    }
    if (s->stored_bytes % sizeof(eet_disk_quant) != 0) {
        return eet_fail(err, EET_E_CORRUPT, s->offset, "section \"QUAN\" has a broken record");
    }
    const eet_status status = copy_section(file, s, limit, &block, err);

    free(block.bytes);
    return status;
}

eet_status eet_file_load_metadata(eet_file *file, eet_error *err) {
    const eet_disk_section *meta = eet_file_section_of(file, EET_SECTION_META);
    const eet_disk_section *name = eet_file_section_of(file, EET_SECTION_NAME);
    const eet_disk_section *tens = eet_file_section_of(file, EET_SECTION_TENS);
    eet_status status = copy_section(file, meta, EET_MAX_BLOCK, &file->meta, err);

    if (status == EET_OK) {
        status = copy_section(file, name, EET_MAX_BLOCK, &file->names, err);
    }
    if (status == EET_OK) {
        status = copy_section(file, tens, EET_MAX_TENSORS * (uint64_t)sizeof(eet_disk_tensor),
                              &file->tensors, err);
    }
    if (status == EET_OK) {
        status = check_quan(file, err);
    }
    if (status == EET_OK) {
        status =
            eet_kv_open(file->meta.bytes, file->meta.size, meta->offset, &file->meta_view, err);
    }
    if (status == EET_OK) {
        status = eet_facts_decode(&file->meta_view, meta->offset, &file->facts, err);
    }
    if (status == EET_OK) {
        status = load_provenance(file, err);
    }
    return status == EET_OK ? load_assets(file, err) : status;
}
