/* test_ops.c - norm, embed, sample, pool and convert on every instruction set against the
 * reference. */
#include <math.h>
#include <string.h>

#include "format/half.h"
#include "tests/kernels/cases.h"
#include "tests/kernels/trial_embed.h"
#include "tests/support/suite.h"

#define U 0x1p-24

static const eet_cpu_isa *isas;
static int32_t isa_count;

static void expect_near(double got, double want, double bound, int32_t at) {
    ck_assert_msg(fabs(got - want) <= bound, "%d: %.9g, the reference has %.9g, the bound is %.3g",
                  at, got, want, bound);
}

START_TEST(norm_agrees_with_the_reference)
{
    const rows_case *c = &rows_cases[_i % ROWS_CASES];
    const int32_t count = c->rows * c->cols;
    eet_backend *backend = lab_open(isas[_i / ROWS_CASES].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const eet_norm_args want = {
        .x = lab_floats(count, c->kind),
        .index = c->indexed ? lab_ints(c->rows, c->rows) : NULL,
        .norm = c->norm != NO_NORM ? lab_norm(c->cols, c->norm == NORM_AND_BIAS)
                                   : (eet_norm_weights){0},
        .rows = c->rows,
        .cols = c->cols,
        .y = lab_block((int64_t)count * 4),
    };
    eet_norm_args got = want;

    got.y = lab_block((int64_t)count * 4);
    ck_assert_int_eq(eet_norm_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.norm(backend, &got), EET_OK);
    for (int32_t i = 0; i < count; ++i) { /* a weight is at most 2, a bias at most 1 */
        const double size = c->norm != NO_NORM ? fabs(lab_f32(want.y, i)) + 3 : 0.0;

        expect_near(lab_f32(got.y, i), lab_f32(want.y, i), 16 * U * size, i);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(norm_works_in_place)
{
    eet_backend *backend = lab_open(isas[_i].name, 2);

    if (backend == NULL) {
        return;
    }
    eet_norm_args a = {
        .x = lab_floats(30 * 70, LAB_PLAIN),
        .norm = lab_norm(70, true),
        .rows = 30,
        .cols = 70,
        .y = lab_block(30 * 70 * 4),
    };
    eet_norm_args in_place = a;

    in_place.x = in_place.y = memcpy(lab_block(30 * 70 * 4), a.x, 30 * 70 * 4);
    ck_assert_int_eq(backend->ops.norm(backend, &a), EET_OK);
    ck_assert_int_eq(backend->ops.norm(backend, &in_place), EET_OK);
    ck_assert_mem_eq(in_place.y, a.y, 30 * 70 * 4);
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(embed_agrees_with_the_reference)
{
    eet_backend *backend = lab_open(isas[_i / 24].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const eet_embed_args want = embed_args_of(_i);
    eet_embed_args got = want;

    got.x = lab_block(EMBED_TOKENS * EMBED_HIDDEN * 4);
    ck_assert_int_eq(eet_embed_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.embed(backend, &got), EET_OK);
    for (int32_t i = 0; i < EMBED_TOKENS * EMBED_HIDDEN; ++i) { /* terms: at most 3.7 each, and 3 */
        const double size = 3.7 * (want.proj_in.data != NULL ? EMBED_DIM : 1) + 3;

        expect_near(lab_f32(got.x, i), lab_f32(want.x, i), 20 * U * size, i);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

typedef struct sample_case {
    int32_t vocab;
    float value[6]; /* the first logits; the others are -1 .. 1 */
    int32_t given, token;
} sample_case;

static const sample_case sample_cases[] = {
    {.vocab = 1, .token = 0},
    {.vocab = 50257, .value = {0.0F, 3.0F, 2.0F, 3.0F}, .given = 4, .token = 1}, /* the lowest id */
    {.vocab = 37, .value = {NAN, 2.0F, NAN, 5.0F}, .given = 4, .token = 3},
    {.vocab = 3, .value = {NAN, NAN, NAN}, .given = 3, .token = 0},
    {.vocab = 3, .value = {NAN, -INFINITY, NAN}, .given = 3, .token = 1},
    {.vocab = 5,
     .value = {-INFINITY, -INFINITY, -3e38F, -INFINITY, -INFINITY},
     .given = 5,
     .token = 2},
    {.vocab = 4, .value = {-0.0F, 0.0F, -0.0F, 0.0F}, .given = 4, .token = 0},
    {.vocab = 6, .value = {1e4F, -1e4F, 1e4F, 88.0F, 0.0F, 9999.0F}, .given = 6, .token = 0},
    {.vocab = 18, .value = {-1.0F, 9.0F}, .given = 2, .token = 1},
};
enum { SAMPLE_CASES = sizeof sample_cases / sizeof sample_cases[0] };

START_TEST(sample_takes_the_largest_and_says_how_likely_it_was)
{
    const sample_case *c = &sample_cases[_i % SAMPLE_CASES];
    eet_backend *backend = lab_open(isas[_i / SAMPLE_CASES].name, 2);

    if (backend == NULL) {
        return;
    }
    enum { ROWS = 10 };
    const int64_t stride = c->vocab + 3;
    float *logits = lab_floats(ROWS * stride, LAB_PLAIN);
    int32_t token[2][ROWS];
    float log_prob[2][ROWS];
    eet_sample_args a = {
        .logits = logits,
        .stride = stride,
        .rows = ROWS,
        .vocab = c->vocab,
        .token = token[0],
        .log_prob = log_prob[0],
    };

    for (int32_t r = 0; r < ROWS; ++r) {
        memcpy(logits + r * stride, c->value, (size_t)c->given * 4);
        logits[r * stride + c->vocab] = 100.0F; /* beyond the vocabulary */
    }
    ck_assert_int_eq(eet_sample_ref(NULL, &a), EET_OK);
    a.token = token[1];
    a.log_prob = log_prob[1];
    ck_assert_int_eq(backend->ops.sample(backend, &a), EET_OK);
    for (int32_t r = 0; r < ROWS; ++r) {
        ck_assert_int_eq(token[0][r], c->token);
        ck_assert_int_eq(token[1][r], c->token);
        ck_assert(isnan(log_prob[0][r]) ? isnan(log_prob[1][r])
                                        : fabs((double)log_prob[1][r] - (double)log_prob[0][r]) <=
                                              64 * U + 4 * U * fabs((double)log_prob[0][r]));
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(pool_agrees_with_the_reference)
{
    static const int32_t start[] = {0, 3, 3, 4, 200};
    const bool normalize = (_i & 1) != 0;
    const bool ragged = (_i & 2) != 0;
    eet_backend *backend = lab_open(isas[_i / 4].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const eet_pool_args want = {
        .x = lab_floats(200 * 45, LAB_PLAIN),
        .start = ragged ? start : NULL,
        .rows = 4,
        .cols = 45,
        .normalize = normalize,
        .y = lab_block(4 * 45 * 4),
    };
    eet_pool_args got = want;

    got.y = lab_block(4 * 45 * 4);
    ck_assert_int_eq(eet_pool_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.pool(backend, &got), EET_OK);
    for (int32_t i = 0; i < 4 * 45; ++i) { /* 68 roundings of a mean of at most 1 */
        expect_near(lab_f32(got.y, i), lab_f32(want.y, i), 80 * U * (normalize ? 4 : 1), i);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

/* Bits of every kind, NaNs and subnormals too, come out as the reference has them. */
START_TEST(convert_gives_the_references_bits)
{
    enum { COUNT = 140003 };
    const int32_t from = EET_F32 + _i / 3 % 4;
    const int32_t to = EET_F32 + _i % 3;
    eet_backend *backend = lab_open(isas[_i / 12].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    const int32_t from_bytes = eet_float_bytes(from);
    uint32_t *bits = (uint32_t *)lab_ints(COUNT * (from_bytes == 8 ? 2 : 1), INT32_MAX);
    char *x = lab_block((int64_t)COUNT * from_bytes);

    for (int32_t i = 0; i < COUNT; ++i) {
        if (from == EET_F64 && i % 2 == 0) { /* of a size that the target has */
            ((double *)x)[i] = (double)((int32_t)bits[i] - 0x40000000) * 0x1p-20;
            continue;
        }
        bits[i] ^= (uint32_t)i << 31;
        memcpy(x + (int64_t)i * from_bytes, bits + (from_bytes == 8 ? 2 * i : i),
               (size_t)from_bytes);
    }
    eet_convert_args a = {.x = x, .count = COUNT, .from = from, .to = to};
    const int64_t bytes = (int64_t)COUNT * eet_float_bytes(to);
    void *want = a.y = lab_block(bytes);

    ck_assert_int_eq(eet_convert_ref(NULL, &a), EET_OK);
    a.y = lab_block(bytes);
    ck_assert_int_eq(backend->ops.convert(backend, &a), EET_OK);
    ck_assert_int_eq(memcmp(a.y, want, (size_t)bytes), 0);
    lab_close(backend);
    lab_free();
}
END_TEST

enum { AXIS_0 = 37, AXIS_1 = 5, AXIS_2 = 401 };

/* Where element i of the walk below is in x and in y: x transposed and spread, y by a list, or
 * with gaps. */
static int64_t x_place(int64_t i) {
    return i / AXIS_2 / AXIS_1 + i / AXIS_2 % AXIS_1 * AXIS_0 + i % AXIS_2 * AXIS_0 * AXIS_1;
}

static int64_t y_place(const int64_t *list, int64_t i) {
    const int64_t item = i / AXIS_2 / AXIS_1;

    return (list != NULL ? list[item] : item * 2100) + i / AXIS_2 % AXIS_1 * 411 + i % AXIS_2;
}

START_TEST(convert_goes_along_axes_and_lists)
{
    enum { COUNT = AXIS_0 * AXIS_1 * AXIS_2, ROOM = 2100 * AXIS_0 };
    static const int32_t kinds[][2] = {
        {EET_F32, EET_BF16}, {EET_F16, EET_F32}, {EET_I64, EET_I32}, {EET_I32, EET_I32}};
    const int32_t *kind = kinds[_i % 4];
    eet_backend *backend = lab_open(isas[_i / 8].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    int64_t *list = lab_block(AXIS_0 * 8);
    void *x = lab_ints(2 * COUNT, INT32_MAX);
    char *got = lab_block(ROOM * 4);
    char *want = lab_block(ROOM * 4);

    for (int32_t i = 0; i < AXIS_0; ++i) {
        list[i] = (i * 7 + 3) % AXIS_0 * 2100;
    }
    list = _i / 4 % 2 == 0 ? list : NULL;
    const eet_convert_args a = {
        .x = x,
        .y = got,
        .count = COUNT,
        .from = kind[0],
        .to = kind[1],
        .rank = 3,
        .shape = {AXIS_0, AXIS_1, AXIS_2},
        .x_stride = {1, AXIS_0, AXIS_0 * AXIS_1},
        .y_stride = {2100, 411, 1},
        .y_at = list,
    };

    for (int64_t i = 0; i < COUNT; ++i) {
        eet_number_convert(want, kind[1], y_place(list, i), x, kind[0], x_place(i));
    }
    ck_assert_int_eq(backend->ops.convert(backend, &a), EET_OK);
    ck_assert_mem_eq(got, want, (size_t)ROOM * 4);
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(whole_numbers_become_the_nearest_of_32_bits)
{
    const int64_t x[] = {INT64_MIN, INT32_MIN, -1, 0, 7, INT32_MAX, INT64_C(1) << 40, INT64_MAX};
    const int32_t want[] = {INT32_MIN, INT32_MIN, -1, 0, 7, INT32_MAX, INT32_MAX, INT32_MAX};
    int32_t got[8];
    eet_convert_args a = {.x = x, .y = got, .count = 8, .from = EET_I64, .to = EET_I32};

    ck_assert_int_eq(eet_convert_ref(NULL, &a), EET_OK);
    ck_assert_mem_eq(got, want, sizeof want);
    a.from = EET_F32;
    ck_assert_int_eq(eet_convert_ref(NULL, &a), EET_E_UNSUPPORTED);
}
END_TEST

START_TEST(an_unknown_instruction_set_is_refused)
{
    eet_backend *backend = NULL;

    ck_assert_int_eq(eet_cpu_open_isa("sse9", 1, &backend), EET_E_ARGUMENT);
    ck_assert_ptr_null(backend);
    ck_assert_int_eq(eet_cpu_open_isa("ref", 1, &backend), EET_OK);
    ck_assert_str_eq(eet_backend_cpu_isa(backend), "ref");
    ck_assert(backend->ops.project == eet_project_ref);
    lab_close(backend);
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    if (isa_count == 0) {
        return 77; /* skipped: no op is written for this architecture */
    }
    const eet_claim claims[] = {
        {.test = norm_agrees_with_the_reference, .rows = isa_count * ROWS_CASES},
        {.test = norm_works_in_place, .rows = isa_count},
        {.test = embed_agrees_with_the_reference, .rows = isa_count * 24},
        {.test = sample_takes_the_largest_and_says_how_likely_it_was,
         .rows = isa_count * SAMPLE_CASES},
        {.test = pool_agrees_with_the_reference, .rows = isa_count * 4},
        {.test = convert_gives_the_references_bits, .rows = isa_count * 12},
        {.test = convert_goes_along_axes_and_lists, .rows = isa_count * 8},
        {.test = whole_numbers_become_the_nearest_of_32_bits},
        {.test = an_unknown_instruction_set_is_refused},
    };

    return eet_suite_run("ops", claims, sizeof claims / sizeof claims[0]);
}
