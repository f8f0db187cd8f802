/* arch.h - what a model family is to the converter: rows. A family is one file of
 * tables in archs/ and a line in archs/registry.c; no code knows a family.
 *
 * Rules    checkpoint name -> place in the model, symbolic shape, what happens on the way
 * Keys     configuration key -> fact, or the one value that is accepted
 * Heads    what may hang on a stack; classes say which architecture has which
 * Shares   places that hold the very tensor of another place
 *
 * Shapes are equations: the configuration binds the symbols it names, the first
 * tensor binds what is left, and every tensor has to agree. */
#ifndef EET_CONVERTER_ARCH_H
#define EET_CONVERTER_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/facts.h"
#include "format/slots.h"

/* X(symbol, name in messages, the fact it is, or NO_FACT) of one stack */
#define EET_SYMBOL_MAP(X)                                                        \
    X(EET_SYM_VOCAB, "the vocabulary", offsetof(eet_stack_facts, vocab_rows))    \
    X(EET_SYM_HIDDEN, "hidden", offsetof(eet_stack_facts, hidden))               \
    X(EET_SYM_POSITIONS, "positions", offsetof(eet_stack_facts, pos_rows))       \
    X(EET_SYM_TYPES, "token types", offsetof(eet_stack_facts, types))            \
    X(EET_SYM_FFN, "ffn", offsetof(eet_stack_facts, ffn))                        \
    X(EET_SYM_EMB, "the embedding's width", offsetof(eet_stack_facts, emb_dim))  \
    X(EET_SYM_CROSS, "the source's width", offsetof(eet_stack_facts, cross_dim)) \
    X(EET_SYM_INNER, "heads x head size", EET_NO_FACT)                           \
    X(EET_SYM_OUTPUT, "the output's width", EET_NO_FACT)                         \
    X(EET_SYM_LABELS, "labels", EET_NO_FACT)                                     \
    X(EET_SYM_SUMMARY, "the summary's width", EET_NO_FACT)                       \
    X(EET_SYM_ANY, "any number", EET_NO_FACT)                                    \
    X(EET_SYM_ONE, "one", EET_NO_FACT)                                           \
    X(EET_SYM_PAIR, "two", EET_NO_FACT)

#define EET_NO_FACT UINT32_MAX

typedef enum eet_symbol {
    EET_SYM_NONE,
#define X(symbol, name, fact) symbol,
    EET_SYMBOL_MAP(X)
#undef X
        EET_SYMBOLS
} eet_symbol;

enum { EET_RULE_RANK = 2, EET_MAX_PARTS = 3, EET_FAMILY_HEADS = 8 };

/* One length of a tensor: symbol x times; times 0 is 1. */
typedef struct eet_dim {
    uint8_t symbol, times;
} eet_dim;

/* A place: a slot of a stack (per layer where the slot is), or a part of a head. */
typedef struct eet_spot {
    uint8_t group; /* eet_group */
    uint8_t slot;  /* eet_stack_slot or eet_head_slot */
    bool bias;
    uint8_t head; /* row in the family's heads, for EET_GROUP_HEAD */
} eet_spot;

typedef struct eet_rule {
    const char *pattern; /* matched by whole components; "*" is the layer, "?" (before a layer) the
                            name of a head that is `named`; NULL ends the table */
    eet_spot spot;
    eet_dim shape[EET_RULE_RANK]; /* as the checkpoint has it, after drop_rows */
    uint8_t part, parts;          /* part 0.. of `parts` stacked along the rows; 0 parts: all */
    uint8_t drop_rows;            /* leading rows that are not used */
    bool drop_pad;                /* ... are those up to the number of the padding token */
    uint8_t slice, slice_count;   /* of the tensor's rows these alone, */
    uint8_t slices;               /* ... if they are cut into so many equal slices; 0: all */
    bool plain;                   /* the pattern is outside the base model's prefix */
    bool transpose;               /* the checkpoint has [in, out] */
    bool optional;                /* the place may stay empty, or another rule fills it */
    bool also; /* the row before has this pattern too: a tensor of several places */
} eet_rule;

/* A buffer that is no weight: its name, and its rank (0: any). */
typedef struct eet_buffer {
    const char *pattern; /* NULL ends the table */
    int32_t rank;
    bool plain;
} eet_buffer;

typedef enum eet_share_when {
    EET_SHARE_ALWAYS,
    EET_SHARE_TIED,  /* only where the configuration ties word embeddings */
    EET_SHARE_EQUAL, /* only where the checkpoint has both, and they are equal */
} eet_share_when;

/* `place` holds the tensor of `of`. */
typedef struct eet_share {
    eet_spot place, of;
    uint8_t when; /* eet_share_when */
} eet_share;

/* A tensor that is part of something that is not supported. */
typedef struct eet_refused {
    const char *pattern; /* NULL ends the table */
    const char *why;
} eet_refused;

/* Where the checkpoint fills a place, the fact (a bool) is true. */
typedef struct eet_trait {
    eet_spot spot;       /* of a stack; slot 0 ends the table */
    uint32_t fact;       /* offset in eet_stack_facts */
    const char *pattern; /* of the one rule that counts; NULL: all that fill the place */
    bool is_false;       /* the fact is false instead */
} eet_trait;

/* A stack with its norm before each part: where the number in the tensor `version` is at most
 * last_without, the tensors of its final norm do not count. */
typedef struct eet_version_row {
    const char *version, *norm; /* whole names; NULL ends the table */
    uint8_t stack;
    double last_without;
} eet_version_row;

typedef enum eet_key_kind {
    EET_KEY_END,
    /* Honoured: the fact takes the value. */
    EET_KEY_INTEGER,
    EET_KEY_AFTER_PAD, /* integer: less those up to the padding token, which stands before */
    EET_KEY_REAL,
    EET_KEY_BOOL,
    EET_KEY_ACT,          /* a name of eet_act_rows */
    EET_KEY_TOKEN,        /* an id or null; one outside of the vocabulary is left out */
    EET_KEY_TIED,         /* bool: are word embeddings tied */
    EET_KEY_SCALED,       /* bool: is attention scaled by head_dim^-0.5 */
    EET_KEY_UNTIED,       /* bool: ... are they not */
    EET_KEY_TIED_TOO,     /* bool: ... they are where another key says so, or this one */
    EET_KEY_SYMBOL,       /* the value of EET_KEY_SYMBOL's `symbol`, which is no fact */
    EET_KEY_UNSCALED_EMB, /* bool: else embeddings are scaled by hidden^0.5; hidden stands before */
    EET_KEY_SCALED_EMB,   /* bool: ... then they are */
    EET_KEY_LEARNED,      /* bool: is the table of positions in the file, or is it sinusoidal */
    EET_KEY_SINES,        /* rows of the table if it is sinusoidal */
    EET_KEY_DICTIONARY,   /* text or null: the language of the stack's dictionary */
    EET_KEY_TASK,         /* text or null: what the model was trained for */
    EET_KEY_OUTPUT_WORDS, /* integer: fewer words than the vocabulary's are refused; -1: all */
    EET_KEY_LANGUAGES,    /* "en_XX,de_DE", a list or null: a dictionary has words for them */
    EET_KEY_LANG_TOKENS,  /* bool: ... where this says so */
    EET_KEY_LANG_FIRST,   /* bool: a text's second word is that of its language */
    EET_KEY_LANG_SPECS,   /* [of the source, of the target]: ... where the second is no "" */
    EET_KEY_LANG_STYLE,   /* "multilingual" or "mbart": how it is written */
    EET_KEY_KEPT_LAYERS,  /* "0,2,4": these layers of the file alone; null, "": all */
    /* Honoured where the model has the row's head. */
    EET_KEY_HEAD_TAKE,  /* a name of eet_take_rows */
    EET_KEY_HEAD_ACT,   /* a name of eet_act_rows; null or "": none */
    EET_KEY_HEAD_DENSE, /* bool: has it its dense part */
    EET_KEY_HEAD_ONE,   /* bool: EET_SYM_SUMMARY is one, else hidden */
    /* Accepted with one value alone, else refused by name. */
    EET_KEY_MUST_BE_FALSE,
    EET_KEY_MUST_BE_TEXT,  /* `text` */
    EET_KEY_MUST_BE_EMPTY, /* null, {}, [] or "" */
    EET_KEY_MUST_BE_PLAIN, /* null or {}: what says how weights were quantised */
    EET_KEY_MUST_BE_ZERO,  /* null, 0 or false */
    /* Known to change how exact the arithmetic is, not what it computes. */
    EET_KEY_NUMERICS
} eet_key_kind;

/* One key of config.json. The same key may stand in several rows. */
typedef struct eet_key_row {
    const char *key, *alias; /* alias: another name of it, or NULL */
    uint8_t kind;            /* eet_key_kind; EET_KEY_END ends the table */
    uint8_t stack;           /* EET_ENC or EET_DEC */
    uint8_t head;            /* row in the family's heads, for EET_KEY_HEAD_* */
    bool required;
    bool alias_yields;   /* the alias is an older key: read where `key` is absent, else ignored */
    uint8_t fallback_of; /* eet_symbol: absent or null is fallback x this fact */
    uint8_t symbol;      /* of EET_KEY_SYMBOL */
    int16_t plus;        /* fact = value + plus */
    uint32_t fact;       /* offset in eet_stack_facts */
    double fallback;     /* absent or null; of EET_KEY_TOKEN: -1 none */
    const char *text;    /* fallback of EET_KEY_ACT and _HEAD_TAKE, value of _MUST_BE_TEXT */
    const char *why;     /* of a refusal: what the key would mean, or NULL */
} eet_key_row;

enum { EET_ACT_OF_STACK = -1 };

typedef struct eet_head_row {
    const char *name; /* NULL ends the table */
    uint8_t stack, take;
    int8_t act;    /* eet_act, or EET_ACT_OF_STACK */
    bool labels;   /* its outputs are the configuration's labels */
    bool named;    /* the checkpoint names it; the next name there is, in the order of tensors */
    bool skip_pad; /* the last token is the last that is no pad */
} eet_head_row;

/* An architecture as config.json names it. */
typedef struct eet_class {
    const char *name;  /* "GPT2LMHeadModel"; NULL ends the table */
    uint32_t must;     /* bits of head rows that it has */
    uint32_t may;      /* ... that it has when the file holds their tensors */
    const char *sign;  /* a tensor (plain name) that tells it where no architecture is named ... */
    uint32_t without;  /* ... and bits of head rows of which the file then holds no tensor */
    const char *about; /* for --print-supported-models */
} eet_class;

typedef struct eet_family {
    const char *name;            /* "gpt2", also config.json's model_type */
    const char *title;           /* "GPT-2" */
    const char *config_sign;     /* a key that tells a configuration without model_type, or NULL */
    const char *const *prefixes; /* of the base model in a checkpoint, ends with NULL */
    const eet_stack_facts *stack[EET_STACKS]; /* facts that hold for all, NULL: no such stack */
    const eet_rule *rules;
    const eet_buffer *buffers;
    const eet_refused *refused;      /* or NULL */
    const eet_trait *traits;         /* or NULL */
    const eet_version_row *versions; /* or NULL */
    const eet_share *shares;
    int32_t share_count;
    const eet_key_row *keys;
    const eet_head_row *heads;
    const eet_class *classes; /* the first is the base model */
    bool mask_row;            /* a row more than words, none of them <mask>: it is that one's */
    const char *sibling_key;  /* where the configuration says true, the model is of `sibling` */
    const struct eet_family *sibling; /* another family with these very classes, or NULL */
} eet_family;

typedef struct eet_act_row {
    const char *name; /* in a configuration; NULL ends the table */
    int32_t act;
} eet_act_row;

/* What a summary of a sequence takes. */
typedef struct eet_take_row {
    const char *name; /* in a configuration; NULL ends the table */
    int32_t take;
} eet_take_row;

/* The end of a name that used to be written in another way. */
typedef struct eet_rename_row {
    const char *old, *now; /* whole components; NULL ends the table */
} eet_rename_row;

/* archs/registry.c */
extern const eet_family *const eet_families[];  /* ends with NULL */
extern const eet_act_row eet_act_rows[];        /* of config.json */
extern const eet_take_row eet_take_rows[];      /* ... "summary_type" */
extern const eet_rename_row eet_rename_rows[];  /* LayerNorm.gamma */
extern const char *const eet_wrappers[];        /* "module.": in front, any number; NULL ends */
extern const char *const eet_wrappers_inside[]; /* "_fsdp_wrapped_module.": anywhere */
extern const char *const eet_wrapper_of_all;    /* "model.": where every name has it */
extern const eet_key_row eet_common_keys[];     /* refused unless the family has the key */

/* arch.c: looking things up in the tables. */
const eet_class *eet_class_named(const char *name, const eet_family **family);
const eet_family *eet_family_named(const char *name);
bool eet_act_named(const char *name, int32_t *act);
const char *eet_symbol_name(eet_symbol symbol);
uint32_t eet_symbol_fact(eet_symbol symbol); /* offset, or EET_NO_FACT */

/* How many leading rows of a tensor are not used. */
uint64_t eet_rule_drop(const eet_rule *rule, const eet_facts *facts);

/* What stands for the "?" of the pattern in a name that it matches; NULL: it has none. */
const char *eet_pattern_named(const char *pattern, const char *prefix, const char *name,
                              size_t *bytes);

/* The layer where `name` is `prefix` followed by `pattern`; -1 where the pattern
 * has no layer; -2 where it is something else. A layer is digits without a
 * leading zero, at most six. */
int32_t eet_pattern_match(const char *pattern, const char *prefix, const char *name);

#endif
