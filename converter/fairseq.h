/* fairseq.h - what Fairseq keeps beside the weights: its configuration, in the pickle, and the
 * dictionaries beside the file. */
#ifndef EET_CONVERTER_FAIRSEQ_H
#define EET_CONVERTER_FAIRSEQ_H

#include "converter/pickle.h"

/* A default of an architecture. The value is a number, true, false, null, a text, or "=KEY": the
 * value of another key. */
typedef struct eet_fairseq_default {
    const char *key; /* NULL ends the table */
    const char *value;
    bool of_null; /* also where the configuration says None */
} eet_fairseq_default;

/* An architecture as Fairseq registers it: its own defaults go before those of `base`. */
typedef struct eet_fairseq_arch {
    const char *name;   /* NULL ends the table */
    const char *family; /* of eet_families; NULL: that of `base` */
    const char *base;   /* another row, or NULL */
    const eet_fairseq_default *defaults;
} eet_fairseq_arch;

extern const eet_fairseq_arch eet_fairseq_archs[]; /* archs/fairseq_defaults.c */

/* The row, NULL: not known. */
const eet_fairseq_arch *eet_fairseq_arch_named(const char *name);

/* The configuration in a checkpoint of Fairseq ("args", else "cfg") as one flat JSON document,
 * NUL-terminated, with the defaults of its architecture; *text NULL: it is no such checkpoint.
 * It holds those keys that some family's table names. A chain of interpolations that does not
 * end is E_CORRUPT, a part of a model E_UNSUPPORTED. free() the text. */
eet_status eet_fairseq_config(const eet_pickle_node *root, char **text, uint64_t *bytes,
                              eet_error *err);

enum { EET_MAX_LANGUAGE = 32 }; /* bytes of its name */

/* Does a task add a word for each language that its configuration lists? */
typedef enum eet_fairseq_lang {
    EET_LANG_NONE,
    EET_LANG_TOLD, /* where another key says so */
    EET_LANG_ALWAYS,
} eet_fairseq_lang;

/* How it writes the word. */
typedef enum eet_fairseq_style {
    EET_STYLE_MBART,        /* "[de]" */
    EET_STYLE_MULTILINGUAL, /* "__de__" */
    EET_STYLE_TAG,          /* "<de>" */
    EET_STYLE_TOLD,         /* one of the first two, as "lang_tok_style" says */
} eet_fairseq_style;

/* Where a task puts "<mask>". */
typedef enum eet_fairseq_mask {
    EET_MASK_NONE,
    EET_MASK_LAST,   /* behind all words */
    EET_MASK_FIRST,  /* ... but in front of those of languages */
    EET_MASK_STYLED, /* behind all words of the style of mBART, else nowhere */
} eet_fairseq_mask;

/* What a text begins with. */
typedef enum eet_fairseq_begin {
    EET_BEGIN_PLAIN,    /* what the family says */
    EET_BEGIN_LANGUAGE, /* the word of its language, and it ends with it */
    EET_BEGIN_TOLD,     /* more than one word, where "decoder_langtok" says so */
    EET_BEGIN_CHOSEN,   /* a word that nothing names */
} eet_fairseq_begin;

/* A task that adds words of its own to a dictionary: those of `words` in front of its lines, the
 * others behind them. */
typedef struct eet_fairseq_task {
    const char *name;     /* NULL ends the table */
    const char *words[4]; /* ends with NULL */
    uint8_t mask;         /* eet_fairseq_mask */
    uint8_t languages;    /* eet_fairseq_lang */
    uint8_t style;        /* eet_fairseq_style */
    uint8_t begin;        /* eet_fairseq_begin */
} eet_fairseq_task;

extern const eet_fairseq_task eet_fairseq_tasks[];                /* archs/fairseq_tasks.c */
const eet_fairseq_task *eet_fairseq_task_named(const char *name); /* NULL: it adds none */

/* What else is in a dictionary. */
typedef struct eet_fairseq_words {
    const eet_fairseq_task *task; /* or NULL */
    bool with_languages;
    eet_fairseq_style style;
    const char *languages; /* "en_XX,de_DE", in their order; "": they are not known */
    const char *target;    /* one of them, or "" */
} eet_fairseq_words;

/* What a dict.txt says. */
typedef struct eet_dictionary {
    int32_t count;          /* words, with the specials */
    int32_t mask, cls, sep; /* ids, -1: there is none */
    int32_t language;       /* of the word of `target` */
    bool adds_mask;         /* the task's, not the file's */
} eet_dictionary;

/* A line that is not a word, a space and a count, a word that stands there twice without
 * "#fairseq:overwrite", bytes that are not UTF-8 are E_CORRUPT. `task` may be NULL. */
eet_status eet_fairseq_dictionary(const char *text, uint64_t bytes, const eet_fairseq_words *more,
                                  eet_dictionary *out, eet_error *err);

#endif
