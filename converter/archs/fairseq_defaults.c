/* fairseq_defaults.c - what the architectures that Fairseq registers mean by default.
 * tests/oracle/fairseq.py compares these rows with the registry of Fairseq itself. */
#include <stddef.h>

#include "converter/fairseq.h"

#define D(key, value) \
    { (key), (value), false }
#define D_OF_NULL(key, value) \
    { (key), (value), true }

static const eet_fairseq_default transformer_lm[] = {
    D("decoder_embed_dim", "512"),
    D("decoder_ffn_embed_dim", "2048"),
    D("decoder_layers", "6"),
    D("decoder_attention_heads", "8"),
    D("adaptive_softmax_cutoff", "null"),
    D("decoder_learned_pos", "false"),
    D("activation_fn", "relu"),
    D("decoder_layers_to_keep", "null"),
    D("quant_noise_pq", "0"),
    D("quant_noise_scalar", "0"),
    D("base_layers", "0"),
    D("no_token_positional_embeddings", "false"),
    D("share_decoder_input_output_embed", "false"),
    D("character_embeddings", "false"),
    D("decoder_output_dim", "=decoder_embed_dim"),
    D("decoder_input_dim", "=decoder_embed_dim"),
    D("decoder_normalize_before", "true"),
    D("adaptive_input", "false"),
    D("no_scale_embedding", "false"),
    D("layernorm_embedding", "false"),
    D("scale_fc", "false"),
    D("scale_attn", "false"),
    D("scale_heads", "false"),
    D("scale_resids", "false"),
    D_OF_NULL("max_target_positions", "=tokens_per_sample"),
    D_OF_NULL("max_target_positions", "1024"),
    {0},
};

static const eet_fairseq_default transformer_lm_big[] = {
    D("decoder_layers", "12"),
    D("decoder_embed_dim", "1024"),
    D("decoder_ffn_embed_dim", "4096"),
    D("decoder_attention_heads", "16"),
    {0},
};

static const eet_fairseq_default transformer_lm_wiki103[] = {
    D("decoder_layers", "16"),
    D("decoder_attention_heads", "8"),
    D("adaptive_input", "true"),
    D("adaptive_softmax_cutoff", "20000,60000"),
    {0},
};

static const eet_fairseq_default transformer_lm_baevski_wiki103[] = {
    D("decoder_layers", "16"),
    D("decoder_attention_heads", "8"),
    D("adaptive_input", "true"),
    D("adaptive_softmax_cutoff", "20000,60000"),
    {0},
};

static const eet_fairseq_default transformer_lm_gbw[] = {
    D("decoder_embed_dim", "512"),
    {0},
};

static const eet_fairseq_default transformer_lm_baevski_gbw[] = {
    D("decoder_embed_dim", "512"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt[] = {
    D("decoder_layers", "12"),          D("decoder_embed_dim", "768"),
    D("decoder_ffn_embed_dim", "3072"), D("decoder_attention_heads", "12"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt2_small[] = {
    D("decoder_layers", "24"),          D("decoder_embed_dim", "1024"),
    D("decoder_ffn_embed_dim", "4096"), D("decoder_attention_heads", "16"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt2_tiny[] = {
    D("decoder_layers", "2"),         D("decoder_embed_dim", "64"),
    D("decoder_ffn_embed_dim", "64"), D("decoder_attention_heads", "1"),
    D("activation_fn", "gelu"),       {0},
};

static const eet_fairseq_default transformer_lm_gpt2_medium[] = {
    D("decoder_layers", "36"),          D("decoder_embed_dim", "1280"),
    D("decoder_ffn_embed_dim", "5120"), D("decoder_attention_heads", "20"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt2_big[] = {
    D("decoder_layers", "48"),          D("decoder_embed_dim", "1600"),
    D("decoder_ffn_embed_dim", "6400"), D("decoder_attention_heads", "25"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt2_big_wide[] = {
    D("decoder_layers", "24"),          D("decoder_embed_dim", "2048"),
    D("decoder_ffn_embed_dim", "8192"), D("decoder_attention_heads", "32"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt2_bigger[] = {
    D("decoder_layers", "48"),          D("decoder_embed_dim", "2048"),
    D("decoder_ffn_embed_dim", "8192"), D("decoder_attention_heads", "32"),
    D("activation_fn", "gelu"),         {0},
};

static const eet_fairseq_default transformer_lm_gpt3_small[] = {
    D("decoder_embed_dim", "768"),
    D("decoder_ffn_embed_dim", "3072"),
    D("decoder_layers", "12"),
    D("decoder_attention_heads", "12"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_medium[] = {
    D("decoder_embed_dim", "1024"),
    D("decoder_ffn_embed_dim", "4096"),
    D("decoder_layers", "24"),
    D("decoder_attention_heads", "16"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_large[] = {
    D("decoder_embed_dim", "1536"),
    D("decoder_ffn_embed_dim", "6144"),
    D("decoder_layers", "24"),
    D("decoder_attention_heads", "16"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_xl[] = {
    D("decoder_embed_dim", "2048"),
    D("decoder_ffn_embed_dim", "8192"),
    D("decoder_layers", "24"),
    D("decoder_attention_heads", "32"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_2_7[] = {
    D("decoder_embed_dim", "2560"),
    D("decoder_ffn_embed_dim", "10240"),
    D("decoder_layers", "32"),
    D("decoder_attention_heads", "32"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_6_7[] = {
    D("decoder_embed_dim", "4096"),
    D("decoder_ffn_embed_dim", "16384"),
    D("decoder_layers", "32"),
    D("decoder_attention_heads", "32"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_13[] = {
    D("decoder_embed_dim", "5120"),
    D("decoder_ffn_embed_dim", "20480"),
    D("decoder_layers", "40"),
    D("decoder_attention_heads", "40"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer_lm_gpt3_175[] = {
    D("decoder_embed_dim", "12288"),
    D("decoder_ffn_embed_dim", "49152"),
    D("decoder_layers", "96"),
    D("decoder_attention_heads", "96"),
    D("decoder_learned_pos", "true"),
    D("activation_fn", "gelu"),
    D("share_decoder_input_output_embed", "true"),
    {0},
};

static const eet_fairseq_default transformer[] = {
    D("encoder_embed_dim", "512"),
    D("encoder_ffn_embed_dim", "2048"),
    D("encoder_layers", "6"),
    D("encoder_attention_heads", "8"),
    D("encoder_normalize_before", "false"),
    D("encoder_learned_pos", "false"),
    D("decoder_embed_dim", "=encoder_embed_dim"),
    D("decoder_ffn_embed_dim", "=encoder_ffn_embed_dim"),
    D("decoder_layers", "6"),
    D("decoder_attention_heads", "8"),
    D("decoder_normalize_before", "false"),
    D("decoder_learned_pos", "false"),
    D("activation_fn", "relu"),
    D("adaptive_softmax_cutoff", "null"),
    D("share_decoder_input_output_embed", "false"),
    D("share_all_embeddings", "false"),
    D("no_token_positional_embeddings", "false"),
    D("adaptive_input", "false"),
    D("no_cross_attention", "false"),
    D("cross_self_attention", "false"),
    D("decoder_output_dim", "=decoder_embed_dim"),
    D("decoder_input_dim", "=decoder_embed_dim"),
    D("no_scale_embedding", "false"),
    D("layernorm_embedding", "false"),
    D("encoder_layers_to_keep", "null"),
    D("decoder_layers_to_keep", "null"),
    D("quant_noise_pq", "0"),
    D("quant_noise_scalar", "0"),
    D_OF_NULL("max_source_positions", "1024"),
    D_OF_NULL("max_target_positions", "1024"),
    {0},
};

static const eet_fairseq_default transformer_tiny[] = {
    D("encoder_embed_dim", "64"),
    D("encoder_ffn_embed_dim", "64"),
    D("encoder_layers", "2"),
    D("encoder_attention_heads", "2"),
    D("decoder_layers", "2"),
    D("decoder_attention_heads", "2"),
    {0},
};

static const eet_fairseq_default transformer_iwslt_de_en[] = {
    D("encoder_embed_dim", "512"),
    D("encoder_ffn_embed_dim", "1024"),
    D("encoder_attention_heads", "4"),
    D("encoder_layers", "6"),
    D("decoder_embed_dim", "512"),
    D("decoder_ffn_embed_dim", "1024"),
    D("decoder_attention_heads", "4"),
    D("decoder_layers", "6"),
    {0},
};

static const eet_fairseq_default transformer_wmt_en_de[] = {
    {0},
};

static const eet_fairseq_default transformer_vaswani_wmt_en_de_big[] = {
    D("encoder_embed_dim", "1024"),
    D("encoder_ffn_embed_dim", "4096"),
    D("encoder_attention_heads", "16"),
    D("decoder_embed_dim", "1024"),
    D("decoder_ffn_embed_dim", "4096"),
    D("decoder_attention_heads", "16"),
    {0},
};

static const eet_fairseq_default transformer_vaswani_wmt_en_fr_big[] = {
    {0},
};

static const eet_fairseq_default transformer_wmt_en_de_big[] = {
    {0},
};

static const eet_fairseq_default transformer_wmt_en_de_big_t2t[] = {
    D("encoder_normalize_before", "true"),
    D("decoder_normalize_before", "true"),
    {0},
};

static const eet_fairseq_default bart_large[] = {
    D("encoder_embed_dim", "1024"),
    D("encoder_ffn_embed_dim", "4096"),
    D("encoder_layers", "12"),
    D("encoder_attention_heads", "16"),
    D("encoder_normalize_before", "false"),
    D("encoder_learned_pos", "true"),
    D("decoder_embed_dim", "=encoder_embed_dim"),
    D("decoder_ffn_embed_dim", "=encoder_ffn_embed_dim"),
    D("decoder_layers", "12"),
    D("decoder_attention_heads", "16"),
    D("decoder_normalize_before", "false"),
    D("decoder_learned_pos", "true"),
    D("max_target_positions", "1024"),
    D("max_source_positions", "1024"),
    D("adaptive_softmax_cutoff", "null"),
    D("share_decoder_input_output_embed", "true"),
    D("share_all_embeddings", "true"),
    D("decoder_output_dim", "=decoder_embed_dim"),
    D("decoder_input_dim", "=decoder_embed_dim"),
    D("no_scale_embedding", "true"),
    D("layernorm_embedding", "true"),
    D("activation_fn", "gelu"),
    D("pooler_activation_fn", "tanh"),
    {0},
};

static const eet_fairseq_default bart_base[] = {
    D("encoder_embed_dim", "768"),
    D("encoder_ffn_embed_dim", "3072"),
    D("encoder_layers", "6"),
    D("encoder_attention_heads", "12"),
    D("decoder_layers", "6"),
    D("decoder_attention_heads", "12"),
    {0},
};

static const eet_fairseq_default mbart_large[] = {
    D("no_scale_embedding", "false"),
    {0},
};

static const eet_fairseq_default mbart_base[] = {
    D("no_scale_embedding", "false"),
    {0},
};

static const eet_fairseq_default mbart_base_wmt20[] = {
    D("layernorm_embedding", "false"),
    {0},
};

static const eet_fairseq_default roberta[] = {
    D("encoder_layers", "12"),
    D("encoder_embed_dim", "768"),
    D("encoder_ffn_embed_dim", "3072"),
    D("encoder_attention_heads", "12"),
    D("max_source_positions", "=max_positions"),
    D("max_source_positions", "512"),
    D("no_token_positional_embeddings", "false"),
    D("encoder_learned_pos", "true"),
    D("layernorm_embedding", "true"),
    D("no_scale_embedding", "true"),
    D("activation_fn", "gelu"),
    D("encoder_normalize_before", "false"),
    D("pooler_activation_fn", "tanh"),
    D("untie_weights_roberta", "false"),
    D("adaptive_input", "false"),
    D("encoder_layers_to_keep", "null"),
    D("quant_noise_pq", "0"),
    D("quant_noise_scalar", "0"),
    D("spectral_norm_classification_head", "false"),
    {0},
};

static const eet_fairseq_default roberta_prenorm[] = {
    D("layernorm_embedding", "false"),
    D("encoder_normalize_before", "true"),
    {0},
};

static const eet_fairseq_default roberta_base[] = {
    {0},
};

static const eet_fairseq_default roberta_large[] = {
    D("encoder_layers", "24"),
    D("encoder_embed_dim", "1024"),
    D("encoder_ffn_embed_dim", "4096"),
    D("encoder_attention_heads", "16"),
    {0},
};

static const eet_fairseq_default xlm[] = {
    D("encoder_layers", "16"),
    D("encoder_embed_dim", "1280"),
    D("encoder_ffn_embed_dim", "5120"),
    D("encoder_attention_heads", "16"),
    {0},
};

static const eet_fairseq_default masked_lm[] = {
    D("encoder_ffn_embed_dim", "4096"),
    D("encoder_layers", "6"),
    D("encoder_attention_heads", "8"),
    D("encoder_embed_dim", "1024"),
    D("share_encoder_input_output_embed", "false"),
    D("encoder_learned_pos", "false"),
    D("no_token_positional_embeddings", "false"),
    D("num_segment", "2"),
    D("sentence_class_num", "2"),
    D("sent_loss", "false"),
    D("activation_fn", "relu"),
    D("pooler_activation_fn", "tanh"),
    D("encoder_normalize_before", "false"),
    D("max_positions", "=tokens_per_sample"),
    D("max_positions", "512"),
    {0},
};

static const eet_fairseq_default bert_base[] = {
    D("encoder_embed_dim", "768"),
    D("share_encoder_input_output_embed", "true"),
    D("encoder_learned_pos", "true"),
    D("encoder_layers", "12"),
    D("encoder_attention_heads", "12"),
    D("encoder_ffn_embed_dim", "3072"),
    D("sent_loss", "true"),
    D("activation_fn", "gelu"),
    D("encoder_normalize_before", "true"),
    {0},
};

static const eet_fairseq_default bert_large[] = {
    D("encoder_layers", "24"),
    D("encoder_embed_dim", "1024"),
    D("encoder_attention_heads", "16"),
    D("encoder_ffn_embed_dim", "4096"),
    {0},
};

static const eet_fairseq_default xlm_base[] = {
    D("share_encoder_input_output_embed", "true"),
    D("encoder_learned_pos", "true"),
    D("num_segment", "1"),
    D("encoder_layers", "6"),
    D("encoder_attention_heads", "8"),
    D("encoder_ffn_embed_dim", "4096"),
    D("activation_fn", "gelu"),
    {0},
};

const eet_fairseq_arch eet_fairseq_archs[] = {
    {"transformer_lm", "fairseq_lm", NULL, transformer_lm},
    {"transformer_lm_big", NULL, "transformer_lm", transformer_lm_big},
    {"transformer_lm_wiki103", NULL, "transformer_lm_big", transformer_lm_wiki103},
    {"transformer_lm_baevski_wiki103", NULL, "transformer_lm_big", transformer_lm_baevski_wiki103},
    {"transformer_lm_gbw", NULL, "transformer_lm_big", transformer_lm_gbw},
    {"transformer_lm_baevski_gbw", NULL, "transformer_lm_big", transformer_lm_baevski_gbw},
    {"transformer_lm_gpt", NULL, "transformer_lm", transformer_lm_gpt},
    {"transformer_lm_gpt2_small", NULL, "transformer_lm", transformer_lm_gpt2_small},
    {"transformer_lm_gpt2_tiny", NULL, "transformer_lm", transformer_lm_gpt2_tiny},
    {"transformer_lm_gpt2_medium", NULL, "transformer_lm", transformer_lm_gpt2_medium},
    {"transformer_lm_gpt2_big", NULL, "transformer_lm", transformer_lm_gpt2_big},
    {"transformer_lm_gpt2_big_wide", NULL, "transformer_lm", transformer_lm_gpt2_big_wide},
    {"transformer_lm_gpt2_bigger", NULL, "transformer_lm", transformer_lm_gpt2_bigger},
    {"transformer_lm_gpt3_small", NULL, "transformer_lm", transformer_lm_gpt3_small},
    {"transformer_lm_gpt3_medium", NULL, "transformer_lm", transformer_lm_gpt3_medium},
    {"transformer_lm_gpt3_large", NULL, "transformer_lm", transformer_lm_gpt3_large},
    {"transformer_lm_gpt3_xl", NULL, "transformer_lm", transformer_lm_gpt3_xl},
    {"transformer_lm_gpt3_2_7", NULL, "transformer_lm", transformer_lm_gpt3_2_7},
    {"transformer_lm_gpt3_6_7", NULL, "transformer_lm", transformer_lm_gpt3_6_7},
    {"transformer_lm_gpt3_13", NULL, "transformer_lm", transformer_lm_gpt3_13},
    {"transformer_lm_gpt3_175", NULL, "transformer_lm", transformer_lm_gpt3_175},
    {"transformer", "fairseq_nmt", NULL, transformer},
    {"transformer_tiny", NULL, "transformer", transformer_tiny},
    {"transformer_iwslt_de_en", NULL, "transformer", transformer_iwslt_de_en},
    {"transformer_wmt_en_de", NULL, "transformer", transformer_wmt_en_de},
    {"transformer_vaswani_wmt_en_de_big", NULL, "transformer", transformer_vaswani_wmt_en_de_big},
    {"transformer_vaswani_wmt_en_fr_big", NULL, "transformer_vaswani_wmt_en_de_big",
     transformer_vaswani_wmt_en_fr_big},
    {"transformer_wmt_en_de_big", NULL, "transformer_vaswani_wmt_en_de_big",
     transformer_wmt_en_de_big},
    {"transformer_wmt_en_de_big_t2t", NULL, "transformer_vaswani_wmt_en_de_big",
     transformer_wmt_en_de_big_t2t},
    {"bart_large", "fairseq_bart", NULL, bart_large},
    {"bart_base", NULL, "bart_large", bart_base},
    {"mbart_large", NULL, "bart_large", mbart_large},
    {"mbart_base", NULL, "bart_base", mbart_base},
    {"mbart_base_wmt20", NULL, "mbart_base", mbart_base_wmt20},
    {"roberta", "fairseq_roberta", NULL, roberta},
    {"roberta_prenorm", NULL, "roberta", roberta_prenorm},
    {"roberta_base", NULL, "roberta", roberta_base},
    {"roberta_large", NULL, "roberta", roberta_large},
    {"xlm", NULL, "roberta", xlm},
    {"masked_lm", "fairseq_masked_lm", NULL, masked_lm},
    {"bert_base", NULL, "masked_lm", bert_base},
    {"bert_large", NULL, "bert_base", bert_large},
    {"xlm_base", NULL, "masked_lm", xlm_base},
    {0},
};
