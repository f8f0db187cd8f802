/* test_refusals.c - what a session refuses, in which words, and that a refusal leaves it as it
 * was. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { VOCAB = 40, HIDDEN = 16, POSITIONS = 32, SLOTS = 3 };

static const int32_t ids[200] = {5, 6, 7, 8, 9, 10, 11};

typedef struct stage {
    eet_model *model;
    eet_session *session;
    eet_error err;
} stage;

static stage begin_stage(const eet_sample_model *sample, eet_session_options options) {
    stage s = {.model = play_model(sample)};

    options.threads = 1;
    s.session = play_session(s.model, options);
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

static stage decoder_stage(void) {
    const eet_sample_model sample = eet_sample_decoder();

    return begin_stage(&sample, (eet_session_options){.max_sequences = SLOTS});
}

/* Takes `count` tokens into a sequence; the last one's scores. */
static eet_status feed(stage *s, int32_t sequence, int32_t count, float *scores) {
    int32_t start[2];
    const eet_batch batch = play_row(start, ids, count, &sequence);
    eet_output output = play_output(0, scores, VOCAB);

    output.take = EET_TAKE_LAST;
    return eet_step(s->session, &batch, &output, scores != NULL ? 1 : 0, &s->err);
}

/* The sentence of the last refusal has this in it. */
static void expect_words(const stage *s, const char *words) {
    ck_assert_msg(strstr(s->err.text, words) != NULL, "\"%s\" lacks \"%s\"", s->err.text, words);
}

#define REFUSED(s, call, wanted, words)                                     \
    do {                                                                    \
        const eet_status refused_status = (call);                           \
                                                                            \
        ck_assert_msg(refused_status == (wanted), "%s gives %s: %s", #call, \
                      eet_status_name(refused_status), (s)->err.text);      \
        ck_assert_int_eq((s)->err.status, (wanted));                        \
        expect_words(s, words);                                             \
    } while (0)

/* ---- batches --------------------------------------------------------------------------- */

static const int32_t good_start[] = {0, 2, 4}, late_start[] = {1, 2, 4}, empty_row[] = {0, 2, 2};
static const int32_t backwards[] = {0, 3, 1};
static const int32_t large_id[] = {1, 2, VOCAB, 3}, negative_id[] = {1, -1, 2, 3};
static const int32_t twice[] = {1, 1}, far_slot[] = {0, SLOTS}, negative_slot[] = {-1, 0};
static const int32_t far_position[] = {0, 1, 0, POSITIONS}, negative_position[] = {0, -1, 0, 1};

static const struct {
    eet_batch batch;
    eet_status status;
    const char *words;
} bad_batches[] = {
    {{.rows = 0, .start = good_start, .tokens = ids}, EET_E_ARGUMENT, "0 rows"},
    {{.rows = -1, .start = good_start, .tokens = ids}, EET_E_ARGUMENT, "-1 rows"},
    {{.rows = 2, .tokens = ids}, EET_E_ARGUMENT, "starts"},
    {{.rows = 2, .start = good_start}, EET_E_ARGUMENT, "tokens"},
    {{.rows = 2, .start = late_start, .tokens = ids}, EET_E_ARGUMENT, "start[0] is 1"},
    {{.rows = 2, .start = empty_row, .tokens = ids}, EET_E_ARGUMENT, "row 1 has no tokens"},
    {{.rows = 2, .start = backwards, .tokens = ids}, EET_E_ARGUMENT, "ends at 1"},
    {{.rows = 2, .start = good_start, .tokens = large_id},
     EET_E_ARGUMENT,
     "token id 40 in row 1 is outside the vocabulary of 40"},
    {{.rows = 2, .start = good_start, .tokens = negative_id},
     EET_E_ARGUMENT,
     "token id -1 in row 0"},
    {{.rows = 2, .start = good_start, .tokens = ids, .types = large_id}, EET_E_ARGUMENT, "type 40"},
    {{.rows = 2, .start = good_start, .tokens = ids, .types = negative_id},
     EET_E_ARGUMENT,
     "type -1"},
    {{.rows = 2, .start = good_start, .tokens = ids, .positions = far_position},
     EET_E_ARGUMENT,
     "position 32 in row 1 is outside the model's 32"},
    {{.rows = 2, .start = good_start, .tokens = ids, .positions = negative_position},
     EET_E_ARGUMENT,
     "position -1"},
    {{.rows = 2, .start = good_start, .tokens = ids, .sequence = twice},
     EET_E_ARGUMENT,
     "two rows name sequence 1"},
    {{.rows = 2, .start = good_start, .tokens = ids, .sequence = far_slot},
     EET_E_ARGUMENT,
     "asks for sequence 3; the session has 3"},
    {{.rows = 2, .start = good_start, .tokens = ids, .sequence = negative_slot},
     EET_E_ARGUMENT,
     "sequence -1"},
    {{.rows = 2, .start = good_start, .tokens = ids, .source = good_start},
     EET_E_UNSUPPORTED,
     "the model has no cross attention"},
};
enum { BAD_BATCHES = sizeof bad_batches / sizeof *bad_batches };

START_TEST(a_bad_batch_is_refused_and_changes_nothing)
{
    stage s = decoder_stage();
    float scores[2][VOCAB];
    eet_batch batch = bad_batches[_i].batch;

    batch.size = sizeof batch;
    ck_assert_int_eq(feed(&s, 1, 3, NULL), EET_OK);
    REFUSED(&s, eet_step(s.session, &batch, NULL, 0, &s.err), bad_batches[_i].status,
            bad_batches[_i].words);
    for (int32_t i = 0; i < SLOTS; ++i) {
        ck_assert_int_eq(eet_sequence_length(s.session, i), i == 1 ? 3 : 0);
    }
    ck_assert_int_eq(feed(&s, 1, 2, scores[0]), EET_OK);
    end_stage(&s);
    s = decoder_stage(); /* which was never asked */
    ck_assert_int_eq(feed(&s, 1, 3, NULL), EET_OK);
    ck_assert_int_eq(feed(&s, 1, 2, scores[1]), EET_OK);
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    end_stage(&s);
}
END_TEST

START_TEST(more_rows_than_sequences_are_a_limit)
{
    static const int32_t start[] = {0, 1, 2, 3, 4};
    stage s = decoder_stage();
    const eet_batch batch = {.size = sizeof batch, .rows = 4, .start = start, .tokens = ids};

    REFUSED(&s, eet_step(s.session, &batch, NULL, 0, &s.err), EET_E_LIMIT,
            "sequence 3; the session has 3");
    end_stage(&s);
}
END_TEST

/* ---- outputs --------------------------------------------------------------------------- */

static const int32_t far_at[] = {0, 4}, descending[] = {2, 1}, negative_at[] = {-1, 0};

static const struct {
    eet_output output;
    eet_status status;
    const char *words;
} bad_outputs[] = {
    {{.head = 1}, EET_E_ARGUMENT, "no head 1; the model has 1"},
    {{.head = -2}, EET_E_ARGUMENT, "no head -2"},
    {{.take = 6}, EET_E_ARGUMENT, "take 6"},
    {{.take = -1}, EET_E_ARGUMENT, "take -1"},
    {{.dtype = EET_I8}, EET_E_ARGUMENT, "dtype"},
    {{.memory = EET_CUDA}, EET_E_ARGUMENT, "CPU"},
    {{.take = EET_TAKE_GIVEN, .count = 2}, EET_E_ARGUMENT, "count is 2"},
    {{.take = EET_TAKE_GIVEN, .count = -1, .at = far_at}, EET_E_ARGUMENT, "count is -1"},
    {{.take = EET_TAKE_GIVEN, .count = 2, .at = far_at}, EET_E_ARGUMENT, "at[1] is 4"},
    {{.take = EET_TAKE_GIVEN, .count = 2, .at = descending}, EET_E_ARGUMENT, "at[1] is 1"},
    {{.take = EET_TAKE_GIVEN, .count = 2, .at = negative_at}, EET_E_ARGUMENT, "at[0] is -1"},
    {{.bytes = 4 * VOCAB * 4 - 1}, EET_E_ARGUMENT, "needs 640 bytes; there is room for 639"},
    {{.head = EET_HIDDEN, .bytes = 4 * HIDDEN * 4 - 1}, EET_E_ARGUMENT, "needs 256 bytes"},
    {{.take = EET_TAKE_LAST, .dtype = EET_F16, .bytes = 2 * VOCAB * 2 - 1},
     EET_E_ARGUMENT,
     "needs 160 bytes"},
};
enum { BAD_OUTPUTS = sizeof bad_outputs / sizeof *bad_outputs };

START_TEST(a_bad_output_is_refused_and_nothing_is_written)
{
    stage s = decoder_stage();
    const eet_batch batch = {.size = sizeof batch, .rows = 2, .start = good_start, .tokens = ids};
    float data[2][4 * VOCAB];
    float untouched[4 * VOCAB];
    eet_output outputs[] = {play_output(0, data[0], 4 * VOCAB), bad_outputs[_i].output};

    memset(data, 0x5A, sizeof data);
    memset(untouched, 0x5A, sizeof untouched);
    outputs[1].size = sizeof outputs[1];
    outputs[1].data = data[1];
    outputs[1].bytes = outputs[1].bytes == 0 ? sizeof data[1] : outputs[1].bytes;
    REFUSED(&s, eet_step(s.session, &batch, outputs, 2, &s.err), bad_outputs[_i].status,
            bad_outputs[_i].words);
    ck_assert_mem_eq(data[0], untouched, sizeof untouched);
    ck_assert_mem_eq(data[1], untouched, sizeof untouched);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 0);
    outputs[1] = outputs[0];
    outputs[1].data = NULL;
    REFUSED(&s, eet_step(s.session, &batch, outputs, 2, &s.err), EET_E_ARGUMENT, "room for 0");
    REFUSED(&s, eet_step(s.session, &batch, NULL, 1, &s.err), EET_E_ARGUMENT, "1 outputs");
    REFUSED(&s, eet_step(s.session, &batch, outputs, -1, &s.err), EET_E_ARGUMENT, "-1 outputs");
    end_stage(&s);
}
END_TEST

START_TEST(outputs_of_16_bits_are_the_rounded_values)
{
    stage s = decoder_stage();
    const eet_batch batch = {.size = sizeof batch, .rows = 2, .start = good_start, .tokens = ids};
    float exact[4 * VOCAB];
    uint16_t rounded[2][4 * VOCAB];
    eet_output outputs[3];

    for (int i = 0; i < 3; ++i) {
        outputs[i] = play_output(0, exact, 4 * VOCAB);
        outputs[i].dtype = i == 0 ? 0 : i == 1 ? EET_F16 : EET_BF16;
        outputs[i].data = i == 0 ? (void *)exact : (void *)rounded[i - 1];
        outputs[i].bytes = i == 0 ? sizeof exact : sizeof rounded[0];
    }
    ck_assert_int_eq(eet_encode(s.session, &batch, outputs, 3, &s.err), EET_OK);
    for (int i = 0; i < 4 * VOCAB; ++i) {
        ck_assert_uint_eq(rounded[0][i], eet_f32_to_f16(exact[i]));
        ck_assert_uint_eq(rounded[1][i], eet_f32_to_bf16(exact[i]));
    }
    end_stage(&s);
}
END_TEST

/* ---- lengths and pages ----------------------------------------------------------------- */

START_TEST(a_text_beyond_the_positions_is_refused_with_both_numbers)
{
    stage s = decoder_stage();
    float scores[2][VOCAB];
    int32_t start[2];
    const eet_batch whole = play_row(start, ids, POSITIONS + 1, NULL);

    ck_assert_int_eq(feed(&s, 0, POSITIONS - 2, NULL), EET_OK);
    REFUSED(&s, feed(&s, 0, 3, NULL), EET_E_LIMIT, "33");
    expect_words(&s, "32");
    ck_assert_int_eq(eet_sequence_length(s.session, 0), POSITIONS - 2);
    ck_assert_int_eq(feed(&s, 0, 2, scores[0]), EET_OK); /* just full */
    REFUSED(&s, feed(&s, 0, 1, NULL), EET_E_LIMIT, "33");
    REFUSED(&s, eet_encode(s.session, &whole, NULL, 0, &s.err), EET_E_LIMIT,
            "needs 33 positions; the model has 32");
    ck_assert_int_eq(feed(&s, 1, POSITIONS - 2, NULL), EET_OK); /* without the refusals */
    ck_assert_int_eq(feed(&s, 1, 2, scores[1]), EET_OK);
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    end_stage(&s);
}
END_TEST

START_TEST(a_sequence_is_bounded_by_the_session_too)
{
    const eet_sample_model sample = eet_sample_decoder();
    stage s = begin_stage(&sample, (eet_session_options){.max_tokens = 10});

    REFUSED(&s, feed(&s, 0, 11, NULL), EET_E_LIMIT,
            "sequence 0 would have 11 tokens; the session holds 10");
    ck_assert_int_eq(feed(&s, 0, 10, NULL), EET_OK);
    end_stage(&s);
}
END_TEST

static eet_sample_model long_decoder(void) {
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_rows = 200;
    return sample;
}

START_TEST(a_cache_without_pages_is_a_limit_and_trimming_gives_them_back)
{
    const eet_sample_model sample = long_decoder();
    stage s =
        begin_stage(&sample, (eet_session_options){.max_sequences = SLOTS, .cache_tokens = 192});
    float scores[2][VOCAB];

    ck_assert_int_eq(feed(&s, 0, 65, NULL), EET_OK); /* two pages of three */
    ck_assert_int_eq(feed(&s, 1, 64, NULL), EET_OK);
    REFUSED(&s, feed(&s, 2, 1, NULL), EET_E_LIMIT,
            "needs 1 pages of 64 tokens; 0 of the cache's 3");
    REFUSED(&s, feed(&s, 1, 1, NULL), EET_E_LIMIT, "0 of the cache's 3");
    ck_assert_int_eq(eet_sequence_length(s.session, 1), 64);
    ck_assert_int_eq(eet_sequence_length(s.session, 2), 0);
    ck_assert_int_eq(feed(&s, 0, 63, NULL), EET_OK); /* its own pages have room */
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 64, &s.err), EET_OK);
    ck_assert_int_eq(feed(&s, 2, 5, scores[0]), EET_OK); /* the page that came back */
    ck_assert_int_eq(eet_sequence_trim(s.session, 1, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_length(s.session, 1), 0);
    ck_assert_int_eq(feed(&s, 1, 5, scores[1]), EET_OK);
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    end_stage(&s);
}
END_TEST

START_TEST(a_cancelled_step_gives_its_pages_back)
{
    const eet_sample_model sample = long_decoder();
    stage s =
        begin_stage(&sample, (eet_session_options){.max_sequences = SLOTS, .cache_tokens = 192});

    ck_assert_int_eq(feed(&s, 0, 10, NULL), EET_OK);
    eet_session_cancel(s.session);
    REFUSED(&s, feed(&s, 0, 180, NULL), EET_E_CANCELLED, "cancelled"); /* all three pages */
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 10);
    ck_assert_int_eq(feed(&s, 1, 64, NULL), EET_OK);
    ck_assert_int_eq(feed(&s, 2, 64, NULL), EET_OK);
    ck_assert_int_eq(feed(&s, 0, 54, NULL), EET_OK);
    end_stage(&s);
}
END_TEST

START_TEST(a_trimmed_sequence_goes_on_as_if_it_had_ended_there)
{
    const eet_sample_model sample = long_decoder();
    stage s = begin_stage(&sample, (eet_session_options){.max_sequences = SLOTS});
    float scores[2][VOCAB];
    const int32_t kept = _i * 33; /* 0, 33, 66, 99 */

    ck_assert_int_eq(feed(&s, 0, 130, NULL), EET_OK);
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, kept, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), kept);
    ck_assert_int_eq(feed(&s, 0, 7, scores[0]), EET_OK);
    if (kept > 0) {
        ck_assert_int_eq(feed(&s, 1, kept, NULL), EET_OK);
    }
    ck_assert_int_eq(feed(&s, 1, 7, scores[1]), EET_OK);
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    end_stage(&s);
}
END_TEST

START_TEST(trim_and_length_know_the_sequences)
{
    stage s = decoder_stage();

    ck_assert_int_eq(feed(&s, 0, 4, NULL), EET_OK);
    REFUSED(&s, eet_sequence_trim(s.session, SLOTS, 0, &s.err), EET_E_ARGUMENT, "no sequence 3");
    REFUSED(&s, eet_sequence_trim(s.session, -1, 0, &s.err), EET_E_ARGUMENT, "no sequence -1");
    REFUSED(&s, eet_sequence_trim(s.session, 0, 5, &s.err), EET_E_ARGUMENT, "has 4 tokens");
    REFUSED(&s, eet_sequence_trim(s.session, 0, -1, &s.err), EET_E_ARGUMENT, "cannot keep -1");
    ck_assert_int_eq(eet_sequence_length(s.session, SLOTS), -1);
    ck_assert_int_eq(eet_sequence_length(s.session, -1), -1);
    ck_assert_int_eq(eet_sequence_length(NULL, 0), -1);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 4);
    end_stage(&s);
}
END_TEST

START_TEST(an_encoder_has_no_steps_and_encodes_rows_in_one_pass)
{
    const eet_sample_model sample = eet_sample_encoder();
    stage s = begin_stage(&sample, (eet_session_options){.max_batch_tokens = 8});
    int32_t start[2];
    const eet_batch row = play_row(start, ids, 9, NULL);

    REFUSED(&s, eet_step(s.session, &row, NULL, 0, &s.err), EET_E_UNSUPPORTED, "use eet_encode");
    REFUSED(&s, eet_encode(s.session, &row, NULL, 0, &s.err), EET_E_LIMIT,
            "row 0 has 9 tokens; the session computes 8 at once");
    start[1] = 8;
    ck_assert_int_eq(eet_encode(s.session, &row, NULL, 0, &s.err), EET_OK);
    end_stage(&s);
}
END_TEST

START_TEST(a_model_without_cross_attention_takes_no_sources)
{
    stage s = decoder_stage();
    int32_t start[2];
    eet_batch row = play_row(start, ids, 3, NULL);

    REFUSED(&s, eet_source(s.session, &row, &s.err), EET_E_UNSUPPORTED, "no cross attention");
    REFUSED(&s, eet_source_set(s.session, 0, NULL, &s.err), EET_E_UNSUPPORTED,
            "no cross attention");
    row.source = ids;
    REFUSED(&s, eet_encode(s.session, &row, NULL, 0, &s.err), EET_E_UNSUPPORTED,
            "no cross attention");
    end_stage(&s);
}
END_TEST

/* ---- options --------------------------------------------------------------------------- */

static const struct {
    eet_session_options options;
    eet_status status;
    const char *words;
} bad_options[] = {
    {{.threads = -1}, EET_E_ARGUMENT, "threads is -1"},
    {{.threads = 5000}, EET_E_LIMIT, "threads is 5000"},
    {{.max_sequences = -3}, EET_E_ARGUMENT, "max_sequences is -3"},
    {{.max_sequences = 1000000}, EET_E_LIMIT, "max_sequences is 1000000"},
    {{.max_tokens = 33}, EET_E_ARGUMENT, "max_tokens is 33; the model has 32"},
    {{.max_batch_tokens = -1}, EET_E_ARGUMENT, "max_batch_tokens is -1"},
    {{.cache_tokens = -1}, EET_E_ARGUMENT, "cache_tokens is -1"},
    {{.max_outputs = -1}, EET_E_ARGUMENT, "max_outputs is -1"},
    {{.cache_dtype = EET_I8}, EET_E_ARGUMENT, "cache_dtype"},
    {{.max_sources = 1}, EET_E_UNSUPPORTED, "cross attention; the model has none"},
    {{.source_tokens = 1}, EET_E_UNSUPPORTED, "cross attention; the model has none"},
};
enum { BAD_OPTIONS = sizeof bad_options / sizeof *bad_options };

START_TEST(bad_session_options_are_refused_by_name)
{
    stage s = decoder_stage();
    eet_session_options options = bad_options[_i].options;
    eet_session *session = NULL;
    eet_memory_need need = {.size = sizeof need};

    options.size = sizeof options;
    REFUSED(&s, eet_session_create(s.model, &options, &session, &s.err), bad_options[_i].status,
            bad_options[_i].words);
    ck_assert_ptr_null(session);
    REFUSED(&s, eet_session_measure(s.model, &options, &need, &s.err), bad_options[_i].status,
            bad_options[_i].words);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_bad_batch_is_refused_and_changes_nothing, .rows = BAD_BATCHES},
        {.test = more_rows_than_sequences_are_a_limit},
        {.test = a_bad_output_is_refused_and_nothing_is_written, .rows = BAD_OUTPUTS},
        {.test = outputs_of_16_bits_are_the_rounded_values},
        {.test = a_text_beyond_the_positions_is_refused_with_both_numbers},
        {.test = a_sequence_is_bounded_by_the_session_too},
        {.test = a_cache_without_pages_is_a_limit_and_trimming_gives_them_back},
        {.test = a_cancelled_step_gives_its_pages_back},
        {.test = a_trimmed_sequence_goes_on_as_if_it_had_ended_there, .rows = 4},
        {.test = trim_and_length_know_the_sequences},
        {.test = an_encoder_has_no_steps_and_encodes_rows_in_one_pass},
        {.test = a_model_without_cross_attention_takes_no_sources},
        {.test = bad_session_options_are_refused_by_name, .rows = BAD_OPTIONS},
    };

    return eet_suite_run("refusals", claims, sizeof claims / sizeof *claims);
}
