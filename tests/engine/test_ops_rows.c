/* test_ops_rows.c - the operators of eet_ops.h that go token by token, against the same written
 * down in double: ffn, layernorm, embedding. */
#include "tests/engine/ops_lab.h"
#include "tests/support/suite.h"

static eet_op_context *context;
static eet_error err;

static void set_up(void) {
    const eet_op_options options = {.size = sizeof options, .device = lab_device(), .threads = 2};

    ck_assert_int_eq(eet_op_context_create(&options, &context, &err), EET_OK);
}

static void tear_down(void) {
    eet_op_context_destroy(context);
    lab_free();
}

/* ---- ffn, layernorm --------------------------------------------------------- */

static double plain_act(int32_t act, double x) {
    switch (act) {
    case EET_ACT_RELU:
        return fmax(x, 0.0);
    case EET_ACT_GELU_ERF:
        return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case EET_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case EET_ACT_SILU:
        return x / (1.0 + exp(-x));
    case EET_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case EET_ACT_TANH:
        return tanh(x);
    case EET_ACT_RELU2:
        return fmax(x, 0.0) * fmax(x, 0.0);
    default:
        return x;
    }
}

static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};

START_TEST(ffn_is_its_formula_for_every_switch_activation_and_dtype)
{
    enum { ROWS = 2, TOKENS = 3, WIDTH = 37, BETWEEN = 51 };
    const int32_t act = _i % 8;
    const int32_t dtype = dtypes[_i / 8 % 3];
    double x[WIDTH];
    double in[WIDTH];
    double between[BETWEEN];
    double want[WIDTH];

    lab_seed((uint64_t)_i);
    eet_ffn_op a = {
        .size = sizeof a,
        .act = act,
        .pre_norm = _i / 24 % 2,
        .add_residual = _i / 48,
        .x = lab_tensor(dtype, ROWS, TOKENS, WIDTH, 0),
        .y = lab_tensor(dtypes[_i % 3], ROWS, TOKENS, WIDTH, 0),
        .norm = lab_op_norm(dtypes[_i / 3 % 3], WIDTH),
        .fc1 = lab_linear(dtype, BETWEEN, WIDTH, true),
        .fc2 = lab_linear(dtypes[_i % 3], WIDTH, BETWEEN, _i % 2 == 0),
    };

    ck_assert_int_eq(lab_workspace(context, EET_OP_FFN, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_ffn(context, &a, &err), EET_OK);
    for (int32_t t = 0; t < ROWS * TOKENS; ++t) {
        read_row(&a.x, t, WIDTH, x);
        memcpy(in, x, sizeof in);
        if (a.pre_norm != 0) {
            plain_norm(&a.norm, WIDTH, x, in);
        }
        plain_linear(&a.fc1, in, between);
        for (int32_t i = 0; i < BETWEEN; ++i) {
            between[i] = plain_act(act, between[i]);
        }
        plain_linear(&a.fc2, between, want);
        plain_leave(&a.norm, a.pre_norm, a.add_residual, WIDTH, x, want);
        expect_row(&a.y, t, WIDTH, want);
    }
}
END_TEST

START_TEST(layernorm_is_its_formula_for_any_width_and_strides)
{
    static const int32_t widths[] = {1, 2, 7, 33, 100, 1024, 4097};
    enum { ROWS = 4 };
    const int32_t width = widths[_i / 3];
    const int32_t dtype = dtypes[_i % 3];
    double *x = lab_block((int64_t)width * 8);
    double *want = lab_block((int64_t)width * 8);

    lab_seed((uint64_t)_i);
    eet_layernorm_op a = {.size = sizeof a,
                          .x = lab_tensor(dtype, width, ROWS, 0, 0), /* read transposed */
                          .y = lab_tensor(dtypes[(_i + 1) % 3], ROWS, width, 0, 0),
                          .norm = lab_op_norm(dtype, width)};

    a.x.shape[0] = ROWS;
    a.x.shape[1] = width;
    a.x.stride[0] = 1;
    a.x.stride[1] = ROWS;
    ck_assert_int_eq(lab_workspace(context, EET_OP_LAYERNORM, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_layernorm(context, &a, &err), EET_OK);
    for (int32_t r = 0; r < ROWS; ++r) {
        for (int32_t i = 0; i < width; ++i) {
            x[i] = lab_number(&a.x, (int64_t)i * ROWS + r);
        }
        plain_norm(&a.norm, width, x, want);
        expect_row(&a.y, r, width, want);
    }
}
END_TEST

/* ---- embedding -------------------------------------------------------------- */

START_TEST(embedding_adds_rows_of_three_tables_and_norms_them)
{
    enum { B = 2, S = 5, H = 19, PAD = 3 };
    const int32_t dtype = dtypes[_i % 3];
    const bool wide = _i % 2 == 0;
    const int32_t ids[B * S] = {3, 3, 1, 4, 10, 0, 5, 3, 2, 9};
    const int64_t wide_ids[B * S] = {3, 3, 1, 4, 10, 0, 5, 3, 2, 9};
    const int32_t types[S] = {0, 0, 1, 1, 0};
    const int32_t length[B] = {2, 0};
    const int32_t counted[B * S] = {-1, -1, 3, 4, 5, 1, 2, -1, 3, 4};
    double sum[H];
    double want[H];

    lab_seed((uint64_t)_i);
    eet_embedding_op a = {
        .size = sizeof a,
        .scale = 3.5,
        .position_offset = 1,
        .skip_pad = 1,
        .pad = PAD,
        .length = length,
        .ids = {.size = sizeof(eet_array),
                .dtype = wide ? EET_I64 : EET_I32,
                .rank = 2,
                .shape = {B, S},
                .data = wide ? (void *)wide_ids : (void *)ids},
        .types = {.size = sizeof(eet_array),
                  .dtype = EET_I32,
                  .rank = 2,
                  .shape = {1, S},
                  .data = (void *)types},
        .token = lab_tensor(dtype, 11, H, 0, 0),
        .position = lab_tensor(dtypes[_i / 3 % 3], 6, H, 0, 0),
        .type = lab_tensor(dtype, 2, H, 0, 0),
        .y = lab_tensor(dtype, B, S, H, 0),
    };

    if (_i >= 9) {
        a.norm = lab_op_norm(dtype, H);
    }
    ck_assert_int_eq(lab_workspace(context, EET_OP_EMBEDDING, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_embedding(context, &a, &err), EET_OK);
    for (int32_t t = 0; t < B * S; ++t) {
        for (int32_t i = 0; i < H; ++i) {
            sum[i] = want[i] =
                3.5 * lab_number(&a.token, ids[t] * H + i) +
                (counted[t] >= 0 ? lab_number(&a.position, counted[t] * H + i) : 0.0) +
                lab_number(&a.type, types[t % S] * H + i);
        }
        if (_i >= 9) {
            plain_norm(&a.norm, H, sum, want);
        }
        expect_row(&a.y, t, H, want);
    }
}
END_TEST

#define CLAIM(name, count) \
    { .test = name, .rows = (count), .setup = set_up, .teardown = tear_down }

int main(void) {
    if (!lab_device_there()) {
        return 77;
    }
    const eet_claim claims[] = {
        CLAIM(ffn_is_its_formula_for_every_switch_activation_and_dtype, 96),
        CLAIM(layernorm_is_its_formula_for_any_width_and_strides, 21),
        CLAIM(embedding_adds_rows_of_three_tables_and_norms_them, 18),
    };

    return eet_suite_run("ops_rows", claims, sizeof claims / sizeof claims[0]);
}
