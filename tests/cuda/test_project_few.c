/* test_project_few.c - project and score of EET_FEW on a CUDA device: near the reference with every
 * dtype that activations may have, and to the bit the same for every number of rows, alone or
 * together, and whether or not kernels begin before those before them have ended.
 *
 * The backend is linked, for a field of it that no call sets. */
#include <math.h>
#include <stdlib.h>

#include "tests/cuda/trial_device.h"
#include "tests/cuda/turn.h"

/* A case, and which of its activations have the weights' dtype. */
typedef struct few_case {
    project_case c;
    bool x, y, residual;
} few_case;

static const few_case few_cases[] = {
    /* rows of every kernel, slices of k that are uneven, weights that are not aligned */
    {.c = {.rows = 1, .n = 78, .k = 78, .norm = NORM_AND_BIAS, .bias = true}},
    {.c = {.rows = 3, .n = 100, .k = 100, .norm = NORM, .residual = RAW}, .y = true},
    {.c = {.rows = 8, .n = 131, .k = 33, .extra = 2, .bias = true}, .x = true},
    {.c = {.rows = 9, .n = 17, .k = 768, .bias = true}, .x = true, .y = true},
    {.c = {.rows = 16, .n = 48, .k = 776, .extra = 8}, .x = true},
    {.c = {.rows = 17, .n = 70, .k = 1600, .norm = NORM_AND_BIAS}, .y = true},
    {.c = {.rows = 32, .n = 33, .k = 1030, .extra = 2, .norm = NORM}, .x = true},
    {.c = {.rows = 33, .n = 31, .k = 96, .residual = RAW, .bias = true}, .residual = true},
    {.c = {.rows = 64, .n = 96, .k = 100, .residual = ALIASED}, .x = true},
    {.c = {.rows = 64, .n = 1, .k = 32, .bias = true}, .y = true},
    {.c = {.rows = 2, .n = 5, .k = 800, .bias = true}, .x = true},
    /* k over the blocks of a cluster, and too long to be staged */
    {.c = {.rows = 1, .n = 48, .k = 3072, .residual = ALIASED, .bias = true}, .x = true},
    {.c = {.rows = 5, .n = 40, .k = 6400, .residual = RAW, .bias = true}, .x = true},
    {.c = {.rows = 8, .n = 17, .k = 12320, .norm = NORM_AND_BIAS}},
    {.c = {.rows = 7, .n = 33, .k = 16400, .residual = NORMED}, .x = true},
    {.c = {.rows = 40, .n = 20, .k = 1550, .residual = RAW, .bias = true}, .x = true},
    /* blocks with few rows of weights and with many, of all k */
    {.c = {.rows = 6, .n = 2500, .k = 96, .norm = NORM_AND_BIAS, .residual = NORMED, .bias = true},
     .x = true,
     .residual = true},
    {.c = {.rows = 7, .n = 4800, .k = 160, .norm = NORM, .bias = true, .act = EET_ACT_GELU_TANH},
     .y = true},
    {.c = {.rows = 2, .n = 700, .k = 1024, .residual = NORMED, .bias = true},
     .x = true,
     .y = true,
     .residual = true},
    {.c = {.rows = 3, .n = 30, .k = 2080, .norm = NORM_AND_BIAS, .residual = RAW}},
    /* so many rows of weights that each warp has its own */
    {.c = {.rows = 1, .n = 50257, .k = 40, .norm = NORM}},
    {.c = {.rows = 8, .n = 16411, .k = 72, .residual = NORMED, .bias = true}, .x = true},
    {.c = {.rows = 13, .n = 16390, .k = 33, .norm = NORM, .residual = ALIASED}},
    {.c = {.rows = 30, .n = 16384, .k = 64, .bias = true}, .x = true, .y = true},
    {.c = {.rows = 61, .n = 16400, .k = 48, .norm = NORM}, .x = true},
    /* post-norm: the stream has the weights' dtype, and its norm is the residual's too */
    {.c = {.rows = 4, .n = 78, .k = 78, .norm = NORM_AND_BIAS, .residual = NORMED},
     .x = true,
     .y = true,
     .residual = true},
    {.c = {.rows = 20, .n = 78, .k = 104, .norm = NORM_AND_BIAS, .residual = NORMED},
     .x = true,
     .y = true,
     .residual = true},
    {.c = {.rows = 64, .n = 768, .k = 96, .residual = NORMED, .bias = true},
     .y = true,
     .residual = true},
    {.c = {.rows = 2, .n = 60, .k = 60, .norm = NORM, .kind = LAB_FAR}},
    {.c = {.rows = 12, .n = 60, .k = 60, .residual = NORMED, .residual_kind = LAB_FAR}, .x = true},
    /* every activation */
    {.c = {.rows = 3, .n = 70, .k = 64, .act = EET_ACT_RELU, .bias = true}, .y = true},
    {.c = {.rows = 3, .n = 70, .k = 64, .act = EET_ACT_GELU_ERF, .bias = true}, .y = true},
    {.c = {.rows = 3, .n = 70, .k = 64, .act = EET_ACT_GELU_TANH, .bias = true}, .y = true},
    {.c = {.rows = 19, .n = 70, .k = 64, .act = EET_ACT_SILU, .bias = true}, .y = true},
    {.c = {.rows = 19, .n = 70, .k = 64, .act = EET_ACT_QUICK_GELU, .bias = true}, .y = true},
    {.c = {.rows = 3, .n = 70, .k = 64, .act = EET_ACT_TANH, .bias = true}, .y = true},
    {.c = {.rows = 3, .n = 70, .k = 64, .act = EET_ACT_RELU2, .bias = true}, .y = true},
    /* pages */
    {.c = {.rows = 40,
           .k = 52,
           .bias = true,
           .norm = NORM,
           .to = EET_TO_Q_AND_PAGES,
           .heads = 2,
           .head_dim = 26},
     .y = true},
    {.c = {.rows = 5, .k = 64, .bias = true, .to = EET_TO_Q_AND_PAGES, .heads = 4, .head_dim = 16},
     .x = true},
    {.c = {.rows = 4, .k = 3000, .to = EET_TO_PAGES, .heads = 1, .head_dim = 13}, .x = true},
    {.c = {.rows = 3, .k = 40, .norm = NORM, .to = EET_TO_PAGES, .heads = 80, .head_dim = 128}},
};

enum { FEW_CASES = sizeof few_cases / sizeof *few_cases };

/* Rounds the numbers where they are, and gives them in that dtype. */
static void *narrowed(float *x, int64_t count, int32_t dtype) {
    void *narrow = lab_block(count * eet_float_bytes(dtype));

    for (int64_t i = 0; i < count; ++i) {
        eet_float_put(narrow, dtype, i, x[i]);
        x[i] = eet_float_at(narrow, dtype, i);
    }
    return narrow;
}

static const void *up_in(const void *x, int64_t count, int32_t dtype) {
    if (x == NULL || dtype == EET_F32) {
        return device_up(x, count * 4);
    }
    return device_up(narrowed((float *)x, count, dtype), count * eet_float_bytes(dtype));
}

/* The arguments on the device; what is narrow there is rounded in the trial too. */
static eet_project_args few_up(trial *t, const few_case *few, int32_t dtype) {
    const project_case *c = &few->c;
    const int64_t rows = c->rows;
    eet_project_args a = t->args[1];
    const int64_t residuals = rows * a.w.n;

    a.family = EET_FEW;
    a.x_dtype = few->x ? dtype : EET_F32;
    a.y_dtype = few->y ? dtype : EET_F32;
    a.residual_dtype = few->residual ? dtype : EET_F32;
    t->y_dtype = a.y_dtype;
    a.x = up_in(a.x, rows * c->k, a.x_dtype);
    if (c->residual == ALIASED) {
        a.residual = a.y = device_up(a.residual, residuals * 4);
    } else {
        a.residual = up_in(t->residual, residuals, a.residual_dtype);
        a.y = device_up(a.y, t->y_count * eet_float_bytes(a.y_dtype));
    }
    a.norm = device_norm(a.norm, c->k);
    a.bias = device_up(a.bias, a.w.n * (int64_t)4);
    a.residual_norm = device_norm(a.residual_norm, a.w.n);
    a.pages = device_pages(a.pages);
    a.slot = device_up(a.slot, rows * 8);
    a.scratch = device_up(a.scratch, eet_project_scratch(rows, c->k) * 4);
    a.w = device_matrix(a.w);
    return a;
}

static few_case case_of(int32_t number, int32_t dtype) {
    few_case few = few_cases[number];

    few.c.dtype = dtype;
    few.c.page_dtype = dtype;
    if (dtype == EET_F32) {
        few.x = few.y = few.residual = false;
    }
    return few;
}

/* Half a unit of the last place of a rounded x. */
static double rounding_of(int32_t dtype, const few_case *few) {
    if (dtype == EET_F32 || (few->x && few->c.norm == NO_NORM)) {
        return 0.0;
    }
    return dtype == EET_F16 ? 0x1p-11 : 0x1p-8;
}

START_TEST(few_rows_agree_with_the_reference)
{
    const int32_t dtype = EET_F32 + _i % 3;
    const few_case few = case_of(_i / 3, dtype);
    const project_case *c = &few.c;

    lab_seed((uint64_t)_i);
    trial t = trial_of(c);
    const eet_project_args got = few_up(&t, &few, dtype);

    t.steps = c->k; /* whatever a product of small matrices does with its sums */
    t.rounding = rounding_of(dtype, &few);
    expect_project(&t, c, &got);
    device_free();
}
END_TEST

/* Shapes of every kernel: deep, over a cluster, wide, too long to be staged, in bulk, large. */
static const struct {
    int32_t n, k, norm, residual, act;
    bool x; /* of the weights' dtype */
} alone[] = {
    {131, 1030, NORM, NORMED, EET_ACT_GELU_ERF, false},
    {768, 768, NORM_AND_BIAS, RAW, EET_ACT_GELU_TANH, false},
    {104, 3072, NO_NORM, RAW, EET_ACT_LINEAR, false},
    {65, 6400, NORM, RAW, EET_ACT_SILU, false},
    {16411, 96, NORM, NO_RESIDUAL, EET_ACT_TANH, false},
    {20, 12320, NORM_AND_BIAS, NORMED, EET_ACT_LINEAR, false},
    {4230, 96, NORM, NORMED, EET_ACT_GELU_ERF, false},
    {2304, 1600, NORM_AND_BIAS, NO_RESIDUAL, EET_ACT_LINEAR, true},
    {2304, 1600, NORM_AND_BIAS, NO_RESIDUAL, EET_ACT_LINEAR, false},
    {1024, 4096, NO_NORM, RAW, EET_ACT_LINEAR, true},
    {600, 2080, NO_NORM, RAW, EET_ACT_RELU, true},
    {4250, 2080, NORM, RAW, EET_ACT_GELU_TANH, false},
    {9001, 2112, NO_NORM, NORMED, EET_ACT_LINEAR, true},
    {20483, 2080, NORM_AND_BIAS, NORMED, EET_ACT_GELU_TANH, false},
    {50257, 2048, NORM, NO_RESIDUAL, EET_ACT_LINEAR, false},
    {6101, 1096, NORM, RAW, EET_ACT_GELU_TANH, false},
    {1021, 4104, NO_NORM, NORMED, EET_ACT_SILU, true},
};

enum { ALONE = sizeof alone / sizeof *alone, LOTS = EET_FEW_TOKENS };

/* Rows in calls of 1, 2, 3, 5, 8, 9, 15, 16, 17, 32, 33 and 64 of them. */
START_TEST(few_rows_are_the_same_in_any_number)
{
    static const int32_t counts[] = {1, 2, 3, 5, 8, 9, 15, 16, 17, 32, 33};
    const int32_t dtype = EET_F32 + _i % 3;
    const few_case few = {.c = {.rows = LOTS,
                                .n = alone[_i / 3].n,
                                .k = alone[_i / 3].k,
                                .dtype = dtype,
                                .norm = alone[_i / 3].norm,
                                .residual = alone[_i / 3].residual,
                                .act = alone[_i / 3].act,
                                .bias = true},
                          .x = alone[_i / 3].x && dtype != EET_F32};
    const int64_t bytes = (int64_t)LOTS * few.c.n * 4;

    lab_seed((uint64_t)_i);
    trial t = trial_of(&few.c);
    const eet_project_args all = few_up(&t, &few, dtype);
    float *together = lab_block(bytes);
    float *apart = lab_block(bytes);
    const float *blank = lab_block(bytes);

    ON_DEVICE(project, &all);
    device_down(together, all.y, bytes);
    for (uint32_t i = 0; i < sizeof counts / sizeof *counts; ++i) {
        float *y = device_up(blank, bytes);

        for (int32_t row = 0; row < LOTS; row += counts[i]) {
            eet_project_args some = all;

            some.rows = counts[i] < LOTS - row ? counts[i] : LOTS - row;
            some.x = (const char *)all.x + row * few.c.k * eet_float_bytes(all.x_dtype);
            some.residual =
                all.residual != NULL ? (const float *)all.residual + (int64_t)row * few.c.n : NULL;
            some.y = y + (int64_t)row * few.c.n;
            ON_DEVICE(project, &some);
        }
        device_down(apart, y, bytes);
        ck_assert_mem_eq(apart, together, (size_t)bytes);
    }
    device_free();
}
END_TEST

/* Rows whose keys and values go into pages, in calls of few, of more and of all of them. */
START_TEST(few_rows_in_pages_are_the_same_in_any_number)
{
    static const int32_t counts[] = {LOTS, 7, 12, 16, 17, 23, 33, 40};
    const few_case few = {.c = {.rows = LOTS,
                                .k = _i < 2 ? 1048 : 2088,
                                .dtype = EET_F16 + _i % 2,
                                .page_dtype = EET_F16 + _i % 2,
                                .norm = NORM_AND_BIAS,
                                .bias = true,
                                .to = EET_TO_Q_AND_PAGES,
                                .heads = 31,
                                .head_dim = 26}};
    void *want[2] = {NULL, NULL};

    lab_seed((uint64_t)_i);
    trial t = trial_of(&few.c);
    const eet_project_args all = few_up(&t, &few, few.c.dtype);
    const int64_t bytes[2] = {t.y_count * 4, pages_bytes(&all.pages)};
    const void *blank[2] = {lab_block(bytes[0]), lab_block(bytes[1])};

    for (uint32_t i = 0; i < sizeof counts / sizeof *counts; ++i) {
        float *y = device_up(blank[0], bytes[0]);
        void *pages = device_up(blank[1], bytes[1]);
        void *got[2] = {lab_block(bytes[0]), lab_block(bytes[1])};

        for (int32_t row = 0; row < LOTS; row += counts[i]) {
            eet_project_args some = all;

            some.rows = counts[i] < LOTS - row ? counts[i] : LOTS - row;
            some.x = (const float *)all.x + (int64_t)row * few.c.k;
            some.y = y + t.y_count / LOTS * row;
            some.pages.data = pages;
            some.slot = all.slot + row;
            ON_DEVICE(project, &some);
        }
        device_down(got[0], y, bytes[0]);
        device_down(got[1], pages, bytes[1]);
        for (int32_t which = 0; which < 2; ++which) {
            want[which] = i == 0 ? got[which] : want[which];
            ck_assert_mem_eq(got[which], want[which], (size_t)bytes[which]);
        }
    }
    device_free();
}
END_TEST

/* A stack of small layers, each with what the one before it has written. */
START_TEST(few_rows_do_not_depend_on_early_launches)
{
    enum { K = 768, WIDTH = 3072, LAYERS = 24 };
    const int32_t rows = 1 << _i % 7;
    const int32_t dtype = EET_F16 + _i / 7;
    const few_case up = {
        .c = {.rows = LOTS, .n = WIDTH, .k = K, .dtype = dtype, .norm = NORM, .bias = true},
        .y = true};
    const few_case down = {
        .c = {.rows = LOTS, .n = K, .k = WIDTH, .dtype = dtype, .residual = ALIASED}, .x = true};
    trial t[2] = {trial_of(&up.c), trial_of(&down.c)};
    eet_project_args first = few_up(&t[0], &up, dtype);
    eet_project_args second = few_up(&t[1], &down, dtype);
    float *stream[2] = {lab_block((int64_t)LOTS * K * 4), lab_block((int64_t)LOTS * K * 4)};

    first.rows = second.rows = rows;
    second.x = first.y;
    for (int32_t turn = 0; turn < 2; ++turn) {
        device_in_turn(device_backend(), turn == 1);
        first.x = second.residual = second.y =
            device_up(t[1].args[1].residual, (int64_t)LOTS * K * 4);
        for (int32_t layer = 0; layer < LAYERS; ++layer) {
            ON_DEVICE(project, &first);
            ON_DEVICE(project, &second);
        }
        device_down(stream[turn], second.y, (int64_t)rows * K * 4);
    }
    device_in_turn(device_backend(), false);
    ck_assert_mem_eq(stream[0], stream[1], (size_t)rows * K * 4);
    device_free();
}
END_TEST

START_TEST(few_rows_are_scored_as_the_reference_does)
{
    enum { ROWS = 9, K = 78 };
    const int32_t dtype = EET_F32 + _i % 3;
    const int32_t rows = _i / 3 % 2 == 0 ? 3 : ROWS;
    const int32_t n = _i / 6 == 0 ? 301 : 16389;
    const int64_t count = (int64_t)rows * n;

    lab_seed((uint64_t)_i);
    const eet_score_args want = {
        .x = lab_floats(2 * ROWS * K, LAB_PLAIN),
        .index = lab_ints(ROWS, 2 * ROWS),
        .norm = lab_norm(K, true),
        .w = lab_matrix(n, K, 3, dtype, LAB_PLAIN),
        .bias = lab_floats(n, LAB_PLAIN),
        .rows = rows,
        .logits = lab_block(count * 4),
        .scratch = lab_block(eet_project_scratch(ROWS, K) * 4),
    };
    eet_score_args got = want;
    float *logits = lab_block(count * 4);
    const double rounding = dtype == EET_F32 ? 0.0 : (dtype == EET_F16 ? 0x1p-11 : 0x1p-8);

    got.family = EET_FEW;
    got.x = device_up(want.x, (int64_t)2 * ROWS * K * 4);
    got.index = device_up(want.index, ROWS * 4);
    got.norm = device_norm(want.norm, K);
    got.w = device_matrix(want.w);
    got.bias = device_up(want.bias, n * (int64_t)4);
    got.logits = device_up(logits, count * 4);
    got.scratch = device_up(want.scratch, eet_project_scratch(ROWS, K) * 4);
    ck_assert_int_eq(eet_score_ref(NULL, &want), EET_OK);
    ON_DEVICE(score, &got);
    device_down(logits, got.logits, count * 4);
    for (int32_t i = 0; i < count; ++i) { /* K products of at most 1 and 2 sqrt(3) + 1 */
        expect_near((double)logits[i], (double)want.logits[i], (100 * U + rounding) * K * 4.5,
                    "logit", i);
    }
    device_free();
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = few_rows_agree_with_the_reference, .rows = 3 * FEW_CASES},
        {.test = few_rows_are_the_same_in_any_number, .rows = 3 * ALONE},
        {.test = few_rows_in_pages_are_the_same_in_any_number, .rows = 4},
        {.test = few_rows_do_not_depend_on_early_launches, .rows = 14},
        {.test = few_rows_are_scored_as_the_reference_does, .rows = 12},
    };

    (void)setenv("CK_FORK", "no", 1);
    if (!device_open()) {
        return 77;
    }
    const int code = eet_suite_run("project_few", claims, sizeof claims / sizeof *claims);

    device_close();
    return code;
}
