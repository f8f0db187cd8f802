/* verify.c - level 2: SHA-256 of everything, zero padding, assets. */
#include "format/verify.h"

#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/deflate.h"
#include "format/sha256.h"
#include "format/verify_parts.h"

static const char *section_name(const eet_disk_section *s, eet_shown *shown) {
    return eet_show(shown, (const char *)&s->type, 4);
}

eet_status eet_file_section_raw(const eet_file *file, const eet_disk_section *section,
                                const uint8_t **raw, uint8_t **owned, eet_error *err) {
    const uint8_t *stored = file->bytes + section->offset;
    eet_shown shown;

    *owned = NULL;
    *raw = stored;
    if (section->codec == EET_CODEC_RAW) {
        return EET_OK;
    }
    uint8_t *buffer = malloc((size_t)section->raw_bytes + 1);

    if (buffer == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for section \"%s\"",
                        section_name(section, &shown));
    }
    const eet_status status =
        eet_inflate(stored, section->stored_bytes, buffer, section->raw_bytes, false, err);

    if (status != EET_OK) {
        free(buffer);
        return status;
    }
    *raw = buffer;
    *owned = buffer;
    return EET_OK;
}

static eet_status sha256_of(const void *bytes, uint64_t size, uint8_t digest[32], eet_error *err) {
    eet_sha256 *hash = eet_sha256_create();

    if (hash == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a digest");
    }
    eet_sha256_add(hash, bytes, size);
    eet_sha256_finish(hash, digest);
    eet_sha256_free(hash);
    return EET_OK;
}

eet_status eet_file_section_sha256(const eet_file *file, const eet_disk_section *section,
                                   uint8_t digest[32], eet_error *err) {
    const uint8_t *raw = NULL;
    uint8_t *owned = NULL;
    eet_status status = eet_file_section_raw(file, section, &raw, &owned, err);

    if (status == EET_OK) {
        status = sha256_of(raw, section->raw_bytes, digest, err);
    }
    free(owned);
    return status;
}

eet_status eet_file_sha256(const eet_file *file, uint8_t digest[32], eet_error *err) {
    return sha256_of(file->bytes, file->size, digest, err);
}

eet_status eet_file_unpack_assets(eet_file *file, eet_error *err) {
    const eet_disk_section *s = eet_file_section_of(file, EET_SECTION_ASST);
    const uint8_t *raw = NULL;
    uint8_t *owned = NULL;

    if (s == NULL || s->codec == EET_CODEC_RAW || file->assets_inflated) {
        return EET_OK;
    }
    eet_status status = eet_file_section_raw(file, s, &raw, &owned, err);
    const eet_block block = {owned, s->raw_bytes, s->offset};

    if (status == EET_OK) {
        status = eet_file_check_assets(&block, s->raw_bytes, err);
    }
    if (status != EET_OK) {
        free(owned);
        return status;
    }
    file->assets = block;
    file->assets_inflated = true;
    return eet_file_name_assets(file, err);
}

/* PROV is read at level 0 unless it is compressed. */
eet_status eet_file_unpack_provenance(eet_file *file, eet_error *err) {
    const eet_disk_section *s = eet_file_section_of(file, EET_SECTION_PROV);
    const uint8_t *raw = NULL;
    uint8_t *owned = NULL;

    if (s == NULL || file->has_prov) {
        return EET_OK;
    }
    eet_status status = eet_file_section_raw(file, s, &raw, &owned, err);

    if (status == EET_OK) {
        status = eet_kv_open(raw, s->raw_bytes, s->offset, &file->prov_view, err);
    }
    if (status != EET_OK) {
        free(owned);
        return status;
    }
    file->prov = (eet_block){owned, s->raw_bytes, s->offset};
    file->has_prov = true;
    return EET_OK;
}

/* An asset's bytes in place. */
static const uint8_t *asset_bytes(const eet_file *file, const eet_disk_asset *asset) {
    if (file->assets_inflated) {
        return file->assets.bytes + asset->off;
    }
    return file->bytes + file->assets.base + asset->off;
}

static eet_status check_asset(const eet_file *file, int32_t index, const uint8_t *bytes,
                              eet_error *err) {
    const eet_disk_asset asset = eet_file_disk_asset(file, index);
    uint8_t digest[32];
    const eet_status status = sha256_of(bytes, asset.len, digest, err);

    if (status == EET_OK && memcmp(digest, asset.sha256, sizeof digest) != 0) {
        return eet_fail(err, EET_E_CORRUPT, file->assets.base,
                        "asset \"%s\": its SHA-256 is wrong; the file is damaged",
                        eet_file_asset_at(file, index).name);
    }
    return status;
}

eet_status eet_file_check_asset(const eet_file *file, int32_t index, eet_error *err) {
    const eet_disk_asset asset = eet_file_disk_asset(file, index);

    return check_asset(file, index, asset_bytes(file, &asset), err);
}

eet_status eet_file_asset_read(const eet_file *file, int32_t index, uint8_t **out, uint64_t *bytes,
                               eet_error *err) {
    if (index < 0 || index >= eet_file_assets(file)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "no asset %d", (int)index);
    }
    const eet_disk_asset asset = eet_file_disk_asset(file, index);
    uint8_t *copy = malloc((size_t)asset.len + 1);

    if (copy == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for asset \"%s\"",
                        eet_file_asset_at(file, index).name);
    }
    memcpy(copy, asset_bytes(file, &asset), (size_t)asset.len);
    copy[asset.len] = 0; /* so that text ends */
    const eet_status status = check_asset(file, index, copy, err);

    if (status != EET_OK) {
        free(copy);
        return status;
    }
    *out = copy;
    *bytes = asset.len;
    return EET_OK;
}

/* ---- level 2 ------------------------------------------------------------- */

static eet_status check_zero(const eet_file *file, uint64_t from, uint64_t to, eet_error *err) {
    for (uint64_t at = from; at < to; at++) {
        if (file->bytes[at] != 0) {
            return eet_fail(err, EET_E_CORRUPT, at, "padding at byte %llu is not zero",
                            (unsigned long long)at);
        }
    }
    return EET_OK;
}

/* The holes between the tensors of one DATA section, [start, end) in the file. */
static eet_status check_holes(const eet_file *file, uint32_t section, eet_error *err) {
    const eet_disk_section *s = &file->sections[section];
    uint64_t end = s->offset;

    for (uint32_t i = 0; i < file->data_count; i++) {
        const eet_disk_tensor *t = &file->directory[file->by_offset[i]];

        if (t->section != section) {
            continue;
        }
        const eet_status status = check_zero(file, end, s->offset + t->offset, err);

        if (status != EET_OK) {
            return status;
        }
        end = s->offset + t->offset + t->nbytes;
    }
    return check_zero(file, end, s->offset + s->stored_bytes, err);
}

static eet_status check_padding(const eet_file *file, eet_error *err) {
    uint64_t end = EET_PAGE;
    eet_status status = EET_OK;

    for (uint32_t i = 0; status == EET_OK && i < file->header.section_count; i++) {
        const eet_disk_section *s = &file->sections[i];

        status = check_zero(file, end, s->offset, err);
        if (status == EET_OK && s->type == EET_SECTION_DATA) {
            status = check_holes(file, i, err);
        }
        end = s->offset + s->stored_bytes;
    }
    return status == EET_OK ? check_zero(file, end, file->size, err) : status;
}

eet_status eet_file_check_tensor(const eet_file *file, int32_t index, eet_error *err) {
    const eet_file_tensor t = eet_file_tensor_at(file, index);
    uint8_t digest[32];
    const eet_status status = sha256_of(t.data, t.bytes, digest, err);

    if (status == EET_OK && memcmp(digest, t.sha256, sizeof digest) != 0) {
        return eet_fail(err, EET_E_CORRUPT, t.offset,
                        "tensor \"%s\": its SHA-256 is wrong; the file is damaged", t.name);
    }
    return status;
}

static eet_status check_tensors(const eet_file *file, eet_error *err) {
    eet_status status = EET_OK;

    for (uint32_t i = 0; status == EET_OK && i < file->data_count; i++) {
        status = eet_file_check_tensor(file, (int32_t)file->by_offset[i], err);
    }
    return status;
}

/* The stored bytes of every section that level 0 left alone. */
static eet_status check_sections(const eet_file *file, eet_error *err) {
    for (uint32_t i = 0; i < file->header.section_count; i++) {
        const eet_disk_section *s = &file->sections[i];
        eet_shown shown;

        if (s->type == EET_SECTION_DATA) {
            continue;
        }
        const eet_xxh3 hash = eet_xxh3_128(file->bytes + s->offset, s->stored_bytes);

        if (memcmp(hash.word, s->xxh3_128, sizeof hash.word) != 0) {
            return eet_fail(err, EET_E_CORRUPT, s->offset,
                            "section \"%s\": its checksum is wrong; the file is damaged",
                            section_name(s, &shown));
        }
    }
    return EET_OK;
}

eet_status eet_file_check_digests(const eet_file *file, eet_error *err) {
    uint8_t content[32];
    uint8_t weights[32];
    const eet_status status = eet_file_digests(file, content, weights, err);

    if (status != EET_OK) {
        return status;
    }
    if (memcmp(weights, file->header.weights_sha256, sizeof weights) != 0) {
        return eet_fail(err, EET_E_CORRUPT, 80, "the digest of the weights is wrong");
    }
    if (memcmp(content, file->header.content_sha256, sizeof content) != 0) {
        return eet_fail(err, EET_E_CORRUPT, 48, "the digest of the content is wrong");
    }
    return EET_OK;
}

eet_status eet_file_verify(eet_file *file, eet_error *err) {
    eet_status status = check_sections(file, err);

    if (status == EET_OK) {
        status = eet_file_unpack_assets(file, err);
    }
    for (int32_t i = 0; status == EET_OK && i < eet_file_assets(file); i++) {
        status = eet_file_check_asset(file, i, err);
    }
    if (status == EET_OK) {
        status = eet_file_unpack_provenance(file, err);
    }
    if (status == EET_OK) {
        status = check_padding(file, err);
    }
    if (status == EET_OK) {
        status = check_tensors(file, err);
    }
    return status == EET_OK ? eet_file_check_digests(file, err) : status;
}
