/* steps.c - advance on the device, and the memory that it shares with the host: what the reference
 * leaves, step after step, and nothing is waited for that will not come. */
#include "tests/cuda/device.h"
#include "tests/kernels/going.h"

enum { STEPS = 11 };

/* Rows of all ages, some ended, that are to end soon or late. */
static going_scene draw_scene(int32_t rows) {
    const going_scene s = make_going_scene(rows);
    const int32_t *length = lab_ints(rows, GOING_HISTORY - STEPS - 1);
    const int32_t *left = lab_ints(rows, 2 * STEPS);

    for (int32_t r = 0; r < rows; ++r) {
        s.args.going[r] = (eet_going){.length = r % 9 == 8 ? 0 : 1 + length[r],
                                      .counted = length[r] / 2,
                                      .count = r % 5,
                                      .left = 1 + left[r]};
        s.args.slot[r] = GOING_NOWHERE;
        s.args.ids[r] = s.args.positions[r] = s.args.kv_length[r] = 0;
    }
    return s;
}

static eet_advance_args device_scene(const going_scene *s, bool samples) {
    const eet_advance_args *want = &s->args;
    const int64_t rows = want->rows;
    eet_advance_args got = *want;

    got.rules = device_up(want->rules, sizeof *want->rules);
    got.going = device_up(want->going, rows * (int64_t)sizeof *want->going);
    got.bar = device_up(want->bar, sizeof going_bar);
    got.sampler = samples ? device_up(want->sampler, rows * (int64_t)sizeof *want->sampler) : NULL;
    got.history = samples ? device_up(want->history, rows * GOING_HISTORY * 4) : NULL;
    got.page_table = device_up(want->page_table, rows * GOING_TABLE * 4);
    got.slot = device_up(want->slot, rows * 8);
    got.ids = device_up(want->ids, rows * 4);
    got.positions = device_up(want->positions, rows * 4);
    got.kv_length = device_up(want->kv_length, rows * 4);
    got.ring = device_share(GOING_SLOTS * sizeof *got.ring);
    got.cancelled = device_share(sizeof *got.cancelled);
    return got;
}

static void expect_block(const void *device, const void *want, int64_t bytes) {
    if (device != NULL) {
        void *got = lab_block(bytes);

        device_down(got, device, bytes);
        ck_assert_mem_eq(got, want, (size_t)bytes);
    }
}

static void expect_same(const eet_advance_args *got, const eet_advance_args *want) {
    const int64_t rows = want->rows;

    ck_assert_mem_eq(got->ring, want->ring, GOING_SLOTS * sizeof *want->ring);
    expect_block(got->rules, want->rules, sizeof *want->rules);
    expect_block(got->going, want->going, rows * (int64_t)sizeof *want->going);
    expect_block(got->sampler, want->sampler, rows * (int64_t)sizeof *want->sampler);
    expect_block(got->history, want->history, rows * GOING_HISTORY * 4);
    expect_block(got->slot, want->slot, rows * 8);
    expect_block(got->ids, want->ids, rows * 4);
    expect_block(got->positions, want->positions, rows * 4);
    expect_block(got->kv_length, want->kv_length, rows * 4);
}

/* In a third of the cases the rows are cancelled on the way, in another one those of another turn.
 */
static void cancel(const eet_advance_args *a, int32_t which, uint64_t step) {
    uint64_t *word = (uint64_t *)(uintptr_t)a->cancelled;

    if (step == STEPS / 2 && which > 0) {
        *word = which == 1 ? GOING_TURN : GOING_TURN - 1;
    }
}

/* The ring is read when its number is there, and the rest only then is downloaded. */
START_TEST(advance_leaves_what_the_reference_leaves)
{
    static const int32_t counts[] = {1, 2, 5, 31, 33, EET_FEW_TOKENS};
    const int32_t rows = counts[_i / 2 % 6];
    const int32_t which = _i / 12;

    lab_seed((uint64_t)_i);
    const going_scene s = draw_scene(rows);
    eet_advance_args got = device_scene(&s, _i % 2 != 0);

    for (uint64_t step = 0; step < STEPS; ++step) {
        const int32_t *token = lab_ints(rows, 40);

        for (int32_t r = 0; r < rows; ++r) {
            s.token[r] = token[r];
            s.log_prob[r] = (float)token[r] / -7.0F;
        }
        got.token = device_up(s.token, rows * 4);
        got.log_prob = device_up(s.log_prob, rows * 4);
        cancel(&s.args, which, step);
        cancel(&got, which, step);
        ck_assert_int_eq(eet_advance_ref(NULL, &s.args), EET_OK);
        ON_DEVICE(advance, &got);
        const eet_step_end *end = &got.ring[step % GOING_SLOTS];

        ck_assert_int_eq(device_wait(&end->number, step + 1), EET_OK);
        ck_assert_mem_eq(end->row, s.args.ring[step % GOING_SLOTS].row,
                         (size_t)rows * sizeof *end->row);
    }
    expect_same(&got, &s.args);
    device_unshare(got.ring);
    device_unshare((void *)(uintptr_t)got.cancelled);
    device_free();
}
END_TEST

START_TEST(who_waits_for_what_nobody_writes_is_told)
{
    uint64_t *word = device_share(64);

    ck_assert_int_eq(device_wait(word, 0), EET_OK);
    ck_assert_int_eq(device_wait(word, 1), EET_E_DEVICE);
    device_unshare(word);
}
END_TEST

const eet_claim *step_claims(void) {
    static eet_claim claims[STEP_CLAIMS];

    claims[0] = (eet_claim){.test = advance_leaves_what_the_reference_leaves, .rows = 36};
    claims[1] = (eet_claim){.test = who_waits_for_what_nobody_writes_is_told};
    return claims;
}
