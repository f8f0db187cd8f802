/* container.h - reads a .eet file. The file is hostile until checked.
 *
 * Level 0 checks page 0, every metadata section and all structure and binds
 * tensors to facts; level 1 adds the XXH3-128 of every tensor. Level 2 (SHA-256,
 * padding, assets) is eet_verify in verify.h: tools only, libeet.so has it not.
 * Metadata is copied to the heap before it is checked, so a concurrent writer
 * cannot change what was validated. docs/format.md, "Order of checks". */
#ifndef EET_FORMAT_CONTAINER_H
#define EET_FORMAT_CONTAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "format/facts.h"
#include "format/kv.h"
#include "format/types.h"

typedef struct eet_file eet_file;

/* A tensor as the directory has it. */
typedef struct eet_file_tensor {
    const char *name; /* NUL-terminated */
    int32_t index;    /* in the directory */
    int32_t dtype;    /* eet_dtype */
    int32_t rank;
    uint64_t dims[EET_MAX_RANK];
    uint64_t bytes;  /* stored */
    uint64_t offset; /* in the file */
    const void *data;
    uint16_t role, layout;
    int16_t layer;
    uint32_t flags;        /* EET_TENSOR_ALIAS | _SYNTH | _REQUIRED */
    int32_t alias_of;      /* directory index, or -1 */
    const uint8_t *xxh3;   /* 16 bytes as stored */
    const uint8_t *sha256; /* 32 bytes as stored */
} eet_file_tensor;

enum { EET_TENSOR_ALIAS = 1, EET_TENSOR_SYNTH = 2, EET_TENSOR_REQUIRED = 4 };

typedef struct eet_file_section {
    char type[5]; /* fourcc, terminated */
    uint16_t flags;
    uint8_t codec, align_log2;
    uint16_t version_major, version_minor;
    uint32_t index;
    uint64_t offset, stored_bytes, raw_bytes;
} eet_file_section;

/* An asset carried along: config.json, vocabularies. Raw bytes are read with
 * eet_file_asset_read (verify.h), because they may be compressed. */
typedef struct eet_file_asset {
    const char *name;
    bool functional; /* part of the content digest */
    uint64_t bytes;
    const uint8_t *sha256;
} eet_file_asset;

/* Opens and checks at `level` (0 or 1). The path variant follows symbolic links;
 * fd is dup'ed; memory is borrowed until eet_file_close and begins at a
 * multiple of 8. Level 1 uses a thread per CPU of the caller's, up to 16. E_IO, E_CORRUPT,
 * E_UNSUPPORTED, E_LIMIT, E_MEMORY; an error's offset is the byte in the file. */
eet_status eet_file_open(const char *path, int level, eet_load load, eet_file **out,
                         eet_error *err);
eet_status eet_file_open_fd(int fd, int level, eet_load load, eet_file **out, eet_error *err);
eet_status eet_file_open_memory(const void *bytes, uint64_t size, int level, eet_file **out,
                                eet_error *err);
void eet_file_close(eet_file *file);

/* Does the kernel read on behind what is touched of a mapped file? It does from the
 * start; not to spares reading all of a cold file for a few small tensors. */
void eet_file_read_ahead(const eet_file *file, bool on);

/* Gives the memory of a mapped tensor back until it is touched again, so that who goes through
 * all of a large file takes the memory of one tensor at a time. */
void eet_file_forget(const eet_file *file, const eet_file_tensor *tensor);

/* Level 1 on an open file. */
eet_status eet_file_check_tensors(const eet_file *file, eet_error *err);
/* The same of one tensor, by its index in the directory. */
eet_status eet_file_check_sum(const eet_file *file, int32_t index, eet_error *err);

uint64_t eet_file_bytes(const eet_file *file);
const eet_facts *eet_file_facts(const eet_file *file);
const eet_kv_view *eet_file_meta(const eet_file *file);
const eet_kv_view *eet_file_provenance(const eet_file *file); /* NULL: none, or compressed */
const uint8_t *eet_file_content_sha256(const eet_file *file); /* claimed until level 2 */
const uint8_t *eet_file_weights_sha256(const eet_file *file);
void eet_file_version(const eet_file *file, int32_t *major, int32_t *minor,
                      int32_t *min_reader_minor);

int32_t eet_file_tensors(const eet_file *file);
eet_file_tensor eet_file_tensor_at(const eet_file *file, int32_t index);
bool eet_file_tensor_named(const eet_file *file, const char *name, eet_file_tensor *out);
/* The tensor in a place of the model; false when the file has none there. */
bool eet_file_tensor_bound(const eet_file *file, uint16_t role, int32_t layer,
                           eet_file_tensor *out);
uint64_t eet_tensor_elements(const eet_file_tensor *tensor);

/* Sums over the directory. Bytes are those of tensors that are no alias; parameters the elements
 * of those among them that are not computed either (SYNTH). */
typedef struct eet_file_totals {
    uint64_t parameters, bytes;
    int32_t tensors, aliases;
} eet_file_totals;
eet_file_totals eet_file_sum(const eet_file *file);

int32_t eet_file_sections(const eet_file *file);
eet_file_section eet_file_section_at(const eet_file *file, int32_t index);
/* 0 when assets are compressed, until eet_file_unpack_assets (verify.h). */
int32_t eet_file_assets(const eet_file *file);
eet_file_asset eet_file_asset_at(const eet_file *file, int32_t index);

#endif
