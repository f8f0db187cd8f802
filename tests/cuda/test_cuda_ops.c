/* test_cuda_ops.c - every op on a CUDA device against the reference, and that a row's bits do not
 * depend on its neighbours. Without a device it is skipped; CUDA does not survive a fork, so that
 * all claims run in one process. */
#include <stdlib.h>

#include "tests/cuda/attention_device.h"
#include "tests/cuda/trial_device.h"
#include "tests/kernels/trial_embed.h"

/* An x of project in f32 is rounded to weights of 16 bits: by 2^-11 and 2^-8, in units of U. */
static double roundings_of(int32_t dtype) {
    if (dtype == EET_F32) {
        return 0.0;
    }
    return dtype == EET_F16 ? 0x1p13 : 0x1p16;
}

START_TEST(project_agrees_with_the_reference)
{
    const project_case *c = &project_cases[_i];

    lab_seed((uint64_t)_i);
    trial t = trial_of(c);
    const eet_project_args got = project_up(&t, c);

    t.steps = (c->k < 32 ? c->k : 32) + c->k / 32.0 + 4; /* parts of 32, one after another */
    t.steps += c->k / 4.0 * (c->dtype != EET_F32) + roundings_of(c->dtype);
    expect_project(&t, c, &got);
    device_free();
}
END_TEST

START_TEST(a_row_of_project_is_the_same_alone)
{
    enum { ROWS = 70, N = 131, K = 1030 };
    const project_case c = {
        .rows = ROWS, .n = N, .k = K, .dtype = EET_F32 + _i, .norm = NORM, .residual = NORMED};
    const trial t = trial_of(&c);
    eet_project_args a = project_up(&t, &c);
    float *together = lab_block(ROWS * N * 4);
    float *alone = lab_block(ROWS * N * 4);

    ON_DEVICE(project, &a);
    device_down(together, a.y, ROWS * N * 4);
    a.rows = 1;
    for (int32_t row = 0; row < ROWS; ++row) {
        ON_DEVICE(project, &a);
        device_down(alone + row * N, a.y, N * 4);
        a.x = (const float *)a.x + K;
        a.residual = (const float *)a.residual + N;
    }
    ck_assert_mem_eq(alone, together, ROWS * N * 4);
    device_free();
}
END_TEST

START_TEST(attention_agrees_with_the_reference)
{
    const attention_case *c = &attention_cases[_i];
    const double largest = c->kind == LAB_WILD ? 1.25 * 0x1p12 : 1.0;
    const double scale = c->kind == LAB_WILD ? 0x1p-24 : 1.0 / sqrt(c->head_dim);

    lab_seed((uint64_t)_i);
    const eet_attention_args want = attention_args_of(c, scale);
    const int64_t count = (int64_t)want.q_start[c->rows] * c->heads * c->head_dim;
    const eet_attention_args got = attention_up(c, &want);
    float *y = lab_block(count * 4);

    ck_assert_int_eq(eet_attention_ref(NULL, &want), EET_OK);
    ON_DEVICE(attention, &got);
    device_down(y, got.y, count * 4);
    for (int64_t i = 0; i < count; ++i) {
        expect_near((double)y[i], lab_f32(want.y, i), attention_bound(c, largest, scale), "y",
                    (int32_t)i);
    }
    device_free();
}
END_TEST

START_TEST(a_row_of_attention_is_the_same_alone)
{
    const attention_case *c = &attention_cases[_i];

    lab_seed((uint64_t)_i);
    const eet_attention_args host = attention_args_of(c, 0.125);
    const int64_t count = (int64_t)host.q_start[c->rows] * c->heads * c->head_dim;
    const eet_attention_args all = attention_up(c, &host);
    float *together = lab_block(count * 4);
    float *alone = lab_block(count * 4);

    ON_DEVICE(attention, &all);
    device_down(together, all.y, count * 4);
    eet_attention_args one = all;

    one.rows = 1;
    one.y = device_up(alone, count * 4);
    for (int32_t r = 0; r < c->rows; ++r) {
        ON_DEVICE(attention, &one);
        one.q_start += 1;
        one.kv_start += 1;
        one.kv_length += 1;
        one.page_table = one.page_table != NULL ? one.page_table + one.table_stride : NULL;
    }
    device_down(alone, one.y, count * 4);
    ck_assert_mem_eq(alone, together, (size_t)count * 4);
    device_free();
}
END_TEST

START_TEST(norm_agrees_with_the_reference)
{
    const rows_case *c = &rows_cases[_i];
    const int64_t count = (int64_t)c->rows * c->cols;

    lab_seed((uint64_t)_i);
    const eet_norm_args want = {
        .x = lab_floats(count, c->kind),
        .index = c->indexed ? lab_ints(c->rows, c->rows) : NULL,
        .norm = c->norm != NO_NORM ? lab_norm(c->cols, c->norm == NORM_AND_BIAS)
                                   : (eet_norm_weights){0},
        .rows = c->rows,
        .cols = c->cols,
        .y = lab_block(count * 4),
    };
    eet_norm_args got = want;
    float *y = lab_block(count * 4);

    got.x = device_up(want.x, count * 4);
    got.index = device_up(want.index, c->rows * (int64_t)4);
    got.norm = device_norm(want.norm, c->cols);
    got.y = device_up(y, count * 4);
    ck_assert_int_eq(eet_norm_ref(NULL, &want), EET_OK);
    ON_DEVICE(norm, &got);
    device_down(y, got.y, count * 4);
    for (int32_t i = 0; i < count; ++i) { /* a weight is at most 2, a bias at most 1 */
        const double size = c->norm != NO_NORM ? fabs(lab_f32(want.y, i)) + 3 : 0.0;

        expect_near((double)y[i], lab_f32(want.y, i), 16 * U * size, "y", i);
    }
    device_free();
}
END_TEST

START_TEST(embed_agrees_with_the_reference)
{
    lab_seed((uint64_t)_i);
    const eet_embed_args want = embed_args_of(_i);
    eet_embed_args got = want;
    float *x = lab_block(EMBED_TOKENS * EMBED_HIDDEN * 4);

    got.token =
        device_up(want.token, (int64_t)EMBED_TABLE * want.dim * eet_float_bytes(want.token_dtype));
    got.position = device_up(want.position, EMBED_TABLE * EMBED_HIDDEN * 4);
    got.type = device_up(want.type, 2 * EMBED_HIDDEN * 2);
    got.ids = device_up(want.ids, EMBED_TOKENS * 4);
    got.positions = device_up(want.positions, EMBED_TOKENS * 4);
    got.types = device_up(want.types, EMBED_TOKENS * 4);
    got.proj_in = device_matrix(want.proj_in);
    got.proj_in_bias = device_up(want.proj_in_bias, EMBED_HIDDEN * 4);
    got.x = device_up(x, EMBED_TOKENS * EMBED_HIDDEN * 4);
    got.scratch = device_up(want.scratch, EMBED_TOKENS * EMBED_DIM * 4);
    ck_assert_int_eq(eet_embed_ref(NULL, &want), EET_OK);
    ON_DEVICE(embed, &got);
    device_down(x, got.x, EMBED_TOKENS * EMBED_HIDDEN * 4);
    for (int32_t i = 0; i < EMBED_TOKENS * EMBED_HIDDEN; ++i) { /* terms: at most 3.7 each, and 3 */
        const double size = 3.7 * (want.proj_in.data != NULL ? EMBED_DIM : 1) + 3;

        expect_near((double)x[i], lab_f32(want.x, i), 20 * U * size, "x", i);
    }
    device_free();
}
END_TEST

START_TEST(score_agrees_with_the_reference)
{
    enum { ROWS = 9, K = 77, N = 301 };
    lab_seed((uint64_t)_i);
    const eet_score_args want = {
        .x = lab_floats(2 * ROWS * K, LAB_PLAIN),
        .index = _i % 2 == 0 ? lab_ints(ROWS, 2 * ROWS) : NULL,
        .norm = lab_norm(K, true),
        .w = lab_matrix(N, K, 3, EET_F32 + _i / 2, LAB_PLAIN),
        .bias = lab_floats(N, LAB_PLAIN),
        .rows = ROWS,
        .logits = lab_block(ROWS * N * 4),
        .scratch = lab_block(eet_project_scratch(ROWS, K) * 4),
    };
    eet_score_args got = want;
    float *logits = lab_block(ROWS * N * 4);

    got.x = device_up(want.x, (int64_t)2 * ROWS * K * 4);
    got.index = device_up(want.index, ROWS * 4);
    got.norm = device_norm(want.norm, K);
    got.w = device_matrix(want.w);
    got.bias = device_up(want.bias, N * 4);
    got.logits = device_up(logits, ROWS * N * 4);
    got.scratch = device_up(want.scratch, eet_project_scratch(ROWS, K) * 4);
    ck_assert_int_eq(eet_score_ref(NULL, &want), EET_OK);
    ON_DEVICE(score, &got);
    device_down(logits, got.logits, ROWS * N * 4);
    for (int32_t i = 0; i < ROWS * N; ++i) { /* K products of at most 1 and 2 sqrt(3) + 1 */
        const double roundings = 60 + roundings_of(want.w.dtype);

        expect_near((double)logits[i], (double)want.logits[i], roundings * U * K * 4.5, "logit", i);
    }
    device_free();
}
END_TEST

START_TEST(pool_agrees_with_the_reference)
{
    enum { ROWS = 4, COLS = 300, ALL = 90 };
    static const int32_t start[] = {0, 1, 1, 60, ALL};
    const bool in_place = (_i & 2) != 0;
    const eet_pool_args want = {
        .x = lab_floats(ALL * COLS, LAB_PLAIN),
        .start = in_place ? NULL : start,
        .rows = ROWS,
        .cols = COLS,
        .normalize = (_i & 1) != 0,
        .y = lab_block(ROWS * COLS * 4),
    };
    eet_pool_args got = want;
    float *x = device_up(want.x, ALL * COLS * 4);
    float *y = lab_block(ROWS * COLS * 4);

    got.x = x;
    got.start = device_up(want.start, sizeof start);
    got.y = in_place ? x : device_up(y, ROWS * COLS * 4);
    ck_assert_int_eq(eet_pool_ref(NULL, &want), EET_OK);
    ON_DEVICE(pool, &got);
    device_down(y, got.y, ROWS * COLS * 4);
    for (int32_t i = 0; i < ROWS * COLS; ++i) {
        expect_near((double)y[i], lab_f32(want.y, i), 4 * U, "y", i);
    }
    device_free();
}
END_TEST

START_TEST(page_copy_moves_what_the_reference_moves)
{
    static const eet_page_move moves[] = {{4, 0, 64}, {2, 7, 1}, {2, 8, 37}, {5, 1, 63}};
    static const int32_t head_dims[] = {8, 13, 64};
    lab_seed((uint64_t)_i);
    const eet_pages pages = lab_pages(9, 3, 2, head_dims[_i / 3], EET_F32 + _i % 3);
    const eet_page_copy_args want = {.pages = pages, .moves = moves, .count = 4};
    const eet_page_copy_args got = {
        .pages = device_pages(pages), .moves = device_up(moves, sizeof moves), .count = 4};
    void *data = lab_block(pages_bytes(&pages));

    ck_assert_int_eq(eet_page_copy_ref(NULL, &want), EET_OK);
    ON_DEVICE(page_copy, &got);
    device_down(data, got.pages.data, pages_bytes(&pages));
    ck_assert_mem_eq(data, pages.data, (size_t)pages_bytes(&pages));
    device_free();
}
END_TEST

/* Bits, but for the payload of a NaN, which is not among these numbers. */
START_TEST(convert_rounds_as_the_reference)
{
    enum { COUNT = 70001 };
    static const int32_t from[] = {EET_F32, EET_F16, EET_BF16, EET_F64};
    const eet_convert_args want = {
        .x = lab_array(COUNT, from[_i / 3], LAB_WILD),
        .y = lab_block(COUNT * 4),
        .count = COUNT,
        .from = from[_i / 3],
        .to = EET_F32 + _i % 3,
    };
    const int64_t bytes = (int64_t)COUNT * eet_float_bytes(want.to);
    eet_convert_args got = want;
    void *y = lab_block(bytes);

    got.x = device_up(want.x, (int64_t)COUNT * eet_float_bytes(want.from));
    got.y = device_up(y, bytes);
    ck_assert_int_eq(eet_convert_ref(NULL, &want), EET_OK);
    ON_DEVICE(convert, &got);
    device_down(y, got.y, bytes);
    ck_assert_mem_eq(y, want.y, (size_t)bytes);
    device_free();
}
END_TEST

static eet_claim *put_claims(eet_claim *to, const eet_claim *claims, size_t count) {
    memcpy(to, claims, count * sizeof *claims);
    return to + count;
}

int main(void) {
    const eet_claim ops[] = {
        {.test = project_agrees_with_the_reference, .rows = PROJECT_CASES},
        {.test = a_row_of_project_is_the_same_alone, .rows = 3},
        {.test = attention_agrees_with_the_reference, .rows = ATTENTION_CASES},
        {.test = a_row_of_attention_is_the_same_alone, .rows = ATTENTION_CASES},
        {.test = norm_agrees_with_the_reference, .rows = ROWS_CASES},
        {.test = embed_agrees_with_the_reference, .rows = 24},
        {.test = score_agrees_with_the_reference, .rows = 6},
        {.test = pool_agrees_with_the_reference, .rows = 4},
        {.test = page_copy_moves_what_the_reference_moves, .rows = 9},
        {.test = convert_rounds_as_the_reference, .rows = 12},
    };
    enum { OPS = sizeof ops / sizeof *ops };
    eet_claim claims[OPS + CHOICE_CLAIMS + ATTENTION_CLAIMS + LATER_KEY_CLAIMS + MASK_CLAIMS +
                     STEP_CLAIMS];
    eet_claim *to = claims;

    (void)setenv("CK_FORK", "no", 1);
    if (!device_open()) {
        return 77;
    }
    to = put_claims(to, ops, OPS);
    to = put_claims(to, choice_claims(), CHOICE_CLAIMS);
    to = put_claims(to, attention_claims(), ATTENTION_CLAIMS);
    to = put_claims(to, later_key_claims(), LATER_KEY_CLAIMS);
    to = put_claims(to, mask_claims(), MASK_CLAIMS);
    to = put_claims(to, step_claims(), STEP_CLAIMS);
    const int code = eet_suite_run("cuda_ops", claims, (size_t)(to - claims));

    device_close();
    return code;
}
