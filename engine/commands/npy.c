/* npy.c - writes a .npy file: a header of fixed size, written again when the rows are
 * counted. */
#include "engine/commands/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 128 };

struct eet_npy {
    char *path, *temporary;
    FILE *stream;
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
    if (fseek(npy->stream, 0, SEEK_SET) != 0 || fwrite(header, 1, HEADER, npy->stream) != HEADER) {
        return eet_fail_errno(err, errno, "%s cannot be written", npy->temporary);
    }
    return EET_OK;
}

eet_status eet_npy_create(const char *path, bool force, int32_t width, eet_npy **out,
                          eet_error *err) {
    if (!force && access(path, F_OK) == 0) {
        return eet_fail(err, EET_E_EXISTS, EET_NOWHERE, "%s exists; --force replaces it", path);
    }
    eet_npy *npy = calloc(1, sizeof *npy);

    if (npy == NULL || (npy->path = strdup(path)) == NULL ||
        asprintf(&npy->temporary, "%s.eet-tmp.%ld", path, (long)getpid()) < 0) {
        if (npy != NULL) {
            npy->temporary = NULL;
        }
        eet_npy_free(npy);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory to write %s", path);
    }
    npy->width = width;
    npy->force = force;
    npy->stream = fopen(npy->temporary, "wxbe");
    eet_status status = npy->stream == NULL
                            ? eet_fail_errno(err, errno, "%s cannot be made", npy->temporary)
                            : write_header(npy, err);

    if (status != EET_OK) {
        eet_npy_free(npy);
        return status;
    }
    *out = npy;
    return EET_OK;
}

eet_status eet_npy_append(eet_npy *npy, const float *values, int64_t rows, eet_error *err) {
    const size_t count = (size_t)rows * (size_t)npy->width;

    if (fwrite(values, sizeof *values, count, npy->stream) != count) {
        return eet_fail_errno(err, errno, "%s cannot be written", npy->temporary);
    }
    npy->rows += rows;
    return EET_OK;
}

/* Takes the name, without --force only where nothing has it; not every filesystem can rename
 * so, and not every one has hard links. */
static int take_name(const eet_npy *npy) {
    if (npy->force) {
        return rename(npy->temporary, npy->path);
    }
    const int result = renameat2(AT_FDCWD, npy->temporary, AT_FDCWD, npy->path, RENAME_NOREPLACE);

    return result != 0 && (errno == EINVAL || errno == ENOSYS) ? link(npy->temporary, npy->path)
                                                               : result;
}

eet_status eet_npy_commit(eet_npy *npy, eet_error *err) {
    eet_status status = write_header(npy, err);
    FILE *stream = npy->stream;

    npy->stream = NULL;
    if (fclose(stream) != 0 && status == EET_OK) {
        status = eet_fail_errno(err, errno, "%s cannot be written", npy->temporary);
    }
    if (status == EET_OK && take_name(npy) != 0) {
        status = errno == EEXIST ? eet_fail(err, EET_E_EXISTS, EET_NOWHERE,
                                            "%s exists; --force replaces it", npy->path)
                                 : eet_fail_errno(err, errno, "%s cannot be made", npy->path);
    }
    return status;
}

void eet_npy_free(eet_npy *npy) {
    if (npy == NULL) {
        return;
    }
    if (npy->stream != NULL) {
        (void)fclose(npy->stream);
    }
    if (npy->temporary != NULL) {
        (void)unlink(npy->temporary); /* after a rename there is none */
    }
    free(npy->temporary);
    free(npy->path);
    free(npy);
}
