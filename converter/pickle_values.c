/* pickle_values.c - the opcodes that make numbers and strings. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "converter/pickle_machine.h"
#include "format/utf8.h"

eet_status eet_pickle_op_none(eet_machine *m) {
    return eet_pickle_push(m, &m->pickle->none);
}

eet_status eet_pickle_op_newtrue(eet_machine *m) {
    return eet_pickle_push(m, &m->pickle->yes);
}

eet_status eet_pickle_op_newfalse(eet_machine *m) {
    return eet_pickle_push(m, &m->pickle->no);
}

static eet_status push_int(eet_machine *m, int64_t value) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, EET_PICKLE_INT, &made);

    if (status != EET_OK) {
        return status;
    }
    made->a.integer = value;
    return eet_pickle_push(m, made);
}

static eet_status push_float(eet_machine *m, double value) {
    eet_pickle_node *made = NULL;
    eet_status status = eet_pickle_node_make(m, EET_PICKLE_FLOAT, &made);

    if (status != EET_OK) {
        return status;
    }
    made->a.real = value;
    return eet_pickle_push(m, made);
}

static eet_status push_string(eet_machine *m, eet_pickle_kind kind, const char *text,
                              uint64_t bytes) {
    eet_pickle_node *made = NULL;
    eet_status status = EET_OK;

    if (bytes > m->limits->string_bytes) {
        return eet_pickle_over(m, "bytes in one string", m->limits->string_bytes);
    }
    status = eet_pickle_node_make(m, kind, &made);
    if (status != EET_OK) {
        return status;
    }
    made->a.text = text;
    made->count = (uint32_t)bytes;
    return eet_pickle_push(m, made);
}

eet_status eet_pickle_push_bytes(eet_machine *m, const char *text, uint64_t bytes) {
    return push_string(m, EET_PICKLE_BYTES, text, bytes);
}

/* Valid but for lone surrogates, which Python writes in three bytes each? */
static bool is_python_text(const char *text, uint64_t bytes) {
    const unsigned char *at = (const unsigned char *)text;
    uint64_t i = 0;

    while (i < bytes) {
        uint32_t code = 0;
        size_t length = eet_utf8_decode(at + i, (size_t)(bytes - i), &code);

        if (length == 0 && bytes - i >= 3 && at[i] == 0xED && (at[i + 1] & 0xE0) == 0xA0 &&
            (at[i + 2] & 0xC0) == 0x80) {
            length = 3;
        }
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

eet_status eet_pickle_push_text(eet_machine *m, const char *text, uint64_t bytes) {
    if (!is_python_text(text, bytes)) {
        return eet_pickle_corrupt(m, "%s is not UTF-8", m->op_name);
    }
    return push_string(m, EET_PICKLE_TEXT, text, bytes);
}

/* Python 2 knew one kind of string for text and bytes. */
eet_status eet_pickle_push_python2(eet_machine *m, const char *text, uint64_t bytes) {
    return push_string(m, eet_utf8_valid(text, bytes) ? EET_PICKLE_TEXT : EET_PICKLE_BYTES, text,
                       bytes);
}

static eet_status push_little(eet_machine *m, unsigned width, bool is_signed) {
    uint64_t value = 0;
    eet_status status = eet_pickle_take_number(m, width, &value);

    if (status != EET_OK) {
        return status;
    }
    return push_int(m, is_signed ? (int64_t)(int32_t)(uint32_t)value : (int64_t)value);
}

eet_status eet_pickle_op_binint(eet_machine *m) {
    return push_little(m, 4, true);
}

eet_status eet_pickle_op_binint1(eet_machine *m) {
    return push_little(m, 1, false);
}

eet_status eet_pickle_op_binint2(eet_machine *m) {
    return push_little(m, 2, false);
}

/* Two's complement, little-endian, of any length. */
static eet_status push_long(eet_machine *m, const char *text, uint64_t bytes) {
    uint64_t value = 0;

    if (bytes > 8) {
        return push_string(m, EET_PICKLE_BIG, text, bytes);
    }
    for (uint64_t i = 0; i < bytes; i++) {
        value |= (uint64_t)(unsigned char)text[i] << (8 * i);
    }
    if (bytes > 0 && bytes < 8 && ((unsigned char)text[bytes - 1] & 0x80) != 0) {
        value |= UINT64_MAX << (8 * bytes);
    }
    return push_int(m, (int64_t)value);
}

static eet_status long_of(eet_machine *m, unsigned width) {
    const char *text = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_string(m, width, &text, &bytes);

    return status == EET_OK ? push_long(m, text, bytes) : status;
}

eet_status eet_pickle_op_long1(eet_machine *m) {
    return long_of(m, 1);
}

eet_status eet_pickle_op_long4(eet_machine *m) {
    return long_of(m, 4);
}

/* [+-]digits; *fits says whether it is within 64 bits. */
static bool read_decimal(const char *text, uint64_t bytes, int64_t *value, bool *fits) {
    const bool negative = bytes > 0 && text[0] == '-';
    uint64_t i = bytes > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    int64_t sum = 0;
    bool ok = true;

    if (i == bytes) {
        return false;
    }
    for (; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        const int64_t digit = negative ? '0' - text[i] : text[i] - '0';

        ok = ok && !__builtin_mul_overflow(sum, 10, &sum) &&
             !__builtin_add_overflow(sum, digit, &sum);
    }
    *value = sum;
    *fits = ok;
    return true;
}

static eet_status push_decimal(eet_machine *m, const char *text, uint64_t bytes) {
    int64_t value = 0;
    bool fits = false;

    if (!read_decimal(text, bytes, &value, &fits)) {
        return eet_pickle_corrupt(m, "%s of no number", m->op_name);
    }
    return fits ? push_int(m, value) : push_string(m, EET_PICKLE_BIG, text, bytes);
}

/* Before protocol 2 booleans are the integers 00 and 01. */
eet_status eet_pickle_op_int(eet_machine *m) {
    const char *text = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status != EET_OK) {
        return status;
    }
    if (bytes == 2 && text[0] == '0' && (text[1] == '0' || text[1] == '1')) {
        return eet_pickle_push(m, text[1] == '1' ? &m->pickle->yes : &m->pickle->no);
    }
    return push_decimal(m, text, bytes);
}

eet_status eet_pickle_op_long(eet_machine *m) {
    const char *text = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status == EET_OK) {
        bytes -= bytes > 0 && text[bytes - 1] == 'L' ? 1 : 0;
        status = push_decimal(m, text, bytes);
    }
    return status;
}

static uint64_t count_digits(const char *text, uint64_t at) {
    uint64_t count = 0;

    while (text[at + count] >= '0' && text[at + count] <= '9') {
        count++;
    }
    return count;
}

/* [+-](nan | inf | digits[.digits][e[+-]digits]), as Python writes floats. */
static bool is_float(const char *text) {
    uint64_t i = text[0] == '-' || text[0] == '+' ? 1 : 0;

    if (strcmp(text + i, "nan") == 0 || strcmp(text + i, "inf") == 0) {
        return true;
    }
    uint64_t digits = count_digits(text, i);

    i += digits;
    if (text[i] == '.') {
        const uint64_t more = count_digits(text, i + 1);

        digits += more;
        i += more + 1;
    }
    if (digits > 0 && (text[i] == 'e' || text[i] == 'E')) {
        i += text[i + 1] == '-' || text[i + 1] == '+' ? 2 : 1;
        digits = count_digits(text, i);
        i += digits;
    }
    return digits > 0 && text[i] == '\0';
}

/* strtod reads what the locale says; this reads what Python wrote. */
eet_status eet_pickle_op_float(eet_machine *m) {
    char copy[512] = {0};
    const char *text = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_line(m, &text, &bytes);

    if (status != EET_OK) {
        return status;
    }
    if (bytes < sizeof copy && memchr(text, 0, (size_t)bytes) == NULL) {
        memcpy(copy, text, (size_t)bytes);
    }
    if (!is_float(copy)) {
        return eet_pickle_corrupt(m, "FLOAT of no number");
    }
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);

    if (plain == (locale_t)0) {
        return eet_pickle_no_memory(m);
    }
    const double value = strtod_l(copy, NULL, plain);

    freelocale(plain);
    return push_float(m, value);
}

eet_status eet_pickle_op_binfloat(eet_machine *m) {
    const uint8_t *at = NULL;
    uint64_t bits = 0;
    double value = 0;
    eet_status status = eet_pickle_take(m, 8, &at);

    if (status != EET_OK) {
        return status;
    }
    for (int i = 0; i < 8; i++) {
        bits = bits << 8 | at[i];
    }
    memcpy(&value, &bits, sizeof value);
    return push_float(m, value);
}

typedef eet_status (*string_push)(eet_machine *m, const char *text, uint64_t bytes);

static eet_status string_of(eet_machine *m, unsigned width, string_push push) {
    const char *text = NULL;
    uint64_t bytes = 0;
    eet_status status = eet_pickle_take_string(m, width, &text, &bytes);

    return status == EET_OK ? push(m, text, bytes) : status;
}

eet_status eet_pickle_op_binstring(eet_machine *m) {
    return string_of(m, 4, eet_pickle_push_python2);
}

eet_status eet_pickle_op_short_binstring(eet_machine *m) {
    return string_of(m, 1, eet_pickle_push_python2);
}

eet_status eet_pickle_op_binunicode(eet_machine *m) {
    return string_of(m, 4, eet_pickle_push_text);
}

eet_status eet_pickle_op_short_binunicode(eet_machine *m) {
    return string_of(m, 1, eet_pickle_push_text);
}

eet_status eet_pickle_op_binunicode8(eet_machine *m) {
    return string_of(m, 8, eet_pickle_push_text);
}

eet_status eet_pickle_op_binbytes(eet_machine *m) {
    return string_of(m, 4, eet_pickle_push_bytes);
}

eet_status eet_pickle_op_short_binbytes(eet_machine *m) {
    return string_of(m, 1, eet_pickle_push_bytes);
}

eet_status eet_pickle_op_binbytes8(eet_machine *m) {
    return string_of(m, 8, eet_pickle_push_bytes);
}
