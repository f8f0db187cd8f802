/* fuzz_legacy.c - a stream of before torch 1.6 from a stranger: whatever the input, it is read as
 * one, for the magic number is put in front when it is not there. */
#include <stdlib.h>
#include <string.h>

#include "converter/source.h"
#include "tests/fuzz/target.h"

/* PROTO 2, LONG1 of the magic number, STOP. */
static const char front[] = "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.";
enum { FRONT = sizeof front - 1 };

static void read_all(const char *path) {
    eet_source *source = NULL;
    eet_error err = {0};

    if (eet_source_open(path, false, &source, &err) != EET_OK) {
        return;
    }
    for (int32_t i = 0; i < eet_source_count(source); i++) {
        const void *values = NULL;

        (void)eet_source_view(source, eet_source_at(source, i), &values, &err);
    }
    eet_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *whole = malloc(size + FRONT);

    if (whole == NULL) {
        abort();
    }
    const size_t skip = size >= FRONT && memcmp(data, front, FRONT) == 0 ? 0 : FRONT;

    memcpy(whole, front, FRONT);
    memcpy(whole + skip, data, size);
    read_all(eet_fuzz_file(whole, size + skip));
    free(whole);
    return 0;
}
