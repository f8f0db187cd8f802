/* utf8.c - strict UTF-8, and which characters may be shown. */
#include "format/utf8.h"

size_t eet_utf8_decode(const unsigned char *at, size_t room, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char lead = room > 0 ? at[0] : 0xFF;
    size_t length = 0;
    uint32_t value = 0;

    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    if (lead >= 0xC2 && lead < 0xE0) {
        length = 2;
        value = lead & 0x1FU;
    } else if (lead >= 0xE0 && lead < 0xF0) {
        length = 3;
        value = lead & 0x0FU;
    } else if (lead >= 0xF0 && lead < 0xF5) {
        length = 4;
        value = lead & 0x07U;
    }
    if (length == 0 || length > room) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
        value = value << 6 | (at[i] & 0x3FU);
    }
    if (value < least[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
        return 0;
    }
    *code = value;
    return length;
}

bool eet_utf8_printable(uint32_t code) {
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
        return false; /* C0, DEL, C1 */
    }
    if ((code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
        (code >= 0x2060 && code <= 0x206F)) {
        return false; /* zero-width, separators, bidirectional controls */
    }
    return code != 0xFEFF && code != 0x061C && !(code >= 0xFFF9 && code <= 0xFFFF) &&
           !(code >= 0xE0000 && code <= 0xE0FFF);
}

bool eet_utf8_valid(const char *text, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes;) {
        uint32_t code = 0;
        const size_t length = eet_utf8_decode((const unsigned char *)text + i, bytes - i, &code);

        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

bool eet_utf8_clean(const char *text, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes;) {
        uint32_t code = 0;
        const size_t length = eet_utf8_decode((const unsigned char *)text + i, bytes - i, &code);

        if (length == 0 || !eet_utf8_printable(code)) {
            return false;
        }
        i += length;
    }
    return true;
}
