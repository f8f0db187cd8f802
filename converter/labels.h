/* labels.h - what a configuration calls a model's classes: "id2label". */
#ifndef EET_CONVERTER_LABELS_H
#define EET_CONVERTER_LABELS_H

#include <stdint.h>

#include "format/cli/json.h"
#include "format/types.h"

typedef struct eet_labels {
    int32_t count;   /* classes; 0 where `fault` says why that is unknown */
    char **name;     /* (count), owned; NULL: they have no names of their own */
    char fault[160]; /* "" or what is wrong; it matters only to a model with classes */
} eet_labels;

/* As Transformers does: "id2label", else "num_labels", else two. E_MEMORY. */
eet_status eet_labels_read(const eet_json *root, eet_labels *out, eet_error *err);
void eet_labels_free(eet_labels *labels);

/* `count` names in one block, which free() releases: the labels' own, or LABEL_0 and on.
 * NULL: no memory. */
const char **eet_labels_list(const eet_labels *labels, int32_t count);

#endif
