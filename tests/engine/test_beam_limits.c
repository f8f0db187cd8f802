/* test_beam_limits.c - what a beam search needs before it begins, and what it cannot do. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "engine/session.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { SLOTS = 14, VOCAB = 40 };

typedef struct stage {
    eet_model *model;
    eet_session *session;
    eet_error err;
} stage;

static stage begin_stage(int32_t cache_tokens) {
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_rows = 90;
    stage s = {.model = play_model(&sample)};

    s.session = play_session(
        s.model,
        (eet_session_options){.threads = 1, .max_sequences = SLOTS, .cache_tokens = cache_tokens});
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

/* Prompts of 3 and 67 tokens. */
typedef struct trial {
    eet_generate_options options;
    int32_t rows, start[3], slot[2];
    int32_t ids[70];
} trial;

static trial small_trial(void) {
    trial t = {.rows = 2, .start = {0, 3, 70}, .slot = {2, 9}};

    for (int32_t i = 0; i < t.start[2]; ++i) {
        t.ids[i] = i * 11 % VOCAB;
    }
    t.options = (eet_generate_options){
        .size = sizeof t.options, .beams = 3, .max_new_tokens = 15, .ignore_eos = 1};
    return t;
}

static eet_batch prompts_of(const trial *t) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = t->rows,
                       .start = t->start,
                       .tokens = t->ids,
                       .sequence = t->slot};
}

/* The first token copies the page that the prompt shares, the other beam copies it too. */
START_TEST(copies_of_what_the_prompt_shares_are_counted_at_the_start)
{
    const int32_t free_pages = 1 + _i;
    stage s = begin_stage((1 + free_pages) * EET_PAGE_TOKENS);
    trial t = small_trial();
    int32_t start[2];
    const eet_batch head = play_row(start, t.ids, 10, &t.slot[0]);
    const eet_batch tail = {.size = sizeof tail,
                            .rows = 1,
                            .start = (const int32_t[]){0, 1},
                            .tokens = t.ids + 10,
                            .sequence = t.slot};
    eet_generation *generation = NULL;
    eet_event events[15];
    int32_t count = 0;

    t.options.beams = 2;
    t.start[1] = 11;
    ck_assert_int_eq(eet_step(s.session, &head, NULL, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_fork(s.session, t.slot[0], 5, &s.err), EET_OK);
    ck_assert_int_eq(s.session->cache.free_count, free_pages);
    const eet_status status = eet_generate_begin(s.session, &tail, &t.options, &generation, &s.err);

    if (free_pages == 1) {
        ck_assert_int_eq(status, EET_E_LIMIT);
        ck_assert_msg(strstr(s.err.text, "up to 2 pages") != NULL, "%s", s.err.text);
    } else {
        ck_assert_int_eq(status, EET_OK);
        ck_assert_int_eq(eet_generate_next(generation, events, 15, &count, &s.err), EET_OK);
        ck_assert_int_eq(count, 15);
        eet_generate_end(generation);
    }
    ck_assert_int_eq(eet_sequence_length(s.session, 5), 10);
    end_stage(&s);
}
END_TEST

/* ---- refusals --------------------------------------------------------------------------- */

static const int32_t forced_ids[] = {7, VOCAB};

static const struct {
    eet_generate_options options;
    eet_status status;
    const char *words;
} refused[] = {
    {{.beams = -1}, EET_E_ARGUMENT, "beams is -1"},
    {{.beams = 3, .temperature = 0.7}, EET_E_ARGUMENT, "draws"},
    {{.beams = 3, .top_k = 5}, EET_E_ARGUMENT, "draws"},
    {{.beams = 3, .top_p = 0.5}, EET_E_ARGUMENT, "draws"},
    {{.beams = 3, .top_n = 2}, EET_E_ARGUMENT, "top_n"},
    {{.beams = 3, .early_stopping = 3}, EET_E_ARGUMENT, "early_stopping is 3"},
    {{.beams = 3, .length_penalty = NAN}, EET_E_ARGUMENT, "length_penalty is"},
    {{.beams = 3, .length_penalty = INFINITY}, EET_E_ARGUMENT, "length_penalty is"},
    {{.beams = 3, .length_penalty = 41}, EET_E_ARGUMENT, "length_penalty is 41, outside -40 to 40"},
    {{.beams = 3, .length_penalty = -41}, EET_E_ARGUMENT, "length_penalty is -41"},
    {{.beams = 3, .max_new_tokens = 4, .forced_count = 9}, EET_E_LIMIT, "forced_count is 9"},
    {{.beams = 3, .max_new_tokens = 4, .forced_count = 1}, EET_E_ARGUMENT, "a list of ids"},
    {{.max_new_tokens = 4, .forced_count = 1, .forced = forced_ids},
     EET_E_ARGUMENT,
     "2 beams or more"},
    {{.beams = 3, .forced_count = 1, .forced = forced_ids}, EET_E_ARGUMENT, "max_new_tokens"},
    {{.beams = 3, .max_new_tokens = 4, .forced_count = 2, .forced = forced_ids},
     EET_E_ARGUMENT,
     "forced[1] is 40; the vocabulary is 0 to 39"},
    {{.beams = 3, .reserved = 1}, EET_E_ARGUMENT, "reserved is 1"},
    {{.beams = 8},
     EET_E_LIMIT,
     "8 beams for each of 2 rows need 14 free sequences beside the prompts'; 11 of the session's "
     "14 are free"},
    {{.beams = INT32_MAX}, EET_E_LIMIT, "free sequences"},
    {{.beams = 3, .max_new_tokens = 15},
     EET_E_LIMIT,
     "a search with 3 beams needs up to 7 pages of 64 tokens; 5 of the cache's 6 are free"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(what_a_search_cannot_do_is_refused_and_changes_nothing)
{
    stage s = begin_stage(6 * 64);
    trial t = small_trial();
    const eet_batch prompts = prompts_of(&t);
    const int32_t busy = 4;
    int32_t start[2];
    const eet_batch row = play_row(start, t.ids, 10, &busy);
    eet_generation *generation = NULL;

    ck_assert_int_eq(eet_step(s.session, &row, NULL, 0, &s.err), EET_OK);
    t.options = refused[_i].options;
    t.options.size = sizeof t.options;
    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     refused[_i].status);
    ck_assert_msg(strstr(s.err.text, refused[_i].words) != NULL, "said \"%s\"", s.err.text);
    ck_assert_ptr_null(generation);
    ck_assert_int_eq(s.session->cache.free_count, 5);
    ck_assert_int_eq(eet_sequence_length(s.session, busy), 10);
    ck_assert_int_eq(eet_sequence_length(s.session, t.slot[0]), 0);
    t.options = (eet_generate_options){.size = sizeof t.options, .beams = 2, .max_new_tokens = 8};
    ck_assert_msg(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err) ==
                      EET_OK,
                  "%s", s.err.text); /* what fits, fits */
    eet_generate_end(generation);
    end_stage(&s);
}
END_TEST

/* More beams than there are tokens: as many as there are texts. */
START_TEST(beams_are_no_more_than_there_are_texts)
{
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].vocab_size = 3;
    sample.facts.stack[EET_DEC].vocab_rows = 3;
    sample.facts.stack[EET_DEC].tok_bos = -1;
    sample.facts.stack[EET_DEC].tok_eos = -1;
    sample.facts.stack[EET_DEC].types = 3;
    stage s = {.model = play_model(&sample)};
    static const int32_t start[] = {0, 1};
    static const int32_t ids[] = {1};
    const eet_batch prompts = {.size = sizeof prompts, .rows = 1, .start = start, .tokens = ids};
    const eet_generate_options options = {
        .size = sizeof options, .beams = 7, .max_new_tokens = _i + 1};
    eet_generation *generation = NULL;
    eet_beam beam = {.size = sizeof beam};
    eet_event events[9];
    int32_t count = 0;
    const int32_t texts = _i == 0 ? 3 : 7;

    s.session = play_session(s.model, (eet_session_options){.threads = 1, .max_sequences = 8});
    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &options, &generation, &s.err),
                     EET_OK);
    ck_assert_int_eq(eet_generate_next(generation, events, 9, &count, &s.err), EET_OK);
    ck_assert_int_eq(count, _i + 1);
    for (int32_t i = 0; i < texts; ++i) {
        ck_assert_int_eq(eet_generate_beam(generation, 0, i, &beam, &s.err), EET_OK);
        ck_assert_int_eq(beam.count, _i + 1);
    }
    ck_assert_int_eq(eet_generate_beam(generation, 0, texts, &beam, &s.err), EET_E_ARGUMENT);
    eet_generate_end(generation);
    eet_session_destroy(s.session);
    eet_model_close(s.model);
}
END_TEST

/* Where scores are NaN a step may leave fewer texts than there are beams, and the row's own
 * sequence to none of them. That needs luck, so the state is made by hand. */
START_TEST(a_search_that_is_left_gives_the_prompt_back_whichever_beams_are_open)
{
    stage s = begin_stage(0);
    trial t = small_trial();
    eet_beams *b = &s.session->generation.beams;
    const eet_batch prompts = prompts_of(&t);
    const int32_t pages = s.session->cache.free_count;
    eet_generation *generation = NULL;
    eet_event events[40];
    int32_t count = 0;

    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     EET_OK);
    for (int32_t row = 0; row < t.rows; ++row) {
        eet_beam_row *r = &b->row[row];
        eet_beam_open *open = b->open + (int64_t)row * b->beams;
        const int32_t own = open[0].sequence == r->sequence ? 0 : 1;

        ck_assert_int_eq(open[own].sequence, r->sequence);
        eet_cache_trim(&s.session->cache, r->sequence, 0);
        b->spare[(int64_t)row * b->beams + r->spares++] = r->sequence;
        r->open -= 1;
        open[own] = open[r->open];
    }
    if (_i == 1) {
        eet_session_cancel(s.session);
        ck_assert_int_eq(eet_generate_next(generation, events, 40, &count, &s.err), EET_OK);
    }
    eet_generate_end(generation);
    for (int32_t row = 0; row < t.rows; ++row) {
        const eet_sequence *sequence = &s.session->cache.sequence[t.slot[row]];

        ck_assert_int_eq(sequence->length, t.start[row + 1] - t.start[row]);
        ck_assert_int_eq(sequence->pages, eet_pages_for(sequence->length));
    }
    ck_assert_int_eq(s.session->cache.free_count, pages - 3);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = copies_of_what_the_prompt_shares_are_counted_at_the_start, .rows = 2},
        {.test = what_a_search_cannot_do_is_refused_and_changes_nothing, .rows = REFUSED},
        {.test = beams_are_no_more_than_there_are_texts, .rows = 3},
        {.test = a_search_that_is_left_gives_the_prompt_back_whichever_beams_are_open, .rows = 2},
    };

    return eet_suite_run("beam_limits", claims, sizeof claims / sizeof *claims);
}
