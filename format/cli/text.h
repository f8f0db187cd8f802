/* text.h - numbers and tables as the commands print them. */
#ifndef EET_CLI_TEXT_H
#define EET_CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eet_types.h"

/* "497.8 MiB", "12.0 KiB", "17 B". */
typedef struct eet_size_text {
    char text[24];
} eet_size_text;
const char *eet_format_size(eet_size_text *buffer, uint64_t bytes);

/* 64 hex digits of a SHA-256, lower case. */
typedef struct eet_hex_text {
    char text[65];
} eet_hex_text;
const char *eet_format_sha256(eet_hex_text *buffer, const uint8_t digest[32]);

/* An aligned table: give a header row and rows, then end it. Cells are copied. What has no memory,
 * a cell of NULL too, shows at the end: then nothing is printed. */
typedef struct eet_table eet_table;
eet_table *eet_table_create(int32_t columns, const char *const *header, const bool *right);
void eet_table_row(eet_table *table, const char *const *cells);
eet_status eet_table_end(eet_table *table, FILE *stream, eet_error *err); /* prints, frees */

/* A progress line with rate and ETA on stderr: only when stderr is a terminal,
 * TERM is not dumb and `quiet` is false; otherwise every call does nothing. */
typedef struct eet_progress eet_progress;
eet_progress *eet_progress_begin(const char *noun, uint64_t total_items, uint64_t total_bytes,
                                 bool quiet);
void eet_progress_step(eet_progress *progress, uint64_t items, uint64_t bytes); /* done so far */
void eet_progress_end(eet_progress *progress); /* wipes the line; NULL is fine */

#endif
