/* test_diff.c - eet-diff calls two files the same exactly when their content digests are equal,
 * and names what differs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/commands/diff.h"
#include "format/verify.h"
#include "tests/format/image.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

/* Makes hashes and digests right again, as another writer would have written them; false when
 * the file is refused. */
static bool seal(const eet_image *image) {
    eet_disk_header *header = eet_image_header(image);
    eet_file *file = NULL;

    eet_image_repair(image);
    if (eet_file_open_memory(image->bytes, image->size, 0, &file, NULL) != EET_OK) {
        return false;
    }
    ck_assert_int_eq(eet_file_unpack_assets(file, NULL), EET_OK);
    ck_assert_int_eq(eet_file_digests(file, header->content_sha256, header->weights_sha256, NULL),
                     EET_OK);
    eet_file_close(file);
    eet_image_repair(image);
    return true;
}

static eet_tmp write_image(const char *name, const eet_image *image) {
    ck_assert(seal(image));
    return eet_tmp_file(name, image->bytes, image->size);
}

typedef struct change {
    void (*make)(eet_image *image);
    eet_diff_kind kind;
    const char *name; /* of the one difference; NULL: none */
    uint32_t what;
    bool noted; /* with --provenance there is one more */
} change;

static void nothing(eet_image *image) {
    (void)image;
}

static void fact_value(eet_image *image) {
    const double scale = 0.5;

    memcpy(eet_image_value(image, "dec.attn_scale"), &scale, sizeof scale);
}

/* An entry is u16 length of the key, u8 type, u8 flags, u32 length, key, padding, value. */
static void fact_flag(eet_image *image) {
    const size_t key = (strlen("dec.attn_scale") + 7) / 8 * 8;

    *(eet_image_value(image, "dec.attn_scale") - key - 5) ^= EET_KV_REQUIRED;
}

static void fact_unknown(eet_image *image) {
    const uint64_t one = 1;

    eet_image_add_key(image, "zz.new", EET_KV_U64, 0, &one, sizeof one);
}

static void tensor_flag(eet_image *image) {
    eet_image_tensor(image, "dec.emb.pos")->flags |= EET_TENSOR_SYNTH;
}

static void tensor_digest(eet_image *image) {
    eet_image_tensor(image, "dec.emb.pos")->sha256[5] ^= 1;
}

static void asset_kind(eet_image *image) {
    const eet_disk_section *s = eet_image_section(image, EET_SECTION_ASST);

    image->bytes[s->offset + EET_ASSET_HEAD + sizeof(eet_disk_asset)] = EET_ASSET_INFORMATIVE;
}

static void provenance(eet_image *image) {
    const eet_disk_section *s = eet_image_section(image, EET_SECTION_PROV);

    image->bytes[s->offset + 32] ^= 2; /* "0.1.0" -> "2.1.0" */
}

static void vocabulary(eet_image *image) {
    /* Behind DATA a VOCB would be out of order; a lower-case section is an experiment. */
    (void)eet_image_append(image, EET_FOURCC('x', 'y', 'z', '1'), 0, "words", 5);
}

static void gap(eet_image *image) {
    const eet_disk_section *meta = eet_image_section(image, EET_SECTION_META);

    image->bytes[meta->offset + meta->stored_bytes] = 1; /* level 2 sees it, content has it not */
}

static const change changes[] = {
    {nothing, EET_DIFF_FACT, NULL, 0, false},
    {fact_value, EET_DIFF_FACT, "dec.attn_scale", EET_DIFF_VALUE, false},
    {fact_flag, EET_DIFF_FACT, "dec.attn_scale", EET_DIFF_FLAGS, false},
    {fact_unknown, EET_DIFF_FACT, "zz.new", 0, false},
    {tensor_flag, EET_DIFF_TENSOR, "dec.emb.pos", EET_DIFF_FLAGS, false},
    {tensor_digest, EET_DIFF_TENSOR, "dec.emb.pos", EET_DIFF_VALUE, false},
    {asset_kind, EET_DIFF_ASSET, "vocab.txt", EET_DIFF_TYPE, false},
    {provenance, EET_DIFF_FACT, NULL, 0, true},
    {vocabulary, EET_DIFF_FACT, NULL, 0, false},
    {gap, EET_DIFF_FACT, NULL, 0, false},
};

static eet_diff find(const eet_tmp *a, const eet_tmp *b, const eet_diff_options *options) {
    eet_diff diff = {.path = {a->path, b->path}, .options = options};
    eet_error err = {.status = EET_OK};

    ck_assert_msg(eet_diff_find(&diff, &err) == EET_OK, "%s: %s", diff.blamed, err.text);
    return diff;
}

START_TEST(same_is_the_same_content_digest)
{
    const eet_diff_options quick = {.quick = true}; /* a digest is changed without its bytes */
    const eet_diff_options all = {.quick = true, .provenance = true};
    const eet_sample_model model = eet_image_tiny();
    const change *row = &changes[_i];
    eet_image image = eet_image_make(&model);
    const eet_tmp a = write_image("a.eet", &image);
    char room[EET_DIFF_NAME_ROOM];

    row->make(&image);
    const eet_tmp b = write_image("b.eet", &image);
    eet_diff diff = find(&a, &b, &quick);

    ck_assert_int_eq(diff.count, row->name == NULL ? 0 : 1);
    ck_assert_int_eq(diff.count == 0, memcmp(eet_file_content_sha256(diff.file[0]),
                                             eet_file_content_sha256(diff.file[1]), 32) == 0);
    if (row->name != NULL) {
        ck_assert_int_eq(diff.items[0].kind, row->kind);
        ck_assert_str_eq(eet_diff_name(&diff, &diff.items[0], room), row->name);
        ck_assert_uint_eq(diff.items[0].what, row->what);
    }
    const uint32_t count = diff.count;

    eet_diff_free(&diff);
    diff = find(&a, &b, &all);
    ck_assert_int_eq(diff.count, count + (row->noted ? 1 : 0));
    eet_diff_free(&diff);
    eet_image_free(&image);
}
END_TEST

/* Whatever the change: digests and lists agree, and bytes that are no one's digest are found. */
static int compare_changed(const eet_tmp *a, const eet_tmp *b) {
    const eet_diff_options quick = {.quick = true};
    const eet_diff_options bytes = {.provenance = true};
    eet_diff diff = find(a, b, &quick);
    const bool same = memcmp(eet_file_content_sha256(diff.file[0]),
                             eet_file_content_sha256(diff.file[1]), 32) == 0;

    ck_assert_int_eq(diff.count == 0, same);
    eet_diff_free(&diff);
    diff = (eet_diff){.path = {a->path, b->path}, .options = &bytes};
    const eet_status status = eet_diff_find(&diff, NULL);

    ck_assert(status == EET_OK || status == EET_E_CORRUPT);
    ck_assert(status != EET_OK || same || diff.count > 0);
    eet_diff_free(&diff);
    return same ? 1 : 0;
}

START_TEST(random_changes_never_confuse_it)
{
    const eet_sample_model model = eet_image_tiny();
    eet_image original = eet_image_make(&model);
    const eet_tmp a = write_image("a.eet", &original);
    eet_image image = eet_image_copy(&original);
    uint64_t state = UINT64_C(0x9E3779B97F4A7C15);
    int opened = 0;
    int same = 0;

    for (int i = 0; i < 6000; i++) {
        memcpy(image.bytes, original.bytes, (size_t)original.size);
        eet_image_mutate(&image, &original, &state);
        if (seal(&image)) {
            const eet_tmp b = eet_tmp_file("b.eet", image.bytes, image.size);

            opened++;
            same += compare_changed(&a, &b);
        }
    }
    ck_assert_msg(opened > 100 && same > 10 && opened - same > 50, "%d %d", opened, same);
    eet_image_free(&image);
    eet_image_free(&original);
}
END_TEST

/* ---- models -------------------------------------------------------------- */

static eet_tmp write_model(const char *name, const eet_sample_model *model) {
    const eet_tmp path = eet_tmp_path(name);

    eet_sample_write(path.path, model);
    return path;
}

START_TEST(an_alias_is_left_to_the_tensor_that_it_shares)
{
    const eet_diff_options options = {.stats = true};
    eet_sample_model model = eet_sample_decoder(); /* lm is tied to emb.tok */
    const eet_tmp a = write_model("a.eet", &model);

    model.seed++;
    const eet_tmp b = write_model("b.eet", &model);
    eet_diff diff = find(&a, &b, &options);
    eet_comparison c;
    char room[EET_DIFF_NAME_ROOM];
    int token = 0;

    for (uint32_t i = 0; i < diff.count; i++) {
        const char *name = eet_diff_name(&diff, &diff.items[i], room);

        ck_assert_str_ne(name, "head.lm.out.w");
        ck_assert_int_eq(diff.items[i].kind, EET_DIFF_TENSOR);
        ck_assert_uint_eq(diff.items[i].what, EET_DIFF_VALUE);
        ck_assert(eet_diff_compare(&diff, &diff.items[i], &c) && c.max_difference > 0);
        token += strcmp(name, "dec.emb.tok") == 0 ? 1 : 0;
    }
    ck_assert_int_eq(token, 1);
    eet_diff_free(&diff);
}
END_TEST

START_TEST(an_alias_of_another_shape_is_left_to_it_too)
{
    const eet_diff_options options = {.stats = true};
    eet_sample_model model = eet_sample_decoder();
    const eet_tmp a = write_model("a.eet", &model);
    eet_comparison c;
    char room[EET_DIFF_NAME_ROOM];
    int token = 0;

    model.facts.stack[EET_DEC].vocab_rows += 8; /* GPT-2: token types are tokens */
    model.facts.stack[EET_DEC].types += 8;
    model.dtype = EET_BF16;
    const eet_tmp b = write_model("b.eet", &model);
    eet_diff diff = find(&a, &b, &options);

    for (uint32_t i = 0; i < diff.count; i++) {
        const char *name = eet_diff_name(&diff, &diff.items[i], room);
        const bool tokens = strcmp(name, "dec.emb.tok") == 0;

        ck_assert_str_ne(name, "head.lm.out.w");
        token += tokens ? 1 : 0;
        if (diff.items[i].kind == EET_DIFF_TENSOR) {
            ck_assert_uint_eq(diff.items[i].what,
                              EET_DIFF_TYPE | (tokens ? (uint32_t)EET_DIFF_SHAPE : 0U));
            ck_assert_int_eq(eet_diff_compare(&diff, &diff.items[i], &c), !tokens);
        }
    }
    ck_assert_int_eq(token, 1);
    eet_diff_free(&diff);
}
END_TEST

START_TEST(untying_shows_as_an_alias)
{
    const eet_diff_options options = {.metadata_only = true};
    eet_sample_model model = eet_sample_decoder();
    char room[EET_DIFF_NAME_ROOM];

    model.no_bias = true; /* an output of its own may have one */
    const eet_tmp a = write_model("a.eet", &model);

    model.head[0].tied = false;
    model.head[0].out = model.facts.stack[EET_DEC].vocab_rows;
    const eet_tmp b = write_model("b.eet", &model);
    eet_diff diff = find(&a, &b, &options);

    ck_assert_int_eq(diff.count, 1);
    ck_assert_str_eq(eet_diff_name(&diff, &diff.items[0], room), "head.lm.out.w");
    ck_assert_uint_eq(diff.items[0].what, EET_DIFF_ALIAS);
    eet_diff_free(&diff);
}
END_TEST

START_TEST(both_directions_find_the_same)
{
    const eet_diff_options options = {.provenance = true};
    const eet_sample_model decoder = eet_sample_decoder();
    const eet_sample_model both = eet_sample_encoder_decoder();
    const eet_tmp a = write_model("a.eet", &decoder);
    const eet_tmp b = write_model("b.eet", &both);
    eet_diff forth = find(&a, &b, &options);
    eet_diff back = find(&b, &a, &options);

    ck_assert(forth.count == back.count && forth.count > 10);
    for (uint32_t i = 0; i < forth.count; i++) {
        ck_assert_uint_eq(forth.items[i].what, back.items[i].what);
        ck_assert_int_eq(forth.items[i].item[0], back.items[i].item[1]);
        ck_assert_int_eq(forth.items[i].item[1], back.items[i].item[0]);
    }
    eet_diff_free(&forth);
    eet_diff_free(&back);
}
END_TEST

START_TEST(who_is_damaged_is_named)
{
    const eet_diff_options options = {.stats = false};
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp good = write_model("good.eet", &model);
    size_t size = 0;
    unsigned char *bytes = eet_file_slurp(good.path, &size);

    bytes[size / 2] ^= 1;
    const eet_tmp bad = eet_tmp_file("bad.eet", bytes, size);

    free(bytes);
    for (int side = 0; side < 2; side++) {
        eet_diff diff = {.options = &options};
        eet_error err = {.status = EET_OK};

        diff.path[side] = bad.path;
        diff.path[1 - side] = good.path;
        ck_assert_int_eq(eet_diff_find(&diff, &err), EET_E_CORRUPT);
        ck_assert_str_eq(diff.blamed, bad.path);
        eet_diff_free(&diff);
    }
}
END_TEST

/* Pages of this process that are in memory. */
static long resident(void) {
    FILE *stream = fopen("/proc/self/statm", "re");
    long all = 0;
    long now = 0;

    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(fscanf(stream, "%ld %ld", &all, &now), 2);
    (void)fclose(stream);
    return now;
}

START_TEST(a_tensor_that_was_read_gives_its_memory_back)
{
    enum { ROWS = 1 << 17 }; /* x 16 x 4 bytes: 8 MiB, 2,048 pages */
    eet_sample_model model = eet_sample_decoder();
    eet_stack_facts *s = &model.facts.stack[EET_DEC];
    eet_file_tensor t;
    eet_file *file = NULL;

    s->vocab_size = ROWS;
    s->vocab_rows = ROWS;
    s->types = ROWS;
    const eet_tmp path = write_model("large.eet", &model);

    ck_assert_int_eq(eet_file_open(path.path, 0, EET_LOAD_MAP, &file, NULL), EET_OK);
    ck_assert(eet_file_tensor_named(file, "dec.emb.tok", &t));
    const long before = resident();

    ck_assert_int_eq(eet_file_check_sum(file, t.index, NULL), EET_OK);
    const long read = resident();

    eet_file_forget(file, &t);
    const long after = resident();

    ck_assert_msg(read - before > 1900 && after - before < 100, "%ld %ld %ld", before, read, after);
    ck_assert_int_eq(eet_file_check_sum(file, t.index, NULL), EET_OK); /* it comes back */
    eet_file_close(file);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = same_is_the_same_content_digest, .rows = sizeof changes / sizeof changes[0]},
        {.test = random_changes_never_confuse_it},
        {.test = an_alias_is_left_to_the_tensor_that_it_shares},
        {.test = an_alias_of_another_shape_is_left_to_it_too},
        {.test = untying_shows_as_an_alias},
        {.test = both_directions_find_the_same},
        {.test = who_is_damaged_is_named},
        {.test = a_tensor_that_was_read_gives_its_memory_back},
    };
    return eet_suite_run("diff", claims, sizeof claims / sizeof *claims);
}
