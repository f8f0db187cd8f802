/* test_beam.c - the tokens that a beam may go on with: by sorting all of them in double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernels/lab.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

enum { ROWS = 11, MOST = 130 };

typedef struct beam_case {
    int32_t vocab, count;
    float penalty;
    int32_t barred;
    int32_t history; /* ids of each row, some of them twice */
    bool coarse;     /* few different logits: many equals */
    bool holes;      /* some logits are -inf; row 4 has NaN too */
} beam_case;

static const beam_case cases[] = {
    {.vocab = 50257, .count = 10},
    {.vocab = 50257, .count = 6, .penalty = 1.3F, .history = 100, .barred = 2},
    {.vocab = 1000, .count = 130, .penalty = 0.7F, .history = 300},
    {.vocab = 1000, .count = 20, .coarse = true},
    {.vocab = 1000, .count = 40, .coarse = true, .penalty = 1.5F, .history = 200, .barred = 3},
    {.vocab = 333, .count = 9, .holes = true, .penalty = 2.0F, .history = 50, .barred = 1},
    {.vocab = 8, .count = 130},
    {.vocab = 16, .count = 17, .barred = 3, .penalty = 1.2F, .history = 12, .holes = true},
    {.vocab = 1, .count = 2},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The barred ids: some beyond any vocabulary, some below it. */
static const int32_t bar[] = {3, 70000, 0};

/* One id with its score, in double. */
typedef struct entry {
    int32_t id;
    double score, log_prob;
} entry;

static int by_score(const void *a, const void *b) {
    const entry *x = a;
    const entry *y = b;

    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

/* Everything that has a chance, in order; returns how many. */
static int32_t sort_row(const eet_beam_args *a, int32_t row, entry *entries) {
    const float *logits = a->logits + row * a->stride;
    double top = -INFINITY;
    double sum = 0.0;
    int32_t count = 0;

    for (int32_t id = 0; id < a->vocab; ++id) {
        top = fmax(top, (double)logits[id]);
    }
    for (int32_t id = 0; id < a->vocab; ++id) {
        sum += exp((double)logits[id] - top);
    }
    for (int32_t id = 0; id < a->vocab; ++id) {
        entry e = {.id = id, .log_prob = (double)logits[id] - top - log(sum)};
        bool said = false;
        bool barred = false;

        for (int32_t i = 0; a->history != NULL && i < a->history_length[row]; ++i) {
            said = said || a->history[row * a->history_stride + i] == id;
        }
        for (int32_t i = 0; i < a->barred; ++i) {
            barred = barred || a->bar[i] == id;
        }
        e.score = said ? e.log_prob * (double)a->penalty : e.log_prob;
        if (!barred && e.score > -INFINITY) {
            entries[count++] = e;
        }
    }
    qsort(entries, (size_t)count, sizeof *entries, by_score);
    return count;
}

static eet_beam_args make_args(const beam_case *c) {
    const int64_t stride = c->vocab + 5;
    int32_t *length = lab_ints(ROWS, c->history + 1);
    eet_beam_args a = {
        .logits = lab_floats(ROWS * stride, LAB_PLAIN),
        .stride = stride,
        .rows = ROWS,
        .vocab = c->vocab,
        .penalty = c->penalty,
        .barred = c->barred,
        .bar = bar,
        .history = c->history > 0 ? lab_ints((int64_t)ROWS * c->history, c->vocab) : NULL,
        .history_stride = c->history,
        .history_length = length,
        .count = c->count,
        .token = lab_block((int64_t)4 * ROWS * c->count),
        .score = lab_block((int64_t)4 * ROWS * c->count),
        .log_prob = lab_block((int64_t)4 * ROWS * c->count),
    };

    for (int64_t i = 0; i < ROWS * stride; ++i) {
        a.logits[i] *= 9.0F;
        a.logits[i] = c->coarse ? floorf(a.logits[i]) : a.logits[i];
        if (c->holes && i % 3 == 0) {
            a.logits[i] = i / stride == 4 ? NAN : -INFINITY; /* a row of NaN */
        }
        a.logits[i] = i % stride >= c->vocab ? 100.0F : a.logits[i]; /* beyond the vocabulary */
    }
    length[0] = c->history;
    length[1] = 0;
    return a;
}

/* Equals and what is nearly equal: by score the row is right, and its ids ascend where equal
 * logits have equal scores. */
static void compare_row(const eet_beam_args *a, int32_t row, const entry *want, int32_t count,
                        const entry *by_id) {
    const int64_t at = (int64_t)row * a->count;

    for (int32_t i = 0; i < a->count; ++i) {
        const int32_t token = a->token[at + i];

        if (i >= count) {
            ck_assert_int_eq(token, -1);
            ck_assert(isinf(a->score[at + i]) && a->score[at + i] < 0);
            continue;
        }
        ck_assert_int_ge(token, 0);
        ck_assert_double_eq_tol((double)a->score[at + i], want[i].score, 2e-5);
        ck_assert_double_eq_tol((double)a->score[at + i], by_id[token].score, 2e-5);
        ck_assert_double_eq_tol((double)a->log_prob[at + i], by_id[token].log_prob, 2e-5);
        if (i > 0) {
            ck_assert(a->score[at + i] < a->score[at + i - 1] ||
                      (a->score[at + i] == a->score[at + i - 1] && token > a->token[at + i - 1]));
        }
        if (want[i].score > want[i + 1].score + 4e-5 &&
            (i == 0 || want[i].score < want[i - 1].score - 4e-5)) {
            ck_assert_int_eq(token, want[i].id); /* no doubt which */
        }
    }
}

START_TEST(the_best_tokens_are_those_of_sorting_all)
{
    const beam_case *c = &cases[_i % CASES];
    const char *isa = _i / CASES < isa_count ? isas[_i / CASES].name : "ref";
    eet_backend *backend = lab_open(isa, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)(_i % CASES) + 1);
    const eet_beam_args a = make_args(c);
    const size_t bytes = (size_t)(c->vocab + 1) * sizeof(entry);
    entry *want = lab_block((int64_t)bytes * ROWS);
    entry *by_id = lab_block((int64_t)bytes);
    int32_t count[ROWS];

    for (int32_t row = 0; row < ROWS; ++row) {
        entry *sorted = want + (int64_t)row * (c->vocab + 1);

        count[row] = sort_row(&a, row, sorted);
        sorted[count[row]] = (entry){.id = -1, .score = -INFINITY};
    }
    ck_assert_int_eq(backend->ops.beam(backend, &a), EET_OK);
    for (int32_t row = 0; row < ROWS; ++row) {
        const entry *sorted = want + (int64_t)row * (c->vocab + 1);

        for (int32_t i = 0; i < count[row]; ++i) {
            by_id[sorted[i].id] = sorted[i];
        }
        compare_row(&a, row, sorted, count[row], by_id);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(equal_logits_come_by_their_ids)
{
    enum { VOCAB = 100, COUNT = 7 };
    eet_backend *backend = lab_open(_i < isa_count ? isas[_i].name : "ref", 1);

    if (backend == NULL) {
        return;
    }
    float logits[VOCAB];
    int32_t token[COUNT];
    float score[COUNT];
    float log_prob[COUNT];
    static const int32_t wanted[COUNT] = {41, 90, 0, 1, 2, 3, 4};
    const eet_beam_args a = {.logits = logits,
                             .stride = VOCAB,
                             .rows = 1,
                             .vocab = VOCAB,
                             .count = COUNT,
                             .token = token,
                             .score = score,
                             .log_prob = log_prob};

    for (int32_t i = 0; i < VOCAB; ++i) {
        logits[i] = i == 41 || i == 90 ? 2.0F : 1.0F;
    }
    ck_assert_int_eq(backend->ops.beam(backend, &a), EET_OK);
    ck_assert_mem_eq(token, wanted, sizeof token);
    for (int32_t i = 0; i < VOCAB; ++i) {
        logits[i] = NAN;
    }
    ck_assert_int_eq(backend->ops.beam(backend, &a), EET_OK);
    for (int32_t i = 0; i < COUNT; ++i) {
        ck_assert_int_eq(token[i], -1);
    }
    lab_close(backend);
}
END_TEST

START_TEST(its_cost_is_a_look_at_every_logit)
{
    const eet_beam_args a = {.rows = 2, .vocab = 9, .count = 3};
    const eet_cost cost = eet_beam_cost(&a);

    ck_assert_double_eq(cost.flops, 3 * 18);
    ck_assert_double_eq(cost.bytes, 4 * 18 + 12 * 6);
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = the_best_tokens_are_those_of_sorting_all, .rows = (isa_count + 1) * CASES},
        {.test = equal_logits_come_by_their_ids, .rows = isa_count + 1},
        {.test = its_cost_is_a_look_at_every_logit},
    };

    return eet_suite_run("beam", claims, sizeof claims / sizeof *claims);
}
