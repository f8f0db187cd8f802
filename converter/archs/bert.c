/* bert.c - BERT as Transformers saves it. */
#include "converter/archs/bert_rows.h"

/* Everything is said twice: of an encoder, and of a decoder ("is_decoder"). */
enum { MLM, POOLER, NSP, SEQUENCE, TOKEN, CHOICE, QA };

static const char *const prefixes[] = {"", "bert.", NULL};

#define RULES(S)                                                                                 \
    BERT_RULES(S, false),                                                                        \
        R("cls.predictions.transform.dense.weight", HEAD(MLM, DENSE), {D, D}, .plain = true),    \
        R("cls.predictions.transform.dense.bias", HEAD_BIAS(MLM, DENSE), {D}, .plain = true),    \
        R("cls.predictions.transform.LayerNorm.weight", HEAD(MLM, NORM), {D}, .plain = true),    \
        R("cls.predictions.transform.LayerNorm.bias", HEAD_BIAS(MLM, NORM), {D}, .plain = true), \
        R("cls.predictions.decoder.weight", HEAD(MLM, OUT), {V, D}, .plain = true),              \
        R("cls.predictions.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true),                      \
        R("cls.predictions.decoder.bias", HEAD_BIAS(MLM, OUT), {V}, .plain = true,               \
          .optional = true),                                                                     \
        R("cls.seq_relationship.weight", HEAD(NSP, OUT), {TWO, D}, .plain = true),               \
        R("cls.seq_relationship.bias", HEAD_BIAS(NSP, OUT), {TWO}, .plain = true),               \
        R("classifier.weight", HEAD(SEQUENCE, OUT), {L, D}, .plain = true),                      \
        R("classifier.bias", HEAD_BIAS(SEQUENCE, OUT), {L}, .plain = true), BERT_LABEL_RULES,

static const eet_rule rules[] = {RULES(ENC){0}};
static const eet_rule decoder_rules[] = {RULES(DEC){0}};

static const eet_buffer buffers[] = {
    BERT_BUFFERS,
    {0},
};

#define SHARES(S)                                                                 \
    {HEAD(MLM, OUT), PLACE(S, EMB_TOK), EET_SHARE_TIED},                          \
        {HEAD(NSP, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},                \
        {HEAD_BIAS(NSP, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS},      \
        {HEAD(SEQUENCE, DENSE), HEAD(POOLER, DENSE), EET_SHARE_ALWAYS},           \
        {HEAD_BIAS(SEQUENCE, DENSE), HEAD_BIAS(POOLER, DENSE), EET_SHARE_ALWAYS}, \
        BERT_CHOICE_SHARES,

static const eet_share shares[] = {SHARES(ENC)};
static const eet_share decoder_shares[] = {SHARES(DEC)};

#define KEYS(S)                                                                         \
    BERT_SIZE_KEYS(S),                                                                  \
        {.key = "max_position_embeddings",                                              \
         .kind = EET_KEY_INTEGER,                                                       \
         AT(S, pos_rows),                                                               \
         .required = true},                                                             \
        BERT_SHAPE_KEYS(S),                                                             \
        {.key = "pad_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_pad), .fallback = 0},  \
        {.key = "bos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_bos), .fallback = -1}, \
        {.key = "eos_token_id", .kind = EET_KEY_TOKEN, AT(S, tok_eos), .fallback = -1}, \
        BERT_LAST_KEYS(S),

static const eet_key_row keys[] = {KEYS(ENC){0}};
static const eet_key_row decoder_keys[] = {KEYS(DEC){0}};

#define HEADS(S, lm)                                                                           \
    [MLM] = {.name = (lm), .stack = EET_##S, .take = EET_TAKE_EVERY, .act = EET_ACT_OF_STACK}, \
    [NSP] = {.name = "nsp", .stack = EET_##S, .take = EET_TAKE_FIRST, .act = EET_ACT_TANH},    \
    BERT_HEADS(S),

static const eet_head_row heads[] = {HEADS(ENC, "mlm"){0}};
static const eet_head_row decoder_heads[] = {HEADS(DEC, "lm"){0}};

/* The files of 2018 hold all of the pre-training's heads, whatever class they name, and
 * those of classes without a pooler held one until transformers 4. */
static const eet_class classes[] = {
    {.name = "BertModel", .may = HAS(POOLER), .about = "hidden states, pooler"},
    {.name = "BertForNextSentencePrediction",
     .must = HAS(POOLER) | HAS(NSP),
     .sign = "cls.seq_relationship.weight",
     .without = HAS(MLM),
     .about = "does a sentence follow another"},
    {.name = "BertForPreTraining",
     .must = HAS(MLM) | HAS(POOLER) | HAS(NSP),
     .sign = "cls.seq_relationship.weight",
     .about = "masked language model, next sentence"},
    {.name = "BertForMaskedLM",
     .must = HAS(MLM),
     .may = HAS(POOLER) | HAS(NSP),
     .sign = "cls.predictions.bias",
     .about = "masked language model"},
    {.name = "BertLMHeadModel",
     .must = HAS(MLM),
     .may = HAS(POOLER) | HAS(NSP),
     .about = "language model; a decoder by \"is_decoder\""},
    {.name = "BertForTokenClassification",
     .must = HAS(TOKEN),
     .may = HAS(POOLER),
     .sign = "classifier.weight",
     .without = HAS(POOLER),
     .about = "labels of tokens"},
    {.name = "BertForSequenceClassification",
     .must = HAS(POOLER) | HAS(SEQUENCE),
     .sign = "classifier.weight",
     .about = "labels of a sequence"},
    {.name = "BertForMultipleChoice",
     .must = HAS(POOLER) | HAS(CHOICE),
     .about = "a score of each choice"},
    {.name = "BertForQuestionAnswering",
     .must = HAS(QA),
     .may = HAS(POOLER),
     .sign = "qa_outputs.weight",
     .about = "start and end of an answer"},
    {0},
};

#define STACK                                                                          \
    {                                                                                  \
        .present = true, .act = EET_ACT_GELU_ERF, .emb_norm = true, .pos_table = true, \
        .type_default = 0, EET_STACK_FACTS_PLAIN                                       \
    }

static const eet_stack_facts encoder = STACK;
static const eet_stack_facts decoder = STACK;

#define FAMILY(rows_of_rules, rows_of_shares, rows_of_keys, rows_of_heads)                     \
    .name = "bert", .title = "BERT", .config_sign = "intermediate_size", .prefixes = prefixes, \
    .rules = (rows_of_rules), .buffers = buffers, .shares = (rows_of_shares),                  \
    .share_count = sizeof shares / sizeof shares[0], .keys = (rows_of_keys),                   \
    .heads = (rows_of_heads), .classes = classes

static const eet_family bert_decoder = {
    FAMILY(decoder_rules, decoder_shares, decoder_keys, decoder_heads),
    .stack = {NULL, &decoder},
};

extern const eet_family eet_family_bert;
const eet_family eet_family_bert = {
    FAMILY(rules, shares, keys, heads),
    .stack = {&encoder, NULL},
    .sibling_key = "is_decoder",
    .sibling = &bert_decoder,
};
