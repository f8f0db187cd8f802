/* case_searches.c - beam searches and draws give the texts of the real library: what
 * tests/golden/test_beams.c and test_draws.c ask, on the device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden/texts.h"
#include "tests/gpu/pack.h"

/* A golden of searches or draws, its model, and a session that has the sources. */
typedef struct search_trial {
    eet_texts texts;
    gpu_golden golden;
    eet_model *model;
    eet_session *session;
} search_trial;

static void fill_sources(const search_trial *t, const int32_t *start, int32_t count) {
    eet_error gpu_error = {0};

    if (gpu_golden_find(&t->golden, "states") != NULL) {
        gpu_states_set(&t->golden, t->session, start, count);
    } else {
        const eet_batch batch = {.size = sizeof batch,
                                 .rows = count,
                                 .start = start,
                                 .tokens =
                                     gpu_golden_integers(&t->golden, "source_tokens", true, NULL)};

        gpu_call(eet_source(t->session, &batch, &gpu_error), EET_OK);
    }
}

static search_trial begin_trial(const gpu_case *one, const char *options) {
    search_trial t = {.golden = gpu_golden_open(one->subject)};
    eet_texts *texts = &t.texts;
    const gpu_golden *g = &t.golden;
    char checkpoint[GPU_NAME];
    int32_t sources = 0;
    eet_error gpu_error = {0};

    (void)snprintf(checkpoint, sizeof checkpoint, "%.*s", (int)strcspn(one->subject, "."),
                   one->subject);
    t.model = gpu_model_open(checkpoint, one->dtype);
    texts->start = gpu_golden_integers(g, "start", true, &texts->rows);
    texts->rows -= 1;
    texts->tokens = gpu_golden_integers(g, "tokens", true, NULL);
    texts->source = gpu_golden_integers(g, "source", false, NULL);
    texts->options = gpu_golden_integers(g, options, true, &texts->count);
    texts->stops = gpu_golden_integers(g, "stops", true, NULL);
    texts->text_start = gpu_golden_integers(g, "text_start", true, NULL);
    texts->text_tokens = gpu_golden_integers(g, "text_tokens", true, NULL);
    const int32_t *start = gpu_golden_integers(g, "source_start", false, &sources);
    const eet_session_options wanted = {.size = sizeof wanted,
                                        .threads = 2,
                                        .max_sequences = EET_TEXTS_ROWS * EET_TEXTS_BEAMS,
                                        .max_sources = start != NULL ? sources - 1 : 0};

    gpu_call(eet_session_create(t.model, &wanted, &t.session, &gpu_error), EET_OK);
    if (start != NULL) {
        fill_sources(&t, start, sources - 1);
    }
    return t;
}

static void end_trial(search_trial *t) {
    eet_session_destroy(t->session);
    eet_model_close(t->model);
    free(t->golden.bytes);
}

static const double *reals(const search_trial *t, const char *name) {
    int32_t rows = 0;
    int32_t columns = 0;

    return gpu_golden_reals(&t->golden, name, &rows, &columns);
}

static void run_beams(const gpu_case *one) {
    search_trial t = begin_trial(one, "searches");
    char why[EET_TEXTS_WHY];

    t.texts.penalties = reals(&t, "penalties");
    t.texts.text_ended = gpu_golden_integers(&t.golden, "text_ended", true, NULL);
    t.texts.text_score = reals(&t, "text_score");
    gpu_expect(eet_texts_search(&t.texts, t.session, why), "%s", why);
    gpu_note("%d searches of %d rows", t.texts.count, t.texts.rows);
    end_trial(&t);
}

static void run_draws(const gpu_case *one) {
    search_trial t = begin_trial(one, "draws");
    char why[EET_TEXTS_WHY];

    t.texts.seeds = gpu_golden_integers(&t.golden, "seeds", true, NULL);
    t.texts.numbers = reals(&t, "numbers");
    t.texts.text_log_probs = reals(&t, "text_log_probs");
    t.texts.score = reals(&t, "score");
    gpu_expect(eet_texts_draw(&t.texts, t.session, why), "%s", why);
    gpu_expect(eet_texts_score(&t.texts, t.session, why), "%s", why);
    gpu_note("%d draws of %d rows, together and alone", t.texts.count, t.texts.rows);
    end_trial(&t);
}

void gpu_cases_searches(gpu_table *table) {
    static char names[GPU_MAX_GOLDENS][GPU_NAME];
    const int32_t count = gpu_golden_names(names);

    for (int32_t i = 0; i < count; ++i) {
        const bool beams = strstr(names[i], ".beams") != NULL;
        gpu_case one = {
            .limit = 120, .quick = beams, .run = beams ? run_beams : run_draws, .dtype = EET_F32};
        char checkpoint[GPU_NAME];

        (void)snprintf(checkpoint, sizeof checkpoint, "%.*s", (int)strcspn(names[i], "."),
                       names[i]);
        (void)snprintf(one.name, sizeof one.name, "%s.%.60s", beams ? "beams" : "draws",
                       checkpoint);
        (void)snprintf(one.group, sizeof one.group, "%s", beams ? "beams" : "draws");
        (void)snprintf(one.subject, sizeof one.subject, "%.95s", names[i]);
        if ((beams || strstr(names[i], ".sampling") != NULL) &&
            gpu_model_there(checkpoint, EET_F32)) {
            gpu_table_add(table, one);
        }
    }
}
