/* fuzz_h5_wire.c - the process that parses HDF5 was taken over and says what it wants: the input
 * goes through the pipe, and what is made of it is opened and read. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "converter/h5_wire.h"
#include "converter/source.h"
#include "tests/fuzz/target.h"

static const uint8_t *said;
static size_t said_bytes;

/* In the place of the one of h5_parse.c. */
void eet_h5_parse(int file, uint64_t bytes, int out) {
    (void)file;
    (void)bytes;
    for (size_t done = 0; done < said_bytes;) {
        const ssize_t put = write(out, said + done, said_bytes - done);

        if (put <= 0) {
            return;
        }
        done += (size_t)put;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char file[4096] = "\x89HDF\r\n\x1A\n";
    eet_source *source = NULL;
    eet_error err = {0};

    said = data;
    said_bytes = size;
    if (eet_source_open(eet_fuzz_file((const uint8_t *)file, sizeof file), false, &source, &err) !=
        EET_OK) {
        return 0;
    }
    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const void *values = NULL;

        (void)eet_source_view(source, eet_source_at(source, i), &values, &err);
    }
    eet_source_close(source);
    return 0;
}
