/* kv_builder.c - collects metadata in any order and writes its canonical bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/kv.h"
#include "format/utf8.h"

typedef struct item {
    char *key;
    uint8_t *value;
    uint32_t value_bytes;
    uint8_t type, flags;
} item;

struct eet_kv_builder {
    item *items;
    uint32_t count, room;
    eet_status status;
    char fault[EET_KV_MAX_KEY + 1]; /* the first key that could not be set */
};

eet_kv_builder *eet_kv_builder_create(void) {
    return calloc(1, sizeof(eet_kv_builder));
}

void eet_kv_builder_free(eet_kv_builder *builder) {
    if (builder == NULL) {
        return;
    }
    for (uint32_t i = 0; i < builder->count; i++) {
        free(builder->items[i].key);
        free(builder->items[i].value);
    }
    free(builder->items);
    free(builder);
}

static void give_up(eet_kv_builder *b, eet_status status, const char *key) {
    if (b->status == EET_OK) {
        b->status = status;
        strncpy(b->fault, key, sizeof b->fault - 1);
    }
}

static bool key_is_good(const char *key) {
    const size_t length = strlen(key);

    return length >= 1 && length <= EET_KV_MAX_KEY && key[0] >= 'a' && key[0] <= 'z' &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.") == length;
}

static bool make_room(eet_kv_builder *b) {
    if (b->count < b->room) {
        return true;
    }
    const uint32_t room = b->room == 0 ? 64 : b->room * 2;
    item *items = realloc(b->items, room * sizeof *items);

    if (items == NULL) {
        return false;
    }
    b->items = items;
    b->room = room;
    return true;
}

static void set(eet_kv_builder *b, const char *key, uint8_t flags, uint8_t type, const void *value,
                uint64_t bytes) {
    if (b == NULL || b->status != EET_OK) {
        return;
    }
    if (!key_is_good(key) || flags > EET_KV_REQUIRED || bytes > EET_KV_MAX_VALUE ||
        b->count == EET_KV_MAX_ENTRIES) {
        give_up(b, EET_E_ARGUMENT, key);
        return;
    }
    char *key_copy = strdup(key);
    uint8_t *value_copy = malloc(bytes == 0 ? 1 : (size_t)bytes);

    if (key_copy == NULL || value_copy == NULL || !make_room(b)) {
        free(key_copy);
        free(value_copy);
        give_up(b, EET_E_MEMORY, key);
        return;
    }
    if (bytes > 0) {
        memcpy(value_copy, value, (size_t)bytes);
    }
    item *added = &b->items[b->count++];

    added->key = key_copy;
    added->value = value_copy;
    added->value_bytes = (uint32_t)bytes;
    added->type = type;
    added->flags = flags;
}

void eet_kv_set_u64(eet_kv_builder *b, const char *key, uint8_t flags, uint64_t value) {
    set(b, key, flags, EET_KV_U64, &value, sizeof value);
}

void eet_kv_set_i64(eet_kv_builder *b, const char *key, uint8_t flags, int64_t value) {
    set(b, key, flags, EET_KV_I64, &value, sizeof value);
}

void eet_kv_set_f64(eet_kv_builder *b, const char *key, uint8_t flags, double value) {
    const double stored = value == 0.0 ? 0.0 : value; /* the format has no -0 */

    if (b != NULL && !isfinite(value)) {
        give_up(b, EET_E_ARGUMENT, key);
        return;
    }
    set(b, key, flags, EET_KV_F64, &stored, sizeof stored);
}

void eet_kv_set_bool(eet_kv_builder *b, const char *key, uint8_t flags, bool value) {
    const uint8_t byte = value ? 1 : 0;

    set(b, key, flags, EET_KV_BOOL, &byte, 1);
}

void eet_kv_set_string(eet_kv_builder *b, const char *key, uint8_t flags, const char *value) {
    const size_t bytes = strlen(value);

    if (b != NULL && !eet_utf8_valid(value, bytes)) {
        give_up(b, EET_E_ARGUMENT, key);
        return;
    }
    set(b, key, flags, EET_KV_STRING, value, bytes);
}

/* u32 n, u32 end[n], bytes. */
void eet_kv_set_strings(eet_kv_builder *b, const char *key, uint8_t flags,
                        const char *const *values, uint32_t count) {
    uint64_t text_bytes = 0;

    if (b == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const size_t bytes = strlen(values[i]);

        if (!eet_utf8_valid(values[i], bytes)) {
            give_up(b, EET_E_ARGUMENT, key);
            return;
        }
        text_bytes += bytes;
    }
    const uint64_t bytes = 4 + 4 * (uint64_t)count + text_bytes;

    if (bytes > EET_KV_MAX_VALUE) {
        give_up(b, EET_E_ARGUMENT, key);
        return;
    }
    uint8_t *value = malloc((size_t)bytes);

    if (value == NULL) {
        give_up(b, EET_E_MEMORY, key);
        return;
    }
    uint32_t end = 0;

    memcpy(value, &count, 4);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t length = (uint32_t)strlen(values[i]);

        memcpy(value + 4 + 4 * (size_t)count + end, values[i], length);
        end += length;
        memcpy(value + 4 + 4 * (size_t)i, &end, 4);
    }
    set(b, key, flags, EET_KV_STRING_ARRAY, value, bytes);
    free(value);
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(const item *const *)a)->key, (*(const item *const *)b)->key);
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

static uint64_t item_bytes(const item *it) {
    return padded(8 + strlen(it->key)) + padded(it->value_bytes);
}

static uint8_t *write_items(const item *const *sorted, uint32_t count, uint64_t size) {
    uint8_t *block = calloc(1, (size_t)size);

    if (block == NULL) {
        return NULL;
    }
    uint8_t *at = block + 8;

    memcpy(block, &count, 4);
    for (uint32_t i = 0; i < count; i++) {
        const item *it = sorted[i];
        const uint16_t key_bytes = (uint16_t)strlen(it->key);

        memcpy(at, &key_bytes, 2);
        at[2] = it->type;
        at[3] = it->flags;
        memcpy(at + 4, &it->value_bytes, 4);
        memcpy(at + 8, it->key, key_bytes);
        memcpy(at + padded(8 + (uint64_t)key_bytes), it->value, it->value_bytes);
        at += item_bytes(it);
    }
    return block;
}

eet_status eet_kv_build(const eet_kv_builder *b, uint8_t **out, uint64_t *bytes, eet_error *err) {
    uint64_t size = 8;

    if (b == NULL || b->status == EET_E_MEMORY) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for metadata");
    }
    if (b->status != EET_OK) {
        return eet_fail(err, b->status, EET_NOWHERE, "metadata \"%s\" cannot be stored", b->fault);
    }
    const item **sorted = malloc(((size_t)b->count + 1) * sizeof *sorted);

    if (sorted == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for metadata");
    }
    for (uint32_t i = 0; i < b->count; i++) {
        sorted[i] = &b->items[i];
        size += item_bytes(&b->items[i]);
    }
    qsort(sorted, b->count, sizeof *sorted, by_key);
    for (uint32_t i = 1; i < b->count; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0) {
            const char *twice = sorted[i]->key;

            free(sorted);
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "metadata \"%s\" is set twice",
                            twice);
        }
    }
    uint8_t *block = write_items(sorted, b->count, size);

    free(sorted);
    if (block == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for metadata");
    }
    *out = block;
    *bytes = size;
    return EET_OK;
}
