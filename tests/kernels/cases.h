/* cases.h - the shapes and kinds that every op is tried with.
 *
 * Tolerances are bounds, not guesses. u = 2^-24. A sum over k in lanes of 8 (the fewest
 * that any instruction set has), in parts of at most 1,024, is off by at most
 * (min(k, 1024) / 8 + k / 1024 + 12) u sum |x||w|. A norm adds 16 u of its operand's size,
 * an activation's function 8 u, results in f16 and bf16 one unit of their last place. */
#ifndef EET_TESTS_KERNELS_CASES_H
#define EET_TESTS_KERNELS_CASES_H

#include "tests/kernels/lab.h"

enum { NO_NORM = 0, NORM = 1, NORM_AND_BIAS = 2 };
enum { NO_RESIDUAL = 0, RAW = 1, ALIASED = 2, NORMED = 3 };

typedef struct project_case {
    int32_t rows, n, k, extra; /* ld = k + extra */
    int32_t dtype, act, norm, residual;
    bool bias;
    int32_t to, heads, head_dim, page_dtype; /* for pages */
    lab_kind kind, residual_kind;
} project_case;

static const project_case project_cases[] = {
    /* every number of rows of a tile, and one more; columns that are no multiple of 4 */
    {.rows = 1, .n = 1, .k = 1, .dtype = EET_F32},
    {.rows = 1, .n = 50, .k = 768, .dtype = EET_F32, .bias = true},
    {.rows = 2, .n = 7, .k = 33, .dtype = EET_F32},
    {.rows = 3, .n = 9, .k = 15, .dtype = EET_F32},
    {.rows = 4, .n = 66, .k = 16, .dtype = EET_F32},
    {.rows = 5, .n = 131, .k = 17, .dtype = EET_F32},
    {.rows = 6, .n = 4, .k = 31, .dtype = EET_F32},
    {.rows = 7, .n = 5, .k = 8, .dtype = EET_F32},
    {.rows = 13, .n = 65, .k = 7, .dtype = EET_F32},
    {.rows = 49, .n = 67, .k = 24, .dtype = EET_F32, .bias = true},
    {.rows = 100, .n = 130, .k = 40, .dtype = EET_F32},
    /* k in more than one part: 1,024 is one, 1,025 two; rows of weights apart */
    {.rows = 2, .n = 6, .k = 1024, .dtype = EET_F32},
    {.rows = 7, .n = 6, .k = 1025, .extra = 3, .dtype = EET_F32},
    {.rows = 8, .n = 66, .k = 1600, .extra = 1, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 1, .n = 10, .k = 3072, .extra = 8, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 3, .n = 5, .k = 4099, .extra = 5, .dtype = EET_F32},
    /* the other dtypes, with the same edges */
    {.rows = 1, .n = 33, .k = 64, .dtype = EET_F16, .bias = true},
    {.rows = 5, .n = 6, .k = 1, .dtype = EET_F16},
    {.rows = 7, .n = 66, .k = 29, .extra = 2, .dtype = EET_F16, .kind = LAB_WILD},
    {.rows = 52, .n = 10, .k = 1030, .extra = 7, .dtype = EET_F16},
    {.rows = 1, .n = 33, .k = 64, .dtype = EET_BF16, .bias = true},
    {.rows = 4, .n = 6, .k = 3, .dtype = EET_BF16},
    {.rows = 6, .n = 66, .k = 31, .extra = 2, .dtype = EET_BF16, .kind = LAB_WILD},
    {.rows = 50, .n = 9, .k = 2049, .extra = 1, .dtype = EET_BF16},
    /* every activation, on small and on extreme sums */
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_RELU, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_GELU_ERF, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_GELU_TANH, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_SILU, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_QUICK_GELU, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_TANH, .dtype = EET_F32, .bias = true},
    {.rows = 3, .n = 70, .k = 32, .act = EET_ACT_RELU2, .dtype = EET_F32, .bias = true},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_RELU, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_GELU_ERF, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_GELU_TANH, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_SILU, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_QUICK_GELU, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_TANH, .dtype = EET_F32, .kind = LAB_WILD},
    {.rows = 9, .n = 19, .k = 9, .act = EET_ACT_RELU2, .dtype = EET_F32, .kind = LAB_WILD},
    /* norms on x and on the residual, aliasing */
    {.rows = 1, .n = 24, .k = 24, .norm = NORM, .dtype = EET_F32, .residual = RAW},
    {.rows = 5, .n = 70, .k = 31, .norm = NORM_AND_BIAS, .dtype = EET_F32, .residual = ALIASED},
    {.rows = 9, .n = 33, .k = 1030, .norm = NORM_AND_BIAS, .dtype = EET_F32, .residual = NORMED},
    {.rows = 9,
     .n = 33,
     .k = 17,
     .norm = NORM,
     .dtype = EET_BF16,
     .residual = NORMED,
     .bias = true},
    {.rows = 60, .n = 65, .k = 48, .dtype = EET_F32, .residual = NORMED, .act = EET_ACT_GELU_TANH},
    {.rows = 60, .n = 65, .k = 48, .dtype = EET_F16, .residual = ALIASED, .bias = true},
    {.rows = 4, .n = 40, .k = 40, .norm = NORM, .dtype = EET_F32, .kind = LAB_FAR},
    {.rows = 4, .n = 40, .k = 40, .dtype = EET_F32, .residual = NORMED, .kind = LAB_FAR},
    {.rows = 7, .n = 333, .k = 3, .dtype = EET_F32, .residual = NORMED, .residual_kind = LAB_FAR},
    {.rows = 6, .n = 12, .k = 50, .norm = NORM_AND_BIAS, .dtype = EET_F32, .kind = LAB_WILD},
    /* the other destinations; heads of every awkward size, across a page's border */
    {.rows = 70,
     .to = EET_TO_Q_AND_PAGES,
     .heads = 2,
     .head_dim = 26,
     .k = 52,
     .bias = true,
     .dtype = EET_F32,
     .page_dtype = EET_F32,
     .norm = NORM_AND_BIAS},
    {.rows = 5,
     .to = EET_TO_Q_AND_PAGES,
     .heads = 3,
     .head_dim = 72,
     .k = 30,
     .dtype = EET_F32,
     .page_dtype = EET_F16},
    {.rows = 1,
     .to = EET_TO_Q_AND_PAGES,
     .heads = 12,
     .head_dim = 64,
     .k = 20,
     .bias = true,
     .dtype = EET_BF16,
     .page_dtype = EET_BF16},
    {.rows = 9,
     .to = EET_TO_Q_AND_PAGES,
     .heads = 5,
     .head_dim = 3,
     .k = 15,
     .dtype = EET_F16,
     .page_dtype = EET_F32},
    {.rows = 66,
     .to = EET_TO_PAGES,
     .heads = 2,
     .head_dim = 80,
     .k = 33,
     .bias = true,
     .dtype = EET_F32,
     .page_dtype = EET_F16},
    {.rows = 3,
     .to = EET_TO_PAGES,
     .heads = 4,
     .head_dim = 1,
     .k = 11,
     .dtype = EET_F32,
     .page_dtype = EET_BF16},
};

typedef struct attention_case {
    int32_t rows;
    int32_t queries[4], keys[4]; /* of each row */
    int32_t heads, head_dim;
    bool causal, paged;
    int32_t dtype; /* of pages */
    lab_kind kind;
} attention_case;

static const attention_case attention_cases[] = {
    {.rows = 1, .queries = {1}, .keys = {1}, .heads = 1, .head_dim = 1},
    {.rows = 1, .queries = {1}, .keys = {64}, .heads = 2, .head_dim = 64},
    {.rows = 1, .queries = {65}, .keys = {65}, .heads = 3, .head_dim = 26, .causal = true},
    {.rows = 1, .queries = {130}, .keys = {130}, .heads = 1, .head_dim = 80},
    {.rows = 3,
     .queries = {5, 1, 63},
     .keys = {9, 128, 129},
     .heads = 2,
     .head_dim = 72,
     .causal = true},
    {.rows = 4, .queries = {7, 0, 6, 64}, .keys = {7, 1, 200, 64}, .heads = 2, .head_dim = 40},
    {.rows = 1, .queries = {20}, .keys = {20}, .heads = 2, .head_dim = 256, .causal = true},
    {.rows = 2,
     .queries = {12, 9},
     .keys = {70, 9},
     .heads = 2,
     .head_dim = 33,
     .causal = true,
     .kind = LAB_WILD},
    {.rows = 1,
     .queries = {1},
     .keys = {65},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true,
     .dtype = EET_F32},
    {.rows = 3,
     .queries = {70, 1, 6},
     .keys = {70, 129, 64},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true,
     .dtype = EET_F32},
    {.rows = 4,
     .queries = {1, 1, 1, 1},
     .keys = {1, 63, 64, 66},
     .heads = 3,
     .head_dim = 26,
     .causal = true,
     .paged = true,
     .dtype = EET_F16},
    {.rows = 2,
     .queries = {50, 5},
     .keys = {120, 68},
     .heads = 2,
     .head_dim = 72,
     .causal = true,
     .paged = true,
     .dtype = EET_F16},
    {.rows = 2,
     .queries = {50, 5},
     .keys = {120, 68},
     .heads = 2,
     .head_dim = 80,
     .causal = true,
     .paged = true,
     .dtype = EET_BF16},
    {.rows = 2,
     .queries = {3, 8},
     .keys = {66, 1},
     .heads = 2,
     .head_dim = 5,
     .paged = true,
     .dtype = EET_BF16},
};

typedef struct rows_case {
    int32_t rows, cols;
    int32_t norm;
    bool indexed;
    lab_kind kind;
} rows_case;

static const rows_case rows_cases[] = {
    {.rows = 1, .cols = 1, .norm = NORM},
    {.rows = 3, .cols = 768, .norm = NORM_AND_BIAS},
    {.rows = 9, .cols = 15, .norm = NORM, .indexed = true},
    {.rows = 17, .cols = 1027, .norm = NORM_AND_BIAS, .indexed = true, .kind = LAB_WILD},
    {.rows = 2, .cols = 100, .norm = NORM_AND_BIAS, .kind = LAB_FAR},
    {.rows = 5, .cols = 33, .norm = NO_NORM, .indexed = true},
    {.rows = 40, .cols = 600, .norm = NO_NORM},
};

enum {
    PROJECT_CASES = sizeof project_cases / sizeof project_cases[0],
    ATTENTION_CASES = sizeof attention_cases / sizeof attention_cases[0],
    ROWS_CASES = sizeof rows_cases / sizeof rows_cases[0]
};

#endif
