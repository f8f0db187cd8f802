/* test_takes.c - which of a call's tokens a head reads: the same in a step and an encoding. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/play.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { ROWS = 5, TOKENS = 25, HIDDEN = 16, PAD = 7, AT_ONCE = 8, GIVEN = 4 };

static const int32_t starts[ROWS + 1] = {0, 5, 12, 15, 23, 25};
static const int32_t given[GIVEN] = {0, 6, 6, TOKENS - 1};
static const int32_t ids[TOKENS] = {3, 1, 4, 1, 5, 9,   2, 6,   5, 3,   5,   8,  9,
                                    7, 9, 3, 2, 3, PAD, 4, PAD, 6, PAD, PAD, PAD};

typedef struct stage {
    eet_model *model;
    eet_session *session;
    eet_error err;
} stage;

/* The head gives hidden states as they are; a pass holds AT_ONCE tokens. */
static stage make_stage(int32_t take, bool skip_pad) {
    eet_sample_model sample = eet_sample_decoder();
    eet_head_facts *head = &sample.facts.head[0];

    sample.facts.stack[EET_DEC].tok_pad = PAD;
    sample.head[0] = (eet_sample_head){0};
    head->take = take;
    head->skip_pad = skip_pad;
    stage s = {.model = play_model(&sample)};

    s.session = play_session(
        s.model, (eet_session_options){.max_sequences = ROWS, .max_batch_tokens = AT_ONCE});
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

static eet_batch batch_of(int32_t rows) {
    return (eet_batch){.size = sizeof(eet_batch), .rows = rows, .start = starts, .tokens = ids};
}

static eet_output output_of(int32_t take, float *values, int32_t rows) {
    eet_output output = play_output(0, values, (int64_t)rows * HIDDEN);

    output.take = take;
    output.at = given;
    output.count = GIVEN;
    return output;
}

static void expect_same(const float *a, const float *b, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        ck_assert_msg(fabsf(a[i] - b[i]) <= 1e-5F, "value %d: %g and %g", (int)i, (double)a[i],
                      (double)b[i]);
    }
}

/* Every take, as the head's own (rows 0 to 4) and as the caller's (5 to 9). */
START_TEST(a_step_gives_what_an_encoding_gives)
{
    const int32_t take = 1 + _i % 5;
    const int32_t count = take == EET_TAKE_EVERY ? TOKENS : take == EET_TAKE_GIVEN ? GIVEN : ROWS;
    stage s = make_stage(_i < 5 ? take : EET_TAKE_EVERY, false);
    float values[2][TOKENS * HIDDEN];
    const eet_batch batch = batch_of(ROWS);
    eet_error err = {0};

    memset(values, 0, sizeof values);
    for (int i = 0; i < 2; ++i) {
        const eet_output output = output_of(_i < 5 ? 0 : take, values[i], count);

        play_expect(i == 0 ? eet_encode(s.session, &batch, &output, 1, &err)
                           : eet_step(s.session, &batch, &output, 1, &err),
                    EET_OK);
    }
    expect_same(values[0], values[1], count * HIDDEN);
    ck_assert(values[0][0] != 0.0F);
    end_stage(&s);
}
END_TEST

START_TEST(the_means_of_two_steps_make_the_mean_of_the_text)
{
    stage s = make_stage(EET_TAKE_MEAN, false);
    const int32_t cut[] = {0, 3}, rest[] = {0, 2}, whole[] = {0, 5};
    float mean[3][HIDDEN];
    float both[HIDDEN];
    eet_error err = {0};

    for (int i = 0; i < 3; ++i) {
        const eet_output output = output_of(0, mean[i], 1);
        eet_batch batch = batch_of(1);

        batch.start = i == 0 ? whole : i == 1 ? cut : rest;
        batch.tokens = i == 2 ? ids + 3 : ids;
        play_expect(i == 0 ? eet_encode(s.session, &batch, &output, 1, &err)
                           : eet_step(s.session, &batch, &output, 1, &err),
                    EET_OK);
    }
    for (int i = 0; i < HIDDEN; ++i) {
        both[i] = (3 * mean[1][i] + 2 * mean[2][i]) / 5;
    }
    expect_same(mean[0], both, HIDDEN);
    end_stage(&s);
}
END_TEST

START_TEST(a_mean_over_more_than_a_pass_is_refused_and_leaves_the_sequence)
{
    static const int32_t long_start[] = {0, AT_ONCE + 1};
    stage s = make_stage(EET_TAKE_MEAN, false);
    float values[HIDDEN];
    const eet_output output = output_of(0, values, 1);
    eet_batch batch = batch_of(1);
    eet_error err = {0};

    batch.start = long_start;
    play_expect(eet_step(s.session, &batch, &output, 1, &err), EET_E_LIMIT);
    ck_assert_msg(strstr(err.text, "row 0 has 9 tokens; the session computes 8") != NULL, "%s",
                  err.text);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 0);
    play_expect(eet_step(s.session, &batch, NULL, 0, &err), EET_OK);
    end_stage(&s);
}
END_TEST

/* Rows 3 and 4 end in pads, row 4 is nothing else. */
START_TEST(the_last_token_of_a_head_that_skips_pads_is_no_pad)
{
    static const int32_t last[ROWS] = {4, 11, 14, 21, 23};
    stage s = make_stage(EET_TAKE_LAST, true);
    float every[TOKENS * HIDDEN];
    float values[3][ROWS * HIDDEN];
    const eet_batch batch = batch_of(ROWS);
    const eet_output outputs[] = {output_of(0, values[0], ROWS),
                                  output_of(EET_TAKE_LAST, values[1], ROWS),
                                  output_of(EET_TAKE_EVERY, every, TOKENS)};
    const eet_output again = output_of(0, values[2], ROWS);
    eet_error err = {0};

    play_expect(eet_encode(s.session, &batch, outputs, 3, &err), EET_OK);
    play_expect(eet_step(s.session, &batch, &again, 1, &err), EET_OK);
    for (int r = 0; r < ROWS; ++r) {
        const size_t bytes = HIDDEN * sizeof(float);

        ck_assert_mem_eq(values[0] + r * HIDDEN, every + last[r] * HIDDEN, bytes);
        ck_assert_mem_eq(values[1] + r * HIDDEN, every + (starts[r + 1] - 1) * HIDDEN, bytes);
    }
    expect_same(values[0], values[2], ROWS * HIDDEN);
    end_stage(&s);
}
END_TEST

/* A model without a position table has no longest text: the command makes its session for
 * the rows that come. */
START_TEST(the_command_encodes_rows_of_any_length_where_positions_set_no_bound)
{
    enum { LONG = 5000 };
    const eet_tmp file = eet_tmp_path("unbound.eet");
    const eet_tmp rows = eet_tmp_path("rows.jsonl");
    const eet_tmp out = eet_tmp_path("out.jsonl");
    eet_sample_model sample = eet_sample_encoder();
    eet_stack_facts *facts = &sample.facts.stack[EET_ENC];
    FILE *stream = fopen(rows.path, "w");
    char line[2048];
    size_t bytes = 0;

    facts->pos_table = false;
    facts->pos_rows = 0;
    facts->layers = 1;
    eet_sample_write(file.path, &sample);
    ck_assert_ptr_nonnull(stream);
    for (int row = 0; row < 3; ++row) { /* a short one, a long one, a short one again */
        (void)fprintf(stream, "{\"ids\": [1");
        for (int i = 1; i < (row == 1 ? LONG : 3); ++i) {
            (void)fprintf(stream, ", %d", i % 40);
        }
        (void)fprintf(stream, "]}\n");
    }
    ck_assert_int_eq(fclose(stream), 0);
    (void)snprintf(line, sizeof line, "%s/eet-encode %s --batch 1 <%s >%s", EET_BIN, file.path,
                   rows.path, out.path);
    ck_assert_int_eq(system(line), 0);
    unsigned char *text = eet_file_slurp(out.path, &bytes);
    int lines = 0;

    for (size_t i = 0; i < bytes; ++i) {
        lines += text[i] == '\n' ? 1 : 0;
    }
    free(text);
    ck_assert_int_eq(lines, 3);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_step_gives_what_an_encoding_gives, .rows = 10},
        {.test = the_means_of_two_steps_make_the_mean_of_the_text},
        {.test = a_mean_over_more_than_a_pass_is_refused_and_leaves_the_sequence},
        {.test = the_last_token_of_a_head_that_skips_pads_is_no_pad},
        {.test = the_command_encodes_rows_of_any_length_where_positions_set_no_bound},
    };

    return eet_suite_run("takes", claims, sizeof claims / sizeof *claims);
}
