/* types.h - what our own files do with the types of eet_types.h. */
#ifndef EET_FORMAT_TYPES_H
#define EET_FORMAT_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "eet_types.h"

/* "EET_E_CORRUPT"; "EET_E_INTERNAL" for a number that is no status. */
const char *eet_status_symbol(eet_status status);

/* The exit code of a command that ends with `status` (docs/commands.md). */
int eet_status_exit_code(eet_status status);

/* "bf16", or NULL for a number that is no dtype. */
const char *eet_dtype_name(eet_dtype dtype);

/* Bits of one element, or 0 for a number that is no dtype. */
uint32_t eet_dtype_bits(eet_dtype dtype);

/* Whole bytes of one element, or 0 for packed dtypes and unknown numbers. */
uint32_t eet_dtype_bytes(eet_dtype dtype);

/* The dtype called `name` ("f16"), or EET_DTYPE_NONE. */
eet_dtype eet_dtype_named(const char *name);

/* Records a failure in `err` (NULL is fine) and returns `status`, so that
 * `return eet_fail(...)` is the whole of an error path. A failure that is
 * already recorded is kept. Control characters and invalid UTF-8 that `fmt`
 * brings in are written as \xNN, text past the end is cut. */
eet_status eet_fail(eet_error *err, eet_status status, uint64_t offset, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* eet_fail for errno: EET_E_IO, for ENOMEM EET_E_MEMORY; appends ": " and the system's words for
 * `number`. */
eet_status eet_fail_errno(eet_error *err, int number, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the text recorded in `err`: who knows the noun
 * (a file's name) adds it. No-op when nothing is recorded. */
void eet_error_prefix(eet_error *err, const char *prefix);

/* Sets `err` to "nothing failed". */
void eet_error_clear(eet_error *err);

enum { EET_NAME_SHOWN = 96 };

/* `name` (length bytes, any bytes) as it may be shown: escaped as eet_fail
 * escapes, elided in the middle when longer than EET_NAME_SHOWN. Writes to
 * `buffer` and returns it. */
typedef struct eet_shown {
    char text[EET_NAME_SHOWN * 4 + 4];
} eet_shown;
const char *eet_show(eet_shown *buffer, const char *name, uint64_t length);

#endif
