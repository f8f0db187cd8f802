/* test_invariance.c - a row's bits depend on nothing but the row: not on the rows beside
 * it, its place among them, the columns' blocks, the number of threads, nor on how its
 * keys are stored. */
#include <string.h>

#include "tests/kernels/lab.h"
#include "tests/support/suite.h"

enum { MAX_THREADS = 4, ROWS = 101, N = 203 };

static const eet_cpu_isa *isas;
static int32_t isa_count;

typedef struct shape {
    int32_t k, dtype, act;
    bool norm, residual;
} shape;

static const shape shapes[] = {
    {.k = 96, .dtype = EET_F32, .act = EET_ACT_GELU_ERF, .norm = true},
    {.k = 1031, .dtype = EET_F32, .residual = true},
    {.k = 45, .dtype = EET_F16, .act = EET_ACT_TANH, .residual = true},
    {.k = 130, .dtype = EET_BF16, .act = EET_ACT_GELU_TANH, .norm = true},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static eet_project_args operands_of(const shape *s) {
    return (eet_project_args){
        .x = lab_floats((int64_t)ROWS * s->k, LAB_PLAIN),
        .norm = s->norm ? lab_norm(s->k, true) : (eet_norm_weights){0},
        .w = lab_matrix(N, s->k, 1, s->dtype, LAB_PLAIN),
        .bias = lab_floats(N, LAB_PLAIN),
        .act = s->act,
        .residual = s->residual ? lab_floats((int64_t)ROWS * N, LAB_PLAIN) : NULL,
        .residual_norm = s->residual ? lab_norm(N, true) : (eet_norm_weights){0},
        .rows = ROWS,
        .y = lab_block((int64_t)ROWS * N * 4),
        .scratch = lab_block(eet_project_scratch(ROWS, s->k) * 4),
    };
}

/* Rows [first, first + rows) alone give what they gave among all. */
static void expect_same_rows(eet_backend *backend, const eet_project_args *all, int32_t first,
                             int32_t rows) {
    eet_project_args some = *all;
    const size_t bytes = (size_t)rows * N * 4;

    some.x = (float *)all->x + (int64_t)first * all->w.k;
    some.residual = all->residual != NULL ? (float *)all->residual + (int64_t)first * N : NULL;
    some.rows = rows;
    some.y = lab_block((int64_t)bytes);
    some.scratch = lab_block(eet_project_scratch(rows, all->w.k) * 4);
    ck_assert_int_eq(backend->ops.project(backend, &some), EET_OK);
    ck_assert_msg(memcmp(some.y, (float *)all->y + (int64_t)first * N, bytes) == 0,
                  "rows %d and on, %d of them, differ", first, rows);
}

START_TEST(project_gives_a_row_the_same_bits_in_every_batch)
{
    const shape *s = &shapes[_i / MAX_THREADS % SHAPES];
    eet_backend *one = lab_open(isas[_i / MAX_THREADS / SHAPES].name, 1);
    eet_backend *many = lab_open(isas[_i / MAX_THREADS / SHAPES].name, _i % MAX_THREADS + 1);

    if (one == NULL) {
        return;
    }
    lab_seed((uint64_t)(_i / MAX_THREADS));
    const eet_project_args all = operands_of(s);

    ck_assert_int_eq(one->ops.project(one, &all), EET_OK);
    for (int32_t rows = 1; rows <= 14; ++rows) {
        expect_same_rows(many, &all, rows * 5 % 40, rows);
    }
    for (int32_t first = 0; first < 20; ++first) {
        expect_same_rows(many, &all, first, 1);
    }
    expect_same_rows(many, &all, 0, ROWS);
    expect_same_rows(many, &all, 3, 49);
    expect_same_rows(many, &all, 50, 48);
    lab_close(one);
    lab_close(many);
    lab_free();
}
END_TEST

/* Columns [first, first + n) of the matrix alone: what a column's block does not change. */
START_TEST(project_gives_a_column_the_same_bits_in_every_place)
{
    eet_backend *backend = lab_open(isas[_i / SHAPES].name, 2);

    if (backend == NULL) {
        return;
    }
    shape s = shapes[_i % SHAPES];

    s.residual = false;
    const eet_project_args all = operands_of(&s);
    eet_project_args some = all;
    float alone[ROWS];

    ck_assert_int_eq(backend->ops.project(backend, &all), EET_OK);
    some.w.n = 1;
    some.y = alone;
    for (int32_t column = 0; column < N; column += 13) {
        const int64_t at = (int64_t)column * all.w.ld * (s.dtype == EET_F32 ? 4 : 2);

        some.w.data = (const char *)all.w.data + at;
        some.bias = all.bias + column;
        ck_assert_int_eq(backend->ops.project(backend, &some), EET_OK);
        for (int32_t row = 0; row < ROWS; ++row) {
            ck_assert_mem_eq(&alone[row], &((float *)all.y)[row * N + column], 4);
        }
    }
    lab_close(backend);
    lab_free();
}
END_TEST

enum { TOKENS = 150, HEADS = 3 };

/* All tokens of one row at once, keys packed. */
static eet_attention_args packed_args(int32_t head_dim, const int32_t *start, const int32_t *length,
                                      const int32_t *kv_start) {
    const int32_t width = HEADS * head_dim;
    const float *qkv = lab_floats((int64_t)TOKENS * 3 * width, LAB_PLAIN);

    return (eet_attention_args){
        .q = qkv,
        .q_stride = 3 * width,
        .k = qkv + width,
        .v = qkv + 2 * width,
        .kv_stride = 3 * width,
        .kv_start = kv_start,
        .rows = 1,
        .q_start = start,
        .kv_length = length,
        .heads = HEADS,
        .head_dim = head_dim,
        .scale = 0.3F,
        .causal = true,
        .y = lab_block((int64_t)TOKENS * width * 4),
    };
}

/* The same keys and values in pages. */
static eet_pages pages_of(const eet_attention_args *a, const int32_t *table) {
    eet_pages pages = lab_pages(3, 1, HEADS, a->head_dim, EET_F32);

    for (int32_t i = 0; i < 2 * TOKENS * HEADS; ++i) {
        const int32_t token = i / 2 / HEADS;
        const int32_t head = i / 2 % HEADS;
        const float *from = (const float *)(i % 2 == 0 ? a->k : a->v) + token * a->kv_stride;
        float *to = (float *)pages.data + eet_page_at(&pages, 0, table[token / EET_PAGE_TOKENS],
                                                      i % 2, head, token % EET_PAGE_TOKENS);

        memcpy(to, from + head * a->head_dim, (size_t)a->head_dim * 4);
    }
    return pages;
}

START_TEST(attention_gives_a_query_the_same_bits_however_it_came)
{
    static const int32_t head_dims[] = {26, 64, 72};
    const int32_t head_dim = head_dims[_i / MAX_THREADS % 3];
    const int32_t start[] = {0, TOKENS};
    const int32_t length = TOKENS;
    const int32_t kv_start = 0;
    const int32_t table[] = {2, 0, 1};
    eet_backend *backend = lab_open(isas[_i / MAX_THREADS / 3].name, _i % MAX_THREADS + 1);

    if (backend == NULL) {
        return;
    }
    const eet_attention_args all = packed_args(head_dim, start, &length, &kv_start);
    const size_t token_bytes = (size_t)HEADS * (size_t)head_dim * 4;
    eet_attention_args some = all;

    ck_assert_int_eq(backend->ops.attention(backend, &all), EET_OK);
    some.k = some.v = NULL;
    some.pages = pages_of(&all, table);
    some.page_table = table;
    some.y = lab_block((int64_t)(TOKENS * token_bytes));
    for (int32_t first = 0, step = 1; first < TOKENS; first += step, step = step % 19 + 1) {
        const int32_t count = TOKENS - first < step ? TOKENS - first : step;
        const int32_t part[] = {0, count};
        const int32_t seen = first + count;

        some.q = (float *)all.q + first * all.q_stride;
        some.q_start = part;
        some.kv_length = &seen;
        ck_assert_int_eq(backend->ops.attention(backend, &some), EET_OK);
        ck_assert_msg(memcmp(some.y, (float *)all.y + first * HEADS * head_dim,
                             (size_t)count * token_bytes) == 0,
                      "queries %d and on, %d of them, differ", first, count);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

START_TEST(norm_gives_a_row_the_same_bits_in_every_batch)
{
    enum { COLS = 333 };
    eet_backend *backend = lab_open(isas[_i].name, 3);

    if (backend == NULL) {
        return;
    }
    const eet_norm_args all = {
        .x = lab_floats(ROWS * COLS, LAB_PLAIN),
        .norm = lab_norm(COLS, true),
        .rows = ROWS,
        .cols = COLS,
        .y = lab_block(ROWS * COLS * 4),
    };
    float alone[COLS];

    ck_assert_int_eq(backend->ops.norm(backend, &all), EET_OK);
    for (int32_t row = 0; row < ROWS; row += 7) {
        const eet_norm_args one = {
            .x = all.x, .index = &row, .norm = all.norm, .rows = 1, .cols = COLS, .y = alone};

        ck_assert_int_eq(backend->ops.norm(backend, &one), EET_OK);
        ck_assert_mem_eq(alone, (float *)all.y + row * COLS, sizeof alone);
    }
    lab_close(backend);
    lab_free();
}
END_TEST

int main(void) {
    isas = eet_cpu_isas(&isa_count);
    if (isa_count == 0) {
        return 77; /* skipped: no op is written for this architecture */
    }
    const eet_claim claims[] = {
        {.test = project_gives_a_row_the_same_bits_in_every_batch,
         .rows = isa_count * MAX_THREADS * SHAPES},
        {.test = project_gives_a_column_the_same_bits_in_every_place, .rows = isa_count * SHAPES},
        {.test = attention_gives_a_query_the_same_bits_however_it_came,
         .rows = isa_count * MAX_THREADS * 3},
        {.test = norm_gives_a_row_the_same_bits_in_every_batch, .rows = isa_count},
    };

    return eet_suite_run("invariance", claims, sizeof claims / sizeof claims[0]);
}
