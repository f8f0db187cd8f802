/* match.h - which tensor of a checkpoint goes to which place of the model. */
#ifndef EET_CONVERTER_MATCH_H
#define EET_CONVERTER_MATCH_H

#include "converter/config.h"
#include "converter/source.h"

/* A place of the model and what fills it. */
typedef struct eet_place {
    uint16_t role;
    int32_t layer; /* -1, a layer, or the head's number in the facts */
    int32_t rank;
    uint64_t dims[2];
    const char *head;              /* name, for heads */
    const eet_rule *rule;          /* what happens on the way; NULL: nothing fills it */
    int32_t tensor[EET_MAX_PARTS]; /* of the source, rule->parts of them; -1 missing */
    int32_t share;                 /* place that holds its tensor, or -1 */
    int32_t sines;                 /* it is a sinusoidal table, of the dtype of this place; or -1 */
    eet_source *source;            /* of the tensors; NULL: the checkpoint itself */
} eet_place;

/* Two tensors of the source that have to hold the same numbers. */
typedef struct eet_twin {
    int32_t a, b;
    int32_t tied; /* place to become an alias when they do, or -1 */
    bool must;    /* where they differ it is an error */
} eet_twin;

/* Where a place's tensors are. */
static inline eet_source *eet_place_source(const eet_place *place, eet_source *checkpoint) {
    return place->source != NULL ? place->source : checkpoint;
}

typedef struct eet_plan {
    const eet_class *class;
    eet_facts facts; /* complete; name strings are the tables' */
    eet_place *place;
    int32_t places;
    eet_twin *twin;
    int32_t twins;
    const char **label; /* the facts' labels */
    int32_t *left;      /* tensors that go nowhere: buffers, and what --allow-unused names */
    int32_t lefts;
} eet_plan;

/* Matches every tensor by name and shape, in execution order of the places.
 * `allow_unused` is an extended regular expression for names of tensors that may
 * be left over, or NULL. A missing tensor or a wrong shape is E_CORRUPT, a left-over
 * tensor or a mixture of prefixes E_AMBIGUOUS; each names the tensor. */
eet_status eet_match(const eet_source *source, const eet_config *config, const char *allow_unused,
                     eet_plan *out, eet_error *err);
void eet_plan_free(eet_plan *plan);

/* "dec.0007.attn.qkv.w" */
typedef struct eet_place_name {
    char text[96];
} eet_place_name;
const char *eet_place_named(eet_place_name *buffer, const eet_place *place);

#endif
