/* test_sources.c - encoder, cross attention and decoder compute what the real library computes
 * in float64, in whatever pieces the target comes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const struct {
    const char *name, *heads[2];
} goldens[] = {
    {"fs062_nmt", {"lm"}},           {"fs010_nmt", {"lm"}},
    {"fs012_nmt", {"lm"}},           {"fs012_nmt_shared", {"lm"}},
    {"fs012_bart", {"lm", "topic"}}, {"bart_lm", {"lm"}},
    {"bart_sequence", {"sequence"}}, {"bart_qa", {"qa"}},
};
enum { GOLDEN_COUNT = sizeof goldens / sizeof *goldens, GENERATING = 6, GREEDY_TOKENS = 8 };

/* How near to float64 a dtype has to come: relative L2, and in f32 each value too. */
typedef struct precision {
    const char *dtype;
    double relative;
} precision;

static const precision f32 = {"f32", 1e-5};
static const precision halves[] = {{"f16", 4e-3}, {"bf16", 2e-2}};

/* Each value within 1e-4 of the row's largest. */
static void compare_values(const char *what, const float *ours, const double *truth, int rows,
                           int width) {
    for (int row = 0; row < rows; ++row) {
        double most = 1;

        for (int i = 0; i < width; ++i) {
            most = fmax(most, fabs(truth[row * width + i]));
        }
        for (int i = 0; i < width; ++i) {
            const double off = fabs((double)ours[row * width + i] - truth[row * width + i]);

            ck_assert_msg(off <= 1e-4 * most, "%s: row %d, value %d: %g, should be %g", what, row,
                          i, (double)ours[row * width + i], truth[row * width + i]);
        }
    }
}

/* In f32 each value, and all of them within 1.5 times the error of the library's own float32; all
 * of them within what the dtype may be off. */
static void compare(const eet_trial *trial, const char *dataset, const float *ours, int32_t width,
                    const precision *wanted) {
    char what[128];
    char key[64];
    int rows = 0;
    int columns = 0;
    double off = 0;
    double whole = 0;
    double most = wanted->relative;
    double *truth = eet_golden_reals(trial->golden, dataset, &rows, &columns);

    ck_assert_int_eq(columns, width);
    (void)snprintf(what, sizeof what, "%s %s %s", trial->checkpoint, dataset, wanted->dtype);
    if (wanted == &f32) {
        (void)snprintf(key, sizeof key, "%s_f32", dataset);
        most = fmin(most, 1.5 * eet_golden_real(trial->golden, key));
        compare_values(what, ours, truth, rows, width);
    }
    for (int i = 0; i < rows * width; ++i) {
        const double d = (double)ours[i] - truth[i];

        off += d * d;
        whole += truth[i] * truth[i];
    }
    ck_assert_msg(sqrt(off / whole) <= most, "%s: relative error %g, at most %g", what,
                  sqrt(off / whole), most);
    free(truth);
}

static int32_t encoder_width(const eet_trial *trial) {
    eet_fact fact = {.size = sizeof fact};

    ck_assert_int_eq(eet_model_fact(trial->model, "enc.hidden", &fact, NULL), EET_OK);
    return (int32_t)fact.integer;
}

/* The encoder's states, the decoder's, and every head. */
static void compare_golden(int row, const precision *wanted) {
    eet_trial trial = eet_trial_begin(goldens[row].name, wanted->dtype);
    const char *outputs[] = {"hidden", goldens[row].heads[0], goldens[row].heads[1]};
    const eet_batch sources = eet_trial_sources(&trial);
    const int32_t width = encoder_width(&trial);
    const size_t bytes = sizeof(float) * (size_t)sources.start[sources.rows] * (size_t)width;
    float *states = malloc(bytes);
    const eet_output output = {
        .size = sizeof output, .head = EET_HIDDEN, .data = states, .bytes = bytes};
    eet_error err = {0};

    ck_assert_ptr_nonnull(states);
    ck_assert_msg(eet_encode(trial.session, &sources, &output, 1, &err) == EET_OK, "%s", err.text);
    compare(&trial, "encoder", states, width, wanted);
    free(states);
    for (int i = 0; i < 3 && outputs[i] != NULL; ++i) {
        int32_t columns = 0;
        float *ours = eet_trial_encode(&trial, outputs[i], &columns);

        compare(&trial, outputs[i], ours, columns, wanted);
        free(ours);
    }
    eet_trial_end(&trial);
}

START_TEST(encodings_and_scores_are_those_of_the_library)
{ compare_golden(_i, &f32); }
END_TEST

START_TEST(in_f16_and_bf16_they_are_near_those_of_the_library)
{ compare_golden(_i / 2, &halves[_i % 2]); }
END_TEST

/* Every row of the target token by token, all rows that go on together; the source is named
 * with the first token alone. */
static void step_through(const eet_trial *trial, int32_t head, int32_t width, float *all) {
    for (int32_t t = 0, rows = 1; rows > 0; ++t) {
        int32_t start[TRIAL_SLOTS + 1] = {0};
        int32_t tokens[TRIAL_SLOTS];
        int32_t sequence[TRIAL_SLOTS];
        float *values = malloc(sizeof *values * (size_t)width * TRIAL_SLOTS);
        eet_error err = {0};

        rows = 0;
        for (int32_t row = 0; row < trial->rows; ++row) {
            if (trial->start[row] + t < trial->start[row + 1]) {
                tokens[rows] = trial->tokens[trial->start[row] + t];
                sequence[rows] = row;
                rows += 1;
                start[rows] = rows;
            }
        }
        const eet_batch batch = {.size = sizeof batch,
                                 .rows = rows,
                                 .start = start,
                                 .tokens = tokens,
                                 .sequence = sequence,
                                 .source = t == 0 ? sequence : NULL};
        const eet_output output = {.size = sizeof output,
                                   .head = head,
                                   .data = values,
                                   .bytes = sizeof *values * (size_t)width * (size_t)rows};

        if (rows > 0) {
            ck_assert_msg(eet_step(trial->session, &batch, &output, 1, &err) == EET_OK, "%s",
                          err.text);
        }
        for (int32_t i = 0; i < rows; ++i) {
            memcpy(all + (size_t)(trial->start[sequence[i]] + t) * (size_t)width,
                   values + (size_t)i * (size_t)width, sizeof *values * (size_t)width);
        }
        free(values);
    }
}

START_TEST(a_target_token_by_token_has_the_bits_of_the_whole)
{
    eet_trial trial = eet_trial_begin(goldens[_i].name, "f32");
    int32_t width = 0;
    float *whole = eet_trial_encode(&trial, "hidden", &width);
    const size_t bytes = sizeof(float) * (size_t)trial.start[trial.rows] * (size_t)width;
    float *stepped = malloc(bytes);

    ck_assert_ptr_nonnull(stepped);
    step_through(&trial, EET_HIDDEN, width, stepped);
    ck_assert_mem_eq(whole, stepped, bytes);
    free(whole);
    free(stepped);
    eet_trial_end(&trial);
}
END_TEST

START_TEST(gpt2_looks_at_given_states_where_there_are_some)
{
    static const int32_t looks[] = {0, -1, 2};
    eet_trial trial = eet_trial_begin("gpt2_cross", "f32");
    eet_batch batch = eet_trial_batch(&trial);
    int rows = 0;
    int width = 0;
    int32_t *start = eet_golden_integers(trial.golden, "states_start", &rows, NULL);
    double *states = eet_golden_reals(trial.golden, "states", &rows, &width);
    const int32_t tokens = trial.start[trial.rows];
    float *hidden = malloc(sizeof *hidden * (size_t)tokens * (size_t)width);
    float *scores = malloc(sizeof *scores * (size_t)tokens * 50);
    const eet_output outputs[] = {
        {.size = sizeof *outputs,
         .head = EET_HIDDEN,
         .data = hidden,
         .bytes = sizeof *hidden * (uint64_t)tokens * (uint64_t)width},
        {.size = sizeof *outputs, .data = scores, .bytes = sizeof *scores * (uint64_t)tokens * 50}};
    eet_error err = {0};

    ck_assert(hidden != NULL && scores != NULL);
    for (int32_t slot = 0; slot < 3; ++slot) {
        const eet_array array = {.size = sizeof array,
                                 .dtype = EET_F64,
                                 .rank = 2,
                                 .shape = {start[slot + 1] - start[slot], width},
                                 .data = states + (ptrdiff_t)start[slot] * width};

        ck_assert_msg(eet_source_set(trial.session, slot, &array, &err) == EET_OK, "%s", err.text);
    }
    batch.source = looks;
    ck_assert_msg(eet_step(trial.session, &batch, outputs, 2, &err) == EET_OK, "%s", err.text);
    compare(&trial, "hidden", hidden, width, &f32);
    compare(&trial, "lm", scores, 50, &f32);
    free(start);
    free(states);
    free(hidden);
    free(scores);
    eet_trial_end(&trial);
}
END_TEST

/* Four times the error of the library's own scores: a choice that is not ahead by more may
 * fall out otherwise. */
static double close_call(const eet_trial *trial) {
    int rows = 0;
    int columns = 0;
    double most = 0;
    double *scores = eet_golden_reals(trial->golden, "lm", &rows, &columns);

    for (int i = 0; i < rows * columns; ++i) {
        most = fmax(most, fabs(scores[i]));
    }
    free(scores);
    return 4 * eet_golden_real(trial->golden, "lm_f32") * most;
}

START_TEST(greedy_tokens_are_those_of_the_library)
{
    eet_trial trial = eet_trial_begin(goldens[_i].name, "f32");
    const eet_batch prompts = eet_trial_batch(&trial);
    const double close = close_call(&trial);
    const eet_generate_options options = {.size = sizeof options,
                                          .head = eet_trial_head(trial.model, "lm"),
                                          .max_new_tokens = GREEDY_TOKENS,
                                          .ignore_eos = 1};
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0;
    int rows = 0;
    int columns = 0;
    int compared = 0;
    bool open[TRIAL_SLOTS] = {false};
    int32_t *theirs = eet_golden_integers(trial.golden, "greedy", &rows, &columns);
    double *gap = eet_golden_reals(trial.golden, "gap", &rows, &columns);
    eet_error err = {0};

    ck_assert_msg(eet_generate_begin(trial.session, &prompts, &options, &generation, &err) ==
                      EET_OK,
                  "%s", err.text);
    for (int row = 0; row < rows; ++row) {
        open[row] = true;
    }
    while (eet_generate_next(generation, &event, 1, &count, &err) == EET_OK && count == 1) {
        const int32_t length = trial.start[event.row + 1] - trial.start[event.row];
        const int32_t at = event.row * columns + event.position - length;

        open[event.row] = open[event.row] && gap[at] > close;
        if (open[event.row]) {
            ck_assert_int_eq(event.token, theirs[at]);
            ++compared;
        }
    }
    ck_assert_int_eq(err.status, EET_OK);
    ck_assert_int_gt(compared, rows * columns / 2);
    eet_generate_end(generation);
    free(theirs);
    free(gap);
    eet_trial_end(&trial);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = encodings_and_scores_are_those_of_the_library, .rows = GOLDEN_COUNT},
        {.test = in_f16_and_bf16_they_are_near_those_of_the_library, .rows = 2 * GOLDEN_COUNT},
        {.test = a_target_token_by_token_has_the_bits_of_the_whole, .rows = GOLDEN_COUNT},
        {.test = gpt2_looks_at_given_states_where_there_are_some},
        {.test = greedy_tokens_are_those_of_the_library, .rows = GENERATING},
    };

    return eet_suite_run("sources", claims, sizeof claims / sizeof *claims);
}
