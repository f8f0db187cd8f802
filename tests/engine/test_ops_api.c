/* test_ops_api.c - the attentions of eet_ops.h against the same written down in double: every
 * switch of norms, dtypes, masks, head sizes that are no multiples of anything, ragged rows, caches
 * as callers have them. */
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

static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};

/* ---- attention -------------------------------------------------------------- */

enum { ROWS = 3, TOKENS = 12, HEADS = 2, WIDTH = 21, CAPACITY = 9, MOST = 64 };

static const int32_t head_dims[] = {1, 13, 26, 40, 72};
static const int32_t ragged[ROWS + 1] = {0, 5, 6, 12};
static const int32_t before[ROWS] = {3, 0, 2};

/* Lengths of a call, so that their memory lasts. */
static int32_t kept[ROWS];

static eet_attention_op attention_of(int32_t head_dim, int32_t dtype, int32_t how) {
    const int32_t inner = HEADS * head_dim;
    const bool even = how % 2 == 1; /* three rows of four tokens */

    eet_attention_op a = {
        .size = sizeof a,
        .rows = ROWS,
        .heads = HEADS,
        .head_dim = head_dim,
        .pre_norm = how / 2 % 2,
        .add_residual = how / 4 % 2,
        .start = even ? NULL : ragged,
        .x = even ? lab_tensor(dtype, ROWS, TOKENS / ROWS, WIDTH, 0)
                  : lab_tensor(dtype, TOKENS, WIDTH, 0, 0),
        .y = even ? lab_tensor(dtype, ROWS, TOKENS / ROWS, WIDTH, 0)
                  : lab_tensor(dtype, TOKENS, WIDTH, 0, 0),
        .norm = lab_op_norm(dtype, WIDTH),
        .query = lab_linear(dtype, inner, WIDTH, true),
        .key = lab_linear(dtype, inner, WIDTH, true),
        .value = lab_linear(dtype, inner, WIDTH, true),
        .out = lab_linear(dtype, WIDTH, inner, true),
    };
    return a;
}

static int32_t start_of(const eet_attention_op *a, int32_t row) {
    return a->start != NULL ? a->start[row] : row * (TOKENS / ROWS);
}

/* Keys or values of all tokens of `x` in double: (tokens, inner). */
static double *all_of(const eet_op_linear *layer, const eet_array *x, const eet_op_norm *norm) {
    const int32_t width = (int32_t)x->shape[x->rank - 1];
    const int64_t tokens = lab_count(x) / width;
    const int64_t inner = layer->weight.shape[0];
    double *y = lab_block(tokens * inner * 8);
    double row[MOST];

    for (int64_t t = 0; t < tokens; ++t) {
        double in[MOST];

        read_row(x, t, width, row);
        memcpy(in, row, sizeof in);
        if (norm != NULL) {
            plain_norm(norm, width, row, in);
        }
        plain_linear(layer, in, y + t * inner);
    }
    return y;
}

/* The rest of an attention for one token, from keys and values of its row in double. */
typedef struct seen {
    const double *q, *k, *v; /* q: (tokens, inner); k, v: of the row */
    int32_t keys;
    double added[MOST]; /* -inf: not seen */
} seen;

static void expect_token(const eet_attention_op *a, int32_t token, const seen *s) {
    const int32_t inner = HEADS * a->head_dim;
    const int32_t dims[3] = {a->head_dim, inner, 0};
    double context_row[HEADS * 128];
    double x[WIDTH];
    double want[WIDTH];

    for (int32_t h = 0; h < HEADS; ++h) {
        const int32_t at = h * a->head_dim;

        plain_attend(s->q + (int64_t)token * inner + at, s->k + at, s->v + at, s->keys, dims,
                     1.0 / sqrt(a->head_dim), s->added, context_row + at);
    }
    read_row(&a->x, token, WIDTH, x);
    plain_linear(&a->out, context_row, want);
    plain_leave(&a->norm, a->pre_norm, a->add_residual, WIDTH, x, want);
    expect_row(&a->y, token, WIDTH, want);
}

/* Masks of kind `kind`: none, causal, key lengths, both, boolean, additive, all. (rows, 1,
 * queries, keys) with axes longer than rows are. */
enum { MASKS = 7, MASK_AXIS = 10 };

static void add_masks(eet_attention_op *a, int32_t kind) {
    if (kind == 1 || kind == 3 || kind == 6) {
        a->mask.causal = 1;
    }
    if (kind == 2 || kind == 3 || kind == 6) {
        for (int32_t r = 0; r < ROWS; ++r) {
            const int32_t own = start_of(a, r + 1) - start_of(a, r);

            kept[r] = own > r ? own - r : 0;
        }
        a->length = kept;
    }
    if (kind == 4 || kind == 6) {
        a->mask.allowed = (eet_array){.size = sizeof(eet_array),
                                      .dtype = EET_U8,
                                      .rank = 4,
                                      .shape = {ROWS, 1, MASK_AXIS, MASK_AXIS},
                                      .data = lab_ints(ROWS * MASK_AXIS * MASK_AXIS / 4, 1 << 30)};
        uint8_t *bytes = a->mask.allowed.data;

        for (int32_t i = 0; i < ROWS * MASK_AXIS * MASK_AXIS; ++i) {
            bytes[i] = bytes[i] < 90 ? 0 : bytes[i];
        }
    }
    if (kind == 5 || kind == 6) {
        a->mask.added = lab_tensor(a->x.dtype, 1, 1, MASK_AXIS, MASK_AXIS);
        eet_float_put(a->mask.added.data, a->mask.added.dtype, 1, -INFINITY);
    }
}

/* What masks say of a row's query and key. */
static double masked(const eet_attention_op *a, int32_t row, int32_t query, int32_t key) {
    double added = 0.0;

    if (a->mask.causal != 0 && key > query) {
        return -INFINITY;
    }
    if (a->length != NULL && key >= a->length[row]) {
        return -INFINITY;
    }
    if (a->mask.allowed.size != 0 &&
        ((const uint8_t *)a->mask.allowed.data)[(row * MASK_AXIS + query) * MASK_AXIS + key] == 0) {
        return -INFINITY;
    }
    if (a->mask.added.size != 0) {
        added = lab_number(&a->mask.added, query * MASK_AXIS + key);
    }
    return added;
}

START_TEST(attention_is_its_formula_for_every_mask_switch_and_head_size)
{
    const int32_t head_dim = head_dims[_i % 5];
    const int32_t dtype = dtypes[_i % 3];

    lab_seed((uint64_t)_i);
    eet_attention_op a = attention_of(head_dim, dtype, _i % 8);

    add_masks(&a, _i / 8);
    ck_assert_int_eq(lab_workspace(context, EET_OP_MULTI_HEAD_ATTENTION, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_multi_head_attention(context, &a, &err), EET_OK);
    const eet_op_norm *norm = a.pre_norm != 0 ? &a.norm : NULL;
    const double *k = all_of(&a.key, &a.x, norm);
    const double *v = all_of(&a.value, &a.x, norm);
    seen s = {.q = all_of(&a.query, &a.x, norm)};

    for (int32_t r = 0; r < ROWS; ++r) {
        const int32_t start = start_of(&a, r);

        s.keys = start_of(&a, r + 1) - start;
        s.k = k + (int64_t)start * HEADS * head_dim;
        s.v = v + (int64_t)start * HEADS * head_dim;
        for (int32_t query = 0; query < s.keys; ++query) {
            for (int32_t key = 0; key < s.keys; ++key) {
                s.added[key] = masked(&a, r, query, key);
            }
            expect_token(&a, start + query, &s);
        }
    }
}
END_TEST

/* A cache (slots, capacity, heads, head_dim), in memory one of four orders of axes. */
static void add_cache(eet_attention_op *a, int32_t slots, int32_t dtype, int32_t order) {
    const int64_t d = a->head_dim;
    const int64_t strides[4][4] = {
        {CAPACITY * HEADS * d, HEADS * d, d, 1},
        {HEADS * CAPACITY * d, d, CAPACITY * d, 1},
        {HEADS * d, slots * HEADS * d, d, 1},
        {CAPACITY * HEADS * (d + 3), HEADS * (d + 3), d + 3, 1},
    };

    a->keys = lab_tensor(dtype, slots, CAPACITY, HEADS, d + (order == 3 ? 3 : 0));
    a->values = lab_tensor(dtype, slots, CAPACITY, HEADS, d + (order == 3 ? 3 : 0));
    a->keys.shape[3] = a->values.shape[3] = d;
    memcpy(a->keys.stride, strides[order], sizeof strides[order]);
    memcpy(a->values.stride, strides[order], sizeof strides[order]);
}

static double cached(const eet_array *c, int32_t slot, int32_t token, int32_t i, int32_t head_dim) {
    return lab_number(c, slot * c->stride[0] + token * c->stride[1] + i / head_dim * c->stride[2] +
                             i % head_dim);
}

/* A row of the cache in double, (tokens, inner). */
static double *cache_row(const eet_attention_op *a, const eet_array *c, int32_t slot,
                         int32_t tokens) {
    const int32_t inner = HEADS * a->head_dim;
    double *y = lab_block((int64_t)tokens * inner * 8);

    for (int32_t t = 0; t < tokens; ++t) {
        for (int32_t i = 0; i < inner; ++i) {
            y[t * inner + i] = cached(c, slot, t, i, a->head_dim);
        }
    }
    return y;
}

START_TEST(masked_attention_appends_and_sees_what_came_before)
{
    const int32_t head_dim = head_dims[_i % 5];
    const int32_t dtype = dtypes[_i % 3];
    static const int32_t slots[ROWS] = {3, 0, 2};

    lab_seed((uint64_t)_i);
    eet_attention_op a = attention_of(head_dim, dtype, _i % 8);

    a.length = before;
    a.slot = slots;
    add_cache(&a, 4, dtypes[_i / 4 % 3], _i % 4);
    const double *untouched = cache_row(&a, &a.keys, 1, CAPACITY);

    ck_assert_int_eq(lab_workspace(context, EET_OP_MASKED_MULTI_HEAD_ATTENTION, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_masked_multi_head_attention(context, &a, &err), EET_OK);
    ck_assert_mem_eq(untouched, cache_row(&a, &a.keys, 1, CAPACITY),
                     (size_t)(CAPACITY * HEADS * head_dim * 8));
    const eet_op_norm *norm = a.pre_norm != 0 ? &a.norm : NULL;
    const double *k = all_of(&a.key, &a.x, norm);
    seen s = {.q = all_of(&a.query, &a.x, norm)};

    for (int32_t r = 0; r < ROWS; ++r) {
        const int32_t start = start_of(&a, r);
        const int32_t queries = start_of(&a, r + 1) - start;

        s.k = cache_row(&a, &a.keys, slots[r], before[r] + queries);
        s.v = cache_row(&a, &a.values, slots[r], before[r] + queries);
        for (int32_t i = 0; i < queries * HEADS * head_dim; ++i) { /* appended */
            const double got = s.k[before[r] * HEADS * head_dim + i];
            const double want = k[(int64_t)start * HEADS * head_dim + i];

            ck_assert_double_eq_tol(got, want, slack(a.keys.dtype, want));
        }
        for (int32_t query = 0; query < queries; ++query) {
            s.keys = before[r] + query + 1;
            expect_token(&a, start + query, &s);
        }
    }
}
END_TEST

/* A row's bits depend neither on how its tokens are cut into calls nor on the other rows. */
START_TEST(steps_after_a_first_pass_give_the_bits_of_one_pass)
{
    const int32_t head_dim = head_dims[_i];
    const int32_t zero[ROWS] = {0, 0, 0};
    float all[ROWS * 4 * WIDTH];

    lab_seed((uint64_t)_i);
    eet_attention_op a = attention_of(head_dim, EET_F32, 7);

    a.length = zero;
    add_cache(&a, ROWS, EET_F16, 0);
    ck_assert_int_eq(lab_workspace(context, EET_OP_MASKED_MULTI_HEAD_ATTENTION, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_masked_multi_head_attention(context, &a, &err), EET_OK);
    memcpy(all, a.y.data, sizeof all);
    for (int32_t r = 0; r < ROWS; ++r) { /* two tokens, then one and one, a row at a time */
        const int32_t cuts[] = {0, 2, 3, 4};

        for (int32_t i = 0; i < 3; ++i) {
            const int32_t slot = (r + 1) % ROWS;
            eet_attention_op step = a;

            step.rows = 1;
            step.slot = &slot;
            step.length = &cuts[i];
            step.x.shape[0] = step.y.shape[0] = 1;
            step.x.shape[1] = step.y.shape[1] = cuts[i + 1] - cuts[i];
            step.x.data = (float *)a.x.data + (r * 4 + cuts[i]) * WIDTH;
            step.y.data = (float *)a.y.data + (r * 4 + cuts[i]) * WIDTH;
            ck_assert_int_eq(eet_op_masked_multi_head_attention(context, &step, &err), EET_OK);
        }
    }
    ck_assert_mem_eq(all, a.y.data, sizeof all);
}
END_TEST

START_TEST(cross_attention_keeps_its_memory_for_steps_of_many_rows)
{
    enum { DEEP = 17 };
    const int32_t head_dim = head_dims[_i % 5];
    const int32_t dtype = dtypes[_i % 3];
    const int32_t memory_start[ROWS + 1] = {0, 7, 7, 16};
    const int32_t shorter[ROWS] = {6, 0, 9};
    const int32_t shared[ROWS] = {2, 0, 2};

    lab_seed((uint64_t)_i);
    eet_attention_op a = attention_of(head_dim, dtype, _i % 8);

    a.key = lab_linear(dtype, HEADS * head_dim, DEEP, true);
    a.value = lab_linear(dtype, HEADS * head_dim, DEEP, false);
    a.memory = lab_tensor(dtypes[_i / 5 % 3], 16, DEEP, 0, 0);
    a.memory_start = memory_start;
    a.length = _i % 2 == 0 ? NULL : shorter;
    add_cache(&a, ROWS, dtypes[_i / 4 % 3], _i / 2 % 4);
    const eet_array memory = a.memory;

    for (int32_t round = 0; round < 2; ++round) {
        const int32_t lengths[ROWS] = {7, 0, 9};
        const int32_t *length = a.length != NULL ? a.length : lengths;
        const eet_op_norm *norm = a.pre_norm != 0 ? &a.norm : NULL;
        seen s = {.q = all_of(&a.query, &a.x, norm)};

        ck_assert_int_eq(lab_workspace(context, EET_OP_CROSS_MULTI_HEAD_ATTENTION, &a, &err),
                         EET_OK);
        ck_assert_int_eq(eet_op_cross_multi_head_attention(context, &a, &err), EET_OK);
        for (int32_t r = 0; r < ROWS; ++r) {
            const int32_t slot = a.slot != NULL ? a.slot[r] : r;

            s.keys = length[r];
            s.k = cache_row(&a, &a.keys, slot, s.keys);
            s.v = cache_row(&a, &a.values, slot, s.keys);
            for (int32_t t = start_of(&a, r); t < start_of(&a, r + 1); ++t) {
                expect_token(&a, t, &s);
            }
        }
        const double *k = all_of(&a.key, &memory, NULL);
        const double *row = cache_row(&a, &a.keys, 2, 9); /* row 2's, from token 7 on */

        for (int32_t i = 0; i < 9 * HEADS * head_dim; ++i) {
            const double want = k[7 * HEADS * head_dim + i];

            ck_assert_double_eq_tol(row[i], want, slack(a.keys.dtype, want));
        }
        a.memory = (eet_array){.size = 0}; /* from now on it is in the cache */
        a.memory_start = NULL;
        a.length = shorter;
        a.slot = shared;
    }
}
END_TEST

/* y may be x, in any dtype and for every switch. */
START_TEST(the_result_may_take_the_place_of_what_it_is_made_of)
{
    const int32_t dtype = dtypes[_i % 3];

    lab_seed((uint64_t)_i);
    eet_attention_op a = attention_of(26, dtype, 2 * (_i / 3));
    const size_t bytes = (size_t)(TOKENS * WIDTH * eet_float_bytes(dtype));

    ck_assert_int_eq(lab_workspace(context, EET_OP_MULTI_HEAD_ATTENTION, &a, &err), EET_OK);
    ck_assert_int_eq(eet_op_multi_head_attention(context, &a, &err), EET_OK);
    eet_attention_op same = a;

    same.y = a.x;
    ck_assert_int_eq(eet_op_multi_head_attention(context, &same, &err), EET_OK);
    ck_assert_mem_eq(a.y.data, a.x.data, bytes);
}
END_TEST

#define CLAIM(name, count) \
    { .test = name, .rows = (count), .setup = set_up, .teardown = tear_down }

int main(void) {
    if (!lab_device_there()) {
        return 77;
    }
    const eet_claim claims[] = {
        CLAIM(attention_is_its_formula_for_every_mask_switch_and_head_size, 8 * MASKS),
        CLAIM(masked_attention_appends_and_sees_what_came_before, 60),
        CLAIM(steps_after_a_first_pass_give_the_bits_of_one_pass, 5),
        CLAIM(cross_attention_keeps_its_memory_for_steps_of_many_rows, 60),
        CLAIM(the_result_may_take_the_place_of_what_it_is_made_of, 12),
    };

    return eet_suite_run("ops_api", claims, sizeof claims / sizeof claims[0]);
}
