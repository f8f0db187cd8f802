/* test_session.c - options, bounds and states of sessions; models opened in every way; structs of
 * other versions of the header. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/session.h"
#include "tests/engine/support.h"

static const int32_t ids[] = {3, 14, 15, 9, 2, 6, 5, 35, 8, 9};

static eet_model *decoder(void) {
    const eet_sample_model sample = eet_sample_decoder();

    return open_sample(&sample);
}

START_TEST(a_model_tells_what_it_is)
{
    eet_model *model = decoder();
    eet_model_info info = {.size = sizeof info};
    eet_fact fact = {.size = sizeof fact};
    eet_tensor_info last = {.size = sizeof last};
    char before[64] = "";

    EET_MUST(eet_model_describe(model, &info, err));
    ck_assert_int_eq(info.has_decoder, 1);
    ck_assert_int_eq(info.has_encoder + info.has_cross, 0);
    ck_assert_int_eq(info.hidden, 16);
    ck_assert_int_eq(info.vocab_size, 40);
    ck_assert_int_eq(info.max_positions, 32);
    ck_assert_uint_eq(info.weight_bytes, 4 * info.parameters);
    ck_assert_str_eq(info.family, "gpt2");
    EET_MUST(eet_model_fact(model, "dec.layers", &fact, err));
    ck_assert_int_eq(fact.kind, EET_FACT_INTEGER);
    ck_assert_int_eq(fact.integer, 2);
    EET_MUST(eet_model_fact(model, "dec.act", &fact, err));
    ck_assert_str_eq(fact.text, "gelu_tanh");
    EET_FAILS(eet_model_fact(model, "dec.colour", &fact, err), EET_E_ARGUMENT, "dec.colour");
    for (int32_t i = 0; i < info.tensors; ++i) {
        EET_MUST(eet_model_tensor(model, i, &last, err));
        ck_assert_int_lt(strcmp(before, last.name), 0);
        (void)snprintf(before, sizeof before, "%s", last.name);
    }
    EET_FAILS(eet_model_tensor(model, info.tensors, &last, err), EET_E_ARGUMENT, "tensor");
    eet_model_close(model);
}
END_TEST

START_TEST(a_model_opens_from_a_descriptor_and_from_memory)
{
    eet_model *model = decoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    size_t size = 0;
    unsigned char *bytes = eet_file_slurp(path.path, &size);
    void *aligned = aligned_alloc(4096, size + 4096);
    eet_model *other = NULL;
    const eet_model_options copy = {.size = sizeof copy, .load = EET_LOAD_COPY, .verify = 1};
    const int fd = open(path.path, O_RDONLY);

    eet_model_close(model);
    memcpy((char *)aligned + 64, bytes, size);
    EET_MUST(eet_model_open_fd(fd, NULL, &other, err));
    (void)close(fd);
    eet_session *session = make_session(other, (eet_session_options){.threads = 1});

    eet_model_close(other); /* the session keeps it */
    int32_t start[2];
    const eet_batch batch = row_of(ids, start, 4);

    EET_MUST(eet_step(session, &batch, NULL, 0, err));
    eet_session_destroy(session);
    EET_MUST(eet_model_open_memory((char *)aligned + 64, size, NULL, &other, err));
    eet_model_close(other);
    EET_FAILS(eet_model_open_memory((char *)aligned + 65, size, NULL, &other, err), EET_E_ARGUMENT,
              "aligned");
    EET_MUST(eet_model_open(path.path, &copy, &other, err));
    eet_model_close(other);
    EET_FAILS(eet_model_open("/nowhere/a.eet", NULL, &other, err), EET_E_IO, "/nowhere/a.eet");
    free(aligned);
    free(bytes);
}
END_TEST

START_TEST(what_a_model_cannot_do_is_said)
{
    eet_model *model = decoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    eet_model *other = NULL;
    eet_model_options options = {.size = sizeof options,
                                 .device = EET_CUDA,
                                 .device_index = 4096}; /* nobody has that many */

    EET_FAILS(eet_model_open(path.path, &options, &other, err), EET_E_DEVICE, "CUDA");
    options = (eet_model_options){.size = sizeof options, .device = 9};
    EET_FAILS(eet_model_open(path.path, &options, &other, err), EET_E_ARGUMENT, "no device 9");
    options = (eet_model_options){.size = sizeof options, .dtype = EET_F64};
    EET_FAILS(eet_model_open(path.path, &options, &other, err), EET_E_ARGUMENT, "computed in");
    options.dtype = EET_F32;
    EET_MUST(eet_model_open(path.path, &options, &other, err));
    eet_model_close(other);
    eet_session *session = make_session(model, (eet_session_options){.threads = 1});

    EET_FAILS(eet_source_set(session, 0, NULL, err), EET_E_UNSUPPORTED, "no cross attention");
    eet_session_destroy(session);
    eet_model_close(model);
    const eet_sample_model encoder = eet_sample_encoder();

    model = open_sample(&encoder);
    session = make_session(model, (eet_session_options){.threads = 1});
    int32_t start[2];
    const eet_batch batch = row_of(ids, start, 4);

    EET_FAILS(eet_step(session, &batch, NULL, 0, err), EET_E_UNSUPPORTED, "no decoder");
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(an_encoder_decoder_opens_and_its_encoder_runs)
{
    const eet_sample_model sample = eet_sample_encoder_decoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, (eet_session_options){.threads = 1});
    int32_t start[2];
    const eet_batch batch = row_of(ids, start, 4);
    float hidden[64];
    const eet_output output = {
        .size = sizeof output, .head = EET_HIDDEN, .data = hidden, .bytes = sizeof hidden};

    EET_MUST(eet_encode(session, &batch, &output, 1, err));
    EET_FAILS(eet_step(session, &batch, NULL, 0, err), EET_E_ARGUMENT, "row 0 has no source");
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(a_wrong_batch_leaves_the_session_as_it_was)
{
    eet_model *model = decoder();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = 2});
    const int32_t two[] = {0, 2, 4};
    const int32_t empty[] = {0, 2, 2};
    const int32_t same[] = {1, 1};
    const int32_t wrong[] = {3, 40, 5, 6};
    const int32_t negative[] = {0, 0, -1, 0};
    const eet_batch good = {.size = sizeof good, .rows = 2, .start = two, .tokens = ids};
    eet_batch bad = good;

    EET_MUST(eet_step(session, &good, NULL, 0, err));
    bad.start = empty;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_ARGUMENT, "row 1 has no tokens");
    bad = good;
    bad.sequence = same;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_ARGUMENT, "two rows name sequence 1");
    bad = good;
    bad.tokens = wrong;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_ARGUMENT, "token id 40 in row 0");
    bad = good;
    bad.types = negative;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_ARGUMENT, "token type -1 in row 1");
    bad = good;
    bad.positions = negative;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_ARGUMENT, "position -1 in row 1");
    bad = good;
    bad.source = same;
    EET_FAILS(eet_step(session, &bad, NULL, 0, err), EET_E_UNSUPPORTED, "no cross attention");
    ck_assert_int_eq(eet_sequence_length(session, 0), 2);
    ck_assert_int_eq(eet_sequence_length(session, 1), 2);
    ck_assert_int_eq(eet_sequence_length(session, 2), -1);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(a_wrong_output_is_refused_before_anything_runs)
{
    eet_model *model = decoder();
    eet_session *session = make_session(model, (eet_session_options){.threads = 1});
    int32_t start[2];
    const eet_batch batch = row_of(ids, start, 4);
    const int32_t at[] = {2, 1};
    float room[160];
    const eet_output good = {.size = sizeof good, .data = room, .bytes = sizeof room};
    eet_output bad = good;

    bad.bytes -= 1;
    EET_FAILS(eet_step(session, &batch, &bad, 1, err), EET_E_ARGUMENT, "640 bytes");
    bad = good;
    bad.head = 1;
    EET_FAILS(eet_step(session, &batch, &bad, 1, err), EET_E_ARGUMENT, "no head 1");
    bad = good;
    bad.take = EET_TAKE_GIVEN;
    bad.at = at;
    bad.count = 2;
    EET_FAILS(eet_step(session, &batch, &bad, 1, err), EET_E_ARGUMENT, "at[1] is 1");
    bad = good;
    bad.dtype = EET_I8;
    EET_FAILS(eet_step(session, &batch, &bad, 1, err), EET_E_ARGUMENT, "dtype");
    bad = good;
    bad.memory = EET_CUDA;
    EET_FAILS(eet_step(session, &batch, &bad, 1, err), EET_E_ARGUMENT, "CPU");
    ck_assert_int_eq(eet_sequence_length(session, 0), 0);
    EET_MUST(eet_step(session, &batch, &good, 1, err));
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_with_both_numbers)
{
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_rows = 200;
    eet_model *model = open_sample(&sample);
    int32_t many[201] = {0};
    int32_t start[2];
    eet_session *session = NULL;
    eet_session_options options = {.size = sizeof options, .threads = 1, .max_tokens = 201};

    EET_FAILS(eet_session_create(model, &options, &session, err), EET_E_ARGUMENT,
              "max_tokens is 201; the model has 200 positions");
    session = make_session(model, (eet_session_options){.threads = 1,
                                                        .max_tokens = 150,
                                                        .max_sequences = 2,
                                                        .max_batch_tokens = 64,
                                                        .cache_tokens = 192});
    eet_batch batch = row_of(many, start, 151);

    EET_FAILS(eet_step(session, &batch, NULL, 0, err), EET_E_LIMIT,
              "sequence 0 would have 151 tokens; the session holds 150");
    batch = row_of(many, start, 129);
    EET_MUST(eet_step(session, &batch, NULL, 0, err));
    const int32_t second[] = {1};

    batch = row_of(many, start, 1);
    batch.sequence = second;
    EET_FAILS(eet_step(session, &batch, NULL, 0, err), EET_E_LIMIT,
              "needs 1 pages of 64 tokens; 0 of the cache's 3 are free");
    EET_MUST(eet_sequence_trim(session, 0, 128, err));
    EET_MUST(eet_step(session, &batch, NULL, 0, err));
    batch = row_of(many, start, 65);
    EET_FAILS(eet_encode(session, &batch, NULL, 0, err), EET_E_LIMIT,
              "row 0 has 65 tokens; the session computes 64 at once");
    batch = row_of(many, start, 201);
    EET_FAILS(eet_encode(session, &batch, NULL, 0, err), EET_E_LIMIT,
              "row 0 needs 201 positions; the model has 200");
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(a_session_takes_what_it_measures_and_refuses_nonsense)
{
    eet_model *model = decoder();
    eet_memory_need small = {.size = sizeof small};
    eet_memory_need large = {.size = sizeof large};
    eet_session_options options = {.size = sizeof options, .threads = 1};
    eet_session *session = NULL;

    EET_MUST(eet_session_measure(model, &options, &small, err));
    ck_assert_uint_eq(small.cache_bytes, 2 * 2 * 2 * 64 * 8 * 4); /* one page of 2 layers */
    options.max_sequences = 3;
    options.cache_dtype = EET_F16;
    EET_MUST(eet_session_measure(model, &options, &large, err));
    ck_assert_uint_eq(large.cache_bytes, 3 * small.cache_bytes / 2);
    options.max_sequences = -1;
    EET_FAILS(eet_session_create(model, &options, &session, err), EET_E_ARGUMENT, "max_sequences");
    options.max_sequences = 0;
    options.cache_dtype = EET_I8;
    EET_FAILS(eet_session_create(model, &options, &session, err), EET_E_ARGUMENT, "cache_dtype");
    options.cache_dtype = 0;
    options.threads = 1025;
    EET_FAILS(eet_session_create(model, &options, &session, err), EET_E_LIMIT, "threads");
    eet_model_close(model);
}
END_TEST

/* CUDA's grids have 65535 rows at most. */
START_TEST(no_more_tokens_are_chosen_at_once_than_a_grid_has_rows)
{
    enum { MANY = 65536 };
    eet_model *model = decoder();
    const eet_session_options options = {.size = sizeof options,
                                         .max_sequences = MANY,
                                         .max_batch_tokens = MANY,
                                         .max_outputs = MANY,
                                         .max_tokens = 1};
    eet_limits limits;

    EET_MUST(eet_limits_make(model, &options, &limits, err));
    ck_assert_int_eq(limits.outputs, MANY);
    ck_assert_int_ge(limits.choices, 1024);
    ck_assert_int_lt(limits.choices, MANY);
    eet_model_close(model);
}
END_TEST

static int64_t bytes_up_to_pages(const eet_inputs *in) {
    return (const char *)in->page_table - (const char *)in->slot;
}

/* A step of a session that takes long texts uploads what a step needs. */
START_TEST(inputs_of_few_tokens_lie_together_in_the_memory_of_all)
{
    static const int32_t most[] = {40, EET_FEW_TOKENS, 8192};
    eet_model *model = decoder();
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 1,
                                         .max_sequences = 3,
                                         .max_tokens = 30,
                                         .max_batch_tokens = most[_i]};
    const int32_t few_tokens = most[_i] < EET_FEW_TOKENS ? most[_i] : EET_FEW_TOKENS;
    eet_session *session = NULL;

    EET_MUST(eet_session_create(model, &options, &session, err));
    const eet_inputs *few = &session->inputs[true];
    const eet_inputs *all = &session->inputs[false];

    ck_assert_ptr_eq(few->slot, all->slot);
    ck_assert_ptr_eq(session->work.inputs[true].slot, session->work.inputs[false].slot);
    ck_assert_int_ge(few->ids - (const int32_t *)few->slot, 2 * few_tokens);
    ck_assert_int_ge(all->ids - (const int32_t *)all->slot, 2 * most[_i]);
    ck_assert_int_le(bytes_up_to_pages(few), 32 * few_tokens + 10 * 64);
    ck_assert_int_ge(bytes_up_to_pages(all), 32 * most[_i]);
    ck_assert(most[_i] > few_tokens || few->page_table == all->page_table);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(structs_of_another_version_are_read_to_the_smaller_size)
{
    struct {
        eet_session_options known;
        int32_t unknown[2];
    } longer = {.known = {.size = sizeof longer, .threads = 1}};
    eet_model *model = decoder();
    eet_session *session = NULL;
    eet_session_options shorter = {.size = 8, .threads = 1, .max_sequences = -5};
    struct {
        eet_model_info known;
        int32_t unknown;
    } info = {.known = {.size = sizeof info}, .unknown = 77};

    EET_MUST(eet_session_create(model, &longer.known, &session, err));
    eet_session_destroy(session);
    longer.unknown[1] = 1;
    EET_FAILS(eet_session_create(model, &longer.known, &session, err), EET_E_ARGUMENT,
              "eet_session_options");
    EET_MUST(eet_session_create(model, &shorter, &session, err)); /* the -5 is past its end */
    eet_session_destroy(session);
    shorter.size = 0;
    EET_FAILS(eet_session_create(model, &shorter, &session, err), EET_E_ARGUMENT, "size is 0");
    EET_MUST(eet_model_describe(model, &info.known, err));
    ck_assert_int_eq(info.unknown, 77);
    ck_assert_uint_eq(info.known.size, sizeof info);
    memset(&info, 0, sizeof info);
    info.known.size = offsetof(eet_model_info, heads);
    EET_MUST(eet_model_describe(model, &info.known, err));
    ck_assert_int_eq(info.known.has_decoder, 1);
    ck_assert_int_eq(info.known.hidden, 0);
    eet_model_close(model);
}
END_TEST

START_TEST(an_error_object_tells_of_the_last_call)
{
    eet_model *model = NULL;
    eet_error err;

    memset(&err, 0x5A, sizeof err); /* as it may lie on a caller's stack */
    ck_assert_int_eq(eet_model_open("/nowhere", NULL, &model, &err), EET_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nowhere"));
    ck_assert_int_eq(eet_model_open(NULL, NULL, &model, &err), EET_E_ARGUMENT);
    ck_assert_int_eq(err.status, EET_E_ARGUMENT);
    ck_assert_int_eq(eet_model_open("/nowhere", NULL, &model, NULL), EET_E_IO);
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(the_child_of_a_fork_may_only_destroy)
{
    eet_model *model = decoder();
    eet_session *session = make_session(model, (eet_session_options){.threads = 2});
    int32_t start[2];
    const eet_batch batch = row_of(ids, start, 4);
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        const bool right = eet_step(session, &batch, NULL, 0, NULL) == EET_E_STATE &&
                           eet_sequence_trim(session, 0, 0, NULL) == EET_E_STATE &&
                           eet_source(session, &batch, NULL) == EET_E_STATE &&
                           eet_source_set(session, 0, NULL, NULL) == EET_E_STATE &&
                           eet_sequence_fork(session, 0, 1, NULL) == EET_E_STATE;

        eet_session_destroy(session);
        _exit(right ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    EET_MUST(eet_step(session, &batch, NULL, 0, err));
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* eet-encode runs the first stack, whose states may be narrower than those of the last. */
START_TEST(an_encoding_is_as_wide_as_the_stack_that_runs)
{
    eet_sample_model sample = eet_sample_encoder_decoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    const eet_tmp out = eet_tmp_path("out.npy");
    size_t size = 0;
    int status = 0;

    sample.shared = false;
    sample.facts.stack[EET_DEC].hidden = 48;
    sample.facts.stack[EET_DEC].emb_dim = 48;
    eet_sample_write(path.path, &sample);
    const pid_t child = fork();

    if (child == 0) {
        (void)execl(EET_BIN "/eet-encode", "eet-encode", path.path, "--ids=5,6,7", "--pooling=none",
                    "--format=npy", "-o", out.path, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    unsigned char *npy = eet_file_slurp(out.path, &size);

    ck_assert_uint_eq(size, 128 + 3 * 16 * sizeof(float));
    ck_assert_ptr_nonnull(strstr((const char *)npy + 10, "(3, 16)"));
    free(npy);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_model_tells_what_it_is},
        {.test = a_model_opens_from_a_descriptor_and_from_memory},
        {.test = what_a_model_cannot_do_is_said},
        {.test = an_encoder_decoder_opens_and_its_encoder_runs},
        {.test = a_wrong_batch_leaves_the_session_as_it_was},
        {.test = a_wrong_output_is_refused_before_anything_runs},
        {.test = what_does_not_fit_is_refused_with_both_numbers},
        {.test = a_session_takes_what_it_measures_and_refuses_nonsense},
        {.test = no_more_tokens_are_chosen_at_once_than_a_grid_has_rows},
        {.test = inputs_of_few_tokens_lie_together_in_the_memory_of_all, .rows = 3},
        {.test = structs_of_another_version_are_read_to_the_smaller_size},
        {.test = an_error_object_tells_of_the_last_call},
        {.test = the_child_of_a_fork_may_only_destroy},
        {.test = an_encoding_is_as_wide_as_the_stack_that_runs},
    };

    return eet_suite_run("session", claims, sizeof claims / sizeof *claims);
}
