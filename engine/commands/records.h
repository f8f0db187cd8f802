/* records.h - what eet-run and eet-encode read: rows of ids, from --ids or as JSON Lines.
 * A line is an object with "ids", for a decoder that looks at an encoder with "source_ids" too
 * (then "ids" may be left out: the decoder's first token), and may have "types", "attention_mask"
 * (1 = keep), "at" (tokens that a head is asked about) and "id", which comes back with the result;
 * other keys are the caller's own. */
#ifndef EET_COMMANDS_RECORDS_H
#define EET_COMMANDS_RECORDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eet.h"
#include "format/cli/json.h"
#include "format/cli/options.h"

/* Options of commands that read rows; `at` is the field's offset. */
#define EET_OPTION_IDS(at)                                                       \
    {                                                                            \
        .name = "ids", .kind = EET_OPTION_LIST, .value = "1,2,3",                \
        .help = "a row of token ids; may be given several times", .offset = (at) \
    }
#define EET_OPTION_SOURCE_IDS(at)                                                       \
    {                                                                                   \
        .name = "source-ids", .kind = EET_OPTION_LIST, .value = "1,2,3",                \
        .help = "what an encoder reads, one for each --ids, or without", .offset = (at) \
    }
#define EET_OPTION_BATCH(text, at)                                                           \
    {                                                                                        \
        .name = "batch", .kind = EET_OPTION_INTEGER, .value = "N", .help = (text), .low = 1, \
        .high = 65536, .offset = (at)                                                        \
    }
#define EET_OPTION_THREADS(at)                                                  \
    {                                                                           \
        .name = "threads", .kind = EET_OPTION_INTEGER, .value = "N",            \
        .help = "threads (one per CPU)", .low = 1, .high = 1024, .offset = (at) \
    }

/* What the model takes, for sentences that name a line, and how it counts positions. */
typedef struct eet_record_rules {
    int32_t vocab_size, types, positions; /* positions 0: no bound */
    bool skip_pad;
    int32_t pad;
    bool place;  /* tokens that a mask leaves out keep their positions: the others' are given */
    bool at;     /* "at" is read; absent it is the last token */
    bool source; /* rows have "source_ids", for the encoder: */
    int32_t source_vocab, source_positions; /* positions 0: no bound */
    int32_t start; /* what a row without "ids" begins with; -1: it must have some */
} eet_record_rules;

typedef struct eet_record {
    int64_t number; /* of its line, or of its --ids, from 1 */
    int32_t count;
    int32_t *ids;
    int32_t *types, *positions; /* NULL: the model's own */
    int32_t *source_ids;        /* (source_count) NULL without an encoder to read them */
    int32_t source_count;
    int32_t *at; /* (at_count) indexes into ids, ascending; NULL where rules.at is false */
    int32_t at_count;
    bool at_listed; /* "at" was a list, not one number */
    eet_json *line; /* holds "id"; NULL with --ids */
} eet_record;

typedef struct eet_records {
    const eet_option_list *ids;        /* --ids; none: read the stream */
    const eet_option_list *source_ids; /* --source-ids, one for each of --ids or alone; or NULL */
    FILE *stream;
    const eet_record_rules *rules;
    const eet_record_rules *sourced; /* hold instead when the first row has source ids; or NULL */
    int64_t number;
    char *text;
    size_t room;
} eet_records;

/* The rules of the stack that takes the tokens: `sourced` the decoder, where there is one,
 * with those of its sources, else the encoder first. An encoding can place tokens. */
eet_status eet_record_rules_of(const eet_model *model, bool encoding, bool sourced,
                               eet_record_rules *out, eet_error *err);
/* Whether the model takes the record; `listed`: it came from --ids. */
eet_status eet_record_check(const eet_record_rules *rules, const eet_record *record, bool listed,
                            eet_error *err);

/* E_ARGUMENT when both are given, and not equally often. */
eet_status eet_records_check_options(const eet_option_list *ids, const eet_option_list *source_ids,
                                     eet_error *err);

/* The next record; *more is false at the end. E_ARGUMENT names the line. */
eet_status eet_records_next(eet_records *records, eet_record *out, bool *more, eet_error *err);
void eet_record_free(eet_record *record);
void eet_records_end(eet_records *records);

/* Puts the record's "id", if it has one, into a result. */
void eet_record_answer(const eet_record *record, eet_json *result);

/* Rows packed for a call. */
typedef struct eet_packed {
    eet_batch batch;
    eet_batch sources; /* of the rows; rows 0 where they have none */
    int32_t *start, *tokens, *types, *positions;
    int32_t *source, *source_start, *source_tokens; /* row r looks at slot r */
    eet_record *record;                             /* (room) */
    int32_t rows, room;
} eet_packed;

eet_status eet_packed_make(eet_packed *packed, int32_t room, eet_error *err);
void eet_packed_free(eet_packed *packed);

/* Reads up to `room` records that can go in one call (all with types or none, and so on);
 * rows 0 at the end. `held` keeps a record that has to wait for the next call. */
eet_status eet_packed_read(eet_packed *packed, eet_records *records, eet_record *held,
                           eet_error *err);
/* Tokens in all rows. */
int32_t eet_packed_tokens(const eet_packed *packed);

/* "1,2,3" as a list of ids, at most `room`. */
eet_status eet_parse_ids(const char *text, const char *option, int32_t *out, int32_t room,
                         int32_t *count, eet_error *err);

#endif
