/* fairseq_bart.c - Fairseq's BART: a transformer, and heads that read the last vector of its
 * decoder. */
#include "converter/archs/fairseq_rows.h"

enum { LM, CLASS };

static const char *const prefixes[] = {"", NULL};
static const eet_rule rules[] = {FAIRSEQ_PAIR_RULES, FAIRSEQ_ALL_CLASS_RULES, {0}};
static const eet_buffer buffers[] = {FAIRSEQ_PAIR_BUFFERS, {0}};
static const eet_refused refused[] = {
    FAIRSEQ_REFUSED_TENSORS("encoder.layers.*."),
    FAIRSEQ_REFUSED_TENSORS("decoder.layers.*."),
    {0},
};

static const eet_trait traits[] = {FAIRSEQ_TRAITS(ENC), FAIRSEQ_TRAITS(DEC), {.fact = 0}};
static const eet_version_row versions[] = {
    FAIRSEQ_PAIR_VERSIONS,
    {0},
};

static const eet_share shares[] = {FAIRSEQ_PAIR_SHARES};
static const eet_key_row keys[] = {FAIRSEQ_PAIR_KEYS, FAIRSEQ_ALL_CLASS_KEYS, {0}};

static const eet_head_row heads[] = {
    [LM] = {.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    FAIRSEQ_ALL_CLASS_HEADS(DEC, EET_TAKE_LAST),
    {0},
};

static const eet_class classes[] = {
    {.name = "BARTModel",
     .must = HAS(LM),
     .may = FAIRSEQ_ALL_CLASSES,
     .about = "denoising, translation, labels of a sequence"},
    {0},
};

static const eet_stack_facts encoder = FAIRSEQ_PAIR_ENCODER;
static const eet_stack_facts decoder = FAIRSEQ_PAIR_DECODER;

extern const eet_family eet_family_fairseq_bart;
const eet_family eet_family_fairseq_bart = {
    .name = "fairseq_bart",
    .title = "Fairseq's BART",
    .config_sign = "encoder_embed_dim",
    .prefixes = prefixes,
    .stack = {&encoder, &decoder},
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
    .mask_row = true,
};
