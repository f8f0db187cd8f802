/* roberta.c - RoBERTa as Transformers saves it; XLM-R and CamemBERT, which are the same under names
 * of their own. */
#include "converter/archs/bert_rows.h"

/* Everything is said twice: of an encoder, and of a decoder ("is_decoder"). */
enum { MLM, POOLER, SEQUENCE, TOKEN, CHOICE, QA };

static const char *const prefixes[] = {"", "roberta.", NULL};

#define RULES(S)                                                                              \
    BERT_RULES(S, true), R("lm_head.dense.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),  \
        R("lm_head.dense.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),                   \
        R("lm_head.layer_norm.weight", HEAD(MLM, NORM), {D}, .plain = true),                  \
        R("lm_head.layer_norm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true),               \
        R("lm_head.decoder.weight", HEAD(MLM, OUT), {V, D}, .plain = true),                   \
        R("lm_head.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),                           \
        R("lm_head.decoder.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true, .optional = true), \
        R("classifier.dense.weight", HEAD(SEQUENCE, DENSE), {D, D}, .plain = true),           \
        R("classifier.dense.bias", HEAD_BIAS(SEQUENCE, DENSE), {D}, .plain = true),           \
        R("classifier.out_proj.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),          \
        R("classifier.out_proj.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true),          \
        BERT_LABEL_RULES,

static const eet_rule rules[] = {RULES(ENC){0}};
static const eet_rule decoder_rules[] = {RULES(DEC){0}};

static const eet_buffer buffers[] = {
    BERT_BUFFERS,
    {0},
};

#define SHARES(S) {HEAD(MLM, OUT), PLACE(S, EMB_TOK), EET_SHARE_TIED}, BERT_CHOICE_SHARES,

static const eet_share shares[] = {SHARES(ENC)};
static const eet_share decoder_shares[] = {SHARES(DEC)};

/* A token's position is its number among those that are no padding, and that of the padding token
 * comes on top: the rows up to it are never a position. */
#define KEYS(S)                                                                        \
    BERT_SIZE_KEYS(S),                                                                 \
        {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_pad), .fallback = 1}, \
        {.key = "max_position_embeddings",                                             \
         .kind = EET_KEY_AFTER_PAD,                                                    \
         AT(S, pos_rows),                                                              \
         .required = true},                                                            \
        BERT_SHAPE_KEYS(S),                                                            \
        {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_bos), .fallback = 0}, \
        {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_eos), .fallback = 2}, \
        BERT_LAST_KEYS(S),

static const eet_key_row keys[] = {KEYS(ENC){0}};
static const eet_key_row decoder_keys[] = {KEYS(DEC){0}};

/* The activation of the head of masked tokens is what it is, whatever "hidden_act" says. */
#define HEADS(S, lm)                                                                           \
    [MLM] = {.name = (lm), .stack = EET_##S, .take = EET_TAKE_EVERY, .act = EET_ACT_GELU_ERF}, \
    BERT_HEADS(S),

static const eet_head_row heads[] = {HEADS(ENC, "mlm"){0}};
static const eet_head_row decoder_heads[] = {HEADS(DEC, "lm"){0}};

/* Classes without a pooler saved one until transformers 4. */
#define CLASSES(name_of)                                                             \
    {.name = name_of "Model", .may = HAS(POOLER), .about = "hidden states, pooler"}, \
        {.name = name_of "ForMaskedLM",                                              \
         .must = HAS(MLM),                                                           \
         .may = HAS(POOLER),                                                         \
         .sign = "lm_head.dense.weight",                                             \
         .about = "masked language model"},                                          \
        {.name = name_of "ForCausalLM",                                              \
         .must = HAS(MLM),                                                           \
         .may = HAS(POOLER),                                                         \
         .about = "language model; a decoder by \"is_decoder\""},                    \
        {.name = name_of "ForSequenceClassification",                                \
         .must = HAS(SEQUENCE),                                                      \
         .may = HAS(POOLER),                                                         \
         .sign = "classifier.out_proj.weight",                                       \
         .about = "labels of a sequence"},                                           \
        {.name = name_of "ForTokenClassification",                                   \
         .must = HAS(TOKEN),                                                         \
         .may = HAS(POOLER),                                                         \
         .sign = "classifier.weight",                                                \
         .without = HAS(POOLER),                                                     \
         .about = "labels of tokens"},                                               \
        {.name = name_of "ForMultipleChoice",                                        \
         .must = HAS(POOLER) | HAS(CHOICE),                                          \
         .about = "a score of each choice"},                                         \
        {.name = name_of "ForQuestionAnswering",                                     \
         .must = HAS(QA),                                                            \
         .may = HAS(POOLER),                                                         \
         .sign = "qa_outputs.weight",                                                \
         .about = "start and end of an answer"},                                     \
    {                                                                                \
        0                                                                            \
    }

static const eet_class classes[] = {CLASSES("Roberta")};
static const eet_class xlm_classes[] = {CLASSES("XLMRoberta")};
static const eet_class camembert_classes[] = {CLASSES("Camembert")};

#define STACK                                                                          \
    {                                                                                  \
        .present = true, .act = EET_ACT_GELU_ERF, .emb_norm = true, .pos_table = true, \
        .pos_skip_pad = true, .type_default = 0, EET_STACK_FACTS_PLAIN                 \
    }

static const eet_stack_facts encoder = STACK;
static const eet_stack_facts decoder = STACK;

#define PART_OF(type, name_of, rows_of_classes)                                   \
    .name = (type), .title = (name_of), .prefixes = prefixes, .buffers = buffers, \
    .share_count = sizeof shares / sizeof shares[0], .classes = (rows_of_classes)

#define DECODER(type, name_of, rows_of_classes)                                                    \
    {                                                                                              \
        PART_OF(type, name_of, rows_of_classes), .rules = decoder_rules, .shares = decoder_shares, \
                                                 .keys = decoder_keys, .heads = decoder_heads,     \
                                                 .stack = {NULL, &decoder},                        \
    }

#define ENCODER(type, name_of, rows_of_classes, of_decoder)                                  \
    {                                                                                        \
        PART_OF(type, name_of, rows_of_classes),                                             \
            .rules = rules, .shares = shares, .keys = keys, .heads = heads,                  \
            .stack = {&encoder, NULL}, .sibling_key = "is_decoder", .sibling = (of_decoder), \
    }

static const eet_family roberta_decoder = DECODER("roberta", "RoBERTa", classes);
static const eet_family xlm_decoder = DECODER("xlm-roberta", "XLM-R", xlm_classes);
static const eet_family camembert_decoder = DECODER("camembert", "CamemBERT", camembert_classes);

extern const eet_family eet_family_roberta;
extern const eet_family eet_family_xlm_roberta;
extern const eet_family eet_family_camembert;
const eet_family eet_family_roberta = ENCODER("roberta", "RoBERTa", classes, &roberta_decoder);
const eet_family eet_family_xlm_roberta =
    ENCODER("xlm-roberta", "XLM-R", xlm_classes, &xlm_decoder);
const eet_family eet_family_camembert =
    ENCODER("camembert", "CamemBERT", camembert_classes, &camembert_decoder);
