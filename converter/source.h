/* source.h - what a checkpoint is to the converter: named tensors, each of
 * which can be read as contiguous row-major elements, and a little provenance.
 *
 * A source is opened from content, never from a file's name. It holds its file
 * open until eet_source_close (of one in many files as many as the process can
 * spare); tensors and strings are borrowed from it.
 * At most one storage is in memory at a time (eet_source_read). */
#ifndef EET_CONVERTER_SOURCE_H
#define EET_CONVERTER_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

enum { EET_SOURCE_MAX_RANK = 8 };

/* What checkpoints hold; a superset of eet_dtype. X(symbol, bytes, name, eet_dtype kept as) */
#define EET_SOURCE_DTYPE_MAP(X)                          \
    X(EET_SRC_F64, 8, "float64", EET_F64)                \
    X(EET_SRC_F32, 4, "float32", EET_F32)                \
    X(EET_SRC_F16, 2, "float16", EET_F16)                \
    X(EET_SRC_BF16, 2, "bfloat16", EET_BF16)             \
    X(EET_SRC_I64, 8, "int64", EET_I64)                  \
    X(EET_SRC_I32, 4, "int32", EET_I32)                  \
    X(EET_SRC_I16, 2, "int16", EET_DTYPE_NONE)           \
    X(EET_SRC_I8, 1, "int8", EET_I8)                     \
    X(EET_SRC_U64, 8, "uint64", EET_DTYPE_NONE)          \
    X(EET_SRC_U32, 4, "uint32", EET_DTYPE_NONE)          \
    X(EET_SRC_U16, 2, "uint16", EET_U16)                 \
    X(EET_SRC_U8, 1, "uint8", EET_U8)                    \
    X(EET_SRC_BOOL, 1, "bool", EET_DTYPE_NONE)           \
    X(EET_SRC_F8_E4M3, 1, "float8_e4m3fn", EET_F8_E4M3)  \
    X(EET_SRC_F8_E5M2, 1, "float8_e5m2", EET_F8_E5M2)    \
    X(EET_SRC_F8_E8M0, 1, "float8_e8m0fnu", EET_F8_E8M0) \
    X(EET_SRC_C64, 8, "complex64", EET_DTYPE_NONE)       \
    X(EET_SRC_C128, 16, "complex128", EET_DTYPE_NONE)    \
    X(EET_SRC_OTHER, 0, "unknown", EET_DTYPE_NONE)

typedef enum eet_source_dtype {
#define X(symbol, bytes, name, kept) symbol,
    EET_SOURCE_DTYPE_MAP(X)
#undef X
} eet_source_dtype;

const char *eet_source_dtype_name(eet_source_dtype dtype);
uint32_t eet_source_dtype_bytes(eet_source_dtype dtype); /* 0: cannot be read */

typedef struct eet_source_tensor {
    const char *name; /* valid UTF-8 without control characters, NUL-terminated */
    uint32_t name_bytes;
    eet_source_dtype dtype;
    int32_t rank;
    uint64_t shape[EET_SOURCE_MAX_RANK];
    uint64_t stride[EET_SOURCE_MAX_RANK]; /* elements, in its storage */
    uint64_t offset;                      /* first element, in its storage */
    uint64_t elements;                    /* product of shape */
    int32_t storage;                      /* number of its storage in the source */
    const char *refusal; /* why it cannot be read ("quantised tensor"); NULL when it can. Fatal only
                            when the tensor is needed */
} eet_source_tensor;

typedef struct eet_source eet_source;

/* One file a source was read from, for provenance. */
typedef struct eet_source_file {
    const char *name; /* base name */
    const char *kind; /* torch_zip | torch_stream | safetensors | h5 | index */
    uint64_t bytes;
    const char *serialization_id; /* torch's, or NULL */
    bool crcless;                 /* a zip whose storages carry no checksum */
} eet_source_file;

/* Opens the checkpoint in `path` (a regular file), by its first bytes: a torch
 * zip or stream, safetensors, or the index of a checkpoint in several of them, which lie
 * beside it; everything else is refused by name. Follows symbolic links only as
 * eet_open_input does (E_AMBIGUOUS). Fails with E_IO, E_UNSUPPORTED, E_CORRUPT,
 * E_SUSPICIOUS, E_LIMIT, E_MEMORY. */
eet_status eet_source_open(const char *path, bool follow_symlinks, eet_source **out,
                           eet_error *err);
void eet_source_close(eet_source *source); /* NULL is fine */

int32_t eet_source_count(const eet_source *source);
const eet_source_tensor *eet_source_at(const eet_source *source, int32_t index);
const eet_source_tensor *eet_source_find(const eet_source *source, const char *name);

/* Reads a tensor as contiguous row-major elements of its own dtype in native
 * byte order; `data` has room for elements x bytes. Checks lengths and
 * checksums of the storage. The storage stays cached until another is read or
 * eet_source_drop_cache. Fails with E_UNSUPPORTED (the tensor's refusal),
 * E_CORRUPT, E_IO, E_MEMORY. */
eet_status eet_source_read(eet_source *source, const eet_source_tensor *tensor, void *data,
                           eet_error *err);

/* As eet_source_read, without a copy where the tensor is contiguous in its
 * storage: *data is then the cached storage; otherwise *data is a buffer of
 * the source's. Valid until the next call on this source. */
eet_status eet_source_view(eet_source *source, const eet_source_tensor *tensor, const void **data,
                           eet_error *err);
void eet_source_drop_cache(eet_source *source);

/* SHA-256 of a tensor's elements, as eet_source_read gives them. */
eet_status eet_source_sha256(eet_source *source, const eet_source_tensor *tensor,
                             uint8_t digest[32], eet_error *err);

/* Do two tensors name the same elements of one storage in the same way? */
bool eet_source_same(const eet_source_tensor *a, const eet_source_tensor *b);

/* The configuration that lies in the checkpoint itself, as JSON, NUL-terminated; NULL: none. */
const char *eet_source_config(const eet_source *source, uint64_t *bytes);

/* Notes for people, each one line: an unreferenced record, an all-zero CRC,
 * tensors skipped because nothing of theirs can be read. */
int32_t eet_source_warnings(const eet_source *source);
const char *eet_source_warning(const eet_source *source, int32_t index);

/* The files it was read from: the checkpoint, or the index and then its parts. */
int32_t eet_source_files(const eet_source *source);
const eet_source_file *eet_source_file_at(const eet_source *source, int32_t index);
/* A file, readable until the next call on this source. E_IO. */
eet_status eet_source_file_open(eet_source *source, int32_t index, int *fd, eet_error *err);
/* Is it one of them, by its numbers in stat()? */
bool eet_source_is_of(const eet_source *source, uint64_t device, uint64_t inode);
/* E_IO when a file is no longer what it was when it was opened. */
eet_status eet_source_check(eet_source *source, eet_error *err);

#endif
