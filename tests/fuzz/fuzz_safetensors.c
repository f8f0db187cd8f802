/* fuzz_safetensors.c - the header of a .safetensors file from a stranger: the input is its JSON;
 * the length in front is right, and as many bytes follow as the first two of the input say. */
#include <stdlib.h>
#include <string.h>

#include "converter/source.h"
#include "tests/fuzz/target.h"

enum { LENGTH = 8, MOST_DATA = 4096 };

static void read_all(const char *path) {
    eet_source *source = NULL;
    eet_error err = {0};

    if (eet_source_open(path, false, &source, &err) != EET_OK) {
        return;
    }
    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const void *values = NULL;
        eet_error why = {0};

        (void)eet_source_view(source, eet_source_at(source, i), &values, &why);
    }
    eet_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    const size_t behind = (data[0] | (size_t)data[1] << 8) % MOST_DATA;
    const size_t header = size - 2;
    uint8_t *file = calloc(LENGTH + header + behind, 1);

    if (file == NULL) {
        abort();
    }
    for (size_t i = 0; i < LENGTH; i++) {
        file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    }
    memcpy(file + LENGTH, data + 2, header);
    read_all(eet_fuzz_file(file, LENGTH + header + behind));
    free(file);
    return 0;
}
