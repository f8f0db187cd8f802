/* config_internal.h - what config.c and config_values.c share. */
#ifndef EET_CONVERTER_CONFIG_INTERNAL_H
#define EET_CONVERTER_CONFIG_INTERNAL_H

#include "converter/config.h"
#include "format/facts_table.h"

typedef struct eet_config_reading {
    const eet_json *root;
    eet_config *out;
    bool scaled[EET_STACKS]; /* attention, by head_dim^-0.5 */
    eet_notes *notes;
    eet_error *err;
} eet_config_reading;

/* config_values.c. Reads one key into the configuration, or refuses its value. */
eet_status eet_config_read_row(eet_config_reading *r, const eet_key_row *row);

/* config_fairseq.c. */
eet_status eet_config_read_dictionary(const eet_config_reading *r, const eet_key_row *row,
                                      const eet_json *value);
eet_status eet_config_read_task(const eet_config_reading *r, const eet_json *value);
eet_status eet_config_read_lang(const eet_config_reading *r, const eet_key_row *row,
                                const eet_json *value);
eet_status eet_config_read_output_words(const eet_config_reading *r, const eet_key_row *row,
                                        const eet_json *value);

bool eet_config_is_absent(const eet_json *value); /* or null */
eet_status eet_config_corrupt_kind(const eet_config_reading *r, const char *key,
                                   const eet_json *value, const char *expected);
const eet_fact_row *eet_config_fact_row(uint32_t offset); /* bounds of a fact */

#endif
