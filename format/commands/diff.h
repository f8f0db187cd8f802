/* diff.h - the parts of eet-diff. */
#ifndef EET_COMMANDS_DIFF_H
#define EET_COMMANDS_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#include "format/cli/json.h"
#include "format/commands/compare.h"
#include "format/container.h"

typedef struct eet_diff_options {
    bool json, stats, metadata_only, quick, provenance, quiet;
} eet_diff_options;

/* What two files have lists of, in the order in which differences are told. */
typedef enum eet_diff_kind {
    EET_DIFF_FACT,
    EET_DIFF_TENSOR,
    EET_DIFF_VOCABULARY,
    EET_DIFF_ASSET,
    EET_DIFF_PROVENANCE,
    EET_DIFF_KINDS
} eet_diff_kind;

/* In what the two sides of a difference differ: bits. */
enum {
    EET_DIFF_TYPE = 1, /* of a fact or a note; dtype of a tensor; kind of an asset */
    EET_DIFF_SHAPE = 2,
    EET_DIFF_VALUE = 4, /* a value, numbers, bytes */
    EET_DIFF_PLACE = 8, /* role or layer */
    EET_DIFF_FLAGS = 16,
    EET_DIFF_ALIAS = 32 /* which tensor it shares */
};

typedef struct eet_difference {
    uint8_t kind;    /* eet_diff_kind */
    uint32_t what;   /* 0: only one side has it */
    int32_t item[2]; /* in the list of its file; -1: not there */
} eet_difference;

enum { EET_DIFF_NAME_ROOM = 256 };

typedef struct eet_diff {
    const char *path[2];
    eet_file *file[2];
    const eet_diff_options *options;
    eet_difference *items;
    uint32_t count, room;
    uint32_t count_of[EET_DIFF_KINDS];
    const char *blamed; /* the path that an error is about; NULL: neither */
} eet_diff;

/* Opens both files and finds where they differ. On failure `blamed` says whose fault. */
eet_status eet_diff_find(eet_diff *diff, eet_error *err);
void eet_diff_free(eet_diff *diff);

/* "fact", "tensor", ... */
const char *eet_diff_kind_name(eet_diff_kind kind);
/* The name of an item: a key, a tensor's, an asset's. */
const char *eet_diff_name(const eet_diff *diff, const eet_difference *d,
                          char room[EET_DIFF_NAME_ROOM]);
/* The entry of a fact or a note; the tensor; the asset of one side, which must have it. */
eet_kv eet_diff_entry(const eet_diff *diff, const eet_difference *d, int side);
eet_file_tensor eet_diff_tensor(const eet_diff *diff, const eet_difference *d, int side);
eet_file_asset eet_diff_asset(const eet_diff *diff, const eet_difference *d, int side);

/* The numbers of a tensor's two sides; false when they cannot be compared or are the same. */
bool eet_diff_compare(const eet_diff *diff, const eet_difference *d, eet_comparison *out);

/* All of it for people, on stdout, and for programs. */
eet_status eet_diff_print(const eet_diff *diff, eet_error *err);
eet_json *eet_diff_document(const eet_diff *diff);

#endif
