/* test_container.c - what the writer wrote, the reader reads: models of every shape come
 * back with their facts, tensors and aliases. */
#include <stdlib.h>
#include <string.h>

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

int main(void) {
    const eet_claim claims[] = {
        {.test = a_decoder_comes_back_as_it_was_written},
        {.test = an_encoder_comes_back_as_it_was_written},
    };
    return eet_suite_run("container", claims, sizeof claims / sizeof *claims);
}
