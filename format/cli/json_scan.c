/* json_scan.c - finds in a JSON text what the parser behind json.c treats unlike us. */
#include "format/cli/json_scan.h"

#include <stdlib.h>
#include <string.h>

#include "format/checked.h"

static void skip_string(eet_json_scan *s) {
    s->at++;
    while (s->at < s->bytes && s->text[s->at] != '"') {
        s->at += s->text[s->at] == '\\' ? 2 : 1;
    }
    s->at++;
}

/* Moves past a number; true when it is an integer that int64 cannot hold. */
static bool skip_number(eet_json_scan *s) {
    const bool minus = s->text[s->at] == '-';
    int64_t value = 0;
    bool fits = true;
    bool whole = true;

    if (minus) {
        s->at++;
    }
    for (; s->at < s->bytes; s->at++) {
        const char c = s->text[s->at];

        if (c >= '0' && c <= '9') {
            const int digit = minus ? '0' - c : c - '0';

            fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
                   !__builtin_add_overflow(value, digit, &value);
        } else if (c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-') {
            whole = false;
        } else {
            break;
        }
    }
    return whole && !fits;
}

eet_json_stop eet_json_scan_next(eet_json_scan *s) {
    while (s->at < s->bytes) {
        const char c = s->text[s->at];

        if (c == '"') {
            skip_string(s);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            if (skip_number(s)) {
                return EET_JSON_SCAN_BIG;
            }
        } else {
            if (c == '[' || c == '{') {
                s->depth++;
            } else if (c == ']' || c == '}') {
                s->depth--;
            }
            if (s->depth > EET_JSON_DEPTH) {
                return EET_JSON_SCAN_DEEP;
            }
            s->at++;
        }
    }
    return EET_JSON_SCAN_END;
}

char *eet_json_with_reals(const char *text, uint64_t bytes, uint64_t count, uint64_t *copied) {
    eet_json_scan s = {.text = text, .bytes = bytes};
    uint64_t extra = 0;
    uint64_t total = 0;
    uint64_t from = 0;
    uint64_t used = 0;

    if (!eet_mul_u64(count, 2, &extra) || !eet_add_u64(bytes, extra, &total)) {
        return NULL;
    }
    char *copy = malloc(total);

    if (copy == NULL) {
        return NULL;
    }
    while (eet_json_scan_next(&s) == EET_JSON_SCAN_BIG) {
        memcpy(copy + used, text + from, s.at - from);
        used += s.at - from;
        memcpy(copy + used, "e0", 2);
        used += 2;
        from = s.at;
    }
    memcpy(copy + used, text + from, bytes - from);
    *copied = total;
    return copy;
}

uint64_t eet_json_original_offset(const char *text, uint64_t bytes, uint64_t offset) {
    eet_json_scan s = {.text = text, .bytes = bytes};
    uint64_t added = 0;

    while (eet_json_scan_next(&s) == EET_JSON_SCAN_BIG && s.at + added < offset) {
        added += 2;
    }
    return offset - added < bytes ? offset - added : bytes;
}
