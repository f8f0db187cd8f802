/* test_scores.c - eet_score: log-probabilities of given ids, however the call is cut, and what it
 * leaves behind. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/support.h"

enum { VOCAB = 40, ROWS = 4, TOKENS = 60, TOPS = 5 };

static const int32_t start[ROWS + 1] = {0, 27, 28, 30, TOKENS};

static void fill_ids(int32_t *ids) {
    for (int32_t i = 0; i < TOKENS; ++i) {
        ids[i] = (i * 17 + i / 7 * 5) % VOCAB;
    }
}

static eet_batch batch_of(const int32_t *ids) {
    return (eet_batch){.size = sizeof(eet_batch), .rows = ROWS, .start = start, .tokens = ids};
}

/* Log-probabilities of the whole vocabulary after (encoder: at) each token. */
static void plain_scores(eet_session *session, const eet_batch *batch, double (*log_prob)[VOCAB]) {
    static float scores[TOKENS][VOCAB];
    const eet_output output = {
        .size = sizeof output, .take = EET_TAKE_EVERY, .data = scores, .bytes = sizeof scores};

    EET_MUST(eet_encode(session, batch, &output, 1, err));
    for (int32_t i = 0; i < TOKENS; ++i) {
        double sum = 0;

        for (int32_t v = 0; v < VOCAB; ++v) {
            sum += exp((double)scores[i][v]);
        }
        for (int32_t v = 0; v < VOCAB; ++v) {
            log_prob[i][v] = (double)scores[i][v] - log(sum);
        }
    }
}

typedef struct result {
    float log_prob[TOKENS];
    int32_t top[TOKENS][TOPS];
    float top_log_prob[TOKENS][TOPS];
} result;

static eet_scores room_in(result *r) {
    memset(r, 0xEE, sizeof *r);
    return (eet_scores){.size = sizeof(eet_scores),
                        .top = TOPS,
                        .log_prob = r->log_prob,
                        .top_token = r->top[0],
                        .top_log_prob = r->top_log_prob[0]};
}

static void expect_scores(const result *r, const int32_t *target, double (*log_prob)[VOCAB]) {
    for (int32_t i = 0; i < TOKENS; ++i) {
        if (target[i] < 0) {
            ck_assert(isnan(r->log_prob[i]));
            ck_assert_int_eq(r->top[i][0], -1);
            ck_assert(isnan(r->top_log_prob[i][TOPS - 1]));
            continue;
        }
        ck_assert_double_eq_tol((double)r->log_prob[i], log_prob[i][target[i]], 1e-5);
        for (int32_t n = 0; n < TOPS; ++n) {
            int32_t better = 0;

            for (int32_t v = 0; v < VOCAB; ++v) {
                better += log_prob[i][v] > log_prob[i][r->top[i][n]] ? 1 : 0;
            }
            ck_assert_int_eq(better, n);
            ck_assert_double_eq_tol((double)r->top_log_prob[i][n], log_prob[i][r->top[i][n]], 1e-5);
        }
    }
}

/* What follows each token in its row. */
static void successors(const int32_t *ids, int32_t *target) {
    for (int32_t r = 0; r < ROWS; ++r) {
        for (int32_t i = start[r]; i < start[r + 1]; ++i) {
            target[i] = i + 1 < start[r + 1] ? ids[i + 1] : -1;
        }
    }
}

/* Targets as they come, with gaps, one with none at all in a row. */
static void some_targets(const int32_t *ids, int32_t *target) {
    for (int32_t i = 0; i < TOKENS; ++i) {
        target[i] = i % 3 == 1 || (i >= 28 && i < 40) ? -1 : (ids[i] + i) % VOCAB;
    }
}

static const eet_session_options cuts[] = {
    {.threads = 1, .max_sequences = ROWS, .max_batch_tokens = 128},
    {.threads = 2, .max_sequences = ROWS, .max_batch_tokens = 7, .max_outputs = 3},
    {.threads = 1, .max_sequences = ROWS, .max_batch_tokens = 1},
    {.threads = 3, .max_sequences = 9, .max_batch_tokens = 29, .max_outputs = 100},
};
enum { CUTS = sizeof cuts / sizeof *cuts };

START_TEST(scores_are_the_models_log_softmax_however_the_call_is_cut)
{
    static double log_prob[TOKENS][VOCAB];
    static result r[2];
    int32_t ids[TOKENS];
    int32_t target[TOKENS];
    eet_sample_model sample = eet_sample_decoder();
    eet_model *model = open_sample(&sample);
    const eet_batch batch = batch_of(ids);

    fill_ids(ids);
    eet_session *session = make_session(model, cuts[0]);

    plain_scores(session, &batch, log_prob);
    eet_session_destroy(session);
    session = make_session(model, cuts[_i]);
    for (int32_t given = 0; given < 2; ++given) {
        const eet_scores out = room_in(&r[given]);

        given == 0 ? successors(ids, target) : some_targets(ids, target);
        EET_MUST(eet_score(session, &batch, given == 0 ? NULL : target, &out, err));
        expect_scores(&r[given], target, log_prob);
        for (int32_t i = 0; i < ROWS; ++i) { /* appended, as by a step */
            ck_assert_int_eq(eet_sequence_length(session, i), start[i + 1] - start[i]);
            EET_MUST(eet_sequence_trim(session, i, 0, err));
        }
    }
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(scoring_goes_on_from_what_a_sequence_holds)
{
    static result whole;
    static result rest;
    int32_t ids[TOKENS];
    int32_t own[2];
    eet_sample_model sample = eet_sample_decoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, cuts[1]);
    const eet_scores all = room_in(&whole);
    const eet_scores later = room_in(&rest);

    fill_ids(ids);
    const eet_batch row = row_of(ids, own, 20);

    EET_MUST(eet_score(session, &row, NULL, &all, err));
    EET_MUST(eet_sequence_trim(session, 0, 12, err));
    const eet_batch end = row_of(ids + 12, own, 8);

    EET_MUST(eet_score(session, &end, NULL, &later, err));
    ck_assert_mem_eq(rest.log_prob, whole.log_prob + 12, 7 * sizeof(float));
    ck_assert_mem_eq(rest.top, whole.top + 12, 7 * sizeof whole.top[0]);
    ck_assert_int_eq(eet_sequence_length(session, 0), 20);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(an_encoder_scores_ids_in_their_places)
{
    static double log_prob[TOKENS][VOCAB];
    static result r;
    int32_t ids[TOKENS];
    int32_t target[TOKENS];
    eet_sample_model sample = eet_sample_encoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(
        model,
        (eet_session_options){.threads = 1, .max_batch_tokens = 64 - 16 * _i, .max_outputs = 5});
    const eet_batch batch = batch_of(ids);
    const eet_scores out = room_in(&r);

    fill_ids(ids);
    some_targets(ids, target);
    plain_scores(session, &batch, log_prob);
    EET_MUST(eet_score(session, &batch, target, &out, err));
    expect_scores(&r, target, log_prob);
    EET_FAILS(eet_score(session, &batch, NULL, &out, err), EET_E_ARGUMENT, "targets");
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(what_is_not_wanted_needs_no_room)
{
    static result r;
    static float log_prob[TOKENS];
    int32_t ids[TOKENS];
    int32_t none[TOKENS];
    eet_sample_model sample = eet_sample_decoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, cuts[0]);
    const eet_batch batch = batch_of(ids);
    eet_scores out = room_in(&r);

    fill_ids(ids);
    EET_MUST(eet_score(session, &batch, NULL, &out, err));
    for (int32_t i = 0; i < ROWS; ++i) {
        EET_MUST(eet_sequence_trim(session, i, 0, err));
    }
    const eet_scores plain = {.size = sizeof plain, .log_prob = log_prob};

    EET_MUST(eet_score(session, &batch, NULL, &plain, err));
    for (int32_t i = 0; i < TOKENS; ++i) {
        ck_assert(log_prob[i] == r.log_prob[i] || (isnan(log_prob[i]) && isnan(r.log_prob[i])));
        none[i] = -1;
    }
    for (int32_t i = 0; i < ROWS; ++i) {
        EET_MUST(eet_sequence_trim(session, i, 0, err));
    }
    out.log_prob = NULL;
    EET_MUST(eet_score(session, &batch, none, &out, err));
    for (int32_t i = 0; i < TOKENS * TOPS; ++i) {
        ck_assert_int_eq(r.top[i / TOPS][i % TOPS], -1);
    }
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* More likeliest tokens than there are. */
START_TEST(a_small_vocabulary_leaves_places_empty)
{
    int32_t top[2 * (VOCAB + 3)];
    float log_prob[2 * (VOCAB + 3)];
    int32_t own[2];
    const int32_t ids[] = {4, 5};
    eet_sample_model sample = eet_sample_decoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, cuts[0]);
    const eet_batch row = row_of(ids, own, 2);
    const eet_scores out = {
        .size = sizeof out, .top = VOCAB + 3, .top_token = top, .top_log_prob = log_prob};
    double sum = 0;

    EET_MUST(eet_score(session, &row, NULL, &out, err));
    for (int32_t i = 0; i < VOCAB; ++i) {
        sum += exp((double)log_prob[i]);
    }
    ck_assert_double_eq_tol(sum, 1, 1e-5);
    ck_assert_int_eq(top[VOCAB], -1);
    ck_assert(isnan(log_prob[VOCAB + 2]));
    ck_assert_int_eq(top[VOCAB + 3], -1); /* the second token has no successor */
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

static const int32_t bad_target[] = {1, 2, VOCAB, 4}, negative_target[] = {1, -2, 3, 4};

static const struct {
    eet_scores out;
    const int32_t *target;
    eet_status status;
    const char *words;
} refused[] = {
    {{.head = 1}, NULL, EET_E_ARGUMENT, "no head 1; the model has 1"},
    {{.head = -1}, NULL, EET_E_ARGUMENT, "no head -1"},
    {{.reserved = 1}, NULL, EET_E_ARGUMENT, "reserved is 1"},
    {{.top = -1}, NULL, EET_E_ARGUMENT, "top is -1, outside 0 to 256"},
    {{.top = 257}, NULL, EET_E_LIMIT, "top is 257, outside 0 to 256"},
    {{.top = 1}, NULL, EET_E_ARGUMENT, "top is 1, and top_token"},
    {{.top = 0}, bad_target, EET_E_ARGUMENT, "targets[2] is 40; the vocabulary is 0 to 39"},
    {{.top = 0}, negative_target, EET_E_ARGUMENT, "targets[1] is -2"},
};

START_TEST(a_refusal_leaves_the_session_alone)
{
    const int32_t ids[] = {4, 5, 6, 7};
    int32_t own[2];
    eet_sample_model sample = eet_sample_decoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, cuts[0]);
    const eet_batch row = row_of(ids, own, 4);
    eet_scores out = refused[_i].out;

    out.size = sizeof out;
    EET_FAILS(eet_score(session, &row, refused[_i].target, &out, err), refused[_i].status,
              refused[_i].words);
    EET_FAILS(eet_score(session, &row, NULL, NULL, err), EET_E_ARGUMENT, "eet_scores");
    EET_FAILS(eet_score(NULL, &row, NULL, &out, err), EET_E_ARGUMENT, "session");
    ck_assert_int_eq(eet_sequence_length(session, 0), 0);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(a_head_without_the_vocabulary_scores_nothing)
{
    const int32_t ids[] = {4, 5};
    int32_t own[2];
    eet_sample_model sample = eet_sample_encoder();
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(model, cuts[0]);
    const eet_batch row = row_of(ids, own, 2);
    const eet_scores out = {.size = sizeof out, .head = 1};

    EET_FAILS(eet_score(session, &row, ids, &out, err), EET_E_UNSUPPORTED,
              "head \"pooler\" does not score");
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = scores_are_the_models_log_softmax_however_the_call_is_cut, .rows = CUTS},
        {.test = scoring_goes_on_from_what_a_sequence_holds},
        {.test = an_encoder_scores_ids_in_their_places, .rows = 2},
        {.test = what_is_not_wanted_needs_no_room},
        {.test = a_small_vocabulary_leaves_places_empty},
        {.test = a_refusal_leaves_the_session_alone, .rows = sizeof refused / sizeof *refused},
        {.test = a_head_without_the_vocabulary_scores_nothing},
    };

    return eet_suite_run("scores", claims, sizeof claims / sizeof *claims);
}
