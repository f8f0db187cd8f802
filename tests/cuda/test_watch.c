/* test_watch.c - what helps who looks for a fault on a CUDA device: ranges for a profiler,
 * EET_SYNC, EET_CHECK_FINITE and EET_LOG; over a double of the runtime (double.h), without a
 * device. */
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cuda/on_double.h"

enum { PROMPT = 11 };

static const int32_t ids[PROMPT] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
static const int32_t start[2] = {0, PROMPT};
static const eet_batch prompt = {.size = sizeof prompt, .rows = 1, .start = start, .tokens = ids};
static const eet_model_options on_cuda = {.size = sizeof on_cuda, .device = EET_CUDA};

START_TEST(a_profiler_sees_passes_layers_and_ops_each_within_the_other)
{
    static const char *const parts[] = {"pass(embed()", "layer 0(", "layer 1(", "project()",
                                        "attention()"};
    const eet_tmp path = sample();
    const char *(*text)(void) = NULL;
    eet_model *model = NULL;
    int depth = 0;

    ck_assert_int_eq(setenv("NVTX_INJECTION64_PATH", EET_RANGES, 1), 0);
    void *symbol = symbol_of(EET_RANGES, "eet_ranges_text");

    memcpy(&text, &symbol, sizeof text);
    (void)device();
    ck_assert_int_eq(setenv("EET_SYNC", "1", 1), 0); /* no graphs: each op in its turn */
    EET_MUST(eet_model_open(path.path, &on_cuda, &model, err));
    eet_session *session = make_session(model, (eet_session_options){0});

    ck_assert_str_eq(text(), "");
    EET_MUST(eet_step(session, &prompt, NULL, 0, err));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        ck_assert_msg(strstr(text(), parts[i]) != NULL, "no %s in %s", parts[i], text());
    }
    for (const char *at = text(); *at != '\0'; ++at) {
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
        ck_assert_int_ge(depth, 0);
        ck_assert_int_le(depth, 3);
    }
    ck_assert_int_eq(depth, 0);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(eet_sync_names_the_op_whose_kernel_fails)
{
    static const char *const ops[] = {"embed", "project", "attention"};
    const eet_tmp path = sample();
    eet_double *d = device();
    eet_model *model = NULL;
    eet_model *other = NULL;
    eet_error said = {0};
    char wanted[64];

    ck_assert_int_eq(setenv("EET_SYNC", "1", 1), 0);
    EET_MUST(eet_model_open(path.path, &on_cuda, &model, err));
    eet_session *session = make_session(model, (eet_session_options){0});

    d->code = cudaErrorIllegalAddress;
    (void)strcpy(d->faulty, ops[_i]);
    (void)snprintf(wanted, sizeof wanted, "(%s: an injected error)", ops[_i]);
    ck_assert_int_eq(eet_step(session, &prompt, NULL, 0, &said), EET_E_DEVICE);
    ck_assert_msg(strstr(said.text, wanted) != NULL, "%s", said.text);
    EET_FAILS(eet_step(session, &prompt, NULL, 0, err), EET_E_STATE, "device failed");
    EET_FAILS(eet_model_open(path.path, &on_cuda, &other, err), EET_E_DEVICE, "CUDA");
    EET_MUST(eet_model_open(path.path, NULL, &other, err)); /* the CPU works on */
    eet_session *here = make_session(other, (eet_session_options){0});

    EET_MUST(eet_step(here, &prompt, NULL, 0, err));
    eet_session_destroy(here);
    eet_model_close(other);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* The sample with a NaN as the first value of a tensor. */
static unsigned char *poison(const char *path, const char *tensor, size_t *size) {
    const uint32_t nan = 0x7FC00000;
    eet_tensor_info out = {.size = sizeof out};
    unsigned char *file = eet_file_slurp(path, size);
    unsigned char *bytes = aligned_alloc(4096, (*size + 4095) / 4096 * 4096);
    eet_model *model = NULL;

    EET_MUST(eet_model_open(path, NULL, &model, err));
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, file, *size);
    for (int32_t i = 0; out.name == NULL || strcmp(out.name, tensor) != 0; ++i) {
        EET_MUST(eet_model_tensor(model, i, &out, err));
    }
    const unsigned char *at = memmem(file, *size, out.array.data, 64);

    ck_assert_ptr_nonnull(at);
    memcpy(bytes + (at - file), &nan, sizeof nan);
    eet_model_close(model);
    free(file);
    return bytes;
}

START_TEST(eet_check_finite_names_the_first_value_that_is_no_number)
{
    static const struct {
        const char *tensor, *sentence;
    } poisoned[] = {
        {"dec.0001.attn.out.w",
         "a value is not finite after layer 1 attention, row 0 (token 0 of it, column 0)"},
        {"dec.0000.ffn.fc2.b",
         "a value is not finite after layer 0 feed-forward part, row 0 (token 0 of it, column 0)"},
    };
    const eet_tmp path = sample();
    eet_double *d = device();
    eet_model *model = NULL;
    size_t size = 0;
    unsigned char *bytes = poison(path.path, poisoned[_i].tensor, &size);

    ck_assert_int_eq(setenv("EET_CHECK_FINITE", "1", 1), 0);
    EET_MUST(eet_model_open_memory(bytes, size, &on_cuda, &model, err));
    eet_session *session = make_session(model, (eet_session_options){0});

    EET_FAILS(eet_step(session, &prompt, NULL, 0, err), EET_E_INTERNAL, poisoned[_i].sentence);
    d->code = cudaErrorIllegalAddress; /* values that cannot be read are no finite ones */
    (void)strcpy(d->faulty, "embed");
    EET_FAILS(eet_step(session, &prompt, NULL, 0, err), EET_E_DEVICE, "cannot be read");
    eet_session_destroy(session);
    eet_model_close(model);
    free(bytes);
}
END_TEST

/* What is said on standard error while a model is opened and a session made. */
static void listen(const char *path, const eet_model_options *options, char *said, size_t room) {
    const eet_tmp file = eet_tmp_path("said");
    const int kept = dup(STDERR_FILENO);
    const int to = open(file.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    eet_model *model = NULL;
    eet_session *session = NULL;

    ck_assert_int_ge(dup2(to, STDERR_FILENO), 0);
    if (eet_model_open(path, options, &model, NULL) == EET_OK) {
        (void)eet_session_create(model, NULL, &session, NULL);
    }
    eet_session_destroy(session);
    eet_model_close(model);
    ck_assert_int_ge(dup2(kept, STDERR_FILENO), 0);
    const ssize_t bytes = pread(to, said, room - 1, 0);

    said[bytes > 0 ? bytes : 0] = '\0';
    (void)close(to);
    (void)close(kept);
}

START_TEST(eet_log_tells_where_a_model_runs_and_why_not_on_cuda)
{
    const eet_tmp path = sample();
    eet_double *d = device();
    char said[4096];

    listen(path.path, &on_cuda, said, sizeof said);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(setenv("EET_LOG", "info", 1), 0);
    listen(path.path, &on_cuda, said, sizeof said);
    ck_assert_msg(strstr(said, "on cuda:0") != NULL && strstr(said, "ops cuda") != NULL, "%s",
                  said);
    d->driver = 12040;
    listen(path.path, &on_cuda, said, sizeof said);
    ck_assert_msg(strstr(said, "the driver is for CUDA 12.4") != NULL, "%s", said);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_profiler_sees_passes_layers_and_ops_each_within_the_other},
        {.test = eet_sync_names_the_op_whose_kernel_fails, .rows = 3},
        {.test = eet_check_finite_names_the_first_value_that_is_no_number, .rows = 2},
        {.test = eet_log_tells_where_a_model_runs_and_why_not_on_cuda},
    };

    return eet_suite_run("watch", claims, sizeof claims / sizeof *claims);
}
