/* test_beam_search.c - a beam search beside one that runs every text from its start and sorts
 * every candidate; what it leaves behind; what it refuses. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/session.h"
#include "tests/engine/naive_beams.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum {
    SLOTS = 14,
    MOST = NAIVE_TOKENS,
    VOCAB = NAIVE_VOCAB,
    MOST_BEAMS = NAIVE_BEAMS,
    MOST_ROWS = 3,
    MOST_NEW = 20,
    EOS = 7
};

typedef struct stage {
    eet_model *model;
    eet_session *session, *naive;
    eet_error err;
} stage;

static stage begin_stage(int32_t cache_tokens) {
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_rows = MOST;
    sample.facts.stack[EET_DEC].tok_eos = EOS;
    stage s = {.model = play_model(&sample)};

    s.session = play_session(s.model, (eet_session_options){.threads = 2,
                                                            .max_sequences = SLOTS,
                                                            .max_outputs = 5,
                                                            .cache_tokens = cache_tokens});
    s.naive = play_session(s.model, (eet_session_options){.threads = 1});
    return s;
}

static void end_stage(stage *s) {
    eet_session_destroy(s->naive);
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

/* ---- both side by side ------------------------------------------------------------------ */

/* A search drawn: its options and prompts. */
typedef struct trial {
    eet_generate_options options;
    int32_t stops[2], forced[2];
    int32_t rows, start[MOST_ROWS + 1], slot[MOST_ROWS];
    int32_t ids[MOST_ROWS * MOST];
} trial;

static void draw_trial(trial *t, uint64_t random) {
    static const double lengths[] = {0.0, 1.0, 2.0, 0.5, -1.0, EET_LENGTH_PENALTY_NONE};
    static const double repeats[] = {0.0, 1.0, 1.3, 0.8};

    *t = (trial){.rows = 1 + (int32_t)play_random(&random, MOST_ROWS)};
    for (int32_t row = 0; row < t->rows; ++row) {
        t->start[row + 1] = t->start[row] + 1 + (int32_t)play_random(&random, 66);
        t->slot[row] = row * 5 + (int32_t)play_random(&random, 3);
    }
    for (int32_t i = 0; i < t->start[t->rows]; ++i) {
        t->ids[i] = (int32_t)play_random(&random, VOCAB);
    }
    const int32_t most = SLOTS / t->rows < MOST_BEAMS ? SLOTS / t->rows : MOST_BEAMS;

    t->stops[0] = (int32_t)play_random(&random, VOCAB);
    t->stops[1] = VOCAB + 3;
    t->options = (eet_generate_options){
        .size = sizeof t->options,
        .beams = 2 + (int32_t)play_random(&random, (uint32_t)most - 1),
        .max_new_tokens = 1 + (int32_t)play_random(&random, MOST_NEW),
        .ignore_eos = (int32_t)play_random(&random, 4) == 0,
        .stop = t->stops,
        .stop_count = (int32_t)play_random(&random, 3),
        .repetition_penalty = repeats[play_random(&random, 4)],
        .length_penalty = lengths[play_random(&random, 6)],
        .early_stopping = (int32_t)play_random(&random, 3),
    };
    t->options.min_new_tokens = (int32_t)play_random(&random, (uint32_t)t->options.max_new_tokens);
    t->forced[0] = play_random(&random, 3) > 0 ? EOS : (int32_t)play_random(&random, VOCAB);
    t->forced[1] = (t->forced[0] + 1 + (int32_t)play_random(&random, VOCAB - 1)) % VOCAB;
    t->options.forced = t->forced;
    t->options.forced_count = play_random(&random, 2) > 0 ? (int32_t)play_random(&random, 3) : 0;
}

static naive_search begin_naive(const stage *s, const trial *t) {
    return (naive_search){.options = &t->options, .session = s->naive, .vocab = VOCAB, .eos = EOS};
}

static eet_batch prompts_of(const trial *t) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = t->rows,
                       .start = t->start,
                       .tokens = t->ids,
                       .sequence = t->slot};
}

static void compare_beam(const naive_text *want, int32_t prompt, const eet_beam *beam) {
    ck_assert_int_eq(beam->count, want->count - prompt);
    ck_assert_int_eq(beam->finish, want->finish);
    ck_assert_double_eq_tol(beam->score, want->score, 1e-5 * (1 + fabs(want->score)));
    for (int32_t i = 0; i < beam->count; ++i) {
        ck_assert_int_eq(beam->tokens[i], want->tokens[prompt + i]);
        ck_assert_double_eq_tol((double)beam->log_probs[i], (double)want->log_prob[prompt + i],
                                1e-5);
    }
}

/* A row's sequence has the best text but its last token: with that it goes on with the bits of
 * the whole text. */
static void compare_held(stage *s, const naive_text *best, int32_t slot) {
    float held[VOCAB];
    float whole[VOCAB];
    int32_t start[2];
    const eet_batch all = play_row(start, best->tokens, best->count, NULL);
    eet_output output = play_output(0, whole, VOCAB);

    output.take = EET_TAKE_LAST;
    ck_assert_int_eq(eet_sequence_length(s->session, slot), best->count - 1);
    ck_assert_int_eq(eet_sequence_trim(s->naive, 0, 0, &s->err), EET_OK);
    ck_assert_int_eq(eet_step(s->naive, &all, &output, 1, &s->err), EET_OK);
    const eet_batch last = play_row(start, best->tokens + best->count - 1, 1, &slot);

    output.data = held;
    ck_assert_int_eq(eet_step(s->session, &last, &output, 1, &s->err), EET_OK);
    ck_assert_mem_eq(held, whole, sizeof whole);
}

/* Nothing is left but the rows' own sequences, and no page is lost. */
static void check_left(const stage *s, const trial *t) {
    int32_t pages = 0;

    for (int32_t id = 0; id < SLOTS; ++id) {
        bool own = false;

        for (int32_t row = 0; row < t->rows; ++row) {
            own = own || t->slot[row] == id;
        }
        ck_assert(own || eet_sequence_length(s->session, id) == 0);
        pages += eet_pages_for(eet_sequence_length(s->session, id));
        ck_assert_int_eq(s->session->cache.sequence[id].pages,
                         eet_pages_for(eet_sequence_length(s->session, id)));
    }
    ck_assert_int_eq(s->session->cache.free_count, s->session->cache.count - pages);
}

static void clear(stage *s) {
    for (int32_t id = 0; id < SLOTS; ++id) {
        ck_assert_int_eq(eet_sequence_trim(s->session, id, 0, &s->err), EET_OK);
    }
}

/* Takes all events; those of a row are its best beam. */
static void listen(stage *s, eet_generation *generation, const trial *t, int32_t room,
                   naive_text *best) {
    eet_event events[9];
    int32_t count = 0;

    do {
        ck_assert_int_eq(eet_generate_next(generation, events, room, &count, &s->err), EET_OK);
        ck_assert_int_le(count, room);
        for (int32_t i = 0; i < count; ++i) {
            naive_text *row = &best[events[i].row];

            ck_assert_int_eq(row->finish, EET_FINISH_NONE);
            ck_assert_int_eq(events[i].position,
                             t->start[events[i].row + 1] - t->start[events[i].row] + row->count);
            row->log_prob[row->count] = events[i].log_prob;
            row->tokens[row->count++] = events[i].token;
            row->finish = events[i].finish;
        }
    } while (count > 0);
}

START_TEST(a_search_finds_what_sorting_every_candidate_finds)
{
    static trial t;
    static naive_search f;
    stage s = begin_stage(0);

    for (uint64_t seed = (uint64_t)_i * 12; seed < (uint64_t)_i * 12 + 12; ++seed) {
        eet_generation *generation = NULL;
        eet_beam beam = {.size = sizeof beam};
        naive_text best[MOST_ROWS] = {0};

        draw_trial(&t, seed);
        const eet_batch prompts = prompts_of(&t);

        ck_assert_msg(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err) ==
                          EET_OK,
                      "%s", s.err.text);
        listen(&s, generation, &t, 1 + (int32_t)seed % 9, best);
        for (int32_t row = 0; row < t.rows; ++row) {
            const int32_t prompt = t.start[row + 1] - t.start[row];

            f = begin_naive(&s, &t);
            naive_find(&f, t.ids + t.start[row], prompt);
            for (int32_t i = 0; i < f.kept_count; ++i) {
                ck_assert_int_eq(eet_generate_beam(generation, row, i, &beam, &s.err), EET_OK);
                compare_beam(&f.kept[i], prompt, &beam);
            }
            ck_assert_int_eq(eet_generate_beam(generation, row, f.kept_count, &beam, &s.err),
                             EET_E_ARGUMENT);
            ck_assert_int_eq(best[row].count, f.kept[0].count - prompt);
            ck_assert_int_eq(best[row].finish, f.kept[0].finish);
            ck_assert_mem_eq(best[row].tokens, f.kept[0].tokens + prompt,
                             sizeof(int32_t) * (size_t)best[row].count);
            best[row] = f.kept[0];
        }
        eet_generate_end(generation);
        check_left(&s, &t);
        for (int32_t row = 0; row < t.rows; ++row) {
            compare_held(&s, &best[row], t.slot[row]);
        }
        clear(&s);
    }
    end_stage(&s);
}
END_TEST

/* ---- ends before the end ---------------------------------------------------------------- */

static trial small_trial(void) {
    trial t = {.rows = 2, .start = {0, 3, 70}, .slot = {2, 9}};

    for (int32_t i = 0; i < t.start[2]; ++i) {
        t.ids[i] = i * 11 % VOCAB;
    }
    t.options = (eet_generate_options){
        .size = sizeof t.options, .beams = 3, .max_new_tokens = 15, .ignore_eos = 1};
    return t;
}

START_TEST(a_cancelled_search_tells_the_best_so_far)
{
    stage s = begin_stage(0);
    const trial t = small_trial();
    const eet_batch prompts = prompts_of(&t);
    eet_generation *generation = NULL;
    eet_beam beam = {.size = sizeof beam};
    naive_text best[MOST_ROWS] = {0};

    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     EET_OK);
    ck_assert_int_eq(eet_generate_beam(generation, 0, 0, &beam, &s.err), EET_E_STATE);
    eet_session_cancel(s.session);
    listen(&s, generation, &t, 4, best);
    for (int32_t row = 0; row < t.rows; ++row) {
        ck_assert_int_eq(best[row].finish, EET_FINISH_CANCELLED);
        ck_assert_int_eq(best[row].count, 2); /* the first token, and that it was cancelled */
        ck_assert_int_eq(best[row].tokens[1], -1);
        for (int32_t i = 0; i < 3; ++i) {
            ck_assert_int_eq(eet_generate_beam(generation, row, i, &beam, &s.err), EET_OK);
            ck_assert_int_eq(beam.count, 1);
            ck_assert_int_eq(beam.finish, EET_FINISH_CANCELLED);
            ck_assert(i > 0 || beam.tokens[0] == best[row].tokens[0]);
        }
    }
    eet_generate_end(generation);
    check_left(&s, &t);
    for (int32_t row = 0; row < t.rows; ++row) { /* the prompt stays */
        ck_assert_int_eq(eet_sequence_length(s.session, t.slot[row]),
                         t.start[row + 1] - t.start[row]);
    }
    clear(&s);
    eet_session_cancel(s.session); /* a start that is cancelled takes nothing */
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     EET_E_CANCELLED);
    ck_assert_int_eq(eet_sequence_length(s.session, t.slot[0]), 0);
    ck_assert_int_eq(s.session->cache.free_count, s.session->cache.count);
    end_stage(&s);
}
END_TEST

/* Cancels a session after a while. */
typedef struct stopper {
    eet_session *session;
    long nanoseconds;
} stopper;

static void *stop_later(void *context) {
    const stopper *s = context;
    const struct timespec pause = {.tv_nsec = s->nanoseconds};

    (void)nanosleep(&pause, NULL);
    eet_session_cancel(s->session);
    return NULL;
}

/* As stop ids, tokens of the best texts: a text ends early, and the search goes on. */
static void set_likely_stops(stage *s, trial *t, int32_t count) {
    const eet_batch prompts = prompts_of(t);
    eet_generation *generation = NULL;
    naive_text best[MOST_ROWS] = {0};

    ck_assert_int_eq(eet_generate_begin(s->session, &prompts, &t->options, &generation, &s->err),
                     EET_OK);
    listen(s, generation, t, 9, best);
    eet_generate_end(generation);
    clear(s);
    t->stops[0] = best[0].tokens[5];
    t->stops[1] = best[1].tokens[7];
    t->options.stop = t->stops;
    t->options.stop_count = count;
    t->options.length_penalty = -1.0;
}

/* Whenever it comes, the rows end, with all of their text or cancelled, and nothing is lost. */
START_TEST(a_search_can_be_cancelled_at_any_moment)
{
    ck_assert_int_eq(setenv("EET_BACKEND", "ref", 1), 0); /* long enough to be met */
    stage s = begin_stage(0);
    trial t = small_trial();
    const eet_batch prompts = prompts_of(&t);

    set_likely_stops(&s, &t, _i);
    for (int32_t round = 0; round < 60; ++round) {
        eet_generation *generation = NULL;
        naive_text best[MOST_ROWS] = {0};
        stopper stop = {.session = s.session, .nanoseconds = 50000L * round};
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, stop_later, &stop), 0);
        const eet_status status =
            eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err);

        ck_assert(status == EET_OK || status == EET_E_CANCELLED);
        for (int32_t row = 0; row < t.rows && status == EET_OK; ++row) {
            if (row == 0) {
                listen(&s, generation, &t, 9, best);
            }
            const bool whole = best[row].finish != EET_FINISH_CANCELLED;

            ck_assert_int_ne(best[row].finish, EET_FINISH_NONE);
            ck_assert_int_eq(eet_sequence_length(s.session, t.slot[row]),
                             t.start[row + 1] - t.start[row] + (whole ? best[row].count - 1 : 0));
        }
        eet_generate_end(generation);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        check_left(&s, &t);
        (void)eet_session_stopped(s.session); /* it may have come too late */
        clear(&s);
    }
    end_stage(&s);
}
END_TEST

START_TEST(a_search_that_is_left_keeps_the_prompts_alone)
{
    stage s = begin_stage(0);
    const trial t = small_trial();
    const eet_batch prompts = prompts_of(&t);
    eet_generation *generation = NULL;

    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     EET_OK);
    eet_generate_end(generation);
    check_left(&s, &t);
    ck_assert_int_eq(eet_sequence_length(s.session, t.slot[1]), 67);
    end_stage(&s);
}
END_TEST

/* The prompt's sequence shares its pages with one of the caller's, which the search must leave
 * alone, and holds tokens already. */
START_TEST(a_search_goes_on_from_a_fork_and_leaves_the_other_alone)
{
    static naive_search f;
    stage s = begin_stage(0);
    trial t = small_trial();
    float before[VOCAB];
    float after[VOCAB];
    int32_t start[2];
    eet_output output = play_output(0, before, VOCAB);
    const eet_batch head = play_row(start, t.ids, 69, &t.slot[0]);
    const eet_batch tail = {.size = sizeof tail,
                            .rows = 1,
                            .start = (const int32_t[]){0, 1},
                            .tokens = t.ids + 69,
                            .sequence = t.slot};
    const int32_t other = 5;
    const int32_t third = 6;
    eet_generation *generation = NULL;
    naive_text best[MOST_ROWS] = {0};

    output.take = EET_TAKE_LAST;
    ck_assert_int_eq(eet_step(s.session, &head, NULL, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_fork(s.session, t.slot[0], other, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_fork(s.session, t.slot[0], third, &s.err), EET_OK);
    const eet_batch once = play_row(start, t.ids + 69, 1, &third);

    ck_assert_int_eq(eet_step(s.session, &once, &output, 1, &s.err), EET_OK);
    t.start[1] = 70;                    /* positions of the events */
    t.options.repetition_penalty = 1.3; /* of all that the sequence holds */
    ck_assert_int_eq(eet_generate_begin(s.session, &tail, &t.options, &generation, &s.err), EET_OK);
    listen(&s, generation, &t, 9, best);
    eet_generate_end(generation);
    f = begin_naive(&s, &t);
    naive_find(&f, t.ids, 70);
    ck_assert_mem_eq(best[0].tokens, f.kept[0].tokens + 70, sizeof(int32_t) * 15);
    ck_assert_int_eq(eet_sequence_length(s.session, other), 69);
    ck_assert_int_eq(eet_sequence_trim(s.session, third, 0, &s.err), EET_OK);
    const eet_batch twice = play_row(start, t.ids + 69, 1, &other);

    output.data = after;
    ck_assert_int_eq(eet_step(s.session, &twice, &output, 1, &s.err), EET_OK);
    ck_assert_mem_eq(after, before, sizeof after);
    end_stage(&s);
}
END_TEST

/* ---- the beams -------------------------------------------------------------------------- */

START_TEST(beams_are_asked_for_by_row_and_rank)
{
    stage s = begin_stage(0);
    trial t = small_trial();
    const eet_batch prompts = prompts_of(&t);
    eet_generation *generation = NULL;
    eet_beam beam = {.size = sizeof beam};
    naive_text best[MOST_ROWS] = {0};

    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, NULL, &generation, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_beam(generation, 0, 0, &beam, &s.err), EET_E_ARGUMENT);
    eet_generate_end(generation);
    clear(&s);
    ck_assert_int_eq(eet_generate_begin(s.session, &prompts, &t.options, &generation, &s.err),
                     EET_OK);
    listen(&s, generation, &t, 9, best);
    ck_assert_int_eq(eet_generate_beam(generation, 1, 2, &beam, &s.err), EET_OK);
    ck_assert_int_eq(eet_generate_beam(generation, 1, 3, &beam, &s.err), EET_E_ARGUMENT);
    ck_assert_str_eq(s.err.text, "there is no beam 3; row 1 has 3");
    ck_assert_int_eq(eet_generate_beam(generation, 1, -1, &beam, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_beam(generation, 2, 0, &beam, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_beam(generation, -1, 0, &beam, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_beam(NULL, 0, 0, &beam, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_generate_beam(generation, 0, 0, NULL, &s.err), EET_E_ARGUMENT);
    eet_generate_end(generation);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_search_finds_what_sorting_every_candidate_finds, .rows = 10},
        {.test = a_cancelled_search_tells_the_best_so_far},
        {.test = a_search_can_be_cancelled_at_any_moment, .rows = 3},
        {.test = a_search_that_is_left_keeps_the_prompts_alone},
        {.test = a_search_goes_on_from_a_fork_and_leaves_the_other_alone},
        {.test = beams_are_asked_for_by_row_and_rank},
    };

    return eet_suite_run("beam_search", claims, sizeof claims / sizeof *claims);
}
