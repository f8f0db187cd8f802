/* target.h - what the fuzz targets share: libFuzzer's entry, and files for readers
 * that want a path. The same targets run without a fuzzer through replay.c. */
#ifndef EET_TESTS_FUZZ_TARGET_H
#define EET_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes the input to this process' own file and gives its path. The file is
 * written anew with each call and goes with the process. */
const char *eet_fuzz_file(const uint8_t *data, size_t size);

#endif
