/* test_greedy.c - greedy generation is stepping and taking the best, and ends as it says. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { VOCAB = 40, ROWS = 3, MOST = 32 };

static const int32_t starts[] = {0, 1, 8, 12};
static const int32_t prompts_ids[] = {7, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5};
static const int32_t slots[] = {2, 0, 1};

typedef struct stage {
    eet_model *model;
    eet_session *session;
    eet_error err;
} stage;

static stage begin_stage(int32_t dtype, int32_t eos) {
    eet_sample_model sample = eet_sample_decoder();

    sample.dtype = dtype;
    sample.facts.stack[EET_DEC].tok_eos = eos;
    stage s = {.model = play_model(&sample)};

    s.session = play_session(s.model, (eet_session_options){.threads = 2, .max_sequences = ROWS});
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

static eet_batch prompts(void) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = ROWS,
                       .start = starts,
                       .tokens = prompts_ids,
                       .sequence = slots};
}

/* What stepping gives: the best token after each row's prompt and own choices. */
typedef struct text {
    int32_t count, tokens[MOST];
    double log_probs[MOST];
} text;

static int32_t best_of(const float *scores, double *log_prob) {
    int32_t best = 0;
    double sum = 0;

    for (int32_t i = 1; i < VOCAB; ++i) {
        best = scores[i] > scores[best] ? i : best;
    }
    for (int32_t i = 0; i < VOCAB; ++i) {
        sum += exp((double)scores[i] - (double)scores[best]);
    }
    *log_prob = -log(sum);
    return best;
}

/* Row by row with eet_step, until the model's positions are full. */
static void step_texts(stage *s, text *texts) {
    for (int32_t row = 0; row < ROWS; ++row) {
        int32_t start[2];
        float scores[VOCAB];
        text *t = &texts[row];
        int32_t length = starts[row + 1] - starts[row];
        eet_batch batch = play_row(start, prompts_ids + starts[row], length, &slots[row]);
        eet_output output = play_output(0, scores, VOCAB);

        *t = (text){0};
        output.take = EET_TAKE_LAST;
        while (length <= MOST) {
            ck_assert_msg(eet_step(s->session, &batch, &output, 1, &s->err) == EET_OK, "%s",
                          s->err.text);
            t->tokens[t->count] = best_of(scores, &t->log_probs[t->count]);
            batch.tokens = &t->tokens[t->count++];
            start[1] = 1;
            length += 1;
        }
        ck_assert_int_eq(eet_sequence_trim(s->session, slots[row], 0, &s->err), EET_OK);
    }
}

/* Runs a generation; checks order, positions and that a row ends once. */
static void generate(stage *s, const eet_generate_options *options, int32_t room, text *texts,
                     int32_t *finish) {
    const eet_batch batch = prompts();
    eet_generation *generation = NULL;
    eet_event events[2 * ROWS];
    int32_t count = 0;

    memset(texts, 0, sizeof *texts * ROWS);
    memset(finish, 0, sizeof *finish * ROWS);
    ck_assert_msg(eet_generate_begin(s->session, &batch, options, &generation, &s->err) == EET_OK,
                  "%s", s->err.text);
    do {
        ck_assert_int_eq(eet_generate_next(generation, events, room, &count, &s->err), EET_OK);
        ck_assert_int_le(count, room);
        for (int32_t i = 0; i < count; ++i) {
            const eet_event *e = &events[i];
            text *t = &texts[e->row];

            ck_assert_int_eq(finish[e->row], EET_FINISH_NONE);
            ck_assert_int_eq(e->position, starts[e->row + 1] - starts[e->row] + t->count);
            t->log_probs[t->count] = (double)e->log_prob;
            t->tokens[t->count++] = e->token;
            finish[e->row] = e->finish;
        }
    } while (count > 0);
    ck_assert_int_eq(eet_generate_next(generation, events, room, &count, &s->err), EET_OK);
    ck_assert_int_eq(count, 0);
    eet_generate_end(generation);
}

/* The first `count` tokens are those of stepping. */
static void compare(const text *ours, const text *stepped, int32_t count) {
    ck_assert_int_eq(ours->count, count);
    for (int32_t i = 0; i < count; ++i) {
        ck_assert_int_eq(ours->tokens[i], stepped->tokens[i]);
        ck_assert_double_eq_tol(ours->log_probs[i], stepped->log_probs[i], 1e-5);
    }
}

START_TEST(greedy_generation_is_stepping_with_the_best_token)
{
    static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    stage s = begin_stage(dtypes[_i], -1);
    text stepped[ROWS];
    text ours[ROWS];
    int32_t finish[ROWS];

    step_texts(&s, stepped);
    for (int32_t room = 1; room <= 2 * ROWS; ++room) {
        generate(&s, NULL, room, ours, finish);
        for (int32_t row = 0; row < ROWS; ++row) {
            const int32_t prompt = starts[row + 1] - starts[row];

            compare(&ours[row], &stepped[row], MOST - prompt + 1); /* the last is not fed */
            ck_assert_int_eq(finish[row], EET_FINISH_LENGTH);
            ck_assert_int_eq(eet_sequence_length(s.session, slots[row]), MOST);
            ck_assert_int_eq(eet_sequence_trim(s.session, slots[row], 0, &s.err), EET_OK);
        }
    }
    end_stage(&s);
}
END_TEST

/* Where a token first stands in a text, or its end. */
static int32_t first_of(const text *t, int32_t token) {
    int32_t at = 0;

    while (at < t->count && t->tokens[at] != token) {
        ++at;
    }
    return at;
}

START_TEST(rows_end_at_the_end_token_at_a_stop_and_at_their_length)
{
    stage s = begin_stage(EET_F32, -1);
    text stepped[ROWS];
    text ours[ROWS];
    int32_t finish[ROWS];

    step_texts(&s, stepped);
    end_stage(&s);
    const int32_t eos = stepped[0].tokens[2];
    const int32_t stop[] = {stepped[1].tokens[3], VOCAB + 7};
    const eet_generate_options options = {.size = sizeof options,
                                          .max_new_tokens = 6,
                                          .stop = stop,
                                          .stop_count = 2,
                                          .ignore_eos = _i};

    s = begin_stage(EET_F32, eos);
    generate(&s, &options, ROWS, ours, finish);
    for (int32_t row = 0; row < ROWS; ++row) {
        const int32_t ends = _i == 0 ? first_of(&stepped[row], eos) : MOST;
        const int32_t stops = first_of(&stepped[row], stop[0]);
        const int32_t last = ends < stops ? ends : stops;

        compare(&ours[row], &stepped[row], last < 6 ? last + 1 : 6);
        ck_assert_int_eq(finish[row], last >= 6       ? EET_FINISH_LENGTH
                                      : ends <= stops ? EET_FINISH_EOS
                                                      : EET_FINISH_STOP);
    }
    ck_assert(_i == 1 || finish[0] == EET_FINISH_EOS);
    end_stage(&s);
}
END_TEST

START_TEST(a_generation_goes_on_from_what_a_sequence_holds)
{
    stage s = begin_stage(EET_F32, -1);
    text stepped[ROWS];
    int32_t start[2];
    const eet_batch head = play_row(start, prompts_ids + 1, 4, NULL);
    const eet_batch tail = {.size = sizeof tail,
                            .rows = 1,
                            .start = (const int32_t[]){0, 3},
                            .tokens = prompts_ids + 5};
    const eet_generate_options options = {.size = sizeof options, .max_new_tokens = 2};
    eet_generation *generation = NULL;
    eet_event events[1];
    int32_t count = 0;

    step_texts(&s, stepped);
    ck_assert_int_eq(eet_step(s.session, &head, NULL, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_begin(s.session, &tail, &options, &generation, &s.err), EET_OK);
    for (int32_t i = 0; i < 2; ++i) {
        ck_assert_int_eq(eet_generate_next(generation, events, 1, &count, &s.err), EET_OK);
        ck_assert_int_eq(count, 1);
        ck_assert_int_eq(events[0].token, stepped[1].tokens[i]);
        ck_assert_int_eq(events[0].position, 7 + i);
    }
    eet_generate_end(generation);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 8);
    end_stage(&s);
}
END_TEST

START_TEST(cancelled_rows_say_so_and_the_session_lives_on)
{
    stage s = begin_stage(EET_F32, -1);
    const eet_batch batch = prompts();
    eet_generation *generation = NULL;
    eet_event events[ROWS];
    int32_t count = 0;

    ck_assert_int_eq(eet_generate_begin(s.session, &batch, NULL, &generation, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_next(generation, events, ROWS, &count, &s.err), EET_OK);
    ck_assert_int_eq(count, ROWS);
    eet_session_cancel(s.session);
    ck_assert_int_eq(eet_generate_next(generation, events, ROWS, &count, &s.err), EET_OK);
    ck_assert_int_eq(count, ROWS);
    for (int32_t i = 0; i < ROWS; ++i) {
        ck_assert_int_eq(events[i].row, i);
        ck_assert_int_eq(events[i].finish, EET_FINISH_CANCELLED);
    }
    ck_assert_int_eq(eet_generate_next(generation, events, ROWS, &count, &s.err), EET_OK);
    ck_assert_int_eq(count, 0);
    eet_generate_end(generation);
    eet_session_cancel(s.session); /* a start that is cancelled takes nothing */
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, NULL, &generation, &s.err),
                     EET_E_CANCELLED);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 0);
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, NULL, &generation, &s.err), EET_OK);
    eet_generate_end(generation);
    end_stage(&s);
}
END_TEST

START_TEST(a_session_belongs_to_its_generation)
{
    stage s = begin_stage(EET_F32, -1);
    const eet_batch batch = prompts();
    eet_generation *generation = NULL;
    eet_generation *other = NULL;
    eet_event event;
    int32_t count = 0;

    ck_assert_int_eq(eet_generate_begin(s.session, &batch, NULL, &generation, &s.err), EET_OK);
    ck_assert_int_eq(eet_step(s.session, &batch, NULL, 0, &s.err), EET_E_STATE);
    ck_assert_int_eq(eet_encode(s.session, &batch, NULL, 0, &s.err), EET_E_STATE);
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 0, &s.err), EET_E_STATE);
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, NULL, &other, &s.err), EET_E_STATE);
    ck_assert_int_eq(eet_generate_next(generation, &event, 0, &count, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_next(generation, NULL, 1, &count, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_next(generation, &event, 1, NULL, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_next(NULL, &event, 1, &count, &s.err), EET_E_ARGUMENT);
    eet_generate_end(generation);
    eet_generate_end(NULL);
    ck_assert_int_eq(eet_step(s.session, &batch, NULL, 0, &s.err), EET_OK);
    end_stage(&s);
}
END_TEST

static const int32_t stops[100];

static const struct {
    eet_generate_options options;
    eet_status status;
    const char *words;
} refused[] = {
    {{.temperature = -0.5}, EET_E_ARGUMENT, "temperature is -0.5, outside 0 to"},
    {{.temperature = NAN}, EET_E_ARGUMENT, "temperature is"},
    {{.temperature = INFINITY}, EET_E_ARGUMENT, "temperature is inf"},
    {{.top_k = -5}, EET_E_ARGUMENT, "top_k is -5"},
    {{.top_p = 1.5}, EET_E_ARGUMENT, "top_p is 1.5, outside 0 to 1 "},
    {{.top_p = -0.1}, EET_E_ARGUMENT, "top_p is -0.1, outside 0 to 1 "},
    {{.top_p = NAN}, EET_E_ARGUMENT, "top_p is"},
    {{.repetition_penalty = -1.1}, EET_E_ARGUMENT, "repetition_penalty is -1.1"},
    {{.repetition_penalty = NAN}, EET_E_ARGUMENT, "repetition_penalty is"},
    {{.repetition_penalty = 1e-31}, EET_E_ARGUMENT, "repetition_penalty is 1e-31"},
    {{.repetition_penalty = 1e300}, EET_E_ARGUMENT, "repetition_penalty is 1e+300"},
    {{.min_new_tokens = -1}, EET_E_ARGUMENT, "min_new_tokens is -1"},
    {{.min_new_tokens = 7, .max_new_tokens = 6},
     EET_E_ARGUMENT,
     "min_new_tokens is 7, outside 0 to 6"},
    {{.min_new_tokens = 33}, EET_E_ARGUMENT, "min_new_tokens is 33, outside 0 to 32"},
    {{.beams = -4}, EET_E_ARGUMENT, "beams is -4"},
    {{.beams = 2, .temperature = 1}, EET_E_ARGUMENT, "a beam search draws no tokens"},
    {{.beams = 2, .top_n = 3}, EET_E_ARGUMENT, "top_n is for a search with 1 beam"},
    {{.length_penalty = NAN}, EET_E_ARGUMENT, "length_penalty is"},
    {{.early_stopping = 3}, EET_E_ARGUMENT, "early_stopping is 3, outside 0 to 2"},
    {{.early_stopping = -1}, EET_E_ARGUMENT, "early_stopping is -1"},
    {{.top_n = -1}, EET_E_ARGUMENT, "top_n is -1"},
    {{.top_n = 257}, EET_E_LIMIT, "top_n is 257, outside 0 to 256"},
    {{.max_new_tokens = -1}, EET_E_ARGUMENT, "max_new_tokens is -1"},
    {{.stop_count = 1}, EET_E_ARGUMENT, "stop_count is 1"},
    {{.stop_count = -1, .stop = stops}, EET_E_ARGUMENT, "stop_count is -1"},
    {{.stop_count = 100, .stop = stops}, EET_E_LIMIT, "stop_count is 100, outside 0 to 64"},
    {{.head = 1}, EET_E_ARGUMENT, "no head 1; the model has 1"},
    {{.head = -1}, EET_E_ARGUMENT, "no head -1"},
};

START_TEST(options_that_are_not_obeyed_are_refused)
{
    stage s = begin_stage(EET_F32, -1);
    const eet_batch batch = prompts();
    eet_generate_options options = refused[_i].options;
    eet_generation *generation = NULL;

    options.size = sizeof options;
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, &options, &generation, &s.err),
                     refused[_i].status);
    ck_assert_ptr_null(generation);
    ck_assert_msg(strstr(s.err.text, refused[_i].words) != NULL, "it says: %s", s.err.text);
    for (int32_t i = 0; i < ROWS; ++i) {
        ck_assert_int_eq(eet_sequence_length(s.session, i), 0);
    }
    ck_assert_int_eq(eet_step(s.session, &batch, NULL, 0, &s.err), EET_OK); /* not taken */
    end_stage(&s);
}
END_TEST

START_TEST(pages_for_all_that_is_asked_are_there_at_the_start)
{
    eet_sample_model sample = eet_sample_decoder();
    eet_generate_options options = {.size = sizeof options, .ignore_eos = 1, .max_new_tokens = 66};
    eet_generation *generation = NULL;
    const eet_batch batch = {.size = sizeof batch,
                             .rows = 2,
                             .start = (const int32_t[]){0, 1, 2},
                             .tokens = prompts_ids};

    sample.facts.stack[EET_DEC].pos_rows = 200;
    stage s = {.model = play_model(&sample)};

    s.session = play_session(
        s.model, (eet_session_options){.threads = 1, .max_sequences = 2, .cache_tokens = 192});
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, &options, &generation, &s.err),
                     EET_E_LIMIT);
    ck_assert_msg(strstr(s.err.text, "needs 4 pages") != NULL, "%s", s.err.text);
    eet_session_cancel(s.session);
    options.max_new_tokens = 64;
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, &options, &generation, &s.err),
                     EET_E_CANCELLED);
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_trim(s.session, 1, 0, &s.err), EET_OK);
    /* 1 + 64, the last of which is not fed: a page each */
    ck_assert_int_eq(eet_generate_begin(s.session, &batch, &options, &generation, &s.err), EET_OK);
    eet_generate_end(generation); /* what was not used goes back */
    const eet_batch long_row = {
        .size = sizeof long_row, .rows = 1, .start = (const int32_t[]){0, 100}, .tokens = stops};

    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 1, &s.err), EET_OK);
    ck_assert_int_eq(eet_step(s.session, &long_row, NULL, 0, &s.err), EET_OK);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = greedy_generation_is_stepping_with_the_best_token, .rows = 3},
        {.test = rows_end_at_the_end_token_at_a_stop_and_at_their_length, .rows = 2},
        {.test = a_generation_goes_on_from_what_a_sequence_holds},
        {.test = cancelled_rows_say_so_and_the_session_lives_on},
        {.test = a_session_belongs_to_its_generation},
        {.test = options_that_are_not_obeyed_are_refused,
         .rows = (int)(sizeof refused / sizeof *refused)},
        {.test = pages_for_all_that_is_asked_are_there_at_the_start},
    };

    return eet_suite_run("greedy", claims, sizeof claims / sizeof *claims);
}
