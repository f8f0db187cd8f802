/* index.h - the index of a checkpoint in several files: which tensor lies in which.
 * Somebody else wrote it: a file's name is a plain name, in the index's own folder. */
#ifndef EET_CONVERTER_INDEX_H
#define EET_CONVERTER_INDEX_H

#include "format/cli/json.h"

enum { EET_INDEX_MAX_FILES = 10000 };

typedef struct eet_index_entry {
    const char *tensor; /* borrowed from root, as the files' names are */
    uint64_t bytes;     /* of its name */
    int32_t file;
    int32_t number; /* for the reader of the files: the tensor's; -1 not found yet */
} eet_index_entry;

typedef struct eet_index {
    eet_json *root;
    eet_index_entry *entry; /* (count) by name */
    int32_t count;
    const char **file; /* (files) by name, each once */
    int32_t files;
    const eet_json *total_size; /* what the index says all tensors take; NULL: nothing */
} eet_index;

/* Reads `bytes` of the file open in `fd`. E_CORRUPT, E_SUSPICIOUS (a path instead of
 * a name), E_LIMIT, E_IO, E_MEMORY. On failure *out is empty; free it anyway. */
eet_status eet_index_read(int fd, uint64_t bytes, eet_index *out, eet_error *err);
void eet_index_free(eet_index *index);

eet_index_entry *eet_index_find(const eet_index *index, const char *tensor); /* NULL: none */

#endif
