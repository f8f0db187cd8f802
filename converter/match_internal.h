/* match_internal.h - what the files of matching share (match.c, match_shapes.c, match_places.c). */
#ifndef EET_CONVERTER_MATCH_INTERNAL_H
#define EET_CONVERTER_MATCH_INTERNAL_H

#include "converter/match.h"
#include "converter/names.h"

enum { EET_NOT_USED = -1, EET_IS_BUFFER = -2 };

/* What a tensor of the source was found to be. */
typedef struct eet_hit {
    int32_t rule;  /* in the family's table, or one of the above */
    int32_t layer; /* -1 none */
} eet_hit;

/* The name of a head in the names of its tensors. */
typedef struct eet_head_named {
    const char *text; /* NULL: there is none */
    size_t bytes;
} eet_head_named;

typedef struct eet_matching {
    const eet_source *source;
    const eet_config *config;
    const eet_family *family;
    const char *allow_unused;
    const char *prefix; /* of the base model in this checkpoint */
    uint32_t heads;     /* bits of the family's head rows whose rules hold */
    eet_plain_name *names;
    eet_hit *hit; /* a tensor each */
    int32_t count;
    eet_head_named named[EET_FAMILY_HEADS]; /* what the checkpoint calls its `named` heads */
    int32_t head_number[EET_FAMILY_HEADS];  /* of a family's head row in the facts, or -1 */
    eet_plan *plan;
    eet_error *err;
} eet_matching;

/* Does the rule hold: is it of a stack, or of a head (and a part of it) that there is? */
bool eet_matching_has(const eet_matching *m, const eet_rule *rule);

int eet_matching_stack(const eet_matching *m, const eet_rule *rule);

/* Solves the symbols and checks every tensor that is used; binds facts that the
 * configuration left open. */
eet_status eet_match_shapes(eet_matching *m);

/* Makes the places from the facts, fills them, and complains about what is
 * missing or left over. */
eet_status eet_match_places(eet_matching *m);

#endif
