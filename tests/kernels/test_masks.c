/* test_masks.c - attention under masks, and over keys and values as a caller may have them: on
 * every instruction set against the reference, and that against rules that need no mask. */
#include <math.h>
#include <string.h>

#include "tests/kernels/trial_masks.h"
#include "tests/support/suite.h"

static const eet_cpu_isa *isas;
static int32_t isa_count;

START_TEST(masked_attention_agrees_with_the_reference)
{
    const attention_case *c = &attention_cases[_i / MASKS % ATTENTION_CASES];
    const double largest = c->kind == LAB_WILD ? 1.25 * 0x1p12 : 1.0;
    const double scale = c->kind == LAB_WILD ? 0x1p-24 : 1.0 / sqrt(c->head_dim);
    eet_backend *backend = lab_open(isas[_i / MASKS / ATTENTION_CASES].name, 2);

    if (backend == NULL) {
        return;
    }
    lab_seed((uint64_t)_i);
    eet_attention_args want = attention_args_of(c, scale);

    mask_args(c, _i % MASKS, &want);
    const int64_t count = (int64_t)want.q_start[c->rows] * c->heads * c->head_dim;
    eet_attention_args got = want;

    got.y = lab_floats(count, LAB_PLAIN);
    ck_assert_int_eq(eet_attention_ref(NULL, &want), EET_OK);
    ck_assert_int_eq(backend->ops.attention(backend, &got), EET_OK);
    for (int64_t i = 0; i < count; ++i) {
        const double apart = fabs(lab_f32(got.y, i) - lab_f32(want.y, i));

        ck_assert_msg(apart <= 2e-5 * largest, "y %d: %.9g against %.9g", (int)i, lab_f32(got.y, i),
                      lab_f32(want.y, i));
    }
    lab_close(backend);
    lab_free();
}
END_TEST

/* isa -1: the reference. */
static eet_status run(int32_t isa, const eet_attention_args *a) {
    if (isa < 0) {
        return eet_attention_ref(NULL, a);
    }
    eet_backend *backend = lab_open(isas[isa].name, 1);

    if (backend == NULL) {
        return eet_attention_ref(NULL, a);
    }
    const eet_status status = backend->ops.attention(backend, a);

    lab_close(backend);
    return status;
}

START_TEST(keys_that_a_mask_hides_might_as_well_not_be_there)
{
    small masked;
    small without;

    lab_seed(7);
    make_small(&without);
    lab_seed(7);
    make_small(&masked);
    hide_keys(&without, true);
    hide_keys(&masked, false);
    masked.a.allowed = (eet_mask){.data = masked.keep, .key = 1, .dtype = EET_U8};
    ck_assert_int_eq(run(_i - 1, &masked.a), EET_OK);
    ck_assert_int_eq(run(_i - 1, &without.a), EET_OK);
    for (int32_t i = 0; i < 3 * DIM; ++i) {
        ck_assert_double_eq_tol(lab_f32(masked.a.y, i), lab_f32(without.a.y, i), 1e-6);
    }
    lab_free();
}
END_TEST

START_TEST(a_query_that_sees_no_key_is_zero_and_its_neighbours_are_not)
{
    enum { QUERIES = 3 };
    const uint8_t allowed[QUERIES] = {1, 0, 1};
    const float added[QUERIES] = {-INFINITY, 0, 0};
    const int32_t none = 0;
    small s;

    lab_seed(8);
    make_small(&s);
    s.a.allowed = (eet_mask){.data = allowed, .query = 1, .dtype = EET_U8};
    s.a.added = (eet_mask){.data = added, .query = 1, .dtype = EET_F32};
    ck_assert_int_eq(run(_i - 1, &s.a), EET_OK);
    for (int32_t i = 0; i < QUERIES * DIM; ++i) {
        ck_assert(lab_f32(s.a.y, i) == 0.0 || i >= 2 * DIM);
        ck_assert(lab_f32(s.a.y, i) != 0.0 || i < 2 * DIM);
    }
    s.a.allowed.data = s.a.added.data = NULL;
    s.a.kv_seen = &none;
    ck_assert_int_eq(run(_i - 1, &s.a), EET_OK);
    ck_assert_double_eq(lab_f32(s.a.y, 2 * DIM), 0.0);
    s.a.kv_seen = NULL;
    s.a.causal = true;
    s.length = 1; /* the last of three queries sees it */
    ck_assert_int_eq(run(_i - 1, &s.a), EET_OK);
    ck_assert_double_eq(lab_f32(s.a.y, 2 * DIM - 1), 0.0);
    ck_assert_mem_eq((float *)s.a.y + 2 * DIM, s.v, DIM * sizeof *s.v);
    s.length = 0;
    ck_assert_int_eq(run(_i - 1, &s.a), EET_OK);
    ck_assert_double_eq(lab_f32(s.a.y, 2 * DIM), 0.0);
    lab_free();
}
END_TEST

START_TEST(a_mask_that_hides_nothing_changes_no_bit)
{
    const attention_case *c = &attention_cases[_i % ATTENTION_CASES];
    const uint8_t one = 1;
    const float zero = 0.0F;

    lab_seed((uint64_t)_i);
    eet_attention_args a = attention_args_of(c, 1.0 / sqrt(c->head_dim));
    eet_attention_args masked = a;
    const int64_t count = (int64_t)a.q_start[c->rows] * c->heads * c->head_dim;

    masked.y = lab_floats(count, LAB_PLAIN);
    masked.allowed = (eet_mask){.data = &one, .dtype = EET_U8};
    masked.added = (eet_mask){.data = &zero, .dtype = EET_F32};
    masked.kv_seen = c->keys;
    ck_assert_int_eq(run(_i / ATTENTION_CASES - 1, &a), EET_OK);
    ck_assert_int_eq(run(_i / ATTENTION_CASES - 1, &masked), EET_OK);
    ck_assert_mem_eq(a.y, masked.y, (size_t)count * sizeof(float));
    lab_free();
}
END_TEST

/* Head by head, in another dtype and at offsets that are no multiples of a token. */
START_TEST(keys_of_any_strides_and_dtype_are_those_that_lie_packed)
{
    enum { ROWS = 2, HEADS = 3, TOKENS = 70, LINE = HEADS * DIM };
    const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    const int32_t dtype = dtypes[_i % 3];
    const int32_t start[] = {0, 2, 5};
    const int32_t length[] = {TOKENS, 66};
    const int32_t kv_start[] = {0, TOKENS};
    const int64_t offset[] = {3, 3 + HEADS * (TOKENS * DIM + 1)};
    const int64_t count = offset[1] * 2;
    void *k = lab_array(count, dtype, LAB_PLAIN);
    void *v = lab_array(count, dtype, LAB_PLAIN);
    float *packed[2] = {lab_floats(2 * TOKENS * LINE, LAB_PLAIN),
                        lab_floats(2 * TOKENS * LINE, LAB_PLAIN)};
    eet_attention_args a = {
        .q = lab_floats(5 * LINE, LAB_PLAIN),
        .q_stride = LINE,
        .k = packed[0],
        .v = packed[1],
        .kv_stride = LINE,
        .kv_start = kv_start,
        .rows = ROWS,
        .q_start = start,
        .kv_length = length,
        .heads = HEADS,
        .head_dim = DIM,
        .scale = 0.3F,
        .causal = true,
        .y = lab_floats(5 * LINE, LAB_PLAIN),
    };
    eet_attention_args strided = a;

    for (int32_t i = 0; i < ROWS * TOKENS * LINE; ++i) {
        const int32_t head = i / DIM % HEADS;
        const int64_t at = offset[i / (TOKENS * LINE)] + head * (TOKENS * DIM + 1) +
                           i / LINE % TOKENS * DIM + i % DIM;

        packed[0][i] = eet_float_at(k, dtype, at);
        packed[1][i] = eet_float_at(v, dtype, at);
    }
    strided.k = k;
    strided.v = v;
    strided.kv_dtype = dtype;
    strided.kv_stride = DIM;
    strided.kv_head_stride = TOKENS * DIM + 1;
    strided.kv_offset = offset;
    strided.y = lab_floats(5 * LINE, LAB_PLAIN);
    ck_assert_int_eq(run(_i / 3 - 1, &a), EET_OK);
    ck_assert_int_eq(run(_i / 3 - 1, &strided), EET_OK);
    ck_assert_mem_eq(a.y, strided.y, 5 * LINE * sizeof(float));
    lab_free();
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    const eet_claim claims[] = {
        {.test = masked_attention_agrees_with_the_reference,
         .rows = isa_count * ATTENTION_CASES * MASKS},
        {.test = keys_that_a_mask_hides_might_as_well_not_be_there, .rows = isa_count + 1},
        {.test = a_query_that_sees_no_key_is_zero_and_its_neighbours_are_not,
         .rows = isa_count + 1},
        {.test = a_mask_that_hides_nothing_changes_no_bit,
         .rows = (isa_count + 1) * ATTENTION_CASES},
        {.test = keys_of_any_strides_and_dtype_are_those_that_lie_packed,
         .rows = (isa_count + 1) * 3},
    };
    const size_t count = sizeof claims / sizeof claims[0];

    if (isa_count == 0) { /* no op is written for this architecture: the reference alone */
        return eet_suite_run("masks", claims + 1, count - 1);
    }
    return eet_suite_run("masks", claims, count);
}
