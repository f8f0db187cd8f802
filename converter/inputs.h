/* inputs.h - what a user's operand means: which files of a folder are read. */
#ifndef EET_CONVERTER_INPUTS_H
#define EET_CONVERTER_INPUTS_H

#include <stdbool.h>

#include "converter/notes.h"
#include "format/types.h"

typedef struct eet_inputs {
    char *weights; /* path of the checkpoint, owned */
    char *config;  /* path of config.json, owned; NULL: there is none */
    char *folder;  /* path whose assets belong to the model, owned; NULL: none */
    bool is_folder;
    char *name; /* of the model: the operand's base name without an extension, owned */
} eet_inputs;

/* `operand` is a directory or a file; `config` and `weights` are the user's
 * choices, or NULL; `inside` is where in a directory the model is, "" itself. In a directory
 * safetensors goes before .bin, and one file before several; an adapter and other frameworks' files
 * are E_UNSUPPORTED by name, one part of several E_ARGUMENT. Links on the way to a directory are
 * followed, once. Nothing is opened but directories. */
eet_status eet_inputs_find(const char *operand, const char *inside, const char *config,
                           const char *weights, eet_inputs *out, eet_notes *notes, eet_error *err);
void eet_inputs_free(eet_inputs *inputs);

/* "folder/name", owned by the caller; NULL: no memory. */
char *eet_path_join(const char *folder, const char *name);
const char *eet_base_name(const char *path);
/* The folder itself, without the links that lead to it, where that can be told and read. Owned by
 * the caller; NULL: no memory. */
char *eet_path_settled(const char *folder);

/* Files that are carried along when they are there. */
typedef struct eet_asset_row {
    const char *name; /* NULL ends the table */
    bool functional;  /* the model's text depends on it */
} eet_asset_row;
extern const eet_asset_row eet_asset_rows[];

#endif
