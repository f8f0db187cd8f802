/* image.c - a .eet file in memory that tests damage. */
#include "tests/format/image.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "format/checked.h"
#include "format/checksum.h"
#include "format/verify.h"
#include "tests/support/tmpfile.h"

eet_sample_model eet_image_tiny(void) {
    eet_sample_model model = eet_sample_decoder();
    eet_stack_facts *s = &model.facts.stack[EET_DEC];

    s->layers = 1;
    s->vocab_size = 20;
    s->vocab_rows = 20;
    s->types = 20;
    s->pos_rows = 8;
    s->tok_bos = 19;
    s->tok_eos = 19;
    return model;
}

void eet_image_write(const char *path, const eet_sample_model *model,
                     const eet_writer_options *options) {
    eet_writer *writer = NULL;
    eet_kv_builder *prov = eet_kv_builder_create();
    eet_error err;

    eet_error_clear(&err);
    eet_kv_set_string(prov, "conv.version", 0, "0.1.0");
    ck_assert_int_eq(eet_writer_create(path, options, &writer, &err), EET_OK);
    eet_sample_declare(writer, model);
    ck_assert_int_eq(eet_writer_provenance(writer, prov, &err), EET_OK);
    ck_assert_int_eq(eet_writer_asset(writer, "vocab.txt", true, "a\nb\n", 4, &err), EET_OK);
    ck_assert_int_eq(eet_writer_asset(writer, "config.json", false, "{\"a\": 1}", 8, &err), EET_OK);
    ck_assert_msg(eet_writer_plan(writer, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_writer_begin(writer, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_sample_stream(writer, model, 1 << 20, &err) == EET_OK, "%s", err.text);
    ck_assert_msg(eet_writer_commit(writer, &err) == EET_OK, "%s", err.text);
    eet_kv_builder_free(prov);
    eet_writer_free(writer);
}

eet_image eet_image_make(const eet_sample_model *model) {
    const eet_writer_options options = {.force = true, .no_sync = true};
    const eet_tmp path = eet_tmp_path("image.eet");
    eet_image image = {0};
    size_t size = 0;

    eet_image_write(path.path, model, &options);
    unsigned char *bytes = eet_file_slurp(path.path, &size);
    const eet_image whole = {bytes, size};

    image = eet_image_copy(&whole);
    free(bytes);
    return image;
}

eet_image eet_image_copy(const eet_image *image) {
    eet_image copy = {malloc((size_t)image->size), image->size};

    ck_assert_ptr_nonnull(copy.bytes);
    memcpy(copy.bytes, image->bytes, (size_t)image->size);
    return copy;
}

void eet_image_free(eet_image *image) {
    free(image->bytes);
    image->bytes = NULL;
}

eet_disk_header *eet_image_header(const eet_image *image) {
    return (eet_disk_header *)(void *)image->bytes;
}

static eet_disk_section *sections_of(const eet_image *image) {
    return (eet_disk_section *)(void *)(image->bytes + sizeof(eet_disk_header));
}

eet_disk_section *eet_image_section(const eet_image *image, uint32_t type) {
    for (uint32_t i = 0; i < eet_image_header(image)->section_count; i++) {
        if (sections_of(image)[i].type == type) {
            return &sections_of(image)[i];
        }
    }
    ck_abort_msg("no such section");
}

eet_disk_tensor *eet_image_tensor(const eet_image *image, const char *name) {
    const eet_disk_section *names = eet_image_section(image, EET_SECTION_NAME);
    const eet_disk_section *tens = eet_image_section(image, EET_SECTION_TENS);
    eet_disk_tensor *t = (eet_disk_tensor *)(void *)(image->bytes + tens->offset);

    for (uint32_t i = 0; i < eet_image_header(image)->tensor_count; i++) {
        if (t[i].name_len == strlen(name) &&
            memcmp(image->bytes + names->offset + t[i].name_off, name, t[i].name_len) == 0) {
            return &t[i];
        }
    }
    ck_abort_msg("no tensor %s", name);
}

uint8_t *eet_image_value(const eet_image *image, const char *key) {
    const eet_disk_section *meta = eet_image_section(image, EET_SECTION_META);
    eet_kv_view view;
    eet_kv entry;

    ck_assert_int_eq(eet_kv_open(image->bytes + meta->offset, meta->stored_bytes, 0, &view, NULL),
                     EET_OK);
    ck_assert(eet_kv_find(&view, key, &entry));
    eet_kv_close(&view);
    return image->bytes + (entry.value - image->bytes);
}

eet_disk_section *eet_image_append(eet_image *image, uint32_t type, uint16_t flags,
                                   const void *data, uint64_t bytes) {
    const uint64_t pages = (bytes + EET_PAGE - 1) / EET_PAGE * EET_PAGE;
    uint8_t *grown = realloc(image->bytes, (size_t)(image->size + pages));

    ck_assert_ptr_nonnull(grown);
    memset(grown + image->size, 0, (size_t)pages);
    memcpy(grown + image->size, data, (size_t)bytes);
    image->bytes = grown;
    eet_disk_header *h = eet_image_header(image);
    eet_disk_section *s = &sections_of(image)[h->section_count++];

    *s = (eet_disk_section){.type = type,
                            .flags = flags,
                            .align_log2 = 12,
                            .offset = image->size,
                            .stored_bytes = bytes,
                            .raw_bytes = bytes,
                            .sec_ver_major = 1};
    image->size += pages;
    h->file_bytes = image->size;
    return s;
}

void eet_image_add_key(eet_image *image, const char *key, uint8_t type, uint8_t flags,
                       const void *value, uint32_t bytes) {
    eet_disk_section *meta = eet_image_section(image, EET_SECTION_META);
    const uint64_t room = eet_image_section(image, EET_SECTION_NAME)->offset - meta->offset;
    uint8_t *block = image->bytes + meta->offset;
    uint8_t *at = block + meta->stored_bytes;
    const uint16_t key_bytes = (uint16_t)strlen(key);
    const uint64_t value_at = (UINT64_C(8) + key_bytes + 7) & ~UINT64_C(7);
    const uint64_t end = (value_at + bytes + 7) & ~UINT64_C(7);
    uint32_t count = 0;

    ck_assert(meta->stored_bytes + end <= room);
    memcpy(&count, block, 4);
    count++;
    memcpy(block, &count, 4);
    memcpy(at, &key_bytes, 2);
    at[2] = type;
    at[3] = flags;
    memcpy(at + 4, &bytes, 4);
    memcpy(at + 8, key, key_bytes);
    memcpy(at + value_at, value, bytes);
    meta->stored_bytes += end;
    meta->raw_bytes = meta->stored_bytes;
}

static int by_offset(const void *a, const void *b) {
    const uint64_t x = (*(const eet_disk_tensor *const *)a)->offset;
    const uint64_t y = (*(const eet_disk_tensor *const *)b)->offset;

    return x < y ? -1 : x > y;
}

/* The hash of a DATA section over the digests of its tensors. */
static void repair_data(const eet_image *image, uint32_t index) {
    enum { MOST = 4096 };
    const eet_disk_tensor *sorted[MOST];
    size_t count = 0;

    for (uint32_t i = 0; i < eet_image_header(image)->section_count && i < EET_MAX_SECTIONS; i++) {
        const eet_disk_section *tens = &sections_of(image)[i];
        const uint64_t room = tens->stored_bytes / sizeof(eet_disk_tensor);

        if (tens->type != EET_SECTION_TENS || tens->offset % 8 != 0 ||
            !eet_within_u64(tens->offset, tens->stored_bytes, image->size)) {
            continue;
        }
        const eet_disk_tensor *t = (const eet_disk_tensor *)(void *)(image->bytes + tens->offset);

        for (uint64_t k = 0; k < room && count < MOST; k++) {
            if ((t[k].flags & EET_TENSOR_ALIAS) == 0 && t[k].section == index) {
                sorted[count++] = &t[k];
            }
        }
    }
    eet_xxh3_stream *stream = eet_xxh3_create();

    qsort(sorted, count, sizeof sorted[0], by_offset);
    for (size_t i = 0; i < count; i++) {
        eet_xxh3_add(stream, sorted[i]->xxh3_128, 16);
    }
    const eet_xxh3 hash = eet_xxh3_finish(stream);

    memcpy(sections_of(image)[index].xxh3_128, hash.word, 16);
    eet_xxh3_free(stream);
}

void eet_image_repair(const eet_image *image) {
    eet_disk_header *h = eet_image_header(image);

    for (uint32_t i = 0; i < h->section_count && i < EET_MAX_SECTIONS; i++) {
        eet_disk_section *s = &sections_of(image)[i];

        if (s->type == EET_SECTION_DATA) {
            repair_data(image, i);
        } else if (eet_within_u64(s->offset, s->stored_bytes, image->size)) {
            const eet_xxh3 hash = eet_xxh3_128(image->bytes + s->offset, s->stored_bytes);

            memcpy(s->xxh3_128, hash.word, 16);
        }
    }
    if (h->section_count <= EET_MAX_SECTIONS) {
        h->table_xxh3 = eet_xxh3_64(sections_of(image), UINT64_C(64) * h->section_count);
    }
    h->header_xxh3 = eet_xxh3_64(image->bytes, 248);
}

/* Reads the ends of everything that the file offers. */
static void walk(const eet_file *file) {
    volatile uint8_t sink = 0;

    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor t = eet_file_tensor_at(file, i);
        const uint8_t *data = t.data;
        eet_file_tensor found;

        sink = (uint8_t)(sink + data[0] + data[t.bytes - 1] + t.sha256[31] + t.xxh3[15]);
        ck_assert(eet_file_tensor_named(file, t.name, &found) && found.index == i);
        ck_assert(eet_file_tensor_bound(file, t.role, t.layer, &found));
    }
    for (int32_t i = 0; i < eet_file_sections(file); i++) {
        sink = (uint8_t)(sink + (uint8_t)eet_file_section_at(file, i).type[3]);
    }
    for (int32_t i = 0; i < eet_file_assets(file); i++) {
        const eet_file_asset asset = eet_file_asset_at(file, i);
        uint8_t *bytes = NULL;
        uint64_t size = 0;

        ck_assert_uint_ge(strlen(asset.name), 1);
        (void)eet_file_asset_read(file, i, &bytes, &size, NULL);
        free(bytes);
    }
    const eet_facts *facts = eet_file_facts(file);

    for (int32_t i = 0; i < facts->heads; i++) {
        for (int32_t k = 0; k < facts->head[i].label_count; k++) {
            sink = (uint8_t)(sink + strlen(facts->head[i].labels[k]));
        }
    }
}

eet_status eet_image_open(const eet_image *image, int level, eet_error *err) {
    eet_file *file = NULL;
    eet_status status =
        eet_file_open_memory(image->bytes, image->size, level > 0 ? 1 : 0, &file, err);

    if (status != EET_OK) {
        return status;
    }
    walk(file);
    if (level == 2) {
        status = eet_file_verify(file, err);
    }
    eet_file_close(file);
    return status;
}

/* ---- an attacker who knows the hashes ------------------------------------ */

uint64_t eet_image_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A byte of the parts that describe: header, table, META, NAME, TENS, ASST, PROV. */
static uint64_t pick_place(const eet_image *original, uint64_t *state) {
    static const uint32_t types[] = {EET_SECTION_META, EET_SECTION_NAME, EET_SECTION_TENS,
                                     EET_SECTION_TENS, EET_SECTION_ASST, EET_SECTION_PROV};
    const uint64_t which = eet_image_random(state) % 9;

    if (which < 3) {
        return 8 + eet_image_random(state) % (256 + 64 * 6 - 8);
    }
    const eet_disk_section *s = eet_image_section(original, types[which - 3]);

    return s->offset + eet_image_random(state) % s->stored_bytes;
}

void eet_image_mutate(const eet_image *image, const eet_image *original, uint64_t *state) {
    static const uint64_t values[] = {0,
                                      1,
                                      0xFF,
                                      0xFFFF,
                                      0x7FFFFFFF,
                                      0xFFFFFFFF,
                                      UINT64_MAX,
                                      UINT64_MAX - 255,
                                      4096,
                                      256,
                                      UINT64_C(1) << 40,
                                      UINT64_C(1) << 63};
    static const uint64_t widths[] = {1, 2, 4, 8};
    const uint64_t at = pick_place(original, state);
    const uint64_t width = widths[eet_image_random(state) % 4];
    uint64_t value = values[eet_image_random(state) % 12];

    switch (eet_image_random(state) % 3) {
    case 0:
        image->bytes[at] ^= (uint8_t)(1U << (eet_image_random(state) % 8));
        return;
    case 1:
        image->bytes[at] = (uint8_t)eet_image_random(state);
        return;
    default:
        memcpy(image->bytes + at / width * width, &value, (size_t)width);
        return;
    }
}
