/* distilbert.c - DistilBERT as Transformers saves it. */
#include "converter/archs/rows.h"

enum { MLM, SEQUENCE, TOKEN, CHOICE, QA };

static const char *const prefixes[] = {"", "distilbert.", NULL};

static const eet_rule rules[] = {
    R("embeddings.word_embeddings.weight", PLACE(ENC, EMB_TOK), {V, D}),
    R("embeddings.position_embeddings.weight", PLACE(ENC, EMB_POS), {P, D}),
    R("embeddings.LayerNorm.weight", PLACE(ENC, EMB_NORM), {D}),
    R("embeddings.LayerNorm.bias", BIAS(ENC, EMB_NORM), {D}),
    R("transformer.layer.*.attention.q_lin.weight", PLACE(ENC, ATTN_QKV), {A, D}, PART(0)),
    R("transformer.layer.*.attention.q_lin.bias", BIAS(ENC, ATTN_QKV), {A}, PART(0)),
    R("transformer.layer.*.attention.k_lin.weight", PLACE(ENC, ATTN_QKV), {A, D}, PART(1)),
    R("transformer.layer.*.attention.k_lin.bias", BIAS(ENC, ATTN_QKV), {A}, PART(1)),
    R("transformer.layer.*.attention.v_lin.weight", PLACE(ENC, ATTN_QKV), {A, D}, PART(2)),
    R("transformer.layer.*.attention.v_lin.bias", BIAS(ENC, ATTN_QKV), {A}, PART(2)),
    R("transformer.layer.*.attention.out_lin.weight", PLACE(ENC, ATTN_OUT), {D, A}),
    R("transformer.layer.*.attention.out_lin.bias", BIAS(ENC, ATTN_OUT), {D}),
    R("transformer.layer.*.sa_layer_norm.weight", PLACE(ENC, ATTN_NORM), {D}),
    R("transformer.layer.*.sa_layer_norm.bias", BIAS(ENC, ATTN_NORM), {D}),
    R("transformer.layer.*.ffn.lin1.weight", PLACE(ENC, FFN_FC1), {F, D}),
    R("transformer.layer.*.ffn.lin1.bias", BIAS(ENC, FFN_FC1), {F}),
    R("transformer.layer.*.ffn.lin2.weight", PLACE(ENC, FFN_FC2), {D, F}),
    R("transformer.layer.*.ffn.lin2.bias", BIAS(ENC, FFN_FC2), {D}),
    R("transformer.layer.*.output_layer_norm.weight", PLACE(ENC, FFN_NORM), {D}),
    R("transformer.layer.*.output_layer_norm.bias", BIAS(ENC, FFN_NORM), {D}),
    R("vocab_transform.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),
    R("vocab_transform.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),
    R("vocab_layer_norm.weight", HEAD(MLM, NORM), {D}, .plain = true),
    R("vocab_layer_norm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true),
    R("vocab_projector.weight", HEAD(MLM, OUT), {V, D}, .plain = true),
    R("vocab_projector.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),
    R("pre_classifier.weight", HEAD(SEQUENCE, DENSE), {D, D}, .plain = true),
    R("pre_classifier.bias", HEAD_BIAS(SEQUENCE, DENSE), {D}, .plain = true),
    R("classifier.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),
    R("classifier.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true),
    R("pre_classifier.weight", HEAD(CHOICE, DENSE), {D, D}, .plain = true),
    R("pre_classifier.bias", HEAD_BIAS(CHOICE, DENSE), {D}, .plain = true),
    R("classifier.weight", HEAD(CHOICE, OUT), {ONE, D}, .plain = true),
    R("classifier.bias", HEAD_BIAS(CHOICE, OUT), {ONE}, .plain = true),
    R("classifier.weight", HEAD(TOKEN, OUT), {L, D}, .plain = true),
    R("classifier.bias", HEAD_BIAS(TOKEN, OUT), {L}, .plain = true),
    R("qa_outputs.weight", HEAD(QA, OUT), {TWO, D}, .plain = true),
    R("qa_outputs.bias", HEAD_BIAS(QA, OUT), {TWO}, .plain = true),
    {0},
};

static const eet_buffer buffers[] = {{"embeddings.position_ids", 0, false}, {0}};

static const eet_share shares[] = {{HEAD(MLM, OUT), PLACE(ENC, EMB_TOK), EET_SHARE_TIED}};

/* "sinusoidal_pos_embds" says how its table of positions came about; the file has it. The epsilon
 * of its norms is no key: it is that of the family's stack. */
static const eet_key_row keys[] = {
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(ENC, vocab_size), .required = true},
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(ENC, vocab_rows), .required = true},
    {.key = "dim", .kind = EET_KEY_INTEGER, AT(ENC, hidden), .required = true},
    {.key = "dim", .kind = EET_KEY_INTEGER, AT(ENC, emb_dim), .required = true},
    {.key = "n_layers", .kind = EET_KEY_INTEGER, AT(ENC, layers), .required = true},
    {.key = "n_heads", .kind = EET_KEY_INTEGER, AT(ENC, heads), .required = true},
    {.key = "hidden_dim", .kind = EET_KEY_INTEGER, AT(ENC, ffn), .required = true},
    {.key = "max_position_embeddings",
     .kind = EET_KEY_INTEGER,
     AT(ENC, pos_rows),
     .required = true},
    {.key = "activation", .kind = EET_KEY_ACT, AT(ENC, act), .text = "gelu"},
    {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},
    {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_pad), .fallback = 0},
    {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_bos), .fallback = -1},
    {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_eos), .fallback = -1},
    {.key = "cls_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_cls), .fallback = -1},
    {.key = "sep_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_sep), .fallback = -1},
    {.key = "mask_token_id", .kind = EET_KEY_TOKEN, AT(ENC, tok_mask), .fallback = -1},
    {0},
};

static const eet_head_row heads[] = {
    [MLM] = {.name = "mlm", .stack = EET_ENC, .take = EET_TAKE_EVERY, .act = EET_ACT_OF_STACK},
    [SEQUENCE] = {.name = "sequence",
                  .stack = EET_ENC,
                  .take = EET_TAKE_FIRST,
                  .act = EET_ACT_RELU,
                  .labels = true},
    [TOKEN] = {.name = "token", .stack = EET_ENC, .take = EET_TAKE_EVERY, .labels = true},
    [CHOICE] = {.name = "choice", .stack = EET_ENC, .take = EET_TAKE_FIRST, .act = EET_ACT_RELU},
    [QA] = {.name = "qa", .stack = EET_ENC, .take = EET_TAKE_EVERY},
    {0},
};

static const eet_class classes[] = {
    {.name = "DistilBertModel", .about = "hidden states"},
    {.name = "DistilBertForMaskedLM",
     .must = HAS(MLM),
     .sign = "vocab_transform.weight",
     .about = "masked language model"},
    {.name = "DistilBertForSequenceClassification",
     .must = HAS(SEQUENCE),
     .sign = "pre_classifier.weight",
     .about = "labels of a sequence"},
    {.name = "DistilBertForTokenClassification",
     .must = HAS(TOKEN),
     .sign = "classifier.weight",
     .about = "labels of tokens"},
    {.name = "DistilBertForMultipleChoice", .must = HAS(CHOICE), .about = "a score of each choice"},
    {.name = "DistilBertForQuestionAnswering",
     .must = HAS(QA),
     .sign = "qa_outputs.weight",
     .about = "start and end of an answer"},
    {0},
};

static const eet_stack_facts encoder = {.present = true,
                                        .act = EET_ACT_GELU_ERF,
                                        .emb_norm = true,
                                        .norm_eps = 1e-12,
                                        .pos_table = true,
                                        .type_default = -1,
                                        EET_STACK_FACTS_PLAIN};

extern const eet_family eet_family_distilbert;
const eet_family eet_family_distilbert = {
    .name = "distilbert",
    .title = "DistilBERT",
    .config_sign = "sinusoidal_pos_embds",
    .prefixes = prefixes,
    .stack = {&encoder, NULL},
    .rules = rules,
    .buffers = buffers,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
