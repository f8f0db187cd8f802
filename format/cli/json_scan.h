/* json_scan.h - a look at a JSON text before it is parsed: nesting, and integers
 * that 64 bits cannot hold. It knows strings and numbers, and judges neither. */
#ifndef EET_CLI_JSON_SCAN_H
#define EET_CLI_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

enum { EET_JSON_DEPTH = 64 };

typedef enum eet_json_stop {
    EET_JSON_SCAN_END,
    EET_JSON_SCAN_DEEP, /* `at` is on the bracket that nests too deep */
    EET_JSON_SCAN_BIG   /* `at` is behind an integer beyond int64 */
} eet_json_stop;

typedef struct eet_json_scan {
    const char *text;
    uint64_t bytes;
    uint64_t at;
    int depth;
} eet_json_scan;

/* Runs to the next stop. */
eet_json_stop eet_json_scan_next(eet_json_scan *s);

/* A copy of the text in which its `count` big integers end in e0: reals. To be
 * freed; NULL without memory. */
char *eet_json_with_reals(const char *text, uint64_t bytes, uint64_t count, uint64_t *copied);

/* The offset in `text` of what lies at `offset` of that copy. */
uint64_t eet_json_original_offset(const char *text, uint64_t bytes, uint64_t offset);

#endif
