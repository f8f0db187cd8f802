/* kv.h - typed metadata (sections META and PROV): sorted, unique, binary.
 *
 * docs/format.md, "Typed metadata". A view reads a validated block in place; a
 * builder collects entries in any order and writes the canonical bytes. */
#ifndef EET_FORMAT_KV_H
#define EET_FORMAT_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/types.h"

typedef enum eet_kv_type {
    EET_KV_U64 = 1,
    EET_KV_I64 = 2,
    EET_KV_F64 = 3,
    EET_KV_BOOL = 4,
    EET_KV_STRING = 5,
    EET_KV_BYTES = 6,
    EET_KV_U64_ARRAY = 7,
    EET_KV_I64_ARRAY = 8,
    EET_KV_F64_ARRAY = 9,
    EET_KV_STRING_ARRAY = 10
} eet_kv_type;

enum {
    EET_KV_REQUIRED = 1, /* flag: a reader that does not know the key must refuse the file */
    EET_KV_MAX_ENTRIES = 65536,
    EET_KV_MAX_KEY = 128,
    EET_KV_MAX_VALUE = 16 << 20
};

/* One entry, pointing into the block. */
typedef struct eet_kv {
    const char *key; /* not terminated */
    uint32_t key_bytes;
    uint8_t type, flags;
    const uint8_t *value; /* 8-byte aligned in the block; read through the functions below */
    uint32_t value_bytes;
} eet_kv;

/* A validated block; `bytes` is borrowed. */
typedef struct eet_kv_view {
    const uint8_t *bytes;
    uint64_t size;
    uint32_t count;
    const uint32_t *at; /* offset of each entry; owned, eet_kv_close */
} eet_kv_view;

/* Checks every rule (order, grammar, lengths, types, padding). `base` is the
 * block's offset in the file, for errors. E_CORRUPT, E_LIMIT, E_MEMORY. */
eet_status eet_kv_open(const void *bytes, uint64_t size, uint64_t base, eet_kv_view *out,
                       eet_error *err);
void eet_kv_close(eet_kv_view *view);

eet_kv eet_kv_at(const eet_kv_view *view, uint32_t index);
bool eet_kv_find(const eet_kv_view *view, const char *key, eet_kv *out);

/* Typed values; false when the entry has another type. */
bool eet_kv_u64(const eet_kv *entry, uint64_t *out);
bool eet_kv_i64(const eet_kv *entry, int64_t *out);
bool eet_kv_f64(const eet_kv *entry, double *out);
bool eet_kv_bool(const eet_kv *entry, bool *out);
bool eet_kv_string(const eet_kv *entry, const char **text, uint32_t *bytes); /* not terminated */
/* Arrays: the number of elements (0 for scalars), and one of them. */
uint32_t eet_kv_length(const eet_kv *entry);
uint64_t eet_kv_u64_item(const eet_kv *entry, uint32_t index);
int64_t eet_kv_i64_item(const eet_kv *entry, uint32_t index);
double eet_kv_f64_item(const eet_kv *entry, uint32_t index);
const char *eet_kv_string_item(const eet_kv *entry, uint32_t index, uint32_t *bytes);

typedef struct eet_kv_builder eet_kv_builder;

/* Setters after a failed allocation or a bad key do nothing; eet_kv_build says
 * so. Setting a key twice is E_ARGUMENT at eet_kv_build. */
eet_kv_builder *eet_kv_builder_create(void); /* NULL: no memory; every function accepts NULL */
void eet_kv_builder_free(eet_kv_builder *builder);
void eet_kv_set_u64(eet_kv_builder *b, const char *key, uint8_t flags, uint64_t value);
void eet_kv_set_i64(eet_kv_builder *b, const char *key, uint8_t flags, int64_t value);
void eet_kv_set_f64(eet_kv_builder *b, const char *key, uint8_t flags, double value);
void eet_kv_set_bool(eet_kv_builder *b, const char *key, uint8_t flags, bool value);
void eet_kv_set_string(eet_kv_builder *b, const char *key, uint8_t flags, const char *value);
void eet_kv_set_strings(eet_kv_builder *b, const char *key, uint8_t flags,
                        const char *const *values, uint32_t count);
/* The canonical bytes; free() *out. E_MEMORY, E_ARGUMENT. */
eet_status eet_kv_build(const eet_kv_builder *b, uint8_t **out, uint64_t *bytes, eet_error *err);

#endif
