/* test_sample.c - choices as docs/sampling.md defines them: the reference against that page
 * written down a second time, and everything else against the reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/reference.h"
#include "tests/kernels/scene.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

/* The page's first steps, written plainly. */
static void process(const scene *s, int32_t row, double *y) {
    const eet_sampler *how = &s->sampler[row];

    for (int32_t i = 0; i < s->vocab; ++i) {
        float x = s->logits[row * s->vocab + i];
        bool seen = false;

        for (int32_t h = 0; h < how->history; ++h) {
            seen = seen || s->history[row * HISTORY + h] == i;
        }
        if (seen && how->penalty != 0) {
            x = x < 0 ? x * how->penalty : x / how->penalty;
        }
        for (int32_t b = 0; b < how->barred; ++b) {
            x = s->bar[b] == i ? -INFINITY : x;
        }
        y[i] = isnan(x) ? -INFINITY : fmin((double)x, 0x1.fffffep127);
        y[i] = y[i] < -0x1.fffffep127 ? -INFINITY : y[i];
    }
}

/* How many ids, and how much of the mass, come before id i. */
static int32_t rank_of(const double *y, int32_t vocab, int32_t i) {
    int32_t rank = 0;

    for (int32_t j = 0; j < vocab; ++j) {
        rank += y[j] > y[i] || (y[j] == y[i] && j < i) ? 1 : 0;
    }
    return rank;
}

/* Chooses as the page says, with the C library's logarithm. */
static int32_t choose_plainly(const scene *s, int32_t row) {
    const eet_sampler *how = &s->sampler[row];
    const int32_t vocab = s->vocab;
    double *y = malloc((size_t)vocab * sizeof *y);
    int32_t *rank = malloc((size_t)vocab * sizeof *rank);
    uint64_t *weight = calloc((size_t)vocab + 1, sizeof *weight); /* by rank, then before it */
    const int32_t k = how->top_k > 0 && how->top_k < vocab ? how->top_k : vocab;
    uint64_t total = 0;
    double most = -INFINITY;
    int32_t first = 0;
    int32_t best = 0;

    ck_assert(y != NULL && rank != NULL && weight != NULL);
    process(s, row, y);
    for (int32_t i = 0; i < vocab; ++i) {
        rank[i] = rank_of(y, vocab, i);
        first = rank[i] == 0 ? i : first;
    }
    for (int32_t i = 0; i < vocab && how->temperature != 0; ++i) {
        weight[rank[i]] = rank[i] < k ? eet_weight((y[i] - y[first]) / how->temperature) : 0;
    }
    for (int32_t r = 0; r <= vocab; ++r) {
        const uint64_t own = weight[r];

        weight[r] = total;
        total += own;
    }
    best = first;
    for (int32_t i = 0; i < vocab && how->temperature != 0 && y[first] > -INFINITY; ++i) {
        const bool massive = how->top_p == 0 || how->top_p == 1 ||
                             (double)weight[rank[i]] < how->top_p * (double)total;
        uint32_t x[4] = {(uint32_t)how->stream, (uint32_t)(how->stream >> 32),
                         (uint32_t)how->position, (uint32_t)i};

        eet_philox(x, (uint32_t)how->seed, (uint32_t)(how->seed >> 32));
        const double sum =
            (y[i] - y[first]) / how->temperature - log(-log(eet_uniform(x[0], x[1])));

        if (rank[i] < k && massive && sum > most) {
            most = sum;
            best = i;
        }
    }
    free(y);
    free(rank);
    free(weight);
    return best;
}

enum {
    SAMPLERS = sizeof samplers / sizeof *samplers,
    VOCABS = sizeof vocabs / sizeof *vocabs,
    ROWS = 9
};

START_TEST(the_reference_chooses_as_the_page_says)
{
    for (int32_t v = 0; v < VOCABS; ++v) {
        for (int32_t look = 0; look < LOOKS; ++look) {
            scene s = make_scene(2, vocabs[v], (looks)look, &samplers[_i]);

            ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
            for (int32_t r = 0; r < 2; ++r) {
                const int32_t plain = choose_plainly(&s, r);

                ck_assert_msg(s.args.token[r] == plain,
                              "vocabulary %d, look %d, row %d: %d, not %d", vocabs[v], look, r,
                              s.args.token[r], plain);
            }
            lab_free();
        }
    }
}
END_TEST

static void expect_same_choices(const char *isa, scene *s) {
    eet_backend *backend = lab_open(isa, 2);

    if (backend == NULL) {
        return;
    }
    eet_sample_args got = s->args;

    got.token = lab_block((int64_t)s->rows * 4);
    got.log_prob = lab_block((int64_t)s->rows * 4);
    ck_assert_int_eq(backend->ops.sample(backend, &got), EET_OK);
    for (int32_t r = 0; r < s->rows; ++r) {
        const double want = (double)s->args.log_prob[r];

        ck_assert_msg(got.token[r] == s->args.token[r], "%s, vocabulary %d, row %d: %d, not %d",
                      isa, s->vocab, r, got.token[r], s->args.token[r]);
        ck_assert(isnan(want)
                      ? isnan(got.log_prob[r])
                      : want == (double)got.log_prob[r] ||
                            fabs((double)got.log_prob[r] - want) <= 0x1p-18 + 0x1p-22 * fabs(want));
    }
    lab_close(backend);
}

START_TEST(every_instruction_set_makes_the_references_choices)
{
    for (int32_t v = 0; v < VOCABS; ++v) {
        for (int32_t look = 0; look < LOOKS; ++look) {
            scene s = make_scene(ROWS, vocabs[v], (looks)look, &samplers[_i]);

            ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
            for (int32_t i = 0; i < isa_count; ++i) {
                expect_same_choices(isas[i].name, &s);
            }
            lab_free();
        }
    }
}
END_TEST

START_TEST(a_real_vocabulary_too)
{
    scene s = make_scene(3, 50257, _i % 2 == 0 ? PLAIN : TIES, &samplers[_i / 2]);

    ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
    for (int32_t i = 0; i < isa_count; ++i) {
        expect_same_choices(isas[i].name, &s);
    }
    lab_free();
}
END_TEST

/* Row r of the first call is row `from[r]` of the second: neither neighbours, nor the place, nor
 * threads matter. */
START_TEST(a_draw_depends_on_its_row_alone)
{
    enum { MANY = 23, VOCAB = 1003 };
    const eet_sampler how = {.seed = 77, .temperature = 3, .top_p = 0.95};
    scene s = make_scene(MANY, VOCAB, PLAIN, &how);
    int32_t alone[MANY];

    ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
    memcpy(alone, s.args.token, sizeof alone);
    for (int32_t threads = 1; threads <= 4; ++threads) {
        for (int32_t i = 0; i < isa_count; ++i) {
            eet_backend *backend = lab_open(isas[i].name, threads);
            float *turned = lab_block((int64_t)MANY * VOCAB * 4);
            eet_sampler turned_samplers[MANY];
            eet_sample_args a = s.args;

            if (backend == NULL) {
                continue;
            }
            for (int32_t r = 0; r < MANY; ++r) {
                const int32_t to = (r * 7 + threads) % MANY;

                memcpy(turned + to * VOCAB, s.logits + r * VOCAB, VOCAB * 4);
                turned_samplers[to] = s.sampler[r];
            }
            a.logits = turned;
            a.sampler = turned_samplers;
            ck_assert_int_eq(backend->ops.sample(backend, &a), EET_OK);
            for (int32_t r = 0; r < MANY; ++r) {
                ck_assert_int_eq(a.token[(r * 7 + threads) % MANY], alone[r]);
            }
            lab_close(backend);
        }
    }
    lab_free();
}
END_TEST

START_TEST(an_id_pays_the_penalty_once)
{
    const eet_sampler how = {.penalty = 1.5F, .history = HISTORY};
    scene s = make_scene(1, 4, PLAIN, &how);
    const float logits[] = {4.4F, 3.0F, -1.0F, -1.4F};

    memcpy(s.logits, logits, sizeof logits);
    for (int32_t i = 0; i < HISTORY; ++i) {
        s.history[i] = i % 2 == 0 ? 0 : 2; /* 4.4 / 1.5 = 2.93, were it paid twice 1.96 */
    }
    s.logits[1] = 2.5F;
    ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
    ck_assert_int_eq(s.args.token[0], 0);
    s.logits[1] = 3.0F;
    ck_assert_int_eq(eet_sample_ref(NULL, &s.args), EET_OK);
    ck_assert_int_eq(s.args.token[0], 1);
    lab_free();
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = the_reference_chooses_as_the_page_says, .rows = SAMPLERS},
        {.test = every_instruction_set_makes_the_references_choices, .rows = SAMPLERS},
        {.test = a_real_vocabulary_too, .rows = 2 * SAMPLERS},
        {.test = a_draw_depends_on_its_row_alone},
        {.test = an_id_pays_the_penalty_once},
    };

    return eet_suite_run("sample", claims, sizeof claims / sizeof claims[0]);
}
