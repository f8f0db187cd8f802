/* test_ops_refusals.c - arguments that the operators refuse, in a sentence, before they write. */
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/ops_lab.h"
#include "tests/support/suite.h"

enum { ROWS = 2, TOKENS = 3, WIDTH = 6, HEADS = 2, DIM = 5, INNER = HEADS * DIM, CAPACITY = 8 };

static eet_op_context *context;
static eet_error err;

/* One valid call of each operator. */
static eet_attention_op attention;
static eet_ffn_op ffn;
static eet_embedding_op embedding;
static eet_layernorm_op layernorm;
static int32_t ids[ROWS * TOKENS] = {0, 1, 2, 3, 4, 5};

static void make_calls(void) {
    const eet_op_norm norm = lab_op_norm(EET_F32, WIDTH);
    const eet_array x = lab_tensor(EET_F32, ROWS, TOKENS, WIDTH, 0);

    attention = (eet_attention_op){
        .size = sizeof attention,
        .heads = HEADS,
        .head_dim = DIM,
        .pre_norm = 1,
        .add_residual = 1,
        .x = x,
        .y = lab_tensor(EET_F32, ROWS, TOKENS, WIDTH, 0),
        .norm = norm,
        .query = lab_linear(EET_F32, INNER, WIDTH, true),
        .key = lab_linear(EET_F32, INNER, WIDTH, true),
        .value = lab_linear(EET_F32, INNER, WIDTH, true),
        .out = lab_linear(EET_F32, WIDTH, INNER, true),
        .keys = lab_tensor(EET_F32, ROWS, CAPACITY, HEADS, DIM),
        .values = lab_tensor(EET_F32, ROWS, CAPACITY, HEADS, DIM),
        .memory = lab_tensor(EET_F32, ROWS, 4, WIDTH, 0),
    };
    ffn = (eet_ffn_op){.size = sizeof ffn,
                       .x = x,
                       .y = attention.y,
                       .norm = norm,
                       .fc1 = lab_linear(EET_F32, 9, WIDTH, true),
                       .fc2 = lab_linear(EET_F32, WIDTH, 9, true)};
    embedding = (eet_embedding_op){.size = sizeof embedding,
                                   .ids = {.size = sizeof(eet_array),
                                           .dtype = EET_I32,
                                           .rank = 2,
                                           .shape = {ROWS, TOKENS},
                                           .data = ids},
                                   .token = lab_tensor(EET_F32, 6, WIDTH, 0, 0),
                                   .position = lab_tensor(EET_F32, 6, WIDTH, 0, 0),
                                   .y = attention.y};
    layernorm =
        (eet_layernorm_op){.size = sizeof layernorm, .x = x, .y = attention.y, .norm = norm};
}

static void set_up(void) {
    const eet_op_options options = {.size = sizeof options, .threads = 1};

    ck_assert_int_eq(eet_op_context_create(&options, &context, &err), EET_OK);
    make_calls();
}

static void tear_down(void) {
    eet_op_context_destroy(context);
    lab_free();
}

static void *args_of(int32_t op) {
    switch (op) {
    case EET_OP_FFN:
        return &ffn;
    case EET_OP_EMBEDDING:
        return &embedding;
    case EET_OP_LAYERNORM:
        return &layernorm;
    default:
        return &attention;
    }
}

static eet_status call(int32_t op) {
    switch (op) {
    case EET_OP_MASKED_MULTI_HEAD_ATTENTION:
        return eet_op_masked_multi_head_attention(context, &attention, &err);
    case EET_OP_CROSS_MULTI_HEAD_ATTENTION:
        return eet_op_cross_multi_head_attention(context, &attention, &err);
    case EET_OP_MULTI_HEAD_ATTENTION:
        return eet_op_multi_head_attention(context, &attention, &err);
    case EET_OP_FFN:
        return eet_op_ffn(context, &ffn, &err);
    case EET_OP_EMBEDDING:
        return eet_op_embedding(context, &embedding, &err);
    default:
        return eet_op_layernorm(context, &layernorm, &err);
    }
}

/* ---- what is wrong ---------------------------------------------------------- */

#define SET(name, statement)       \
    static void set_##name(void) { \
        statement;                 \
    }

static const int32_t falling[ROWS + 1] = {0, 4, 3};
static const int32_t from_one[ROWS + 1] = {1, 2, 6};
static const int32_t too_few[ROWS + 1] = {0, 2, 5};
static const int32_t negative[ROWS] = {1, -1};
static const int32_t many[ROWS] = {1, 6};
static const int32_t huge_length[ROWS] = {INT32_MAX, INT32_MAX};
static const int32_t same_slot[ROWS] = {1, 1};
static const int32_t far_slot[ROWS] = {0, 2};

SET(size, attention.size = 3)
SET(x_missing, attention.x = (eet_array){0})
SET(x_size, attention.x.size = 1)
SET(x_null, attention.x.data = NULL)
SET(x_odd, attention.x.data = (char *)attention.x.data + 1)
SET(x_dtype, attention.x.dtype = EET_I32)
SET(x_unknown, attention.x.dtype = -7)
SET(x_rank, attention.x.rank = 7)
SET(x_below, attention.x.rank = -1)
SET(x_flat, attention.x.rank = 1; attention.pre_norm = attention.add_residual = 0)
SET(x_shape, attention.x.shape[1] = -4)
SET(x_huge, attention.x.shape[0] = attention.x.shape[1] = attention.x.shape[2] = INT64_MAX)
SET(x_wide, attention.x.shape[2] = INT64_C(1) << 31)
SET(x_long, attention.x.shape[1] = INT64_C(1) << 31)
SET(x_stride, attention.x.stride[0] = INT64_MIN)
SET(x_strides, attention.x.stride[0] = INT64_MAX)
SET(x_device, attention.x.memory = EET_CUDA)
SET(rows, attention.rows = 3)
SET(rows_below, attention.rows = -1)
SET(heads, attention.heads = 0)
SET(heads_below, attention.heads = INT32_MIN)
SET(heads_huge, attention.heads = attention.head_dim = INT32_MAX)
SET(head_dim, attention.head_dim = 4)
SET(scale, attention.scale = (double)NAN)
SET(norm_missing, attention.norm.weight = (eet_array){0})
SET(norm_shape, attention.norm.bias.shape[0] = WIDTH - 1)
SET(eps, attention.norm.eps = -1)
SET(eps_nan, attention.norm.eps = (double)NAN)
SET(query_missing, attention.query.weight = (eet_array){0})
SET(query_shape, attention.query.weight.shape[1] = WIDTH + 1)
SET(bias_shape, attention.value.bias.shape[0] = 1)
SET(transposed, attention.key.weight.stride[0] = 1; attention.key.weight.stride[1] = INNER)
SET(out_shape, attention.out.weight.shape[0] = attention.out.bias.shape[0] = WIDTH - 1)
SET(y_missing, attention.y = (eet_array){0})
SET(y_shape, attention.y.shape[1] = TOKENS + 1)
SET(keys_missing, attention.keys = (eet_array){0})
SET(keys_shape, attention.keys.shape[2] = HEADS + 1)
SET(keys_few, attention.keys.shape[0] = attention.values.shape[0] = 1)
SET(keys_short, attention.keys.shape[1] = attention.values.shape[1] = 2)
SET(values_dtype, attention.values.dtype = EET_F16)
SET(keys_apart, attention.keys.stride[3] = attention.values.stride[3] = 2;
    attention.keys.stride[0] = attention.values.stride[0] = 1)
SET(length_below, attention.length = negative)
SET(length_many, attention.length = many)
SET(length_huge, attention.length = huge_length)
SET(slot_same, attention.slot = same_slot)
SET(slot_far, attention.slot = far_slot)
SET(slot_below, attention.slot = negative)
SET(causal, attention.mask.causal = 1)
SET(memory_shape, attention.memory.shape[0] = 1)
SET(memory_long, attention.memory.shape[1] = CAPACITY + 1; attention.memory.shape[2] = WIDTH)
SET(mask_dtype, attention.mask.allowed = attention.x)
SET(mask_shape, attention.mask.added = attention.keys)

static void flatten(const int32_t *start) {
    attention.rows = ROWS;
    attention.start = start;
    attention.x.rank = attention.y.rank = 2;
    attention.x.shape[0] = attention.y.shape[0] = ROWS * TOKENS;
    attention.x.shape[1] = attention.y.shape[1] = WIDTH;
}

SET(start_falling, flatten(falling))
SET(start_one, flatten(from_one))
SET(start_few, flatten(too_few))
SET(start_rank, attention.start = too_few; attention.rows = ROWS)

SET(act, ffn.act = 99)
SET(act_below, ffn.act = -1)
SET(fc2, ffn.fc2.weight.shape[1] = 8)
SET(fc1_none, ffn.fc1.weight.shape[0] = 0)
SET(residual, ffn.add_residual = 1; ffn.fc2.weight.shape[0] = 5; ffn.fc2.bias.shape[0] = 5;
    ffn.y.shape[2] = 5)
SET(ffn_huge, ffn.x.shape[0] = ffn.y.shape[0] = 1 << 20; ffn.x.shape[1] = ffn.y.shape[1] = 1 << 9)

SET(ids_dtype, embedding.ids.dtype = EET_F32)
SET(id_far, ids[3] = 6)
SET(id_below, ids[3] = -1)
SET(position_far, embedding.position_offset = 4)
SET(position_below, embedding.position_offset = -1)
SET(position_wide, embedding.position.shape[1] = WIDTH - 1)
SET(table_missing, embedding.token = (eet_array){0})
SET(table_apart, embedding.token.stride[0] = WIDTH + 1; embedding.token.stride[1] = 1)
SET(types_alone, embedding.types = embedding.ids)
SET(types_shape, embedding.types = embedding.ids; embedding.types.shape[1] = 2;
    embedding.type = embedding.token)
SET(embedding_y, embedding.y.shape[2] = WIDTH + 1)
SET(embedding_scale, embedding.scale = (double)INFINITY)

SET(layernorm_y, layernorm.y.shape[0] = 1)
SET(layernorm_none, layernorm.norm.weight = (eet_array){0})

typedef struct refusal {
    int32_t op;
    void (*set)(void);
    const char *says;
} refusal;

#define MASKED EET_OP_MASKED_MULTI_HEAD_ATTENTION
#define CROSS  EET_OP_CROSS_MULTI_HEAD_ATTENTION
#define PLAIN  EET_OP_MULTI_HEAD_ATTENTION

static const refusal refusals[] = {
    {PLAIN, set_size, "sizeof(eet_attention_op)"},
    {PLAIN, set_x_missing, "there is no x"},
    {PLAIN, set_x_size, "sizeof(eet_array)"},
    {PLAIN, set_x_null, "x has no data"},
    {PLAIN, set_x_odd, "x is not aligned to its elements of 4 bytes"},
    {PLAIN, set_x_dtype, "x is i32; it has to be f32, f16 or bf16"},
    {PLAIN, set_x_unknown, "x is of no dtype"},
    {PLAIN, set_x_rank, "x has rank 7"},
    {PLAIN, set_x_below, "x has rank -1"},
    {PLAIN, set_x_flat, "x is (2); without start"},
    {PLAIN, set_x_shape, "no memory can have"},
    {PLAIN, set_x_huge, "no memory can have"},
    {PLAIN, set_x_wide, "with a width of 1 to"},
    {PLAIN, set_x_long, "no more tokens"},
    {PLAIN, set_x_stride, "no memory can have"},
    {PLAIN, set_x_strides, "no memory can have"},
    {PLAIN, set_x_device, "x is not in the memory of the context's device"},
    {PLAIN, set_rows, "x is (2, 3, 6)"},
    {PLAIN, set_rows_below, "-1 are given"},
    {PLAIN, set_heads, "heads is 0"},
    {PLAIN, set_heads_below, "heads is -2147483648"},
    {PLAIN, set_heads_huge, "their product"},
    {PLAIN, set_head_dim, "query.weight gives 10 columns; 2 heads of 4 are 8"},
    {PLAIN, set_scale, "scale is nan"},
    {PLAIN, set_norm_missing, "pre_norm is set and there is no norm.weight"},
    {PLAIN, set_norm_shape, "norm.bias is (5); it has to be (6)"},
    {PLAIN, set_eps, "norm.eps is -1"},
    {PLAIN, set_eps_nan, "norm.eps is"},
    {PLAIN, set_query_missing, "there is no query.weight"},
    {PLAIN, set_query_shape, "query.weight is (10, 7); it has to be (out, 6)"},
    {PLAIN, set_bias_shape, "it has to be (10)"},
    {PLAIN, set_transposed, "the rows of key.weight are not contiguous"},
    {PLAIN, set_out_shape, "y is (2, 3, 6); it has to have x's axes and 5 columns"},
    {PLAIN, set_y_missing, "there is no y"},
    {PLAIN, set_y_shape, "y is (2, 4, 6); it has to have x's axes and 6 columns"},
    {PLAIN, set_length_below, "length[1] is -1"},
    {PLAIN, set_length_many, "row 1 would have 6 keys; there is room for 3"},
    {PLAIN, set_length_huge, "length[0] is 2147483647"},
    {PLAIN, set_start_falling, "start[2] of x is 3"},
    {PLAIN, set_start_one, "start[0] of x is 1"},
    {PLAIN, set_start_few, "the rows of x end with token 5 of 6"},
    {PLAIN, set_start_rank, "with start it has to be (tokens, width)"},
    {PLAIN, set_mask_dtype, "mask.allowed is f32; it has to be u8"},
    {PLAIN, set_mask_shape, "mask.added is (2, 8, 2, 5); it has to be (2|1, 2|1, 3|1, 3|1)"},
    {MASKED, set_keys_missing, "there is no keys"},
    {MASKED, set_keys_shape, "it has to be (slots, capacity, 2, 5)"},
    {MASKED, set_keys_few, "keys is (1, 8, 2, 5); there are 2 rows"},
    {MASKED, set_keys_short, "row 0 would have 3 keys; there is room for 2"},
    {MASKED, set_values_dtype, "values is (2, 8, 2, 5); it has to have the shape"},
    {MASKED, set_keys_apart, "its last axis has to be contiguous"},
    {MASKED, set_length_many, "row 1 would have 9 keys; there is room for 8"},
    {MASKED, set_length_huge, "length[0]"},
    {MASKED, set_slot_same, "two rows write into slot 1; the second is row 1"},
    {MASKED, set_slot_far, "slot[1] is 2"},
    {MASKED, set_slot_below, "slot[1] is -1"},
    {CROSS, set_causal, "no order"},
    {CROSS, set_memory_shape, "memory is (1, 4, 6)"},
    {CROSS, set_memory_long, "row 0 "},
    {CROSS, set_slot_same, "two rows write into slot 1"},
    {CROSS, set_length_many, "row 1 would have 6 keys; there is room for 4"},
    {EET_OP_FFN, set_act, "there is no activation 99"},
    {EET_OP_FFN, set_act_below, "there is no activation -1"},
    {EET_OP_FFN, set_fc2, "fc2.weight is (6, 8); it has to be (out, 9)"},
    {EET_OP_FFN, set_fc1_none, "fc1.weight is (0, 6)"},
    {EET_OP_FFN, set_residual, "a residual of that width does not go with 5 columns"},
    {EET_OP_FFN, set_ffn_huge, "the workspace has"},
    {EET_OP_EMBEDDING, set_ids_dtype, "ids is f32; it has to be i32 or i64"},
    {EET_OP_EMBEDDING, set_id_far, "ids of token 3 is 6; the table token has 6 rows"},
    {EET_OP_EMBEDDING, set_id_below, "ids of token 3 is -1"},
    {EET_OP_EMBEDDING, set_position_far, "token 2 would have position 6; the table has 6 rows"},
    {EET_OP_EMBEDDING, set_position_below, "token 0 would have position -1"},
    {EET_OP_EMBEDDING, set_position_wide, "position is (6, 5); token has 6 columns"},
    {EET_OP_EMBEDDING, set_table_missing, "there is no token"},
    {EET_OP_EMBEDDING, set_table_apart, "token is (6, 6); it has to be (rows, width), contiguous"},
    {EET_OP_EMBEDDING, set_types_alone, "there are types and no type table"},
    {EET_OP_EMBEDDING, set_types_shape, "types is (2, 2); its axes"},
    {EET_OP_EMBEDDING, set_embedding_y, "y is (2, 3, 7)"},
    {EET_OP_EMBEDDING, set_embedding_scale, "scale is inf"},
    {EET_OP_LAYERNORM, set_layernorm_y, "y is (1, 3, 6)"},
    {EET_OP_LAYERNORM, set_layernorm_none, "there is no norm.weight"},
};

START_TEST(what_is_wrong_is_told_and_nothing_is_written)
{
    const refusal *r = &refusals[_i];
    float y[ROWS * TOKENS * WIDTH];
    float keys[ROWS * CAPACITY * HEADS * DIM];

    ck_assert_int_eq(lab_workspace(context, r->op, args_of(r->op), &err), EET_OK);
    ck_assert_int_eq(call(r->op), EET_OK);
    memcpy(y, attention.y.data, sizeof y);
    memcpy(keys, attention.keys.data, sizeof keys);
    for (int32_t i = 0; i < WIDTH; ++i) { /* it would show */
        ((float *)attention.x.data)[i] = 9.0F;
    }
    r->set();
    ck_assert_int_eq(call(r->op), EET_E_ARGUMENT);
    ck_assert_msg(strstr(err.text, r->says) != NULL, "\"%s\" does not say \"%s\"", err.text,
                  r->says);
    ck_assert_mem_eq(y, attention.y.data != NULL ? attention.y.data : y, sizeof y);
    if (attention.keys.data != NULL) {
        ck_assert_mem_eq(keys, attention.keys.data, sizeof keys);
    }
}
END_TEST

START_TEST(a_workspace_is_exactly_as_large_as_it_has_to_be)
{
    const int32_t op = _i + 1;
    struct {
        uint32_t size;
        int32_t first;
        void *workspace;
        uint64_t bytes;
    } begin;

    layernorm.y.dtype = EET_F16; /* or it needs none */
    ck_assert_int_eq(lab_workspace(context, op, args_of(op), &err), EET_OK);
    memcpy(&begin, args_of(op), sizeof begin);
    ck_assert(begin.bytes > 0);
    begin.bytes -= 1;
    memcpy(args_of(op), &begin, sizeof begin);
    ck_assert_int_eq(call(op), EET_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "eet_op_workspace"));
    begin.bytes = UINT64_MAX;
    begin.workspace = NULL;
    memcpy(args_of(op), &begin, sizeof begin);
    ck_assert_int_eq(call(op), EET_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "the workspace has 0 bytes"));
}
END_TEST

START_TEST(no_tokens_are_no_work)
{
    const int32_t none[] = {0, 0, 0};

    for (int32_t op = MASKED; op <= PLAIN; ++op) {
        flatten(none);
        attention.x.shape[0] = attention.y.shape[0] = 0;
        attention.memory.shape[1] = 0;
        attention.x.data = attention.y.data = NULL;
        ck_assert_int_eq(lab_workspace(context, op, &attention, &err), EET_OK);
        ck_assert_msg(call(op) == EET_OK, "%s", err.text);
    }
    ffn.x.shape[1] = ffn.y.shape[1] = 0;
    ck_assert_int_eq(lab_workspace(context, EET_OP_FFN, &ffn, &err), EET_OK);
    ck_assert_int_eq(call(EET_OP_FFN), EET_OK);
    embedding.ids.shape[0] = embedding.y.shape[0] = 0;
    ck_assert_int_eq(lab_workspace(context, EET_OP_EMBEDDING, &embedding, &err), EET_OK);
    ck_assert_int_eq(call(EET_OP_EMBEDDING), EET_OK);
    layernorm.x.shape[0] = layernorm.y.shape[0] = 0;
    ck_assert_int_eq(call(EET_OP_LAYERNORM), EET_OK);
}
END_TEST

START_TEST(contexts_say_what_they_cannot_do)
{
    eet_op_context *other = NULL;
    eet_op_options o = {.size = sizeof o, .device = EET_CUDA};
    uint64_t bytes = 77;

    if (eet_op_context_create(&o, &other, &err) != EET_OK) { /* no backend, no card */
        ck_assert_int_eq(err.status, EET_E_DEVICE);
        ck_assert_ptr_nonnull(strstr(err.text, "CUDA"));
    }
    eet_op_context_destroy(other);
    other = NULL;
    o.device_index = -1;
    ck_assert_int_eq(eet_op_context_create(&o, &other, &err), EET_E_ARGUMENT);
    o.device = 5;
    ck_assert_int_eq(eet_op_context_create(&o, &other, &err), EET_E_ARGUMENT);
    o = (eet_op_options){.size = sizeof o, .threads = -1};
    ck_assert_int_eq(eet_op_context_create(&o, &other, &err), EET_E_ARGUMENT);
    o = (eet_op_options){.size = sizeof o, .stream = &o};
    ck_assert_int_eq(eet_op_context_create(&o, &other, NULL), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_op_context_create(NULL, NULL, &err), EET_E_ARGUMENT);
    ck_assert_ptr_null(other);
    eet_op_context_destroy(NULL);
    ck_assert_int_eq(eet_op_ffn(NULL, &ffn, &err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_op_ffn(context, NULL, &err), EET_E_ARGUMENT);
    for (int32_t op = -1; op < 9; op += op == 0 ? 7 : 1) {
        ck_assert_int_eq(eet_op_workspace(context, op, &ffn, &bytes, &err), EET_E_ARGUMENT);
    }
    ck_assert_int_eq(eet_op_workspace(context, EET_OP_FFN, &ffn, NULL, &err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_op_workspace(NULL, EET_OP_FFN, &ffn, &bytes, &err), EET_E_ARGUMENT);
    ffn.fc1.weight.shape[0] = ffn.fc2.weight.shape[1] = 1 << 30;
    ffn.fc1.bias = (eet_array){0};
    ffn.x.shape[0] = ffn.y.shape[0] = 1 << 28;
    ffn.x.shape[1] = ffn.y.shape[1] = 4; /* 2^62 bytes, and y's */
    ffn.y.dtype = EET_F16;
    ck_assert_int_eq(eet_op_workspace(context, EET_OP_FFN, &ffn, &bytes, &err), EET_E_ARGUMENT);
    ck_assert_uint_eq(bytes, 77);
}
END_TEST

START_TEST(the_child_of_a_fork_makes_a_context_of_its_own)
{
    ck_assert_int_eq(lab_workspace(context, EET_OP_FFN, &ffn, &err), EET_OK);
    const pid_t child = fork();

    if (child == 0) {
        const bool refused = call(EET_OP_FFN) == EET_E_STATE;
        const eet_op_options options = {.size = sizeof options, .threads = 1};
        const bool made = eet_op_context_create(&options, &context, &err) == EET_OK;

        _exit(refused && made && call(EET_OP_FFN) == EET_OK ? 0 : 1);
    }
    int status = -1;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

#define CLAIM(name, count) \
    { .test = name, .rows = (count), .setup = set_up, .teardown = tear_down }

int main(void) {
    const eet_claim claims[] = {
        CLAIM(what_is_wrong_is_told_and_nothing_is_written,
              (int)(sizeof refusals / sizeof refusals[0])),
        CLAIM(a_workspace_is_exactly_as_large_as_it_has_to_be, 6),
        CLAIM(no_tokens_are_no_work, 1),
        CLAIM(contexts_say_what_they_cannot_do, 1),
        CLAIM(the_child_of_a_fork_makes_a_context_of_its_own, 1),
    };

    return eet_suite_run("ops_refusals", claims, sizeof claims / sizeof claims[0]);
}
