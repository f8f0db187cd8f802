/* bert.c - BERT as Transformers saves it. */
#include <stddef.h>

#include "converter/arch.h"

/* Everything is said twice: of an encoder, and of a decoder ("is_decoder"). */
#define PLACE(stack, part) \
    { .group = EET_GROUP_##stack, .slot = EET_SLOT_##part }
#define BIAS(stack, part) \
    { .group = EET_GROUP_##stack, .slot = EET_SLOT_##part, .bias = true }
#define HEAD(row, part) \
    { .group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_##part, .head = (row) }
#define HEAD_BIAS(row, part) \
    { .group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_##part, .bias = true, .head = (row) }
#define PART(k) .part = (k), .parts = 3
#define V \
    { EET_SYM_VOCAB, 1 }
#define P \
    { EET_SYM_POSITIONS, 1 }
#define T \
    { EET_SYM_TYPES, 1 }
#define D \
    { EET_SYM_HIDDEN, 1 }
#define A \
    { EET_SYM_INNER, 1 }
#define F \
    { EET_SYM_FFN, 1 }
#define L \
    { EET_SYM_LABELS, 1 }
#define ONE \
    { EET_SYM_ONE, 1 }
#define TWO \
    { EET_SYM_PAIR, 1 }

#define R(name, place, ...) \
    { .pattern = (name), .spot = place, .shape = __VA_ARGS__ }

enum { MLM, POOLER, NSP, SEQUENCE, TOKEN, CHOICE, QA };

static const char *const prefixes[] = {"", "bert.", NULL};

#define RULES(S)                                                                                 \
    R("embeddings.word_embeddings.weight", PLACE(S, EMB_TOK), {V, D}),                           \
        R("embeddings.position_embeddings.weight", PLACE(S, EMB_POS), {P, D}),                   \
        R("embeddings.token_type_embeddings.weight", PLACE(S, EMB_TYPE), {T, D}),                \
        R("embeddings.LayerNorm.weight", PLACE(S, EMB_NORM), {D}),                               \
        R("embeddings.LayerNorm.bias", BIAS(S, EMB_NORM), {D}),                                  \
        R("encoder.layer.*.attention.self.query.weight", PLACE(S, ATTN_QKV), {A, D}, PART(0)),   \
        R("encoder.layer.*.attention.self.key.weight", PLACE(S, ATTN_QKV), {A, D}, PART(1)),     \
        R("encoder.layer.*.attention.self.value.weight", PLACE(S, ATTN_QKV), {A, D}, PART(2)),   \
        R("encoder.layer.*.attention.self.query.bias", BIAS(S, ATTN_QKV), {A}, PART(0)),         \
        R("encoder.layer.*.attention.self.key.bias", BIAS(S, ATTN_QKV), {A}, PART(1)),           \
        R("encoder.layer.*.attention.self.value.bias", BIAS(S, ATTN_QKV), {A}, PART(2)),         \
        R("encoder.layer.*.attention.output.dense.weight", PLACE(S, ATTN_OUT), {D, A}),          \
        R("encoder.layer.*.attention.output.dense.bias", BIAS(S, ATTN_OUT), {D}),                \
        R("encoder.layer.*.attention.output.LayerNorm.weight", PLACE(S, ATTN_NORM), {D}),        \
        R("encoder.layer.*.attention.output.LayerNorm.bias", BIAS(S, ATTN_NORM), {D}),           \
        R("encoder.layer.*.intermediate.dense.weight", PLACE(S, FFN_FC1), {F, D}),               \
        R("encoder.layer.*.intermediate.dense.bias", BIAS(S, FFN_FC1), {F}),                     \
        R("encoder.layer.*.output.dense.weight", PLACE(S, FFN_FC2), {D, F}),                     \
        R("encoder.layer.*.output.dense.bias", BIAS(S, FFN_FC2), {D}),                           \
        R("encoder.layer.*.output.LayerNorm.weight", PLACE(S, FFN_NORM), {D}),                   \
        R("encoder.layer.*.output.LayerNorm.bias", BIAS(S, FFN_NORM), {D}),                      \
        R("pooler.dense.weight", HEAD(POOLER, DENSE), {D, D}),                                   \
        R("pooler.dense.bias", HEAD_BIAS(POOLER, DENSE), {D}),                                   \
        R("cls.predictions.transform.dense.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),    \
        R("cls.predictions.transform.dense.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),    \
        R("cls.predictions.transform.LayerNorm.weight", HEAD(MLM, NORM), {D}, .plain = true),    \
        R("cls.predictions.transform.LayerNorm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true), \
        R("cls.predictions.decoder.weight", HEAD(MLM, OUT), {V, D}, .plain = true),              \
        R("cls.predictions.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),                      \
        R("cls.predictions.decoder.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true,               \
          .optional = true),                                                                     \
        R("cls.seq_relationship.weight", HEAD(NSP, OUT), {TWO, D}, .plain = true),               \
        R("cls.seq_relationship.bias", HEAD_BIAS(NSP, OUT), {TWO}, .plain = true),               \
        R("classifier.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),                      \
        R("classifier.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true),                      \
        R("classifier.weight", HEAD(TOKEN, OUT), {L, D}, .plain = true),                         \
        R("classifier.bias", HEAD_BIAS(TOKEN, OUT), {L}, .plain = true),                         \
        R("classifier.weight", HEAD(CHOICE, OUT), {ONE, D}, .plain = true),                      \
        R("classifier.bias", HEAD_BIAS(CHOICE, OUT), {ONE}, .plain = true),                      \
        R("qa_outputs.weight", HEAD(QA, OUT), {TWO, D}, .plain = true),                          \
        R("qa_outputs.bias", HEAD_BIAS(QA, OUT), {TWO}, .plain = true),

static const eet_rule rules[] = {RULES(ENC){0}};
static const eet_rule decoder_rules[] = {RULES(DEC){0}};

static const eet_buffer buffers[] = {
    {"embeddings.position_ids", 0, false},
    {"embeddings.token_type_ids", 0, false},
    {0},
};

#define SHARES(S)                                                                 \
    {HEAD(MLM, OUT), PLACE(S, EMB_TOK), EET_SHARE_TIED},                          \
        {HEAD(NSP, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},                \
        {HEAD_BIAS(NSP, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS},      \
        {HEAD(SEQUENCE, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},           \
        {HEAD_BIAS(SEQUENCE, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS}, \
        {HEAD(CHOICE, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},             \
        {HEAD_BIAS(CHOICE, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS},

static const eet_share shares[] = {SHARES(ENC)};
static const eet_share decoder_shares[] = {SHARES(DEC)};

#define AT(S, field) .stack = EET_##S, .fact = offsetof(eet_stack_facts, field)
#define KEYS(S)                                                                                  \
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_size), .required = true},         \
        {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_rows), .required = true},     \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, hidden), .required = true},        \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, emb_dim), .required = true},       \
        {.key = "num_hidden_layers", .kind = EET_KEY_INTEGER, AT(S, layers), .required = true},  \
        {.key = "num_attention_heads", .kind = EET_KEY_INTEGER, AT(S, heads), .required = true}, \
        {.key = "intermediate_size", .kind = EET_KEY_INTEGER, AT(S, ffn), .required = true},     \
        {.key = "max_position_embeddings",                                                       \
         .kind = EET_KEY_INTEGER,                                                                \
         AT(S, pos_rows),                                                                        \
         .required = true},                                                                      \
        {.key = "type_vocab_size", .kind = EET_KEY_INTEGER, AT(S, types), .fallback = 2},        \
        {.key = "hidden_act", .kind = EET_KEY_ACT, AT(S, act), .text = "gelu"},                  \
        {.key = "layer_norm_eps", .kind = EET_KEY_REAL, AT(S, norm_eps), .fallback = 1e-12},     \
        {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},                     \
        {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_pad), .fallback = 0},           \
        {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_bos), .fallback = -1},          \
        {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_eos), .fallback = -1},          \
        {.key = "cls_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_cls), .fallback = -1},          \
        {.key = "sep_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_sep), .fallback = -1},          \
        {.key = "mask_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_mask), .fallback = -1},        \
        {.key = "position_embedding_type",                                                       \
         .kind = EET_KEY_MUST_BE_TEXT,                                                           \
         .text = "absolute",                                                                     \
         .why = "relative positions"},                                                           \
        {.key = "add_cross_attention", .kind = EET_KEY_MUST_BE_FALSE, .why = "cross attention"},

static const eet_key_row keys[] = {KEYS(ENC){0}};
static const eet_key_row decoder_keys[] = {KEYS(DEC){0}};

#define HEADS(S, lm)                                                                              \
    [MLM] = {.name = (lm), .stack = EET_##S, .take = EET_TAKE_EVERY, .act = EET_ACT_OF_STACK},    \
    [POOLER] = {.name = "pooler", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH}, \
    [NSP] = {.name = "nsp", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH},       \
    [SEQUENCE] = {.name = "sequence",                                                             \
                  .stack = EET_##S,                                                               \
                  .take = EET_TAKE_FIRST,                                                         \
                  .act = EET_ACT_TANH,                                                            \
                  .labels = true},                                                                \
    [TOKEN] = {.name = "token", .stack = EET_##S, .take = EET_TAKE_EVERY, .labels = true},        \
    [CHOICE] = {.name = "choice", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH}, \
    [QA] = {.name = "qa", .stack = EET_##S, .take = EET_TAKE_EVERY},

static const eet_head_row heads[] = {HEADS(ENC, "mlm"){0}};
static const eet_head_row decoder_heads[] = {HEADS(DEC, "lm"){0}};

#define HAS(head) (UINT32_C(1) << (head))

/* The files of 2018 hold all of the pre-training's heads, whatever class they name, and
 * those of classes without a pooler held one until transformers 4. */
static const eet_class classes[] = {
    {.name = "BertModel", .may = HAS(POOLER), .about = "hidden states, pooler"},
    {.name = "BertForNextSentencePrediction",
     .must = HAS(POOLER) | HAS(NSP),
     .sign = "cls.seq_relationship.weight",
     .without = HAS(MLM),
     .about = "does a sentence follow another"},
    {.name = "BertForPreTraining",
     .must = HAS(MLM) | HAS(POOLER) | HAS(NSP),
     .sign = "cls.seq_relationship.weight",
     .about = "masked language model, next sentence"},
    {.name = "BertForMaskedLM",
     .must = HAS(MLM),
     .may = HAS(POOLER) | HAS(NSP),
     .sign = "cls.predictions.bias",
     .about = "masked language model"},
    {.name = "BertLMHeadModel",
     .must = HAS(MLM),
     .may = HAS(POOLER) | HAS(NSP),
     .about = "language model; a decoder by \"is_decoder\""},
    {.name = "BertForTokenClassification",
     .must = HAS(TOKEN),
     .may = HAS(POOLER),
     .sign = "classifier.weight",
     .without = HAS(POOLER),
     .about = "labels of tokens"},
    {.name = "BertForSequenceClassification",
     .must = HAS(POOLER) | HAS(SEQUENCE),
     .sign = "classifier.weight",
     .about = "labels of a sequence"},
    {.name = "BertForMultipleChoice",
     .must = HAS(POOLER) | HAS(CHOICE),
     .about = "a score of each choice"},
    {.name = "BertForQuestionAnswering",
     .must = HAS(QA),
     .may = HAS(POOLER),
     .sign = "qa_outputs.weight",
     .about = "start and end of an answer"},
    {0},
};

#define STACK                                                                          \
    {                                                                                  \
        .present = true, .act = EET_ACT_GELU_ERF, .emb_norm = true, .pos_table = true, \
        .type_default = 0, EET_STACK_FACTS_PLAIN                                       \
    }

static const eet_stack_facts encoder = STACK;
static const eet_stack_facts decoder = STACK;

#define FAMILY(rows_of_rules, rows_of_shares, rows_of_keys, rows_of_heads)                     \
    .name = "bert", .title = "BERT", .config_sign = "intermediate_size", .prefixes = prefixes, \
    .rules = (rows_of_rules), .buffers = buffers, .shares = (rows_of_shares),                  \
    .share_count = sizeof shares / sizeof shares[0], .keys = (rows_of_keys),                   \
    .heads = (rows_of_heads), .classes = classes

static const eet_family bert_decoder = {
    FAMILY(decoder_rules, decoder_shares, decoder_keys, decoder_heads),
    .stack = {NULL, &decoder},
};

extern const eet_family eet_family_bert;
const eet_family eet_family_bert = {
    FAMILY(rules, shares, keys, heads),
    .stack = {&encoder, NULL},
    .sibling_key = "is_decoder",
    .sibling = &bert_decoder,
};
