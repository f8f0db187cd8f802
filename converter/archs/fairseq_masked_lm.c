/* fairseq_masked_lm.c - Fairseq's masked_lm: BERT and XLM as they were before RoBERTa. */
#include "converter/archs/fairseq_rows.h"

enum { MLM, POOLER, NSP };

static const char *const prefixes[] = {"encoder.", NULL};

/* "layer_norm" is that of the head; "encoder_normalize_before" speaks of the embeddings alone, and
 * the layers have their norms behind them whatever it says. */
static const eet_rule rules[] = {
    R("sentence_encoder.embed_tokens.weight", PLACE(ENC, EMB_TOK), {V, E}),
    R("sentence_encoder.embed_positions.weight", PLACE(ENC, EMB_POS), {P, D}, .drop_rows = 2),
    R("sentence_encoder.segment_embeddings.weight", PLACE(ENC, EMB_TYPE), {T, D}),
    R("sentence_encoder.emb_layer_norm.weight", PLACE(ENC, EMB_NORM), {D}),
    R("sentence_encoder.emb_layer_norm.bias", BIAS(ENC, EMB_NORM), {D}),
    FAIRSEQ_LAYER(ENC, "sentence_encoder.layers.*.", "1"),
    R("lm_head_transform_weight.weight", HEAD(MLM, DENSE), {D, D}),
    R("lm_head_transform_weight.bias", HEAD_BIAS(MLM, DENSE), {D}),
    R("layer_norm.weight", HEAD(MLM, NORM), {D}),
    R("layer_norm.bias", HEAD_BIAS(MLM, NORM), {D}),
    R("embed_out.weight", HEAD(MLM, OUT), {V, D}),
    R("lm_output_learned_bias", HEAD_BIAS(MLM, OUT), {V}),
    R("masked_lm_pooler.weight", HEAD(POOLER, DENSE), {D, D}),
    R("masked_lm_pooler.bias", HEAD_BIAS(POOLER, DENSE), {D}),
    R("sentence_projection_layer.weight", HEAD(NSP, OUT), {ANY, D}),
    {0},
};

static const eet_buffer buffers[] = {FAIRSEQ_MARKS("sentence_encoder."), {0}};

static const eet_refused refused[] = {
    FAIRSEQ_REFUSED_TENSORS("sentence_encoder.layers.*."),
    {0},
};

static const eet_trait traits[] = {
    FAIRSEQ_TRAIT(ENC, EMB_NORM, emb_norm),
    {.fact = 0},
};

static const eet_share shares[] = {
    {HEAD(MLM, OUT), PLACE(ENC, EMB_TOK), EET_SHARE_TIED},
    {HEAD(NSP, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},
    {HEAD_BIAS(NSP, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS},
};

static const eet_key_row keys[] = {
    {.key = "encoder_embed_dim", .kind = EET_KEY_INTEGER, AT(ENC, hidden), .required = true},
    {.key = "encoder_layers", .kind = EET_KEY_INTEGER, AT(ENC, layers), .required = true},
    {.key = "encoder_attention_heads", .kind = EET_KEY_INTEGER, AT(ENC, heads), .required = true},
    {.key = "encoder_ffn_embed_dim", .kind = EET_KEY_INTEGER, AT(ENC, ffn), .required = true},
    {.key = "activation_fn", .kind = EET_KEY_ACT, AT(ENC, act), .text = "relu"},
    {.key = "encoder_learned_pos", .kind = EET_KEY_LEARNED, .stack = EET_ENC},
    {.key = "max_positions", .kind = EET_KEY_SINES, .stack = EET_ENC, .fallback = 512},
    {.key = "share_encoder_input_output_embed", .kind = EET_KEY_TIED},
    {.key = "pooler_activation_fn", .kind = EET_KEY_HEAD_ACT, .head = POOLER},
    {.key = "pooler_activation_fn", .kind = EET_KEY_HEAD_ACT, .head = NSP},
    REFUSED("zero_attn", EET_KEY_MUST_BE_FALSE, "a key and a value of zeros (add_zero_attn)"),
    FAIRSEQ_DICTIONARY_KEYS(ENC),
    FAIRSEQ_REFUSED,
    {0},
};

static const eet_head_row heads[] = {
    [MLM] = {.name = "mlm", .stack = EET_ENC, .take = EET_TAKE_EVERY, .act = EET_ACT_OF_STACK},
    [POOLER] = {.name = "pooler", .stack = EET_ENC, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH},
    [NSP] = {.name = "nsp", .stack = EET_ENC, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH},
    {0},
};

static const eet_class classes[] = {
    {.name = "MaskedLMModel",
     .must = HAS(POOLER),
     .may = HAS(MLM) | HAS(NSP),
     .about = "masked language model, pooler, sentences"},
    {0},
};

static const eet_stack_facts encoder = {FAIRSEQ_STACK, .start = -1};

extern const eet_family eet_family_fairseq_masked_lm;
const eet_family eet_family_fairseq_masked_lm = {
    .name = "fairseq_masked_lm",
    .title = "Fairseq's masked_lm",
    .config_sign = "share_encoder_input_output_embed",
    .prefixes = prefixes,
    .stack = {&encoder, NULL},
    .rules = rules,
    .buffers = buffers,
    .refused = refused,
    .traits = traits,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
