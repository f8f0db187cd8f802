/* source_reader.h - what a container's reader (source_torch.c, source_legacy.c,
 * source_safetensors.c, source_h5.c, source_shards.c) gives to source.c, which owns the rest: the
 * table of tensors, the look-up by name, the cache of one storage, the copy by strides. */
#ifndef EET_CONVERTER_SOURCE_READER_H
#define EET_CONVERTER_SOURCE_READER_H

#include "converter/input.h"
#include "converter/source.h"

typedef struct eet_source_reader {
    const char *kind; /* "torch_zip", "torch_stream", "safetensors", "h5", "index" */
    /* Reads everything but the storages: calls eet_source_add for each tensor and
     * eet_source_warn, sets source->state. On failure close is called too. */
    eet_status (*open)(eet_source *source, eet_error *err);
    void (*close)(eet_source *source); /* state NULL is fine */
    /* Bytes of a storage, known since open. */
    uint64_t (*storage_bytes)(const eet_source *source, int32_t storage);
    /* Reads a storage whole, in native byte order, checked. */
    eet_status (*storage_read)(eet_source *source, int32_t storage, void *data, eet_error *err);
    /* source->fd is another descriptor now, or -1; NULL: nothing to do. */
    eet_status (*use)(eet_source *source, eet_error *err);
} eet_source_reader;

extern const eet_source_reader eet_source_reader_torch;
extern const eet_source_reader eet_source_reader_legacy;
extern const eet_source_reader eet_source_reader_h5;
extern const eet_source_reader eet_source_reader_safetensors;
extern const eet_source_reader eet_source_reader_shards;

struct eet_source {
    const eet_source_reader *reader;
    void *state; /* the reader's */
    int fd;      /* -1: it rests (eet_source_wake) */
    uint64_t bytes;
    char *path;
    const char *name; /* base name, in path */
    bool follow_symlinks;
    eet_input_mark mark; /* of the file when it was opened */
    eet_source_file file;
    eet_source **part; /* (parts) of a checkpoint in several files, owned */
    int32_t parts;
    eet_source_tensor *tensor; /* (count), owned with their names */
    int32_t count, room;
    int32_t *by_name; /* (count), made after open; two tensors of one name are E_CORRUPT there */
    char *config;     /* eet_source_config */
    uint64_t config_bytes;
    char **warning;
    int32_t warnings;
    void *cache; /* the storage read last, and its number; -1 none */
    uint64_t cache_bytes;
    int32_t cached;
    void *scratch; /* eet_source_view's contiguous copy */
    uint64_t scratch_bytes;
};

/* For source_shards.c: a part of a checkpoint in several files. Its parent takes its
 * tensors away; it may hold none. An index is E_CORRUPT. */
eet_status eet_source_open_part(const char *path, bool follow_symlinks, eet_source **out,
                                eet_error *err);
/* Gives the descriptor back, and opens the file again: E_IO when it is another one. */
void eet_source_rest(eet_source *source);
eet_status eet_source_wake(eet_source *source, eet_error *err);

/* For readers. The name (name_bytes of it) is copied and may be anything: a name
 * that is empty, longer than 512 bytes, invalid UTF-8 or not printable is
 * E_CORRUPT here. Shape, stride, offset are checked against
 * reader->storage_bytes with checked arithmetic, expansions bounded, unless
 * tensor->refusal is set (a string of static storage or one that lives in state). */
eet_status eet_source_add(eet_source *source, const eet_source_tensor *tensor, eet_error *err);
eet_status eet_source_warn(eet_source *source, eet_error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Turns the bytes of each item of `size` round: a storage of the other byte order. */
void eet_source_swap(void *data, uint64_t bytes, uint32_t size);

#endif
