/* json.h - JSON in and out; json.c is the one file that knows jansson.
 *
 * Reading is strict: UTF-8, one document, no duplicate keys, no NUL in strings,
 * nesting <= 64. Objects keep the order they were read or built in.
 * A tree is owned by its root: eet_json_free(root) frees it all. */
#ifndef EET_CLI_JSON_H
#define EET_CLI_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "format/types.h"

typedef struct eet_json eet_json;

typedef enum eet_json_kind {
    EET_JSON_NULL,
    EET_JSON_BOOL,
    EET_JSON_INTEGER, /* written without point and exponent, fits int64 */
    EET_JSON_REAL,
    EET_JSON_STRING,
    EET_JSON_ARRAY,
    EET_JSON_OBJECT
} eet_json_kind;

/* Parses `bytes` of `text`. An error's offset is the byte at fault; E_CORRUPT,
 * E_LIMIT (depth), E_MEMORY. */
eet_status eet_json_parse(const char *text, uint64_t bytes, eet_json **out, eet_error *err);
void eet_json_free(eet_json *root); /* NULL is fine; roots only */

eet_json_kind eet_json_kind_of(const eet_json *value);
const char *eet_json_kind_name(eet_json_kind kind); /* "an integer" */

/* Typed looks at a value: false when it is of another kind. */
bool eet_json_as_bool(const eet_json *value, bool *out);
bool eet_json_as_integer(const eet_json *value, int64_t *out);
bool eet_json_as_real(const eet_json *value, double *out); /* an integer or a real */
const char *eet_json_as_string(const eet_json *value,
                               uint64_t *bytes); /* NULL: no string; bytes may be NULL */

uint64_t eet_json_length(const eet_json *value); /* of an array or object; else 0 */
const eet_json *eet_json_item(const eet_json *array, uint64_t index);
const eet_json *eet_json_get(const eet_json *object,
                             const char *key); /* NULL: absent or no object */
/* The index-th member in order; iterate 0..length-1 in ascending order: O(1) each. */
typedef struct eet_json_iterator {
    const eet_json *object;
    void *at;
} eet_json_iterator;
eet_json_iterator eet_json_members(const eet_json *object);
bool eet_json_next(eet_json_iterator *it, const char **key, uint64_t *key_bytes,
                   const eet_json **value);

/* Building. A failed allocation makes the whole tree NULL at eet_json_write,
 * so that builders need no checks: every setter accepts NULL. Strings that are
 * not UTF-8 are written with U+FFFD. */
eet_json *eet_json_object(void);
eet_json *eet_json_array(void);
void eet_json_set_string(eet_json *object, const char *key, const char *value); /* NULL -> null */
void eet_json_set_integer(eet_json *object, const char *key, int64_t value);
void eet_json_set_real(eet_json *object, const char *key, double value); /* not finite -> null */
void eet_json_set_bool(eet_json *object, const char *key, bool value);
void eet_json_set(eet_json *object, const char *key, eet_json *value); /* takes `value` */
void eet_json_append_string(eet_json *array, const char *value);
void eet_json_append_integer(eet_json *array, int64_t value);
void eet_json_append_real(eet_json *array, double value);
void eet_json_append(eet_json *array, eet_json *value); /* takes `value` */

/* E_MEMORY when building ran out: for who reads a tree that was built. It may be freed then, and
 * nothing else. */
eet_status eet_json_check(eet_json *root, eet_error *err);

/* Writes the document, then a newline: indented, or on one line. Frees `root`.
 * E_MEMORY when building ran out, E_IO when the stream did. */
eet_status eet_json_write(eet_json *root, FILE *stream, bool one_line, eet_error *err);

#endif
