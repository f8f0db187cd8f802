/* registry.c - the families, and what all of them have in common. */
#include <stddef.h>

#include "converter/arch.h"

extern const eet_family eet_family_bart;
extern const eet_family eet_family_bert;
extern const eet_family eet_family_camembert;
extern const eet_family eet_family_distilbert;
extern const eet_family eet_family_fairseq_lm;
extern const eet_family eet_family_fairseq_bart;
extern const eet_family eet_family_fairseq_masked_lm;
extern const eet_family eet_family_fairseq_nmt;
extern const eet_family eet_family_fairseq_roberta;
extern const eet_family eet_family_gpt2;
extern const eet_family eet_family_roberta;
extern const eet_family eet_family_xlm_roberta;

const eet_family *const eet_families[] = {
    &eet_family_gpt2,
    &eet_family_bert,
    &eet_family_roberta,
    &eet_family_xlm_roberta,
    &eet_family_camembert,
    &eet_family_distilbert,
    &eet_family_bart,
    &eet_family_fairseq_lm,
    &eet_family_fairseq_nmt,
    &eet_family_fairseq_bart,
    &eet_family_fairseq_roberta,
    &eet_family_fairseq_masked_lm,
    NULL,
};

/* The names of Transformers' ACT2FN; those that are not here compute something else. */
const eet_act_row eet_act_rows[] = {
    {"gelu", EET_ACT_GELU_ERF},
    {"gelu_python", EET_ACT_GELU_ERF},
    {"gelu_new", EET_ACT_GELU_TANH},
    {"gelu_fast", EET_ACT_GELU_TANH},
    {"gelu_pytorch_tanh", EET_ACT_GELU_TANH},
    {"gelu_accurate", EET_ACT_GELU_TANH},
    {"quick_gelu", EET_ACT_QUICK_GELU},
    {"relu", EET_ACT_RELU},
    {"relu2", EET_ACT_RELU2},
    {"relu_squared", EET_ACT_RELU2},
    {"silu", EET_ACT_SILU},
    {"swish", EET_ACT_SILU},
    {"tanh", EET_ACT_TANH},
    {"linear", EET_ACT_LINEAR},
    {0},
};

/* The types of Transformers' SequenceSummary that take one vector of a sequence. */
const eet_take_row eet_take_rows[] = {
    {"cls_index", EET_TAKE_GIVEN},
    {"first", EET_TAKE_FIRST},
    {"last", EET_TAKE_LAST},
    {"mean", EET_TAKE_MEAN},
    {0},
};

const eet_rename_row eet_rename_rows[] = {
    {"LayerNorm.gamma", "LayerNorm.weight"},
    {"LayerNorm.beta", "LayerNorm.bias"},
    {0},
};

const char *const eet_wrappers[] = {"module.", "_orig_mod.", "_forward_module.", NULL};
const char *const eet_wrappers_inside[] = {"_fsdp_wrapped_module.", NULL};
const char *const eet_wrapper_of_all = "model.";

const eet_key_row eet_common_keys[] = {
    {.key = "pruned_heads", .kind = EET_KEY_MUST_BE_EMPTY, .why = "pruned heads"},
    {.key = "quantization_config",
     .kind = EET_KEY_MUST_BE_PLAIN,
     .why = "a checkpoint that is quantised"},
    {.key = "compression_config",
     .kind = EET_KEY_MUST_BE_PLAIN,
     .why = "a checkpoint that is quantised"},
    {.key = "is_encoder_decoder",
     .kind = EET_KEY_MUST_BE_FALSE,
     .why = "an encoder with a decoder"},
    {0},
};
