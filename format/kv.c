/* kv.c - reads a block of typed metadata. */
#include "format/kv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/utf8.h"

enum { HEAD = 8, ENTRY = 8 };

static uint16_t load_u16(const uint8_t *at) {
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t load_u32(const uint8_t *at) {
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t load_u64(const uint8_t *at) {
    uint64_t value;

    memcpy(&value, at, sizeof value);
    return value;
}

static double load_f64(const uint8_t *at) {
    double value;

    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t padded(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

/* Entry at a byte of the block whose bounds are known to be good. */
static eet_kv entry_at(const uint8_t *block, uint64_t at) {
    eet_kv entry = {.key = (const char *)block + at + ENTRY,
                    .key_bytes = load_u16(block + at),
                    .type = block[at + 2],
                    .flags = block[at + 3],
                    .value_bytes = load_u32(block + at + 4)};

    entry.value = block + padded(at + ENTRY + entry.key_bytes);
    return entry;
}

static bool is_zero(const uint8_t *at, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i++) {
        if (at[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool key_is_good(const char *key, uint32_t bytes) {
    if (bytes == 0 || bytes > EET_KV_MAX_KEY || key[0] < 'a' || key[0] > 'z') {
        return false;
    }
    for (uint32_t i = 1; i < bytes; i++) {
        const char c = key[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.')) {
            return false;
        }
    }
    return true;
}

static bool f64_is_good(double value) {
    return isfinite(value) && !(value == 0.0 && signbit(value));
}

static bool text_is_good(const uint8_t *text, uint64_t bytes) {
    return memchr(text, 0, (size_t)bytes) == NULL && eet_utf8_valid((const char *)text, bytes);
}

/* u32 n, u32 end[n], bytes. */
static bool strings_are_good(const uint8_t *value, uint64_t bytes) {
    const uint64_t count = bytes >= 4 ? load_u32(value) : 0;
    const uint64_t start = 4 + 4 * count;
    uint64_t last = 0;

    if (bytes < 4 || start > bytes) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t end = load_u32(value + 4 + 4 * i);

        if (end < last || end > bytes - start || !text_is_good(value + start + last, end - last)) {
            return false;
        }
        last = end;
    }
    return last == bytes - start;
}

/* What is wrong with a value, or NULL. */
static const char *value_fault(const eet_kv *entry) {
    const uint8_t *value = entry->value;
    const uint32_t bytes = entry->value_bytes;

    switch (entry->type) {
    case EET_KV_U64:
    case EET_KV_I64:
        return bytes == 8 ? NULL : "an integer is 8 bytes";
    case EET_KV_F64:
        return bytes == 8 && f64_is_good(load_f64(value)) ? NULL
                                                          : "a real is 8 bytes, finite and not -0";
    case EET_KV_BOOL:
        return bytes == 1 && value[0] <= 1 ? NULL : "a bool is one byte, 0 or 1";
    case EET_KV_STRING:
        return text_is_good(value, bytes) ? NULL : "a string is UTF-8 without NUL";
    case EET_KV_BYTES:
        return NULL;
    case EET_KV_U64_ARRAY:
    case EET_KV_I64_ARRAY:
        return bytes % 8 == 0 ? NULL : "an array of integers is a multiple of 8 bytes";
    case EET_KV_F64_ARRAY:
        for (uint32_t i = 0; bytes % 8 == 0 && i < bytes / 8; i++) {
            if (!f64_is_good(load_f64(value + (uint64_t)i * 8))) {
                return "a real is finite and not -0";
            }
        }
        return bytes % 8 == 0 ? NULL : "an array of reals is a multiple of 8 bytes";
    case EET_KV_STRING_ARRAY:
        return strings_are_good(value, bytes) ? NULL : "an array of strings has bad ends or text";
    default:
        return "unknown type of value";
    }
}

/* Checks the entry at *at and moves *at behind it. */
static eet_status check_entry(const uint8_t *block, uint64_t size, uint64_t base, uint64_t *at,
                              const eet_kv *before, eet_kv *entry, eet_error *err) {
    const uint64_t here = *at;
    const uint64_t key_bytes = size - here >= ENTRY ? load_u16(block + here) : 0;
    const uint64_t value_bytes = size - here >= ENTRY ? load_u32(block + here + 4) : 0;
    const uint64_t value_at = padded(here + ENTRY + key_bytes);
    const uint64_t end = padded(value_at + value_bytes);

    if (size - here < ENTRY || end > size) {
        return eet_fail(err, EET_E_CORRUPT, base + here, "metadata entry runs past its block");
    }
    if (value_bytes > EET_KV_MAX_VALUE) {
        return eet_fail(err, EET_E_LIMIT, base + here, "metadata value of %u bytes; at most %d",
                        load_u32(block + here + 4), EET_KV_MAX_VALUE);
    }
    *entry = entry_at(block, here);
    if (!key_is_good(entry->key, entry->key_bytes)) {
        return eet_fail(err, EET_E_CORRUPT, base + here, "metadata key is not [a-z][a-z0-9_.]*");
    }
    const char *fault = value_fault(entry);

    if (fault == NULL && entry->flags > EET_KV_REQUIRED) {
        fault = "unknown flag";
    }
    if (fault == NULL &&
        (!is_zero(block + here + ENTRY + key_bytes, value_at - here - ENTRY - key_bytes) ||
         !is_zero(block + value_at + value_bytes, end - value_at - value_bytes))) {
        fault = "padding is not zero";
    }
    if (fault == NULL && before->key != NULL) {
        const uint32_t common =
            before->key_bytes < entry->key_bytes ? before->key_bytes : entry->key_bytes;
        const int order = memcmp(before->key, entry->key, common);

        if (order > 0 || (order == 0 && before->key_bytes >= entry->key_bytes)) {
            fault = "keys are not in ascending order";
        }
    }
    if (fault != NULL) {
        return eet_fail(err, EET_E_CORRUPT, base + here, "metadata key \"%.*s\": %s",
                        (int)entry->key_bytes, entry->key, fault);
    }
    *at = end;
    return EET_OK;
}

static eet_status check_entries(const uint8_t *block, uint64_t size, uint64_t base, uint32_t count,
                                uint32_t *offsets, eet_error *err) {
    eet_kv before = {0};
    uint64_t at = HEAD;

    for (uint32_t i = 0; i < count; i++) {
        eet_kv entry = {0};

        offsets[i] = (uint32_t)at;
        const eet_status status = check_entry(block, size, base, &at, &before, &entry, err);

        if (status != EET_OK) {
            return status;
        }
        before = entry;
    }
    if (at != size) {
        return eet_fail(err, EET_E_CORRUPT, base + at, "bytes after the last metadata entry");
    }
    return EET_OK;
}

eet_status eet_kv_open(const void *bytes, uint64_t size, uint64_t base, eet_kv_view *out,
                       eet_error *err) {
    const uint8_t *block = bytes;

    if (size < HEAD || size > UINT32_MAX || load_u32(block + 4) != 0) {
        return eet_fail(err, EET_E_CORRUPT, base, "metadata block has a malformed head");
    }
    const uint32_t count = load_u32(block);

    if (count > EET_KV_MAX_ENTRIES) {
        return eet_fail(err, EET_E_LIMIT, base, "%u metadata entries; at most %d", count,
                        EET_KV_MAX_ENTRIES);
    }
    uint32_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets);

    if (offsets == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for metadata");
    }
    const eet_status status = check_entries(block, size, base, count, offsets, err);

    if (status != EET_OK) {
        free(offsets);
        return status;
    }
    *out = (eet_kv_view){.bytes = block, .size = size, .count = count, .at = offsets};
    return EET_OK;
}

void eet_kv_close(eet_kv_view *view) {
    free((void *)view->at);
    *view = (eet_kv_view){0};
}

eet_kv eet_kv_at(const eet_kv_view *view, uint32_t index) {
    return entry_at(view->bytes, view->at[index]);
}

bool eet_kv_find(const eet_kv_view *view, const char *key, eet_kv *out) {
    const size_t length = strlen(key);

    for (uint32_t i = 0; i < view->count; i++) {
        const eet_kv entry = eet_kv_at(view, i);

        if (entry.key_bytes == length && memcmp(entry.key, key, length) == 0) {
            *out = entry;
            return true;
        }
    }
    return false;
}

bool eet_kv_u64(const eet_kv *entry, uint64_t *out) {
    if (entry->type != EET_KV_U64) {
        return false;
    }
    *out = load_u64(entry->value);
    return true;
}

bool eet_kv_i64(const eet_kv *entry, int64_t *out) {
    if (entry->type != EET_KV_I64) {
        return false;
    }
    *out = (int64_t)load_u64(entry->value);
    return true;
}

bool eet_kv_f64(const eet_kv *entry, double *out) {
    if (entry->type != EET_KV_F64) {
        return false;
    }
    *out = load_f64(entry->value);
    return true;
}

bool eet_kv_bool(const eet_kv *entry, bool *out) {
    if (entry->type != EET_KV_BOOL) {
        return false;
    }
    *out = entry->value[0] != 0;
    return true;
}

bool eet_kv_string(const eet_kv *entry, const char **text, uint32_t *bytes) {
    if (entry->type != EET_KV_STRING) {
        return false;
    }
    *text = (const char *)entry->value;
    *bytes = entry->value_bytes;
    return true;
}

uint32_t eet_kv_length(const eet_kv *entry) {
    if (entry->type == EET_KV_STRING_ARRAY) {
        return load_u32(entry->value);
    }
    return entry->type >= EET_KV_U64_ARRAY ? entry->value_bytes / 8 : 0;
}

uint64_t eet_kv_u64_item(const eet_kv *entry, uint32_t index) {
    return load_u64(entry->value + (uint64_t)index * 8);
}

int64_t eet_kv_i64_item(const eet_kv *entry, uint32_t index) {
    return (int64_t)eet_kv_u64_item(entry, index);
}

double eet_kv_f64_item(const eet_kv *entry, uint32_t index) {
    return load_f64(entry->value + (uint64_t)index * 8);
}

const char *eet_kv_string_item(const eet_kv *entry, uint32_t index, uint32_t *bytes) {
    const uint64_t count = load_u32(entry->value);
    const uint32_t start = index == 0 ? 0 : load_u32(entry->value + 4 * (uint64_t)index);
    const uint32_t end = load_u32(entry->value + 4 + 4 * (uint64_t)index);

    *bytes = end - start;
    return (const char *)entry->value + 4 + 4 * count + start;
}
