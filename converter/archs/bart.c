/* bart.c - BART as Transformers saves it. */
#include "converter/archs/fairseq_rows.h"

enum { LM, SEQUENCE, QA };

static const char *const prefixes[] = {"", "model.", NULL};

/* A layer is Fairseq's; both stacks read one table of tokens, which is saved up to three times.
 * A token's position is its number, behind two rows that are never used. */
static const eet_rule rules[] = {
    R("shared.weight", PLACE(ENC, EMB_TOK), {V, D}, MAYBE),
    FAIRSEQ_EMBEDDINGS(ENC, "encoder."),
    FAIRSEQ_LAYER(ENC, "encoder.layers.*.", "1"),
    FAIRSEQ_EMBEDDINGS(DEC, "decoder."),
    FAIRSEQ_LAYER(DEC, "decoder.layers.*.", "2"),
    FAIRSEQ_CROSS("decoder.layers.*."),
    R("lm_head.weight", HEAD(LM, OUT), {V, D}, .plain = true),
    R("final_logits_bias", HEAD_BIAS(LM, OUT), {ONE, V}, .plain = true),
    R("classification_head.dense.weight", HEAD(SEQUENCE, DENSE), {D, D}, .plain = true),
    R("classification_head.dense.bias", HEAD_BIAS(SEQUENCE, DENSE), {D}, .plain = true),
    R("classification_head.out_proj.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),
    R("classification_head.out_proj.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true),
    R("qa_outputs.weight", HEAD(QA, OUT), {TWO, D}, .plain = true),
    R("qa_outputs.bias", HEAD_BIAS(QA, OUT), {TWO}, .plain = true),
    {0},
};

static const eet_buffer buffers[] = {{0}};

static const eet_share shares[] = {
    {PLACE(DEC, EMB_TOK), PLACE(ENC, EMB_TOK), EET_SHARE_ALWAYS},
    {HEAD(LM, OUT), PLACE(ENC, EMB_TOK), EET_SHARE_TIED},
};

#define STACK_KEYS(S, name)                                                                        \
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_size), .required = true},           \
        {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(S, vocab_rows), .required = true},       \
        {.key = "d_model", .kind = EET_KEY_INTEGER, AT(S, hidden), .required = true},              \
        {.key = "d_model", .kind = EET_KEY_INTEGER, AT(S, emb_dim), .required = true},             \
        {.key = name "_layers", .kind = EET_KEY_INTEGER, AT(S, layers), .required = true},         \
        {.key = name "_attention_heads", .kind = EET_KEY_INTEGER, AT(S, heads), .required = true}, \
        {.key = name "_ffn_dim", .kind = EET_KEY_INTEGER, AT(S, ffn), .required = true},           \
        {.key = "max_position_embeddings",                                                         \
         .kind = EET_KEY_INTEGER,                                                                  \
         AT(S, pos_rows),                                                                          \
         .required = true},                                                                        \
        {.key = "activation_function", .kind = EET_KEY_ACT, AT(S, act), .text = "gelu"},           \
        {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_bos), .fallback = 0},             \
        {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_pad), .fallback = 1}, {           \
        .key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_eos), .fallback = 2                \
    }

static const eet_key_row keys[] = {
    STACK_KEYS(ENC, "encoder"),
    STACK_KEYS(DEC, "decoder"),
    {.key = "d_model", .kind = EET_KEY_INTEGER, AT(DEC, cross_dim), .required = true},
    {.key = "is_encoder_decoder", .kind = EET_KEY_BOOL, AT(DEC, cross), .fallback = 1},
    {.key = "decoder_start_token_id", .kind = EET_KEY_TOKEN, AT(DEC, start), .fallback = 2},
    {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},
    {.key = "scale_embedding", .kind = EET_KEY_SCALED_EMB, .stack = EET_ENC},
    {.key = "scale_embedding", .kind = EET_KEY_SCALED_EMB, .stack = EET_DEC},
    REFUSED("normalize_before", EET_KEY_MUST_BE_FALSE, "a norm before each part (mBART)"),
    REFUSED("add_final_layer_norm", EET_KEY_MUST_BE_FALSE, "a final norm (mBART)"),
    REFUSED("static_position_embeddings", EET_KEY_MUST_BE_FALSE, "sinusoidal positions"),
    {0},
};

static const eet_head_row heads[] = {
    [LM] = {.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    [SEQUENCE] = {.name = "sequence",
                  .stack = EET_DEC,
                  .take = EET_TAKE_LAST,
                  .act = EET_ACT_TANH,
                  .labels = true},
    [QA] = {.name = "qa", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    {0},
};

static const eet_class classes[] = {
    {.name = "BartModel", .about = "hidden states of both stacks"},
    {.name = "BartForConditionalGeneration",
     .must = HAS(LM),
     .sign = "final_logits_bias",
     .about = "summaries, translation"},
    {.name = "BartForSequenceClassification",
     .must = HAS(SEQUENCE),
     .sign = "classification_head.dense.weight",
     .about = "labels of a sequence"},
    {.name = "BartForQuestionAnswering",
     .must = HAS(QA),
     .sign = "qa_outputs.weight",
     .about = "start and end of an answer"},
    {0},
};

#define STACK                                                                                   \
    .present = true, .pos_table = true, .emb_norm = true, .norm_eps = 1e-5, .type_default = -1, \
    EET_STACK_FACTS_PLAIN

static const eet_stack_facts encoder = {STACK};
static const eet_stack_facts decoder = {STACK, .cross = true};

extern const eet_family eet_family_bart;
const eet_family eet_family_bart = {
    .name = "bart",
    .title = "BART",
    .config_sign = "d_model",
    .prefixes = prefixes,
    .stack = {&encoder, &decoder},
    .rules = rules,
    .buffers = buffers,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
