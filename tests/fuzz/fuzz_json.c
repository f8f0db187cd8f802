/* fuzz_json.c - JSON from a stranger: parsed, and written again when it parses. */
#include <stdio.h>
#include <stdlib.h>

#include "format/cli/json.h"
#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    eet_json *root = NULL;
    eet_error err = {0};
    char *text = NULL;
    size_t bytes = 0;

    if (eet_json_parse((const char *)data, size, &root, &err) != EET_OK) {
        return 0;
    }
    FILE *stream = open_memstream(&text, &bytes);

    if (stream == NULL || eet_json_write(root, stream, true, &err) != EET_OK ||
        fclose(stream) != 0) {
        abort();
    }
    /* What was written is read again. */
    if (eet_json_parse(text, bytes, &root, &err) != EET_OK) {
        abort();
    }
    eet_json_free(root);
    free(text);
    return 0;
}
