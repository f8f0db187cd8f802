/* test_match_heads.c - which heads a checkpoint has: by its architecture, its tensors and
 * what the configuration says of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/converter/shelf.h"
#include "tests/support/suite.h"

/* `more` is further members of the configuration, each with a comma in front. */
static model make_bert(const char *more) {
    model m = {.source = make_source()};
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "{\"model_type\": \"bert\", \"hidden_size\": 4, \"num_attention_heads\": 2, "
                   "\"num_hidden_layers\": 1, \"max_position_embeddings\": 8, \"vocab_size\": 10, "
                   "\"intermediate_size\": 16%s}",
                   more);
    read_config(&m, text);
    add(m.source, "bert.embeddings.word_embeddings.weight", V, D);
    add(m.source, "bert.embeddings.position_embeddings.weight", P, D);
    add(m.source, "bert.embeddings.token_type_embeddings.weight", 2, D);
    add_pair(m.source, "bert.embeddings.LayerNorm", D, 0, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.self.value", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.self.query", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.self.key", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.output.dense", D, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.attention.output.LayerNorm", D, 0, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.intermediate.dense", F, D, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.output.dense", D, F, "weight", "bias");
    add_pair(m.source, "bert.encoder.layer.0.output.LayerNorm", D, 0, "weight", "bias");
    return m;
}

static model make_gpt2(const char *more) {
    model m = {.source = make_source()};
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "{\"model_type\": \"gpt2\", \"n_embd\": 4, \"n_head\": 2, \"n_layer\": 1, "
                   "\"n_positions\": 8, \"vocab_size\": 10%s}",
                   more);
    read_config(&m, text);
    add(m.source, "transformer.wte.weight", V, D);
    add(m.source, "transformer.wpe.weight", P, D);
    add_pair(m.source, "transformer.h.0.ln_1", D, 0, "weight", "bias");
    add(m.source, "transformer.h.0.attn.c_attn.weight", D, 3 * D);
    add(m.source, "transformer.h.0.attn.c_attn.bias", 3 * D, 0);
    add_pair(m.source, "transformer.h.0.attn.c_proj", D, D, "weight", "bias");
    add_pair(m.source, "transformer.h.0.ln_2", D, 0, "weight", "bias");
    add(m.source, "transformer.h.0.mlp.c_fc.weight", D, F);
    add(m.source, "transformer.h.0.mlp.c_fc.bias", F, 0);
    add(m.source, "transformer.h.0.mlp.c_proj.weight", F, D);
    add(m.source, "transformer.h.0.mlp.c_proj.bias", D, 0);
    add_pair(m.source, "transformer.ln_f", D, 0, "weight", "bias");
    return m;
}

static void add_pooler(model *m) {
    add_pair(m->source, "bert.pooler.dense", D, D, "weight", "bias");
}

static const eet_head_facts *head_named(const model *m, const char *name) {
    for (int32_t i = 0; i < m->plan.facts.heads; i++) {
        if (strcmp(m->plan.facts.head[i].name, name) == 0) {
            return &m->plan.facts.head[i];
        }
    }
    ck_abort_msg("there is no head %s", name);
    return NULL;
}

/* ---- classes by tensors ---------------------------------------------------- */

static const struct {
    bool bert, pooler, mlm;
    const char *head; /* a tensor with a bias, or NULL */
    int rows;
    const char *class;
} unnamed[] = {
    {true, false, false, NULL, 0, "BertModel"},
    {true, true, false, NULL, 0, "BertModel"},
    {true, true, false, "classifier", 2, "BertForSequenceClassification"},
    {true, false, false, "classifier", 2, "BertForTokenClassification"},
    {true, false, false, "qa_outputs", 2, "BertForQuestionAnswering"},
    {true, true, false, "cls.seq_relationship", 2, "BertForNextSentencePrediction"},
    {true, true, true, "cls.seq_relationship", 2, "BertForPreTraining"},
    {true, false, true, NULL, 0, "BertForMaskedLM"},
    {false, false, false, NULL, 0, "GPT2Model"},
    {false, false, false, "classifier", 2, "GPT2ForTokenClassification"},
    {false, false, false, "qa_outputs", 2, "GPT2ForQuestionAnswering"},
    {false, false, false, "multiple_choice_head.summary", 1, "GPT2DoubleHeadsModel"},
};
enum { UNNAMED = sizeof unnamed / sizeof *unnamed };

START_TEST(where_no_architecture_is_named_the_tensors_tell_it)
{
    model m = unnamed[_i].bert ? make_bert("") : make_gpt2("");

    if (unnamed[_i].pooler) {
        add_pooler(&m);
    }
    if (unnamed[_i].mlm) {
        add_pair(m.source, "cls.predictions.transform.dense", D, D, "weight", "bias");
        add_pair(m.source, "cls.predictions.transform.LayerNorm", D, 0, "weight", "bias");
        add(m.source, "cls.predictions.bias", V, 0);
    }
    if (unnamed[_i].head != NULL) {
        add_pair(m.source, unnamed[_i].head, (uint64_t)unnamed[_i].rows, D, "weight", "bias");
    }
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_str_eq(m.plan.class->name, unnamed[_i].class);
    ck_assert_int_eq(m.plan.lefts, 0);
    end(&m);
}
END_TEST

START_TEST(one_tensor_is_a_part_of_the_head_that_the_architecture_has)
{
    static const struct {
        const char *architecture, *head;
        int take, rows;
    } classes[] = {
        {"BertForSequenceClassification", "sequence", EET_TAKE_FIRST, 2},
        {"BertForTokenClassification", "token", EET_TAKE_EVERY, 2},
        {"BertForMultipleChoice", "choice", EET_TAKE_FIRST, 1},
    };
    char more[128];

    (void)snprintf(more, sizeof more, ", \"architectures\": [\"%s\"]", classes[_i].architecture);
    model m = make_bert(more);

    add_pooler(&m);
    add_pair(m.source, "classifier", (uint64_t)classes[_i].rows, D, "weight", "bias");
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(head_named(&m, classes[_i].head)->take, classes[_i].take);
    ck_assert_int_eq(m.plan.facts.heads, 2);
    (void)head_named(&m, "pooler");
    end(&m);
}
END_TEST

START_TEST(a_classifier_of_a_sequence_stands_on_the_pooler)
{
    model m = make_bert(", \"architectures\": [\"BertForSequenceClassification\"]");

    add_pair(m.source, "classifier", 2, D, "weight", "bias");
    ck_assert_int_eq(match(&m, NULL), EET_E_CORRUPT); /* no pooler */
    eet_error_clear(&m.err);
    add_pooler(&m);
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert_int_eq(place_named(&m, "head.sequence.dense.w")->share,
                     (int)(place_named(&m, "head.pooler.dense.w") - m.plan.place));
    ck_assert_int_eq(place_named(&m, "head.sequence.dense.b")->share,
                     (int)(place_named(&m, "head.pooler.dense.b") - m.plan.place));
    end(&m);
}
END_TEST

START_TEST(a_tensor_of_another_head_is_left_over)
{
    model m = make_bert(", \"architectures\": [\"BertModel\"]");

    add_pair(m.source, "qa_outputs", 2, D, "weight", "bias");
    expect_failure(&m, EET_E_AMBIGUOUS, "tensors that BertModel does not have: qa_outputs.weight");
}
END_TEST

/* ---- decoders --------------------------------------------------------------- */

START_TEST(a_bert_that_is_a_decoder_is_a_decoder)
{
    model m = make_bert(", \"architectures\": [\"BertLMHeadModel\"], \"is_decoder\": true");

    add_pair(m.source, "cls.predictions.transform.dense", D, D, "weight", "bias");
    add_pair(m.source, "cls.predictions.transform.LayerNorm", D, 0, "weight", "bias");
    add(m.source, "cls.predictions.bias", V, 0);
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    ck_assert(m.plan.facts.stack[EET_DEC].present && !m.plan.facts.stack[EET_ENC].present);
    ck_assert_str_eq(m.plan.facts.family, "bert");
    ck_assert_int_eq(head_named(&m, "lm")->stack, EET_DEC);
    ck_assert_int_eq(place_named(&m, "head.lm.out.w")->share, 0);
    (void)place_named(&m, "dec.0000.attn.qkv.w");
    end(&m);
}
END_TEST

START_TEST(is_decoder_is_true_or_false)
{
    eet_json *root = NULL;
    eet_config config;
    eet_notes notes = {0};
    eet_error err = {0};
    static const char text[] = "{\"architectures\": [\"BertModel\"], \"is_decoder\": 1}";

    ck_assert_int_eq(eet_json_parse(text, strlen(text), &root, &err), EET_OK);
    ck_assert_int_eq(eet_config_read(root, NULL, &config, &notes, &err), EET_E_CORRUPT);
    ck_assert_msg(strstr(err.text, "\"is_decoder\" is an integer") != NULL, "%s", err.text);
    eet_json_free(root);
}
END_TEST

/* ---- labels ------------------------------------------------------------------ */

static const struct {
    const char *more; /* members of the configuration */
    int rows;
    const char *first, *last; /* labels */
} labelled[] = {
    {"", 2, "LABEL_0", "LABEL_1"},
    {", \"id2label\": null, \"num_labels\": null", 2, "LABEL_0", "LABEL_1"},
    {", \"num_labels\": 3", 3, "LABEL_0", "LABEL_2"},
    {", \"num_labels\": 1", 1, "LABEL_0", "LABEL_0"},
    {", \"id2label\": {\"1\": \"good\", \"0\": \"bad\"}", 2, "bad", "good"},
    {", \"id2label\": {\"0\": \"a\", \"2\": \"c\"}, \"num_labels\": 7", 2, "a", "LABEL_1"},
    {", \"id2label\": {\"0\": 5, \"1\": null}", 2, "5", "LABEL_1"},
};
enum { LABELLED = sizeof labelled / sizeof *labelled };

START_TEST(labels_are_those_of_the_configuration)
{
    model m = make_gpt2(labelled[_i].more);
    const int rows = labelled[_i].rows;

    add_pair(m.source, "classifier", (uint64_t)rows, D, "weight", "bias");
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    const eet_head_facts *head = head_named(&m, "token");

    ck_assert_int_eq(head->label_count, rows);
    ck_assert_str_eq(head->labels[0], labelled[_i].first);
    ck_assert_str_eq(head->labels[rows - 1], labelled[_i].last);
    end(&m);
}
END_TEST

START_TEST(labels_and_tensors_must_agree)
{
    model m = make_gpt2(", \"num_labels\": 3");

    add_pair(m.source, "classifier", 4, D, "weight", "bias");
    expect_failure(&m, EET_E_CORRUPT, "expected (3, 4): labels is 3 by the configuration");
}
END_TEST

static const char *const bad_labels[] = {
    ", \"id2label\": []",
    ", \"id2label\": {}",
    ", \"id2label\": {\"x\": \"a\"}",
    ", \"id2label\": {\"00\": \"a\"}",
    ", \"id2label\": {\"-1\": \"a\"}",
    ", \"id2label\": {\"\": \"a\"}",
    ", \"id2label\": {\"0\": [\"a\"]}",
    ", \"id2label\": {\"9999999999999999999999\": \"a\"}",
    ", \"num_labels\": 0",
    ", \"num_labels\": 1000000000",
    ", \"num_labels\": \"2\"",
};
enum { BAD_LABELS = sizeof bad_labels / sizeof *bad_labels };

START_TEST(labels_that_are_none_matter_to_who_has_classes)
{
    model m = make_gpt2(bad_labels[_i]);

    add(m.source, "lm_head.weight", V, D);
    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    end(&m);
    m = make_gpt2(bad_labels[_i]);
    add_pair(m.source, "classifier", 2, D, "weight", "bias");
    expect_failure(&m, EET_E_CORRUPT, "of the configuration");
}
END_TEST

/* ---- summaries ---------------------------------------------------------------- */

static const struct {
    const char *more;
    int rows; /* of the summary's projection, 0: none */
    int take, act;
} summaries[] = {
    {"", 1, EET_TAKE_GIVEN, EET_ACT_LINEAR},
    {", \"summary_type\": \"cls_index\", \"summary_activation\": null", 1, EET_TAKE_GIVEN,
     EET_ACT_LINEAR},
    {", \"summary_type\": \"last\"", 1, EET_TAKE_LAST, EET_ACT_LINEAR},
    {", \"summary_type\": \"first\", \"summary_proj_to_labels\": false", D, EET_TAKE_FIRST,
     EET_ACT_LINEAR},
    {", \"summary_type\": \"mean\", \"summary_activation\": \"tanh\"", 1, EET_TAKE_MEAN,
     EET_ACT_TANH},
    {", \"summary_use_proj\": false, \"summary_activation\": \"\"", 0, EET_TAKE_GIVEN,
     EET_ACT_LINEAR},
};
enum { SUMMARIES = sizeof summaries / sizeof *summaries };

#define DOUBLE ", \"architectures\": [\"GPT2DoubleHeadsModel\"]"

static model make_double(const char *more, int rows) {
    char text[256];

    (void)snprintf(text, sizeof text, DOUBLE "%s", more);
    model m = make_gpt2(text);

    if (rows > 0) {
        add_pair(m.source, "multiple_choice_head.summary", (uint64_t)rows, D, "weight", "bias");
    }
    return m;
}

START_TEST(a_summary_is_what_the_configuration_says)
{
    model m = make_double(summaries[_i].more, summaries[_i].rows);

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    const eet_head_facts *head = head_named(&m, "choice");

    ck_assert_int_eq(head->take, summaries[_i].take);
    ck_assert_int_eq(head->act, summaries[_i].act);
    ck_assert_int_eq(head->label_count, 0);
    end(&m);
}
END_TEST

static const struct {
    const char *more;
    int rows;
    eet_status status;
    const char *says;
} bad_summaries[] = {
    {", \"summary_type\": \"attn\"", 1, EET_E_UNSUPPORTED, "\"summary_type\" is \"attn\""},
    {", \"summary_activation\": \"sigmoid\"", 1, EET_E_UNSUPPORTED,
     "\"summary_activation\" is \"sigmoid\""},
    {", \"summary_use_proj\": false, \"summary_activation\": \"tanh\"", 0, EET_E_UNSUPPORTED,
     "an activation and no projection"},
    {", \"summary_use_proj\": false", 1, EET_E_AMBIGUOUS, "multiple_choice_head.summary.weight"},
    {"", 0, EET_E_CORRUPT, "are missing: multiple_choice_head.summary.weight"},
    {"", D, EET_E_CORRUPT, "the summary's width is 1"},
    {", \"summary_proj_to_labels\": false", 1, EET_E_CORRUPT, "the summary's width is 4"},
};
enum { BAD_SUMMARIES = sizeof bad_summaries / sizeof *bad_summaries };

START_TEST(a_summary_that_does_not_fit_is_refused_by_name)
{
    model m = make_double(bad_summaries[_i].more, bad_summaries[_i].rows);

    expect_failure(&m, bad_summaries[_i].status, bad_summaries[_i].says);
}
END_TEST

START_TEST(a_summary_means_nothing_to_a_model_without_one)
{
    model m = make_gpt2(", \"summary_type\": \"attn\", \"summary_activation\": \"sigmoid\"");

    ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
    end(&m);
}
END_TEST

START_TEST(a_score_skips_the_pads_that_the_model_has)
{
    for (int pads = 0; pads < 2; pads++) {
        model m = make_gpt2(pads ? ", \"pad_token_id\": 3" : "");

        add(m.source, "score.weight", 2, D);
        ck_assert_msg(match(&m, NULL) == EET_OK, "%s", m.err.text);
        ck_assert_int_eq(head_named(&m, "sequence")->take, EET_TAKE_LAST);
        ck_assert_int_eq(head_named(&m, "sequence")->skip_pad, pads);
        end(&m);
    }
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = where_no_architecture_is_named_the_tensors_tell_it, .rows = UNNAMED},
        {.test = one_tensor_is_a_part_of_the_head_that_the_architecture_has, .rows = 3},
        {.test = a_classifier_of_a_sequence_stands_on_the_pooler},
        {.test = a_tensor_of_another_head_is_left_over},
        {.test = a_bert_that_is_a_decoder_is_a_decoder},
        {.test = is_decoder_is_true_or_false},
        {.test = labels_are_those_of_the_configuration, .rows = LABELLED},
        {.test = labels_and_tensors_must_agree},
        {.test = labels_that_are_none_matter_to_who_has_classes, .rows = BAD_LABELS},
        {.test = a_summary_is_what_the_configuration_says, .rows = SUMMARIES},
        {.test = a_summary_that_does_not_fit_is_refused_by_name, .rows = BAD_SUMMARIES},
        {.test = a_summary_means_nothing_to_a_model_without_one},
        {.test = a_score_skips_the_pads_that_the_model_has},
    };

    return eet_suite_run("match_heads", claims, sizeof claims / sizeof *claims);
}
