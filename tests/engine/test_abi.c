/* test_abi.c - structs of an older or a newer header, calls without an error to fill, and what a
 * model tells of itself. */
#include <check.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/engine/play.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { TAIL = 24 };

static eet_model *decoder_model(void) {
    const eet_sample_model sample = eet_sample_decoder();

    return play_model(&sample);
}

/* A struct of the next version: ours and a tail. */
typedef struct longer {
    union {
        eet_model_options model;
        eet_session_options session;
        eet_batch batch;
        eet_output output;
        eet_generate_options generate;
        uint32_t size;
        char bytes[256];
    } at;
} longer;

typedef eet_status try_struct(eet_model *model, const longer *l, uint32_t size);

static eet_status try_model(eet_model *model, const longer *l, uint32_t size) {
    const eet_tmp file = eet_tmp_path("model.eet");
    eet_model *other = NULL;
    longer own = *l;

    (void)model;
    own.at.size = size;
    const eet_status status = eet_model_open(file.path, &own.at.model, &other, NULL);

    eet_model_close(other);
    return status;
}

static eet_status try_session(eet_model *model, const longer *l, uint32_t size) {
    eet_session *session = NULL;
    longer own = *l;

    own.at.size = size;
    const eet_status status = eet_session_create(model, &own.at.session, &session, NULL);

    eet_session_destroy(session);
    return status;
}

static const int32_t one_start[] = {0, 2}, two_tokens[] = {3, 4};

static eet_status try_batch(eet_model *model, const longer *l, uint32_t size) {
    eet_session *session = play_session(model, (eet_session_options){.threads = 1});
    longer own = *l;

    own.at.batch.rows = 1;
    own.at.batch.start = one_start;
    own.at.batch.tokens = two_tokens;
    own.at.size = size;
    const eet_status status = eet_step(session, &own.at.batch, NULL, 0, NULL);

    eet_session_destroy(session);
    return status;
}

static eet_status try_output(eet_model *model, const longer *l, uint32_t size) {
    eet_session *session = play_session(model, (eet_session_options){.threads = 1});
    int32_t start[2];
    float scores[80];
    const eet_batch batch = play_row(start, two_tokens, 2, NULL);
    longer own = *l;

    own.at.output.data = scores;
    own.at.output.bytes = sizeof scores;
    own.at.size = size;
    const eet_status status = eet_step(session, &batch, &own.at.output, 1, NULL);

    eet_session_destroy(session);
    return status;
}

static eet_status try_generate(eet_model *model, const longer *l, uint32_t size) {
    eet_session *session = play_session(model, (eet_session_options){.threads = 1});
    eet_generation *generation = NULL;
    int32_t start[2];
    const eet_batch batch = play_row(start, two_tokens, 2, NULL);
    longer own = *l;

    own.at.size = size;
    const eet_status status =
        eet_generate_begin(session, &batch, &own.at.generate, &generation, NULL);

    eet_generate_end(generation);
    eet_session_destroy(session);
    return status;
}

static const struct {
    try_struct *call;
    uint32_t bytes, enough; /* its size, and the least that says what it must */
} structs[] = {
    {try_model, sizeof(eet_model_options), 4},
    {try_session, sizeof(eet_session_options), 4},
    {try_batch, sizeof(eet_batch), offsetof(eet_batch, types)},
    {try_output, sizeof(eet_output), sizeof(eet_output)},
    {try_generate, sizeof(eet_generate_options), 4},
};
enum { STRUCTS = sizeof structs / sizeof *structs };

START_TEST(structs_may_be_shorter_and_longer_but_not_ask_for_the_unknown)
{
    eet_model *model = decoder_model();
    const uint32_t bytes = structs[_i].bytes;
    longer l = {0};

    ck_assert_int_eq(structs[_i].call(model, &l, bytes), EET_OK);
    ck_assert_int_eq(structs[_i].call(model, &l, structs[_i].enough), EET_OK);
    ck_assert_int_eq(structs[_i].call(model, &l, bytes + TAIL), EET_OK);
    for (uint32_t size = 0; size < 4; ++size) {
        ck_assert_int_eq(structs[_i].call(model, &l, size), EET_E_ARGUMENT);
    }
    for (uint32_t i = 0; i < TAIL; ++i) { /* each byte of the tail counts */
        l.at.bytes[bytes + i] = 1;
        ck_assert_int_eq(structs[_i].call(model, &l, bytes + TAIL), EET_E_ARGUMENT);
        ck_assert_int_eq(structs[_i].call(model, &l, bytes + i), EET_OK);
        l.at.bytes[bytes + i] = 0;
    }
    eet_model_close(model);
}
END_TEST

/* Fills a struct of `size` bytes that lies in a field of 0xEE. */
typedef eet_status fill_struct(const eet_model *model, void *out);

static eet_status fill_info(const eet_model *model, void *out) {
    return eet_model_describe(model, out, NULL);
}
static eet_status fill_fact(const eet_model *model, void *out) {
    return eet_model_fact(model, "dec.layers", out, NULL);
}
static eet_status fill_tensor(const eet_model *model, void *out) {
    return eet_model_tensor(model, 0, out, NULL);
}
static eet_status fill_head(const eet_model *model, void *out) {
    return eet_model_head(model, 0, out, NULL);
}
static eet_status fill_need(const eet_model *model, void *out) {
    return eet_session_measure(model, NULL, out, NULL);
}

static eet_status fill_use(const eet_model *model, void *out) {
    eet_session *session = NULL;
    eet_status status = eet_session_create((eet_model *)(uintptr_t)model, NULL, &session, NULL);

    if (status == EET_OK) {
        status = eet_session_memory(session, out, NULL);
    }
    eet_session_destroy(session);
    return status;
}

static const struct {
    fill_struct *fill;
    uint32_t bytes;
} filled[] = {{fill_info, sizeof(eet_model_info)},    {fill_fact, sizeof(eet_fact)},
              {fill_tensor, sizeof(eet_tensor_info)}, {fill_head, sizeof(eet_head_info)},
              {fill_need, sizeof(eet_memory_need)},   {fill_use, sizeof(eet_memory_use)}};
enum { FILLED = sizeof filled / sizeof *filled };

START_TEST(outputs_are_filled_to_the_smaller_size)
{
    eet_model *model = decoder_model();
    const uint32_t bytes = filled[_i].bytes;
    _Alignas(16) unsigned char whole[512];
    _Alignas(16) unsigned char part[512];

    for (uint32_t size = 4; size <= bytes + TAIL; size += 4) {
        memset(whole, 0xEE, sizeof whole);
        memset(part, 0xEE, sizeof part);
        memcpy(whole, &bytes, sizeof bytes);
        memcpy(part, &size, sizeof size);
        const uint32_t end = size < bytes ? size : bytes;

        ck_assert_int_eq(filled[_i].fill(model, whole), EET_OK);
        ck_assert_int_eq(filled[_i].fill(model, part), EET_OK);
        ck_assert_mem_eq(part, &size, 4); /* its size stays */
        ck_assert_mem_eq(part + 4, whole + 4, end - 4);
        for (uint32_t i = end; i < sizeof part; ++i) {
            ck_assert_uint_eq(part[i], 0xEE);
        }
    }
    memset(part, 0, sizeof part);
    ck_assert_int_eq(filled[_i].fill(model, part), EET_E_ARGUMENT); /* no size */
    ck_assert_int_eq(filled[_i].fill(model, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(filled[_i].fill(NULL, whole), EET_E_ARGUMENT);
    eet_model_close(model);
}
END_TEST

START_TEST(no_call_needs_an_error_and_null_is_an_argument)
{
    eet_model *model = decoder_model();
    eet_model *none = NULL;
    eet_session *session = play_session(model, (eet_session_options){.threads = 1});
    eet_session *no_session = NULL;
    eet_generation *generation = NULL;

    ck_assert_int_eq(eet_model_open("/nowhere/at/all.eet", NULL, &none, NULL), EET_E_IO);
    ck_assert_int_eq(eet_model_open(NULL, NULL, &none, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_model_open_fd(-1, NULL, &none, NULL), EET_E_IO);
    ck_assert_int_eq(eet_model_open_memory(NULL, 0, NULL, &none, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_session_create(NULL, NULL, &no_session, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_session_create(model, NULL, NULL, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_step(NULL, NULL, NULL, 0, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_step(session, NULL, NULL, 0, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_encode(session, NULL, NULL, 0, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_sequence_trim(NULL, 0, 0, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_sequence_export(NULL, 0, 0, NULL, NULL, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_begin(session, NULL, NULL, &generation, NULL), EET_E_ARGUMENT);
    ck_assert_ptr_null(none);
    ck_assert_ptr_null(no_session);
    ck_assert_ptr_null(generation);
    eet_session_cancel(NULL);
    eet_session_destroy(NULL);
    eet_model_close(NULL);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(model_options_that_cannot_be_met_are_refused)
{
    static const struct {
        eet_model_options options;
        eet_status status;
    } asked[] = {{{.device = EET_CUDA, .device_index = 4096}, EET_E_DEVICE},
                 {{.device = 7}, EET_E_ARGUMENT},
                 {{.device_index = 1}, EET_E_ARGUMENT},
                 {{.dtype = 99}, EET_E_ARGUMENT},
                 {{.dtype = EET_F16}, EET_OK},
                 {{.verify = 2}, EET_E_ARGUMENT},
                 {{.load = 2}, EET_E_ARGUMENT},
                 {{.dtype = EET_F32}, EET_OK}};
    const eet_tmp file = eet_tmp_path("model.eet");
    eet_model *model = decoder_model();
    eet_model *other = NULL;

    for (size_t i = 0; i < sizeof asked / sizeof *asked; ++i) {
        eet_model_options options = asked[i].options;

        options.size = sizeof options;
        ck_assert_int_eq(eet_model_open(file.path, &options, &other, NULL), asked[i].status);
        if (asked[i].status == EET_OK) {
            eet_model_close(other);
        }
    }
    eet_model_close(model);
}
END_TEST

START_TEST(a_model_is_the_same_by_path_descriptor_and_memory)
{
    const eet_tmp file = eet_tmp_path("model.eet");
    eet_model *models[3] = {decoder_model(), NULL, NULL};
    eet_model_info info[3];
    size_t size = 0;
    unsigned char *bytes = eet_file_slurp(file.path, &size);
    unsigned char *aligned = aligned_alloc(64, (size + 127) / 64 * 64);
    const int fd = open(file.path, O_RDONLY);
    eet_error err = {0};

    ck_assert_ptr_nonnull(aligned);
    memcpy(aligned, bytes, size);
    play_expect(eet_model_open_fd(fd, NULL, &models[1], &err), EET_OK);
    ck_assert_int_eq(close(fd), 0); /* it was duplicated */
    play_expect(eet_model_open_memory(aligned, size, NULL, &models[2], &err), EET_OK);
    for (int i = 0; i < 3; ++i) {
        memset(&info[i], 0, sizeof info[i]);
        info[i].size = sizeof info[i];
        play_expect(eet_model_describe(models[i], &info[i], &err), EET_OK);
        ck_assert_mem_eq(&info[i], &info[0], sizeof info[0]);
        eet_model_close(models[i]);
    }
    models[2] = NULL;
    play_expect(eet_model_open_memory(aligned + 1, size, NULL, &models[2], &err), EET_E_ARGUMENT);
    free(bytes);
    free(aligned);
}
END_TEST

START_TEST(a_model_describes_itself)
{
    eet_model *model = decoder_model();
    eet_model_info info = {.size = sizeof info};
    eet_tensor_info tensor = {.size = sizeof tensor};
    eet_tensor_info before = {.size = sizeof before};
    eet_head_info head = {.size = sizeof head};
    eet_error err = {0};

    play_expect(eet_model_describe(model, &info, &err), EET_OK);
    ck_assert_int_eq(info.has_decoder, 1);
    ck_assert_int_eq(info.has_encoder + info.has_cross, 0);
    ck_assert_int_eq(info.hidden, 16);
    ck_assert_int_eq(info.vocab_size, 40);
    ck_assert_int_eq(info.max_positions, 32);
    ck_assert_str_eq(info.family, "gpt2");
    ck_assert_uint_eq(info.weight_bytes, 4 * info.parameters);
    for (int32_t i = 0; i < info.tensors; ++i) {
        play_expect(eet_model_tensor(model, i, &tensor, &err), EET_OK);
        ck_assert(i == 0 || strcmp(before.name, tensor.name) < 0);
        ck_assert_int_eq(tensor.array.dtype, EET_F32);
        ck_assert_ptr_nonnull(tensor.array.data);
        before = tensor;
    }
    play_expect(eet_model_tensor(model, info.tensors, &tensor, &err), EET_E_ARGUMENT);
    play_expect(eet_model_tensor(model, -1, &tensor, &err), EET_E_ARGUMENT);
    play_expect(eet_model_head(model, 0, &head, &err), EET_OK);
    ck_assert_str_eq(head.name, "lm");
    ck_assert_int_eq(head.width, 40);
    ck_assert_int_eq(head.take, EET_TAKE_EVERY);
    play_expect(eet_model_head(model, 1, &head, &err), EET_E_ARGUMENT);
    eet_model_close(model);
}
END_TEST

START_TEST(facts_have_their_kinds)
{
    eet_model *model = decoder_model();
    eet_fact fact = {.size = sizeof fact};
    eet_error err = {0};

    play_expect(eet_model_fact(model, "dec.layers", &fact, &err), EET_OK);
    ck_assert_int_eq(fact.kind, EET_FACT_INTEGER);
    ck_assert_int_eq(fact.integer, 2);
    play_expect(eet_model_fact(model, "dec.norm_eps", &fact, &err), EET_OK);
    ck_assert_int_eq(fact.kind, EET_FACT_REAL);
    ck_assert_double_eq(fact.real, 1e-5);
    play_expect(eet_model_fact(model, "dec.pre_norm", &fact, &err), EET_OK);
    ck_assert_int_eq(fact.kind, EET_FACT_BOOL);
    ck_assert_int_eq(fact.integer, 1);
    play_expect(eet_model_fact(model, "dec.act", &fact, &err), EET_OK);
    ck_assert_int_eq(fact.kind, EET_FACT_TEXT);
    ck_assert_str_eq(fact.text, "gelu_tanh");
    play_expect(eet_model_fact(model, "enc.layers", &fact, &err), EET_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "enc.layers"));
    play_expect(eet_model_fact(model, NULL, &fact, &err), EET_E_ARGUMENT);
    eet_model_close(model);
}
END_TEST

START_TEST(the_library_tells_its_version)
{
    ck_assert_uint_eq(eet_abi(), (uint32_t)EET_ABI_MAJOR << 16 | EET_ABI_MINOR);
    ck_assert_str_eq(eet_version(), EET_VERSION);
    ck_assert_str_eq(eet_status_name(EET_OK), "EET_OK");
    ck_assert_str_eq(eet_status_name(EET_E_LIMIT), "EET_E_LIMIT");
    ck_assert_uint_eq(sizeof(eet_error), 512);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = structs_may_be_shorter_and_longer_but_not_ask_for_the_unknown, .rows = STRUCTS},
        {.test = outputs_are_filled_to_the_smaller_size, .rows = FILLED},
        {.test = no_call_needs_an_error_and_null_is_an_argument},
        {.test = model_options_that_cannot_be_met_are_refused},
        {.test = a_model_is_the_same_by_path_descriptor_and_memory},
        {.test = a_model_describes_itself},
        {.test = facts_have_their_kinds},
        {.test = the_library_tells_its_version},
    };

    return eet_suite_run("abi", claims, sizeof claims / sizeof *claims);
}
