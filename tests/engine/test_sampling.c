/* test_sampling.c - generation that draws: what a draw depends on and what it does not, and that
 * each option does what docs/sampling.md says, computed a second time from eet_encode's scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "tests/engine/support.h"

enum { VOCAB = 40, ROWS = 3, NEW = 12, TOPS = 7, EOS = 9 };

static const int32_t start[ROWS + 1] = {0, 4, 5, 12};
static const int32_t ids[12] = {3, 14, 15, 9, 2, 6, 5, 35, 8, 9, 7, 1};

typedef struct told {
    int32_t count;
    eet_event event[64];
    int32_t tops[64], top[64][VOCAB];
    float top_log_prob[64][VOCAB];
} told;

static eet_model *open_model(void) {
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].tok_eos = EOS;
    sample.facts.stack[EET_DEC].pos_rows = 64;
    return open_sample(&sample);
}

/* Runs the rows that `batch` has to their ends. */
static void generate(eet_session *session, const eet_batch *batch, eet_generate_options options,
                     told *rows) {
    eet_generation *generation = NULL;
    eet_event events[ROWS];
    int32_t count = 0;

    options.size = sizeof options;
    memset(rows, 0, (size_t)batch->rows * sizeof *rows);
    EET_MUST(eet_generate_begin(session, batch, &options, &generation, err));
    do {
        EET_MUST(eet_generate_next(generation, events, ROWS, &count, err));
        for (int32_t i = 0; i < count; ++i) {
            told *t = &rows[events[i].row];

            EET_MUST(eet_generate_top(generation, &events[i], t->top[t->count],
                                      t->top_log_prob[t->count], VOCAB, &t->tops[t->count], err));
            t->event[t->count++] = events[i];
        }
    } while (count > 0);
    eet_generate_end(generation);
}

static eet_batch all_rows(const int32_t *sequence) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = ROWS,
                       .start = start,
                       .tokens = ids,
                       .sequence = sequence};
}

static void expect_same(const told *a, const told *b) {
    ck_assert_int_eq(a->count, b->count);
    for (int32_t i = 0; i < a->count; ++i) {
        ck_assert_int_eq(a->event[i].token, b->event[i].token);
        ck_assert_int_eq(a->event[i].position, b->event[i].position);
        ck_assert_int_eq(a->event[i].finish, b->event[i].finish);
        ck_assert_mem_eq(&a->event[i].log_prob, &b->event[i].log_prob, sizeof(float));
        ck_assert_int_eq(a->tops[i], b->tops[i]);
        ck_assert_mem_eq(a->top[i], b->top[i], sizeof a->top[i]);
        ck_assert_mem_eq(a->top_log_prob[i], b->top_log_prob[i], sizeof a->top_log_prob[i]);
    }
}

static const eet_generate_options ways[] = {
    {.temperature = 2, .seed = 7, .top_n = TOPS, .ignore_eos = 1, .max_new_tokens = NEW},
    {.temperature = 1, .top_k = 9, .seed = 1, .max_new_tokens = NEW},
    {.temperature = 3, .top_p = 0.8, .seed = UINT64_MAX, .max_new_tokens = NEW},
    {.temperature = 1.5,
     .top_k = 20,
     .top_p = 0.9,
     .repetition_penalty = 1.4,
     .min_new_tokens = 5,
     .max_new_tokens = NEW},
    {.repetition_penalty = 1.8, .min_new_tokens = 8, .top_n = 1, .max_new_tokens = NEW},
    {.repetition_penalty = 0.5, .top_n = VOCAB + 9, .ignore_eos = 1, .max_new_tokens = NEW},
};
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- what a draw depends on ------------------------------------------------------------- */

START_TEST(rows_choose_the_same_alone_in_any_slot_with_any_threads)
{
    static const int32_t slots[ROWS] = {4, 0, 2};
    eet_model *model = open_model();
    told together[ROWS];
    told alone;
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = ROWS});
    const eet_batch batch = all_rows(NULL);

    generate(session, &batch, ways[_i], together);
    eet_session_destroy(session);
    for (int32_t threads = 1; threads <= 3; ++threads) {
        session = make_session(model, (eet_session_options){.threads = threads,
                                                            .max_sequences = 5,
                                                            .max_batch_tokens = 8 - threads,
                                                            .max_outputs = threads});
        for (int32_t r = 0; r < ROWS; ++r) {
            eet_generate_options options = ways[_i];
            const uint64_t stream = (uint64_t)r;
            int32_t own[2];
            eet_batch row = row_of(ids + start[r], own, start[r + 1] - start[r]);

            row.sequence = &slots[r];
            options.stream = &stream;
            generate(session, &row, options, &alone);
            expect_same(&alone, &together[r]);
            EET_MUST(eet_sequence_trim(session, slots[r], 0, err));
        }
        told again[ROWS];
        const eet_batch moved = all_rows(slots);

        generate(session, &moved, ways[_i], again);
        for (int32_t r = 0; r < ROWS; ++r) {
            expect_same(&again[r], &together[r]);
        }
        eet_session_destroy(session);
    }
    eet_model_close(model);
}
END_TEST

START_TEST(a_text_that_came_in_steps_goes_on_as_one_prompt)
{
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = 3});
    told whole;
    told cut;
    int32_t own[2];
    const eet_batch prompt = row_of(ids + 5, own, 7);
    static const int32_t one = 1;
    static const int32_t two = 2;

    generate(session, &prompt, ways[_i], &whole);
    for (int32_t first = 1; first < 7; ++first) {
        int32_t parts[2][2];
        eet_batch before = row_of(ids + 5, parts[0], first);
        eet_batch rest = row_of(ids + 5 + first, parts[1], 7 - first);

        before.sequence = &one;
        rest.sequence = first % 2 == 0 ? &one : &two;
        EET_MUST(eet_step(session, &before, NULL, 0, err));
        if (first % 2 != 0) {
            EET_MUST(eet_sequence_fork(session, one, two, err));
            EET_MUST(eet_sequence_trim(session, one, 0, err));
        }
        generate(session, &rest, ways[_i], &cut);
        expect_same(&cut, &whole);
        EET_MUST(eet_sequence_trim(session, one, 0, err));
        EET_MUST(eet_sequence_trim(session, two, 0, err));
    }
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* How many of the tokens of two rows are the same. */
static int32_t common(const told *a, const told *b) {
    int32_t same = 0;

    for (int32_t i = 0; i < NEW; ++i) {
        same += a->event[i].token == b->event[i].token ? 1 : 0;
    }
    return same;
}

START_TEST(other_seeds_and_other_streams_draw_otherwise)
{
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = 1});
    const eet_generate_options plain = {
        .temperature = 4, .ignore_eos = 1, .max_new_tokens = NEW, .seed = 5};
    const uint64_t streams[] = {1, UINT64_C(1) << 32, UINT64_MAX};
    told first;
    told other;
    int32_t own[2];
    const eet_batch prompt = row_of(ids, own, 4);

    generate(session, &prompt, plain, &first);
    EET_MUST(eet_sequence_trim(session, 0, 0, err));
    for (int32_t i = 0; i < 5; ++i) {
        eet_generate_options options = plain;

        options.seed = i == 3 ? 6 : i == 4 ? 5 | UINT64_C(1) << 32 : plain.seed;
        options.stream = i < 3 ? &streams[i] : NULL;
        generate(session, &prompt, options, &other);
        ck_assert_int_lt(common(&first, &other), NEW / 2);
        EET_MUST(eet_sequence_trim(session, 0, 0, err));
    }
    generate(session, &prompt, plain, &other);
    expect_same(&other, &first);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* ---- what it is ------------------------------------------------------------------------- */

/* The scores after a text. */
static void score(eet_session *session, const int32_t *text, int32_t count, float *scores) {
    int32_t own[2];
    const eet_batch batch = row_of(text, own, count);
    const eet_output output = {.size = sizeof output,
                               .take = EET_TAKE_LAST,
                               .data = scores,
                               .bytes = VOCAB * sizeof *scores};

    EET_MUST(eet_encode(session, &batch, &output, 1, err));
}

static double log_sum(const float *scores) {
    double sum = 0;

    for (int32_t i = 0; i < VOCAB; ++i) {
        sum += exp((double)scores[i]);
    }
    return log(sum);
}

/* ln and e^x of the C library, sorting by counting: the page, not the kernels. */
static int32_t choose_plainly(const eet_generate_options *o, const float *scores,
                              const int32_t *text, int32_t count, int32_t chosen, uint64_t stream) {
    const int32_t k = o->top_k > 0 ? o->top_k : VOCAB;
    double y[VOCAB];
    double total = 0;
    double most = -INFINITY;
    int32_t best = -1;
    double top = -INFINITY;

    for (int32_t i = 0; i < VOCAB; ++i) {
        bool seen = false;

        for (int32_t t = 0; t < count; ++t) {
            seen = seen || text[t] == i;
        }
        y[i] = (double)scores[i];
        if (seen && o->repetition_penalty != 0) {
            const float penalty = (float)o->repetition_penalty;

            y[i] = (double)(scores[i] < 0 ? scores[i] * penalty : scores[i] / penalty);
        }
        if (i == EOS && o->ignore_eos == 0 && chosen < o->min_new_tokens) {
            y[i] = -INFINITY;
        }
        top = fmax(top, y[i]);
    }
    for (int32_t pass = 0; pass < 2; ++pass) { /* the mass of the top_k, then the choice */
        for (int32_t i = 0; i < VOCAB; ++i) {
            double before = 0;
            int32_t rank = 0;
            uint32_t x[4] = {(uint32_t)stream, (uint32_t)(stream >> 32), (uint32_t)count,
                             (uint32_t)i};

            for (int32_t j = 0; j < VOCAB; ++j) {
                const bool ahead = y[j] > y[i] || (y[j] == y[i] && j < i);

                rank += ahead ? 1 : 0;
                before += ahead ? exp((y[j] - top) / o->temperature) : 0;
            }
            if (rank >= k) {
                continue;
            }
            if (pass == 0) {
                total += exp((y[i] - top) / o->temperature);
                continue;
            }
            eet_philox(x, (uint32_t)o->seed, (uint32_t)(o->seed >> 32));
            const double sum = o->temperature == 0
                                   ? y[i]
                                   : y[i] / o->temperature - log(-log(eet_uniform(x[0], x[1])));

            if ((o->top_p == 0 || before < o->top_p * total || o->temperature == 0) && sum > most) {
                most = sum;
                best = i;
            }
        }
    }
    return best;
}

/* Events are the page's choices, with the model's own log-probabilities and likeliest tokens. */
static void expect_as_the_page_says(eet_session *session, const eet_generate_options *o,
                                    const told *t, int32_t row) {
    int32_t text[64];
    int32_t count = start[row + 1] - start[row];

    memcpy(text, ids + start[row], (size_t)count * sizeof *text);
    for (int32_t i = 0; i < t->count; ++i) {
        const eet_event *event = &t->event[i];
        float scores[VOCAB];

        score(session, text, count, scores);
        const double sum = log_sum(scores);

        ck_assert_int_eq(event->token, choose_plainly(o, scores, text, count, i, (uint64_t)row));
        ck_assert_int_eq(event->position, count);
        ck_assert_double_eq_tol((double)event->log_prob, (double)scores[event->token] - sum, 1e-5);
        ck_assert_int_eq(t->tops[i], o->top_n < VOCAB ? o->top_n : VOCAB);
        for (int32_t n = 0; n < t->tops[i]; ++n) {
            int32_t better = 0;

            for (int32_t j = 0; j < VOCAB; ++j) {
                better += scores[j] > scores[t->top[i][n]] ? 1 : 0;
            }
            ck_assert_int_eq(better, n);
            ck_assert_double_eq_tol((double)t->top_log_prob[i][n],
                                    (double)scores[t->top[i][n]] - sum, 1e-5);
        }
        text[count++] = event->token;
    }
}

START_TEST(every_choice_is_what_the_page_says)
{
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = ROWS});
    told rows[ROWS];
    const eet_batch batch = all_rows(NULL);

    generate(session, &batch, ways[_i], rows);
    for (int32_t r = 0; r < ROWS; ++r) {
        ck_assert_int_ge(rows[r].count, ways[_i].min_new_tokens + 1);
        expect_as_the_page_says(session, &ways[_i], &rows[r], r);
    }
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

START_TEST(rows_do_not_end_before_their_minimum)
{
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = ROWS});
    int32_t stops[VOCAB / 2];
    told rows[ROWS];
    const eet_batch batch = all_rows(NULL);
    int32_t ended = 0;

    for (int32_t i = 0; i < VOCAB / 2; ++i) {
        stops[i] = 2 * i;
    }
    const eet_generate_options options = {.temperature = 4,
                                          .stop = stops,
                                          .stop_count = VOCAB / 2,
                                          .min_new_tokens = 6,
                                          .max_new_tokens = 30};

    generate(session, &batch, options, rows);
    for (int32_t r = 0; r < ROWS; ++r) {
        ck_assert_int_gt(rows[r].count, 6);
        for (int32_t i = 0; i < rows[r].count; ++i) {
            const int32_t token = rows[r].event[i].token;
            const bool ends = token % 2 == 0 || token == EOS;

            ck_assert(!ends || i >= 6);
            ck_assert_int_eq(ends || i == 29, i == rows[r].count - 1);
        }
        ended += rows[r].event[rows[r].count - 1].finish == EET_FINISH_STOP ||
                         rows[r].event[rows[r].count - 1].finish == EET_FINISH_EOS
                     ? 1
                     : 0;
    }
    ck_assert_int_ge(ended, 2); /* half of the vocabulary ends a row */
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* 39 degrees of freedom: a fair draw is beyond 90 once in 100,000 times. */
START_TEST(a_models_tokens_come_as_often_as_they_should)
{
    enum { DRAWS = 6000 };
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = 1});
    int32_t drawn[VOCAB] = {0};
    float scores[VOCAB];
    double sum = 0;
    int32_t own[2];
    const eet_batch prompt = row_of(ids, own, 4);

    score(session, ids, 4, scores);
    const double all = log_sum(scores);

    for (uint64_t stream = 0; stream < DRAWS; ++stream) {
        const eet_generate_options options = {
            .temperature = 1, .max_new_tokens = 1, .stream = &stream, .seed = 3};
        told t;

        generate(session, &prompt, options, &t);
        drawn[t.event[0].token] += 1;
        EET_MUST(eet_sequence_trim(session, 0, 0, err));
    }
    for (int32_t i = 0; i < VOCAB; ++i) {
        const double expected = DRAWS * exp((double)scores[i] - all);

        sum += (drawn[i] - expected) * (drawn[i] - expected) / expected;
    }
    ck_assert_msg(sum < 90, "chi-square %.1f with 39 degrees of freedom", sum);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* ---- misuse ----------------------------------------------------------------------------- */

START_TEST(the_likeliest_are_told_of_the_latest_events_alone)
{
    eet_model *model = open_model();
    eet_session *session =
        make_session(model, (eet_session_options){.threads = 1, .max_sequences = ROWS});
    const eet_generate_options options = {
        .size = sizeof options, .top_n = 3, .max_new_tokens = 4, .ignore_eos = 1};
    eet_generation *generation = NULL;
    eet_event first[2];
    eet_event then[2];
    int32_t count = 0;
    int32_t top[3];
    float log_prob[3];
    const eet_batch batch = all_rows(NULL);

    EET_MUST(eet_generate_begin(session, &batch, &options, &generation, err));
    EET_MUST(eet_generate_next(generation, first, 2, &count, err));
    EET_FAILS(eet_generate_top(generation, &first[0], top, log_prob, 2, &count, err),
              EET_E_ARGUMENT, "room for 2 likeliest tokens; there are 3");
    EET_FAILS(eet_generate_top(generation, &first[0], NULL, log_prob, 3, &count, err),
              EET_E_ARGUMENT, "no room");
    EET_FAILS(eet_generate_top(generation, NULL, top, log_prob, 3, &count, err), EET_E_ARGUMENT,
              "event");
    EET_FAILS(eet_generate_top(NULL, &first[0], top, log_prob, 3, &count, err), EET_E_ARGUMENT,
              "generation");
    EET_MUST(eet_generate_top(generation, &first[1], top, log_prob, 3, &count, err));
    ck_assert_int_eq(count, 3);
    ck_assert_int_eq(top[0], first[1].token); /* greedy */
    EET_MUST(eet_generate_next(generation, then, 2, &count, err));
    ck_assert_int_eq(count, 1); /* the third row's */
    EET_FAILS(eet_generate_top(generation, &first[1], top, log_prob, 3, &count, err),
              EET_E_ARGUMENT, "row 1, position 1 is no event");
    EET_MUST(eet_generate_top(generation, &then[0], top, log_prob, 3, &count, err));
    then[0].row = 7;
    EET_FAILS(eet_generate_top(generation, &then[0], top, log_prob, 3, &count, err), EET_E_ARGUMENT,
              "row 7");
    eet_session_cancel(session);
    EET_MUST(eet_generate_next(generation, then, 2, &count, err));
    ck_assert_int_eq(then[0].finish, EET_FINISH_CANCELLED);
    EET_MUST(eet_generate_top(generation, &then[0], top, log_prob, 3, &count, err));
    ck_assert_int_eq(count, 0);
    eet_generate_end(generation);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = rows_choose_the_same_alone_in_any_slot_with_any_threads, .rows = WAYS},
        {.test = a_text_that_came_in_steps_goes_on_as_one_prompt, .rows = WAYS},
        {.test = other_seeds_and_other_streams_draw_otherwise},
        {.test = every_choice_is_what_the_page_says, .rows = WAYS},
        {.test = rows_do_not_end_before_their_minimum},
        {.test = a_models_tokens_come_as_often_as_they_should},
        {.test = the_likeliest_are_told_of_the_latest_events_alone},
    };

    return eet_suite_run("sampling", claims, sizeof claims / sizeof *claims);
}
