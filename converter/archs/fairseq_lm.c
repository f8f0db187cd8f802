/* fairseq_lm.c - Fairseq's transformer_lm, of any of its versions. */
#include <stddef.h>

#include "converter/arch.h"

#define AT(field) .stack = EET_DEC, .fact = offsetof(eet_stack_facts, field)
#define DEC(part) \
    { .group = EET_GROUP_DEC, .slot = EET_SLOT_##part }
#define DEC_BIAS(part) \
    { .group = EET_GROUP_DEC, .slot = EET_SLOT_##part, .bias = true }
#define HEAD(row, part) \
    { .group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_##part, .head = (row) }
#define PART(k) .part = (k), .parts = 3
#define V \
    { EET_SYM_VOCAB, 1 }
#define P \
    { EET_SYM_POSITIONS, 1 }
#define E \
    { EET_SYM_EMB, 1 }
#define D \
    { EET_SYM_HIDDEN, 1 }
#define A \
    { EET_SYM_INNER, 1 }
#define A3 \
    { EET_SYM_INNER, 3 }
#define F \
    { EET_SYM_FFN, 1 }
#define O \
    { EET_SYM_OUTPUT, 1 }

#define R(name, place, ...) \
    { .pattern = (name), .spot = place, .shape = __VA_ARGS__ }

enum { LM };

static const char *const prefixes[] = {"decoder.", NULL};

/* The rows of learned positions begin behind the padding's, 1. Until 0.8 queries, keys and
 * values were one matrix, and norms were numbered (0.6). */
static const eet_rule rules[] = {
    R("embed_tokens.weight", DEC(EMB_TOK), {V, E}),
    R("project_in_dim.weight", DEC(EMB_PROJ_IN), {D, E}),
    R("embed_positions.weight", DEC(EMB_POS), {P, D}, .drop_rows = 2),
    R("layernorm_embedding.weight", DEC(EMB_NORM), {D}),
    R("layernorm_embedding.bias", DEC_BIAS(EMB_NORM), {D}),
    R("layers.*.self_attn.q_proj.weight", DEC(ATTN_QKV), {A, D}, PART(0)),
    R("layers.*.self_attn.k_proj.weight", DEC(ATTN_QKV), {A, D}, PART(1)),
    R("layers.*.self_attn.v_proj.weight", DEC(ATTN_QKV), {A, D}, PART(2)),
    R("layers.*.self_attn.q_proj.bias", DEC_BIAS(ATTN_QKV), {A}, PART(0)),
    R("layers.*.self_attn.k_proj.bias", DEC_BIAS(ATTN_QKV), {A}, PART(1)),
    R("layers.*.self_attn.v_proj.bias", DEC_BIAS(ATTN_QKV), {A}, PART(2)),
    R("layers.*.self_attn.in_proj_weight", DEC(ATTN_QKV), {A3, D}, .optional = true),
    R("layers.*.self_attn.in_proj_bias", DEC_BIAS(ATTN_QKV), {A3}, .optional = true),
    R("layers.*.self_attn.out_proj.weight", DEC(ATTN_OUT), {D, A}),
    R("layers.*.self_attn.out_proj.bias", DEC_BIAS(ATTN_OUT), {D}),
    R("layers.*.self_attn_layer_norm.weight", DEC(ATTN_NORM), {D}),
    R("layers.*.self_attn_layer_norm.bias", DEC_BIAS(ATTN_NORM), {D}),
    R("layers.*.layer_norms.0.weight", DEC(ATTN_NORM), {D}, .optional = true),
    R("layers.*.layer_norms.0.bias", DEC_BIAS(ATTN_NORM), {D}, .optional = true),
    R("layers.*.fc1.weight", DEC(FFN_FC1), {F, D}),
    R("layers.*.fc1.bias", DEC_BIAS(FFN_FC1), {F}),
    R("layers.*.fc2.weight", DEC(FFN_FC2), {D, F}),
    R("layers.*.fc2.bias", DEC_BIAS(FFN_FC2), {D}),
    R("layers.*.final_layer_norm.weight", DEC(FFN_NORM), {D}),
    R("layers.*.final_layer_norm.bias", DEC_BIAS(FFN_NORM), {D}),
    R("layers.*.layer_norms.1.weight", DEC(FFN_NORM), {D}, .optional = true),
    R("layers.*.layer_norms.1.bias", DEC_BIAS(FFN_NORM), {D}, .optional = true),
    R("layer_norm.weight", DEC(NORM), {D}),
    R("layer_norm.bias", DEC_BIAS(NORM), {D}),
    R("project_out_dim.weight", HEAD(LM, DENSE), {O, D}, .optional = true),
    R("output_projection.weight", HEAD(LM, OUT), {V, O}),
    R("embed_out", HEAD(LM, OUT), {V, O}, .optional = true),
    {0},
};

/* Marks of the version and of sinusoidal positions; tables of positions were saved once. */
static const eet_buffer buffers[] = {
    {"version", 0, false},
    {"embed_positions._float_tensor", 0, false},
    {"embed_positions.weights", 0, false},
    {0},
};

static const eet_trait traits[] = {
    {DEC(NORM), offsetof(eet_stack_facts, final_norm)},
    {DEC(EMB_NORM), offsetof(eet_stack_facts, emb_norm)},
    {{0}, 0},
};

static const eet_share shares[] = {
    {HEAD(LM, OUT), DEC(EMB_TOK), true},
};

#define REFUSED(name, kind_, means) \
    { .key = (name), .kind = (kind_), .why = (means) }

static const eet_key_row keys[] = {
    {.key = "decoder_embed_dim", .kind = EET_KEY_INTEGER, AT(hidden), .required = true},
    {.key = "decoder_input_dim",
     .kind = EET_KEY_INTEGER,
     AT(emb_dim),
     .fallback = 1,
     .fallback_of = EET_SYM_HIDDEN},
    {.key = "decoder_output_dim", .kind = EET_KEY_SYMBOL, .symbol = EET_SYM_OUTPUT},
    {.key = "decoder_layers", .kind = EET_KEY_INTEGER, AT(layers), .required = true},
    {.key = "decoder_layers_to_keep", .kind = EET_KEY_KEPT_LAYERS, .stack = EET_DEC},
    {.key = "decoder_attention_heads", .kind = EET_KEY_INTEGER, AT(heads), .required = true},
    {.key = "decoder_ffn_embed_dim", .kind = EET_KEY_INTEGER, AT(ffn), .required = true},
    {.key = "decoder_normalize_before", .kind = EET_KEY_BOOL, AT(pre_norm), .fallback = 1},
    {.key = "layernorm_embedding", .kind = EET_KEY_BOOL, AT(emb_norm)},
    {.key = "activation_fn", .kind = EET_KEY_ACT, AT(act), .text = "relu"},
    {.key = "no_scale_embedding", .kind = EET_KEY_UNSCALED_EMB, .stack = EET_DEC},
    {.key = "decoder_learned_pos", .kind = EET_KEY_LEARNED, .stack = EET_DEC},
    {.key = "max_target_positions", .kind = EET_KEY_SINES, .stack = EET_DEC, .fallback = 1024},
    {.key = "share_decoder_input_output_embed", .kind = EET_KEY_TIED},
    REFUSED("adaptive_input", EET_KEY_MUST_BE_FALSE, "adaptive input"),
    REFUSED("adaptive_softmax_cutoff", EET_KEY_MUST_BE_EMPTY, "an adaptive softmax"),
    REFUSED("character_embeddings", EET_KEY_MUST_BE_FALSE, "an embedding of characters"),
    REFUSED("no_token_positional_embeddings", EET_KEY_MUST_BE_FALSE, "a model without positions"),
    REFUSED("base_layers", EET_KEY_MUST_BE_ZERO, "a mixture of experts (BASE layers)"),
    REFUSED("scale_fc", EET_KEY_MUST_BE_FALSE, "NormFormer"),
    REFUSED("scale_attn", EET_KEY_MUST_BE_FALSE, "NormFormer"),
    REFUSED("scale_heads", EET_KEY_MUST_BE_FALSE, "NormFormer"),
    REFUSED("scale_resids", EET_KEY_MUST_BE_FALSE, "NormFormer"),
    REFUSED("quant_noise_pq", EET_KEY_MUST_BE_ZERO, "quantisation noise"),
    REFUSED("quant_noise_scalar", EET_KEY_MUST_BE_ZERO, "quantisation noise"),
    {0},
};

static const eet_head_row heads[] = {
    [LM] = {.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    {0},
};

static const eet_class classes[] = {
    {.name = "TransformerLanguageModel", .must = 1U << LM, .about = "language model"},
    {0},
};

static const eet_stack_facts decoder = {
    .present = true,
    .act = EET_ACT_RELU,
    .pos_table = true,
    .pos_skip_pad = true,
    .norm_eps = 1e-5,
    .type_default = -1,
    .emb_scale = 1.0,
    .tok_bos = 0,
    .tok_pad = 1,
    .tok_eos = 2,
    .tok_unk = 3,
    .tok_cls = -1,
    .tok_sep = -1,
    .tok_mask = -1,
    .start = -1,
};

extern const eet_family eet_family_fairseq_lm;
const eet_family eet_family_fairseq_lm = {
    .name = "fairseq_lm",
    .title = "Fairseq's transformer_lm",
    .config_sign = "decoder_embed_dim",
    .prefixes = prefixes,
    .stack = {NULL, &decoder},
    .rules = rules,
    .buffers = buffers,
    .traits = traits,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
