/* golden.h - reads what fixtures/make_fixtures.py stored: the datasets of an HDF5
 * file. golden.c is the one file that knows HDF5.
 *
 * Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_SUPPORT_GOLDEN_H
#define EET_TESTS_SUPPORT_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>

typedef struct eet_golden eet_golden;

/* Opens fixtures/golden/<name>.h5. */
eet_golden *eet_golden_open(const char *name);
void eet_golden_close(eet_golden *golden);

bool eet_golden_has(const eet_golden *golden, const char *dataset);
/* A dataset's values, row-major, and its shape (columns 1 for one dimension).
 * The values are the caller's: free(). `columns` may be NULL. */
double *eet_golden_reals(const eet_golden *golden, const char *dataset, int *rows, int *columns);
int32_t *eet_golden_integers(const eet_golden *golden, const char *dataset, int *rows,
                             int *columns);
/* The one value of a dataset of one value. */
double eet_golden_real(const eet_golden *golden, const char *dataset);

#endif
