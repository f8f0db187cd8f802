/* sentence.h - a folder of sentence-transformers: a transformer, and modules behind it that
 * make one vector of a text (modules.json, 1_Pooling/config.json ...). They become a head. */
#ifndef EET_CONVERTER_SENTENCE_H
#define EET_CONVERTER_SENTENCE_H

#include "converter/match.h"
#include "converter/notes.h"
#include "converter/source.h"

enum { EET_SENTENCE_DENSES = 2, EET_SENTENCE_FILES = 8 };

/* A small file that was read, for provenance. */
typedef struct eet_sentence_file {
    char *name; /* in the folder, owned */
    uint64_t bytes;
    uint8_t sha256[32];
} eet_sentence_file;

typedef struct eet_sentence_dense {
    char *path; /* of its folder, owned */
    int32_t in, out, act;
    bool bias;
    eet_source *source;
} eet_sentence_dense;

typedef struct eet_sentence {
    char *folder; /* that was looked into, owned */
    char *inside; /* where the transformer is in it, "" itself; NULL: no modules.json. Owned */
    bool head;    /* there is a pooling, and it is wanted */
    int32_t take, width; /* width 0: not said */
    bool normalize;
    eet_sentence_dense dense[EET_SENTENCE_DENSES]; /* the head's dense, then its out */
    int32_t denses;
    eet_sentence_file file[EET_SENTENCE_FILES];
    int32_t files;
} eet_sentence;

/* Reads modules.json and what it names, where `folder` has one; `head` false: no further than
 * where the transformer is. What no head can be is E_UNSUPPORTED by name; a path that leaves
 * the folder E_SUSPICIOUS. Free it in any case. */
eet_status eet_sentence_read(const char *folder, bool head, bool follow_symlinks, eet_sentence *out,
                             eet_notes *notes, eet_error *err);
void eet_sentence_free(eet_sentence *sentence);

/* sentence_head.c: opens the weights of the dense parts and adds the head to the plan. */
eet_status eet_sentence_attach(eet_sentence *sentence, bool follow_symlinks, eet_plan *plan,
                               eet_error *err);

/* sentence_modules.c: one module's configuration. `path` is its folder. */
eet_status eet_sentence_pooling(eet_sentence *sentence, const eet_json *config, eet_notes *notes,
                                eet_error *err);
eet_status eet_sentence_add_dense(eet_sentence *sentence, const char *path, const eet_json *config,
                                  eet_error *err);
/* "...; --no-sentence-head converts the model without it" */
eet_status eet_sentence_refuse(eet_error *err, const char *what, const char *value);

#endif
