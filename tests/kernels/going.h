/* going.h - rows that go on from step to step, and all that the end of a step reads and writes. */
#ifndef EET_TESTS_KERNELS_GOING_H
#define EET_TESTS_KERNELS_GOING_H

#include <string.h>

#include "tests/kernels/lab.h"

enum {
    GOING_TABLE = 4, /* pages a row */
    GOING_HISTORY = GOING_TABLE * EET_PAGE_TOKENS,
    GOING_SLOTS = 4,
    GOING_STOPS = 2,
    GOING_BARS = 3,
    GOING_EOS = 9,
    GOING_PAD = 3,
    GOING_LEAST = 3,
    GOING_TURN = 12,
    GOING_NOWHERE = 7777
};
static const int32_t going_bar[GOING_BARS] = {11, 30, GOING_EOS};

/* Blocks that `args` name, all the host's; the ring is zeroed. */
typedef struct going_scene {
    int32_t *token;
    float *log_prob;
    int32_t *page_table;
    eet_advance_args args;
} going_scene;

static inline going_scene make_going_scene(int32_t rows) {
    const int64_t samplers = rows * (int64_t)sizeof(eet_sampler);
    const int64_t ring = GOING_SLOTS * (int64_t)sizeof(eet_step_end);
    going_scene s = {
        .token = lab_ints(rows, 40),
        .log_prob = lab_floats(rows, LAB_PLAIN),
        .page_table = lab_page_table(rows, GOING_TABLE),
    };

    s.args = (eet_advance_args){
        .rows = rows,
        .rules = lab_block(sizeof(eet_going_rules)),
        .going = lab_block(rows * (int64_t)sizeof(eet_going)),
        .token = s.token,
        .log_prob = s.log_prob,
        .bar = memcpy(lab_block(sizeof going_bar), going_bar, sizeof going_bar),
        .sampler = memset(lab_block(samplers), 0x5A, (size_t)samplers),
        .history = lab_block((int64_t)rows * GOING_HISTORY * 4),
        .history_stride = GOING_HISTORY,
        .page_table = s.page_table,
        .table_stride = GOING_TABLE,
        .nowhere = GOING_NOWHERE,
        .slot = lab_block((int64_t)rows * 8),
        .ids = lab_block((int64_t)rows * 4),
        .positions = lab_block((int64_t)rows * 4),
        .kv_length = lab_block((int64_t)rows * 4),
        .ring = memset(lab_block(ring), 0, (size_t)ring),
        .slots = GOING_SLOTS,
        .cancelled = memset(lab_block(8), 0, 8),
    };
    *s.args.rules = (eet_going_rules){
        .turn = GOING_TURN,
        .eos = GOING_EOS,
        .stops = GOING_STOPS,
        .bars = GOING_BARS,
        .least = GOING_LEAST,
        .pad = GOING_PAD,
    };
    return s;
}

#endif
