/* test_beam_rules.c - one row's search by hand: which of equals, who is kept, when it is over. */
#include <check.h>
#include <math.h>

#include "engine/beam.h"
#include "tests/support/suite.h"

enum { BEAMS = 3, MOST = 10, ROOM = 64 };

/* A search of one row with memory of its own. */
typedef struct stage {
    eet_beams b;
    eet_beam_row row;
    eet_beam_open open[BEAMS], next[BEAMS];
    eet_beam_kept kept[BEAMS];
    eet_beam_candidate goes[BEAMS], ends[BEAMS];
    eet_beam_node node[ROOM];
    int32_t token[ROOM];
    float log_prob[ROOM];
} stage;

/* After `length` tokens, with all beams open at node `beam`, a first token each. */
static void begin_stage(stage *s, int32_t length, double length_penalty, int32_t early_stopping) {
    *s = (stage){0};
    s->b = (eet_beams){
        .beams = BEAMS,
        .rows = 1,
        .length = length,
        .length_penalty = length_penalty,
        .early_stopping = early_stopping,
        .row = &s->row,
        .open = s->open,
        .next = s->next,
        .kept = s->kept,
        .goes = s->goes,
        .ends = s->ends,
        .node = s->node,
        .token = s->token,
        .log_prob = s->log_prob,
    };
    s->row = (eet_beam_row){.most = MOST, .open = BEAMS, .nodes = BEAMS, .searching = true};
    for (int32_t i = 0; i < BEAMS; ++i) {
        s->node[i] = (eet_beam_node){.token = 100 + i, .before = -1};
        s->open[i] = (eet_beam_open){.node = i};
    }
}

static void offer(stage *s, double sum, int32_t beam, int32_t token, int32_t finish) {
    const eet_beam_candidate c = {.sum = sum, .beam = beam, .token = token, .finish = finish};

    eet_beam_offer(&s->b, 0, &c);
}

static void expect_next(const stage *s, int32_t at, int32_t token, int32_t before) {
    ck_assert_int_eq(s->node[s->next[at].node].token, token);
    ck_assert_int_eq(s->node[s->next[at].node].before, before);
}

START_TEST(among_equals_the_lower_beam_and_then_the_lower_id_comes_first)
{
    stage s;

    begin_stage(&s, 1, 1.0, EET_BEAMS_HEURISTIC);
    offer(&s, -2.0, 1, 4, EET_FINISH_NONE);
    offer(&s, -2.0, 2, 1, EET_FINISH_NONE);
    offer(&s, -2.0, 1, 3, EET_FINISH_NONE);
    offer(&s, -2.0, 0, 9, EET_FINISH_NONE);
    offer(&s, -3.0, 0, 1, EET_FINISH_NONE);
    ck_assert(!eet_beam_choose(&s.b, 0));
    expect_next(&s, 0, 9, 0);
    expect_next(&s, 1, 3, 1);
    expect_next(&s, 2, 4, 1);
}
END_TEST

/* Rank 2 of 3 is the last that may end a text; the order of offers does not matter. */
START_TEST(a_text_ends_only_with_one_of_the_best_candidates)
{
    stage s;

    begin_stage(&s, 1, 1.0, EET_BEAMS_HEURISTIC);
    offer(&s, -4.0, 1, 50, EET_FINISH_STOP); /* rank 3 */
    offer(&s, -3.0, 0, 51, EET_FINISH_EOS);  /* rank 2 */
    offer(&s, -2.0, 0, 1, EET_FINISH_NONE);
    offer(&s, -1.0, 2, 2, EET_FINISH_NONE);
    offer(&s, -5.0, 2, 3, EET_FINISH_NONE);
    ck_assert(!eet_beam_choose(&s.b, 0));
    ck_assert_int_eq(s.row.kept, 1);
    ck_assert_int_eq(s.kept[0].token, 51);
    ck_assert_int_eq(s.kept[0].finish, EET_FINISH_EOS);
    ck_assert_int_eq(s.kept[0].count, 2);
    ck_assert_double_eq(s.kept[0].score, -1.5);
    ck_assert_int_eq(s.row.goes, 3);
    expect_next(&s, 2, 3, 2);
}
END_TEST

/* Ends three texts of this score, so that the row keeps as many as it can. */
static void fill(stage *s, double score) {
    for (int32_t i = 0; i < BEAMS; ++i) {
        s->kept[i] = (eet_beam_kept){
            .score = score, .node = i, .token = i, .count = 2, .finish = EET_FINISH_EOS};
    }
    s->row.kept = BEAMS;
    s->row.worst = score;
}

START_TEST(a_text_must_be_better_than_the_worst_and_replaces_the_first_of_them)
{
    stage s;

    begin_stage(&s, 1, 1.0, EET_BEAMS_HEURISTIC);
    fill(&s, -1.5);
    offer(&s, -3.0, 0, 40, EET_FINISH_EOS); /* -1.5: as good, so it comes too late */
    offer(&s, -2.0, 0, 41, EET_FINISH_EOS); /* -1.0 */
    for (int32_t i = 0; i < BEAMS; ++i) {
        offer(&s, -9.0, 0, i, EET_FINISH_NONE);
    }
    (void)eet_beam_choose(&s.b, 0);
    ck_assert_int_eq(s.row.kept, 3);
    ck_assert_int_eq(s.kept[0].token, 1);
    ck_assert_int_eq(s.kept[1].token, 2);
    ck_assert_int_eq(s.kept[2].token, 41);
    ck_assert_double_eq(s.row.worst, -1.5);
    eet_beam_write(&s.b, 0); /* best first, the last of equals first */
    ck_assert_int_eq(s.kept[0].token, 41);
    ck_assert_int_eq(s.kept[1].token, 2);
    ck_assert_int_eq(s.kept[2].token, 1);
    ck_assert_int_eq(s.token[MOST], 102);
    ck_assert_int_eq(s.token[MOST + 1], 2);
}
END_TEST

/* A best sum of -6 at 3 tokens of at most 10: it may be worth -2 now, -0.6 in the end. */
static const struct {
    double worst, length_penalty;
    int32_t early_stopping;
    bool over;
} ends[] = {
    {-9.0, 1.0, EET_BEAMS_FIRST, true},
    {-2.0, 1.0, EET_BEAMS_HEURISTIC, true},
    {-2.1, 1.0, EET_BEAMS_HEURISTIC, false},
    {-2.0, 1.0, EET_BEAMS_NEVER, false},
    {-0.6, 1.0, EET_BEAMS_NEVER, true},
    {-0.601, 1.0, EET_BEAMS_NEVER, false},
    {-18.0, -1.0, EET_BEAMS_NEVER, true},
    {-18.1, -1.0, EET_BEAMS_NEVER, false},
    {-18.0, -1.0, EET_BEAMS_HEURISTIC, true},
    {-6.0, EET_LENGTH_PENALTY_NONE, EET_BEAMS_NEVER, true},
    {-6.1, EET_LENGTH_PENALTY_NONE, EET_BEAMS_NEVER, false},
};
enum { ENDS = sizeof ends / sizeof *ends };

START_TEST(a_search_is_over_when_no_open_text_can_win)
{
    stage s;

    begin_stage(&s, 2, ends[_i].length_penalty, ends[_i].early_stopping);
    fill(&s, ends[_i].worst);
    for (int32_t i = 0; i < BEAMS; ++i) {
        offer(&s, -6.0 - i, i, 1, EET_FINISH_NONE);
    }
    ck_assert_int_eq(eet_beam_choose(&s.b, 0), ends[_i].over);
    s.row.kept = BEAMS - 1; /* never before enough are finished */
    s.row.nodes = BEAMS;
    ck_assert(!eet_beam_choose(&s.b, 0));
}
END_TEST

START_TEST(a_search_without_candidates_is_over)
{
    stage s;

    begin_stage(&s, 1, 1.0, EET_BEAMS_HEURISTIC);
    ck_assert(eet_beam_choose(&s.b, 0));
    ck_assert_int_eq(s.row.kept, 0);
    begin_stage(&s, 1, 1.0, EET_BEAMS_HEURISTIC);
    for (int32_t i = 0; i < 5; ++i) { /* all of them end a text: only 3 count */
        offer(&s, -1.0 - i, 0, 60 + i, EET_FINISH_EOS);
    }
    ck_assert(eet_beam_choose(&s.b, 0));
    ck_assert_int_eq(s.row.kept, 3);
    ck_assert_int_eq(s.kept[2].token, 62);
}
END_TEST

/* 0 - 3 - 4, and 0 - 3 - 5 - 6; 1 - 7. */
START_TEST(texts_have_in_common_what_they_share_from_the_start)
{
    stage s;
    const eet_beam_kept one = {.node = 4, .token = 9, .count = 4};
    const eet_beam_kept other = {.node = 6, .token = -1, .count = 4};
    const eet_beam_kept short_one = {.node = -1, .token = 9, .count = 1};

    begin_stage(&s, 3, 1.0, EET_BEAMS_HEURISTIC);
    s.node[3].before = 0;
    s.node[4].before = 3;
    s.node[5].before = 3;
    s.node[6].before = 5;
    s.node[7].before = 1;
    ck_assert_int_eq(eet_beam_common(&s.b, &one, &(eet_beam_open){.node = 4}), 3);
    ck_assert_int_eq(eet_beam_common(&s.b, &one, &(eet_beam_open){.node = 5}), 2);
    ck_assert_int_eq(eet_beam_common(&s.b, &other, &(eet_beam_open){.node = 5}), 3);
    ck_assert_int_eq(eet_beam_common(&s.b, &other, &(eet_beam_open){.node = 4}), 2);
    s.b.length = 2;
    ck_assert_int_eq(eet_beam_common(&s.b, &one, &(eet_beam_open){.node = 7}), 0);
    ck_assert_int_eq(eet_beam_common(&s.b, &one, &(eet_beam_open){.node = 3}), 2);
    ck_assert_int_eq(eet_beam_common(&s.b, &short_one, &(eet_beam_open){.node = 3}), 0);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = among_equals_the_lower_beam_and_then_the_lower_id_comes_first},
        {.test = a_text_ends_only_with_one_of_the_best_candidates},
        {.test = a_text_must_be_better_than_the_worst_and_replaces_the_first_of_them},
        {.test = a_search_is_over_when_no_open_text_can_win, .rows = ENDS},
        {.test = a_search_without_candidates_is_over},
        {.test = texts_have_in_common_what_they_share_from_the_start},
    };

    return eet_suite_run("beam_rules", claims, sizeof claims / sizeof *claims);
}
