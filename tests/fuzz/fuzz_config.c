/* fuzz_config.c - a config.json from a stranger, read by the tables of the family that it names:
 * what is taken of it are facts that a model can have. */
#include <stdlib.h>

#include "converter/config.h"
#include "tests/fuzz/target.h"

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

static void look(const eet_config *config) {
    require(config->family != NULL);
    for (int s = 0; s < EET_STACKS; s++) {
        require(config->kept[s].count >= 0 && config->kept[s].count <= EET_MAX_KEPT);
        require(config->sines[s] >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    eet_json *root = NULL;
    eet_notes notes = {0};
    eet_config config = {0};
    eet_error err = {0};

    if (eet_json_parse((const char *)data, size, &root, &err) != EET_OK) {
        return 0;
    }
    if (eet_config_read(root, NULL, &config, &notes, &err) == EET_OK) {
        look(&config);
        eet_config_free(&config);
    }
    eet_notes_free(&notes);
    eet_json_free(root);
    return 0;
}
