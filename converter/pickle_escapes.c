/* pickle_escapes.c - the two opcodes whose strings are written with backslashes. */
#include <string.h>

#include "converter/pickle_machine.h"

/* `digits` hexadecimal digits; false when there are fewer. */
static bool read_hex(const char *text, uint64_t bytes, unsigned digits, uint32_t *value) {
    uint32_t sum = 0;

    if (bytes < digits) {
        return false;
    }
    for (unsigned i = 0; i < digits; i++) {
        const char c = text[i];
        uint32_t digit = 16;

        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a') + 10;
        }
        if (digit > 15) {
            return false;
        }
        sum = 16 * sum + digit;
    }
    *value = sum;
    return true;
}

/* UTF-8 of a code point, surrogates too: Python keeps them. */
static uint64_t write_code(char *out, uint32_t code) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* An escape of a repr() at text[0] == '\\': the bytes read, 0 when it is none, and the
 * byte it stands for. */
static uint64_t read_escape(const char *text, uint64_t bytes, char *out) {
    static const char names[] = "\\'\"abfnrtv";
    static const char values[] = "\\'\"\a\b\f\n\r\t\v";
    uint32_t value = 0;
    uint64_t used = 1;

    if (bytes < 2) {
        return 0;
    }
    const char *known = text[1] == '\0' ? NULL : strchr(names, text[1]);

    if (known != NULL) {
        *out = values[known - names];
        return 2;
    }
    if (text[1] == 'x' && read_hex(text + 2, bytes - 2, 2, &value)) {
        *out = (char)value;
        return 4;
    }
    while (used < bytes && used < 4 && text[used] >= '0' && text[used] <= '7') {
        value = 8 * value + (uint32_t)(text[used] - '0');
        used++;
    }
    *out = (char)value;
    return used > 1 && value < 256 ? used : 0;
}

/* The repr() of a Python 2 string: in quotes of one kind, escapes inside. */
eet_status eet_pickle_op_string(eet_machine *m) {
    const char *text = NULL;
    void *room = NULL;
    uint64_t bytes = 0;
    uint64_t length = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status != EET_OK) {
        return status;
    }
    if (bytes < 2 || (text[0] != '\'' && text[0] != '"') || text[bytes - 1] != text[0]) {
        return eet_pickle_corrupt(m, "STRING without quotes");
    }
    text++;
    bytes -= 2;
    if (memchr(text, '\\', (size_t)bytes) == NULL) {
        return eet_pickle_push_python2(m, text, bytes);
    }
    status = eet_pickle_allocate(m, bytes, &room);
    for (uint64_t i = 0; status == EET_OK && i < bytes; length++) {
        char *out = (char *)room + length;
        const uint64_t used = text[i] == '\\' ? read_escape(text + i, bytes - i, out) : 1;

        if (used == 0) {
            return eet_pickle_corrupt(m, "STRING with a broken escape");
        }
        if (text[i] != '\\') {
            *out = text[i];
        }
        i += used;
    }
    return status == EET_OK ? eet_pickle_push_python2(m, room, length) : status;
}

/* raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX. */
eet_status eet_pickle_op_unicode(eet_machine *m) {
    const char *text = NULL;
    void *room = NULL;
    uint64_t bytes = 0;
    uint64_t length = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status == EET_OK && bytes > m->limits->string_bytes) {
        return eet_pickle_over(m, "bytes in one string", m->limits->string_bytes);
    }
    if (status == EET_OK) {
        status = eet_pickle_allocate(m, 2 * bytes, &room); /* a Latin-1 byte may become two */
    }
    for (uint64_t i = 0; status == EET_OK && i < bytes;) {
        const int next = i + 1 < bytes ? text[i + 1] : '\0';
        const unsigned digits = text[i] != '\\' ? 0 : next == 'u' ? 4 : next == 'U' ? 8 : 0;
        uint32_t code = (unsigned char)text[i];

        if (digits > 0 &&
            (!read_hex(text + i + 2, bytes - i - 2, digits, &code) || code > 0x10FFFF)) {
            return eet_pickle_corrupt(m, "UNICODE with a broken escape");
        }
        i += digits > 0 ? digits + 2 : 1;
        length += write_code((char *)room + length, code);
    }
    return status == EET_OK ? eet_pickle_push_text(m, room, length) : status;
}
