/* convert.h - a checkpoint becomes a .eet file: the steps, without a command line.
 *
 *   open (source, configuration, plan) -> declare (to a writer) -> write -> commit
 *
 * Nothing is written before eet_conversion_write. */
#ifndef EET_CONVERTER_CONVERT_H
#define EET_CONVERTER_CONVERT_H

#include "converter/emit.h"
#include "converter/inputs.h"
#include "converter/sentence.h"

typedef struct eet_convert_options {
    const char *config, *weights, *arch, *allow_unused; /* NULL: not given */
    const char *final_norm;                             /* "keep", "drop" or NULL */
    eet_emit_options emit;
    bool hash_source, follow_symlinks, no_sentence_head;
    const char *const *metadata; /* "KEY=VALUE", metadata_count of them */
    int32_t metadata_count;
} eet_convert_options;

typedef struct eet_file_digest {
    bool known;
    uint8_t sha256[32];
} eet_file_digest;

typedef struct eet_conversion {
    eet_convert_options options;
    eet_inputs inputs;
    eet_source *source;
    char *config_text;
    uint64_t config_bytes;
    eet_config config;
    eet_sentence sentence;
    eet_plan plan;
    eet_notes notes;
    int32_t *number;          /* of each place in the writer */
    uint64_t weight_bytes;    /* to be written */
    eet_cast_stats stats;     /* after writing */
    bool at_target;           /* writing failed, not reading */
    eet_file_digest *digests; /* of the source's files, as far as they are hashed; or NULL */
} eet_conversion;

/* Called between tensors: so many places and bytes are done. */
typedef void (*eet_convert_progress)(void *context, uint64_t places, uint64_t bytes);

/* Reads everything but the weights. On failure *out holds the notes alone; free it anyway. */
eet_status eet_conversion_open(const char *operand, const eet_convert_options *options,
                               eet_conversion *out, eet_error *err);
void eet_conversion_free(eet_conversion *c);

/* The base name of the file that the configuration was read from. */
const char *eet_conversion_config_name(const eet_conversion *c);

/* Declares facts, assets, provenance and tensors, and fixes the plan. */
eet_status eet_conversion_declare(eet_conversion *c, eet_writer *writer, eet_error *err);

/* Streams every tensor. The writer has begun. */
eet_status eet_conversion_write(eet_conversion *c, eet_writer *writer,
                                eet_convert_progress progress, void *context, eet_error *err);

/* versions.c: whether final norms count; E_AMBIGUOUS where nothing says it. */
eet_status eet_conversion_versions(eet_conversion *c, eet_error *err);

/* dictionaries.c: a dict.txt that is malformed, or not of this model, is E_CORRUPT. */
eet_status eet_conversion_dictionaries(eet_conversion *c, eet_error *err);

/* provenance.c: section PROV as the conversion has it now. */
eet_status eet_conversion_provenance(eet_conversion *c, eet_kv_builder *prov, eet_error *err);

#endif
