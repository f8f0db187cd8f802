/* golden.c - reads the datasets of an HDF5 file. */
#include "tests/support/golden.h"

#include <check.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>

struct eet_golden {
    char name[128];
    hid_t file;
};

eet_golden *eet_golden_open(const char *name) {
    eet_golden *golden = calloc(1, sizeof *golden);
    char path[512];

    ck_assert_ptr_nonnull(golden);
    (void)snprintf(golden->name, sizeof golden->name, "%s", name);
    (void)snprintf(path, sizeof path, "%s/golden/%s.h5", EET_FIXTURES, name);
    golden->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    ck_assert_msg(golden->file >= 0, "%s cannot be opened", path);
    return golden;
}

void eet_golden_close(eet_golden *golden) {
    H5Fclose(golden->file);
    free(golden);
}

bool eet_golden_has(const eet_golden *golden, const char *dataset) {
    return H5Lexists(golden->file, dataset, H5P_DEFAULT) > 0;
}

/* Reads a dataset as `type`, whose values have `bytes` each. */
static void *read_dataset(const eet_golden *golden, const char *dataset, hid_t type, size_t bytes,
                          int shape[2]) {
    const hid_t data = H5Dopen2(golden->file, dataset, H5P_DEFAULT);

    ck_assert_msg(data >= 0, "%s has no %s", golden->name, dataset);
    const hid_t space = H5Dget_space(data);
    hsize_t sides[2] = {1, 1};

    ck_assert_int_le(H5Sget_simple_extent_ndims(space), 2);
    ck_assert_int_ge(H5Sget_simple_extent_dims(space, sides, NULL), 1);
    void *values = calloc((size_t)(sides[0] * sides[1]), bytes);

    ck_assert_ptr_nonnull(values);
    ck_assert_int_ge(H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    H5Sclose(space);
    H5Dclose(data);
    shape[0] = (int)sides[0];
    shape[1] = (int)sides[1];
    return values;
}

static void tell_shape(const int shape[2], int *rows, int *columns) {
    *rows = shape[0];
    if (columns != NULL) {
        *columns = shape[1];
    }
}

double *eet_golden_reals(const eet_golden *golden, const char *dataset, int *rows, int *columns) {
    int shape[2];
    double *values = read_dataset(golden, dataset, H5T_NATIVE_DOUBLE, sizeof(double), shape);

    tell_shape(shape, rows, columns);
    return values;
}

int32_t *eet_golden_integers(const eet_golden *golden, const char *dataset, int *rows,
                             int *columns) {
    int shape[2];
    int32_t *values = read_dataset(golden, dataset, H5T_NATIVE_INT32, sizeof(int32_t), shape);

    tell_shape(shape, rows, columns);
    return values;
}

double eet_golden_real(const eet_golden *golden, const char *dataset) {
    int rows = 0;
    double *values = eet_golden_reals(golden, dataset, &rows, NULL);
    const double value = values[0];

    ck_assert_int_eq(rows, 1);
    free(values);
    return value;
}
