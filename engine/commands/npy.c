/* npy.c - writes a .npy file: a header of fixed size, written again when the rows are
 * counted. */
#include "engine/commands/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/signals.h"

enum { HEADER = 128 };

struct eet_npy {
    eet_target target;
    int64_t rows;
    int32_t width;
    bool force;
};

/* Magic, version 1.0, length, a Python dictionary, spaces up to the data. */
static void make_header(const eet_npy *npy, char out[HEADER]) {
    memset(out, ' ', HEADER);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)(HEADER - 10);
    out[9] = 0;
    const int length = snprintf(out + 10, HEADER - 10,
                                "{'descr': '<f4', 'fortran_order': False, 'shape': (%lld, %d), }",
                                (long long)npy->rows, (int)npy->width);

    out[10 + length] = ' ';
    out[HEADER - 1] = '\n';
}

static eet_status write_header(eet_npy *npy, eet_error *err) {
    char header[HEADER];

    make_header(npy, header);
    return eet_target_write(&npy->target, 0, header, HEADER, err);
}

eet_status eet_npy_create(const char *path, bool force, int32_t width, eet_npy **out,
                          eet_error *err) {
    eet_npy *npy = calloc(1, sizeof *npy);

    if (npy == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory to write \"%s\"", path);
    }
    npy->width = width;
    npy->force = force;
    eet_status status = eet_target_set(&npy->target, path, err);

    if (status == EET_OK) {
        status = eet_signals_begin(&npy->target, force, 0, err);
    }
    if (status == EET_OK) {
        status = write_header(npy, err);
    }
    if (status != EET_OK) {
        eet_npy_free(npy);
        return status;
    }
    *out = npy;
    return EET_OK;
}

eet_status eet_npy_append(eet_npy *npy, const float *values, int64_t rows, eet_error *err) {
    const uint64_t row_bytes = (uint64_t)npy->width * sizeof *values;
    const eet_status status =
        eet_target_write(&npy->target, HEADER + (uint64_t)npy->rows * row_bytes, values,
                         (uint64_t)rows * row_bytes, err);

    if (status == EET_OK) {
        npy->rows += rows;
    }
    return status;
}

eet_status eet_npy_commit(eet_npy *npy, eet_error *err) {
    const eet_status status = write_header(npy, err);

    return status == EET_OK ? eet_target_commit(&npy->target, npy->force, false, err) : status;
}

void eet_npy_free(eet_npy *npy) {
    if (npy == NULL) {
        return;
    }
    eet_signals_drop(&npy->target);
    free(npy);
}
