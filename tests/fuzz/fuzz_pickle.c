/* fuzz_pickle.c - a pickle from a stranger: evaluated and walked alone, then as the data.pkl
 * of a checkpoint whose tensors are all read, and whose configuration too, where it holds one. */
#include <stdlib.h>
#include <string.h>

#include "converter/config.h"
#include "converter/pickle.h"
#include "converter/source.h"
#include "tests/converter/zip_maker.h"
#include "tests/fuzz/target.h"

enum { DEEPEST = 64, MOST_VISITS = 10000 };

/* Reads every field of every node within reach; the sum, which never gets that large, keeps the
 * reads alive. */
static uint64_t walk(const eet_pickle_node *node, int depth, int *visits) {
    eet_pickle_label label;
    uint32_t bytes = 0;
    uint64_t sum = strlen(eet_pickle_describe(node, &label));
    const eet_pickle_node *parts[] = {eet_pickle_callable(node), eet_pickle_arguments(node),
                                      eet_pickle_state(node)};

    if (depth == DEEPEST || ++*visits > MOST_VISITS) {
        return sum;
    }
    const char *text = eet_pickle_text(node, &bytes);

    for (uint32_t i = 0; i < bytes; i++) {
        sum += (unsigned char)text[i];
    }
    for (int i = 0; i < 3; i++) {
        sum += parts[i] == NULL ? 0 : walk(parts[i], depth + 1, visits);
    }
    for (uint32_t i = 0; i < eet_pickle_count(node) && *visits < MOST_VISITS; i++) {
        if (eet_pickle_kind_of(node) == EET_PICKLE_DICT) {
            sum += walk(eet_pickle_key(node, i), depth + 1, visits);
            sum += walk(eet_pickle_value(node, i), depth + 1, visits);
        } else {
            sum += walk(eet_pickle_item(node, i), depth + 1, visits);
        }
    }
    return sum;
}

static void read_alone(const uint8_t *data, size_t size) {
    eet_pickle *pickle = NULL;
    eet_error err = {0};
    int visits = 0;

    if (eet_pickle_read(data, size, NULL, &pickle, &err) == EET_OK) {
        if (walk(eet_pickle_root(pickle), 0, &visits) == UINT64_MAX) {
            abort();
        }
        eet_pickle_free(pickle);
    }
}

/* What the source hands over is JSON, whatever the pickle. */
static void read_config(const char *text, uint64_t bytes) {
    eet_json *root = NULL;
    eet_notes notes = {0};
    eet_config config = {0};
    eet_error err = {0};

    if (eet_json_parse(text, bytes, &root, &err) != EET_OK) {
        abort();
    }
    if (eet_config_read(root, NULL, &config, &notes, &err) == EET_OK) {
        eet_config_free(&config);
    }
    eet_notes_free(&notes);
    eet_json_free(root);
}

/* The storages of fixtures/torch-2.11/zip_p2.pt. */
static void read_checkpoint(const uint8_t *data, size_t size) {
    static const uint8_t zeros[96] = {0};
    const zip_part parts[] = {
        zip_stored("a/data.pkl", data, size), zip_stored("a/byteorder", "big", 3),
        zip_stored("a/data/0", zeros, 48),    zip_stored("a/data/1", zeros, 24),
        zip_stored("a/data/2", zeros, 24),    zip_stored("a/data/3", zeros, 96),
        zip_stored("a/data/4", zeros, 12),    zip_stored("a/data/5", zeros, 4),
        zip_stored("a/data/6", zeros, 0),     zip_stored("a/data/7", zeros, 4),
        zip_stored("a/version", "3\n", 2),
    };
    size_t bytes = 0;
    uint8_t *archive = zip_build(parts, sizeof parts / sizeof parts[0], NULL, &bytes);
    eet_source *source = NULL;
    eet_error err = {0};

    const eet_status status = eet_source_open(eet_fuzz_file(archive, bytes), false, &source, &err);

    free(archive);
    if (status == EET_OK) {
        uint64_t length = 0;
        const char *text = eet_source_config(source, &length);

        if (text != NULL) {
            read_config(text, length);
        }
    }
    for (int32_t i = 0; status == EET_OK && i < eet_source_count(source); i++) {
        const void *values = NULL;
        eet_error why = {0};

        (void)eet_source_view(source, eet_source_at(source, i), &values, &why);
    }
    eet_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_alone(data, size);
    read_checkpoint(data, size);
    return 0;
}
