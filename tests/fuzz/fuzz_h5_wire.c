/* fuzz_h5_wire.c - the process that parses HDF5 was taken over and says what it wants: the input is
 * what comes through the pipe, and what is made of it is opened and read. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "converter/h5_wire.h"
#include "converter/source.h"
#include "tests/fuzz/target.h"

static const uint8_t *said;
static size_t said_bytes;

/* These two in the place of those of h5_jail.c: no process, but a file in the place of its pipe. */
eet_status eet_h5_start(int file, uint64_t bytes, eet_h5_child *out, eet_error *err) {
    (void)file;
    (void)bytes;
    (void)err;
    *out = (eet_h5_child){.pid = -1, .from = memfd_create("said", MFD_CLOEXEC)};
    if (out->from < 0 || pwrite(out->from, said, said_bytes, 0) != (ssize_t)said_bytes) {
        abort();
    }
    return EET_OK;
}

eet_status eet_h5_end(eet_h5_child *child, eet_status so_far, eet_error *err) {
    (void)err;
    (void)close(child->from);
    return so_far;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t file[4096] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    eet_source *source = NULL;
    eet_error err = {0};

    said = data;
    said_bytes = size;
    if (eet_source_open(eet_fuzz_file(file, sizeof file), false, &source, &err) != EET_OK) {
        return 0;
    }
    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const void *values = NULL;

        (void)eet_source_view(source, eet_source_at(source, i), &values, &err);
    }
    eet_source_close(source);
    return 0;
}
