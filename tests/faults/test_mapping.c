/* test_mapping.c - what becomes of an open model when others touch its file. refusals.md: 95 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/eet.h"
#include "tests/support/sample_model.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { TOKENS = 3, ROOM = 1 << 16 };

static eet_model *open_model(const char *path, eet_load load) {
    const eet_model_options options = {.size = sizeof options, .load = (int32_t)load};
    eet_model *model = NULL;
    eet_error err = {0};

    ck_assert_msg(eet_model_open(path, &options, &model, &err) == EET_OK, "%s", err.text);
    return model;
}

/* The hidden states of a row: they need every weight of the stack. */
static void run(eet_model *model, float *out) {
    static const int32_t start[] = {0, TOKENS};
    static const int32_t tokens[TOKENS] = {1, 2, 3};
    const eet_session_options options = {.size = sizeof options, .threads = 1};
    const eet_batch batch = {.size = sizeof batch, .rows = 1, .start = start, .tokens = tokens};
    eet_model_info info = {.size = sizeof info};
    eet_session *session = NULL;

    ck_assert_int_eq(eet_model_describe(model, &info, NULL), EET_OK);
    const eet_output output = {.size = sizeof output,
                               .head = EET_HIDDEN,
                               .data = out,
                               .bytes = (uint64_t)TOKENS * (uint64_t)info.hidden * sizeof(float)};

    ck_assert_uint_le(output.bytes, ROOM * sizeof(float));
    ck_assert_int_eq(eet_session_create(model, &options, &session, NULL), EET_OK);
    ck_assert_int_eq(eet_encode(session, &batch, &output, 1, NULL), EET_OK);
    eet_session_destroy(session);
}

static float before[ROOM], after[ROOM];

START_TEST(a_mapped_model_outlives_the_replacement_of_its_file)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_sample_model other = eet_sample_encoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    const eet_tmp fresh = eet_tmp_path("fresh.eet");

    eet_sample_write(path.path, &model);
    eet_sample_write(fresh.path, &other);
    eet_model *open = open_model(path.path, EET_LOAD_MAP);

    run(open, before);
    ck_assert_int_eq(rename(fresh.path, path.path), 0);
    run(open, after);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_int_eq(unlink(path.path), 0);
    run(open, after);
    ck_assert_mem_eq(before, after, sizeof before);
    eet_model_close(open);
}
END_TEST

START_TEST(a_copied_model_outlives_the_loss_of_its_bytes)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("model.eet");

    eet_sample_write(path.path, &model);
    eet_model *open = open_model(path.path, EET_LOAD_COPY);

    run(open, before);
    ck_assert_int_eq(truncate(path.path, 0), 0);
    run(open, after);
    ck_assert_mem_eq(before, after, sizeof before);
    eet_model_close(open);
}
END_TEST

/* What the page promises not to survive: it dies, and never computes with bytes that are lost. */
START_TEST(a_mapped_model_dies_with_its_bytes)
{
    const eet_sample_model model = eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    int ended = 0;

    eet_sample_write(path.path, &model);
    eet_model *open = open_model(path.path, EET_LOAD_MAP);

    ck_assert_int_eq(truncate(path.path, 0), 0);
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)fclose(stderr); /* a sanitizer has much to say */
        run(open, after);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &ended, 0), child);
    ck_assert_msg(!WIFEXITED(ended) || WEXITSTATUS(ended) != 0, "it went on");
    eet_model_close(open);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_mapped_model_outlives_the_replacement_of_its_file},
        {.test = a_copied_model_outlives_the_loss_of_its_bytes},
        {.test = a_mapped_model_dies_with_its_bytes},
    };

    return eet_suite_run("mapping", claims, sizeof claims / sizeof *claims);
}
