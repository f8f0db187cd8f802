/* masks.c - attention on the device under masks, and over keys and values as a caller may have
 * them: against the reference, a row alone against the row among others, and what nothing sees. */
#include "tests/cuda/attention_device.h"

/* `count` numbers of a mask. */
static eet_mask mask_up(eet_mask m, int64_t count) {
    m.data = device_up(m.data, m.dtype == EET_U8 ? count : count * eet_float_bytes(m.dtype));
    return m;
}

/* A case and its masks; y is NaN before. */
static eet_attention_args masked_up(const attention_case *c, const eet_attention_args *host) {
    eet_attention_args a = attention_up(c, host);

    a.allowed = mask_up(a.allowed, c->rows * a.allowed.row);
    a.added = mask_up(a.added, c->rows * a.added.row);
    a.kv_seen = device_up(a.kv_seen, c->rows * (int64_t)4);
    return a;
}

START_TEST(masked_attention_agrees_with_the_reference)
{
    const attention_case *c = &attention_cases[_i / MASKS];
    const double largest = c->kind == LAB_WILD ? 1.25 * 0x1p12 : 1.0;
    const double scale = c->kind == LAB_WILD ? 0x1p-24 : 1.0 / sqrt(c->head_dim);

    lab_seed((uint64_t)_i);
    eet_attention_args want = attention_args_of(c, scale);

    mask_args(c, _i % MASKS, &want);
    const int64_t count = (int64_t)want.q_start[c->rows] * c->heads * c->head_dim;
    const eet_attention_args got = masked_up(c, &want);
    float *y = lab_block(count * 4);

    ck_assert_int_eq(eet_attention_ref(NULL, &want), EET_OK);
    ON_DEVICE(attention, &got);
    device_down(y, got.y, count * 4);
    for (int64_t i = 0; i < count; ++i) {
        const double apart = fabs(lab_f32(y, i) - lab_f32(want.y, i));

        ck_assert_msg(apart <= 2 * attention_bound(c, largest, scale), "y %d: %.9g against %.9g",
                      (int)i, lab_f32(y, i), lab_f32(want.y, i));
    }
    device_free();
}
END_TEST

/* The arguments of the next row alone. */
static void go_on(eet_attention_args *one) {
    one->q_start += 1;
    one->kv_start += 1;
    one->kv_length += 1;
    one->page_table = one->page_table != NULL ? one->page_table + one->table_stride : NULL;
    one->kv_seen = one->kv_seen != NULL ? one->kv_seen + 1 : NULL;
    if (one->allowed.data != NULL) {
        one->allowed.data = (const uint8_t *)one->allowed.data + one->allowed.row;
    }
    if (one->added.data != NULL) {
        one->added.data =
            (const char *)one->added.data + one->added.row * eet_float_bytes(one->added.dtype);
    }
}

START_TEST(a_row_of_masked_attention_is_the_same_alone)
{
    const attention_case *c = &attention_cases[_i / MASKS];

    lab_seed((uint64_t)_i);
    eet_attention_args host = attention_args_of(c, 0.125);

    mask_args(c, _i % MASKS, &host);
    const int64_t count = (int64_t)host.q_start[c->rows] * c->heads * c->head_dim;
    const eet_attention_args all = masked_up(c, &host);
    float *together = lab_block(count * 4);
    float *alone = lab_block(count * 4);

    ON_DEVICE(attention, &all);
    device_down(together, all.y, count * 4);
    eet_attention_args one = all;

    one.rows = 1;
    one.y = device_up(alone, count * 4);
    for (int32_t r = 0; r < c->rows; ++r) {
        ON_DEVICE(attention, &one);
        go_on(&one);
    }
    device_down(alone, one.y, count * 4);
    ck_assert_mem_eq(alone, together, (size_t)count * 4);
    device_free();
}
END_TEST

/* The small case's y, of the device. */
static const float *y_of(const small *s) {
    const int64_t keys = (int64_t)FEW * DIM * 4;
    eet_attention_args a = s->a;
    float *y = lab_block((int64_t)3 * DIM * 4);

    a.tokens = a.longest_q = 3;
    a.longest_kv = FEW;
    a.q = device_up(a.q, (int64_t)3 * DIM * 4);
    a.k = device_up(a.k, keys);
    a.v = device_up(a.v, keys);
    a.kv_start = device_up(a.kv_start, 4);
    a.q_start = device_up(a.q_start, 8);
    a.kv_length = device_up(a.kv_length, 4);
    a.kv_seen = device_up(a.kv_seen, 4);
    a.allowed.data = device_up(a.allowed.data, a.allowed.key != 0 ? FEW : 3);
    a.added.data = device_up(a.added.data, (int64_t)3 * 4);
    a.y = device_up(y, (int64_t)3 * DIM * 4);
    ON_DEVICE(attention, &a);
    device_down(y, a.y, (int64_t)3 * DIM * 4);
    return y;
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
    const float *got = y_of(&masked);
    const float *want = y_of(&without);

    for (int32_t i = 0; i < 3 * DIM; ++i) {
        ck_assert_double_eq_tol(lab_f32(got, i), lab_f32(want, i), 1e-6);
    }
    device_free();
}
END_TEST

START_TEST(a_query_that_sees_no_key_is_zero_and_its_neighbours_are_not)
{
    enum { QUERIES = 3 };
    const uint8_t allowed[QUERIES] = {1, 0, 1};
    const float added[QUERIES] = {-INFINITY, 0, 0};
    const float zeros[QUERIES] = {0, 0, 0};
    const int32_t none = 0;
    small s;

    lab_seed(8);
    make_small(&s);
    s.a.allowed = (eet_mask){.data = allowed, .query = 1, .dtype = EET_U8};
    s.a.added = (eet_mask){.data = added, .query = 1, .dtype = EET_F32};
    const float *y = y_of(&s);

    for (int32_t i = 0; i < QUERIES * DIM; ++i) {
        ck_assert(lab_f32(y, i) == 0.0 || i >= 2 * DIM);
        ck_assert(lab_f32(y, i) != 0.0 || i < 2 * DIM);
    }
    s.a.allowed.data = s.a.added.data = NULL;
    s.a.kv_seen = &none;
    ck_assert_double_eq(lab_f32(y_of(&s), 2 * DIM), 0.0);
    s.a.kv_seen = NULL;
    s.a.causal = true;
    s.length = 1; /* the last of three queries sees it */
    s.a.added = (eet_mask){.data = zeros, .dtype = EET_F32};
    y = y_of(&s);
    ck_assert_double_eq(lab_f32(y, 2 * DIM - 1), 0.0);
    ck_assert_mem_eq(y + 2 * DIM, s.v, DIM * sizeof *s.v);
    device_free();
}
END_TEST

enum { ROWS = 2, HEADS = 3, TOKENS = 70, QUERIES = 5, LAYOUTS = 24 };

/* Keys and values head by head and in a dtype of their own; offset: rows begin at what is no
 * multiple of a token, else heads of 16 bytes' multiples, as fast kernels take them. */
static eet_attention_args laid_out(int32_t dtype, int32_t head_dim, bool offset) {
    static const int32_t start[] = {0, 2, QUERIES};
    static const int32_t length[] = {TOKENS, 66};
    static const int32_t kv_start[] = {0, HEADS * TOKENS};
    static int64_t kv_offset[ROWS];
    const int64_t head = (int64_t)TOKENS * head_dim + offset;
    const int64_t count = 3 + ROWS * HEADS * head;
    const int32_t line = HEADS * head_dim;

    kv_offset[0] = 3;
    kv_offset[1] = 3 + HEADS * head;
    return (eet_attention_args){
        .q = lab_floats((int64_t)QUERIES * line, LAB_PLAIN),
        .q_stride = line,
        .k = lab_array(count, dtype, LAB_PLAIN),
        .v = lab_array(count, dtype, LAB_PLAIN),
        .kv_stride = head_dim,
        .kv_start = kv_start,
        .rows = ROWS,
        .q_start = start,
        .kv_length = length,
        .heads = HEADS,
        .head_dim = head_dim,
        .scale = 0.3F,
        .causal = true,
        .tokens = QUERIES,
        .longest_q = 3,
        .longest_kv = TOKENS,
        .y = lab_block((int64_t)QUERIES * line * 4),
        .kv_dtype = dtype,
        .kv_head_stride = head,
        .kv_offset = offset ? kv_offset : NULL,
    };
}

START_TEST(keys_of_any_layout_and_dtype_agree_with_the_reference)
{
    const bool offset = _i / 12 != 0;
    const int32_t dtype = EET_F32 + _i % 3;
    const int32_t head_dim = offset ? DIM : 64;
    const int64_t y_bytes = (int64_t)QUERIES * HEADS * head_dim * 4;
    const int64_t kv_bytes =
        (3 + ROWS * HEADS * ((int64_t)TOKENS * head_dim + offset)) * eet_float_bytes(dtype);
    uint8_t allowed[TOKENS];

    for (int32_t i = 0; i < TOKENS; ++i) {
        allowed[i] = i % 7 != 3;
    }
    lab_seed((uint64_t)_i);
    eet_attention_args want = laid_out(dtype, head_dim, offset);

    want.family = _i / 6 % 2 == 0 ? EET_MANY : EET_FEW;
    want.allowed = (eet_mask){.data = _i / 3 % 2 == 0 ? NULL : allowed, .key = 1, .dtype = EET_U8};
    eet_attention_args got = want;
    float *y = lab_block(y_bytes);

    got.q = device_up(want.q, y_bytes);
    got.k = device_up(want.k, kv_bytes);
    got.v = device_up(want.v, kv_bytes);
    got.kv_start = device_up(want.kv_start, (int64_t)ROWS * 4);
    got.q_start = device_up(want.q_start, (ROWS + 1) * (int64_t)4);
    got.kv_length = device_up(want.kv_length, (int64_t)ROWS * 4);
    got.kv_offset = device_up(want.kv_offset, (int64_t)ROWS * 8);
    got.allowed.data = device_up(want.allowed.data, TOKENS);
    got.y = device_up(y, y_bytes);
    ck_assert_int_eq(eet_attention_ref(NULL, &want), EET_OK);
    ON_DEVICE(attention, &got);
    device_down(y, got.y, y_bytes);
    for (int32_t i = 0; i < QUERIES * HEADS * head_dim; ++i) {
        ck_assert_double_eq_tol(lab_f32(y, i), lab_f32(want.y, i), 2e-5);
    }
    device_free();
}
END_TEST

const eet_claim *mask_claims(void) {
    static eet_claim claims[MASK_CLAIMS];

    claims[0] = (eet_claim){.test = masked_attention_agrees_with_the_reference,
                            .rows = ATTENTION_CASES * MASKS};
    claims[1] = (eet_claim){.test = a_row_of_masked_attention_is_the_same_alone,
                            .rows = ATTENTION_CASES * MASKS};
    claims[2] = (eet_claim){.test = keys_that_a_mask_hides_might_as_well_not_be_there};
    claims[3] = (eet_claim){.test = a_query_that_sees_no_key_is_zero_and_its_neighbours_are_not};
    claims[4] =
        (eet_claim){.test = keys_of_any_layout_and_dtype_agree_with_the_reference, .rows = LAYOUTS};
    return claims;
}
