/* shelf.h - a checkpoint without a file, and models made from it: what the suites of
 * matching share. Storage i of a shelf is filled with one byte. */
#ifndef EET_TESTS_CONVERTER_SHELF_H
#define EET_TESTS_CONVERTER_SHELF_H

#include "converter/emit.h"
#include "converter/match.h"
#include "converter/source_reader.h"

enum { D = 4, F = 16, V = 10, P = 8 }; /* the sizes of all models here */

eet_source *make_source(void);
/* A tensor of rank 1 (columns 0) or 2 with a storage of its own. */
void add_filled(eet_source *source, const char *name, uint64_t rows, uint64_t columns,
                unsigned char fill);
void add(eet_source *source, const char *name, uint64_t rows, uint64_t columns);
/* A weight and a bias by their ends of the name. */
void add_pair(eet_source *source, const char *name, uint64_t rows, uint64_t columns,
              const char *weight, const char *bias);

typedef struct model {
    eet_source *source;
    eet_config config;
    eet_plan plan;
    eet_notes notes;
    eet_error err;
} model;

void read_config(model *m, const char *text);
void end(model *m);
eet_status match(model *m, const char *allow);
/* Matches, expects the failure, and ends the model. */
void expect_failure(model *m, eet_status expected, const char *says);
const eet_place *place_named(const model *m, const char *name);
const char *tensor_of(const model *m, const char *place, int part);

#endif
