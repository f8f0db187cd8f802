/* values.h - values of a .eet file as the commands show them. */
#ifndef EET_COMMANDS_VALUES_H
#define EET_COMMANDS_VALUES_H

#include <stdint.h>
#include <stdio.h>

#include "format/cli/json.h"
#include "format/container.h"

/* Sets a metadata value in `object`: numbers as numbers (a u64 beyond int64 as a
 * string of digits), bytes as hexadecimal digits. */
void eet_value_set(eet_json *object, const char *key, const eet_kv *entry);

/* The same as text on one line; control characters as \xNN, never cut. */
void eet_value_print(const eet_kv *entry, FILE *stream);

/* "[768, 2304]"; "[]" for a scalar. */
typedef struct eet_shape_text {
    char text[160];
} eet_shape_text;
const char *eet_shape_format(eet_shape_text *buffer, const eet_file_tensor *tensor);

/* XXH3-128 as xxhsum prints it: 32 digits, the high word first. */
const char *eet_xxh3_format(eet_shape_text *buffer, const uint8_t stored[16]);

/* Can elements of this dtype be read as numbers one by one? Not the packed and
 * the 8-bit floating dtypes. */
bool eet_element_readable(int32_t dtype);

/* Element `index` of `data` (at any alignment) in a readable dtype. */
double eet_element_read(const void *data, int32_t dtype, uint64_t index);

/* What the numbers of a tensor are like. */
typedef struct eet_statistics {
    uint64_t count, zeros, nans, infinities;
    double min, max, mean, deviation; /* of the finite ones; 0 when there are none */
} eet_statistics;
eet_statistics eet_statistics_of(const eet_file_tensor *tensor);

/* The NaNs and infinities of a tensor alone, fast, in every floating dtype; integers have
 * none. */
typedef struct eet_census {
    uint64_t nans, infinities;
} eet_census;
eet_census eet_census_of(const eet_file_tensor *tensor);

#endif
