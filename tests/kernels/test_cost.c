/* test_cost.c - compulsory work, counted by hand for small calls. */
#include "tests/kernels/lab.h"
#include "tests/support/suite.h"

static void expect_cost(eet_cost cost, double flops, double bytes) {
    ck_assert_double_eq(cost.flops, flops);
    ck_assert_double_eq(cost.bytes, bytes);
}

START_TEST(project_moves_every_operand_once)
{
    const float *something = lab_floats(1, LAB_PLAIN);
    eet_project_args a = {
        .w = {.n = 6, .k = 5, .ld = 9, .dtype = EET_BF16}, .rows = 3, .bias = something};

    /* weights 6 x 5 x 2, x 3 x 5 x 4, y 3 x 6 x 4, bias 6 x 4: what is between rows of
       weights is not read */
    expect_cost(eet_project_cost(&a), 2 * 3 * 6 * 5, 60 + 60 + 72 + 24);
    a.residual = something;
    expect_cost(eet_project_cost(&a), 180, 216 + 72);
    a.residual = NULL;
    a.to = EET_TO_Q_AND_PAGES; /* a third to y in f32, two thirds in f16 */
    a.pages.dtype = EET_F16;
    expect_cost(eet_project_cost(&a), 180, 60 + 60 + 24 + 3 * 2 * 4 + 3 * 4 * 2);
    a.to = EET_TO_PAGES;
    expect_cost(eet_project_cost(&a), 180, 60 + 60 + 24 + 3 * 6 * 2);
    lab_free();
}
END_TEST

START_TEST(attention_counts_the_pairs_that_see_each_other)
{
    const int32_t start[] = {0, 3, 4};
    const int32_t length[] = {5, 7};
    eet_attention_args a = {
        .rows = 2, .q_start = start, .kv_length = length, .heads = 2, .head_dim = 4};

    a.pages.dtype = EET_F16;
    /* pairs 3 x 5 + 1 x 7; keys and values of 12 tokens, q and y of 4 */
    expect_cost(eet_attention_cost(&a), 4 * 22 * 8, 2 * 12 * 8 * 2 + 2 * 4 * 8 * 4);
    a.causal = true; /* 3 + 4 + 5 and 7 */
    expect_cost(eet_attention_cost(&a), 4 * 19 * 8, 2 * 12 * 8 * 2 + 2 * 4 * 8 * 4);
}
END_TEST

START_TEST(the_small_ops_move_their_rows)
{
    const int32_t start[] = {0, 4, 6};
    const eet_norm_args norm = {.norm = lab_norm(10, true), .rows = 3, .cols = 10};
    const eet_sample_args sample = {.rows = 2, .vocab = 9};
    const eet_logprob_args logprob = {.rows = 2, .vocab = 9, .target = start, .top = 4};
    const eet_pool_args pool = {.start = start, .rows = 2, .cols = 3};
    const eet_convert_args convert = {.count = 7, .from = EET_F64, .to = EET_F16};

    expect_cost(eet_norm_cost(&norm), 7 * 30, 4 * (60 + 20));
    expect_cost(eet_sample_cost(&sample), 18, 4 * 18 + 4 * 2);
    expect_cost(eet_logprob_cost(&logprob), 3 * 18, 4 * 18 + 8 * 2 + 8 * 8);
    expect_cost(eet_pool_cost(&pool), 6 * 3 + 6, 4 * (18 + 6));
    expect_cost(eet_convert_cost(&convert), 0, 7 * 10);
    lab_free();
}
END_TEST

START_TEST(embed_and_score_count_their_product)
{
    const float *something = lab_floats(1, LAB_PLAIN);
    const int32_t one = 0;
    eet_embed_args embed = {.position = something,
                            .token_dtype = EET_F16,
                            .position_dtype = EET_F32,
                            .types = &one,
                            .tokens = 2,
                            .dim = 3,
                            .hidden = 3};
    const eet_score_args score = {.w = {.n = 4, .k = 3, .dtype = EET_F32}, .rows = 2};

    expect_cost(eet_embed_cost(&embed), 6 + 6, 6 * 2 + 6 * 4 + 6 * 4);
    embed.proj_in = (eet_matrix){.data = something, .n = 3, .k = 3, .dtype = EET_F32};
    expect_cost(eet_embed_cost(&embed), 12 + 2 * 6 * 3, 60 + 36);
    expect_cost(eet_score_cost(&score), 2 * 2 * 4 * 3, 4 * 12 + 4 * 6 + 4 * 8);
    lab_free();
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = project_moves_every_operand_once},
        {.test = attention_counts_the_pairs_that_see_each_other},
        {.test = the_small_ops_move_their_rows},
        {.test = embed_and_score_count_their_product},
    };

    return eet_suite_run("cost", claims, sizeof claims / sizeof claims[0]);
}
