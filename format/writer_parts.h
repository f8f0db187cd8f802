/* writer_parts.h - a writer from the inside: shared by the files that write. */
#ifndef EET_FORMAT_WRITER_PARTS_H
#define EET_FORMAT_WRITER_PARTS_H

#include "format/checksum.h"
#include "format/file.h"
#include "format/target.h"
#include "format/writer.h"

/* ---- the second thread (writer_stream.c) --------------------------------- */

/* SHA-256 of one piece of data after another, computed beside the caller. */
typedef struct eet_hasher eet_hasher;
eet_hasher *eet_hasher_create(void); /* NULL: no memory */
void eet_hasher_free(eet_hasher *hasher);
void eet_hasher_add(eet_hasher *hasher, const void *data, uint64_t bytes); /* copies */
/* Ends the piece; `digest` is written by the time eet_hasher_drain returns. */
void eet_hasher_end(eet_hasher *hasher, uint8_t digest[32]);
void eet_hasher_drain(eet_hasher *hasher);

/* ---- the writer ---------------------------------------------------------- */

typedef struct eet_planned {
    eet_writer_tensor declared;
    char name[EET_MAX_NAME + 1];
    uint64_t bytes, offset; /* in DATA */
    uint32_t entry;         /* in the directory */
    eet_xxh3 xxh3;
    uint8_t sha256[32];
} eet_planned;

typedef struct eet_carried {
    char name[EET_ASSET_NAME_ROOM];
    bool functional;
    uint8_t *bytes;
    uint64_t size;
} eet_carried;

typedef enum eet_writer_state {
    EET_WRITER_DECLARING,
    EET_WRITER_PLANNED,
    EET_WRITER_BEGUN,
    EET_WRITER_FAILED,
    EET_WRITER_DONE
} eet_writer_state;

struct eet_writer {
    eet_writer_options options;
    eet_writer_state state;
    eet_target target;
    bool has_facts;
    eet_planned *tensors; /* (count), in order of declaration */
    int32_t count, room;
    eet_carried assets[EET_MAX_ASSETS];
    int32_t asset_count;
    eet_file plan;        /* the file to be, as its reader will see it; without DATA */
    uint8_t *asset_block; /* section ASST */
    uint64_t asset_bytes;
    eet_hasher *hasher;
    eet_xxh3_stream *stream;
    int32_t current;  /* the tensor being written */
    uint64_t written; /* of it */
};

/* The next tensor that brings bytes of its own, from `number` on; count when none. */
int32_t eet_writer_next(const eet_writer *writer, int32_t number);

#endif
