/* cases_container.h - what may be wrong in a .eet file whose hashes are right: a change, the
 * status and the words that answer it (formats.md, 84 to 91). */
#ifndef EET_TESTS_FORMAT_CASES_CONTAINER_H
#define EET_TESTS_FORMAT_CASES_CONTAINER_H

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

typedef struct eet_case {
    const char *name;
    eet_damage damage;
    eet_status status;
    const char *says; /* part of the message */
    bool raw;         /* hashes are not repaired */
} eet_case;

#define C(name, status, says) \
    { #name, name, EET_##status, says, false }
#define RAW(name, status, says) \
    { #name, name, EET_##status, says, true }
static const eet_case cases[] = {
    C(offset_wraps, E_CORRUPT, "\"dec.emb.pos\": its bytes run past"),
    C(dims_wrap, E_CORRUPT, "\"dec.emb.pos\": its shape is malformed"),
    C(dim_too_large, E_CORRUPT, "\"dec.emb.pos\": its shape is malformed"),
    C(bytes_zero, E_CORRUPT, "it has 0 bytes; its shape and dtype take 512"),
    C(dim_zero, E_CORRUPT, "its shape is malformed"),
    C(unused_dim, E_CORRUPT, "its shape is malformed"),
    C(rank_seven, E_CORRUPT, "its rank is above 6"),
    C(offset_odd, E_CORRUPT, "its offset is not aligned"),
    C(past_the_section, E_CORRUPT, "its bytes run past their section"),
    C(dtype_zero, E_CORRUPT, "its dtype is 0"),
    C(not_in_data, E_CORRUPT, "its section is not \"DATA\""),
    C(section_unknown, E_CORRUPT, "its section is not \"DATA\""),
    C(name_outside, E_CORRUPT, "its name is misplaced"),
    C(name_empty, E_CORRUPT, "its name is misplaced"),
    C(name_too_long, E_CORRUPT, "its name is misplaced"),
    C(name_in_capitals, E_CORRUPT, "its name is misplaced or not [a-z]"),
    C(tensor_reserved, E_CORRUPT, "its reserved fields are not zero"),
    C(tensor_reserved0, E_CORRUPT, "its reserved fields are not zero"),
    C(tensor_flag, E_CORRUPT, "its reserved fields are not zero"),
    C(count_differs, E_CORRUPT, "\"TENS\" has"),
    C(count_huge, E_LIMIT, "at most 1048576"),
    C(overlap, E_CORRUPT, "it overlaps the tensor before it"),
    C(same_bytes, E_CORRUPT, "it overlaps the tensor before it"),
    C(alias_of_alias, E_CORRUPT, "it is the alias of an alias"),
    C(alias_of_itself, E_CORRUPT, "its alias points nowhere"),
    C(alias_dims, E_CORRUPT, "it differs from the tensor that it is an alias of"),
    C(alias_outside, E_CORRUPT, "its alias points nowhere"),
    C(alias_digest, E_CORRUPT, "its digests are not those of its alias"),
    C(alias_hash, E_CORRUPT, "its digests are not those of its alias"),
    C(alias_without_flag, E_CORRUPT, "its flags and its alias contradict each other"),
    C(section_in_page_0, E_CORRUPT, "section 0 is misplaced"),
    C(sections_overlap, E_CORRUPT, "section 1 is misplaced"),
    C(sections_unordered, E_CORRUPT, "section 1 is misplaced"),
    C(section_61, E_CORRUPT, "the section table is malformed"),
    C(no_sections, E_CORRUPT, "bytes after the last section"),
    C(meta_twice, E_CORRUPT, "section \"META\": it is out of order"),
    C(meta_out_of_order, E_CORRUPT, "section \"META\": it is out of order"),
    C(meta_optional, E_CORRUPT, "section \"META\": it is not marked as required"),
    C(meta_gone, E_CORRUPT, "section \"META\" is missing"),
    C(index_wrong, E_CORRUPT, "numbered wrongly"),
    C(section_past_end, E_CORRUPT, "is misplaced"),
    C(section_wraps, E_CORRUPT, "is misplaced"),
    C(section_align, E_CORRUPT, "malformed fields"),
    C(section_reserved, E_CORRUPT, "malformed fields"),
    C(section_flag, E_CORRUPT, "malformed fields"),
    C(meta_packed, E_CORRUPT, "section \"META\": its codec is not legal"),
    C(data_packed, E_CORRUPT, "section \"DATA\": its codec is not legal"),
    C(codec_unknown, E_CORRUPT, "section \"ASST\": its codec is not legal"),
    C(lengths_differ, E_CORRUPT, "section \"META\": its two lengths differ"),
    C(bomb, E_CORRUPT, "more bytes than its compression can hold"),
    C(ratio, E_CORRUPT, "more bytes than its compression can hold"),
    C(page_left, E_CORRUPT, "bytes after the last section"),
    C(new_section, OK, ""),
    C(pack_section, OK, ""),
    C(new_required_section, E_UNSUPPORTED, "required section \"NEW1\" of version 1"),
    C(new_version_of_data, E_UNSUPPORTED, "required section \"DATA\" of version 2"),
    C(new_key, OK, ""),
    C(new_required_key, E_UNSUPPORTED, "required fact \"zz.new\""),
    C(new_dtype, E_UNSUPPORTED, "\"dec.emb.pos\": dtype 99 is not known"),
    C(new_layout, E_UNSUPPORTED, "\"dec.emb.pos\": layout 7 is not known"),
    C(new_role, E_UNSUPPORTED, "\"dec.emb.pos\": role 631 is not known"),
    C(quantised, E_UNSUPPORTED, "\"dec.emb.pos\": quantised weights"),
    C(i64_weight, E_UNSUPPORTED, "\"dec.emb.pos\": weights of dtype i32"),
    C(new_act, E_UNSUPPORTED, "fact \"dec.act\" is \"gelu_tanX\""),
    C(major_2, E_UNSUPPORTED, "format version 2; this program reads 1"),
    C(minor_9, OK, ""),
    C(needs_minor_1, E_UNSUPPORTED, "needs a reader of format 1.1; this one reads 1.0"),
    C(header_reserved, E_CORRUPT, "reserved fields of the header"),
    C(header_uuid, E_CORRUPT, "reserved fields of the header"),
    C(not_sealed, E_CORRUPT, "not sealed"),
    C(header_flag, E_CORRUPT, "reserved fields of the header"),
    C(header_bytes, E_CORRUPT, "the header is malformed"),
    C(table_elsewhere, E_CORRUPT, "the section table is malformed"),
    C(rest_of_page, E_CORRUPT, "the rest of page 0 is not zero"),
    C(swapped, E_CORRUPT, "the file's bytes are swapped"),
    RAW(line_ends, E_CORRUPT, "line ends were translated"),
    RAW(seven_bits, E_CORRUPT, "bytes lost their high bit"),
    RAW(mark_in_front, E_CORRUPT, "a byte-order mark"),
    RAW(zeros_in_front, E_CORRUPT, "as an unfinished one does"),
    RAW(another_file, E_CORRUPT, "wrong magic"),
    RAW(zip_file, E_CORRUPT, "a zip archive; eet-convert"),
    RAW(safetensors_file, E_CORRUPT, "maybe safetensors; eet-convert"),
    RAW(lfs_pointer, E_UNSUPPORTED, "a pointer of git-lfs and not the file; \"git lfs pull\""),
    C(layers_huge, E_CORRUPT, "fact \"dec.layers\" is out of range"),
    C(layers_more, E_CORRUPT, "tensor \"dec.0001.attn.norm.w\" is missing"),
    C(heads_zero, E_CORRUPT, "fact \"dec.heads\" is out of range"),
    C(heads_four, E_CORRUPT, "\"dec.0000.attn.qkv.w\": dimension 0 is 48; the facts call for 96"),
    C(vocab_above_rows, E_CORRUPT, "vocab.size is above vocab.rows"),
    C(eos_outside, E_CORRUPT, "an id is not below vocab.size"),
    C(rows_differ, E_CORRUPT, "\"dec.emb.pos\": dimension 0 is 8; the facts call for 9"),
    C(eps_negative, E_CORRUPT, "fact \"dec.norm_eps\" is out of range"),
    C(no_final_norm, E_CORRUPT, "\"dec.norm.b\" is required, but the facts have no place for it"),
    C(wants_emb_norm, E_CORRUPT, "tensor \"dec.emb.norm.w\" is missing"),
    C(head_renamed, E_CORRUPT, "\"head.lm.out.w\": its name does not follow"),
    C(head_of_enc, E_CORRUPT, "head 0: its stack is not in the file"),
    C(wrong_layer, E_CORRUPT, "\"dec.0000.attn.qkv.b\": its name does not follow"),
    C(wrong_role, E_CORRUPT, "\"dec.0000.attn.qkv.b\": its name does not follow"),
    C(head_width, E_CORRUPT, "\"head.lm.out.w\": it differs from"),
    C(keys_unsorted, E_CORRUPT, "keys are not in ascending order"),
    C(bool_2, E_CORRUPT, "\"dec.pre_norm\": a bool is one byte"),
    C(not_a_number, E_CORRUPT, "\"dec.norm_eps\": a real is 8 bytes, finite"),
    C(minus_zero, E_CORRUPT, "\"dec.norm_eps\": a real is 8 bytes, finite and not -0"),
    C(nul_in_text, E_CORRUPT, "\"arch.family\": a string is UTF-8 without NUL"),
    C(key_twice, E_CORRUPT, "\"head.0.take\": keys are not in ascending order"),
    C(strings_overflow, E_CORRUPT, "\"zz\": an array of strings has bad ends"),
    C(array_ragged, E_CORRUPT, "\"zz\": an array of integers"),
    C(type_unknown, E_CORRUPT, "\"zz\": unknown type of value"),
    C(flag_unknown, E_CORRUPT, "\"zz\": unknown flag"),
    C(key_capital, E_CORRUPT, "metadata key is not"),
    C(bad_utf8, E_CORRUPT, "\"zz\": a string is UTF-8"),
    C(count_of_keys, E_CORRUPT, "metadata"),
    C(keys_huge, E_LIMIT, "metadata entries; at most"),
    C(asset_up, E_CORRUPT, "asset 0: its name is not"),
    C(asset_root, E_CORRUPT, "asset 0: its name is not"),
    C(asset_twice, E_CORRUPT, "asset 1: the names are not in ascending order"),
    C(asset_kind, E_CORRUPT, "asset 0: its kind is unknown"),
    C(asset_zero, E_CORRUPT, "asset 0: its kind is unknown"),
    C(asset_moved, E_CORRUPT, "asset 0: its bytes are misplaced"),
    C(asset_long, E_CORRUPT, "asset 0: it is larger than 256 MiB"),
    C(asset_unnamed, E_CORRUPT, "asset 0: its name is not"),
    C(assets_many, E_LIMIT, "assets; at most 256"),
    C(prov_broken, E_CORRUPT, "metadata block has a malformed head"),
};
#undef C
#undef RAW
enum { CASES = sizeof cases / sizeof cases[0] };

#endif
