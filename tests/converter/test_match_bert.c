/* test_match_bert.c - names and shapes of a BERT find their places, and those of a
 * family that exists as a table of this test alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/converter/shelf.h"
#include "tests/support/suite.h"

/* ---- BERT ----------------------------------------------------------------- */

static model make_bert(const char *architecture, const char *gain, const char *shift) {
    model m = {.source = make_source()};
    char text[512];

    (void)snprintf(text, sizeof text,
                   "{\"architectures\": [\"%s\"], \"hidden_size\": 4, \"num_attention_heads\": 2, "
                   "\"num_hidden_layers\": 1, \"max_position_embeddings\": 8, \"vocab_size\": 10, "
                   "\"intermediate_size\": 16}",
                   architecture);
    read_config(&m, text);
    add(m.source, "bert.embeddings.word_embeddings.weight", V, D);
    add(m.source, "bert.embeddings.position_embeddings.weight", P, D);
    add(m.source, "bert.embeddings.token_type_embeddings.weight", 2, D);
    add_pair(m.source, "bert.embeddings.LayerNorm", D, 0, gain, shift);
    add_pair(m.source, "bert.encoder.layer.0.attention.self.value", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.self.query", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.self.key", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.output.dense", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.output.LayerNorm", D, 0, gain, shift);
    add_pair(m.source, "bert.encoder.layer.0.intermediate.dense", F, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.output.dense", D, F, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.output.LayerNorm", D, 0, gain, shift);
    return m;
}

START_TEST(query_key_and_value_are_stacked_in_that_order)
{
    model m = make_bert("BertModel", "weight", "bias");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_uint_eq(place_named(&m, "enc.0000.attn.qkv.w")->dims[0], 3 * D);
    ck_assert_str_eq(tensor_of(&m, "enc.0000.attn.qkv.w", 0),
                     "bert.encoder.layer.0.attention.self.query.weight");
    ck_assert_str_eq(tensor_of(&m, "enc.0000.attn.qkv.w", 1),
                     "bert.encoder.layer.0.attention.self.key.weight");
    ck_assert_str_eq(tensor_of(&m, "enc.0000.attn.qkv.b", 2),
                     "bert.encoder.layer.0.attention.self.value.bias");
    ck_assert_int_eq(m.plan.facts.heads, 0); /* no pooler in the file, no head */
    end(&m);
}
END_TEST

START_TEST(a_pooler_in_the_file_is_a_head)
{
    model m = make_bert("BertModel", "gamma", "beta");

    add_pair(m.source, "bert.pooler.dense", D, D, "weight", "bias");
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.facts.heads, 1);
    ck_assert_str_eq(m.plan.facts.head[0].name, "pooler");
    ck_assert_uint_eq(place_named(&m, "head.pooler.dense.w")->dims[1], D);
    end(&m);
}
END_TEST

static model make_mlm(void) {
    model m = make_bert("BertForMaskedLM", "weight", "bias");

    add_pair(m.source, "cls.predictions.transform.dense", D, D, "weight", "bias");
    add_pair(m.source, "cls.predictions.transform.LayerNorm", D, 0, "weight", "bias");
    add(m.source, "cls.predictions.bias", V, 0);
    return m;
}

START_TEST(a_masked_language_model_shares_its_matrix_with_the_embedding)
{
    model m = make_mlm();

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(place_named(&m, "head.mlm.out.w")->share, 0);
    ck_assert_uint_eq(place_named(&m, "head.mlm.out.b")->dims[0], V);
    ck_assert_int_eq(m.plan.facts.head[0].act, EET_ACT_GELU_ERF);
    end(&m);
}
END_TEST

START_TEST(the_bias_of_the_decoder_may_come_twice_but_not_differ)
{
    for (int differs = 0; differs < 2; differs++) {
        model m = make_mlm();

        add_filled(m.source, "cls.predictions.decoder.bias", V, 0, (unsigned char)differs);
        ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
        ck_assert_int_eq(eet_settle_twins(m.source, &m.plan, &m.err),
                         differs ? EET_E_CORRUPT : EET_OK);
        end(&m);
    }
}
END_TEST

START_TEST(old_and_new_names_of_one_norm_must_agree)
{
    for (int differs = 0; differs < 2; differs++) {
        model m = make_bert("BertModel", "gamma", "beta");

        add_filled(m.source, "bert.embeddings.LayerNorm.weight", D, 0, (unsigned char)differs);
        ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
        ck_assert_int_eq(eet_settle_twins(m.source, &m.plan, &m.err),
                         differs ? EET_E_CORRUPT : EET_OK);
        end(&m);
    }
}
END_TEST

START_TEST(the_next_sentence_head_stands_on_the_pooler)
{
    model m = make_mlm();

    add(m.source, "cls.seq_relationship.weight", 2, D);
    add(m.source, "cls.seq_relationship.bias", 2, 0);
    ck_assert_int_eq(match(&m, NULL), EET_E_CORRUPT);
    ck_assert_msg(strstr(m.err.text, "\"pooler\"") != NULL, "%s", m.err.text);
    eet_error_clear(&m.err);
    add_pair(m.source, "bert.pooler.dense", D, D, "weight", "bias");
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.facts.heads, 3);
    const eet_place *dense = place_named(&m, "head.nsp.dense.w");

    ck_assert_int_eq(dense->share, (int)(place_named(&m, "head.pooler.dense.w") - m.plan.place));
    end(&m);
}
END_TEST

/* ---- a family that exists here alone --------------------------------------- */

#define ENC(part) \
    { .group = EET_GROUP_ENC, .slot = EET_SLOT_##part }

static const char *const toy_prefixes[] = {"toy.", NULL};
static const eet_rule toy_rules[] = {
    {.pattern = "words", .spot = ENC(EMB_TOK), .shape = {{EET_SYM_VOCAB, 1}, {EET_SYM_HIDDEN, 1}}},
    {.pattern = "places",
     .spot = ENC(EMB_POS),
     .shape = {{EET_SYM_POSITIONS, 1}, {EET_SYM_HIDDEN, 1}},
     .drop_rows = 2},
    {.pattern = "b.*.n1", .spot = ENC(ATTN_NORM), .shape = {{EET_SYM_HIDDEN, 1}}},
    {.pattern = "b.*.n2", .spot = ENC(FFN_NORM), .shape = {{EET_SYM_HIDDEN, 1}}},
    {.pattern = "b.*.qkv",
     .spot = ENC(ATTN_QKV),
     .shape = {{EET_SYM_INNER, 3}, {EET_SYM_HIDDEN, 1}}},
    {.pattern = "b.*.out",
     .spot = ENC(ATTN_OUT),
     .shape = {{EET_SYM_HIDDEN, 1}, {EET_SYM_INNER, 1}}},
    {.pattern = "b.*.up", .spot = ENC(FFN_FC1), .shape = {{EET_SYM_FFN, 1}, {EET_SYM_HIDDEN, 1}}},
    {.pattern = "b.*.down", .spot = ENC(FFN_FC2), .shape = {{EET_SYM_HIDDEN, 1}, {EET_SYM_FFN, 1}}},
    {.pattern = "labels",
     .spot = {.group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_OUT},
     .shape = {{EET_SYM_LABELS, 1}, {EET_SYM_HIDDEN, 1}},
     .plain = true},
    {0},
};
static const eet_buffer toy_buffers[] = {{0}};
static const eet_key_row toy_keys[] = {{0}};
static const eet_head_row toy_heads[] = {{.name = "class", .stack = EET_ENC, .take = EET_TAKE_MEAN},
                                         {0}};
static const eet_class toy_classes[] = {{.name = "ToyModel", .must = 1}, {0}};
static const eet_family toy = {.name = "toy",
                               .title = "Toy",
                               .prefixes = toy_prefixes,
                               .rules = toy_rules,
                               .buffers = toy_buffers,
                               .keys = toy_keys,
                               .heads = toy_heads,
                               .classes = toy_classes};

static model make_toy(void) {
    model m = {.source = make_source(), .config = {.family = &toy, .class = toy_classes}};
    eet_stack_facts *facts = &m.config.facts.stack[EET_ENC];

    *facts = eet_stack_facts_default();
    facts->present = true;
    facts->layers = 1;
    facts->heads = 2;
    facts->head_dim = 3; /* heads x head size need not be the width */
    facts->hidden = D;
    facts->emb_dim = D;
    facts->pos_table = true;
    facts->vocab_size = V;
    add(m.source, "toy.words", V, D);
    add(m.source, "toy.places", P + 2, D);
    add(m.source, "toy.b.0.n1", D, 0);
    add(m.source, "toy.b.0.n2", D, 0);
    add(m.source, "toy.b.0.qkv", 18, D);
    add(m.source, "toy.b.0.out", D, 6);
    add(m.source, "toy.b.0.up", F, D);
    add(m.source, "toy.b.0.down", D, F);
    add(m.source, "labels", 5, D);
    return m;
}

START_TEST(a_table_alone_makes_a_family)
{
    model m = make_toy();

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(m.plan.facts.stack[EET_ENC].vocab_rows, V); /* bound by the tensors */
    ck_assert_int_eq(m.plan.facts.stack[EET_ENC].ffn, F);
    ck_assert_int_eq(m.plan.facts.stack[EET_ENC].pos_rows, P); /* leading rows dropped */
    ck_assert_uint_eq(place_named(&m, "enc.emb.pos")->dims[0], P);
    ck_assert_uint_eq(place_named(&m, "head.class.out.w")->dims[0], 5);
    end(&m);
}
END_TEST

START_TEST(a_symbol_bound_by_one_tensor_holds_for_the_next)
{
    model m = make_toy();

    m.source->tensor[7].shape[1] = F - 1;
    expect_failure(&m, EET_E_CORRUPT,
                   "\"toy.b.0.down\" is (4, 15), expected (4, 16): ffn is 16 by \"toy.b.0.up\"");
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = query_key_and_value_are_stacked_in_that_order},
        {.test = a_pooler_in_the_file_is_a_head},
        {.test = a_masked_language_model_shares_its_matrix_with_the_embedding},
        {.test = the_bias_of_the_decoder_may_come_twice_but_not_differ},
        {.test = old_and_new_names_of_one_norm_must_agree},
        {.test = the_next_sentence_head_stands_on_the_pooler},
        {.test = a_table_alone_makes_a_family},
        {.test = a_symbol_bound_by_one_tensor_holds_for_the_next},
    };

    return eet_suite_run("match_bert", claims, sizeof claims / sizeof *claims);
}
