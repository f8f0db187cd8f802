/* test_cross.c - sources of cross attention: what comes out is the oracle's, a row's bits are its
 * own and its source's whoever shares it, and pages are counted. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session.h"
#include "tests/engine/oracle.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { ROWS = 4, TOKENS = 21, SOURCES = 3, SOURCE_TOKENS = 30, VOCAB = 40, NARROW = 24 };

static const int32_t starts[ROWS + 1] = {0, 1, 6, 13, TOKENS};
static const int32_t source_starts[SOURCES + 1] = {0, 1, 12, SOURCE_TOKENS};
static const int32_t looks[ROWS] = {2, 0, 2, 1}; /* two rows share a source */

typedef struct stage {
    eet_sample_model sample;
    eet_model *model;
    eet_session *session;
    int32_t *ids, *source_ids;
    eet_error err;
} stage;

static stage begin(const eet_sample_model *sample, eet_session_options options) {
    uint64_t random = 3;
    stage s = {.sample = *sample, .model = play_model(sample)};

    options.threads = options.threads > 0 ? options.threads : 2;
    s.session = play_session(s.model, options);
    s.ids = play_ids(&random, VOCAB, TOKENS);
    s.source_ids = play_ids(&random, VOCAB, SOURCE_TOKENS);
    s.source_ids[4] = s.source_ids[5] = s.ids[9] = 1; /* pads take no position */
    return s;
}

static void end(stage *s) {
    free(s->ids);
    free(s->source_ids);
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

static eet_batch targets(const stage *s) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = ROWS,
                       .start = starts,
                       .tokens = s->ids,
                       .source = looks};
}

static eet_batch sources(const stage *s) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = SOURCES,
                       .start = source_starts,
                       .tokens = s->source_ids};
}

/* ---- the arithmetic -------------------------------------------------------------- */

static eet_sample_model pair(int32_t form) {
    eet_sample_model m = eet_sample_encoder_decoder();
    eet_stack_facts *enc = &m.facts.stack[EET_ENC];
    eet_stack_facts *dec = &m.facts.stack[EET_DEC];

    enc->pre_norm = (form & 1) != 0;
    enc->final_norm = (form & 1) != 0;
    dec->pre_norm = (form & 2) != 0;
    dec->final_norm = (form & 4) != 0;
    dec->emb_norm = (form & 4) != 0;
    if ((form & 8) != 0) { /* stacks of other sizes */
        m.shared = false;
        enc->hidden = enc->emb_dim = dec->cross_dim = NARROW;
        enc->heads = 3;
        enc->layers = 1;
        dec->heads = 1;
        dec->head_dim = 13;
        dec->layers = 3;
        dec->inv_layer_scale = true;
    }
    return m;
}

/* |ours - truth| <= 1e-4 max(1, max |truth|) */
static void compare(const char *what, int32_t row, const float *ours, const double *truth,
                    int64_t count) {
    double most = 1;

    for (int64_t i = 0; i < count; ++i) {
        most = fmax(most, fabs(truth[i]));
    }
    for (int64_t i = 0; i < count; ++i) {
        ck_assert_msg(fabs((double)ours[i] - truth[i]) <= 1e-4 * most,
                      "%s %d, value %lld is %g, should be %g", what, row, (long long)i,
                      (double)ours[i], truth[i]);
    }
}

static void compare_targets(const stage *s, const float *ours) {
    const int32_t hidden = s->sample.facts.stack[EET_DEC].hidden;

    for (int32_t row = 0; row < ROWS; ++row) {
        const int32_t at = source_starts[looks[row]];
        const oracle_text source = {.count = source_starts[looks[row] + 1] - at,
                                    .ids = s->source_ids + at};
        double *states = oracle_hidden(&s->sample, EET_ENC, &source);
        const oracle_text text = {.count = starts[row + 1] - starts[row],
                                  .ids = s->ids + starts[row],
                                  .source = states,
                                  .source_count = source.count};
        double *truth = oracle_hidden(&s->sample, EET_DEC, &text);

        compare("row", row, ours + (int64_t)starts[row] * hidden, truth,
                (int64_t)text.count * hidden);
        free(truth);
        free(states);
    }
}

START_TEST(both_stacks_compute_what_their_facts_say)
{
    const eet_sample_model sample = pair(_i);
    stage s = begin(&sample, (eet_session_options){.max_sequences = ROWS, .max_sources = SOURCES});
    const eet_batch from = sources(&s);
    const eet_batch to = targets(&s);
    float values[TOKENS * 16];
    float again[TOKENS * 16];
    const eet_output output = play_output(EET_HIDDEN, values, TOKENS * 16);
    const eet_output stepped = play_output(EET_HIDDEN, again, TOKENS * 16);
    eet_error err = {0};

    play_expect(eet_source(s.session, &from, &err), EET_OK);
    play_expect(eet_encode(s.session, &to, &output, 1, &err), EET_OK);
    compare_targets(&s, values);
    play_expect(eet_step(s.session, &to, &stepped, 1, &err), EET_OK);
    ck_assert_mem_eq(values, again, sizeof values);
    end(&s);
}
END_TEST

/* ---- a row's bits are its own ---------------------------------------------------- */

/* Each row alone, in a session that computes `at_once` tokens, its tokens in pieces. */
static void step_alone(const stage *s, int32_t row, int32_t at_once, float *out) {
    eet_session *session =
        play_session(s->model, (eet_session_options){.threads = 1, .max_batch_tokens = at_once});
    const int32_t slot = 0;
    int32_t start[2];
    const int32_t from = source_starts[looks[row]];
    const eet_batch source =
        play_row(start, s->source_ids + from, source_starts[looks[row] + 1] - from, NULL);
    eet_error err = {0};

    play_expect(eet_source(session, &source, &err), EET_OK);
    for (int32_t at = starts[row]; at < starts[row + 1];) {
        const int32_t left = starts[row + 1] - at;
        const int32_t count = left < 3 ? left : 3;
        eet_batch batch = play_row(start, s->ids + at, count, NULL);
        const eet_output output =
            play_output(EET_HIDDEN, out + (int64_t)at * 16, (int64_t)count * 16);

        batch.source = at == starts[row] ? &slot : NULL; /* a sequence keeps to its source */
        play_expect(eet_step(session, &batch, &output, 1, &err), EET_OK);
        at += count;
    }
    eet_session_destroy(session);
}

START_TEST(a_row_has_the_bits_that_it_has_alone)
{
    const eet_sample_model sample = pair(_i);
    stage s = begin(&sample, (eet_session_options){.max_sequences = ROWS,
                                                   .max_sources = SOURCES,
                                                   .max_batch_tokens = 18}); /* passes cut rows */
    const eet_batch from = sources(&s);
    const eet_batch to = targets(&s);
    float values[TOKENS * 16];
    float alone[TOKENS * 16];
    const eet_output output = play_output(EET_HIDDEN, values, TOKENS * 16);
    eet_error err = {0};

    play_expect(eet_source(s.session, &from, &err), EET_OK);
    play_expect(eet_step(s.session, &to, &output, 1, &err), EET_OK);
    for (int32_t row = 0; row < ROWS; ++row) {
        step_alone(&s, row, 18 + row, alone);
    }
    ck_assert_mem_eq(values, alone, sizeof values);
    end(&s);
}
END_TEST

START_TEST(a_fork_looks_at_the_source_of_what_it_was_forked_from)
{
    const eet_sample_model sample = pair(2);
    stage s = begin(&sample, (eet_session_options){.max_sequences = 3, .max_sources = SOURCES});
    const eet_batch from = sources(&s);
    const int32_t slot = 2;
    const int32_t both[] = {0, 2};
    const int32_t two[] = {0, 1, 2};
    const int32_t same[] = {7, 7};
    int32_t start[2];
    eet_batch row = play_row(start, s.ids, 5, NULL);
    float values[2][16];
    const eet_output output = play_output(EET_HIDDEN, values[0], 2 * 16);
    eet_error err = {0};

    row.source = &slot;
    play_expect(eet_source(s.session, &from, &err), EET_OK);
    play_expect(eet_step(s.session, &row, NULL, 0, &err), EET_OK);
    play_expect(eet_sequence_fork(s.session, 0, 2, &err), EET_OK);
    const eet_batch next = {
        .size = sizeof next, .rows = 2, .start = two, .tokens = same, .sequence = both};

    play_expect(eet_step(s.session, &next, &output, 1, &err), EET_OK);
    ck_assert_mem_eq(values[0], values[1], sizeof values[0]);
    play_expect(eet_sequence_trim(s.session, 2, 0, &err), EET_OK);
    play_expect(eet_step(s.session, &next, NULL, 0, &err), EET_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "row 1 has no source"));
    end(&s);
}
END_TEST

/* ---- states that a caller has ------------------------------------------------------ */

/* A decoder whose encoder is elsewhere. */
static eet_sample_model half(void) {
    eet_sample_model m = eet_sample_decoder();

    m.facts.stack[EET_DEC].cross = true;
    m.facts.stack[EET_DEC].cross_dim = NARROW;
    return m;
}

/* Number i of the states, which every dtype can hold. */
static double state(int64_t i) {
    return (double)((i * 37) % 64) / 32 - 1;
}

/* The states, transposed and with gaps, in the dtype. */
static void *states_in(int32_t dtype, eet_array *array) {
    double *data = play_alloc((size_t)SOURCE_TOKENS * NARROW * 2, sizeof *data);

    *array = (eet_array){.size = sizeof *array,
                         .dtype = dtype,
                         .rank = 2,
                         .shape = {SOURCE_TOKENS, NARROW},
                         .stride = {2, SOURCE_TOKENS * 2},
                         .data = data};
    for (int64_t t = 0; t < SOURCE_TOKENS; ++t) {
        for (int64_t i = 0; i < NARROW; ++i) {
            const int64_t at = t * 2 + i * SOURCE_TOKENS * 2;
            const float value = (float)state(t * NARROW + i);
            uint32_t bits = 0;

            memcpy(&bits, &value, sizeof bits);
            if (dtype == EET_F64) {
                data[at] = (double)value;
            } else if (dtype == EET_F32) {
                ((float *)data)[at] = value;
            } else {
                ((uint16_t *)data)[at] = (uint16_t)(bits >> 16);
            }
        }
    }
    return data;
}

START_TEST(given_states_of_any_dtype_are_looked_at_and_none_are_left_out)
{
    static const int32_t dtypes[] = {EET_F32, EET_F64, EET_BF16};
    static const int32_t some[ROWS] = {0, -1, 0, -1};
    const eet_sample_model sample = half();
    stage s = begin(&sample, (eet_session_options){.max_sequences = ROWS, .max_batch_tokens = 7});
    double numbers[SOURCE_TOKENS * NARROW];
    eet_array array;
    void *data = states_in(dtypes[_i], &array);
    eet_batch to = targets(&s);
    float values[TOKENS * 16];
    const eet_output output = play_output(EET_HIDDEN, values, TOKENS * 16);
    eet_error err = {0};

    for (int64_t i = 0; i < SOURCE_TOKENS * NARROW; ++i) {
        numbers[i] = state(i);
    }
    to.source = some;
    play_expect(eet_source_set(s.session, 0, &array, &err), EET_OK);
    play_expect(eet_step(s.session, &to, &output, 1, &err), EET_OK);
    for (int32_t row = 0; row < ROWS; ++row) {
        const oracle_text text = {.count = starts[row + 1] - starts[row],
                                  .ids = s.ids + starts[row],
                                  .source = some[row] == 0 ? numbers : NULL,
                                  .source_count = SOURCE_TOKENS};
        double *truth = oracle_hidden(&sample, EET_DEC, &text);

        compare("row", row, values + (int64_t)starts[row] * 16, truth, (int64_t)text.count * 16);
        free(truth);
    }
    free(data);
    end(&s);
}
END_TEST

/* ---- refusals and pages -------------------------------------------------------------- */

static void expect_refusal(const eet_error *err, const char *words) {
    ck_assert_msg(strstr(err->text, words) != NULL, "said \"%s\", not \"%s\"", err->text, words);
}

START_TEST(pages_of_sources_are_counted_and_come_back)
{
    const eet_sample_model sample = pair(0);
    stage s = begin(&sample, (eet_session_options){.max_sequences = 2,
                                                   .max_sources = 2,
                                                   .source_tokens = 140,
                                                   .max_batch_tokens = 200,
                                                   .cache_tokens = 4 * 64});
    const eet_cache *cache = &s.session->cache;
    int32_t long_ids[140];
    int32_t start[3] = {0, 70, 140};
    const int32_t slot = 1;
    eet_error err = {0};
    eet_batch batch = {.size = sizeof batch, .rows = 2, .start = start, .tokens = long_ids};

    for (int32_t i = 0; i < 140; ++i) {
        long_ids[i] = i % 30 == 0 ? 5 : 1; /* pads take no position: 5 positions in all */
    }
    ck_assert_int_eq(cache->count, 4);
    play_expect(eet_source(s.session, &batch, &err), EET_OK);
    ck_assert_int_eq(cache->free_count, 0);
    batch.rows = 1;
    start[1] = 140;
    batch.source = &slot;
    play_expect(eet_source(s.session, &batch, &err), EET_E_LIMIT);
    expect_refusal(&err, "needs 1 pages of 64 tokens more; 0 of the cache's 4 are free");
    start[1] = 3;
    play_expect(eet_source(s.session, &batch, &err), EET_OK); /* what it held is given up */
    ck_assert_int_eq(cache->free_count, 1);
    play_expect(eet_source_set(s.session, 0, NULL, &err), EET_OK);
    ck_assert_int_eq(cache->free_count, 3);
    play_expect(eet_source_set(s.session, 1, NULL, &err), EET_OK);
    ck_assert_int_eq(cache->free_count, 4);
    eet_session_cancel(s.session);
    play_expect(eet_source(s.session, &batch, &err), EET_E_CANCELLED);
    ck_assert_int_eq(cache->free_count, 4);
    end(&s);
}
END_TEST

START_TEST(what_a_source_cannot_be_is_said)
{
    const eet_sample_model sample = pair(0);
    stage s = begin(&sample, (eet_session_options){.max_sequences = 2, .source_tokens = 12});
    const int32_t twice[] = {1, 1};
    const int32_t far[] = {2};
    const int32_t two[] = {0, 3, 6};
    int32_t start[2];
    eet_batch row = play_row(start, s.source_ids, 13, NULL);
    eet_error err = {0};

    play_expect(eet_source(s.session, &row, &err), EET_E_LIMIT);
    expect_refusal(&err, "source 0 would have 13 tokens; the session holds 12 of each");
    start[1] = 3;
    row.source = far;
    play_expect(eet_source(s.session, &row, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "row 0 names source 2; the session has 2");
    play_expect(eet_step(s.session, &row, NULL, 0, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "row 0 names source 2; the session has 2");
    row.source = twice;
    play_expect(eet_step(s.session, &row, NULL, 0, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "row 0 looks at source 1, which is empty");
    row.rows = 2;
    row.start = two;
    play_expect(eet_source(s.session, &row, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "two rows name source 1");
    eet_array array = {.size = sizeof array, .dtype = EET_F32, .rank = 2, .shape = {3, 15}};

    array.data = start;
    play_expect(eet_source_set(s.session, 0, &array, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "tokens x 16 values; this one has rank 2 and shape 3 x 15");
    array.shape[1] = 16;
    array.dtype = EET_I8;
    play_expect(eet_source_set(s.session, 0, &array, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "a source's dtype is");
    play_expect(eet_source_set(s.session, 2, &array, &err), EET_E_ARGUMENT);
    expect_refusal(&err, "there is no source 2; there are 2");
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 0);
    end(&s);
}
END_TEST

/* ---- beams ------------------------------------------------------------------------- */

/* The best beam of one row. */
static int32_t best_beam(const stage *s, int32_t row, int32_t beams, int32_t *out) {
    eet_session *session =
        play_session(s->model, (eet_session_options){.threads = 1, .max_sequences = ROWS * beams});
    const eet_batch from = sources(s);
    const eet_batch all = targets(s);
    int32_t start[2];
    eet_batch one = play_row(start, s->ids + starts[row], starts[row + 1] - starts[row], NULL);
    const eet_generate_options options = {
        .size = sizeof options, .beams = beams, .max_new_tokens = 8, .ignore_eos = 1};
    eet_generation *generation = NULL;
    eet_event events[64];
    int32_t count = 0;
    eet_error err = {0};
    const bool alone = out[0] == 0;
    eet_beam beam = {.size = sizeof beam};

    one.source = &looks[row];
    play_expect(eet_source(session, &from, &err), EET_OK);
    play_expect(eet_generate_begin(session, alone ? &one : &all, &options, &generation, &err),
                EET_OK);
    do {
        play_expect(eet_generate_next(generation, events, 64, &count, &err), EET_OK);
    } while (count > 0);
    play_expect(eet_generate_beam(generation, alone ? 0 : row, 0, &beam, &err), EET_OK);
    count = beam.count;
    memcpy(out, beam.tokens, sizeof *out * (size_t)count);
    eet_generate_end(generation);
    eet_session_destroy(session);
    return count;
}

START_TEST(beams_of_rows_that_share_a_source_are_those_of_each_alone)
{
    const eet_sample_model sample = pair(8);
    stage s = begin(&sample, (eet_session_options){0});

    for (int32_t row = 0; row < ROWS; ++row) {
        int32_t alone[8] = {0};
        int32_t together[8] = {1};

        ck_assert_int_eq(best_beam(&s, row, 3, alone), 8);
        ck_assert_int_eq(best_beam(&s, row, 3, together), 8);
        ck_assert_mem_eq(alone, together, sizeof alone);
    }
    end(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = both_stacks_compute_what_their_facts_say, .rows = 16},
        {.test = a_row_has_the_bits_that_it_has_alone, .rows = 16},
        {.test = a_fork_looks_at_the_source_of_what_it_was_forked_from},
        {.test = given_states_of_any_dtype_are_looked_at_and_none_are_left_out, .rows = 3},
        {.test = pages_of_sources_are_counted_and_come_back},
        {.test = what_a_source_cannot_be_is_said},
        {.test = beams_of_rows_that_share_a_source_are_those_of_each_alone},
    };

    return eet_suite_run("cross", claims, sizeof claims / sizeof *claims);
}
