/* test_container.c - what the writer wrote, the reader reads: models of every shape come
 * back with their facts, tensors and aliases. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/container.h"
#include "format/slots.h"
#include "format/verify.h"
#include "tests/support/sample_model.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static eet_file *open_good(const char *path, int level, eet_load load) {
    eet_file *file = NULL;
    eet_error err;

    eet_error_clear(&err);
    const eet_status status = eet_file_open(path, level, load, &file, &err);

    ck_assert_msg(status == EET_OK, "%s", err.text);
    return file;
}

static eet_file *write_and_open(const eet_sample_model *model) {
    const eet_tmp path = eet_tmp_path("sample.eet");

    eet_sample_write(path.path, model);
    return open_good(path.path, 1, EET_LOAD_MAP);
}

/* Every element of every tensor is the one that was made up. */
static void check_values(const eet_file *file, const eet_sample_model *model) {
    for (int32_t i = 0; i < eet_file_tensors(file); i++) {
        const eet_file_tensor t = eet_file_tensor_at(file, i);
        const float *values = t.data;

        for (uint64_t k = 0; t.alias_of < 0 && k < t.bytes / sizeof *values; k++) {
            ck_assert(values[k] == eet_sample_value(model, t.role, t.layer, t.dims[t.rank - 1], k));
        }
    }
}

static void verify_good(eet_file *file) {
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_file_verify(file, &err) == EET_OK, "%s", err.text);
}

START_TEST(a_decoder_comes_back_as_it_was_written)
{
    const eet_sample_model model = eet_sample_decoder();
    eet_file *file = write_and_open(&model);
    eet_file_tensor t;

    ck_assert_str_eq(eet_file_facts(file)->family, "gpt2");
    ck_assert(!eet_file_facts(file)->stack[EET_ENC].present);
    ck_assert_int_eq(eet_file_facts(file)->stack[EET_DEC].types, 40);
    check_values(file, &model);
    ck_assert(
        eet_file_tensor_bound(file, eet_role(EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, false), 0, &t));
    ck_assert_str_eq(t.name, "head.lm.out.w");
    ck_assert_str_eq(eet_file_tensor_at(file, t.alias_of).name, "dec.emb.tok");
    ck_assert_ptr_eq(t.data, eet_file_tensor_at(file, t.alias_of).data);
    ck_assert(eet_file_tensor_named(file, "dec.0001.attn.qkv.w", &t));
    ck_assert_uint_eq(t.dims[0], 48);
    ck_assert_uint_eq(t.dims[1], 16);
    ck_assert(!eet_file_tensor_named(file, "dec.0002.attn.qkv.w", &t));
    verify_good(file);
    eet_file_close(file);
}
END_TEST

START_TEST(an_encoder_comes_back_as_it_was_written)
{
    const eet_sample_model model = eet_sample_encoder();
    eet_file *file = write_and_open(&model);
    eet_file_tensor t;

    ck_assert_int_eq(eet_file_facts(file)->heads, 2);
    ck_assert_str_eq(eet_file_facts(file)->head[1].name, "pooler");
    ck_assert(eet_file_tensor_named(file, "head.pooler.dense.w", &t));
    ck_assert_int_eq(t.layer, 1);
    ck_assert(!eet_file_tensor_named(file, "head.pooler.out.w", &t));
    ck_assert(eet_file_tensor_named(file, "head.mlm.out.b", &t));
    check_values(file, &model);
    verify_good(file);
    eet_file_close(file);
}
END_TEST

START_TEST(an_encoder_decoder_comes_back_with_both_stacks)
{
    const eet_sample_model model = eet_sample_encoder_decoder();
    eet_file *file = write_and_open(&model);
    const eet_facts *facts = eet_file_facts(file);
    eet_file_tensor token;
    eet_file_tensor t;

    ck_assert(facts->stack[EET_ENC].present && facts->stack[EET_DEC].present);
    ck_assert(facts->stack[EET_DEC].cross && !facts->stack[EET_ENC].cross);
    ck_assert_int_eq(facts->stack[EET_DEC].cross_dim, 16);
    ck_assert_int_eq(facts->stack[EET_DEC].start, 2);
    ck_assert_int_eq(facts->stack[EET_ENC].start, -1);
    ck_assert(eet_file_tensor_named(file, "enc.emb.tok", &token) && token.alias_of == -1);
    ck_assert(eet_file_tensor_named(file, "dec.emb.tok", &t) && t.alias_of == token.index);
    ck_assert(eet_file_tensor_named(file, "head.lm.out.w", &t) && t.alias_of == token.index);
    ck_assert_mem_eq(t.sha256, token.sha256, 32);
    ck_assert_uint_eq(t.offset, token.offset);
    ck_assert(
        eet_file_tensor_bound(file, eet_role(EET_GROUP_DEC, EET_SLOT_CROSS_KV, false), 1, &t));
    ck_assert_str_eq(t.name, "dec.0001.cross.kv.w");
    ck_assert_uint_eq(t.dims[0], 32);
    ck_assert(
        !eet_file_tensor_bound(file, eet_role(EET_GROUP_ENC, EET_SLOT_CROSS_KV, false), 1, &t));
    check_values(file, &model);
    verify_good(file);
    eet_file_close(file);
}
END_TEST

START_TEST(every_way_to_open_gives_the_same_file)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("ways.eet");
    size_t size = 0;

    eet_sample_write(path.path, &model);
    unsigned char *bytes = eet_file_slurp(path.path, &size);
    eet_file *ways[3] = {open_good(path.path, 1, EET_LOAD_COPY), NULL, NULL};
    FILE *stream = fopen(path.path, "rb");

    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(eet_file_open_fd(fileno(stream), 1, EET_LOAD_MAP, &ways[1], NULL), EET_OK);
    ck_assert_int_eq(fclose(stream), 0); /* the descriptor was duplicated */
    ck_assert_int_eq(eet_file_open_memory(bytes, size, 1, &ways[2], NULL), EET_OK);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(eet_file_bytes(ways[i]), size);
        check_values(ways[i], &model);
        verify_good(ways[i]);
        eet_file_close(ways[i]);
    }
    free(bytes);
}
END_TEST

START_TEST(what_is_no_file_is_refused_by_name)
{
    const eet_tmp empty = eet_tmp_file("empty.eet", "", 0);
    const eet_tmp absent = eet_tmp_path("absent.eet");
    const struct {
        const char *path;
        eet_status status;
        const char *says;
    } rows[] = {{absent.path, EET_E_IO, "cannot open: No such file"},
                {empty.path, EET_E_CORRUPT, "too short, 0 bytes"},
                {"/", EET_E_IO, "is a directory"},
                {"/dev/null", EET_E_IO, "is no regular file"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        eet_file *file = NULL;
        eet_error err;

        eet_error_clear(&err);
        ck_assert_int_eq(eet_file_open(rows[i].path, 0, EET_LOAD_MAP, &file, &err), rows[i].status);
        ck_assert_msg(strstr(err.text, rows[i].says) != NULL, "%s: %s", rows[i].path, err.text);
        ck_assert_ptr_null(file);
    }
}
END_TEST

START_TEST(a_mapping_survives_the_replacement_of_its_file)
{
    const eet_sample_model model = eet_sample_decoder();
    eet_sample_model other = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("replaced.eet");

    eet_sample_write(path.path, &model);
    eet_file *before = open_good(path.path, 0, EET_LOAD_MAP);

    other.seed = 99;
    eet_sample_write(path.path, &other);
    eet_file *after = open_good(path.path, 0, EET_LOAD_MAP);

    check_values(before, &model);
    check_values(after, &other);
    verify_good(before);
    eet_file_close(before);
    eet_file_close(after);
}
END_TEST

typedef struct shrinker {
    const char *path;
    off_t size;
    atomic_bool stop;
} shrinker;

static void *shrink_and_grow(void *argument) {
    shrinker *s = argument;

    while (!atomic_load(&s->stop)) {
        (void)!truncate(s->path, 8192);
        (void)!truncate(s->path, s->size);
    }
    return NULL;
}

START_TEST(a_file_that_shrinks_is_an_error_when_it_is_copied)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("shrinks.eet");
    pthread_t thread;
    int refused = 0;

    eet_sample_write(path.path, &model);
    eet_file *whole = open_good(path.path, 0, EET_LOAD_COPY);
    shrinker s = {path.path, (off_t)eet_file_bytes(whole), false};

    ck_assert_int_eq(pthread_create(&thread, NULL, shrink_and_grow, &s), 0);
    for (int i = 0; i < 500; i++) {
        eet_file *file = NULL;
        const eet_status status = eet_file_open(path.path, 1, EET_LOAD_COPY, &file, NULL);

        ck_assert(status == EET_OK || status == EET_E_IO || status == EET_E_CORRUPT);
        refused += status != EET_OK ? 1 : 0;
        eet_file_close(file);
    }
    atomic_store(&s.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_gt(refused, 0);
    check_values(whole, &model); /* a copy does not care */
    eet_file_close(whole);
}
END_TEST

START_TEST(a_large_file_is_checked_by_several_threads)
{
    eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("large.eet");
    eet_file *file = NULL;
    size_t size = 0;
    eet_error err;

    model.facts.stack[EET_DEC].vocab_rows = 200000;
    model.facts.stack[EET_DEC].types = 200000;
    eet_sample_write(path.path, &model);
    eet_file_close(open_good(path.path, 1, EET_LOAD_MAP));
    unsigned char *bytes = eet_file_slurp(path.path, &size);

    eet_error_clear(&err);
    /* Both are wrong: the first in the file is named, whoever finds it. */
    eet_file *good = open_good(path.path, 0, EET_LOAD_MAP);
    eet_file_tensor first;
    eet_file_tensor last;

    ck_assert(eet_file_tensor_named(good, "dec.emb.pos", &first));
    ck_assert(eet_file_tensor_named(good, "dec.norm.b", &last));
    bytes[first.offset] ^= 1;
    bytes[last.offset] ^= 1;
    ck_assert_int_eq(eet_file_open_memory(bytes, size, 1, &file, &err), EET_E_CORRUPT);
    ck_assert_str_eq(err.text,
                     "tensor \"dec.emb.pos\": its checksum is wrong; the file is damaged");
    ck_assert_uint_eq(err.offset, first.offset);
    eet_file_close(good);
    free(bytes);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_decoder_comes_back_as_it_was_written},
        {.test = an_encoder_comes_back_as_it_was_written},
        {.test = an_encoder_decoder_comes_back_with_both_stacks},
        {.test = every_way_to_open_gives_the_same_file},
        {.test = what_is_no_file_is_refused_by_name},
        {.test = a_mapping_survives_the_replacement_of_its_file},
        {.test = a_file_that_shrinks_is_an_error_when_it_is_copied},
        {.test = a_large_file_is_checked_by_several_threads},
    };
    return eet_suite_run("container", claims, sizeof claims / sizeof *claims);
}
