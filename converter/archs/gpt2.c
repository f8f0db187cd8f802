/* gpt2.c - GPT-2 as Transformers saves it. Its matrices are [in, out]. */
#include "converter/archs/rows.h"

#define S \
    { EET_SYM_SUMMARY, 1 }

enum { LM, CHOICE, SEQUENCE, TOKEN, QA };

static const char *const prefixes[] = {"", "transformer.", NULL};

static const eet_rule rules[] = {
    R("wte.weight", PLACE(DEC, EMB_TOK), {V, D}),
    R("wpe.weight", PLACE(DEC, EMB_POS), {P, D}),
    R("h.*.ln_1.weight", PLACE(DEC, ATTN_NORM), {D}),
    R("h.*.ln_1.bias", BIAS(DEC, ATTN_NORM), {D}),
    R("h.*.attn.c_attn.weight", PLACE(DEC, ATTN_QKV), {D, A3}, .transpose = true),
    R("h.*.attn.c_attn.bias", BIAS(DEC, ATTN_QKV), {A3}),
    R("h.*.attn.c_proj.weight", PLACE(DEC, ATTN_OUT), {A, D}, .transpose = true),
    R("h.*.attn.c_proj.bias", BIAS(DEC, ATTN_OUT), {D}),
    R("h.*.crossattention.q_attn.weight", PLACE(DEC, CROSS_Q), {D, A}, .transpose = true),
    R("h.*.crossattention.q_attn.bias", BIAS(DEC, CROSS_Q), {A}),
    R("h.*.crossattention.c_attn.weight", PLACE(DEC, CROSS_KV), {C, A2}, .transpose = true),
    R("h.*.crossattention.c_attn.bias", BIAS(DEC, CROSS_KV), {A2}),
    R("h.*.crossattention.c_proj.weight", PLACE(DEC, CROSS_OUT), {A, D}, .transpose = true),
    R("h.*.crossattention.c_proj.bias", BIAS(DEC, CROSS_OUT), {D}),
    R("h.*.ln_cross_attn.weight", PLACE(DEC, CROSS_NORM), {D}),
    R("h.*.ln_cross_attn.bias", BIAS(DEC, CROSS_NORM), {D}),
    R("h.*.ln_2.weight", PLACE(DEC, FFN_NORM), {D}),
    R("h.*.ln_2.bias", BIAS(DEC, FFN_NORM), {D}),
    R("h.*.mlp.c_fc.weight", PLACE(DEC, FFN_FC1), {D, F}, .transpose = true),
    R("h.*.mlp.c_fc.bias", BIAS(DEC, FFN_FC1), {F}),
    R("h.*.mlp.c_proj.weight", PLACE(DEC, FFN_FC2), {F, D}, .transpose = true),
    R("h.*.mlp.c_proj.bias", BIAS(DEC, FFN_FC2), {D}),
    R("ln_f.weight", PLACE(DEC, NORM), {D}),
    R("ln_f.bias", BIAS(DEC, NORM), {D}),
    R("lm_head.weight", HEAD(LM, OUT), {V, D}, .plain = true),
    R("multiple_choice_head.summary.weight", HEAD(CHOICE, DENSE), {S, D}, .plain = true),
    R("multiple_choice_head.summary.bias", HEAD_BIAS(CHOICE, DENSE), {S}, .plain = true),
    R("score.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),
    R("classifier.weight", HEAD(TOKEN, OUT), {L, D}, .plain = true),
    R("classifier.bias", HEAD_BIAS(TOKEN, OUT), {L}, .plain = true),
    R("qa_outputs.weight", HEAD(QA, OUT), {TWO, D}, .plain = true),
    R("qa_outputs.bias", HEAD_BIAS(QA, OUT), {TWO}, .plain = true),
    {0},
};

/* The causal mask, which is not "attn.c_attn.bias". */
static const eet_buffer buffers[] = {
    {"h.*.attn.bias", 4, false},
    {"h.*.attn.masked_bias", 0, false},
    {"h.*.crossattention.bias", 4, false},
    {"h.*.crossattention.masked_bias", 0, false},
    {0},
};

static const eet_share shares[] = {
    {PLACE(DEC, EMB_TYPE), PLACE(DEC, EMB_TOK), EET_SHARE_ALWAYS}, /* token types are words */
    {HEAD(LM, OUT), PLACE(DEC, EMB_TOK), EET_SHARE_TIED},
};

static const eet_key_row keys[] = {
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(DEC, vocab_size), .required = true},
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(DEC, vocab_rows), .required = true},
    {.key = "vocab_size", .kind = EET_KEY_INTEGER, AT(DEC, types), .required = true},
    {.key = "n_embd",
     .alias = "hidden_size",
     .kind = EET_KEY_INTEGER,
     AT(DEC, hidden),
     .required = true},
    {.key = "n_embd",
     .alias = "hidden_size",
     .kind = EET_KEY_INTEGER,
     AT(DEC, emb_dim),
     .required = true},
    {.key = "n_layer",
     .alias = "num_hidden_layers",
     .kind = EET_KEY_INTEGER,
     AT(DEC, layers),
     .required = true},
    {.key = "n_head",
     .alias = "num_attention_heads",
     .kind = EET_KEY_INTEGER,
     AT(DEC, heads),
     .required = true},
    {.key = "n_inner",
     .kind = EET_KEY_INTEGER,
     AT(DEC, ffn),
     .fallback = 4,
     .fallback_of = EET_SYM_HIDDEN},
    {.key = "n_positions",
     .alias = "n_ctx",
     .kind = EET_KEY_INTEGER,
     AT(DEC, pos_rows),
     .required = true,
     .alias_yields = true},
    {.key = "activation_function", .kind = EET_KEY_ACT, AT(DEC, act), .text = "gelu_new"},
    {.key = "layer_norm_epsilon", .kind = EET_KEY_REAL, AT(DEC, norm_eps), .fallback = 1e-5},
    {.key = "scale_attn_weights", .kind = EET_KEY_SCALED, .stack = EET_DEC, .fallback = 1},
    {.key = "scale_attn_by_inverse_layer_idx", .kind = EET_KEY_BOOL, AT(DEC, inv_layer_scale)},
    {.key = "reorder_and_upcast_attn", .kind = EET_KEY_NUMERICS},
    {.key = "tie_word_embeddings", .kind = EET_KEY_TIED, .fallback = 1},
    {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(DEC, tok_bos), .fallback = 50256},
    {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(DEC, tok_eos), .fallback = 50256},
    {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(DEC, tok_pad), .fallback = -1},
    {.key = "add_cross_attention", .kind = EET_KEY_BOOL, AT(DEC, cross)},
    {.key = "summary_type", .kind = EET_KEY_HEAD_TAKE, .head = CHOICE, .text = "cls_index"},
    {.key = "summary_activation", .kind = EET_KEY_HEAD_ACT, .head = CHOICE},
    {.key = "summary_use_proj", .kind = EET_KEY_HEAD_DENSE, .head = CHOICE, .fallback = 1},
    {.key = "summary_proj_to_labels",
     .kind = EET_KEY_HEAD_ONE,
     .stack = EET_DEC,
     .head = CHOICE,
     .fallback = 1},
    {0},
};

static const eet_head_row heads[] = {
    [LM] = {.name = "lm", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    [CHOICE] = {.name = "choice", .stack = EET_DEC, .take = EET_TAKE_GIVEN},
    [SEQUENCE] = {.name = "sequence",
                  .stack = EET_DEC,
                  .take = EET_TAKE_LAST,
                  .labels = true,
                  .skip_pad = true},
    [TOKEN] = {.name = "token", .stack = EET_DEC, .take = EET_TAKE_EVERY, .labels = true},
    [QA] = {.name = "qa", .stack = EET_DEC, .take = EET_TAKE_EVERY},
    {0},
};

static const eet_class classes[] = {
    {.name = "GPT2Model", .about = "hidden states"},
    {.name = "GPT2DoubleHeadsModel",
     .must = HAS(LM) | HAS(CHOICE),
     .sign = "multiple_choice_head.summary.weight",
     .about = "language model, multiple choice"},
    {.name = "GPT2LMHeadModel",
     .must = HAS(LM),
     .sign = "lm_head.weight",
     .about = "language model"},
    {.name = "GPT2ForSequenceClassification",
     .must = HAS(SEQUENCE),
     .sign = "score.weight",
     .about = "labels of a sequence"},
    {.name = "GPT2ForTokenClassification",
     .must = HAS(TOKEN),
     .sign = "classifier.weight",
     .about = "labels of tokens"},
    {.name = "GPT2ForQuestionAnswering",
     .must = HAS(QA),
     .sign = "qa_outputs.weight",
     .about = "start and end of an answer"},
    {0},
};

static const eet_stack_facts decoder = {
    .present = true,
    .act = EET_ACT_GELU_TANH,
    .pre_norm = true,
    .final_norm = true,
    .pos_table = true,
    .type_default = -1,
    EET_STACK_FACTS_PLAIN,
};

extern const eet_family eet_family_gpt2;
const eet_family eet_family_gpt2 = {
    .name = "gpt2",
    .title = "GPT-2",
    .config_sign = "n_embd",
    .prefixes = prefixes,
    .stack = {NULL, &decoder},
    .rules = rules,
    .buffers = buffers,
    .shares = shares,
    .share_count = sizeof shares / sizeof shares[0],
    .keys = keys,
    .heads = heads,
    .classes = classes,
};
