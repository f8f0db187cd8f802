/* test_gemm.c - products of 16-bit weights on a CUDA device, in shapes that fill several tiles:
 * what they are, that every tile and every number of rows give the same bits, and that operands and
 * results of 16 bits are those of 32 bits, rounded.
 *
 * The backend is linked, for what it exports no symbol of. */
#include <stdlib.h>

#include "kernels/cuda/lt.h"
#include "kernels/cuda/project.h"
#include "tests/cuda/trial_device.h"

/* Sums of 16 products are rounded more coarsely by the tensor cores than by f32's own. */
static double steps_of(int32_t k) {
    return 4.0 * (k / 16.0 + 1) + 16;
}

/* Every number as the dtype has it, so that nothing is lost on the way there. */
static void round_all(const void *x, int64_t count, int32_t dtype) {
    for (int64_t i = 0; i < count; ++i) {
        float bits = 0; /* room for any dtype */

        eet_float_put(&bits, dtype, 0, ((const float *)x)[i]);
        ((float *)x)[i] = eet_float_at(&bits, dtype, 0);
    }
}

static void *in_16_bits(const float *x, int64_t count, int32_t dtype) {
    uint16_t *y = lab_block(count * 2);

    for (int64_t i = 0; i < count; ++i) {
        eet_float_put(y, dtype, i, x[i]);
    }
    return y;
}

static const project_case cases[] = {
    /* one tile and less of it; rows, columns and k that end within one */
    {.rows = 1, .n = 8, .k = 8, .bias = true},
    {.rows = 130, .n = 136, .k = 72, .bias = true, .residual = RAW},
    {.rows = 300, .n = 520, .k = 136, .act = EET_ACT_GELU_ERF, .bias = true},
    {.rows = 257, .n = 264, .k = 1032, .act = EET_ACT_GELU_TANH, .bias = true},
    {.rows = 129, .n = 776, .k = 520, .residual = ALIASED, .bias = true},
    {.rows = 64, .n = 1000, .k = 128, .act = EET_ACT_TANH},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_RELU, .bias = true},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_SILU, .kind = LAB_WILD},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_GELU_ERF, .kind = LAB_WILD},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_GELU_TANH, .kind = LAB_WILD},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_QUICK_GELU, .bias = true},
    {.rows = 200, .n = 128, .k = 64, .act = EET_ACT_RELU2, .bias = true},
    /* nothing aligned; rows of weights apart; norms */
    {.rows = 131, .n = 259, .k = 77, .bias = true, .residual = RAW},
    {.rows = 70, .n = 133, .k = 515, .extra = 3, .act = EET_ACT_GELU_ERF},
    {.rows = 70, .n = 250, .k = 512, .extra = 8, .bias = true, .residual = RAW},
    {.rows = 70, .n = 256, .k = 512, .extra = 1, .bias = true, .residual = RAW},
    {.rows = 140, .n = 192, .k = 192, .norm = NORM_AND_BIAS, .residual = RAW, .bias = true},
    {.rows = 140, .n = 136, .k = 136, .residual = NORMED, .bias = true},
    {.rows = 140, .n = 131, .k = 131, .norm = NORM, .residual = NORMED},
    /* destinations: heads that are wide and heads that are not */
    {.rows = 160, .to = EET_TO_Q_AND_PAGES, .heads = 3, .head_dim = 64, .k = 192, .bias = true},
    {.rows = 150, .to = EET_TO_Q_AND_PAGES, .heads = 5, .head_dim = 26, .k = 136, .bias = true},
    {.rows = 131, .to = EET_TO_PAGES, .heads = 3, .head_dim = 72, .k = 200},
    {.rows = 20, .to = EET_TO_PAGES, .heads = 2, .head_dim = 80, .k = 33, .bias = true},
    {.rows = 33, .to = EET_TO_Q_AND_PAGES, .heads = 3, .head_dim = 8, .k = 24, .bias = true},
};

enum { CASES = sizeof cases / sizeof *cases };

/* Case `number` of all, each in both dtypes; x as the dtype has it. */
static project_case case_of(int32_t number) {
    project_case c = cases[number / 2];

    c.dtype = number % 2 == 0 ? EET_F16 : EET_BF16;
    c.page_dtype = c.dtype;
    return c;
}

static trial rounded_trial(const project_case *c) {
    trial t = trial_of(c);

    round_all(t.args[0].x, (int64_t)c->rows * c->k, c->dtype);
    if (t.residual != NULL && c->residual != NORMED) {
        const int64_t count = (int64_t)c->rows * t.args[0].w.n;

        round_all(t.residual, count, c->dtype);
        if (c->residual == ALIASED) {
            round_all(t.args[0].y, count, c->dtype);
            round_all(t.args[1].y, count, c->dtype);
        }
    }
    /* a norm's results are rounded: by 2^-11 and 2^-8 */
    t.steps = steps_of(c->k) +
              (c->norm == NO_NORM ? 0.0 : (c->dtype == EET_F16 ? 0x1p13 : 0x1p16)) +
              (c->kind == LAB_WILD ? 0x1p10 : 0.0); /* cubes and squares of large sums */
    return t;
}

START_TEST(products_agree_with_the_reference)
{
    const project_case c = case_of(_i);

    lab_seed((uint64_t)_i);
    trial t = rounded_trial(&c);
    const eet_project_args got = project_up(&t, &c);

    expect_project(&t, &c, &got);
    device_free();
}
END_TEST

/* x, residual and y in 16 bits: what they are in 32 is exactly these, and y is rounded once. */
START_TEST(operands_of_16_bits_give_the_same_bits)
{
    const project_case c = case_of(_i);

    lab_seed((uint64_t)_i);
    const trial t = rounded_trial(&c);
    eet_project_args a = project_up(&t, &c);
    const int64_t residuals = t.residual != NULL ? (int64_t)c.rows * a.w.n : 0;
    float *y = lab_block(t.y_count * 4);
    uint16_t *halves = lab_block(t.y_count * 2);
    void *pages[2] = {NULL, NULL};

    ON_DEVICE(project, &a);
    device_down(y, a.y, t.y_count * 4);
    if (c.to != EET_TO_Y) {
        pages[0] = lab_block(pages_bytes(&a.pages));
        pages[1] = lab_block(pages_bytes(&a.pages));
        device_down(pages[0], a.pages.data, pages_bytes(&a.pages));
        a.pages = device_pages(t.args[0].pages);
    }
    a.x = device_up(in_16_bits(t.args[0].x, (int64_t)c.rows * c.k, c.dtype),
                    (int64_t)c.rows * c.k * 2);
    a.x_dtype = a.y_dtype = c.dtype;
    a.y = device_up(halves, t.y_count * 2);
    if (residuals > 0 && c.residual != NORMED) {
        a.residual = device_up(in_16_bits(t.residual, residuals, c.dtype), residuals * 2);
        a.residual_dtype = c.dtype;
        a.y = c.residual == ALIASED ? (void *)a.residual : a.y;
    }
    ON_DEVICE(project, &a);
    device_down(halves, a.y, t.y_count * 2);
    ck_assert_mem_eq(halves, in_16_bits(y, t.y_count, c.dtype), (size_t)t.y_count * 2);
    if (c.to != EET_TO_Y) {
        device_down(pages[1], a.pages.data, pages_bytes(&a.pages));
        ck_assert_mem_eq(pages[1], pages[0], (size_t)pages_bytes(&a.pages));
    }
    device_free();
}
END_TEST

/* Rows alone and in parts. */
START_TEST(a_row_of_a_product_is_the_same_alone)
{
    static const int32_t ks[] = {1032, 1030, 64};
    const project_case c = {.rows = 300,
                            .n = 264,
                            .k = ks[_i / 2],
                            .dtype = _i % 2 == 0 ? EET_F16 : EET_BF16,
                            .act = EET_ACT_GELU_ERF,
                            .bias = true,
                            .residual = RAW};
    const trial t = rounded_trial(&c);
    eet_project_args a = project_up(&t, &c);
    float *together = lab_block(t.y_count * 4);
    float *parted = lab_block(t.y_count * 4);

    ON_DEVICE(project, &a);
    device_down(together, a.y, t.y_count * 4);
    const float *x = a.x;
    const float *residual = a.residual;

    for (int32_t row = 0; row < c.rows; row += a.rows) {
        a.rows = row < 100 ? 1 : (c.rows - row < 131 ? c.rows - row : 131);
        a.x = x + (int64_t)row * c.k;
        a.residual = residual + (int64_t)row * c.n;
        ON_DEVICE(project, &a);
        device_down(parted + (int64_t)row * c.n, a.y, (int64_t)a.rows * c.n * 4);
    }
    ck_assert_mem_eq(parted, together, (size_t)t.y_count * 4);
    device_free();
}
END_TEST

/* Of every end that a kernel is made for, in less than a tile and in several for a block. */
static const project_case ends[] = {
    {.rows = 300, .n = 520, .k = 136, .act = EET_ACT_GELU_ERF, .bias = true},
    {.rows = 1500, .n = 2056, .k = 1032, .act = EET_ACT_GELU_TANH, .bias = true},
    {.rows = 129, .n = 200, .k = 72, .act = EET_ACT_RELU},
    {.rows = 1100, .n = 776, .k = 520, .bias = true},
    {.rows = 1500, .n = 776, .k = 1032, .bias = true, .residual = RAW},
    {.rows = 70, .n = 72, .k = 64, .residual = RAW},
    {.rows = 700, .n = 776, .k = 520, .bias = true, .residual = ALIASED},
    {.rows = 160, .to = EET_TO_Q_AND_PAGES, .heads = 4, .head_dim = 64, .k = 520, .bias = true},
    {.rows = 150, .to = EET_TO_PAGES, .heads = 5, .head_dim = 72, .k = 136},
};

enum { ENDS = sizeof ends / sizeof *ends };

/* A device's product: y and the pages, each of them NaN before. */
typedef struct product {
    int64_t bytes[2];
    void *y[2];
} product;

static product product_of(const trial *t, int32_t dtype) {
    const bool paged = t->args[0].pages.data != NULL;
    product p = {
        .bytes = {t->y_count * eet_float_bytes(dtype), paged ? pages_bytes(&t->args[0].pages) : 0}};

    p.y[0] = lab_block(p.bytes[0]);
    p.y[1] = lab_block(p.bytes[1]);
    return p;
}

static void multiply_into(product *p, const trial *t, const project_case *c, eet_finish f,
                          eet_backend *backend, int32_t tile) {
    const int32_t dtype = f.a.y_dtype;

    memset(p->y[0], 0xFF, (size_t)p->bytes[0]);
    f.a.y = device_up(p->y[0], p->bytes[0]);
    f.a.pages = device_pages(t->args[0].pages);
    if (t->residual != NULL) {
        const void *residual =
            dtype == EET_F32 ? t->residual : in_16_bits(t->residual, t->y_count, dtype);

        f.a.residual = device_up(residual, p->bytes[0]);
        f.a.residual_dtype = dtype;
        f.a.y = c->residual == ALIASED ? (void *)f.a.residual : f.a.y;
    }
    ck_assert_int_eq(eet_backend_entry()->sync(device_backend()), EET_OK); /* what has gone up */
    ck_assert_int_eq(eet_gemm_sm90(backend, &f, tile), EET_OK);
    ck_assert_int_eq(eet_backend_entry()->sync(backend), EET_OK);
    device_down(p->y[0], f.a.y, p->bytes[0]);
    if (p->bytes[1] > 0) {
        device_down(p->y[1], f.a.pages.data, p->bytes[1]);
    }
}

/* Where the device has them at all; on all multiprocessors and on an odd few, and those of an end
 * that takes any outputs one by one. */
START_TEST(every_tile_gives_the_same_bits)
{
    project_case c = ends[_i / 4];

    c.dtype = _i % 2 == 0 ? EET_F16 : EET_BF16;
    c.page_dtype = c.dtype;
    const int32_t dtype = _i / 2 % 2 == 0 ? c.dtype : (int32_t)EET_F32;
    const trial t = rounded_trial(&c);
    eet_finish f = {.a = project_up(&t, &c)};
    eet_backend *backends[] = {device_backend(), NULL};
    product any = product_of(&t, dtype);
    product p = product_of(&t, dtype);

    f.y_columns = eet_project_y_columns(&f.a);
    f.a.x = device_up(in_16_bits(t.args[0].x, (int64_t)c.rows * c.k, c.dtype),
                      (int64_t)c.rows * c.k * 2);
    f.a.x_dtype = c.dtype;
    f.a.y_dtype = dtype;
    (void)setenv("EET_SMS", "5", 1);
    ck_assert_int_eq(eet_backend_entry()->open(&(eet_backend_options){0}, &backends[1]), EET_OK);
    (void)unsetenv("EET_SMS");
    if (eet_gemm_sm90_takes(device_backend(), &f.a.w)) {
        multiply_into(&any, &t, &c, f, device_backend(), 0);
        f.wide = true;
        for (int32_t i = 0; i < 2 * EET_GEMM_TILES; ++i) {
            multiply_into(&p, &t, &c, f, backends[i % 2], i / 2);
            ck_assert_msg(memcmp(p.y[0], any.y[0], (size_t)any.bytes[0]) == 0, "tile %d", i / 2);
            ck_assert_msg(memcmp(p.y[1], any.y[1], (size_t)any.bytes[1]) == 0, "tile %d", i / 2);
        }
    }
    eet_backend_entry()->close(backends[1]);
    device_free();
}
END_TEST

/* With biases that y's dtype has and that it has not; the first number
 * of rows opens the library, where there is one. */
START_TEST(a_library_gives_our_bits_or_nothing)
{
    static const int32_t rows[] = {1500, 1, 33, 64, 65, 128, 200, 257, 512, 700, 1024, 1100, 3000};
    enum { COUNT = sizeof rows / sizeof *rows, MOST_ROWS = 3000 };
    const bool exact = _i / 8 % 2 == 0;
    const project_case c = {.rows = MOST_ROWS,
                            .n = 776,
                            .k = 1032,
                            .dtype = _i % 2 == 0 ? EET_F16 : EET_BF16,
                            .bias = _i / 16 == 0,
                            .residual = _i / 4 % 2 == 0 ? RAW : NO_RESIDUAL};
    const int32_t dtype = _i / 2 % 2 == 0 ? (int32_t)EET_F32 : c.dtype;
    const trial t = rounded_trial(&c);
    eet_finish f = {.a = project_up(&t, &c), .y_columns = c.n, .wide = true};
    const int64_t bytes = t.y_count * eet_float_bytes(dtype);
    void *ours = lab_block(bytes);
    void *y = lab_block(bytes);
    int32_t taken = 0;

    if (exact && c.bias) {
        float *bias = lab_block(c.n * (int64_t)4);

        device_down(bias, f.a.bias, c.n * (int64_t)4);
        round_all(bias, c.n, c.dtype);
        f.a.bias = device_up(bias, c.n * (int64_t)4);
    }
    f.a.x = device_up(in_16_bits(t.args[0].x, (int64_t)c.rows * c.k, c.dtype),
                      (int64_t)c.rows * c.k * 2);
    f.a.x_dtype = c.dtype;
    f.a.y_dtype = f.a.residual_dtype = dtype;
    if (t.residual != NULL && dtype != EET_F32) {
        f.a.residual = device_up(in_16_bits(t.residual, t.y_count, dtype), bytes);
    }
    f.a.y = device_up(y, bytes);
    for (int32_t i = 0; i < COUNT && eet_gemm_sm90_takes(device_backend(), &f.a.w); ++i) {
        const size_t some = (size_t)(bytes / MOST_ROWS * rows[i]);

        f.a.rows = rows[i];
        ck_assert_int_eq(eet_gemm_sm90(device_backend(), &f, -1), EET_OK);
        device_down(ours, f.a.y, bytes);
        if (eet_lt_multiply(device_backend(), &f)) {
            ++taken;
            device_down(y, f.a.y, bytes);
            ck_assert_mem_eq(y, ours, some);
        }
    }
    ck_assert_msg(taken == 0 || taken == COUNT - 1, "%d", taken); /* a row alone is ours */
    ck_assert(exact || !c.bias || dtype == EET_F32 || taken == 0);
    device_free();
}
END_TEST

/* What was tried before, and what was not: then it is our own kernel's. */
START_TEST(a_recorded_product_has_the_same_bits)
{
    const project_case c = {.rows = 1500, .n = 520, .k = 264, .dtype = EET_BF16};
    const trial t = rounded_trial(&c);
    eet_project_args a = project_up(&t, &c);
    float *first = lab_block(t.y_count * 4);
    float *y = lab_block(t.y_count * 4);
    const size_t bytes = (size_t)(_i == 0 ? 300 : c.rows) * (size_t)c.n * 4;
    const eet_backend_api *api = eet_backend_entry();
    void *graph = NULL;

    a.rows = 300; /* opens the library */
    ON_DEVICE(project, &a);
    a.rows = _i == 0 ? 300 : c.rows;
    ck_assert_int_eq(api->graph_begin(device_backend()), EET_OK);
    ON_DEVICE(project, &a);
    ck_assert_int_eq(api->graph_end(device_backend(), &graph), EET_OK);
    ck_assert_int_eq(api->graph_launch(device_backend(), graph), EET_OK);
    device_down(first, a.y, t.y_count * 4);
    ON_DEVICE(project, &a);
    device_down(y, a.y, t.y_count * 4);
    ck_assert_mem_eq(y, first, bytes);
    api->graph_free(device_backend(), graph);
    device_free();
}
END_TEST

/* Every pair of dtypes, in widths of a warp, of a block, of several and of none; with and without
 * an index, and copies. */
START_TEST(norms_in_any_dtypes_agree_with_the_reference)
{
    static const int32_t widths[] = {1, 7, 8, 768, 1001, 1024, 1600, 4096, 8200, 16384, 24600};
    static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    enum { ROWS = 11 };
    const int32_t cols = widths[_i % 11];
    const bool copy = _i / 11 == 1;
    const int64_t count = (int64_t)ROWS * cols;

    lab_seed((uint64_t)_i);
    for (int32_t k = 0; k < 9; ++k) {
        const int32_t from = dtypes[k / 3];
        const int32_t to = dtypes[k % 3];
        eet_norm_args want = {.x = lab_floats(count, k % 2 == 0 ? LAB_FAR : LAB_PLAIN),
                              .index = k % 4 != 0 ? lab_ints(ROWS, ROWS) : NULL,
                              .norm = copy ? (eet_norm_weights){0} : lab_norm(cols, k % 3 != 0),
                              .rows = ROWS,
                              .cols = cols,
                              .y = lab_block(count * 4)};
        round_all(want.x, count, from);
        ck_assert_int_eq(eet_norm_ref(NULL, &want), EET_OK);
        eet_norm_args got = want;
        void *y = lab_block(count * 4);

        got.x = device_up(from == EET_F32 ? want.x : in_16_bits(want.x, count, from),
                          count * eet_float_bytes(from));
        got.x_dtype = from;
        got.y_dtype = to;
        got.index = device_up(want.index, ROWS * 4);
        got.norm = device_norm(want.norm, cols);
        got.y = device_up(y, count * eet_float_bytes(to));
        ON_DEVICE(norm, &got);
        device_down(y, got.y, count * eet_float_bytes(to));
        for (int64_t i = 0; i < count; ++i) {
            const double right = (double)((float *)want.y)[i];
            const double size = copy ? 0.0 : fabs(right) + 3; /* a weight <= 2, a bias <= 1 */

            expect_near((double)eet_float_at(y, to, i), right, 16 * U * size + unit_of(to, right),
                        "y", (int32_t)i);
        }
        device_free();
    }
}
END_TEST

int main(void) {
    (void)setenv("EET_CUBLASLT", "on", 0); /* off unless asked for */

    const eet_claim claims[] = {
        {.test = products_agree_with_the_reference, .rows = 2 * CASES},
        {.test = operands_of_16_bits_give_the_same_bits, .rows = 2 * CASES},
        {.test = a_row_of_a_product_is_the_same_alone, .rows = 6},
        {.test = every_tile_gives_the_same_bits, .rows = 4 * ENDS},
        {.test = a_library_gives_our_bits_or_nothing, .rows = 24},
        {.test = a_recorded_product_has_the_same_bits, .rows = 2},
        {.test = norms_in_any_dtypes_agree_with_the_reference, .rows = 22},
    };

    (void)setenv("CK_FORK", "no", 1);
    if (!device_open()) {
        return 77;
    }
    const int code = eet_suite_run("gemm", claims, sizeof claims / sizeof *claims);

    device_close();
    return code;
}
