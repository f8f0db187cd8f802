/* names.h - the names of a checkpoint's tensors without what wrappers put around them. */
#ifndef EET_CONVERTER_NAMES_H
#define EET_CONVERTER_NAMES_H

#include "converter/source.h"

typedef struct eet_plain_name {
    char *text;   /* owned */
    uint32_t cut; /* bytes that wrappers put in front of the checkpoint's name */
    bool renamed; /* it ended in an old way (LayerNorm.gamma) */
} eet_plain_name;

/* One name for each tensor of the source, by the tables of archs/registry.c:
 * leading "module." and the like go, "model." where every name has it, FSDP's
 * marks anywhere; LayerNorm.gamma and .beta get today's names. E_MEMORY. */
eet_status eet_names_make(const eet_source *source, eet_plain_name **out, eet_error *err);
void eet_names_free(eet_plain_name *names, int32_t count);

#endif
