/* test_beams.c - beam searches give the texts of transformers' generate, with its scores, and of
 * Fairseq's SequenceGenerator where the rules of both are one: a search ends when as many texts are
 * finished as there are beams, by an end token each (fixtures/fairseq/beams.py tells the rest). */
#include <stdio.h>
#include <stdlib.h>

#include "tests/golden/texts.h"
#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const char *const models[] = {"gpt2_tiny",  "gpt2_untied",      "gpt2_invscale", "bart_lm",
                                     "gpt2_cross", "fs012_nmt_shared", "fs012_bart"};
enum { MODELS = sizeof models / sizeof *models, DATASETS = 12 };

/* The searches of a golden: fixtures/make_beams.py. */
typedef struct searches {
    eet_texts texts;
    void *datasets[DATASETS]; /* that it points into */
    int32_t used;
    eet_golden *golden;
    eet_model *model;
    int32_t sources; /* 0: the model looks at nothing */
    const int32_t *source_start, *source_tokens;
    const double *states; /* in the place of source_tokens: the encoder is elsewhere */
    int width;            /* of a state */
} searches;

static const int32_t *integers(searches *s, const char *name, int32_t *rows) {
    int count = 0;
    int32_t *values = eet_golden_integers(s->golden, name, &count, NULL);

    ck_assert_int_lt(s->used, DATASETS);
    s->datasets[s->used++] = values;
    if (rows != NULL) {
        *rows = count;
    }
    return values;
}

static const double *reals(searches *s, const char *name, int *columns) {
    int count = 0;
    double *values = eet_golden_reals(s->golden, name, &count, columns);

    ck_assert_int_lt(s->used, DATASETS);
    s->datasets[s->used++] = values;
    return values;
}

static void read_sources(searches *s) {
    int32_t count = 0;

    s->texts.source = integers(s, "source", &count);
    ck_assert_int_eq(count, s->texts.rows);
    s->source_start = integers(s, "source_start", &count);
    s->sources = count - 1;
    ck_assert_int_lt(s->sources, s->texts.rows); /* two rows look at one */
    if (eet_golden_has(s->golden, "states")) {
        s->states = reals(s, "states", &s->width);
    } else {
        s->source_tokens = integers(s, "source_tokens", NULL);
    }
}

static searches begin_searches(const char *model) {
    char name[64];

    (void)snprintf(name, sizeof name, "%s.beams", model);
    searches s = {.golden = eet_golden_open(name), .model = eet_trial_model(model, NULL, "keep")};
    eet_texts *t = &s.texts;

    t->start = integers(&s, "start", &t->rows);
    t->rows -= 1;
    t->tokens = integers(&s, "tokens", NULL);
    t->options = integers(&s, "searches", &t->count);
    t->penalties = reals(&s, "penalties", NULL);
    t->stops = integers(&s, "stops", NULL);
    t->text_start = integers(&s, "text_start", NULL);
    t->text_tokens = integers(&s, "text_tokens", NULL);
    t->text_ended = integers(&s, "text_ended", NULL);
    t->text_score = reals(&s, "text_score", NULL);
    if (eet_golden_has(s.golden, "source")) {
        read_sources(&s);
    }
    return s;
}

static void end_searches(searches *s) {
    for (int32_t i = 0; i < s->used; ++i) {
        free(s->datasets[i]);
    }
    eet_model_close(s->model);
    eet_golden_close(s->golden);
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
        const eet_array states = {
            .size = sizeof states,
            .data = (void *)(uintptr_t)(s->states + (ptrdiff_t)s->source_start[i] * s->width),
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
                                   .max_sequences = EET_TEXTS_ROWS * EET_TEXTS_BEAMS,
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
START_TEST(a_beam_search_finds_the_texts_of_the_library)
{
    searches s = begin_searches(models[_i % MODELS]);
    eet_session *session = begin_session(&s, _i / MODELS == 0 ? 0 : 3);
    char why[EET_TEXTS_WHY];

    ck_assert_msg(eet_texts_search(&s.texts, session, why), "%s", why);
    eet_session_destroy(session);
    end_searches(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_beam_search_finds_the_texts_of_the_library, .rows = 2 * MODELS},
    };

    return eet_suite_run("beams", claims, sizeof claims / sizeof *claims);
}
