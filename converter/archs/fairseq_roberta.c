/* fairseq_roberta.c - Fairseq's RoBERTa, XLM-R with it. */
#include "converter/archs/fairseq_rows.h"

enum { MLM, CLASS };

/* It was a "decoder" until 0.9. */
static const char *const prefixes[] = {"encoder.", "decoder.", NULL};

static const eet_rule rules[] = {
    FAIRSEQ_EMBEDDINGS(ENC, "sentence_encoder."),
    R("sentence_encoder.emb_layer_norm.weight", PLACE(ENC, EMB_NORM), {D}, MAYBE),
    R("sentence_encoder.emb_layer_norm.bias", BIAS(ENC, EMB_NORM), {D}, MAYBE),
    FAIRSEQ_LAYER(ENC, "sentence_encoder.layers.*.", "1"),
    R("lm_head.dense.weight", HEAD(MLM, DENSE), {D, D}),
    R("lm_head.dense.bias", HEAD_BIAS(MLM, DENSE), {D}),
    R("lm_head.layer_norm.weight", HEAD(MLM, NORM), {D}),
    R("lm_head.layer_norm.bias", HEAD_BIAS(MLM, NORM), {D}),
    R("lm_head.weight", HEAD(MLM, OUT), {V, D}),
    R("lm_head.bias", HEAD_BIAS(MLM, OUT), {V}),
    FAIRSEQ_ALL_CLASS_RULES,
    {0},
};

static const eet_buffer buffers[] = {
    FAIRSEQ_MARKS("sentence_encoder."),
    FAIRSEQ_STALE("sentence_encoder.layers.*."),
    {0},
};

static const eet_refused refused[] = {
    FAIRSEQ_REFUSED_TENSORS("sentence_encoder.layers.*."),
    {0},
};

/* Until 0.10 the layers had their norms behind them, whatever "encoder_normalize_before" says; the
 * norm of the embeddings had this name then. */
static const eet_trait traits[] = {
    FAIRSEQ_TRAITS(ENC),
    {.spot = PLACE(ENC, EMB_NORM),
     .fact = offsetof(eet_stack_facts, pre_norm),
     .pattern = "sentence_encoder.emb_layer_norm.weight",
     .is_false = true},
    {.fact = 0},
};

static const eet_version_row versions[] = {
    {"encoder.sentence_encoder.version", "encoder.sentence_encoder.layer_norm.weight", EET_ENC, 1},
    {0},
};

static const eet_share shares[] = {{HEAD(MLM, OUT), PLACE(ENC, EMB_TOK), EET_SHARE_TIED}};

static const eet_key_row keys[] = {
    FAIRSEQ_STACK_KEYS(ENC, "encoder", "max_source_positions"),
    {.key = "encoder_normalize_before", .kind = EET_KEY_BOOL, AT(ENC, pre_norm)},
    {.key = "untie_weights_roberta", .kind = EET_KEY_UNTIED},
    REFUSED("spectral_norm_classification_head", EET_KEY_MUST_BE_FALSE, "spectral norm"),
    FAIRSEQ_ALL_CLASS_KEYS,
    FAIRSEQ_DICTIONARY_KEYS(ENC),
    FAIRSEQ_REFUSED,
    {0},
};

static const eet_head_row heads[] = {
    [MLM] = {.name = "mlm", .stack = EET_ENC, .take = EET_TAKE_EVERY, .act = EET_ACT_OF_STACK},
    FAIRSEQ_ALL_CLASS_HEADS(ENC, EET_TAKE_FIRST),
    {0},
};

/* What was trained on for labels alone may have lost the head of the masked tokens. */
static const eet_class classes[] = {
    {.name = "RobertaModel",
     .may = HAS(MLM) | FAIRSEQ_ALL_CLASSES,
     .about = "masked language model, labels of a sequence"},
    {0},
};

static const eet_stack_facts encoder = {FAIRSEQ_STACK, .start = -1};

extern const eet_family eet_family_fairseq_roberta;
const eet_family eet_family_fairseq_roberta = {
    .name = "fairseq_roberta",
    .title = "Fairseq's RoBERTa",
    .config_sign = "untie_weights_roberta",
    .prefixes = prefixes,
    .stack = {&encoder, NULL},
    .rules = rules,
    .buffers = buffers,
    .refused = refused,
    .traits = traits,
    .versions = versions,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
