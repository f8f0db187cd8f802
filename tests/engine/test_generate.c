/* test_generate.c - generation as an iterator: what it gives, where rows end, and whom the
 * session belongs to meanwhile. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/support.h"

enum { ROWS = 3, VOCAB = 40, NEW = 8 };

static const int32_t start[ROWS + 1] = {0, 4, 5, 12};
static const int32_t ids[12] = {3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 1};
static const eet_batch prompts = {
    .size = sizeof prompts, .rows = ROWS, .start = start, .tokens = ids};

typedef struct game {
    eet_model *model;
    eet_session *session;
    eet_generation *generation;
} game;

static game begin(eet_generate_options options, eet_session_options wanted) {
    const eet_sample_model sample = eet_sample_decoder();
    game g = {.model = open_sample(&sample)};

    options.size = sizeof options;
    wanted.threads = 1;
    wanted.max_sequences = ROWS;
    g.session = make_session(g.model, wanted);
    EET_MUST(eet_generate_begin(g.session, &prompts, &options, &g.generation, err));
    return g;
}

static void end(game *g) {
    eet_generate_end(g->generation);
    eet_session_destroy(g->session);
    eet_model_close(g->model);
}

typedef struct history {
    int32_t count[ROWS];
    eet_event event[ROWS][64];
} history;

static history play(game *g, int32_t room) {
    history h = {0};
    eet_event events[ROWS];
    int32_t count = 0;

    do {
        EET_MUST(eet_generate_next(g->generation, events, room, &count, err));
        for (int32_t i = 0; i < count; ++i) {
            const int32_t r = events[i].row;

            h.event[r][h.count[r]++] = events[i];
        }
    } while (count > 0);
    return h;
}

/* The best token and its log-probability after a text, from plain encodings. */
static int32_t best_after(game *g, const int32_t *text, int32_t count, float *log_prob) {
    float scores[VOCAB];
    int32_t own[2];
    const eet_batch batch = row_of(text, own, count);
    const eet_output output = {
        .size = sizeof output, .take = EET_TAKE_LAST, .data = scores, .bytes = sizeof scores};
    int32_t best = 0;
    double sum = 0.0;

    EET_MUST(eet_encode(g->session, &batch, &output, 1, err));
    for (int32_t i = 0; i < VOCAB; ++i) {
        best = scores[i] > scores[best] ? i : best;
    }
    for (int32_t i = 0; i < VOCAB; ++i) {
        sum += exp((double)scores[i] - (double)scores[best]);
    }
    *log_prob = (float)-log(sum);
    return best;
}

START_TEST(tokens_are_the_likeliest_after_what_went_before)
{
    game g = begin((eet_generate_options){.max_new_tokens = NEW, .ignore_eos = 1},
                   (eet_session_options){0});
    const history h = play(&g, _i + 1);

    eet_generate_end(g.generation);
    g.generation = NULL;
    for (int32_t r = 0; r < ROWS; ++r) {
        int32_t text[32];
        int32_t count = start[r + 1] - start[r];

        memcpy(text, ids + start[r], (size_t)count * sizeof *text);
        ck_assert_int_eq(h.count[r], NEW);
        for (int32_t i = 0; i < NEW; ++i) {
            const eet_event *event = &h.event[r][i];
            float log_prob = 0;

            ck_assert_int_eq(event->token, best_after(&g, text, count, &log_prob));
            ck_assert(fabsf(event->log_prob - log_prob) < 1e-4F);
            ck_assert_int_eq(event->position, count);
            ck_assert_int_eq(event->finish, i == NEW - 1 ? EET_FINISH_LENGTH : EET_FINISH_NONE);
            text[count++] = event->token;
        }
        ck_assert_int_eq(eet_sequence_length(g.session, r), count - 1);
    }
    end(&g);
}
END_TEST

START_TEST(stop_ids_end_a_row_and_no_other)
{
    game g = begin((eet_generate_options){.max_new_tokens = NEW, .ignore_eos = 1},
                   (eet_session_options){0});
    const history all = play(&g, ROWS);
    const int32_t stop[] = {VOCAB + 5, all.event[1][2].token};

    end(&g);
    g = begin(
        (eet_generate_options){
            .max_new_tokens = NEW, .ignore_eos = 1, .stop = stop, .stop_count = 2},
        (eet_session_options){0});
    const history h = play(&g, ROWS);

    for (int32_t r = 0; r < ROWS; ++r) {
        int32_t i = 0;

        while (i < NEW - 1 && all.event[r][i].token != stop[1]) {
            ++i;
        }
        ck_assert_int_eq(h.count[r], i + 1);
        ck_assert_int_eq(h.event[r][i].finish,
                         all.event[r][i].token == stop[1] ? EET_FINISH_STOP : EET_FINISH_LENGTH);
    }
    ck_assert_int_le(h.count[1], 3);
    end(&g);
}
END_TEST

START_TEST(rows_end_where_the_sequence_does)
{
    game g = begin((eet_generate_options){.ignore_eos = 1}, (eet_session_options){0});
    const history h = play(&g, ROWS);

    for (int32_t r = 0; r < ROWS; ++r) {
        const int32_t prompt = start[r + 1] - start[r];

        ck_assert_int_eq(h.count[r], 32 - prompt + 1);
        ck_assert_int_eq(eet_sequence_length(g.session, r), 32);
    }
    end(&g);
}
END_TEST

START_TEST(a_generation_reserves_its_pages_or_does_not_begin)
{
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_rows = 300;
    eet_model *model = open_sample(&sample);
    eet_session *session = make_session(
        model, (eet_session_options){.threads = 1, .max_sequences = ROWS, .cache_tokens = 256});
    eet_generate_options options = {.size = sizeof options, .max_new_tokens = 100};
    eet_generation *generation = NULL;

    EET_FAILS(eet_generate_begin(session, &prompts, &options, &generation, err), EET_E_LIMIT,
              "needs 6 pages of 64 tokens; 4");
    ck_assert_int_eq(eet_sequence_length(session, 0), 0);
    options.max_new_tokens = 50;
    EET_MUST(eet_generate_begin(session, &prompts, &options, &generation, err));
    eet_generate_end(generation);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(meanwhile_the_session_is_the_generations)
{
    game g = begin((eet_generate_options){.max_new_tokens = 2}, (eet_session_options){0});
    eet_generation *second = NULL;

    EET_FAILS(eet_step(g.session, &prompts, NULL, 0, err), EET_E_STATE, "generation");
    EET_FAILS(eet_encode(g.session, &prompts, NULL, 0, err), EET_E_STATE, "generation");
    EET_FAILS(eet_sequence_trim(g.session, 0, 0, err), EET_E_STATE, "generation");
    EET_FAILS(eet_generate_begin(g.session, &prompts, NULL, &second, err), EET_E_STATE,
              "generation");
    eet_generate_end(g.generation);
    g.generation = NULL;
    EET_MUST(eet_step(g.session, &prompts, NULL, 0, err));
    end(&g);
}
END_TEST

/* Cancels: every row ends once, without a token. */
static void expect_cancelled(game *g) {
    eet_event events[ROWS];
    int32_t count = 0;

    eet_session_cancel(g->session);
    EET_MUST(eet_generate_next(g->generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, ROWS);
    for (int32_t i = 0; i < ROWS; ++i) {
        ck_assert_int_eq(events[i].finish, EET_FINISH_CANCELLED);
        ck_assert_int_eq(events[i].token, -1);
    }
}

START_TEST(a_cancelled_generation_ends_every_row_once)
{
    game g = begin((eet_generate_options){.max_new_tokens = NEW, .ignore_eos = 1},
                   (eet_session_options){0});
    eet_event events[ROWS];
    int32_t count = 0;

    EET_MUST(eet_generate_next(g.generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, ROWS);
    expect_cancelled(&g);
    EET_MUST(eet_generate_next(g.generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, 0);
    eet_generate_end(g.generation);
    g.generation = NULL;
    eet_session_cancel(g.session);
    EET_FAILS(eet_encode(g.session, &prompts, NULL, 0, err), EET_E_CANCELLED, "cancelled");
    EET_MUST(eet_encode(g.session, &prompts, NULL, 0, err)); /* once */
    end(&g);
}
END_TEST

START_TEST(a_last_token_that_waits_for_room_comes_after_a_cancellation)
{
    game g = begin((eet_generate_options){.max_new_tokens = 2, .ignore_eos = 1},
                   (eet_session_options){0});
    eet_event events[ROWS];
    eet_event last = {0};
    int32_t count = 0;

    EET_MUST(eet_generate_next(g.generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, ROWS);
    EET_MUST(eet_generate_next(g.generation, &last, 1, &count, err)); /* the others' wait */
    ck_assert_int_eq(last.finish, EET_FINISH_LENGTH);
    eet_session_cancel(g.session);
    EET_MUST(eet_generate_next(g.generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, ROWS - 1);
    for (int32_t i = 0; i < count; ++i) {
        ck_assert_int_eq(events[i].row, i + 1);
        ck_assert_int_eq(events[i].finish, EET_FINISH_LENGTH);
        ck_assert_int_ge(events[i].token, 0);
        ck_assert_int_eq(events[i].position, start[i + 2] - start[i + 1] + 1);
    }
    EET_MUST(eet_generate_next(g.generation, events, ROWS, &count, err));
    ck_assert_int_eq(count, 0);
    end(&g);
}
END_TEST

START_TEST(a_token_that_waits_and_is_not_the_last_goes_with_a_cancellation)
{
    game g = begin((eet_generate_options){.max_new_tokens = NEW, .ignore_eos = 1},
                   (eet_session_options){0});
    eet_event events[ROWS];
    int32_t count = 0;

    EET_MUST(eet_generate_next(g.generation, events, 1, &count, err));
    expect_cancelled(&g);
    end(&g);
}
END_TEST

START_TEST(what_it_does_not_do_is_said)
{
    game g = begin((eet_generate_options){.max_new_tokens = 1}, (eet_session_options){0});
    eet_generation *generation = NULL;
    eet_generate_options head = {.size = sizeof head, .head = 1};
    eet_batch placed = prompts;

    placed.positions = ids;
    eet_generate_end(g.generation);
    g.generation = NULL;
    EET_FAILS(eet_generate_begin(g.session, &prompts, &head, &generation, err), EET_E_ARGUMENT,
              "no head 1");
    EET_FAILS(eet_generate_begin(g.session, &placed, NULL, &generation, err), EET_E_ARGUMENT,
              "positions");
    end(&g);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = tokens_are_the_likeliest_after_what_went_before, .rows = ROWS},
        {.test = stop_ids_end_a_row_and_no_other},
        {.test = rows_end_where_the_sequence_does},
        {.test = a_generation_reserves_its_pages_or_does_not_begin},
        {.test = meanwhile_the_session_is_the_generations},
        {.test = a_cancelled_generation_ends_every_row_once},
        {.test = a_last_token_that_waits_for_room_comes_after_a_cancellation},
        {.test = a_token_that_waits_and_is_not_the_last_goes_with_a_cancellation},
        {.test = what_it_does_not_do_is_said},
    };

    return eet_suite_run("generate", claims, sizeof claims / sizeof *claims);
}
