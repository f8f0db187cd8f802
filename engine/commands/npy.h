/* npy.h - a matrix of f32 whose rows come one after another, as a .npy file. */
#ifndef EET_COMMANDS_NPY_H
#define EET_COMMANDS_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

typedef struct eet_npy eet_npy;

/* Writes beside `path`; the file gets its name when it is whole. E_EXISTS without `force`. */
eet_status eet_npy_create(const char *path, bool force, int32_t width, eet_npy **out,
                          eet_error *err);
eet_status eet_npy_append(eet_npy *npy, const float *values, int64_t rows, eet_error *err);
eet_status eet_npy_commit(eet_npy *npy, eet_error *err);
/* Removes what is not committed. NULL is fine. */
void eet_npy_free(eet_npy *npy);

#endif
