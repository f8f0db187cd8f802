/* fairseq_lm.c - Fairseq's transformer_lm, of any of its versions. */
#include "converter/archs/fairseq_rows.h"

enum { LM };

static const char *const prefixes[] = {"decoder.", NULL};

static const eet_rule rules[] = {
    FAIRSEQ_EMBEDDINGS(DEC, ""),
    R("project_in_dim.weight", PLACE(DEC, EMB_PROJ_IN), {D, E}),
    FAIRSEQ_LAYER(DEC, "layers.*.", "1"),
    R("project_out_dim.weight", HEAD(LM, DENSE), {O, D}, MAYBE),
    R("output_projection.weight", HEAD(LM, OUT), {V, O}),
    R("embed_out", HEAD(LM, OUT), {V, O}, MAYBE),
    {0},
};

static const eet_buffer buffers[] = {FAIRSEQ_MARKS(""), {0}};

static const eet_refused refused[] = {
    FAIRSEQ_REFUSED_TENSORS("layers.*."),
    {0},
};

static const eet_trait traits[] = {FAIRSEQ_TRAITS(DEC), {.fact = 0}};

static const eet_version_row versions[] = {
    {"decoder.version", "decoder.layer_norm.weight", EET_DEC, 2},
    {0},
};

static const eet_share shares[] = {{HEAD(LM, OUT), PLACE(DEC, EMB_TOK), EET_SHARE_TIED}};

static const eet_key_row keys[] = {
    FAIRSEQ_STACK_KEYS(DEC, "decoder", "max_target_positions"),
    {.key = "decoder_normalize_before", .kind = EET_KEY_BOOL, AT(DEC, pre_norm), .fallback = 1},
    {.key = "decoder_input_dim",
     .kind = EET_KEY_INTEGER,
     AT(DEC, emb_dim),
     .fallback = 1,
     .fallback_of = EET_SYM_HIDDEN},
    {.key = "decoder_output_dim", .kind = EET_KEY_SYMBOL, .symbol = EET_SYM_OUTPUT},
    {.key = "output_dictionary_size", .kind = EET_KEY_OUTPUT_WORDS},
    {.key = "share_decoder_input_output_embed", .kind = EET_KEY_TIED},
    FAIRSEQ_DICTIONARY_KEYS(DEC),
    {.key = "langs", .kind = EET_KEY_LANGUAGES},
    {.key = "add_bos_token", .kind = EET_KEY_LANG_TOKENS},
    FAIRSEQ_REFUSED,
    {0},
};

static const eet_head_row heads[] = {
    [LM] = {.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    {0},
};

static const eet_class classes[] = {
    {.name = "TransformerLanguageModel", .must = HAS(LM), .about = "language model"},
    {0},
};

static const eet_stack_facts decoder = {FAIRSEQ_STACK, .start = -1};

extern const eet_family eet_family_fairseq_lm;
const eet_family eet_family_fairseq_lm = {
    .name = "fairseq_lm",
    .title = "Fairseq's transformer_lm",
    .config_sign = "decoder_embed_dim",
    .prefixes = prefixes,
    .stack = {NULL, &decoder},
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
