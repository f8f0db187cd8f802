/* choices.c - sample, logprob and beam on the device: the reference's choices, to the id. */
#include <math.h>

#include "tests/cuda/device.h"
#include "tests/kernels/scene.h"

enum {
    ROWS = 5,
    SAMPLERS = sizeof samplers / sizeof *samplers,
    VOCABS = sizeof vocabs / sizeof *vocabs,
    BEAM_VOCAB = 1003,
    BEAM_COUNT = 20
};

static void expect_close(float got, float want, const char *what, int32_t at) {
    const double a = (double)got;
    const double b = (double)want;

    ck_assert_msg(a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 0x1p-18 + 0x1p-22 * fabs(b),
                  "%s %d: %.9g, the reference has %.9g", what, at, a, b);
}

static void expect_choices(scene *s) {
    eet_sample_args got = s->args;
    const int32_t rows = s->rows;
    int32_t *token = lab_block(rows * 4);
    float *log_prob = lab_block(rows * 4);

    ck_assert_int_eq(eet_sample_ref(NULL, &s->args), EET_OK);
    got.logits = device_up(s->logits, (int64_t)rows * s->vocab * 4);
    got.sampler = device_up(s->args.sampler, rows * (int64_t)sizeof *s->sampler);
    got.history = device_up(s->history, (int64_t)rows * HISTORY * 4);
    got.bar = device_up(s->bar, BARS * 4);
    got.token = device_up(token, rows * 4);
    got.log_prob = device_up(log_prob, rows * 4);
    got.scratch = device_up(s->args.scratch, eet_sample_scratch(rows, s->vocab));
    ON_DEVICE(sample, &got);
    device_down(token, got.token, rows * 4);
    device_down(log_prob, got.log_prob, rows * 4);
    for (int32_t r = 0; r < rows; ++r) {
        ck_assert_msg(token[r] == s->args.token[r], "vocabulary %d, row %d: %d, not %d", s->vocab,
                      r, token[r], s->args.token[r]);
        expect_close(log_prob[r], s->args.log_prob[r], "log_prob of row", r);
    }
}

/* Vocabularies whose rows several blocks share. */
static const int32_t large_vocabs[] = {1024, 5003, 50257};
enum { LARGE_VOCABS = sizeof large_vocabs / sizeof *large_vocabs };

/* The last row of samplers is none at all: the largest. */
START_TEST(sample_chooses_what_the_reference_chooses)
{
    const bool plain = _i == SAMPLERS;

    for (int32_t v = 0; v < VOCABS + LARGE_VOCABS; ++v) {
        for (int32_t look = 0; look < LOOKS; ++look) {
            const int32_t vocab = v < VOCABS ? vocabs[v] : large_vocabs[v - VOCABS];
            scene s = make_scene(vocab < 50000 ? ROWS : 1, vocab, (looks)look,
                                 plain ? &(eet_sampler){0} : &samplers[_i]);

            s.args.sampler = plain ? NULL : s.args.sampler;
            expect_choices(&s);
            device_free();
        }
    }
}
END_TEST

static void expect_log_probs(const scene *s, int32_t top, bool with_target) {
    const int32_t count = s->rows * top;
    eet_logprob_args want = {
        .logits = s->logits,
        .stride = s->vocab,
        .rows = s->rows,
        .vocab = s->vocab,
        .target = with_target ? lab_ints(s->rows, s->vocab) : NULL,
        .log_prob = lab_block(s->rows * 4),
        .top = top,
        .top_token = lab_block((int64_t)count * 4),
        .top_log_prob = lab_block((int64_t)count * 4),
    };
    eet_logprob_args got = want;
    float *log_prob = lab_block(s->rows * 4);
    int32_t *top_token = lab_block((int64_t)count * 4);
    float *top_log_prob = lab_block((int64_t)count * 4);

    ck_assert_int_eq(eet_logprob_ref(NULL, &want), EET_OK);
    got.logits = device_up(s->logits, (int64_t)s->rows * s->vocab * 4);
    got.target = device_up(want.target, s->rows * 4);
    got.log_prob = device_up(log_prob, s->rows * 4);
    got.top_token = device_up(top_token, (int64_t)count * 4);
    got.top_log_prob = device_up(top_log_prob, (int64_t)count * 4);
    ON_DEVICE(logprob, &got);
    device_down(log_prob, got.log_prob, s->rows * 4);
    device_down(top_token, got.top_token, (int64_t)count * 4);
    device_down(top_log_prob, got.top_log_prob, (int64_t)count * 4);
    ck_assert_mem_eq(top_token, want.top_token, (size_t)count * 4);
    for (int32_t i = 0; i < count; ++i) {
        expect_close(top_log_prob[i], want.top_log_prob[i], "of the likeliest", i);
    }
    for (int32_t r = 0; r < s->rows && with_target; ++r) {
        expect_close(log_prob[r], want.log_prob[r], "of row", r);
    }
}

START_TEST(logprob_agrees_with_the_reference)
{
    static const int32_t sizes[] = {1, 2, 300, 1003};
    const int32_t vocab = sizes[_i % 4];
    const scene s = make_scene(ROWS, vocab, (looks)(_i / 4), &(eet_sampler){0});

    expect_log_probs(&s, 0, true);
    expect_log_probs(&s, 1, false);
    expect_log_probs(&s, vocab < 20 ? vocab : 20, true);
    expect_log_probs(&s, vocab < 400 ? vocab : 40, true);
    device_free();
}
END_TEST

/* Logits in steps of a quarter: two are equal or clearly apart. Bit 0 of the row of this test: a
 * penalty, 1: barred ids, 2: holes (-inf), and a NaN in row 3. */
static eet_beam_args beam_args(int32_t kind) {
    static const int32_t bar[] = {3, 70000, 0};
    eet_beam_args a = {
        .logits = lab_floats((int64_t)ROWS * BEAM_VOCAB, LAB_PLAIN),
        .stride = BEAM_VOCAB,
        .rows = ROWS,
        .vocab = BEAM_VOCAB,
        .penalty = (kind & 1) != 0 ? 1.37F : 0.0F,
        .barred = (kind & 2) != 0 ? 3 : 0,
        .bar = bar,
        .history = lab_ints((int64_t)ROWS * BEAM_VOCAB, BEAM_VOCAB),
        .history_stride = BEAM_VOCAB,
        .history_length = lab_ints(ROWS, BEAM_VOCAB),
        .count = BEAM_COUNT,
        .token = lab_block((int64_t)4 * ROWS * BEAM_COUNT),
        .score = lab_block((int64_t)4 * ROWS * BEAM_COUNT),
        .log_prob = lab_block((int64_t)4 * ROWS * BEAM_COUNT),
    };

    for (int32_t i = 0; i < ROWS * BEAM_VOCAB; ++i) {
        a.logits[i] = roundf(a.logits[i] * 40.0F) / 4.0F;
        if ((kind & 4) != 0 && i % BEAM_VOCAB % 90 != 7) {
            a.logits[i] = -INFINITY;
        }
    }
    if ((kind & 4) != 0) {
        a.logits[3 * BEAM_VOCAB + 500] = NAN;
    }
    return a;
}

START_TEST(beam_finds_what_the_reference_finds)
{
    enum { BYTES = 4 * ROWS * BEAM_COUNT };
    lab_seed((uint64_t)_i);
    const eet_beam_args want = beam_args(_i);
    eet_beam_args got = want;
    int32_t token[ROWS * BEAM_COUNT];
    float score[ROWS * BEAM_COUNT];
    float log_prob[ROWS * BEAM_COUNT];

    got.logits = device_up(want.logits, (int64_t)4 * ROWS * BEAM_VOCAB);
    got.bar = device_up(want.bar, 12);
    got.history = device_up(want.history, (int64_t)4 * ROWS * BEAM_VOCAB);
    got.history_length = device_up(want.history_length, (int64_t)4 * ROWS);
    got.token = device_up(want.token, BYTES);
    got.score = device_up(want.score, BYTES);
    got.log_prob = device_up(want.log_prob, BYTES);
    ck_assert_int_eq(eet_beam_ref(NULL, &want), EET_OK);
    ON_DEVICE(beam, &got);
    device_down(token, got.token, BYTES);
    device_down(score, got.score, BYTES);
    device_down(log_prob, got.log_prob, BYTES);
    ck_assert_mem_eq(token, want.token, BYTES);
    for (int32_t i = 0; i < ROWS * BEAM_COUNT; ++i) {
        expect_close(score[i], want.score[i], "score", i);
        expect_close(log_prob[i], want.log_prob[i], "log_prob", i);
    }
    device_free();
}
END_TEST

const eet_claim *choice_claims(void) {
    static eet_claim claims[CHOICE_CLAIMS];

    claims[0] =
        (eet_claim){.test = sample_chooses_what_the_reference_chooses, .rows = SAMPLERS + 1};
    claims[1] = (eet_claim){.test = logprob_agrees_with_the_reference, .rows = 4 * LOOKS};
    claims[2] = (eet_claim){.test = beam_finds_what_the_reference_finds, .rows = 8};
    return claims;
}
