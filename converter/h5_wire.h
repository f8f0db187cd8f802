/* h5_wire.h - what the process that parses an HDF5 file tells the one that started it: records
 * of one size, each followed by its path and its text. The reader believes none of it. */
#ifndef EET_CONVERTER_H5_WIRE_H
#define EET_CONVERTER_H5_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

enum {
    EET_H5_MAX_PATH = 1024,
    EET_H5_MAX_TEXT = 512,
    EET_H5_MAX_RANK = 8,
    EET_H5_MAX_RECORDS = 400000 /* a process that is taken over could go on for ever */
};

typedef enum eet_h5_kind {
    EET_H5_LAYER = 1, /* text: an item of layer_names */
    EET_H5_WEIGHT,    /* text: an item of weight_names of the last layer */
    EET_H5_DATASET,   /* path: "bert/a/b"; the numbers below */
    EET_H5_FAILED,    /* status, text: a sentence */
    EET_H5_END
} eet_h5_kind;

typedef enum eet_h5_type { EET_H5_OTHER, EET_H5_FLOAT, EET_H5_SIGNED, EET_H5_UNSIGNED } eet_h5_type;

/* X(symbol, why a dataset is not read) */
#define EET_H5_LAYOUT_MAP(X)                                                     \
    X(EET_H5_CONTIGUOUS, NULL)                                                   \
    X(EET_H5_CHUNKED, "its data is in chunks, and only contiguous data is read") \
    X(EET_H5_COMPACT, "its data is compact, and only contiguous data is read")   \
    X(EET_H5_RANK, "it has too many dimensions, or no simple shape")             \
    X(EET_H5_UNWRITTEN, "its data was never written")

typedef enum eet_h5_layout {
#define X(symbol, why) symbol,
    EET_H5_LAYOUT_MAP(X)
#undef X
} eet_h5_layout;

typedef struct eet_h5_record {
    uint32_t kind;
    uint32_t path_bytes, text_bytes; /* neither has a NUL */
    int32_t status;
    uint8_t type, size, big_endian, layout;
    int32_t rank;
    uint64_t shape[EET_H5_MAX_RANK];
    uint64_t offset, stored; /* where the data lies in the file, and its bytes there */
} eet_h5_record;

/* One record as it was received. */
typedef struct eet_h5_message {
    eet_h5_record record;
    char path[EET_H5_MAX_PATH + 1];
    char text[EET_H5_MAX_TEXT + 1];
} eet_h5_message;

/* h5_wire.c. A stream of records from `fd`, until END or FAILED, within `milliseconds`. */
typedef struct eet_h5_stream {
    int fd;
    int64_t deadline; /* of CLOCK_MONOTONIC, milliseconds */
    uint32_t records;
} eet_h5_stream;
void eet_h5_stream_begin(eet_h5_stream *stream, int fd, int32_t milliseconds);

/* The next record, checked: lengths, NULs, kinds, ranks. E_CORRUPT: it makes no sense, or
 * the writer is gone; E_LIMIT: too late, or too many; E_IO. */
eet_status eet_h5_receive(eet_h5_stream *stream, eet_h5_message *out, eet_error *err);

/* Writes a record; false when nobody reads. */
bool eet_h5_send(int fd, const eet_h5_record *record, const char *path, const char *text);

/* h5_parse.c, the one file that knows HDF5: parses the file of `bytes` open in `file` and
 * writes records to `out`. Takes no other descriptor, and opens none. */
void eet_h5_parse(int file, uint64_t bytes, int out);

/* h5_jail.c: eet_h5_parse in a process of its own that may hardly do anything. */
typedef struct eet_h5_child {
    int32_t pid;
    int from; /* what it writes */
} eet_h5_child;
eet_status eet_h5_start(int file, uint64_t bytes, eet_h5_child *out, eet_error *err);
/* Ends it. How it went, when `err` says so far that it broke off: E_CORRUPT for a crash,
 * E_LIMIT for time or memory. */
eet_status eet_h5_end(eet_h5_child *child, eet_status so_far, eet_error *err);

#endif
