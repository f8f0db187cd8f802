/* fuzz_h5.c - tf_model.h5 from a stranger: parsed by the HDF5 library in its process, listed,
 * named, read. A crash of the library there is an answer, one of ours a finding. It is never parsed
 * in this process: libhdf5 1.10.8 turns in circles after some hundred inputs. */
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

        (void)eet_source_view(source, eet_source_at(source, i), &values, &err);
    }
    eet_source_close(source);
    return 0;
}
