/* config.h - a config.json of Transformers: which family and architecture it
 * means, and what it says about the model. */
#ifndef EET_CONVERTER_CONFIG_H
#define EET_CONVERTER_CONFIG_H

#include "converter/arch.h"
#include "converter/labels.h"
#include "converter/notes.h"
#include "format/cli/json.h"

enum { EET_MAX_KEPT = 1024, EET_MAX_LANGUAGES = 4096 };

/* A stack's layers of which only some are kept: LayerDrop. */
typedef struct eet_kept_layers {
    int16_t layer[EET_MAX_KEPT];
    int32_t count; /* 0: all */
} eet_kept_layers;

/* What the configuration says of a row in the family's heads. */
typedef struct eet_head_choice {
    int32_t take; /* eet_take; 0: the row's own */
    int32_t act;  /* eet_act, where has_act */
    bool has_act;
    bool bare;                  /* it has no dense part */
    const eet_key_row *refused; /* a key whose value (below) no head can have, or NULL */
    eet_shown value;
} eet_head_choice;

/* The dictionary of a stack, beside the weights. */
typedef struct eet_dictionary_file {
    bool is_wanted;
    char name[48]; /* of its language: "dict.en.txt"; "": there is "dict.txt" alone */
} eet_dictionary_file;

typedef struct eet_config {
    const eet_family *family;
    const eet_class *class;         /* NULL: the configuration does not say, the tensors do */
    eet_facts facts;                /* without heads */
    bool tied;                      /* word embeddings */
    bool by_flag;                   /* --arch decided */
    bool no_final_norm[EET_STACKS]; /* ... though the file has one */
    bool learned[EET_STACKS];       /* positions are in the file */
    int32_t sines[EET_STACKS];      /* rows of a sinusoidal table */
    eet_kept_layers kept[EET_STACKS];
    eet_dictionary_file dictionary[EET_STACKS];
    const struct eet_fairseq_task *task; /* it adds words to dictionaries; or NULL */
    bool lang_tokens;                    /* words of languages were added to dictionaries */
    bool lang_first;                     /* ... and a text's second is that of its language */
    bool lang_mbart;                     /* ... written as in mBART */
    char languages[EET_MAX_LANGUAGES];   /* "en_XX,de_DE"; "": the configuration does not say */
    int32_t output_words;                /* ... at most are an output's, where output_words_key */
    const char *output_words_key;        /* says so; NULL: it does not */
    int32_t symbol[EET_SYMBOLS];         /* values of symbols that are no facts; 0: not said */
    eet_head_choice head[EET_FAMILY_HEADS];
    eet_labels labels;
} eet_config;

/* Reads every key that the family's tables name, strictly: a wrong type, a value
 * out of bounds or heads that do not divide are E_CORRUPT; what would compute
 * something else is E_UNSUPPORTED by name. `arch` is an architecture or a family,
 * or NULL. Release with eet_config_free. */
eet_status eet_config_read(const eet_json *root, const char *arch, eet_config *out,
                           eet_notes *notes, eet_error *err);
void eet_config_free(eet_config *config);

/* The key that gives `fact` (an offset) of a stack: "n_embd", or NULL. */
const char *eet_config_key_of(const eet_family *family, int stack, uint32_t fact);

#endif
