/* bert.c - BERT as Transformers saves it. */
#include <stddef.h>

#include "converter/arch.h"

#define AT(field) .stack = EET_ENC, .fact = offsetof(eet_stack_facts, field)
#define ENC(part) \
    { .group = EET_GROUP_ENC, .slot = EET_SLOT_##part }
#define ENC_BIAS(part) \
    { .group = EET_GROUP_ENC, .slot = EET_SLOT_##part, .bias = true }
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
#define TWO \
    { EET_SYM_PAIR, 1 }

#define R(name, place, ...) \
    { .pattern = (name), .spot = place, .shape = __VA_ARGS__ }

enum { MLM, POOLER, NSP };

static const char *const prefixes[] = {"", "bert.", NULL};

static const eet_rule rules[] = {
    R("embeddings.word_embeddings.weight", ENC(EMB_TOK), {V, D}),
    R("embeddings.position_embeddings.weight", ENC(EMB_POS), {P, D}),
    R("embeddings.token_type_embeddings.weight", ENC(EMB_TYPE), {T, D}),
    R("embeddings.LayerNorm.weight", ENC(EMB_NORM), {D}),
    R("embeddings.LayerNorm.bias", ENC_BIAS(EMB_NORM), {D}),
    R("encoder.layer.*.attention.self.query.weight", ENC(ATTN_QKV), {A, D}, PART(0)),
    R("encoder.layer.*.attention.self.key.weight", ENC(ATTN_QKV), {A, D}, PART(1)),
    R("encoder.layer.*.attention.self.value.weight", ENC(ATTN_QKV), {A, D}, PART(2)),
    R("encoder.layer.*.attention.self.query.bias", ENC_BIAS(ATTN_QKV), {A}, PART(0)),
    R("encoder.layer.*.attention.self.key.bias", ENC_BIAS(ATTN_QKV), {A}, PART(1)),
    R("encoder.layer.*.attention.self.value.bias", ENC_BIAS(ATTN_QKV), {A}, PART(2)),
    R("encoder.layer.*.attention.output.dense.weight", ENC(ATTN_OUT), {D, A}),
    R("encoder.layer.*.attention.output.dense.bias", ENC_BIAS(ATTN_OUT), {D}),
    R("encoder.layer.*.attention.output.LayerNorm.weight", ENC(ATTN_NORM), {D}),
    R("encoder.layer.*.attention.output.LayerNorm.bias", ENC_BIAS(ATTN_NORM), {D}),
    R("encoder.layer.*.intermediate.dense.weight", ENC(FFN_FC1), {F, D}),
    R("encoder.layer.*.intermediate.dense.bias", ENC_BIAS(FFN_FC1), {F}),
    R("encoder.layer.*.output.dense.weight", ENC(FFN_FC2), {D, F}),
    R("encoder.layer.*.output.dense.bias", ENC_BIAS(FFN_FC2), {D}),
    R("encoder.layer.*.output.LayerNorm.weight", ENC(FFN_NORM), {D}),
    R("encoder.layer.*.output.LayerNorm.bias", ENC_BIAS(FFN_NORM), {D}),
    R("pooler.dense.weight", HEAD(POOLER, DENSE), {D, D}),
    R("pooler.dense.bias", HEAD_BIAS(POOLER, DENSE), {D}),
    R("cls.predictions.transform.dense.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),
    R("cls.predictions.transform.dense.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),
    R("cls.predictions.transform.LayerNorm.weight", HEAD(MLM, NORM), {D}, .plain = true),
    R("cls.predictions.transform.LayerNorm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true),
    R("cls.predictions.decoder.weight", HEAD(MLM, OUT), {V, D}, .plain = true),
    R("cls.predictions.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),
    R("cls.predictions.decoder.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true, .optional = true),
    R("cls.seq_relationship.weight", HEAD(NSP, OUT), {TWO, D}, .plain = true),
    R("cls.seq_relationship.bias", HEAD_BIAS(NSP, OUT), {TWO}, .plain = true),
    {0},
};

static const eet_buffer buffers[] = {
    {"embeddings.position_ids", 0, false},
    {"embeddings.token_type_ids", 0, false},
    {0},
};

static const eet_share shares[] = {
    {HEAD(MLM, OUT), ENC(EMB_TOK), true},
    {HEAD(NSP, DENSE), HEAD(POOLER, DENSE), false},
    {HEAD_BIAS(NSP, DENSE), HEAD_BIAS(POOLER, DENSE), false},
};

static const eet_key_row keys[] = {
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(vocab_size), .required = true},
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(vocab_rows), .required = true},
    {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(hidden), .required = true},
    {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(emb_dim), .required = true},
    {.key = "num_hidden_layers", .kind = EET_KEY_INTEGER, AT(layers), .required = true},
    {.key = "num_attention_heads", .kind = EET_KEY_INTEGER, AT(heads), .required = true},
    {.key = "intermediate_size", .kind = EET_KEY_INTEGER, AT(ffn), .required = true},
    {.key = "max_position_embeddings", .kind = EET_KEY_INTEGER, AT(pos_rows), .required = true},
    {.key = "type_vocab_size", .kind = EET_KEY_INTEGER, AT(types), .fallback = 2},
    {.key = "hidden_act", .kind = EET_KEY_ACT, AT(act), .text = "gelu"},
    {.key = "layer_norm_eps", .kind = EET_KEY_REAL, AT(norm_eps), .fallback = 1e-12},
    {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},
    {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(tok_pad), .fallback = 0},
    {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(tok_bos), .fallback = -1},
    {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(tok_eos), .fallback = -1},
    {.key = "cls_token_id", .kind = EET_KEY_TOKEN, AT(tok_cls), .fallback = -1},
    {.key = "sep_token_id", .kind = EET_KEY_TOKEN, AT(tok_sep), .fallback = -1},
    {.key = "mask_token_id", .kind = EET_KEY_TOKEN, AT(tok_mask), .fallback = -1},
    {.key = "position_embedding_type",
     .kind = EET_KEY_MUST_BE_TEXT,
     .text = "absolute",
     .why = "relative positions"},
    {.key = "is_decoder", .kind = EET_KEY_MUST_BE_FALSE, .why = "BERT as a decoder"},
    {.key = "add_cross_attention", .kind = EET_KEY_MUST_BE_FALSE, .why = "cross attention"},
    {0},
};

static const eet_head_row heads[] = {
    [MLM] = {"mlm", EET_ENC, EET_TAKE_EVERY, EET_ACT_OF_STACK},
    [POOLER] = {"pooler", EET_ENC, EET_TAKE_FIRST, EET_ACT_TANH},
    [NSP] = {"nsp", EET_ENC, EET_TAKE_FIRST, EET_ACT_TANH},
    {0},
};

/* The files of 2018 hold all of the pre-training's heads, whatever class they name. */
static const eet_class classes[] = {
    {.name = "BertModel", .may = 1U << POOLER, .about = "hidden states, pooler"},
    {.name = "BertForMaskedLM",
     .must = 1U << MLM,
     .may = 1U << POOLER | 1U << NSP,
     .sign = "cls.predictions.bias",
     .about = "masked language model"},
    {0},
};

static const eet_stack_facts encoder = {
    .present = true,
    .act = EET_ACT_GELU_ERF,
    .emb_norm = true,
    .pos_table = true,
    .emb_scale = 1.0,
    .type_default = 0,
    .tok_pad = -1,
    .tok_bos = -1,
    .tok_eos = -1,
    .tok_unk = -1,
    .tok_cls = -1,
    .tok_sep = -1,
    .tok_mask = -1,
    .start = -1,
};

extern const eet_family eet_family_bert;
const eet_family eet_family_bert = {
    .name = "bert",
    .title = "BERT",
    .config_sign = "intermediate_size",
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
