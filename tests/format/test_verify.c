/* test_verify.c - level 2: what right XXH3 hashes cannot hide, digests, and assets. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "format/sha256.h"
#include "format/verify.h"
#include "tests/format/image.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static eet_image tiny;

static void make_tiny(void) {
    const eet_sample_model model = eet_image_tiny();

    tiny = eet_image_make(&model);
}

static void free_tiny(void) {
    eet_image_free(&tiny);
}

/* ---- changes with right XXH3 hashes -------------------------------------- */

static void wrong_tensor_digest(const eet_image *image) {
    eet_image_tensor(image, "dec.emb.pos")->sha256[5] ^= 1;
}

static void flag_cleared(const eet_image *image) {
    eet_image_tensor(image, "dec.emb.pos")->flags = 0;
}

static void flag_set(const eet_image *image) {
    eet_image_tensor(image, "dec.emb.pos")->flags |= EET_TENSOR_SYNTH;
}

static void fact_changed(const eet_image *image) {
    const double scale = 0.5;

    memcpy(eet_image_value(image, "dec.attn_scale"), &scale, sizeof scale);
}

static void content_changed(const eet_image *image) {
    eet_image_header(image)->content_sha256[0] ^= 1;
}

static void weights_changed(const eet_image *image) {
    eet_image_header(image)->weights_sha256[0] ^= 1;
}

static void hole_filled(const eet_image *image) {
    const eet_disk_section *data = eet_image_section(image, EET_SECTION_DATA);
    const eet_disk_tensor *t = eet_image_tensor(image, "dec.norm.w");

    image->bytes[data->offset + t->offset + t->nbytes] = 1;
}

static void gap_filled(const eet_image *image) {
    const eet_disk_section *meta = eet_image_section(image, EET_SECTION_META);

    image->bytes[meta->offset + meta->stored_bytes] = 1;
}

static void end_filled(const eet_image *image) {
    image->bytes[image->size - 1] = 1;
}

static void asset_changed(const eet_image *image) {
    const eet_disk_section *s = eet_image_section(image, EET_SECTION_ASST);

    image->bytes[s->offset + s->stored_bytes - 1] ^= 1;
}

static void asset_became_informative(const eet_image *image) {
    const eet_disk_section *s = eet_image_section(image, EET_SECTION_ASST);

    image->bytes[s->offset + EET_ASSET_HEAD + sizeof(eet_disk_asset)] = EET_ASSET_INFORMATIVE;
}

static void provenance_changed(const eet_image *image) {
    const eet_disk_section *s = eet_image_section(image, EET_SECTION_PROV);

    image->bytes[s->offset + 32] ^= 2; /* "0.1.0" -> "2.1.0" */
}

static const struct {
    void (*change)(const eet_image *image);
    eet_status status;
    const char *says;
} changes[] = {
    {wrong_tensor_digest, EET_E_CORRUPT, "tensor \"dec.emb.pos\": its SHA-256 is wrong"},
    {flag_cleared, EET_E_CORRUPT, "the digest of the weights is wrong"},
    {flag_set, EET_E_CORRUPT, "the digest of the weights is wrong"},
    {fact_changed, EET_E_CORRUPT, "the digest of the content is wrong"},
    {content_changed, EET_E_CORRUPT, "the digest of the content is wrong"},
    {weights_changed, EET_E_CORRUPT, "the digest of the weights is wrong"},
    {hole_filled, EET_E_CORRUPT, "padding at byte"},
    {gap_filled, EET_E_CORRUPT, "padding at byte"},
    {end_filled, EET_E_CORRUPT, "padding at byte"},
    {asset_changed, EET_E_CORRUPT, "asset \"vocab.txt\": its SHA-256 is wrong"},
    {asset_became_informative, EET_E_CORRUPT, "the digest of the content is wrong"},
    {provenance_changed, EET_OK, ""},
};

START_TEST(level_2_sees_what_level_1_cannot)
{
    eet_error err;

    eet_error_clear(&err);
    changes[_i].change(&tiny);
    eet_image_repair(&tiny);
    ck_assert_int_eq(eet_image_open(&tiny, 1, NULL), EET_OK);
    const eet_status status = eet_image_open(&tiny, 2, &err);

    ck_assert_msg(status == changes[_i].status, "row %d: %s", _i, err.text);
    ck_assert_msg(strstr(err.text, changes[_i].says) != NULL, "row %d: %s", _i, err.text);
}
END_TEST

/* ---- digests ------------------------------------------------------------- */

static void digest_of(const eet_image *image, uint8_t content[32]) {
    memcpy(content, eet_image_header(image)->content_sha256, 32);
}

START_TEST(the_content_digest_follows_the_content_alone)
{
    const eet_writer_options wide = {.data_align = 65536, .no_sync = true};
    const eet_tmp path = eet_tmp_path("wide.eet");
    eet_sample_model model = eet_image_tiny();
    uint8_t first[32];
    uint8_t second[32];
    eet_file *file = NULL;

    digest_of(&tiny, first);
    eet_image_write(path.path, &model, &wide);
    ck_assert_int_eq(eet_file_open(path.path, 0, EET_LOAD_MAP, &file, NULL), EET_OK);
    ck_assert_mem_eq(eet_file_content_sha256(file), first, 32);
    eet_file_close(file);
    model.seed++;
    eet_image other = eet_image_make(&model);

    digest_of(&other, second);
    ck_assert_mem_ne(first, second, 32);
    eet_image_free(&other);
}
END_TEST

START_TEST(the_digest_of_the_file_is_that_of_its_bytes)
{
    eet_file *file = NULL;
    eet_sha256 *hash = eet_sha256_create();
    uint8_t expected[32];
    uint8_t digest[32];

    eet_sha256_add(hash, tiny.bytes, tiny.size);
    eet_sha256_finish(hash, expected);
    eet_sha256_free(hash);
    ck_assert_int_eq(eet_file_open_memory(tiny.bytes, tiny.size, 0, &file, NULL), EET_OK);
    ck_assert_int_eq(eet_file_sha256(file, digest, NULL), EET_OK);
    ck_assert_mem_eq(digest, expected, 32);
    eet_file_close(file);
}
END_TEST

/* ---- assets -------------------------------------------------------------- */

static void check_assets(const eet_image *image) {
    eet_file *file = NULL;
    uint8_t *bytes = NULL;
    uint64_t size = 0;

    ck_assert_int_eq(eet_file_open_memory(image->bytes, image->size, 1, &file, NULL), EET_OK);
    ck_assert_int_eq(eet_file_unpack_assets(file, NULL), EET_OK);
    ck_assert_int_eq(eet_file_assets(file), 2);
    ck_assert_str_eq(eet_file_asset_at(file, 0).name, "config.json");
    ck_assert(!eet_file_asset_at(file, 0).functional);
    ck_assert_str_eq(eet_file_asset_at(file, 1).name, "vocab.txt");
    ck_assert(eet_file_asset_at(file, 1).functional);
    ck_assert_int_eq(eet_file_asset_read(file, 1, &bytes, &size, NULL), EET_OK);
    ck_assert(size == 4 && memcmp(bytes, "a\nb\n", 5) == 0);
    free(bytes);
    ck_assert_int_eq(eet_file_asset_read(file, 2, &bytes, &size, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_file_verify(file, NULL), EET_OK);
    eet_file_close(file);
}

/* Compresses a section in place. */
static void pack_section(const eet_image *image, uint32_t type) {
    eet_disk_section *s = eet_image_section(image, type);
    uint8_t packed[4096];
    uLongf bytes = sizeof packed;

    ck_assert_int_eq(compress2(packed, &bytes, image->bytes + s->offset, (uLong)s->stored_bytes, 9),
                     Z_OK);
    memset(image->bytes + s->offset, 0, (size_t)s->stored_bytes);
    memcpy(image->bytes + s->offset, packed, bytes);
    s->codec = EET_CODEC_ZLIB;
    s->stored_bytes = bytes;
    eet_image_repair(image);
}

static void pack_assets(const eet_image *image) {
    pack_section(image, EET_SECTION_ASST);
}

START_TEST(assets_are_read_raw_and_compressed)
{
    eet_file *file = NULL;

    check_assets(&tiny);
    pack_assets(&tiny);
    ck_assert_int_eq(eet_file_open_memory(tiny.bytes, tiny.size, 0, &file, NULL), EET_OK);
    ck_assert_int_eq(eet_file_assets(file), 0); /* not until they are unpacked */
    eet_file_close(file);
    check_assets(&tiny);
}
END_TEST

START_TEST(provenance_is_read_raw_and_compressed)
{
    eet_file *file = NULL;
    eet_kv entry;

    pack_section(&tiny, EET_SECTION_PROV);
    ck_assert_int_eq(eet_file_open_memory(tiny.bytes, tiny.size, 0, &file, NULL), EET_OK);
    ck_assert_ptr_null(eet_file_provenance(file)); /* not until it is unpacked */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(eet_file_unpack_provenance(file, NULL), EET_OK);
        ck_assert(eet_kv_find(eet_file_provenance(file), "conv.version", &entry));
    }
    ck_assert_int_eq(eet_file_verify(file, NULL), EET_OK);
    eet_file_close(file);
    eet_image_section(&tiny, EET_SECTION_PROV)->raw_bytes++;
    eet_image_repair(&tiny);
    ck_assert_int_eq(eet_file_open_memory(tiny.bytes, tiny.size, 0, &file, NULL), EET_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(eet_file_unpack_provenance(file, NULL), EET_E_CORRUPT);
        ck_assert_ptr_null(eet_file_provenance(file));
    }
    eet_file_close(file);
}
END_TEST

START_TEST(a_compressed_section_ends_where_it_says)
{
    eet_disk_section *s = eet_image_section(&tiny, EET_SECTION_ASST);
    eet_error err;

    pack_assets(&tiny);
    for (int more = -1; more <= 1; more++) {
        s->raw_bytes += (uint64_t)(int64_t)more;
        eet_image_repair(&tiny);
        ck_assert_int_eq(eet_image_open(&tiny, 2, NULL), more == 0 ? EET_OK : EET_E_CORRUPT);
        s->raw_bytes -= (uint64_t)(int64_t)more;
    }
    s->stored_bytes--;
    eet_image_repair(&tiny);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_image_open(&tiny, 2, &err), EET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "does not end where its lengths say"));
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = level_2_sees_what_level_1_cannot,
         .rows = sizeof changes / sizeof changes[0],
         .setup = make_tiny,
         .teardown = free_tiny},
        {.test = the_content_digest_follows_the_content_alone,
         .setup = make_tiny,
         .teardown = free_tiny},
        {.test = the_digest_of_the_file_is_that_of_its_bytes,
         .setup = make_tiny,
         .teardown = free_tiny},
        {.test = assets_are_read_raw_and_compressed, .setup = make_tiny, .teardown = free_tiny},
        {.test = provenance_is_read_raw_and_compressed, .setup = make_tiny, .teardown = free_tiny},
        {.test = a_compressed_section_ends_where_it_says,
         .setup = make_tiny,
         .teardown = free_tiny},
    };
    return eet_suite_run("verify", claims, sizeof claims / sizeof *claims);
}
