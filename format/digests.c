/* digests.c - the two digests of a file's header, from the digests of its parts. */
#include <string.h>

#include "format/sha256.h"
#include "format/verify.h"
#include "format/verify_parts.h"

static void add_u16(eet_sha256 *hash, uint16_t value) {
    eet_sha256_add(hash, &value, sizeof value);
}

static void add_name(eet_sha256 *hash, const char *name) {
    const uint16_t length = (uint16_t)strlen(name);

    add_u16(hash, length);
    eet_sha256_add(hash, name, length);
}

static void add_tensor(eet_sha256 *hash, const eet_file *file, uint32_t index) {
    const eet_disk_tensor *t = &file->directory[index];
    const bool alias = t->alias_of != EET_NO_TENSOR;

    add_name(hash, file->name_text + file->name_at[index]);
    eet_sha256_add(hash, &t->dtype, sizeof t->dtype);
    eet_sha256_add(hash, &t->rank, sizeof t->rank);
    eet_sha256_add(hash, &t->role, sizeof t->role);
    eet_sha256_add(hash, &t->layer, sizeof t->layer);
    eet_sha256_add(hash, t->dims, sizeof t->dims[0] * t->rank);
    eet_sha256_add(hash, &t->layout, sizeof t->layout);
    eet_sha256_add(hash, &t->flags, sizeof t->flags);
    add_name(hash, alias ? file->name_text + file->name_at[t->alias_of] : "");
    eet_sha256_add(hash, t->sha256, sizeof t->sha256);
}

/* VOCB, then functional assets: type, name (VOCB has none), SHA-256 of the raw bytes. */
static eet_status add_vocabularies(eet_sha256 *hash, const eet_file *file, eet_error *err) {
    for (uint32_t i = 0; i < file->header.section_count; i++) {
        const eet_disk_section *s = &file->sections[i];
        uint8_t digest[32];

        if (s->type != EET_SECTION_VOCB) {
            continue;
        }
        const eet_status status = eet_file_section_sha256(file, s, digest, err);

        if (status != EET_OK) {
            return status;
        }
        eet_sha256_add(hash, &s->type, sizeof s->type);
        add_name(hash, "");
        eet_sha256_add(hash, digest, sizeof digest);
    }
    return EET_OK;
}

static void add_assets(eet_sha256 *hash, const eet_file *file) {
    const uint32_t type = EET_SECTION_ASST;

    for (int32_t i = 0; i < eet_file_assets(file); i++) {
        const eet_disk_asset asset = eet_file_disk_asset(file, i);

        if (asset.kind == EET_ASSET_FUNCTIONAL) {
            eet_sha256_add(hash, &type, sizeof type);
            add_u16(hash, asset.name_len);
            eet_sha256_add(hash, file->assets.bytes + asset.name_off, asset.name_len);
            eet_sha256_add(hash, asset.sha256, sizeof asset.sha256);
        }
    }
}

eet_status eet_file_digests(const eet_file *file, uint8_t content[32], uint8_t weights[32],
                            eet_error *err) {
    eet_sha256 *hash = eet_sha256_create();
    uint8_t meta[32];

    if (hash == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a digest");
    }
    eet_sha256_add(hash, file->meta.bytes, file->meta.size);
    eet_sha256_finish(hash, meta);
    eet_sha256_add(hash, "EETW\1", 5);
    for (uint32_t i = 0; i < file->header.tensor_count; i++) {
        add_tensor(hash, file, i);
    }
    eet_sha256_finish(hash, weights);
    eet_sha256_add(hash, "EETC\1", 5);
    add_u16(hash, EET_VERSION_MAJOR);
    eet_sha256_add(hash, meta, sizeof meta);
    eet_sha256_add(hash, weights, 32);
    const eet_status status = add_vocabularies(hash, file, err);

    if (status == EET_OK) {
        add_assets(hash, file);
        eet_sha256_finish(hash, content);
    }
    eet_sha256_free(hash);
    return status;
}
