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

/* Does a task add words for the languages that its "langs" lists? */
typedef enum eet_fairseq_lang {
    EET_LANG_NONE,
    EET_LANG_TOLD,   /* a word for each language where "add_lang_token" says so */
    EET_LANG_ALWAYS, /* ... always, and a text begins and ends with that of its language */
} eet_fairseq_lang;

/* A task that adds words of its own to a dictionary: these in front of its lines, or "<mask>"
 * behind them. */
typedef struct eet_fairseq_task {
    const char *name; /* NULL ends the table */
    bool in_front;
    const char *words[4]; /* ends with NULL */
    uint8_t languages;    /* eet_fairseq_lang: in front of the "<mask>" behind them */
} eet_fairseq_task;

extern const eet_fairseq_task eet_fairseq_tasks[];                /* archs/fairseq_defaults.c */
const eet_fairseq_task *eet_fairseq_task_named(const char *name); /* NULL: it adds none */

/* What else is in a dictionary. */
typedef struct eet_fairseq_words {
    const eet_fairseq_task *task; /* or NULL */
    bool with_languages;
    const char *languages; /* "en_XX,de_DE", in their order; "": they are not known */
    const char *target;    /* one of them, or "" */
} eet_fairseq_words;

/* What a dict.txt says. */
typedef struct eet_dictionary {
    int32_t count;          /* words, with the specials */
    int32_t mask, cls, sep; /* ids, -1: there is none */
    int32_t language;       /* of the word of `target` */
} eet_dictionary;

/* A line that is not a word, a space and a count, a word that stands there twice without
 * "#fairseq:overwrite", bytes that are not UTF-8 are E_CORRUPT. `task` may be NULL. */
eet_status eet_fairseq_dictionary(const char *text, uint64_t bytes, const eet_fairseq_words *more,
                                  eet_dictionary *out, eet_error *err);

#endif
