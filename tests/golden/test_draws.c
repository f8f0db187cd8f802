/* test_draws.c - draws, penalties and scores give what transformers gives, whose generate ran
 * with the draw of docs/sampling.md: fixtures/make_sampling.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const char *const models[] = {"gpt2_tiny", "gpt2_untied", "gpt2_invscale"};
enum { MODELS = sizeof models / sizeof *models, MOST_ROWS = 5, MOST_NEW = 80 };
static const double BOUND = 1e-4; /* contracts: float32 on the CPU */

typedef struct draws {
    eet_golden *golden;
    eet_model *model;
    int rows, count;
    int32_t *start, *tokens; /* of the prompts */
    int32_t *options;        /* (count, 5) */
    int32_t *seeds;          /* (count, 8) quarters of seed and stream, low first */
    double *numbers;         /* (count, 3) */
    int32_t *stops;
    int32_t *text_start, *text_tokens;
    double *text_log_probs;
} draws;

static draws begin_draws(const char *model) {
    char name[64];

    (void)snprintf(name, sizeof name, "%s.sampling", model);
    draws d = {.golden = eet_golden_open(name), .model = eet_trial_model(model, NULL, "keep")};
    int ignored = 0;

    d.start = eet_golden_integers(d.golden, "start", &d.rows, NULL);
    d.rows -= 1;
    d.tokens = eet_golden_integers(d.golden, "tokens", &ignored, NULL);
    d.options = eet_golden_integers(d.golden, "draws", &d.count, NULL);
    d.seeds = eet_golden_integers(d.golden, "seeds", &ignored, NULL);
    d.numbers = eet_golden_reals(d.golden, "numbers", &ignored, NULL);
    d.stops = eet_golden_integers(d.golden, "stops", &ignored, NULL);
    d.text_start = eet_golden_integers(d.golden, "text_start", &ignored, NULL);
    d.text_tokens = eet_golden_integers(d.golden, "text_tokens", &ignored, NULL);
    d.text_log_probs = eet_golden_reals(d.golden, "text_log_probs", &ignored, NULL);
    ck_assert_int_le(d.rows, MOST_ROWS);
    return d;
}

static void end_draws(draws *d) {
    free(d->start);
    free(d->tokens);
    free(d->options);
    free(d->seeds);
    free(d->numbers);
    free(d->stops);
    free(d->text_start);
    free(d->text_tokens);
    free(d->text_log_probs);
    eet_model_close(d->model);
    eet_golden_close(d->golden);
}

static eet_session *make_session(const draws *d) {
    const eet_session_options options = {
        .size = sizeof options, .threads = 2, .max_sequences = MOST_ROWS, .max_batch_tokens = 50};
    eet_session *session = NULL;
    eet_error err = {0};

    ck_assert_msg(eet_session_create(d->model, &options, &session, &err) == EET_OK, "%s", err.text);
    return session;
}

static uint64_t number_of(const int32_t *quarters) {
    uint64_t number = 0;

    for (int32_t i = 3; i >= 0; --i) {
        number = number << 16 | (uint64_t)quarters[i];
    }
    return number;
}

static eet_generate_options options_of(const draws *d, int32_t draw, const int32_t *stop) {
    const int32_t *o = d->options + (ptrdiff_t)draw * 5;
    const double *n = d->numbers + (ptrdiff_t)draw * 3;

    ck_assert_int_le(o[0], MOST_NEW);
    return (eet_generate_options){
        .size = sizeof(eet_generate_options),
        .max_new_tokens = o[0],
        .top_k = o[1],
        .min_new_tokens = o[2],
        .stop_count = o[3],
        .stop = stop,
        .ignore_eos = o[4],
        .temperature = n[0],
        .top_p = n[1],
        .repetition_penalty = n[2],
        .seed = number_of(d->seeds + (ptrdiff_t)draw * 8),
    };
}

/* Rows [first, end) of the prompts in one generation; events against the golden's texts. */
static void compare_rows(const draws *d, eet_session *session, int32_t draw, const int32_t *stop,
                         int32_t first, int32_t end) {
    eet_generate_options options = options_of(d, draw, stop);
    const uint64_t base = number_of(d->seeds + (ptrdiff_t)draw * 8 + 4);
    uint64_t streams[MOST_ROWS];
    int32_t starts[MOST_ROWS + 1];
    int32_t got[MOST_ROWS] = {0};
    const eet_batch batch = {.size = sizeof batch,
                             .rows = end - first,
                             .start = starts,
                             .tokens = d->tokens + d->start[first]};
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0;
    eet_error err = {0};

    starts[0] = 0;
    for (int32_t r = first; r < end; ++r) {
        starts[r - first + 1] = d->start[r + 1] - d->start[first];
        streams[r - first] = base + (uint64_t)r;
    }
    options.stream = streams;
    ck_assert_msg(eet_generate_begin(session, &batch, &options, &generation, &err) == EET_OK, "%s",
                  err.text);
    while (eet_generate_next(generation, &event, 1, &count, &err) == EET_OK && count > 0) {
        const int32_t row = first + event.row;
        const int32_t text = draw * d->rows + row;
        const int32_t at = d->text_start[text] + got[event.row]++;

        ck_assert_int_lt(at, d->text_start[text + 1]);
        ck_assert_msg(event.token == d->text_tokens[at],
                      "draw %d, row %d, position %d: %d, should be %d", draw, row, event.position,
                      event.token, d->text_tokens[at]);
        ck_assert_double_eq_tol((double)event.log_prob, d->text_log_probs[at],
                                BOUND * fmax(1, fabs(d->text_log_probs[at])));
        ck_assert_int_eq(event.finish == EET_FINISH_NONE, at + 1 < d->text_start[text + 1]);
    }
    for (int32_t r = first; r < end; ++r) {
        const int32_t text = draw * d->rows + r;

        ck_assert_int_eq(got[r - first], d->text_start[text + 1] - d->text_start[text]);
    }
    eet_generate_end(generation);
    for (int32_t i = 0; i < MOST_ROWS; ++i) {
        ck_assert_int_eq(eet_sequence_trim(session, i, 0, &err), EET_OK);
    }
}

START_TEST(texts_are_those_of_transformers_together_and_alone)
{
    draws d = begin_draws(models[_i]);
    eet_session *session = make_session(&d);
    const int32_t *stop = d.stops;

    for (int32_t draw = 0; draw < d.count; ++draw) {
        compare_rows(&d, session, draw, stop, 0, d.rows);
        for (int32_t row = 0; row < d.rows; ++row) {
            compare_rows(&d, session, draw, stop, row, row + 1);
        }
        stop += d.options[draw * 5 + 3];
    }
    eet_session_destroy(session);
    end_draws(&d);
}
END_TEST

START_TEST(scores_are_torchs_log_softmax)
{
    draws d = begin_draws(models[_i]);
    eet_session *session = make_session(&d);
    int count = 0;
    double *expected = eet_golden_reals(d.golden, "score", &count, NULL);
    float *log_prob = calloc((size_t)count, sizeof *log_prob);
    const eet_batch batch = {
        .size = sizeof batch, .rows = d.rows, .start = d.start, .tokens = d.tokens};
    const eet_scores scores = {.size = sizeof scores, .log_prob = log_prob};
    eet_error err = {0};

    ck_assert_ptr_nonnull(log_prob);
    ck_assert_msg(eet_score(session, &batch, NULL, &scores, &err) == EET_OK, "%s", err.text);
    for (int32_t r = 0; r < d.rows; ++r) {
        for (int32_t i = d.start[r]; i + 1 < d.start[r + 1]; ++i) {
            ck_assert_double_eq_tol((double)log_prob[i], expected[i + 1],
                                    BOUND * fmax(1, fabs(expected[i + 1])));
        }
        ck_assert(isnan(log_prob[d.start[r + 1] - 1]));
    }
    free(expected);
    free(log_prob);
    eet_session_destroy(session);
    end_draws(&d);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = texts_are_those_of_transformers_together_and_alone, .rows = MODELS},
        {.test = scores_are_torchs_log_softmax, .rows = MODELS},
    };

    return eet_suite_run("draws", claims, sizeof claims / sizeof *claims);
}
