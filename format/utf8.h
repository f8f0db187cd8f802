/* utf8.h - decodes UTF-8 strictly (RFC 3629: no overlong forms, no surrogates). */
#ifndef EET_FORMAT_UTF8_H
#define EET_FORMAT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at `at`, 1..4, and its code point; 0 when invalid. */
size_t eet_utf8_decode(const unsigned char *at, size_t room, uint32_t *code);

/* May this code point reach a terminal? No C0, C1, DEL, bidirectional controls,
 * line separators, byte-order mark or private tags. */
bool eet_utf8_printable(uint32_t code);

/* Is all of `text` valid UTF-8? */
bool eet_utf8_valid(const char *text, uint64_t bytes);

/* Valid, and every character printable? */
bool eet_utf8_clean(const char *text, uint64_t bytes);

#endif
