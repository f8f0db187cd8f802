/* encode.h - the parts of eet-encode: rows go in, vectors come out. */
#ifndef EET_COMMANDS_ENCODE_H
#define EET_COMMANDS_ENCODE_H

#include "engine/commands/npy.h"
#include "engine/commands/records.h"

enum { EET_ENCODING_OUTPUTS = 16 };

typedef struct eet_encode_options {
    eet_option_list ids, source_ids, heads;
    const char *pooling, *format, *output;
    const char *device, *dtype;
    int64_t batch, threads;
    bool normalize, force, timings;
} eet_encode_options;

/* One output of a call. */
typedef struct eet_encoding_output {
    const char *name; /* of a head, or NULL */
    int32_t head, take, width;
    int64_t rows; /* of the call at hand */
    float *values;
} eet_encoding_output;

typedef struct eet_encoding {
    const eet_encode_options *options;
    eet_model *model;
    eet_session *session;
    int32_t at_once;                /* tokens that the session computes at once */
    int32_t sources, source_tokens; /* slots that it has, and what each holds */
    eet_packed packed;
    eet_npy *npy; /* NULL: JSON Lines */
    eet_encoding_output output[EET_ENCODING_OUTPUTS];
    int32_t outputs;
    int64_t tokens;  /* that were encoded, those of sources too, */
    double seconds;  /* in so much time */
    int32_t *at;     /* of one call, for heads that take what is given */
    const char *key; /* of a result in JSON */
    eet_error *err;
} eet_encoding;

/* encode_results.c: gives away what a call computed. */
eet_status eet_encoding_print(eet_encoding *e);

#endif
