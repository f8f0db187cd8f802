/* fuzz_source.c - a checkpoint from a stranger, of any container: opened, and every
 * tensor of it read. */
#include "converter/source.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    eet_source *source = NULL;
    eet_error err = {0};

    if (eet_source_open(eet_fuzz_file(data, size), false, &source, &err) != EET_OK) {
        return 0;
    }
    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const void *values = NULL;
        eet_error why = {0};

        (void)eet_source_view(source, eet_source_at(source, i), &values, &why);
    }
    eet_source_close(source);
    return 0;
}
