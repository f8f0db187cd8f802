/* test_keras_names.c - names of TensorFlow's variables as Transformers has them in PyTorch. */
#include <string.h>

#include "converter/keras_names.h"
#include "tests/support/suite.h"

static const struct {
    const char *keras, *torch;
    int32_t rank;
    uint64_t rows;
    eet_keras_turn turn;
} rows[] = {
    {"tf_bert/bert/encoder/layer_._0/attention/self/query/kernel:0",
     "bert.encoder.layer.0.attention.self.query.weight", 2, 8, EET_KERAS_TURNED},
    {"tf_bert/bert/encoder/layer_._11/output/LayerNorm/gamma:0",
     "bert.encoder.layer.11.output.LayerNorm.weight", 1, 8, EET_KERAS_AS_IS},
    {"tf_bert/bert/embeddings/LayerNorm/beta:0", "bert.embeddings.LayerNorm.bias", 1, 8,
     EET_KERAS_AS_IS},
    {"tf_bert/bert/embeddings/word_embeddings/weight:0", "bert.embeddings.word_embeddings.weight",
     2, 8, EET_KERAS_AS_IS},
    {"tf_bert/bert/embeddings/position_embeddings/embeddings:0",
     "bert.embeddings.position_embeddings.weight", 2, 8, EET_KERAS_AS_IS},
    {"tf_bert/mlm___cls/predictions/bias:0", "cls.predictions.bias", 1, 8, EET_KERAS_AS_IS},
    {"tf_bert/nsp___cls/seq_relationship/kernel:0", "cls.seq_relationship.weight", 2, 8,
     EET_KERAS_TURNED},
    {"tfgpt2/transformer/h_._3/attn/c_attn/weight:0", "transformer.h.3.attn.c_attn.weight", 2, 8,
     EET_KERAS_AS_IS},
    {"tfgpt2/transformer/h_._3/attn/c_attn/bias:0", "transformer.h.3.attn.c_attn.bias", 2, 1,
     EET_KERAS_ROW},
    {"tfgpt2/transformer/wte/embeddings:0", "transformer.wte.weight", 2, 8, EET_KERAS_AS_IS},
    {"model//double///kernel", "double.weight", 2, 8, EET_KERAS_TURNED},
    {"model/x/kernel:0", "x.weight", 3, 8, EET_KERAS_AS_IS},
    {"model/x/kernels:0", "x.kernels", 2, 8, EET_KERAS_AS_IS},
    {"alone:0", "alone", 1, 8, EET_KERAS_AS_IS},
    {"model/a___b___c/x:0", "c.x", 1, 8, EET_KERAS_AS_IS},
    {"", "", 0, 0, EET_KERAS_AS_IS},
    {"___", "", 0, 0, EET_KERAS_AS_IS},
    {"m/_._", ".", 0, 0, EET_KERAS_AS_IS},
};

START_TEST(a_variable_gets_the_name_and_orientation_of_pytorch)
{
    const uint64_t shape[8] = {rows[_i].rows, 3, 4};
    char name[EET_KERAS_NAME + 1];
    eet_keras_turn turn = EET_KERAS_AS_IS;

    ck_assert(eet_keras_name(rows[_i].keras, true, rows[_i].rank, shape, name, &turn));
    ck_assert_str_eq(name, rows[_i].torch);
    ck_assert_int_eq(turn, rows[_i].turn);
}
END_TEST

START_TEST(level_zero_may_be_gone_already)
{
    const uint64_t shape[8] = {2, 3};
    char name[EET_KERAS_NAME + 1];
    eet_keras_turn turn = EET_KERAS_AS_IS;

    ck_assert(eet_keras_name("mlm___cls/predictions/transform/dense/kernel:0", false, 2, shape,
                             name, &turn));
    ck_assert_str_eq(name, "cls.predictions.transform.dense.weight");
    ck_assert_int_eq(turn, EET_KERAS_TURNED);
}
END_TEST

START_TEST(a_name_that_does_not_fit_is_refused)
{
    const uint64_t shape[8] = {2, 3};
    char name[EET_KERAS_NAME + 1];
    char longest[EET_KERAS_NAME + 8];
    eet_keras_turn turn = EET_KERAS_AS_IS;

    for (size_t bytes = EET_KERAS_NAME - 2; bytes < EET_KERAS_NAME + 4; bytes++) {
        memset(longest, 'x', sizeof longest);
        longest[bytes] = '\0';
        ck_assert_int_eq(eet_keras_name(longest, true, 1, shape, name, &turn),
                         bytes < EET_KERAS_NAME);
    }
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_variable_gets_the_name_and_orientation_of_pytorch,
         .rows = sizeof rows / sizeof rows[0]},
        {.test = level_zero_may_be_gone_already},
        {.test = a_name_that_does_not_fit_is_refused},
    };

    return eet_suite_run("keras_names", claims, sizeof claims / sizeof *claims);
}
