/* labels.c - reads the names of classes from a configuration. */
#include "converter/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABELS = 65536, DEFAULT_LABELS = 2, NUMBERED_BYTES = 24 };

static void fault(eet_labels *out, const char *what) {
    (void)snprintf(out->fault, sizeof out->fault, "%s", what);
}

/* "12" is 12; -1 for what is no number of a class. */
static int64_t number_of(const char *key) {
    int64_t number = 0;

    for (const char *p = key; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || p - key > 8 || (p > key && key[0] == '0')) {
            return -1;
        }
        number = number * 10 + (*p - '0');
    }
    return key[0] != '\0' ? number : -1;
}

/* The text of a label, which some configurations give as a number; NULL: no memory. */
static char *text_of(const eet_json *value, int32_t number) {
    char buffer[NUMBERED_BYTES];
    int64_t integer = 0;
    const char *text = value != NULL ? eet_json_as_string(value, NULL) : NULL;

    if (text == NULL && value != NULL && eet_json_as_integer(value, &integer)) {
        (void)snprintf(buffer, sizeof buffer, "%lld", (long long)integer);
        text = buffer;
    } else if (text == NULL) {
        (void)snprintf(buffer, sizeof buffer, "LABEL_%d", (int)number);
        text = buffer;
    }
    return strdup(text);
}

static bool is_text(const eet_json *value) {
    const eet_json_kind kind = eet_json_kind_of(value);

    return kind == EET_JSON_STRING || kind == EET_JSON_INTEGER || kind == EET_JSON_NULL;
}

/* Every key a class, every value a text; a class may be left out, as in Transformers. */
static bool map_is_good(const eet_json *map) {
    eet_json_iterator it = eet_json_members(map);
    const char *key = NULL;
    const eet_json *value = NULL;
    uint64_t bytes = 0;

    while (eet_json_next(&it, &key, &bytes, &value)) {
        if (strlen(key) != bytes || number_of(key) < 0 || !is_text(value)) {
            return false;
        }
    }
    return true;
}

static eet_status read_map(const eet_json *map, eet_labels *out, eet_error *err) {
    const uint64_t count = eet_json_length(map);
    char key[NUMBERED_BYTES];

    if (count < 1 || count > MAX_LABELS || !map_is_good(map)) {
        fault(out, "\"id2label\" is not a list of 1 to 65536 classes by number");
        return EET_OK;
    }
    out->name = calloc((size_t)count, sizeof *out->name);
    if (out->name == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for labels");
    }
    for (out->count = 0; out->count < (int32_t)count; out->count++) {
        (void)snprintf(key, sizeof key, "%d", (int)out->count);
        out->name[out->count] = text_of(eet_json_get(map, key), out->count);
        if (out->name[out->count] == NULL) {
            return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for labels");
        }
    }
    return EET_OK;
}

static bool is_absent(const eet_json *value) {
    return value == NULL || eet_json_kind_of(value) == EET_JSON_NULL;
}

static void read_count(const eet_json *value, eet_labels *out) {
    int64_t count = DEFAULT_LABELS;

    if (!is_absent(value) &&
        (!eet_json_as_integer(value, &count) || count < 1 || count > MAX_LABELS)) {
        fault(out, "\"num_labels\" is not 1 to 65536");
        return;
    }
    out->count = (int32_t)count;
}

eet_status eet_labels_read(const eet_json *root, eet_labels *out, eet_error *err) {
    const eet_json *map = eet_json_get(root, "id2label");
    eet_status status = EET_OK;

    *out = (eet_labels){0};
    if (is_absent(map)) {
        read_count(eet_json_get(root, "num_labels"), out);
    } else if (eet_json_kind_of(map) != EET_JSON_OBJECT) {
        fault(out, "\"id2label\" is not an object");
    } else {
        status = read_map(map, out, err);
    }
    if (status != EET_OK) {
        eet_labels_free(out);
    }
    return status;
}

void eet_labels_free(eet_labels *labels) {
    for (int32_t i = 0; labels->name != NULL && i < labels->count; i++) {
        free(labels->name[i]);
    }
    free(labels->name);
    *labels = (eet_labels){0};
}

const char **eet_labels_list(const eet_labels *labels, int32_t count) {
    size_t bytes = (size_t)count * (sizeof(char *) + NUMBERED_BYTES);

    for (int32_t i = 0; labels->name != NULL && i < labels->count; i++) {
        bytes += strlen(labels->name[i]) + 1;
    }
    const char **list = malloc(bytes + 1);
    char *text = (char *)list + (size_t)count * sizeof *list;

    for (int32_t i = 0; list != NULL && i < count; i++) {
        if (labels->name != NULL && i < labels->count) {
            strcpy(text, labels->name[i]);
        } else {
            (void)sprintf(text, "LABEL_%d", (int)i);
        }
        list[i] = text;
        text += strlen(text) + 1;
    }
    return list;
}
