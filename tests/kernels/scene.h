/* scene.h - rows of scores of every look, and all that choosing from them asks for. */
#ifndef EET_TESTS_KERNELS_SCENE_H
#define EET_TESTS_KERNELS_SCENE_H

#include <math.h>
#include <string.h>

#include "kernels/random.h"
#include "tests/kernels/lab.h"

/* How a row's logits look. */
typedef enum looks {
    PLAIN,   /* spread like a model's */
    TIES,    /* few different values */
    EQUAL,   /* one value */
    HOLES,   /* NaN, infinities of both signs among them */
    EXTREME, /* from -3e38 to 3e38 */
    PEAK,    /* one far ahead */
    LOOKS
} looks;

static inline float logit_of(looks look, int32_t i, uint32_t random) {
    const float plain = (float)(random % 20001) / 1000.0F - 10.0F;

    switch (look) {
    case TIES:
        return (float)(int32_t)(random % 7) - 3.0F;
    case EQUAL:
        return -2.5F;
    case HOLES:
        return random % 3 == 0 ? NAN : random % 5 == 0 ? -INFINITY : random == 7 ? INFINITY : plain;
    case EXTREME:
        return plain * 3e37F;
    case PEAK:
        return i == 11 ? 60.0F : plain;
    default:
        return plain;
    }
}

enum { BARS = 3, HISTORY = 40 };

/* Every way to choose, and vocabularies to choose from. */
static const eet_sampler samplers[] = {
    {.penalty = 1.7F, .history = HISTORY},
    {.penalty = 0.4F, .history = 5, .barred = BARS},
    {.seed = 1, .temperature = 1},
    {.seed = 2, .temperature = 0.3, .penalty = 1.3F, .history = HISTORY, .barred = 1},
    {.seed = 3, .temperature = 1e-300},
    {.seed = 4, .temperature = 1e30},
    {.seed = 5, .temperature = 1, .top_k = 1},
    {.seed = 6, .temperature = 2, .top_k = 5},
    {.seed = 7, .temperature = 2, .top_k = 300},
    {.seed = 8, .temperature = 1, .top_k = 1 << 30},
    {.seed = 9, .temperature = 1, .top_p = 0.5},
    {.seed = 10, .temperature = 5, .top_p = 0.9},
    {.seed = 11, .temperature = 1, .top_p = 5e-324},
    {.seed = 12, .temperature = 1, .top_p = 1 - 0x1p-53},
    {.seed = 13, .temperature = 1, .top_p = 1},
    {.seed = 14, .temperature = 3, .top_k = 20, .top_p = 0.8},
    {.seed = 15, .temperature = 9, .top_k = 299, .top_p = 0.97},
    {.seed = UINT64_MAX,
     .stream = UINT64_C(0x8000000000000000),
     .temperature = 0.9,
     .top_k = 290,
     .top_p = 0.99,
     .penalty = 1.1F,
     .history = HISTORY,
     .barred = BARS},
};
static const int32_t vocabs[] = {1, 2, 17, 63, 64, 65, 311, 700};

typedef struct scene {
    int32_t rows, vocab;
    float *logits;
    int32_t *history; /* (rows, HISTORY) */
    int32_t *bar;     /* (BARS) two of which are no ids */
    eet_sampler *sampler;
    eet_sample_args args;
} scene;

static inline scene make_scene(int32_t rows, int32_t vocab, looks look, const eet_sampler *how) {
    const int32_t bar[BARS] = {vocab / 2, -7, vocab + 3};
    scene s = {.rows = rows, .vocab = vocab};
    uint32_t x[4] = {(uint32_t)vocab, (uint32_t)look};

    s.logits = lab_block((int64_t)rows * vocab * 4);
    s.sampler = lab_block((int64_t)rows * (int64_t)sizeof *s.sampler);
    s.history = lab_ints(rows * HISTORY, vocab);
    s.bar = memcpy(lab_block(sizeof bar), bar, sizeof bar);
    for (int32_t i = 0; i < rows * vocab; ++i) {
        eet_philox(x, 3, 4);
        s.logits[i] = logit_of(look, i % vocab, x[0]);
    }
    for (int32_t r = 0; r < rows; ++r) {
        s.sampler[r] = *how;
        s.sampler[r].stream += (uint64_t)r;
        s.sampler[r].position = 100 + r;
    }
    s.args = (eet_sample_args){
        .logits = s.logits,
        .stride = vocab,
        .rows = rows,
        .vocab = vocab,
        .sampler = s.sampler,
        .history = s.history,
        .history_stride = HISTORY,
        .bar = s.bar,
        .token = lab_block((int64_t)rows * 4),
        .log_prob = lab_block((int64_t)rows * 4),
        .scratch = lab_block(eet_sample_scratch(rows, vocab)),
    };
    return s;
}

#endif
