/* facts_table.h - the table of facts, between the files that walk it. */
#ifndef EET_FORMAT_FACTS_TABLE_H
#define EET_FORMAT_FACTS_TABLE_H

#include <stddef.h>

#include "format/facts.h"

typedef enum eet_fact_kind {
    EET_FACT_IS_INTEGER,
    EET_FACT_IS_REAL,
    EET_FACT_IS_BOOL,
    EET_FACT_IS_ACT,
    EET_FACT_IS_POSITIONS
} eet_fact_kind;

/* One fact of a stack: where it is kept and what it may be. */
typedef struct eet_fact_row {
    const char *key; /* after the stack's "enc." */
    eet_fact_kind kind;
    size_t offset; /* in eet_stack_facts */
    double low, high;
    bool dec_only;
} eet_fact_row;

typedef struct eet_fact_key {
    char text[EET_KV_MAX_KEY + 1];
} eet_fact_key;

const eet_fact_row *eet_fact_rows(int *count);

/* "enc.layers" and "head.0.name", in `buffer`. */
const char *eet_fact_stack_key(eet_fact_key *buffer, int stack, const char *name);
const char *eet_fact_head_key(eet_fact_key *buffer, int32_t index, const char *name);

/* The words for stacks, activations and takes, by number; "" is no word. */
const char *const *eet_fact_stack_names(void);
const char *const *eet_fact_act_names(int32_t *count);
const char *const *eet_fact_take_names(int32_t *count);

#endif
