/* test_beams.c - beam searches give the texts of transformers' generate, with its scores, and of
 * Fairseq's SequenceGenerator where the rules of both are one: a search ends when as many texts are
 * finished as there are beams, by an end token each (fixtures/fairseq/beams.py tells the rest). */
#include <stdio.h>
#include <stdlib.h>

#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const char *const models[] = {"gpt2_tiny",  "gpt2_untied",      "gpt2_invscale", "bart_lm",
                                     "gpt2_cross", "fs012_nmt_shared", "fs012_bart"};
enum { MODELS = sizeof models / sizeof *models, MOST_BEAMS = 8, MOST_ROWS = 5, MOST_NEW = 80 };

/* The searches of a golden: fixtures/make_beams.py. */
typedef struct searches {
    eet_golden *golden;
    eet_model *model;
    int rows, count;
    int32_t *start, *tokens; /* of the prompts */
    int32_t sources;         /* 0: the model looks at nothing */
    int32_t *source, *source_start, *source_tokens;
    double *states;    /* in the place of source_tokens: the encoder is elsewhere */
    int width;         /* of a state */
    int32_t *options;  /* (count, 6) */
    double *penalties; /* (count, 2) */
    int32_t *stops;
    int32_t *text_start, *text_tokens, *text_ended;
    double *text_score;
} searches;

static void read_sources(searches *s) {
    int count = 0;

    s->source = eet_golden_integers(s->golden, "source", &count, NULL);
    ck_assert_int_eq(count, s->rows);
    s->source_start = eet_golden_integers(s->golden, "source_start", &count, NULL);
    s->sources = count - 1;
    ck_assert_int_lt(s->sources, s->rows); /* two rows look at one */
    if (eet_golden_has(s->golden, "states")) {
        s->states = eet_golden_reals(s->golden, "states", &count, &s->width);
    } else {
        s->source_tokens = eet_golden_integers(s->golden, "source_tokens", &count, NULL);
    }
}

static searches begin_searches(const char *model) {
    char name[64];

    (void)snprintf(name, sizeof name, "%s.beams", model);
    searches s = {.golden = eet_golden_open(name), .model = eet_trial_model(model, NULL, "keep")};
    int ignored = 0;

    s.start = eet_golden_integers(s.golden, "start", &s.rows, NULL);
    s.rows -= 1;
    s.tokens = eet_golden_integers(s.golden, "tokens", &ignored, NULL);
    s.options = eet_golden_integers(s.golden, "searches", &s.count, NULL);
    s.penalties = eet_golden_reals(s.golden, "penalties", &ignored, NULL);
    s.stops = eet_golden_integers(s.golden, "stops", &ignored, NULL);
    s.text_start = eet_golden_integers(s.golden, "text_start", &ignored, NULL);
    s.text_tokens = eet_golden_integers(s.golden, "text_tokens", &ignored, NULL);
    s.text_ended = eet_golden_integers(s.golden, "text_ended", &ignored, NULL);
    s.text_score = eet_golden_reals(s.golden, "text_score", &ignored, NULL);
    if (eet_golden_has(s.golden, "source")) {
        read_sources(&s);
    }
    return s;
}

static void end_searches(searches *s) {
    free(s->start);
    free(s->tokens);
    free(s->source);
    free(s->source_start);
    free(s->source_tokens);
    free(s->states);
    free(s->options);
    free(s->penalties);
    free(s->stops);
    free(s->text_start);
    free(s->text_tokens);
    free(s->text_ended);
    free(s->text_score);
    eet_model_close(s->model);
    eet_golden_close(s->golden);
}

static eet_generate_options options_of(const searches *s, int32_t search, int32_t first_stop) {
    const int32_t *o = s->options + (ptrdiff_t)search * 6;
    const double *penalty = s->penalties + (ptrdiff_t)search * 2;

    return (eet_generate_options){
        .size = sizeof(eet_generate_options),
        .beams = o[0],
        .max_new_tokens = o[1],
        .early_stopping = o[2],
        .min_new_tokens = o[3],
        .stop_count = o[4],
        .stop = s->stops + first_stop,
        .ignore_eos = o[5],
        .length_penalty = penalty[0] != 0.0 ? penalty[0] : EET_LENGTH_PENALTY_NONE,
        .repetition_penalty = penalty[1],
    };
}

/* What a row's events say. */
typedef struct said {
    int32_t count, finish;
    int32_t tokens[MOST_NEW];
} said;

static void listen(eet_generation *generation, const searches *s, said *rows) {
    eet_event events[7];
    int32_t count = 0;
    eet_error err = {0};

    do {
        ck_assert_int_eq(eet_generate_next(generation, events, 7, &count, &err), EET_OK);
        for (int32_t i = 0; i < count; ++i) {
            const eet_event *e = &events[i];
            said *row = &rows[e->row];

            ck_assert_int_eq(row->finish, EET_FINISH_NONE);
            ck_assert_int_eq(e->position, s->start[e->row + 1] - s->start[e->row] + row->count);
            row->tokens[row->count++] = e->token;
            row->finish = e->finish;
        }
    } while (count > 0);
}

/* The golden has no token that ended a text: transformers writes the first end token whichever
 * it was. */
static void compare_beam(const searches *s, int32_t text, const eet_beam *beam) {
    const int32_t first = s->text_start[text];
    const int32_t count = s->text_start[text + 1] - first;
    const bool ended = beam->finish == EET_FINISH_EOS || beam->finish == EET_FINISH_STOP;

    ck_assert_int_eq(ended, s->text_ended[text]);
    ck_assert_int_eq(beam->count, count + (ended ? 1 : 0));
    for (int32_t i = 0; i < count; ++i) {
        ck_assert_int_eq(beam->tokens[i], s->text_tokens[first + i]);
    }
    ck_assert_double_eq_tol(beam->score, s->text_score[text], 1e-4);
}

static void compare_row(const searches *s, eet_generation *generation, int32_t row, int32_t beams,
                        int32_t text, const said *events) {
    eet_error err = {0};
    eet_beam beam = {.size = sizeof beam};

    for (int32_t i = 0; i < beams; ++i) {
        ck_assert_int_eq(eet_generate_beam(generation, row, i, &beam, &err), EET_OK);
        compare_beam(s, text + i, &beam);
    }
    ck_assert_int_eq(eet_generate_beam(generation, row, 0, &beam, &err), EET_OK);
    ck_assert_int_eq(events->count, beam.count); /* the events are the best beam */
    ck_assert_int_eq(events->finish, beam.finish);
    ck_assert_mem_eq(events->tokens, beam.tokens, sizeof(int32_t) * (size_t)beam.count);
    ck_assert_int_eq(eet_generate_beam(generation, row, beams, &beam, &err), EET_E_ARGUMENT);
}

static void fill_sources(const searches *s, eet_session *session) {
    const eet_batch sources = {.size = sizeof sources,
                               .rows = s->sources,
                               .start = s->source_start,
                               .tokens = s->source_tokens};
    eet_error err = {0};

    if (s->source_tokens != NULL) {
        ck_assert_msg(eet_source(session, &sources, &err) == EET_OK, "%s", err.text);
    }
    for (int32_t i = 0; s->states != NULL && i < s->sources; ++i) {
        const eet_array states = {.size = sizeof states,
                                  .data = s->states + (ptrdiff_t)s->source_start[i] * s->width,
                                  .dtype = EET_F64,
                                  .rank = 2,
                                  .shape = {s->source_start[i + 1] - s->source_start[i], s->width}};

        ck_assert_msg(eet_source_set(session, i, &states, &err) == EET_OK, "%s", err.text);
    }
}

/* A session with room for all beams, and, where the model looks at something, with the sources
 * that the golden has and no slot more: they are computed once, and beams can but share them. */
static eet_session *begin_session(const searches *s, int32_t max_batch_tokens) {
    eet_session_options options = {.size = sizeof options,
                                   .threads = 2,
                                   .max_sequences = MOST_ROWS * MOST_BEAMS,
                                   .max_sources = s->sources,
                                   .max_batch_tokens = max_batch_tokens};
    eet_session *session = NULL;
    eet_error err = {0};

    for (int32_t i = 0; i < s->sources && max_batch_tokens > 0; ++i) { /* which go in one piece */
        const int32_t tokens = s->source_start[i + 1] - s->source_start[i];

        options.max_batch_tokens =
            tokens > options.max_batch_tokens ? tokens : options.max_batch_tokens;
    }
    ck_assert_int_eq(eet_session_create(s->model, &options, &session, &err), EET_OK);
    fill_sources(s, session);
    return session;
}

/* Rows of all lengths at once, in passes of any size, and every sequence free again. */
static void search_all(const searches *s, int32_t max_batch_tokens) {
    const eet_batch prompts = {.size = sizeof prompts,
                               .rows = s->rows,
                               .start = s->start,
                               .tokens = s->tokens,
                               .source = s->source};
    eet_session *session = begin_session(s, max_batch_tokens);
    eet_error err = {0};
    int32_t text = 0;
    int32_t stop = 0;

    for (int32_t i = 0; i < s->count; ++i) {
        const eet_generate_options how = options_of(s, i, stop);
        eet_generation *generation = NULL;
        said rows[MOST_ROWS] = {0};

        ck_assert_msg(eet_generate_begin(session, &prompts, &how, &generation, &err) == EET_OK,
                      "%s", err.text);
        listen(generation, s, rows);
        for (int32_t row = 0; row < s->rows; ++row) {
            compare_row(s, generation, row, how.beams, text, &rows[row]);
            text += how.beams;
        }
        eet_generate_end(generation);
        for (int32_t id = 0; id < MOST_ROWS * MOST_BEAMS; ++id) {
            const int32_t prompt = id < s->rows ? s->start[id + 1] - s->start[id] : 0;

            ck_assert_int_eq(eet_sequence_length(session, id),
                             id < s->rows ? prompt + rows[id].count - 1 : 0);
            ck_assert_int_eq(eet_sequence_trim(session, id, 0, &err), EET_OK);
        }
        stop += how.stop_count;
    }
    eet_session_destroy(session);
}

START_TEST(a_beam_search_finds_the_texts_of_the_library)
{
    searches s = begin_searches(models[_i % MODELS]);

    ck_assert_int_gt(s.count, 2);
    search_all(&s, _i / MODELS == 0 ? 0 : 3);
    end_searches(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_beam_search_finds_the_texts_of_the_library, .rows = 2 * MODELS},
    };

    return eet_suite_run("beams", claims, sizeof claims / sizeof *claims);
}
