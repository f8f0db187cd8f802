/* against.h - a .eet file against the checkpoint that it was made from, number by number. */
#ifndef EET_CONVERTER_AGAINST_H
#define EET_CONVERTER_AGAINST_H

#include "format/container.h"

typedef struct eet_against_options {
    const char *config, *arch; /* as eet-convert takes them, or NULL */
    /* Else every number of the file is the checkpoint's, rounded to the file's dtype. */
    bool tolerant; /* they may be apart: |file - checkpoint| <= atol + rtol |checkpoint| */
    double atol, rtol;
} eet_against_options;

typedef enum eet_against_kind {
    EET_AGAINST_EQUAL,
    EET_AGAINST_VALUES,
    EET_AGAINST_SHAPE,
    EET_AGAINST_NOT_IN_FILE,
    EET_AGAINST_NOT_IN_CHECKPOINT,
} eet_against_kind;

/* A tensor. "first" is the number of the first value that differs. */
typedef struct eet_against_row {
    char name[96];
    eet_against_kind kind;
    uint64_t count, differing, first;
    double in_file, in_checkpoint; /* the first such values */
    double most;                   /* largest distance, of values that are equal too */
} eet_against_row;

typedef struct eet_against {
    eet_against_row *row;
    int32_t rows, differing;
} eet_against;

/* Reads `source`, a folder or a checkpoint, as eet-convert does, and compares every tensor. The
 * file is not called bad: an error is one of the source, or of a dtype that is not compared. */
eet_status eet_against_source(const eet_file *file, const char *source,
                              const eet_against_options *options, eet_against *out, eet_error *err);
void eet_against_free(eet_against *against);

#endif
