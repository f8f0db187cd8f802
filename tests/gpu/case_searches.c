/* case_searches.c - beam searches and draws give the texts of the real library: the rules of
 * tests/golden/test_beams.c and test_draws.c, on the device. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/gpu/pack.h"

enum { MOST_BEAMS = 8, MOST_ROWS = 5, MOST_NEW = 80 };

/* A golden of searches or draws, and its model. */
typedef struct texts {
    gpu_golden golden;
    eet_model *model;
    int32_t rows, count;
    const int32_t *start, *tokens, *options, *stops, *text_start, *text_tokens;
} texts;

static texts begin_texts(const gpu_case *one, const char *options) {
    texts t = {.golden = gpu_golden_open(one->subject)};
    char checkpoint[GPU_NAME];

    (void)snprintf(checkpoint, sizeof checkpoint, "%.*s", (int)strcspn(one->subject, "."),
                   one->subject);
    t.model = gpu_model_open(checkpoint, one->dtype);
    t.start = gpu_golden_integers(&t.golden, "start", true, &t.rows);
    t.rows -= 1;
    t.tokens = gpu_golden_integers(&t.golden, "tokens", true, NULL);
    t.options = gpu_golden_integers(&t.golden, options, true, &t.count);
    t.stops = gpu_golden_integers(&t.golden, "stops", true, NULL);
    t.text_start = gpu_golden_integers(&t.golden, "text_start", true, NULL);
    t.text_tokens = gpu_golden_integers(&t.golden, "text_tokens", true, NULL);
    gpu_expect(t.rows >= 1 && t.rows <= MOST_ROWS, "%s has %d rows", one->subject, t.rows);
    return t;
}

/* ---- beams ---------------------------------------------------------------------- */

static eet_generate_options search_options(const texts *t, int32_t search, const int32_t *stop) {
    int32_t rows = 0;
    int32_t columns = 0;
    const int32_t *o = t->options + (int64_t)search * 6;
    const double *penalty =
        gpu_golden_reals(&t->golden, "penalties", &rows, &columns) + (int64_t)search * 2;

    return (eet_generate_options){
        .size = sizeof(eet_generate_options),
        .beams = o[0],
        .max_new_tokens = o[1],
        .early_stopping = o[2],
        .min_new_tokens = o[3],
        .stop_count = o[4],
        .stop = stop,
        .ignore_eos = o[5],
        .length_penalty = penalty[0] != 0.0 ? penalty[0] : EET_LENGTH_PENALTY_NONE,
        .repetition_penalty = penalty[1],
    };
}

static eet_session *search_session(const texts *t, const int32_t **looks) {
    int32_t sources = 0;
    const int32_t *start = gpu_golden_integers(&t->golden, "source_start", false, &sources);
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 2,
                                         .max_sequences = MOST_ROWS * MOST_BEAMS,
                                         .max_sources = start != NULL ? sources - 1 : 0};
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(t->model, &options, &session, &gpu_error), EET_OK);
    *looks = gpu_golden_integers(&t->golden, "source", false, NULL);
    if (gpu_golden_find(&t->golden, "states") != NULL) {
        gpu_states_set(&t->golden, session, start, sources - 1);
    } else if (start != NULL) {
        const eet_batch batch = {.size = sizeof batch,
                                 .rows = sources - 1,
                                 .start = start,
                                 .tokens =
                                     gpu_golden_integers(&t->golden, "source_tokens", true, NULL)};

        gpu_call(eet_source(session, &batch, &gpu_error), EET_OK);
    }
    return session;
}

/* The golden has no token that ended a text. */
static void compare_beam(const texts *t, int32_t search, int32_t row, int32_t text,
                         const eet_beam *beam) {
    int32_t rows = 0;
    int32_t columns = 0;
    const int32_t first = t->text_start[text];
    const int32_t count = t->text_start[text + 1] - first;
    const int32_t *ended = gpu_golden_integers(&t->golden, "text_ended", true, NULL);
    const double score = gpu_golden_reals(&t->golden, "text_score", &rows, &columns)[text];
    const int32_t ends = beam->finish == EET_FINISH_EOS || beam->finish == EET_FINISH_STOP;

    gpu_expect(ends == ended[text] && beam->count == count + ends,
               "search %d, row %d: a text of %d tokens (ended: %d), should be %d (%d)", search, row,
               beam->count - ends, ends, count, ended[text]);
    for (int32_t i = 0; i < count; ++i) {
        gpu_expect(beam->tokens[i] == t->text_tokens[first + i],
                   "search %d, row %d, token %d: %d, should be %d", search, row, i, beam->tokens[i],
                   t->text_tokens[first + i]);
    }
    gpu_expect(fabs(beam->score - score) <= 1e-4, "search %d, row %d: score %g, should be %g",
               search, row, beam->score, score);
}

static void run_beams(const gpu_case *one) {
    const texts t = begin_texts(one, "searches");
    const int32_t *looks = NULL;
    eet_session *session = search_session(&t, &looks);
    const eet_batch prompts = {.size = sizeof prompts,
                               .rows = t.rows,
                               .start = t.start,
                               .tokens = t.tokens,
                               .source = looks};
    const int32_t *stop = t.stops;
    int32_t text = 0;
    eet_error gpu_error = {0};

    for (int32_t i = 0; i < t.count; ++i) {
        const eet_generate_options how = search_options(&t, i, stop);
        eet_generation *generation = NULL;
        eet_event events[64];
        int32_t count = 0;

        gpu_call(eet_generate_begin(session, &prompts, &how, &generation, &gpu_error), EET_OK);
        do {
            gpu_call(eet_generate_next(generation, events, 64, &count, &gpu_error), EET_OK);
        } while (count > 0);
        for (int32_t b = 0; b < t.rows * how.beams; ++b) {
            eet_beam beam = {.size = sizeof beam};

            gpu_call(eet_generate_beam(generation, b / how.beams, b % how.beams, &beam, &gpu_error),
                     EET_OK);
            compare_beam(&t, i, b / how.beams, text++, &beam);
        }
        eet_generate_end(generation);
        for (int32_t id = 0; id < MOST_ROWS * MOST_BEAMS; ++id) {
            gpu_call(eet_sequence_trim(session, id, 0, &gpu_error), EET_OK);
        }
        stop += how.stop_count;
    }
    gpu_note("%d searches of %d rows", t.count, t.rows);
    eet_session_destroy(session);
    eet_model_close(t.model);
}

/* ---- draws ---------------------------------------------------------------------- */

static uint64_t number_of(const int32_t *quarters) {
    uint64_t number = 0;

    for (int32_t i = 3; i >= 0; --i) {
        number = number << 16 | (uint64_t)quarters[i];
    }
    return number;
}

static eet_generate_options draw_options(const texts *t, int32_t draw, const int32_t *stop) {
    int32_t rows = 0;
    int32_t columns = 0;
    const int32_t *o = t->options + (int64_t)draw * 5;
    const double *n = gpu_golden_reals(&t->golden, "numbers", &rows, &columns) + (int64_t)draw * 3;
    const int32_t *seeds = gpu_golden_integers(&t->golden, "seeds", true, NULL);

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
        .seed = number_of(seeds + (int64_t)draw * 8),
    };
}

static void compare_event(const texts *t, int32_t draw, int32_t row, int32_t nth,
                          const eet_event *event) {
    int32_t rows = 0;
    int32_t columns = 0;
    const int32_t text = draw * t->rows + row;
    const int32_t at = t->text_start[text] + nth;

    gpu_expect(at < t->text_start[text + 1], "draw %d, row %d: more than %d tokens", draw, row,
               nth);
    const double log_prob = gpu_golden_reals(&t->golden, "text_log_probs", &rows, &columns)[at];

    gpu_expect(event->token == t->text_tokens[at],
               "draw %d, row %d, new token %d: %d, should be %d", draw, row, nth, event->token,
               t->text_tokens[at]);
    gpu_expect(fabs((double)event->log_prob - log_prob) <= 1e-4 * fmax(1, fabs(log_prob)),
               "draw %d, row %d, new token %d: log-probability %g, should be %g", draw, row, nth,
               (double)event->log_prob, log_prob);
    gpu_expect((event->finish == EET_FINISH_NONE) == (at + 1 < t->text_start[text + 1]),
               "draw %d, row %d, new token %d: finish %d", draw, row, nth, event->finish);
}

/* Rows [first, end) of the prompts in one generation. */
static void draw_rows(const texts *t, eet_session *session, int32_t draw, const int32_t *stop,
                      int32_t first, int32_t end) {
    eet_generate_options options = draw_options(t, draw, stop);
    const int32_t *seeds = gpu_golden_integers(&t->golden, "seeds", true, NULL);
    uint64_t streams[MOST_ROWS];
    int32_t starts[MOST_ROWS + 1] = {0};
    int32_t got[MOST_ROWS] = {0};
    const eet_batch batch = {.size = sizeof batch,
                             .rows = end - first,
                             .start = starts,
                             .tokens = t->tokens + t->start[first]};
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0;
    eet_error gpu_error = {0};

    for (int32_t r = first; r < end; ++r) {
        starts[r - first + 1] = t->start[r + 1] - t->start[first];
        streams[r - first] = number_of(seeds + (int64_t)draw * 8 + 4) + (uint64_t)r;
    }
    options.stream = streams;
    gpu_call(eet_generate_begin(session, &batch, &options, &generation, &gpu_error), EET_OK);
    do {
        gpu_call(eet_generate_next(generation, &event, 1, &count, &gpu_error), EET_OK);
        if (count > 0) {
            compare_event(t, draw, first + event.row, got[event.row], &event);
            got[event.row] += 1;
        }
    } while (count > 0);
    eet_generate_end(generation);
    for (int32_t r = first; r < end; ++r) {
        const int32_t text = draw * t->rows + r;

        gpu_expect(got[r - first] == t->text_start[text + 1] - t->text_start[text],
                   "draw %d, row %d: %d tokens", draw, r, got[r - first]);
        gpu_call(eet_sequence_trim(session, r - first, 0, &gpu_error), EET_OK);
    }
}

static void compare_scores(const texts *t, eet_session *session) {
    int32_t count = 0;
    int32_t columns = 0;
    const double *expected = gpu_golden_reals(&t->golden, "score", &count, &columns);
    float *log_prob = gpu_alloc(count, sizeof *log_prob);
    const eet_batch batch = {
        .size = sizeof batch, .rows = t->rows, .start = t->start, .tokens = t->tokens};
    const eet_scores scores = {.size = sizeof scores, .log_prob = log_prob};
    eet_error gpu_error = {0};

    gpu_call(eet_score(session, &batch, NULL, &scores, &gpu_error), EET_OK);
    for (int32_t r = 0; r < t->rows; ++r) {
        for (int32_t i = t->start[r]; i + 1 < t->start[r + 1]; ++i) {
            gpu_expect(fabs((double)log_prob[i] - expected[i + 1]) <=
                           1e-4 * fmax(1, fabs(expected[i + 1])),
                       "score of token %d: %g, should be %g", i, (double)log_prob[i],
                       expected[i + 1]);
        }
    }
}

static void run_draws(const gpu_case *one) {
    const texts t = begin_texts(one, "draws");
    const eet_session_options options = {
        .size = sizeof options, .threads = 2, .max_sequences = MOST_ROWS};
    const int32_t *stop = t.stops;
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(t.model, &options, &session, &gpu_error), EET_OK);
    for (int32_t draw = 0; draw < t.count; ++draw) {
        draw_rows(&t, session, draw, stop, 0, t.rows);
        for (int32_t row = 0; row < t.rows; ++row) {
            draw_rows(&t, session, draw, stop, row, row + 1);
        }
        stop += t.options[draw * 5 + 3];
    }
    compare_scores(&t, session);
    gpu_note("%d draws of %d rows, together and alone", t.count, t.rows);
    eet_session_destroy(session);
    eet_model_close(t.model);
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
