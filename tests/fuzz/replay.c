/* replay.c - runs a fuzz target on files, without a fuzzer: every input that once
 * was a finding, and the seeds, in the ordinary tests.
 *
 *   replay_NAME FILE...    each whole, and each cut and changed a little */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/target.h"

enum { VARIANTS = 64, MOST = 1 << 20 };

/* A buffer with not one byte to spare, so that a sanitizer sees the first one past it. */
static void run_exact(const unsigned char *data, size_t size) {
    unsigned char *copy = malloc(size + (size == 0));

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Cuts at steps, then turns one bit here and there: the same ones in every run. */
static void run_variants(unsigned char *data, size_t size) {
    uint32_t state = 1;

    for (size_t i = 0; i < VARIANTS && size > 0; i++) {
        run_exact(data, size * i / VARIANTS);
        state = state * 1664525 + 1013904223;
        const size_t at = (size_t)state % size;

        data[at] ^= (unsigned char)(1U << (i % 8));
        run_exact(data, size);
        data[at] ^= (unsigned char)(1U << (i % 8));
    }
}

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    unsigned char *data = malloc(MOST);

    if (stream == NULL || data == NULL) {
        perror(path);
        exit(1);
    }
    *size = fread(data, 1, MOST, stream);
    if (*size == MOST || ferror(stream) != 0) {
        (void)fprintf(stderr, "%s: no seed of less than %d bytes\n", path, MOST);
        exit(1);
    }
    (void)fclose(stream);
    return data;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        size_t size = 0;
        unsigned char *data = read_file(argv[i], &size);

        run_exact(data, size);
        run_variants(data, size);
        free(data);
    }
    printf("%d inputs\n", argc - 1);
    return argc > 1 ? 0 : 1;
}
