/* rows.h - the words that the tables of all families are written in: places, lengths, rules. */
#ifndef EET_CONVERTER_ARCHS_ROWS_H
#define EET_CONVERTER_ARCHS_ROWS_H

#include <stddef.h>

#include "converter/arch.h"

/* A fact of a stack; S is ENC or DEC, here and below. */
#define AT(S, field) .stack = EET_##S, .fact = offsetof(eet_stack_facts, field)

/* Places: of a stack, and the parts of a head. */
#define PLACE(S, part) \
    { .group = EET_GROUP_##S, .slot = EET_SLOT_##part }
#define BIAS(S, part) \
    { .group = EET_GROUP_##S, .slot = EET_SLOT_##part, .bias = true }
#define HEAD(row, part) \
    { .group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_##part, .head = (row) }
#define HEAD_BIAS(row, part) \
    { .group = EET_GROUP_HEAD, .slot = EET_SLOT_HEAD_##part, .bias = true, .head = (row) }

/* A rule: name, place, shape, and what else there is to say. */
#define R(name, place, ...) \
    { .pattern = (name), .spot = place, .shape = __VA_ARGS__ }
#define PART(k)   .part = (k), .parts = 3
#define HAS(head) (UINT32_C(1) << (head))

/* Lengths. */
#define V \
    { EET_SYM_VOCAB, 1 }
#define P \
    { EET_SYM_POSITIONS, 1 }
#define T \
    { EET_SYM_TYPES, 1 }
#define E \
    { EET_SYM_EMB, 1 }
#define D \
    { EET_SYM_HIDDEN, 1 }
#define A \
    { EET_SYM_INNER, 1 }
#define A2 \
    { EET_SYM_INNER, 2 }
#define A3 \
    { EET_SYM_INNER, 3 }
#define C \
    { EET_SYM_CROSS, 1 }
#define F \
    { EET_SYM_FFN, 1 }
#define L \
    { EET_SYM_LABELS, 1 }
#define O \
    { EET_SYM_OUTPUT, 1 }
#define ONE \
    { EET_SYM_ONE, 1 }
#define TWO \
    { EET_SYM_PAIR, 1 }
#define ANY \
    { EET_SYM_ANY, 1 }

#endif
