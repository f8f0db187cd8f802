/* json.c - JSON in and out, on jansson.
 *
 * jansson parses; what it does not promise json_scan.c looks at before: nesting,
 * and integers beyond 64 bits, which become reals (files in the wild hold
 * 10^30 as "no limit"). Writing is our own: control characters and bidirectional
 * marks never reach a terminal raw, and a real has as few digits as name it. */
#include "format/cli/json.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/json_scan.h"
#include "format/utf8.h"

enum { INDENT = 2 };

/* ---- reading ------------------------------------------------------------ */

/* jansson stops behind the token at fault and quotes it when it is short. In a
 * string that is not closed the fault is where it stopped. */
static uint64_t fault_offset(const json_error_t *e) {
    static const char near[] = " near '";
    const char *quoted = strstr(e->text, near);
    const uint64_t at = e->position > 0 ? (uint64_t)e->position : 0;
    uint64_t back = 0;

    if (quoted != NULL) {
        const char *token = quoted + strlen(near);
        const size_t length = strlen(token) - 1;
        const bool open = token[0] == '"' && (length == 1 || token[length - 1] != '"');

        back = open ? 0 : length;
    }
    return at > back ? at - back : 0;
}

static eet_status parse_failed(const json_error_t *e, uint64_t offset, eet_error *err) {
    if (e->text[0] == '\0' || json_error_code(e) == json_error_out_of_memory) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "not enough memory for the JSON text");
    }
    return eet_fail(err, EET_E_CORRUPT, offset, "wrong JSON in line %d: %s", e->line, e->text);
}

eet_status eet_json_parse(const char *text, uint64_t bytes, eet_json **out, eet_error *err) {
    eet_json_scan s = {.text = text, .bytes = bytes};
    eet_json_stop stop = EET_JSON_SCAN_END;
    json_error_t e = {.line = 0};
    uint64_t big = 0;

    const char *nul = bytes == 0 ? NULL : memchr(text, 0, bytes);

    if (nul != NULL) {
        return eet_fail(err, EET_E_CORRUPT, (uint64_t)(nul - text), "wrong JSON: a NUL byte");
    }
    while ((stop = eet_json_scan_next(&s)) == EET_JSON_SCAN_BIG) {
        big++;
    }
    if (stop == EET_JSON_SCAN_DEEP) {
        return eet_fail(err, EET_E_LIMIT, s.at, "JSON nested more than %d deep", EET_JSON_DEPTH);
    }
    const char *from = text;
    uint64_t length = bytes;
    char *copy = NULL;

    if (big != 0) {
        copy = eet_json_with_reals(text, bytes, big, &length);
        from = copy;
    }
    if (from == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "not enough memory for the JSON text");
    }
    json_t *root = json_loadb(from, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

    free(copy);
    if (root == NULL) {
        return parse_failed(&e, eet_json_original_offset(text, bytes, fault_offset(&e)), err);
    }
    *out = (eet_json *)root;
    return EET_OK;
}

void eet_json_free(eet_json *root) {
    json_decref((json_t *)root);
}

/* ---- looking ------------------------------------------------------------ */

eet_json_kind eet_json_kind_of(const eet_json *value) {
    const json_t *v = (const json_t *)value;

    if (v == NULL) {
        return EET_JSON_NULL;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return EET_JSON_OBJECT;
    case JSON_ARRAY:
        return EET_JSON_ARRAY;
    case JSON_STRING:
        return EET_JSON_STRING;
    case JSON_INTEGER:
        return EET_JSON_INTEGER;
    case JSON_REAL:
        return EET_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return EET_JSON_BOOL;
    case JSON_NULL:
    default:
        return EET_JSON_NULL;
    }
}

const char *eet_json_kind_name(eet_json_kind kind) {
    static const char *const names[] = {"null",     "a boolean", "an integer", "a number",
                                        "a string", "an array",  "an object"};

    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "nothing";
}

bool eet_json_as_bool(const eet_json *value, bool *out) {
    if (eet_json_kind_of(value) != EET_JSON_BOOL) {
        return false;
    }
    *out = json_is_true((const json_t *)value);
    return true;
}

bool eet_json_as_integer(const eet_json *value, int64_t *out) {
    if (eet_json_kind_of(value) != EET_JSON_INTEGER) {
        return false;
    }
    *out = json_integer_value((const json_t *)value);
    return true;
}

bool eet_json_as_real(const eet_json *value, double *out) {
    const eet_json_kind kind = eet_json_kind_of(value);

    if (kind != EET_JSON_INTEGER && kind != EET_JSON_REAL) {
        return false;
    }
    *out = json_number_value((const json_t *)value);
    return true;
}

const char *eet_json_as_string(const eet_json *value, uint64_t *bytes) {
    if (bytes != NULL && eet_json_kind_of(value) == EET_JSON_STRING) {
        *bytes = json_string_length((const json_t *)value);
    }
    return json_string_value((const json_t *)value);
}

uint64_t eet_json_length(const eet_json *value) {
    const json_t *v = (const json_t *)value;

    return json_is_array(v) ? json_array_size(v) : json_object_size(v);
}

const eet_json *eet_json_item(const eet_json *array, uint64_t index) {
    return (const eet_json *)json_array_get((const json_t *)array, index);
}

const eet_json *eet_json_get(const eet_json *object, const char *key) {
    return (const eet_json *)json_object_get((const json_t *)object, key);
}

eet_json_iterator eet_json_members(const eet_json *object) {
    return (eet_json_iterator){.object = object, .at = json_object_iter((json_t *)object)};
}

bool eet_json_next(eet_json_iterator *it, const char **key, uint64_t *key_bytes,
                   const eet_json **value) {
    if (it->at == NULL) {
        return false;
    }
    *key = json_object_iter_key(it->at);
    if (key_bytes != NULL) {
        *key_bytes = json_object_iter_key_len(it->at);
    }
    *value = (const eet_json *)json_object_iter_value(it->at);
    it->at = json_object_iter_next((json_t *)it->object, it->at);
    return true;
}

/* ---- building ----------------------------------------------------------- */

/* A container belongs to one owner; a second reference is the mark of an
 * allocation that failed inside it, and needs no memory to set. */
static void mark_failed(json_t *container) {
    if (container->refcount == 1) {
        json_incref(container);
    }
}

/* Takes the marks off below `value`; true when there was one. */
static bool clear_marks(json_t *value) {
    bool failed = false;
    const char *key = NULL;
    json_t *item = NULL;
    size_t i = 0;

    if (json_is_object(value)) {
        json_object_foreach(value, key, item) {
            failed = clear_marks(item) || failed;
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            failed = clear_marks(item) || failed;
        }
    } else {
        return false;
    }
    if (value->refcount > 1) {
        json_decref(value);
        failed = true;
    }
    return failed;
}

/* `text` in valid UTF-8, to be freed; NULL without memory. */
static char *make_valid(const char *text, size_t *length) {
    const unsigned char *at = (const unsigned char *)text;
    const size_t bytes = strlen(text);
    char *copy = malloc(3 * bytes + 1);
    size_t used = 0;
    size_t i = 0;

    if (copy == NULL) {
        return NULL;
    }
    while (i < bytes) {
        uint32_t code = 0;
        const size_t n = eet_utf8_decode(at + i, bytes - i, &code);

        memcpy(copy + used, n == 0 ? "\xEF\xBF\xBD" : text + i, n == 0 ? 3 : n);
        used += n == 0 ? 3 : n;
        i += n == 0 ? 1 : n;
    }
    copy[used] = '\0';
    *length = used;
    return copy;
}

static json_t *make_string(const char *text) {
    size_t length = 0;

    if (text == NULL) {
        return json_null();
    }
    char *copy = make_valid(text, &length);

    if (copy == NULL) {
        return NULL;
    }
    json_t *string = json_stringn(copy, length);

    free(copy);
    return string;
}

static json_t *make_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

eet_json *eet_json_object(void) {
    return (eet_json *)json_object();
}

eet_json *eet_json_array(void) {
    return (eet_json *)json_array();
}

void eet_json_set(eet_json *object, const char *key, eet_json *value) {
    json_t *o = (json_t *)object;
    size_t length = 0;

    if (o == NULL) {
        json_decref((json_t *)value);
        return;
    }
    char *name = make_valid(key, &length);

    if (name == NULL) {
        json_decref((json_t *)value);
        mark_failed(o);
        return;
    }
    if (json_object_setn_new(o, name, length, (json_t *)value) != 0) {
        mark_failed(o);
    }
    free(name);
}

void eet_json_set_string(eet_json *object, const char *key, const char *value) {
    eet_json_set(object, key, (eet_json *)make_string(value));
}

void eet_json_set_integer(eet_json *object, const char *key, int64_t value) {
    eet_json_set(object, key, (eet_json *)json_integer(value));
}

void eet_json_set_real(eet_json *object, const char *key, double value) {
    eet_json_set(object, key, (eet_json *)make_real(value));
}

void eet_json_set_bool(eet_json *object, const char *key, bool value) {
    eet_json_set(object, key, (eet_json *)json_boolean(value));
}

void eet_json_append(eet_json *array, eet_json *value) {
    json_t *a = (json_t *)array;

    if (a == NULL) {
        json_decref((json_t *)value);
    } else if (json_array_append_new(a, (json_t *)value) != 0) {
        mark_failed(a);
    }
}

void eet_json_append_string(eet_json *array, const char *value) {
    eet_json_append(array, (eet_json *)make_string(value));
}

void eet_json_append_integer(eet_json *array, int64_t value) {
    eet_json_append(array, (eet_json *)json_integer(value));
}

void eet_json_append_real(eet_json *array, double value) {
    eet_json_append(array, (eet_json *)make_real(value));
}

/* ---- writing ------------------------------------------------------------ */

static void put_code(FILE *stream, uint32_t code) {
    if (code >= 0x10000) {
        (void)fprintf(stream, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                      0xDC00 + ((code - 0x10000) & 0x3FF));
    } else {
        (void)fprintf(stream, "\\u%04x", code);
    }
}

static void put_string(FILE *stream, const char *text, size_t bytes) {
    const unsigned char *at = (const unsigned char *)text;
    size_t i = 0;

    (void)fputc('"', stream);
    while (i < bytes) {
        uint32_t code = 0;
        const size_t n = eet_utf8_decode(at + i, bytes - i, &code);

        if (n == 0) { /* a string that jansson made is valid */
            break;
        }
        if (code == '"' || code == '\\') {
            (void)fprintf(stream, "\\%c", (int)code);
        } else if (code == '\n') {
            (void)fputs("\\n", stream);
        } else if (code == '\t') {
            (void)fputs("\\t", stream);
        } else if (!eet_utf8_printable(code)) {
            put_code(stream, code);
        } else {
            (void)fwrite(text + i, 1, n, stream);
        }
        i += n;
    }
    (void)fputc('"', stream);
}

/* The fewest digits that read back as `value`; always with a point or exponent. */
static void put_real(FILE *stream, double value) {
    char text[40];

    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    (void)fprintf(stream, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

static bool is_container(const json_t *value) {
    return json_is_object(value) || json_is_array(value);
}

/* Objects and what holds objects are spread over lines; a list of numbers is not. */
static bool is_spread(const json_t *value, bool one_line) {
    size_t i = 0;
    json_t *item = NULL;

    if (one_line) {
        return false;
    }
    json_array_foreach(value, i, item) {
        if (is_container(item)) {
            return true;
        }
    }
    return json_is_object(value) && json_object_size(value) > 0;
}

static void put_break(FILE *stream, bool spread, bool first, int depth) {
    if (!first) {
        (void)fputs(spread ? "," : ", ", stream);
    }
    if (spread) {
        (void)fprintf(stream, "\n%*s", depth * INDENT, "");
    }
}

static void put_value(FILE *stream, const json_t *value, bool one_line, int depth);

static void put_container(FILE *stream, const json_t *value, bool one_line, int depth) {
    const bool spread = is_spread(value, one_line);
    const bool object = json_is_object(value);
    eet_json_iterator it = eet_json_members((const eet_json *)value);
    const char *key = NULL;
    uint64_t key_bytes = 0;
    const eet_json *member = NULL;

    (void)fputc(object ? '{' : '[', stream);
    for (bool first = true; eet_json_next(&it, &key, &key_bytes, &member); first = false) {
        put_break(stream, spread, first, depth + 1);
        put_string(stream, key, key_bytes);
        (void)fputs(": ", stream);
        put_value(stream, (const json_t *)member, one_line, depth + 1);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        put_break(stream, spread, i == 0, depth + 1);
        put_value(stream, json_array_get(value, i), one_line, depth + 1);
    }
    put_break(stream, spread, true, depth);
    (void)fputc(object ? '}' : ']', stream);
}

static void put_value(FILE *stream, const json_t *value, bool one_line, int depth) {
    switch (eet_json_kind_of((const eet_json *)value)) {
    case EET_JSON_NULL:
        (void)fputs("null", stream);
        break;
    case EET_JSON_BOOL:
        (void)fputs(json_is_true(value) ? "true" : "false", stream);
        break;
    case EET_JSON_INTEGER:
        (void)fprintf(stream, "%" PRId64, (int64_t)json_integer_value(value));
        break;
    case EET_JSON_REAL:
        put_real(stream, json_real_value(value));
        break;
    case EET_JSON_STRING:
        put_string(stream, json_string_value(value), json_string_length(value));
        break;
    case EET_JSON_ARRAY:
    case EET_JSON_OBJECT:
        put_container(stream, value, one_line, depth);
        break;
    }
}

eet_status eet_json_check(eet_json *root, eet_error *err) {
    if (root == NULL || clear_marks((json_t *)root)) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "not enough memory for the JSON output");
    }
    return EET_OK;
}

eet_status eet_json_write(eet_json *root, FILE *stream, bool one_line, eet_error *err) {
    json_t *r = (json_t *)root;
    const eet_status status = eet_json_check(root, err);

    if (status != EET_OK) {
        json_decref(r);
        return status;
    }
    put_value(stream, r, one_line, 0);
    (void)fputc('\n', stream);
    json_decref(r);
    if (fflush(stream) != 0 || ferror(stream) != 0) {
        return eet_fail_errno(err, errno, "cannot write the JSON output");
    }
    return EET_OK;
}
