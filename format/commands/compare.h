/* compare.h - two tensors of one shape, number by number. */
#ifndef EET_COMMANDS_COMPARE_H
#define EET_COMMANDS_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/container.h"

/* Of the places where both numbers are finite: the largest |a - b|, |a - b| over |a| (both as
 * vectors; 0 when both are zero, infinite when a alone is) and their cosine (NaN when one is
 * zero). `changed` counts all places whose numbers differ; NaN is NaN. */
typedef struct eet_comparison {
    uint64_t count, finite, changed;
    uint64_t nans[2], infinities[2]; /* of a, of b */
    double max_difference, relative_l2, cosine;
    uint64_t max_at; /* where the largest is */
} eet_comparison;

/* Can they be compared: the same shape, dtypes of readable numbers? */
bool eet_comparable(const eet_file_tensor *a, const eet_file_tensor *b);

/* Reads both once, from front to back; takes no memory. */
eet_comparison eet_compare(const eet_file_tensor *a, const eet_file_tensor *b);

#endif
