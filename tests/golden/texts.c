/* texts.c - the texts that a library drew or found by beams, against what a session gives. */
#include "tests/golden/texts.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double BOUND = 1e-4; /* contracts: float32 on the CPU */

/* The sentence, where the condition does not hold. */
#define must(condition, ...)                                 \
    do {                                                     \
        if (!(condition)) {                                  \
            (void)snprintf(why, EET_TEXTS_WHY, __VA_ARGS__); \
            return false;                                    \
        }                                                    \
    } while (0)

static bool is_near(double ours, double theirs) {
    return fabs(ours - theirs) <= BOUND * fmax(1, fabs(theirs));
}

/* ---- draws ---------------------------------------------------------------------- */

static uint64_t number_of(const int32_t *quarters) {
    uint64_t number = 0;

    for (int32_t i = 3; i >= 0; --i) {
        number = number << 16 | (uint64_t)quarters[i];
    }
    return number;
}

static eet_generate_options draw_options(const eet_texts *t, int32_t draw, const int32_t *stop) {
    const int32_t *o = t->options + (ptrdiff_t)draw * 5;
    const double *n = t->numbers + (ptrdiff_t)draw * 3;

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
        .seed = number_of(t->seeds + (ptrdiff_t)draw * 8),
    };
}

/* The nth new token of a row. */
static bool is_drawn(const eet_texts *t, int32_t draw, int32_t row, int32_t nth,
                     const eet_event *event, char *why) {
    const int32_t text = draw * t->rows + row;
    const int32_t at = t->text_start[text] + nth;
    const int32_t end = t->text_start[text + 1];

    must(at < end, "draw %d, row %d: more than %d tokens", draw, row, nth);
    must(event->token == t->text_tokens[at], "draw %d, row %d, new token %d: %d, should be %d",
         draw, row, nth, event->token, t->text_tokens[at]);
    must(is_near((double)event->log_prob, t->text_log_probs[at]),
         "draw %d, row %d, new token %d: log-probability %g, should be %g", draw, row, nth,
         (double)event->log_prob, t->text_log_probs[at]);
    must((event->finish == EET_FINISH_NONE) == (at + 1 < end),
         "draw %d, row %d, new token %d: finish %d", draw, row, nth, event->finish);
    return true;
}

/* All events of rows from `first` on. */
static bool hear_draw(const eet_texts *t, eet_generation *generation, int32_t draw, int32_t first,
                      int32_t *got, char *why) {
    eet_event event;
    int32_t count = 1;
    eet_error err = {0};

    while (count > 0) {
        must(eet_generate_next(generation, &event, 1, &count, &err) == EET_OK, "draw %d: %.200s",
             draw, err.text);
        if (count > 0 && !is_drawn(t, draw, first + event.row, got[event.row]++, &event, why)) {
            return false;
        }
    }
    return true;
}

/* Rows [first, end) of the prompts in one generation. */
static bool draw_rows(const eet_texts *t, eet_session *session, int32_t draw, const int32_t *stop,
                      int32_t first, int32_t end, char *why) {
    eet_generate_options options = draw_options(t, draw, stop);
    uint64_t streams[EET_TEXTS_ROWS];
    int32_t starts[EET_TEXTS_ROWS + 1] = {0};
    int32_t got[EET_TEXTS_ROWS] = {0};
    const eet_batch batch = {.size = sizeof batch,
                             .rows = end - first,
                             .start = starts,
                             .tokens = t->tokens + t->start[first]};
    eet_generation *generation = NULL;
    eet_error err = {0};

    for (int32_t r = first; r < end; ++r) {
        starts[r - first + 1] = t->start[r + 1] - t->start[first];
        streams[r - first] = number_of(t->seeds + (ptrdiff_t)draw * 8 + 4) + (uint64_t)r;
    }
    options.stream = streams;
    must(eet_generate_begin(session, &batch, &options, &generation, &err) == EET_OK,
         "draw %d: %.200s", draw, err.text);
    const bool good = hear_draw(t, generation, draw, first, got, why);

    eet_generate_end(generation);
    for (int32_t r = first; good && r < end; ++r) {
        const int32_t text = draw * t->rows + r;

        must(got[r - first] == t->text_start[text + 1] - t->text_start[text],
             "draw %d, row %d: %d tokens", draw, r, got[r - first]);
        must(eet_sequence_trim(session, r - first, 0, &err) == EET_OK, "%.200s", err.text);
    }
    return good;
}

bool eet_texts_draw(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]) {
    const int32_t *stop = texts->stops;

    must(texts->rows >= 1 && texts->rows <= EET_TEXTS_ROWS, "%d rows", texts->rows);
    must(texts->count > 0, "there are no draws");
    for (int32_t draw = 0; draw < texts->count; ++draw) {
        bool good = draw_rows(texts, session, draw, stop, 0, texts->rows, why);

        for (int32_t row = 0; good && row < texts->rows; ++row) {
            good = draw_rows(texts, session, draw, stop, row, row + 1, why);
        }
        if (!good) {
            return false;
        }
        stop += texts->options[draw * 5 + 3];
    }
    return true;
}

static bool compare_scores(const eet_texts *t, const float *log_prob, char *why) {
    for (int32_t r = 0; r < t->rows; ++r) {
        const int32_t last = t->start[r + 1] - 1;

        for (int32_t i = t->start[r]; i < last; ++i) {
            must(is_near((double)log_prob[i], t->score[i + 1]),
                 "score of token %d: %g, should be %g", i, (double)log_prob[i], t->score[i + 1]);
        }
        must(isnan(log_prob[last]), "row %d: the last token has a score, %g", r,
             (double)log_prob[last]);
    }
    return true;
}

bool eet_texts_score(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]) {
    float *log_prob = calloc((size_t)texts->start[texts->rows] + 1, sizeof *log_prob);
    const eet_batch batch = {
        .size = sizeof batch, .rows = texts->rows, .start = texts->start, .tokens = texts->tokens};
    const eet_scores scores = {.size = sizeof scores, .log_prob = log_prob};
    eet_error err = {0};

    must(log_prob != NULL, "no memory");
    bool good = eet_score(session, &batch, NULL, &scores, &err) == EET_OK;

    (void)snprintf(why, EET_TEXTS_WHY, "%.200s", err.text);
    good = good && compare_scores(texts, log_prob, why);
    free(log_prob);
    return good;
}

/* ---- searches ------------------------------------------------------------------- */

static eet_generate_options search_options(const eet_texts *t, int32_t search,
                                           const int32_t *stop) {
    const int32_t *o = t->options + (ptrdiff_t)search * 6;
    const double *penalty = t->penalties + (ptrdiff_t)search * 2;

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

/* What a row's events say. */
typedef struct said {
    int32_t count, finish;
    int32_t tokens[EET_TEXTS_NEW];
} said;

static bool hear_search(const eet_texts *t, eet_generation *generation, said *rows, char *why) {
    eet_event events[7];
    int32_t count = 0;
    eet_error err = {0};

    do {
        must(eet_generate_next(generation, events, 7, &count, &err) == EET_OK, "%.200s", err.text);
        for (int32_t i = 0; i < count; ++i) {
            const eet_event *e = &events[i];
            said *row = &rows[e->row];

            must(row->finish == EET_FINISH_NONE && row->count < EET_TEXTS_NEW &&
                     e->position == t->start[e->row + 1] - t->start[e->row] + row->count,
                 "row %d: an event at position %d after %d tokens", e->row, e->position,
                 row->count);
            row->tokens[row->count++] = e->token;
            row->finish = e->finish;
        }
    } while (count > 0);
    return true;
}

/* The golden has no token that ended a text: transformers writes the first end token whichever
 * it was. */
static bool is_found(const eet_texts *t, int32_t text, const eet_beam *beam, char *why) {
    const int32_t first = t->text_start[text];
    const int32_t count = t->text_start[text + 1] - first;
    const int32_t ended = beam->finish == EET_FINISH_EOS || beam->finish == EET_FINISH_STOP;

    must(ended == t->text_ended[text] && beam->count == count + ended,
         "text %d: %d tokens (ended: %d), should be %d (%d)", text, beam->count - ended, ended,
         count, t->text_ended[text]);
    for (int32_t i = 0; i < count; ++i) {
        must(beam->tokens[i] == t->text_tokens[first + i], "text %d, token %d: %d, should be %d",
             text, i, beam->tokens[i], t->text_tokens[first + i]);
    }
    must(fabs(beam->score - t->text_score[text]) <= BOUND, "text %d: score %g, should be %g", text,
         beam->score, t->text_score[text]);
    return true;
}

static bool compare_row(const eet_texts *t, eet_generation *generation, int32_t row, int32_t beams,
                        int32_t text, const said *events, char *why) {
    eet_error err = {0};
    eet_beam beam = {.size = sizeof beam};

    for (int32_t i = 0; i < beams; ++i) {
        must(eet_generate_beam(generation, row, i, &beam, &err) == EET_OK, "%.200s", err.text);
        if (!is_found(t, text + i, &beam, why)) {
            return false;
        }
    }
    must(eet_generate_beam(generation, row, 0, &beam, &err) == EET_OK, "%.200s", err.text);
    must(events->count == beam.count && events->finish == beam.finish &&
             memcmp(events->tokens, beam.tokens, sizeof(int32_t) * (size_t)beam.count) == 0,
         "row %d: the events are not the best beam", row);
    must(eet_generate_beam(generation, row, beams, &beam, &err) == EET_E_ARGUMENT,
         "row %d has more than %d beams", row, beams);
    return true;
}

/* A row's own sequence holds the best beam but its last token, the others nothing. */
static bool empty_slots(const eet_texts *t, eet_session *session, const said *rows, char *why) {
    eet_error err = {0};

    for (int32_t id = 0; id < EET_TEXTS_ROWS * EET_TEXTS_BEAMS; ++id) {
        const int32_t length =
            id < t->rows ? t->start[id + 1] - t->start[id] + rows[id].count - 1 : 0;

        must(eet_sequence_length(session, id) == length, "sequence %d has %d tokens, not %d", id,
             eet_sequence_length(session, id), length);
        must(eet_sequence_trim(session, id, 0, &err) == EET_OK, "%.200s", err.text);
    }
    return true;
}

/* One search of all prompts, whose texts begin with number `text`. */
static bool search_once(const eet_texts *t, eet_session *session, const eet_generate_options *how,
                        int32_t text, char *why) {
    const eet_batch prompts = {.size = sizeof prompts,
                               .rows = t->rows,
                               .start = t->start,
                               .tokens = t->tokens,
                               .source = t->source};
    eet_generation *generation = NULL;
    said rows[EET_TEXTS_ROWS] = {0};
    eet_error err = {0};

    must(eet_generate_begin(session, &prompts, how, &generation, &err) == EET_OK, "%.200s",
         err.text);
    bool good = hear_search(t, generation, rows, why);

    for (int32_t row = 0; good && row < t->rows; ++row) {
        good =
            compare_row(t, generation, row, how->beams, text + row * how->beams, &rows[row], why);
    }
    eet_generate_end(generation);
    return good && empty_slots(t, session, rows, why);
}

bool eet_texts_search(const eet_texts *texts, eet_session *session, char why[EET_TEXTS_WHY]) {
    const int32_t *stop = texts->stops;
    int32_t text = 0;

    must(texts->rows >= 1 && texts->rows <= EET_TEXTS_ROWS, "%d rows", texts->rows);
    must(texts->count > 2, "there are %d searches", texts->count);
    for (int32_t i = 0; i < texts->count; ++i) {
        const eet_generate_options how = search_options(texts, i, stop);
        char reason[EET_TEXTS_WHY];

        if (!search_once(texts, session, &how, text, reason)) {
            must(false, "search %d: %.200s", i, reason);
        }
        text += texts->rows * how.beams;
        stop += how.stop_count;
    }
    return true;
}
