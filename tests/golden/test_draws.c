/* test_draws.c - draws, penalties and scores give what transformers gives, whose generate ran
 * with the draw of docs/sampling.md: fixtures/make_sampling.py. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/golden/texts.h"
#include "tests/golden/trial.h"
#include "tests/support/suite.h"

static const char *const models[] = {"gpt2_tiny", "gpt2_untied", "gpt2_invscale"};
enum { MODELS = sizeof models / sizeof *models, DATASETS = 10 };

typedef struct draws {
    eet_texts texts;
    void *datasets[DATASETS]; /* that it points into */
    int32_t used;
    eet_golden *golden;
    eet_model *model;
    eet_session *session;
} draws;

static const int32_t *integers(draws *d, const char *name, int32_t *rows) {
    int count = 0;
    int32_t *values = eet_golden_integers(d->golden, name, &count, NULL);

    ck_assert_int_lt(d->used, DATASETS);
    d->datasets[d->used++] = values;
    if (rows != NULL) {
        *rows = count;
    }
    return values;
}

static const double *reals(draws *d, const char *name) {
    int count = 0;
    double *values = eet_golden_reals(d->golden, name, &count, NULL);

    ck_assert_int_lt(d->used, DATASETS);
    d->datasets[d->used++] = values;
    return values;
}

static draws begin_draws(const char *model) {
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 2,
                                         .max_sequences = EET_TEXTS_ROWS,
                                         .max_batch_tokens = 50};
    char name[64];
    eet_error err = {0};

    (void)snprintf(name, sizeof name, "%s.sampling", model);
    draws d = {.golden = eet_golden_open(name), .model = eet_trial_model(model, NULL, "keep")};
    eet_texts *t = &d.texts;

    t->start = integers(&d, "start", &t->rows);
    t->rows -= 1;
    t->tokens = integers(&d, "tokens", NULL);
    t->options = integers(&d, "draws", &t->count);
    t->seeds = integers(&d, "seeds", NULL);
    t->numbers = reals(&d, "numbers");
    t->stops = integers(&d, "stops", NULL);
    t->text_start = integers(&d, "text_start", NULL);
    t->text_tokens = integers(&d, "text_tokens", NULL);
    t->text_log_probs = reals(&d, "text_log_probs");
    t->score = reals(&d, "score");
    ck_assert_msg(eet_session_create(d.model, &options, &d.session, &err) == EET_OK, "%s",
                  err.text);
    return d;
}

static void end_draws(draws *d) {
    for (int32_t i = 0; i < d->used; ++i) {
        free(d->datasets[i]);
    }
    eet_session_destroy(d->session);
    eet_model_close(d->model);
    eet_golden_close(d->golden);
}

START_TEST(texts_are_those_of_transformers_together_and_alone)
{
    draws d = begin_draws(models[_i]);
    char why[EET_TEXTS_WHY];

    ck_assert_msg(eet_texts_draw(&d.texts, d.session, why), "%s", why);
    end_draws(&d);
}
END_TEST

START_TEST(scores_are_torchs_log_softmax)
{
    draws d = begin_draws(models[_i]);
    char why[EET_TEXTS_WHY];

    ck_assert_msg(eet_texts_score(&d.texts, d.session, why), "%s", why);
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
