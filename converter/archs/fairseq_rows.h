/* fairseq_rows.h - rows that the families of Fairseq have in common: its layers, of any version. */
#ifndef EET_CONVERTER_ARCHS_FAIRSEQ_ROWS_H
#define EET_CONVERTER_ARCHS_FAIRSEQ_ROWS_H

#include "converter/archs/rows.h"

#define HALF(k)             .part = (k), .parts = 2
#define SLICE(first, count) .slice = (first), .slice_count = (count), .slices = 3
#define MAYBE               .optional = true

/* The rows of learned positions begin behind the padding's, 1. */
#define FAIRSEQ_EMBEDDINGS(S, at)                                                  \
    R(at "embed_tokens.weight", PLACE(S, EMB_TOK), {V, E}),                        \
        R(at "embed_positions.weight", PLACE(S, EMB_POS), {P, D}, .drop_rows = 2), \
        R(at "layernorm_embedding.weight", PLACE(S, EMB_NORM), {D}),               \
        R(at "layernorm_embedding.bias", BIAS(S, EMB_NORM), {D}),                  \
        R(at "layer_norm.weight", PLACE(S, NORM), {D}),                            \
        R(at "layer_norm.bias", BIAS(S, NORM), {D})

/* Until 0.8 queries, keys and values were one matrix; norms were numbered in 0.6, `last` is the
 * number of that before the feed-forward part. */
#define FAIRSEQ_LAYER(S, at, last)                                                              \
    R(at "self_attn.q_proj.weight", PLACE(S, ATTN_QKV), {A, D}, PART(0)),                       \
        R(at "self_attn.k_proj.weight", PLACE(S, ATTN_QKV), {A, D}, PART(1)),                   \
        R(at "self_attn.v_proj.weight", PLACE(S, ATTN_QKV), {A, D}, PART(2)),                   \
        R(at "self_attn.q_proj.bias", BIAS(S, ATTN_QKV), {A}, PART(0)),                         \
        R(at "self_attn.k_proj.bias", BIAS(S, ATTN_QKV), {A}, PART(1)),                         \
        R(at "self_attn.v_proj.bias", BIAS(S, ATTN_QKV), {A}, PART(2)),                         \
        R(at "self_attn.in_proj_weight", PLACE(S, ATTN_QKV), {A3, D}, MAYBE),                   \
        R(at "self_attn.in_proj_bias", BIAS(S, ATTN_QKV), {A3}, MAYBE),                         \
        R(at "self_attn.out_proj.weight", PLACE(S, ATTN_OUT), {D, A}),                          \
        R(at "self_attn.out_proj.bias", BIAS(S, ATTN_OUT), {D}),                                \
        R(at "self_attn_layer_norm.weight", PLACE(S, ATTN_NORM), {D}),                          \
        R(at "self_attn_layer_norm.bias", BIAS(S, ATTN_NORM), {D}),                             \
        R(at "layer_norms.0.weight", PLACE(S, ATTN_NORM), {D}, MAYBE),                          \
        R(at "layer_norms.0.bias", BIAS(S, ATTN_NORM), {D}, MAYBE),                             \
        R(at "fc1.weight", PLACE(S, FFN_FC1), {F, D}), R(at "fc1.bias", BIAS(S, FFN_FC1), {F}), \
        R(at "fc2.weight", PLACE(S, FFN_FC2), {D, F}), R(at "fc2.bias", BIAS(S, FFN_FC2), {D}), \
        R(at "final_layer_norm.weight", PLACE(S, FFN_NORM), {D}),                               \
        R(at "final_layer_norm.bias", BIAS(S, FFN_NORM), {D}),                                  \
        R(at "layer_norms." last ".weight", PLACE(S, FFN_NORM), {D}, MAYBE),                    \
        R(at "layer_norms." last ".bias", BIAS(S, FFN_NORM), {D}, MAYBE)

/* Attention to the source. Where both widths are the same, old versions had one matrix; where
 * they are not, three whose biases were one vector. */
#define FAIRSEQ_CROSS(at)                                                                      \
    R(at "encoder_attn.q_proj.weight", PLACE(DEC, CROSS_Q), {A, D}),                           \
        R(at "encoder_attn.q_proj.bias", BIAS(DEC, CROSS_Q), {A}),                             \
        R(at "encoder_attn.k_proj.weight", PLACE(DEC, CROSS_KV), {A, C}, HALF(0)),             \
        R(at "encoder_attn.v_proj.weight", PLACE(DEC, CROSS_KV), {A, C}, HALF(1)),             \
        R(at "encoder_attn.k_proj.bias", BIAS(DEC, CROSS_KV), {A}, HALF(0)),                   \
        R(at "encoder_attn.v_proj.bias", BIAS(DEC, CROSS_KV), {A}, HALF(1)),                   \
        R(at "encoder_attn.in_proj_weight", PLACE(DEC, CROSS_Q), {A3, D}, MAYBE, SLICE(0, 1)), \
        R(at "encoder_attn.in_proj_weight", PLACE(DEC, CROSS_KV), {A3, D}, MAYBE, SLICE(1, 2), \
          .also = true),                                                                       \
        R(at "encoder_attn.q_proj_weight", PLACE(DEC, CROSS_Q), {A, D}, MAYBE),                \
        R(at "encoder_attn.k_proj_weight", PLACE(DEC, CROSS_KV), {A, C}, MAYBE, HALF(0)),      \
        R(at "encoder_attn.v_proj_weight", PLACE(DEC, CROSS_KV), {A, C}, MAYBE, HALF(1)),      \
        R(at "encoder_attn.in_proj_bias", BIAS(DEC, CROSS_Q), {A3}, MAYBE, SLICE(0, 1)),       \
        R(at "encoder_attn.in_proj_bias", BIAS(DEC, CROSS_KV), {A3}, MAYBE, SLICE(1, 2),       \
          .also = true),                                                                       \
        R(at "encoder_attn.out_proj.weight", PLACE(DEC, CROSS_OUT), {D, A}),                   \
        R(at "encoder_attn.out_proj.bias", BIAS(DEC, CROSS_OUT), {D}),                         \
        R(at "encoder_attn_layer_norm.weight", PLACE(DEC, CROSS_NORM), {D}),                   \
        R(at "encoder_attn_layer_norm.bias", BIAS(DEC, CROSS_NORM), {D}),                      \
        R(at "layer_norms.1.weight", PLACE(DEC, CROSS_NORM), {D}, MAYBE),                      \
        R(at "layer_norms.1.bias", BIAS(DEC, CROSS_NORM), {D}, MAYBE)

/* Marks of the version and of sinusoidal positions; tables of those were saved once. */
#define FAIRSEQ_MARKS(at)                                                       \
    {at "version", 0, false}, {at "embed_positions._float_tensor", 0, false}, { \
        at "embed_positions.weights", 0, false                                  \
    }

/* 0.12's fast path of an encoder's layer: copies that go stale when training goes on. */
#define FAIRSEQ_STALE(at)                                                                      \
    {at "in_proj_weight", 0, false}, {at "in_proj_bias", 0, false},                            \
        {at "out_proj_weight", 0, false}, {at "out_proj_bias", 0, false},                      \
        {at "fc1_weight", 0, false}, {at "fc1_bias", 0, false}, {at "fc2_weight", 0, false}, { \
        at "fc2_bias", 0, false                                                                \
    }

#define FAIRSEQ_REFUSED_TENSORS(at)                                                       \
    {at "self_attn.bias_k", "a key and a value of the layer's own (add_bias_kv)"},        \
        {at "encoder_attn.bias_k", "a key and a value of the layer's own (add_bias_kv)"}, \
        {at "attn_ln.weight", "NormFormer"}, {at "ffn_layernorm.weight", "NormFormer"},   \
        {at "self_attn.c_attn", "NormFormer"}, {                                          \
        at "w_resid", "NormFormer"                                                        \
    }

#define FAIRSEQ_TRAIT(S, part, bool_fact) \
    { .spot = PLACE(S, part), .fact = offsetof(eet_stack_facts, bool_fact) }
#define FAIRSEQ_TRAITS(S) FAIRSEQ_TRAIT(S, NORM, final_norm), FAIRSEQ_TRAIT(S, EMB_NORM, emb_norm)

#define REFUSED(name, kind_, means) \
    { .key = (name), .kind = (kind_), .why = (means) }

/* "encoder" or "decoder": its sizes and kind. */
#define FAIRSEQ_STACK_KEYS(S, name, positions)                                                     \
    {.key = name "_embed_dim", .kind = EET_KEY_INTEGER, AT(S, hidden), .required = true},          \
        {.key = name "_layers", .kind = EET_KEY_INTEGER, AT(S, layers), .required = true},         \
        {.key = name "_layers_to_keep", .kind = EET_KEY_KEPT_LAYERS, .stack = EET_##S},            \
        REFUSED(name "_xformers_att_config", EET_KEY_MUST_BE_EMPTY, "attention by xFormers"),      \
        {.key = name "_attention_heads", .kind = EET_KEY_INTEGER, AT(S, heads), .required = true}, \
        {.key = name "_ffn_embed_dim", .kind = EET_KEY_INTEGER, AT(S, ffn), .required = true},     \
        {.key = "activation_fn", .kind = EET_KEY_ACT, AT(S, act), .text = "relu"},                 \
        {.key = "layernorm_embedding", .kind = EET_KEY_BOOL, AT(S, emb_norm)},                     \
        {.key = "no_scale_embedding", .kind = EET_KEY_UNSCALED_EMB, .stack = EET_##S},             \
        {.key = name "_learned_pos", .kind = EET_KEY_LEARNED, .stack = EET_##S}, {                 \
        .key = (positions), .kind = EET_KEY_SINES, .stack = EET_##S, .fallback = 1024              \
    }

/* Heads that were registered by name: so many at most, from the row `CLASS` of heads on. */
#define FAIRSEQ_CLASS_RULES(row)                                                                \
    R("classification_heads.?.dense.weight", HEAD(row, DENSE), {ANY, D}, .plain = true),        \
        R("classification_heads.?.dense.bias", HEAD_BIAS(row, DENSE), {ANY}, .plain = true),    \
        R("classification_heads.?.out_proj.weight", HEAD(row, OUT), {ANY, ANY}, .plain = true), \
        R("classification_heads.?.out_proj.bias", HEAD_BIAS(row, OUT), {ANY}, .plain = true)
#define FAIRSEQ_ALL_CLASS_RULES                                                                 \
    FAIRSEQ_CLASS_RULES(CLASS), FAIRSEQ_CLASS_RULES(CLASS + 1), FAIRSEQ_CLASS_RULES(CLASS + 2), \
        FAIRSEQ_CLASS_RULES(CLASS + 3)
#define FAIRSEQ_CLASS_KEY(row) \
    { .key = "pooler_activation_fn", .kind = EET_KEY_HEAD_ACT, .head = (row) }
#define FAIRSEQ_ALL_CLASS_KEYS                                                            \
    FAIRSEQ_CLASS_KEY(CLASS), FAIRSEQ_CLASS_KEY(CLASS + 1), FAIRSEQ_CLASS_KEY(CLASS + 2), \
        FAIRSEQ_CLASS_KEY(CLASS + 3)
#define FAIRSEQ_CLASS_HEAD(S, takes) \
    { .name = "class", .stack = EET_##S, .take = (takes), .act = EET_ACT_TANH, .named = true }
#define FAIRSEQ_ALL_CLASS_HEADS(S, takes)                                               \
    [CLASS] = FAIRSEQ_CLASS_HEAD(S, takes), [CLASS + 1] = FAIRSEQ_CLASS_HEAD(S, takes), \
    [CLASS + 2] = FAIRSEQ_CLASS_HEAD(S, takes), [CLASS + 3] = FAIRSEQ_CLASS_HEAD(S, takes)
#define FAIRSEQ_ALL_CLASSES (15U << CLASS)

/* What none of them is, whatever the family. */
#define FAIRSEQ_REFUSED                                                                       \
    REFUSED("adaptive_input", EET_KEY_MUST_BE_FALSE, "adaptive input"),                       \
        REFUSED("adaptive_softmax_cutoff", EET_KEY_MUST_BE_EMPTY, "an adaptive softmax"),     \
        REFUSED("character_embeddings", EET_KEY_MUST_BE_FALSE, "an embedding of characters"), \
        REFUSED("no_token_positional_embeddings", EET_KEY_MUST_BE_FALSE,                      \
                "a model without positions"),                                                 \
        REFUSED("base_layers", EET_KEY_MUST_BE_ZERO, "a mixture of experts (BASE layers)"),   \
        REFUSED("scale_fc", EET_KEY_MUST_BE_FALSE, "NormFormer"),                             \
        REFUSED("scale_attn", EET_KEY_MUST_BE_FALSE, "NormFormer"),                           \
        REFUSED("scale_heads", EET_KEY_MUST_BE_FALSE, "NormFormer"),                          \
        REFUSED("scale_resids", EET_KEY_MUST_BE_FALSE, "NormFormer"),                         \
        REFUSED("quant_noise_pq", EET_KEY_MUST_BE_ZERO, "quantisation noise"),                \
        REFUSED("quant_noise_scalar", EET_KEY_MUST_BE_ZERO, "quantisation noise")

/* The dictionary of a model without languages. */
#define FAIRSEQ_DICTIONARY_KEYS(S)                                         \
    {.key = "dictionary", .kind = EET_KEY_DICTIONARY, .stack = EET_##S}, { \
        .key = "task", .kind = EET_KEY_TASK                                \
    }

/* Ids 0 to 3 are Fairseq's <s>, <pad>, </s>, <unk>. */
#define FAIRSEQ_STACK                                                                           \
    .present = true, .pos_table = true, .pos_skip_pad = true, .norm_eps = 1e-5, .emb_scale = 1, \
    .type_default = -1, .tok_bos = 0, .tok_pad = 1, .tok_eos = 2, .tok_unk = 3, .tok_cls = -1,  \
    .tok_sep = -1, .tok_mask = -1

/* An encoder and a decoder, as "transformer" and "bart" have them; LM is the row of the head. */
#define FAIRSEQ_PAIR_RULES                                                                \
    FAIRSEQ_EMBEDDINGS(ENC, "encoder."), FAIRSEQ_LAYER(ENC, "encoder.layers.*.", "1"),    \
        FAIRSEQ_EMBEDDINGS(DEC, "decoder."),                                              \
        R("decoder.project_in_dim.weight", PLACE(DEC, EMB_PROJ_IN), {D, E}),              \
        FAIRSEQ_LAYER(DEC, "decoder.layers.*.", "2"), FAIRSEQ_CROSS("decoder.layers.*."), \
        R("decoder.project_out_dim.weight", HEAD(LM, DENSE), {O, D}, MAYBE),              \
        R("decoder.output_projection.weight", HEAD(LM, OUT), {V, O}),                     \
        R("decoder.embed_out", HEAD(LM, OUT), {V, O}, MAYBE)

#define FAIRSEQ_PAIR_BUFFERS \
    FAIRSEQ_MARKS("encoder."), FAIRSEQ_MARKS("decoder."), FAIRSEQ_STALE("encoder.layers.*.")

#define FAIRSEQ_PAIR_VERSIONS                                       \
    {"encoder.version", "encoder.layer_norm.weight", EET_ENC, 1}, { \
        "decoder.version", "decoder.layer_norm.weight", EET_DEC, 2  \
    }

/* One dictionary may serve both sides; then both tables are saved. */
#define FAIRSEQ_PAIR_SHARES                                        \
    {PLACE(DEC, EMB_TOK), PLACE(ENC, EMB_TOK), EET_SHARE_EQUAL}, { \
        HEAD(LM, OUT), PLACE(DEC, EMB_TOK), EET_SHARE_TIED         \
    }

#define FAIRSEQ_PAIR_KEYS                                                                          \
    FAIRSEQ_STACK_KEYS(ENC, "encoder", "max_source_positions"),                                    \
        FAIRSEQ_STACK_KEYS(DEC, "decoder", "max_target_positions"),                                \
        {.key = "encoder_embed_dim",                                                               \
         .kind = EET_KEY_INTEGER,                                                                  \
         AT(DEC, cross_dim),                                                                       \
         .required = true},                                                                        \
        {.key = "encoder_normalize_before", .kind = EET_KEY_BOOL, AT(ENC, pre_norm)},              \
        {.key = "decoder_normalize_before", .kind = EET_KEY_BOOL, AT(DEC, pre_norm)},              \
        {.key = "decoder_output_dim", .kind = EET_KEY_SYMBOL, .symbol = EET_SYM_OUTPUT},           \
        {.key = "share_decoder_input_output_embed", .kind = EET_KEY_TIED},                         \
        {.key = "share_all_embeddings", .kind = EET_KEY_TIED_TOO},                                 \
        {.key = "source_lang", .kind = EET_KEY_DICTIONARY, .stack = EET_ENC},                      \
        {.key = "target_lang", .kind = EET_KEY_DICTIONARY, .stack = EET_DEC},                      \
        {.key = "task", .kind = EET_KEY_TASK},                                                     \
        {.key = "langs", .alias = "mono_langs", .kind = EET_KEY_LANGUAGES},                        \
        {.key = "add_lang_token", .kind = EET_KEY_LANG_TOKENS},                                    \
        {.key = "decoder_langtok", .kind = EET_KEY_LANG_FIRST},                                    \
        {.key = "langtoks_main", .kind = EET_KEY_LANG_SPECS},                                      \
        {.key = "lang_tok_style", .kind = EET_KEY_LANG_STYLE},                                     \
        REFUSED("no_cross_attention", EET_KEY_MUST_BE_FALSE, "a decoder without cross attention"), \
        REFUSED("cross_self_attention", EET_KEY_MUST_BE_FALSE,                                     \
                "attention to source and target at once"),                                         \
        REFUSED("layer_wise_attention", EET_KEY_MUST_BE_FALSE,                                     \
                "attention to each layer of the encoder"),                                         \
        REFUSED("lang_tok_replacing_bos_eos", EET_KEY_MUST_BE_FALSE,                               \
                "language tokens in the place of others"),                                         \
        FAIRSEQ_REFUSED

#define FAIRSEQ_PAIR_ENCODER \
    { FAIRSEQ_STACK, .start = -1 }
#define FAIRSEQ_PAIR_DECODER \
    { FAIRSEQ_STACK, .start = 2, .cross = true }

#endif
