/* test_graphs.c - which passes are recorded, and that what a recorded one gives is what the CPU
 * gives; over a double of the runtime (double.h), whose ops are the plain-C reference. */
#include <stdlib.h>

#include "engine/session.h"
#include "tests/cuda/on_double.h"

enum { MOST_ROWS = 6, MOST_TOKENS = 2400, VOCAB = 40 };

/* A model's sessions on the double and on the CPU. */
typedef struct pair {
    eet_model *model[2];
    eet_session *session[2];
    int32_t hidden;
} pair;

static pair open_pair(eet_sample_model model, const eet_session_options *options) {
    static const int32_t devices[] = {EET_CUDA, EET_HOST};
    const eet_tmp file = eet_tmp_path("model.eet");
    pair p = {.hidden = model.facts.stack[EET_ENC].hidden};

    (void)device();
    for (int i = 0; i < EET_STACKS; ++i) {
        model.facts.stack[i].pos_rows = MOST_TOKENS;
    }
    eet_sample_write(file.path, &model);
    for (int i = 0; i < 2; ++i) {
        const eet_model_options on = {.size = sizeof on, .device = devices[i]};

        EET_MUST(eet_model_open(file.path, &on, &p.model[i], err));
        EET_MUST(eet_session_create(p.model[i], options, &p.session[i], err));
    }
    return p;
}

static void close_pair(const pair *p) {
    for (int i = 0; i < 2; ++i) {
        eet_session_destroy(p->session[i]);
        eet_model_close(p->model[i]);
    }
}

/* Texts of these lengths, up to a 0. */
typedef struct texts {
    int32_t rows, start[MOST_ROWS + 1], source[MOST_ROWS];
    int32_t ids[MOST_TOKENS];
} texts;

static texts texts_of(const int32_t *lengths) {
    texts t = {0};

    for (; lengths[t.rows] > 0; ++t.rows) {
        t.start[t.rows + 1] = t.start[t.rows] + lengths[t.rows];
        t.source[t.rows] = t.rows;
    }
    for (int32_t i = 0; i < t.start[t.rows]; ++i) {
        t.ids[i] = (7 * i + 3) % VOCAB;
    }
    return t;
}

static eet_batch batch_of(const texts *t) {
    return (eet_batch){
        .size = sizeof(eet_batch), .rows = t->rows, .start = t->start, .tokens = t->ids};
}

/* The hidden states are the CPU's; gives back how many passes are recorded now. */
static int32_t recorded_after(const pair *p, const int32_t *lengths) {
    const texts t = texts_of(lengths);
    const eet_batch batch = batch_of(&t);
    const int64_t count = (int64_t)t.start[t.rows] * p->hidden;
    float *states[2];

    for (int again = 0; again < 2; ++again) { /* recorded, then run as it was recorded */
        for (int i = 0; i < 2; ++i) {
            states[i] = malloc((size_t)count * sizeof(float));
            const eet_output out = {.size = sizeof out,
                                    .head = EET_HIDDEN,
                                    .dtype = EET_F32,
                                    .data = states[i],
                                    .bytes = (uint64_t)count * sizeof(float)};

            EET_MUST(eet_encode(p->session[i], &batch, &out, 1, err));
        }
        for (int64_t i = 0; i < count; ++i) {
            ck_assert_float_eq_tol(states[0][i], states[1][i], 1e-4F);
        }
        free(states[0]);
        free(states[1]);
    }
    return p->session[0]->graphs;
}

START_TEST(a_pass_is_recorded_for_its_tokens_its_rows_and_its_longest_text)
{
    const eet_session_options options = {
        .size = sizeof options, .threads = 1, .max_batch_tokens = MOST_TOKENS};
    const pair p = open_pair(eet_sample_encoder(), &options);

    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){40, 60, 0}), 1);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){9, 94, 0}), 1); /* 112 tokens as well */
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){200, 200, 200, 200, 0}), 2);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){250, 130, 180, 225, 0}), 2);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){400, 100, 100, 200, 0}), 3);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){400, 400, 0}), 4);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){341, 341, 341, 341, 341, 343, 0}), 5);
    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){341, 341, 341, 341, 341, 344, 0}),
                     5); /* one too many */
    close_pair(&p);
}
END_TEST

START_TEST(a_pass_that_fills_the_session_is_recorded_as_it_is)
{
    const eet_session_options options = {
        .size = sizeof options, .threads = 1, .max_batch_tokens = 700};
    const pair p = open_pair(eet_sample_encoder(), &options);

    ck_assert_int_eq(recorded_after(&p, (const int32_t[]){300, 400, 0}), 1);
    ck_assert_int_eq(p.session[0]->graph[0].tokens, 700);
    close_pair(&p);
}
END_TEST

START_TEST(sources_that_are_filled_take_no_place_of_a_recorded_pass)
{
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 1,
                                         .max_tokens = 30,
                                         .max_sources = MOST_ROWS,
                                         .source_tokens = 90};
    const pair p = open_pair(eet_sample_encoder_decoder(), &options);
    const int32_t steps = p.session[0]->graphs;

    ck_assert_int_gt(steps, 0);
    for (int32_t length = 5; length < 90; length += 20) {
        const texts t = texts_of((const int32_t[]){length, length / 2 + 1, 0});
        eet_batch batch = batch_of(&t);

        batch.source = t.source;
        EET_MUST(eet_source(p.session[0], &batch, err));
    }
    ck_assert_int_eq(p.session[0]->graphs, steps);
    close_pair(&p);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_pass_is_recorded_for_its_tokens_its_rows_and_its_longest_text},
        {.test = a_pass_that_fills_the_session_is_recorded_as_it_is},
        {.test = sources_that_are_filled_take_no_place_of_a_recorded_pass},
    };

    return eet_suite_run("graphs", claims, sizeof claims / sizeof *claims);
}
