/* roberta.c - RoBERTa as Transformers saves it; XLM-R and CamemBERT, which are the same under names
 * of their own. */
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

enum { MLM, POOLER, SEQUENCE, TOKEN, CHOICE, QA };

static const char *const prefixes[] = {"", "roberta.", NULL};

#define RULES(S)                                                                                 \
    R("embeddings.word_embeddings.weight", PLACE(S, EMB_TOK), {V, D}),                           \
        R("embeddings.position_embeddings.weight", PLACE(S, EMB_POS), {P, D}, .drop_pad = true), \
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
        R("lm_head.dense.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),                      \
        R("lm_head.dense.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),                      \
        R("lm_head.layer_norm.weight", HEAD(MLM, NORM), {D}, .plain = true),                     \
        R("lm_head.layer_norm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true),                  \
        R("lm_head.decoder.weight", HEAD(MLM, OUT), {V, D}, .plain = true),                      \
        R("lm_head.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),                              \
        R("lm_head.decoder.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true, .optional = true),    \
        R("classifier.dense.weight", HEAD(SEQUENCE, DENSE), {D, D}, .plain = true),              \
        R("classifier.dense.bias", HEAD_BIAS(SEQUENCE, DENSE), {D}, .plain = true),              \
        R("classifier.out_proj.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),             \
        R("classifier.out_proj.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true),             \
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

#define SHARES(S)                                                     \
    {HEAD(MLM, OUT), PLACE(S, EMB_TOK), EET_SHARE_TIED},              \
        {HEAD(CHOICE, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS}, \
        {HEAD_BIAS(CHOICE, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS},

static const eet_share shares[] = {SHARES(ENC)};
static const eet_share decoder_shares[] = {SHARES(DEC)};

/* A token's position is its number among those that are no padding, and that of the padding token
 * comes on top: the rows up to it are never a position. */
#define AT(S, field) .stack = EET_##S, .fact = offsetof(eet_stack_facts, field)
#define KEYS(S)                                                                                  \
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_size), .required = true},         \
        {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_rows), .required = true},     \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, hidden), .required = true},        \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, emb_dim), .required = true},       \
        {.key = "num_hidden_layers", .kind = EET_KEY_INTEGER, AT(S, layers), .required = true},  \
        {.key = "num_attention_heads", .kind = EET_KEY_INTEGER, AT(S, heads), .required = true}, \
        {.key = "intermediate_size", .kind = EET_KEY_INTEGER, AT(S, ffn), .required = true},     \
        {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_pad), .fallback = 1},           \
        {.key = "max_position_embeddings",                                                       \
         .kind = EET_KEY_AFTER_PAD,                                                              \
         AT(S, pos_rows),                                                                        \
         .required = true},                                                                      \
        {.key = "type_vocab_size", .kind = EET_KEY_INTEGER, AT(S, types), .fallback = 2},        \
        {.key = "hidden_act", .kind = EET_KEY_ACT, AT(S, act), .text = "gelu"},                  \
        {.key = "layer_norm_eps", .kind = EET_KEY_REAL, AT(S, norm_eps), .fallback = 1e-12},     \
        {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},                     \
        {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_bos), .fallback = 0},           \
        {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_eos), .fallback = 2},           \
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

/* The activation of the head of masked tokens is what it is, whatever "hidden_act" says. */
#define HEADS(S, lm)                                                                              \
    [MLM] = {.name = (lm), .stack = EET_##S, .take = EET_TAKE_EVERY, .act = EET_ACT_GELU_ERF},    \
    [POOLER] = {.name = "pooler", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH}, \
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

/* Classes without a pooler saved one until transformers 4. */
#define CLASSES(name_of)                                                             \
    {.name = name_of "Model", .may = HAS(POOLER), .about = "hidden states, pooler"}, \
        {.name = name_of "ForMaskedLM",                                              \
         .must = HAS(MLM),                                                           \
         .may = HAS(POOLER),                                                         \
         .sign = "lm_head.dense.weight",                                             \
         .about = "masked language model"},                                          \
        {.name = name_of "ForCausalLM",                                              \
         .must = HAS(MLM),                                                           \
         .may = HAS(POOLER),                                                         \
         .about = "language model; a decoder by \"is_decoder\""},                    \
        {.name = name_of "ForSequenceClassification",                                \
         .must = HAS(SEQUENCE),                                                      \
         .may = HAS(POOLER),                                                         \
         .sign = "classifier.out_proj.weight",                                       \
         .about = "labels of a sequence"},                                           \
        {.name = name_of "ForTokenClassification",                                   \
         .must = HAS(TOKEN),                                                         \
         .may = HAS(POOLER),                                                         \
         .sign = "classifier.weight",                                                \
         .without = HAS(POOLER),                                                     \
         .about = "labels of tokens"},                                               \
        {.name = name_of "ForMultipleChoice",                                        \
         .must = HAS(POOLER) | HAS(CHOICE),                                          \
         .about = "a score of each choice"},                                         \
        {.name = name_of "ForQuestionAnswering",                                     \
         .must = HAS(QA),                                                            \
         .may = HAS(POOLER),                                                         \
         .sign = "qa_outputs.weight",                                                \
         .about = "start and end of an answer"},                                     \
    {                                                                                \
        0                                                                            \
    }

static const eet_class classes[] = {CLASSES("Roberta")};
static const eet_class xlm_classes[] = {CLASSES("XLMRoberta")};
static const eet_class camembert_classes[] = {CLASSES("Camembert")};

#define STACK                                                                          \
    {                                                                                  \
        .present = true, .act = EET_ACT_GELU_ERF, .emb_norm = true, .pos_table = true, \
        .pos_skip_pad = true, .type_default = 0, EET_STACK_FACTS_PLAIN                 \
    }

static const eet_stack_facts encoder = STACK;
static const eet_stack_facts decoder = STACK;

#define PART_OF(type, name_of, rows_of_classes)                                   \
    .name = (type), .title = (name_of), .prefixes = prefixes, .buffers = buffers, \
    .share_count = sizeof shares / sizeof shares[0], .classes = (rows_of_classes)

#define DECODER(type, name_of, rows_of_classes)                                                    \
    {                                                                                              \
        PART_OF(type, name_of, rows_of_classes), .rules = decoder_rules, .shares = decoder_shares, \
                                                 .keys = decoder_keys, .heads = decoder_heads,     \
                                                 .stack = {NULL, &decoder},                        \
    }

#define ENCODER(type, name_of, rows_of_classes, of_decoder)                                  \
    {                                                                                        \
        PART_OF(type, name_of, rows_of_classes),                                             \
            .rules = rules, .shares = shares, .keys = keys, .heads = heads,                  \
            .stack = {&encoder, NULL}, .sibling_key = "is_decoder", .sibling = (of_decoder), \
    }

static const eet_family roberta_decoder = DECODER("roberta", "RoBERTa", classes);
static const eet_family xlm_decoder = DECODER("xlm-roberta", "XLM-R", xlm_classes);
static const eet_family camembert_decoder = DECODER("camembert", "CamemBERT", camembert_classes);

extern const eet_family eet_family_roberta;
extern const eet_family eet_family_xlm_roberta;
extern const eet_family eet_family_camembert;
const eet_family eet_family_roberta = ENCODER("roberta", "RoBERTa", classes, &roberta_decoder);
const eet_family eet_family_xlm_roberta =
    ENCODER("xlm-roberta", "XLM-R", xlm_classes, &xlm_decoder);
const eet_family eet_family_camembert =
    ENCODER("camembert", "CamemBERT", camembert_classes, &camembert_decoder);
