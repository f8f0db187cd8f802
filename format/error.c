/* error.c - writes the caller's error object, and makes bytes of a file fit to
 * be shown on a terminal. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format/types.h"
#include "format/utf8.h"

/* Appends bytes, each as \xNN; false when one does not fit. */
static bool put_escaped(char *out, size_t room, size_t *used, const unsigned char *bytes,
                        size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (*used + 5 > room) {
            return false;
        }
        *used += (size_t)snprintf(out + *used, room - *used, "\\x%02X", bytes[i]);
    }
    return true;
}

/* Copies `bytes` of `text`, escaping what is not printable UTF-8. Always
 * terminates; cuts at a whole character. */
static void copy_shown(char *out, size_t room, const char *text, size_t bytes) {
    const unsigned char *at = (const unsigned char *)text;
    size_t used = 0;
    size_t i = 0;

    while (i < bytes) {
        uint32_t code = 0;
        const size_t length = eet_utf8_decode(at + i, bytes - i, &code);

        if (length == 0 || !eet_utf8_printable(code)) {
            const size_t wrong = length == 0 ? 1 : length;

            if (!put_escaped(out, room, &used, at + i, wrong)) {
                break;
            }
            i += wrong;
            continue;
        }
        if (used + length + 1 > room) {
            break;
        }
        memcpy(out + used, at + i, length);
        used += length;
        i += length;
    }
    out[used] = '\0';
}

static void record(eet_error *err, eet_status status, uint64_t offset, const char *text) {
    err->status = (int32_t)status;
    err->reserved = 0;
    err->offset = offset;
    copy_shown(err->text, sizeof err->text, text, strlen(text));
}

eet_status eet_fail(eet_error *err, eet_status status, uint64_t offset, const char *fmt, ...) {
    char text[2 * sizeof err->text];
    va_list args;

    if (err == NULL || err->status != EET_OK) {
        return status;
    }
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    record(err, status, offset, text);
    return status;
}

eet_status eet_fail_errno(eet_error *err, int number, const char *fmt, ...) {
    char text[2 * sizeof err->text];
    char reason[128] = "";
    va_list args;
    const eet_status status = number == ENOMEM ? EET_E_MEMORY : EET_E_IO;
    int length = 0;

    if (err == NULL || err->status != EET_OK) {
        return status;
    }
    va_start(args, fmt);
    length = vsnprintf(text, sizeof text - sizeof reason, fmt, args);
    va_end(args);
    if (length < 0) {
        length = 0;
    }
    if ((size_t)length > sizeof text - sizeof reason - 1) {
        length = (int)(sizeof text - sizeof reason - 1);
    }
    const char *words = strerror_r(number, reason, sizeof reason);

    (void)snprintf(text + length, sizeof text - (size_t)length, ": %s", words);
    record(err, status, EET_NOWHERE, text);
    return status;
}

void eet_error_prefix(eet_error *err, const char *prefix) {
    char text[2 * sizeof err->text];

    if (err == NULL || err->status == EET_OK) {
        return;
    }
    (void)snprintf(text, sizeof text, "%s: %s", prefix, err->text);
    copy_shown(err->text, sizeof err->text, text, strlen(text));
}

void eet_error_clear(eet_error *err) {
    if (err != NULL) {
        *err = (eet_error){.status = EET_OK, .offset = EET_NOWHERE};
    }
}

const char *eet_show(eet_shown *buffer, const char *name, uint64_t length) {
    enum { HALF = (EET_NAME_SHOWN - 3) / 2 };
    char joined[EET_NAME_SHOWN];

    if (length <= EET_NAME_SHOWN) {
        copy_shown(buffer->text, sizeof buffer->text, name, length);
        return buffer->text;
    }
    memcpy(joined, name, HALF);
    memcpy(joined + HALF, "...", 3);
    memcpy(joined + HALF + 3, name + length - HALF, HALF);
    copy_shown(buffer->text, sizeof buffer->text, joined, 2 * HALF + 3);
    return buffer->text;
}
