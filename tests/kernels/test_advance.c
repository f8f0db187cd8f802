/* test_advance.c - where rows end, and what the next step of those that go on reads. */
#include "kernels/advance.h"

#include "tests/kernels/going.h"
#include "tests/support/suite.h"

/* A row in a step, the token that it chose, and what is to come of it. `place`: of the token. */
typedef struct row_case {
    eet_going before;
    int32_t token, ending;
    eet_going after;
    int32_t place, position, barred;
} row_case;

static const row_case cases[] = {
    {{5, 5, 1, 4}, 20, EET_GOES_ON, {6, 6, 2, 3}, 5, 5, GOING_BARS},
    {{5, 5, 2, 4}, 20, EET_GOES_ON, {6, 6, 3, 3}, 5, 5, 0}, /* the least of tokens is there */
    {{63, 40, 9, 4}, 0, EET_GOES_ON, {64, 41, 10, 3}, 63, 40, 0},
    {{64, 64, 9, 4}, 12, EET_GOES_ON, {65, 65, 10, 3}, 64, 64, 0}, /* on a page of its own */
    {{128, 1, 9, 2}, 39, EET_GOES_ON, {129, 2, 10, 1}, 128, 1, 0},
    {{7, 6, 9, 4}, GOING_PAD, EET_GOES_ON, {8, 6, 10, 3}, 7, -1, 0}, /* takes no position */
    {{5, 5, 1, 4}, GOING_EOS, EET_ENDS_EOS, {0, 5, 2, 3}, 0, 0, 0},
    {{5, 5, 1, 1}, GOING_EOS, EET_ENDS_EOS, {0, 5, 2, 0}, 0, 0, 0}, /* whatever is left */
    {{5, 5, 1, 4}, 11, EET_ENDS_STOP, {0, 5, 2, 3}, 0, 0, 0},
    {{5, 5, 1, 1}, 30, EET_ENDS_STOP, {0, 5, 2, 0}, 0, 0, 0},
    {{5, 5, 1, 1}, 20, EET_ENDS_LENGTH, {0, 5, 2, 0}, 0, 0, 0},
    {{5, 5, 1, 1}, GOING_PAD, EET_ENDS_LENGTH, {0, 5, 2, 0}, 0, 0, 0},
};
enum { CASES = sizeof cases / sizeof *cases };

/* All rows of `cases` at once, in this order. */
static going_scene scene_of_cases(void) {
    going_scene s = make_going_scene(CASES);

    for (int32_t r = 0; r < CASES; ++r) {
        s.args.going[r] = cases[r].before;
        s.token[r] = cases[r].token;
    }
    return s;
}

START_TEST(a_row_goes_on_or_ends_by_its_choice)
{
    const row_case *c = &cases[_i];
    const bool on = c->ending == EET_GOES_ON;
    const going_scene s = scene_of_cases();
    const eet_advance_args *a = &s.args;
    const int32_t page = s.page_table[_i * GOING_TABLE + c->place / EET_PAGE_TOKENS];

    ck_assert_int_eq(eet_advance_ref(NULL, a), EET_OK);
    ck_assert_int_eq(a->ring[0].row[_i].token, c->token);
    ck_assert_int_eq(a->ring[0].row[_i].ending, c->ending);
    ck_assert(a->ring[0].row[_i].log_prob == s.log_prob[_i]);
    ck_assert_mem_eq(&a->going[_i], &c->after, sizeof c->after);
    ck_assert_int_eq(a->ids[_i], on ? c->token : 0);
    ck_assert_int_eq(a->positions[_i], c->position);
    ck_assert_int_eq(a->kv_length[_i], c->after.length);
    ck_assert_int_eq(a->slot[_i],
                     on ? page * EET_PAGE_TOKENS + c->place % EET_PAGE_TOKENS : GOING_NOWHERE);
    lab_free();
}
END_TEST

/* What a sampler is told of its row, and nothing else of it changes. */
START_TEST(the_next_sampler_knows_of_the_token)
{
    const row_case *c = &cases[_i];
    const going_scene s = scene_of_cases();
    eet_sampler want = s.args.sampler[_i];
    int32_t history[GOING_HISTORY];

    memset(history, 0xFF, sizeof history);
    if (c->ending == EET_GOES_ON) {
        want.position = want.history = c->after.length;
        want.barred = c->barred;
        history[c->place] = c->token;
    }
    ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
    ck_assert_mem_eq(&s.args.sampler[_i], &want, sizeof want);
    ck_assert_mem_eq(s.args.history + (int64_t)_i * GOING_HISTORY, history, sizeof history);
    lab_free();
}
END_TEST

START_TEST(without_samplers_and_history_the_rest_is_the_same)
{
    const going_scene with = scene_of_cases();
    going_scene s = scene_of_cases();

    memcpy(s.page_table, with.page_table, sizeof(int32_t) * CASES * GOING_TABLE);
    memcpy(s.log_prob, with.log_prob, sizeof(float) * CASES);
    s.args.sampler = NULL;
    s.args.history = NULL;
    ck_assert_int_eq(eet_advance_ref(NULL, &with.args), EET_OK);
    ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
    ck_assert_mem_eq(s.args.ring, with.args.ring, GOING_SLOTS * sizeof *s.args.ring);
    ck_assert_mem_eq(s.args.going, with.args.going, CASES * sizeof *s.args.going);
    ck_assert_mem_eq(s.args.slot, with.args.slot, CASES * sizeof *s.args.slot);
    lab_free();
}
END_TEST

START_TEST(without_an_end_token_or_a_pad_these_ids_are_tokens)
{
    const going_scene s = scene_of_cases();

    s.args.rules->eos = s.args.rules->pad = -1;
    s.args.rules->stops = 0;
    ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
    for (int32_t r = 0; r < CASES; ++r) {
        const bool on = cases[r].before.left > 1;

        ck_assert_int_eq(s.args.ring[0].row[r].ending, on ? EET_GOES_ON : EET_ENDS_LENGTH);
        ck_assert_int_eq(s.args.positions[r], on ? cases[r].before.counted : 0);
    }
    lab_free();
}
END_TEST

START_TEST(a_row_that_has_ended_stays_so)
{
    const going_scene s = make_going_scene(1);
    const eet_going ended = {.counted = 5, .count = 2, .left = 3};
    const eet_sampler sampler = *s.args.sampler;

    *s.args.going = ended;
    *s.args.slot = GOING_NOWHERE;
    *s.args.ids = *s.args.positions = *s.args.kv_length = 0;
    for (int32_t i = 0; i < 3; ++i) {
        *s.token = i == 1 ? GOING_EOS : 20;
        ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
        ck_assert_mem_eq(s.args.going, &ended, sizeof ended);
        ck_assert_mem_eq(s.args.sampler, &sampler, sizeof sampler);
        ck_assert_int_eq(*s.args.slot, GOING_NOWHERE);
        ck_assert_int_eq(*s.args.ids, 0);
        ck_assert_int_eq(*s.args.positions, 0);
        ck_assert_int_eq(*s.args.kv_length, 0);
        ck_assert_int_eq(*s.args.history, -1);
    }
    lab_free();
}
END_TEST

/* What the step came to is told as ever, and the rows have no further one. */
START_TEST(rows_of_a_cancelled_turn_end)
{
    const going_scene with = scene_of_cases();
    going_scene s = scene_of_cases();

    memcpy(s.page_table, with.page_table, sizeof(int32_t) * CASES * GOING_TABLE);
    memcpy(s.log_prob, with.log_prob, sizeof(float) * CASES);
    s.args.rules->turn = _i == 0 ? GOING_TURN : GOING_TURN + 1; /* its own, the next one */
    *(uint64_t *)(uintptr_t)s.args.cancelled = GOING_TURN;
    ck_assert_int_eq(eet_advance_ref(NULL, &with.args), EET_OK);
    ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
    ck_assert_mem_eq(s.args.ring, with.args.ring, GOING_SLOTS * sizeof *s.args.ring);
    for (int32_t r = 0; r < CASES; ++r) {
        const bool on = _i > 0 && cases[r].ending == EET_GOES_ON;

        ck_assert_int_eq(s.args.going[r].length, on ? cases[r].after.length : 0);
        ck_assert_int_eq(s.args.kv_length[r], on ? cases[r].after.length : 0);
        ck_assert_int_eq(s.args.ids[r], on ? cases[r].token : 0);
        ck_assert_int_eq(s.args.slot[r], on ? with.args.slot[r] : GOING_NOWHERE);
    }
    lab_free();
}
END_TEST

/* From any number of steps on: the places are taken in turn, and nothing else is touched. */
START_TEST(steps_end_in_the_places_of_their_numbers)
{
    const going_scene s = make_going_scene(3);
    eet_step_end want[GOING_SLOTS] = {0};

    for (uint64_t step = 6; step < 6 + 2 * GOING_SLOTS + 1; ++step) {
        eet_step_end *end = &want[step % GOING_SLOTS];

        s.args.rules->steps = step;
        end->number = step + 1;
        for (int32_t r = 0; r < 3; ++r) {
            s.args.going[r] = (eet_going){.length = 10, .counted = 10, .count = 1, .left = 9};
            s.token[r] = (int32_t)step + 12 + r;
            end->row[r] = (eet_chosen){.token = s.token[r], .log_prob = s.log_prob[r]};
        }
        ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
        ck_assert_uint_eq(s.args.rules->steps, step + 1);
        ck_assert_mem_eq(s.args.ring, want, sizeof want);
    }
    lab_free();
}
END_TEST

START_TEST(a_row_moves_its_words)
{
    const eet_advance_args a = {.rows = 5};
    const eet_cost cost = eet_advance_cost(&a);

    /* a going there and back, slot, id, position, length, token and log_prob, what was chosen */
    ck_assert_double_eq(cost.flops, 0);
    ck_assert_double_eq(cost.bytes, 5 * (2 * 16 + 8 + 3 * 4 + 2 * 4 + 16));
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_row_goes_on_or_ends_by_its_choice, .rows = CASES},
        {.test = the_next_sampler_knows_of_the_token, .rows = CASES},
        {.test = without_samplers_and_history_the_rest_is_the_same},
        {.test = without_an_end_token_or_a_pad_these_ids_are_tokens},
        {.test = a_row_that_has_ended_stays_so},
        {.test = rows_of_a_cancelled_turn_end, .rows = 2},
        {.test = steps_end_in_the_places_of_their_numbers},
        {.test = a_row_moves_its_words},
    };

    return eet_suite_run("advance", claims, sizeof claims / sizeof *claims);
}
