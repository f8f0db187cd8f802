/* damage_container.h - what may be wrong in a .eet file whose hashes are right (formats.md, 84 to
 * 93): each a function that does it. cases_container.h has the answers. */
#ifndef EET_TESTS_FORMAT_DAMAGE_CONTAINER_H
#define EET_TESTS_FORMAT_DAMAGE_CONTAINER_H

#include <string.h>

#include "tests/format/image.h"

typedef void (*eet_damage)(eet_image *image);

#define DAMAGE(name)  static void name(eet_image *image)
#define TENSOR(name)  eet_image_tensor(image, name)
#define SECTION(type) eet_image_section(image, EET_SECTION_##type)
#define HEADER()      eet_image_header(image)

static void set_i64(const eet_image *image, const char *key, int64_t value) {
    memcpy(eet_image_value(image, key), &value, sizeof value);
}

static void set_f64(const eet_image *image, const char *key, double value) {
    memcpy(eet_image_value(image, key), &value, sizeof value);
}

/* ---- 84: sizes and places ---- */
DAMAGE(offset_wraps) {
    TENSOR("dec.emb.pos")->offset = UINT64_MAX - 255;
}
DAMAGE(dims_wrap) {
    TENSOR("dec.emb.pos")->dims[0] = UINT64_C(1) << 40;
    TENSOR("dec.emb.pos")->dims[1] = UINT64_C(1) << 40;
}
DAMAGE(dim_too_large) {
    TENSOR("dec.emb.pos")->dims[0] = (UINT64_C(1) << 40) + 1;
}
DAMAGE(bytes_zero) {
    TENSOR("dec.emb.pos")->nbytes = 0;
}
DAMAGE(dim_zero) {
    TENSOR("dec.emb.pos")->dims[0] = 0;
}
DAMAGE(unused_dim) {
    TENSOR("dec.emb.pos")->dims[2] = 2;
}
DAMAGE(rank_seven) {
    TENSOR("dec.emb.pos")->rank = 7;
}
DAMAGE(offset_odd) {
    TENSOR("dec.emb.pos")->offset += 64;
}
DAMAGE(past_the_section) {
    TENSOR("dec.emb.pos")->offset += UINT64_C(1) << 20;
}
DAMAGE(dtype_zero) {
    TENSOR("dec.emb.pos")->dtype = 0;
}
DAMAGE(not_in_data) {
    TENSOR("dec.emb.pos")->section = 0;
}
DAMAGE(section_unknown) {
    TENSOR("dec.emb.pos")->section = 60;
}
DAMAGE(name_outside) {
    TENSOR("dec.emb.pos")->name_off = UINT32_MAX;
}
DAMAGE(name_empty) {
    TENSOR("dec.emb.pos")->name_len = 0;
}
DAMAGE(name_too_long) {
    TENSOR("dec.emb.pos")->name_len = 256;
}
DAMAGE(name_in_capitals) {
    image->bytes[SECTION(NAME)->offset + TENSOR("dec.emb.pos")->name_off + 4] = 'E';
}
DAMAGE(tensor_reserved) {
    TENSOR("dec.emb.pos")->reserved[47] = 1;
}
DAMAGE(tensor_reserved0) {
    TENSOR("dec.emb.pos")->reserved0 = 1;
}
DAMAGE(tensor_flag) {
    TENSOR("dec.emb.pos")->flags |= 8;
}
DAMAGE(count_differs) {
    HEADER()->tensor_count--;
}
DAMAGE(count_huge) {
    HEADER()->tensor_count = 1048577;
}

/* ---- 85: overlaps and aliases ---- */
DAMAGE(overlap) {
    /* A table grown by a row (all three that share it) runs into the one behind it. */
    static const char *const names[] = {"dec.emb.tok", "dec.emb.type", "head.lm.out.w"};

    set_i64(image, "dec.vocab.rows", 24);
    set_i64(image, "dec.types", 24);
    for (int i = 0; i < 3; i++) {
        TENSOR(names[i])->dims[0] = 24;
        TENSOR(names[i])->nbytes = 24 * 16 * 4;
    }
}
DAMAGE(same_bytes) {
    TENSOR("dec.0000.ffn.fc1.b")->offset = TENSOR("dec.0000.attn.qkv.b")->offset;
}
DAMAGE(alias_of_alias) {
    TENSOR("dec.emb.type")->alias_of =
        (uint32_t)(TENSOR("head.lm.out.w") - TENSOR("dec.0000.attn.norm.b"));
}
DAMAGE(alias_of_itself) {
    TENSOR("dec.emb.type")->alias_of =
        (uint32_t)(TENSOR("dec.emb.type") - TENSOR("dec.0000.attn.norm.b"));
}
DAMAGE(alias_dims) {
    TENSOR("dec.emb.type")->dims[0] = 16;
    TENSOR("dec.emb.type")->dims[1] = 20;
}
DAMAGE(alias_outside) {
    TENSOR("dec.emb.type")->alias_of = 100000;
}
DAMAGE(alias_digest) {
    TENSOR("dec.emb.type")->sha256[0] ^= 1;
}
DAMAGE(alias_hash) {
    TENSOR("dec.emb.type")->xxh3_128[0] ^= 1;
}
DAMAGE(alias_without_flag) {
    TENSOR("dec.emb.type")->flags &= ~(uint32_t)EET_TENSOR_ALIAS;
}

/* ---- 86: sections ---- */
DAMAGE(section_in_page_0) {
    SECTION(META)->offset = 0;
}
DAMAGE(sections_overlap) {
    SECTION(NAME)->offset = SECTION(META)->offset;
}
DAMAGE(sections_unordered) {
    const eet_disk_section meta = *SECTION(META);

    *SECTION(META) = *SECTION(NAME);
    SECTION(NAME)[1] = meta;
}
DAMAGE(section_61) {
    HEADER()->section_count = 61;
}
DAMAGE(no_sections) {
    memset(SECTION(META), 0, 64 * (size_t)HEADER()->section_count);
    HEADER()->section_count = 0;
}
DAMAGE(meta_twice) {
    eet_image_append(image, EET_SECTION_META, 1, "", 1)->index = 1;
}
DAMAGE(meta_out_of_order) {
    eet_disk_section *s = SECTION(META);

    s->type = EET_SECTION_NAME;
    s[1].type = EET_SECTION_META;
}
DAMAGE(meta_optional) {
    SECTION(META)->flags = 0;
}
DAMAGE(meta_gone) {
    SECTION(META)->flags = 0;
    SECTION(META)->type = EET_FOURCC('x', 'E', 'T', 'A');
}
DAMAGE(index_wrong) {
    SECTION(DATA)->index = 1;
}
DAMAGE(section_past_end) {
    SECTION(DATA)->stored_bytes += UINT64_C(1) << 20;
}
DAMAGE(section_wraps) {
    SECTION(DATA)->stored_bytes = UINT64_MAX - 4096;
}
DAMAGE(section_align) {
    SECTION(DATA)->align_log2 = 22;
}
DAMAGE(section_reserved) {
    SECTION(DATA)->reserved = 1;
}
DAMAGE(section_flag) {
    SECTION(DATA)->flags |= 4;
}
DAMAGE(meta_packed) {
    SECTION(META)->codec = EET_CODEC_ZLIB;
}
DAMAGE(data_packed) {
    SECTION(DATA)->codec = EET_CODEC_ZLIB;
}
DAMAGE(codec_unknown) {
    SECTION(ASST)->codec = 2;
}
DAMAGE(lengths_differ) {
    SECTION(META)->raw_bytes++;
}
DAMAGE(bomb) {
    SECTION(ASST)->codec = EET_CODEC_ZLIB;
    SECTION(ASST)->raw_bytes = UINT64_C(1) << 30;
}
DAMAGE(ratio) {
    SECTION(ASST)->codec = EET_CODEC_ZLIB;
    SECTION(ASST)->raw_bytes = SECTION(ASST)->stored_bytes * 1032 + 65;
}
DAMAGE(page_left) {
    /* A whole page behind the last section. */
    const uint8_t none = 0;

    (void)eet_image_append(image, EET_FOURCC('x', 'x', 'x', 'x'), 0, &none, 1);
    HEADER()->section_count--;
    memset(&SECTION(META)[HEADER()->section_count], 0, 64);
}

/* ---- 87: what a later version may bring ---- */
DAMAGE(new_section) {
    (void)eet_image_append(image, EET_FOURCC('N', 'E', 'W', '1'), 0, "hello", 5);
}
DAMAGE(pack_section) {
    (void)eet_image_append(image, EET_SECTION_PACK, 0, "pack", 4);
}
DAMAGE(new_required_section) {
    (void)eet_image_append(image, EET_FOURCC('N', 'E', 'W', '1'), 1, "hello", 5);
}
DAMAGE(new_version_of_data) {
    SECTION(DATA)->sec_ver_major = 2;
}
DAMAGE(new_key) {
    eet_image_add_key(image, "zz.new", EET_KV_STRING, 0, "x", 1);
}
DAMAGE(new_required_key) {
    eet_image_add_key(image, "zz.new", EET_KV_STRING, 1, "x", 1);
}
DAMAGE(new_dtype) {
    TENSOR("dec.emb.pos")->dtype = 99;
}
DAMAGE(new_layout) {
    TENSOR("dec.emb.pos")->layout = 7;
}
DAMAGE(new_role) {
    TENSOR("dec.emb.pos")->role = 0x0277;
}
DAMAGE(quantised) {
    TENSOR("dec.emb.pos")->quant = 0;
}
DAMAGE(i64_weight) {
    TENSOR("dec.emb.pos")->dtype = EET_I32;
}
DAMAGE(new_act) {
    memcpy(eet_image_value(image, "dec.act"), "gelu_tanX", 9);
}

/* ---- 88: versions ---- */
DAMAGE(major_2) {
    HEADER()->ver_major = 2;
}
DAMAGE(minor_9) {
    HEADER()->ver_minor = 9;
}
DAMAGE(needs_minor_1) {
    HEADER()->min_reader_minor = 1;
}
DAMAGE(header_reserved) {
    HEADER()->reserved[50] = 1;
}
DAMAGE(header_uuid) {
    HEADER()->uuid_reserved[15] = 1;
}
DAMAGE(not_sealed) {
    HEADER()->flags = 0;
}
DAMAGE(header_flag) {
    HEADER()->flags = 3;
}
DAMAGE(header_bytes) {
    HEADER()->header_bytes = 512;
}
DAMAGE(table_elsewhere) {
    HEADER()->section_table_off = 512;
}
DAMAGE(rest_of_page) {
    image->bytes[4095] = 1;
}

/* ---- 89: damage in transfer ---- */
DAMAGE(swapped) {
    HEADER()->endian_tag = 0x04030201;
}
DAMAGE(line_ends) {
    memmove(image->bytes + 4, image->bytes + 5, image->size - 5);
}
DAMAGE(seven_bits) {
    image->bytes[0] &= 0x7F;
}
DAMAGE(mark_in_front) {
    memmove(image->bytes + 3, image->bytes, image->size - 3);
    memcpy(image->bytes, "\xEF\xBB\xBF", 3);
}
DAMAGE(zeros_in_front) {
    memset(image->bytes, 0, 4096);
}
DAMAGE(another_file) {
    memcpy(image->bytes, "GGUF\3\0\0\0", 8);
}
DAMAGE(zip_file) {
    memcpy(image->bytes, "PK\3\4\0\0\10\10", 8);
}
DAMAGE(safetensors_file) {
    memcpy(image->bytes, "\x40\0\0\0\0\0\0\0{\"a\": ", 14);
}
DAMAGE(lfs_pointer) {
    memcpy(image->bytes, "version https://git-lfs.github.com/spec/v1\noid ", 47);
}

/* ---- 90: facts ---- */
DAMAGE(layers_huge) {
    set_i64(image, "dec.layers", INT64_C(1) << 31);
}
DAMAGE(layers_more) {
    set_i64(image, "dec.layers", 2);
}
DAMAGE(heads_zero) {
    set_i64(image, "dec.heads", 0);
}
DAMAGE(heads_four) {
    set_i64(image, "dec.heads", 4);
}
DAMAGE(vocab_above_rows) {
    set_i64(image, "dec.vocab.size", 21);
}
DAMAGE(eos_outside) {
    set_i64(image, "dec.tok.eos", 20);
}
DAMAGE(rows_differ) {
    set_i64(image, "dec.pos.rows", 9);
}
DAMAGE(eps_negative) {
    set_f64(image, "dec.norm_eps", -1.0);
}
DAMAGE(no_final_norm) {
    *eet_image_value(image, "dec.final_norm") = 0;
}
DAMAGE(wants_emb_norm) {
    *eet_image_value(image, "dec.emb_norm") = 1;
}
DAMAGE(head_renamed) {
    memcpy(eet_image_value(image, "head.0.name"), "ml", 2);
}
DAMAGE(head_of_enc) {
    memcpy(eet_image_value(image, "head.0.stack"), "enc", 3);
}
DAMAGE(wrong_layer) {
    TENSOR("dec.0000.attn.qkv.b")->layer = 1;
}
DAMAGE(wrong_role) {
    TENSOR("dec.0000.attn.qkv.b")->role = 0x0213;
}
DAMAGE(head_width) {
    TENSOR("head.lm.out.w")->dims[0] = 16;
    TENSOR("head.lm.out.w")->dims[1] = 20;
}

/* ---- 91: typed metadata ---- */
DAMAGE(keys_unsorted) {
    image->bytes[SECTION(META)->offset + 16] = 'z';
}
DAMAGE(bool_2) {
    *eet_image_value(image, "dec.pre_norm") = 2;
}
DAMAGE(not_a_number) {
    memset(eet_image_value(image, "dec.norm_eps"), 0xFF, 8);
}
DAMAGE(minus_zero) {
    set_f64(image, "dec.norm_eps", -0.0);
}
DAMAGE(nul_in_text) {
    *eet_image_value(image, "arch.family") = 0;
}
DAMAGE(key_twice) {
    eet_image_add_key(image, "head.0.take", EET_KV_STRING, 0, "last", 4);
}
DAMAGE(strings_overflow) {
    const uint8_t many[] = {0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0};

    eet_image_add_key(image, "zz", EET_KV_STRING_ARRAY, 0, many, sizeof many);
}
DAMAGE(array_ragged) {
    eet_image_add_key(image, "zz", EET_KV_U64_ARRAY, 0, "123", 3);
}
DAMAGE(type_unknown) {
    eet_image_add_key(image, "zz", 11, 0, "123", 3);
}
DAMAGE(flag_unknown) {
    eet_image_add_key(image, "zz", EET_KV_BYTES, 2, "123", 3);
}
DAMAGE(key_capital) {
    eet_image_add_key(image, "zZ", EET_KV_BYTES, 0, "123", 3);
}
DAMAGE(bad_utf8) {
    eet_image_add_key(image, "zz", EET_KV_STRING, 0, "\xC0\x80", 2);
}
DAMAGE(count_of_keys) {
    image->bytes[SECTION(META)->offset] ^= 1;
}
DAMAGE(keys_huge) {
    memset(image->bytes + SECTION(META)->offset, 0xFF, 4);
}

/* ---- 93: assets ---- */
static uint8_t *asset_table(const eet_image *image) {
    return image->bytes + SECTION(ASST)->offset;
}
static uint8_t *asset_name(const eet_image *image) {
    return asset_table(image) + EET_ASSET_HEAD + 2 * sizeof(eet_disk_asset);
}
DAMAGE(asset_up) {
    memcpy(asset_name(image), "../x", 4);
}
DAMAGE(asset_root) {
    memcpy(asset_name(image), "/etc", 4);
}
DAMAGE(asset_twice) {
    memcpy(asset_name(image) + 11, "aaa", 3);
}
DAMAGE(asset_kind) {
    asset_table(image)[8] = 3;
}
DAMAGE(asset_zero) {
    asset_table(image)[8 + 6] = 1;
}
DAMAGE(asset_moved) {
    asset_table(image)[8 + 8] ^= 8;
}
DAMAGE(asset_long) {
    asset_table(image)[8 + 16 + 7] = 1;
}
DAMAGE(asset_unnamed) {
    asset_table(image)[8 + 4] = 0;
}
DAMAGE(assets_many) {
    asset_table(image)[1] = 0xFF;
}
DAMAGE(prov_broken) {
    image->bytes[SECTION(PROV)->offset + 4] = 1;
}

#undef DAMAGE
#undef TENSOR
#undef SECTION
#undef HEADER

#endif
