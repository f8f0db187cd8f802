/* bert_rows.h - rows that BERT and those that came of it have in common: names, keys, heads. Who
 * includes it numbers its heads POOLER, SEQUENCE, TOKEN, CHOICE and QA; S is ENC, or DEC where the
 * model "is_decoder". */
#ifndef EET_CONVERTER_ARCHS_BERT_ROWS_H
#define EET_CONVERTER_ARCHS_BERT_ROWS_H

#include "converter/archs/rows.h"

/* The embeddings, the layers and the pooler; behind_pad: positions are counted from the padding's.
 */
#define BERT_RULES(S, behind_pad)                                                              \
    R("embeddings.word_embeddings.weight", PLACE(S, EMB_TOK), {V, D}),                         \
        R("embeddings.position_embeddings.weight", PLACE(S, EMB_POS), {P, D},                  \
          .drop_pad = (behind_pad)),                                                           \
        R("embeddings.token_type_embeddings.weight", PLACE(S, EMB_TYPE), {T, D}),              \
        R("embeddings.LayerNorm.weight", PLACE(S, EMB_NORM), {D}),                             \
        R("embeddings.LayerNorm.bias", BIAS(S, EMB_NORM), {D}),                                \
        R("encoder.layer.*.attention.self.query.weight", PLACE(S, ATTN_QKV), {A, D}, PART(0)), \
        R("encoder.layer.*.attention.self.key.weight", PLACE(S, ATTN_QKV), {A, D}, PART(1)),   \
        R("encoder.layer.*.attention.self.value.weight", PLACE(S, ATTN_QKV), {A, D}, PART(2)), \
        R("encoder.layer.*.attention.self.query.bias", BIAS(S, ATTN_QKV), {A}, PART(0)),       \
        R("encoder.layer.*.attention.self.key.bias", BIAS(S, ATTN_QKV), {A}, PART(1)),         \
        R("encoder.layer.*.attention.self.value.bias", BIAS(S, ATTN_QKV), {A}, PART(2)),       \
        R("encoder.layer.*.attention.output.dense.weight", PLACE(S, ATTN_OUT), {D, A}),        \
        R("encoder.layer.*.attention.output.dense.bias", BIAS(S, ATTN_OUT), {D}),              \
        R("encoder.layer.*.attention.output.LayerNorm.weight", PLACE(S, ATTN_NORM), {D}),      \
        R("encoder.layer.*.attention.output.LayerNorm.bias", BIAS(S, ATTN_NORM), {D}),         \
        R("encoder.layer.*.intermediate.dense.weight", PLACE(S, FFN_FC1), {F, D}),             \
        R("encoder.layer.*.intermediate.dense.bias", BIAS(S, FFN_FC1), {F}),                   \
        R("encoder.layer.*.output.dense.weight", PLACE(S, FFN_FC2), {D, F}),                   \
        R("encoder.layer.*.output.dense.bias", BIAS(S, FFN_FC2), {D}),                         \
        R("encoder.layer.*.output.LayerNorm.weight", PLACE(S, FFN_NORM), {D}),                 \
        R("encoder.layer.*.output.LayerNorm.bias", BIAS(S, FFN_NORM), {D}),                    \
        R("pooler.dense.weight", HEAD(POOLER, DENSE), {D, D}),                                 \
        R("pooler.dense.bias", HEAD_BIAS(POOLER, DENSE), {D})

/* Heads whose tensors have the same names everywhere. */
#define BERT_LABEL_RULES                                                    \
    R("classifier.weight", HEAD(TOKEN, OUT), {L, D}, .plain = true),        \
        R("classifier.bias", HEAD_BIAS(TOKEN, OUT), {L}, .plain = true),    \
        R("classifier.weight", HEAD(CHOICE, OUT), {ONE, D}, .plain = true), \
        R("classifier.bias", HEAD_BIAS(CHOICE, OUT), {ONE}, .plain = true), \
        R("qa_outputs.weight", HEAD(QA, OUT), {TWO, D}, .plain = true),     \
        R("qa_outputs.bias", HEAD_BIAS(QA, OUT), {TWO}, .plain = true)

#define BERT_BUFFERS                          \
    {"embeddings.position_ids", 0, false}, {  \
        "embeddings.token_type_ids", 0, false \
    }

#define BERT_SIZE_KEYS(S)                                                                          \
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_size), .required = true},           \
        {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_rows), .required = true},       \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, hidden), .required = true},          \
        {.key = "hidden_size", .kind = EET_KEY_INTEGER, AT(S, emb_dim), .required = true},         \
        {.key = "num_hidden_layers", .kind = EET_KEY_INTEGER, AT(S, layers), .required = true},    \
        {.key = "num_attention_heads", .kind = EET_KEY_INTEGER, AT(S, heads), .required = true}, { \
        .key = "intermediate_size", .kind = EET_KEY_INTEGER, AT(S, ffn), .required = true          \
    }

#define BERT_SHAPE_KEYS(S)                                                                     \
    {.key = "type_vocab_size", .kind = EET_KEY_INTEGER, AT(S, types), .fallback = 2},          \
        {.key = "hidden_act", .kind = EET_KEY_ACT, AT(S, act), .text = "gelu"},                \
        {.key = "layer_norm_eps", .kind = EET_KEY_REAL, AT(S, norm_eps), .fallback = 1e-12}, { \
        .key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1                      \
    }

/* Tokens that no calculation needs, and what is refused. */
#define BERT_LAST_KEYS(S)                                                                     \
    {.key = "cls_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_cls), .fallback = -1},           \
        {.key = "sep_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_sep), .fallback = -1},       \
        {.key = "mask_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_mask), .fallback = -1},     \
        {.key = "position_embedding_type",                                                    \
         .kind = EET_KEY_MUST_BE_TEXT,                                                        \
         .text = "absolute",                                                                  \
         .why = "relative positions"},                                                        \
    {                                                                                         \
        .key = "add_cross_attention", .kind = EET_KEY_MUST_BE_FALSE, .why = "cross attention" \
    }

#define BERT_HEADS(S)                                                                             \
    [POOLER] = {.name = "pooler", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH}, \
    [SEQUENCE] = {.name = "sequence",                                                             \
                  .stack = EET_##S,                                                               \
                  .take = EET_TAKE_FIRST,                                                         \
                  .act = EET_ACT_TANH,                                                            \
                  .labels = true},                                                                \
    [TOKEN] = {.name = "token", .stack = EET_##S, .take = EET_TAKE_EVERY, .labels = true},        \
    [CHOICE] = {.name = "choice", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH}, \
    [QA] = {.name = "qa", .stack = EET_##S, .take = EET_TAKE_EVERY}

#define BERT_CHOICE_SHARES                                                   \
    {HEAD(CHOICE, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS}, {          \
        HEAD_BIAS(CHOICE, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS \
    }

#endif
