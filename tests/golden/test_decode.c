/* test_decode.c - a prompt at once, token by token or cut anywhere gives the same scores, and
 * greedy decoding the tokens of transformers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const char *const goldens[] = {
    "gpt2_tiny",     "gpt2_base",          "gpt2_base.positions",
    "gpt2_head26",   "gpt2_head26.types",  "gpt2_invscale",
    "gpt2_noscale",  "gpt2_untied",        "gpt2_deep",
    "gpt2_f16",      "gpt2_bf16",          "gpt2_double",
    "bert_decoder",  "bert_decoder.types", "roberta_decoder",
    "fs062_lm",      "fs062_lm_out",       "fs090_lm",
    "fs010_lm",      "fs012_lm",           "fs012_lm_gpt",
    "fs090_lm_half", "fs012_lm_cfg",
};
enum { GOLDEN_COUNT = sizeof goldens / sizeof *goldens, GREEDY_TOKENS = 8 };

/* How a golden's rows are fed: all at once, one token of each row, or as a generator says. */
typedef enum feeding { FEED_WHOLE, FEED_TOKENS, FEED_CUTS } feeding;

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 16;
}

/* How many of the `left` tokens of a row go into the next call. */
static int32_t draw_length(feeding how, int32_t left, uint32_t *random) {
    static const int32_t most[] = {1, 2, 7, 70};

    if (how == FEED_WHOLE || left == 0) {
        return left;
    }
    if (how == FEED_TOKENS) {
        return 1;
    }
    const int32_t length =
        (int32_t)(next_random(random) % (uint32_t)(most[next_random(random) % 4] + 1));

    return length < left ? length : left;
}

/* The next call: which packed tokens of the golden it takes, and for which sequences. */
typedef struct step {
    int32_t rows, count;
    int32_t start[TRIAL_SLOTS + 1], sequence[TRIAL_SLOTS];
    int32_t *from; /* (count) indexes into the golden's tokens */
} step;

static void plan_step(const eet_trial *trial, feeding how, int32_t *fed, uint32_t *random,
                      step *next) {
    next->rows = next->count = next->start[0] = 0;
    for (int32_t i = 0; i < trial->rows; ++i) {
        const int32_t row = how == FEED_CUTS ? trial->rows - 1 - i : i;
        const int32_t at = trial->start[row] + fed[row];
        const int32_t length = draw_length(how, trial->start[row + 1] - at, random);

        for (int32_t t = 0; t < length; ++t) {
            next->from[next->count++] = at + t;
        }
        if (length > 0) {
            fed[row] += length;
            next->sequence[next->rows++] = (row + (int32_t)how) % TRIAL_SLOTS;
            next->start[next->rows] = next->count;
        }
    }
}

/* values[from[i]], or NULL where there are none. */
static int32_t *gather(const int32_t *values, const step *next) {
    int32_t *picked = NULL;

    if (values != NULL) {
        picked = malloc(sizeof *picked * (size_t)(next->count + 1));
        ck_assert_ptr_nonnull(picked);
        for (int32_t i = 0; i < next->count; ++i) {
            picked[i] = values[next->from[i]];
        }
    }
    return picked;
}

/* One eet_step; what it gives goes to the places of its tokens in `all`. */
static void run_step(const eet_trial *trial, int32_t head, int32_t width, const step *next,
                     float *all) {
    int32_t *tokens = gather(trial->tokens, next);
    int32_t *types = gather(trial->types, next);
    int32_t *positions = gather(trial->positions, next);
    const size_t row = sizeof(float) * (size_t)width;
    float *values = malloc(row * (size_t)next->count);
    const eet_batch batch = {.size = sizeof batch,
                             .rows = next->rows,
                             .start = next->start,
                             .tokens = tokens,
                             .types = types,
                             .positions = positions,
                             .sequence = next->sequence};
    const eet_output output = {
        .size = sizeof output, .head = head, .data = values, .bytes = row * (size_t)next->count};
    eet_error err = {0};

    ck_assert_ptr_nonnull(values);
    ck_assert_msg(eet_step(trial->session, &batch, &output, 1, &err) == EET_OK, "%s: %s",
                  trial->checkpoint, err.text);
    for (int32_t i = 0; i < next->count; ++i) {
        memcpy(all + (size_t)next->from[i] * (size_t)width, values + (size_t)i * (size_t)width,
               row);
    }
    free(tokens);
    free(types);
    free(positions);
    free(values);
}

/* What all tokens of the golden give when fed like this; free(). */
static float *feed_rows(const eet_trial *trial, int32_t head, int32_t width, feeding how,
                        uint32_t random) {
    const int32_t count = trial->start[trial->rows];
    float *all = calloc((size_t)count * (size_t)width, sizeof *all);
    step next = {.from = malloc(sizeof *next.from * (size_t)count)};
    int32_t fed[TRIAL_SLOTS] = {0};
    int32_t done = 0;

    ck_assert(all != NULL && next.from != NULL);
    while (done < count) {
        plan_step(trial, how, fed, &random, &next);
        if (next.rows > 0) {
            run_step(trial, head, width, &next, all);
        }
        done += next.count;
    }
    for (int32_t slot = 0; slot < TRIAL_SLOTS; ++slot) {
        ck_assert_int_eq(eet_sequence_trim(trial->session, slot, 0, NULL), EET_OK);
    }
    free(next.from);
    return all;
}

START_TEST(any_cut_of_the_rows_gives_the_same_bits)
{
    eet_trial trial = eet_trial_begin(goldens[_i], "keep");
    const char *name = eet_golden_has(trial.golden, "lm") ? "lm" : "hidden";
    const int32_t head = eet_trial_head(trial.model, name);
    int32_t width = 0;
    float *encoded = eet_trial_encode(&trial, name, &width);
    const size_t bytes = sizeof(float) * (size_t)trial.start[trial.rows] * (size_t)width;

    for (uint32_t run = 0; run < 6; ++run) {
        const feeding how = run < 2 ? (feeding)run : FEED_CUTS;
        float *fed = feed_rows(&trial, head, width, how, run);

        ck_assert_msg(memcmp(encoded, fed, bytes) == 0, "%s: run %u differs from eet_encode",
                      goldens[_i], run);
        free(fed);
    }
    free(encoded);
    eet_trial_end(&trial);
}
END_TEST

/* A choice that is not ahead by this much may fall out otherwise: 4 times the error of the
 * library's own scores (float16 does not run there: contracts' bound). */
static double close_call(const eet_trial *trial) {
    int rows = 0;
    int columns = 0;
    double most = 0;
    double *scores = eet_golden_reals(trial->golden, "lm", &rows, &columns);
    double error = eet_golden_real(trial->golden, "lm_f32");

    for (int i = 0; i < rows * columns; ++i) {
        most = fmax(most, fabs(scores[i]));
    }
    if (strcmp(trial->checkpoint, "gpt2_bf16") == 0) {
        error = eet_golden_real(trial->golden, "lm_bf16");
    } else if (strcmp(trial->checkpoint, "gpt2_f16") == 0) {
        error = 4e-3;
    }
    free(scores);
    return 4 * error * most;
}

/* Runs the golden's rows on for GREEDY_TOKENS tokens. */
static void generate_tokens(const eet_trial *trial, int32_t tokens[TRIAL_SLOTS][GREEDY_TOKENS]) {
    const eet_batch prompts = eet_trial_batch(trial);
    const eet_generate_options options = {.size = sizeof options,
                                          .head = eet_trial_head(trial->model, "lm"),
                                          .max_new_tokens = GREEDY_TOKENS,
                                          .ignore_eos = 1};
    eet_generation *generation = NULL;
    eet_event events[3]; /* fewer than rows, so that a step is handed out in pieces */
    int32_t count = 0;
    eet_error err = {0};

    ck_assert_msg(eet_generate_begin(trial->session, &prompts, &options, &generation, &err) ==
                      EET_OK,
                  "%s", err.text);
    do {
        ck_assert_msg(eet_generate_next(generation, events, 3, &count, &err) == EET_OK, "%s",
                      err.text);
        for (int32_t i = 0; i < count; ++i) {
            const int32_t row = events[i].row;
            const int32_t length = trial->start[row + 1] - trial->start[row];
            const int32_t nth = events[i].position - length;

            ck_assert(nth >= 0 && nth < GREEDY_TOKENS);
            ck_assert_int_eq(events[i].finish,
                             nth == GREEDY_TOKENS - 1 ? EET_FINISH_LENGTH : EET_FINISH_NONE);
            tokens[row][nth] = events[i].token;
        }
    } while (count > 0);
    eet_generate_end(generation);
}

START_TEST(greedy_tokens_are_those_of_transformers)
{
    eet_trial trial = eet_trial_begin(goldens[_i], "keep");

    if (eet_golden_has(trial.golden, "greedy")) {
        int32_t tokens[TRIAL_SLOTS][GREEDY_TOKENS];
        int rows = 0;
        int columns = 0;
        int compared = 0;
        int32_t *theirs = eet_golden_integers(trial.golden, "greedy", &rows, &columns);
        double *gap = eet_golden_reals(trial.golden, "gap", &rows, &columns);
        const double close = close_call(&trial);

        ck_assert_int_eq(columns, GREEDY_TOKENS);
        memset(tokens, 0xFF, sizeof tokens);
        generate_tokens(&trial, tokens);
        for (int row = 0; row < rows; ++row) {
            for (int i = 0; i < columns && gap[row * columns + i] > close; ++i) {
                ck_assert_msg(tokens[row][i] == theirs[row * columns + i],
                              "%s: row %d, new token %d: %d, should be %d", goldens[_i], row, i,
                              tokens[row][i], theirs[row * columns + i]);
                ++compared;
            }
        }
        ck_assert_int_gt(compared, rows * columns / 2);
        free(theirs);
        free(gap);
    }
    eet_trial_end(&trial);
}
END_TEST

START_TEST(log_probs_are_of_the_softmax)
{
    eet_trial trial = eet_trial_begin("gpt2_untied", "f32");
    const eet_batch prompts = eet_trial_batch(&trial);
    const eet_generate_options options = {.size = sizeof options, .max_new_tokens = 1};
    eet_generation *generation = NULL;
    eet_event events[TRIAL_SLOTS];
    int32_t count = 0;
    int rows = 0;
    int width = 0;
    double *scores = eet_golden_reals(trial.golden, "lm", &rows, &width);

    ck_assert_int_eq(eet_generate_begin(trial.session, &prompts, &options, &generation, NULL),
                     EET_OK);
    ck_assert_int_eq(eet_generate_next(generation, events, TRIAL_SLOTS, &count, NULL), EET_OK);
    ck_assert_int_eq(count, trial.rows);
    for (int32_t i = 0; i < count; ++i) {
        const double *last = scores + (size_t)(trial.start[events[i].row + 1] - 1) * (size_t)width;
        double sum = 0;

        for (int v = 0; v < width; ++v) {
            sum += exp(last[v] - last[events[i].token]);
        }
        ck_assert_double_eq_tol((double)events[i].log_prob, -log(sum), 1e-4);
    }
    eet_generate_end(generation);
    free(scores);
    eet_trial_end(&trial);
}
END_TEST

START_TEST(the_model_that_learnt_to_count_stops_at_its_end_token)
{
    static const int32_t tokens[] = {60, 70, 88, 90, 92}, start[] = {0, 2, 5};
    static const int32_t expected[2][4] = {{80, 90, 100}, {94, 96, 98, 100}};
    static const int32_t lengths[] = {3, 4};
    eet_trial trial = eet_trial_begin("gpt2_tiny", "keep");
    const eet_batch prompts = {.size = sizeof prompts, .rows = 2, .start = start, .tokens = tokens};
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0;
    int32_t got[2] = {0, 0};

    ck_assert_int_eq(eet_generate_begin(trial.session, &prompts, NULL, &generation, NULL), EET_OK);
    while (eet_generate_next(generation, &event, 1, &count, NULL) == EET_OK && count == 1) {
        ck_assert_int_lt(got[event.row], lengths[event.row]);
        ck_assert_int_eq(event.token, expected[event.row][got[event.row]++]);
        ck_assert_int_eq(event.finish, event.token == 100 ? EET_FINISH_EOS : EET_FINISH_NONE);
    }
    ck_assert_int_eq(got[0], lengths[0]);
    ck_assert_int_eq(got[1], lengths[1]);
    eet_generate_end(generation);
    eet_trial_end(&trial);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = any_cut_of_the_rows_gives_the_same_bits, .rows = GOLDEN_COUNT},
        {.test = greedy_tokens_are_those_of_transformers, .rows = GOLDEN_COUNT},
        {.test = log_probs_are_of_the_softmax},
        {.test = the_model_that_learnt_to_count_stops_at_its_end_token},
    };

    return eet_suite_run("decode", claims, sizeof claims / sizeof *claims);
}
