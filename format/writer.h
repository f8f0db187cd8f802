/* writer.h - writes a .eet file: declare everything, then stream the tensors.
 *
 * The plan comes first: once eet_writer_begin has run, every tensor's offset is
 * known. Bytes go to a temporary file beside the target; eet_writer_commit
 * writes the header page last, syncs, checks what it wrote at level 1, and
 * renames. At no moment does the target hold a torn file; an abandoned writer
 * leaves nothing (SIGKILL leaves a temporary with a zero first page).
 *
 * The same declarations and tensor bytes give the same file, byte for byte. */
#ifndef EET_FORMAT_WRITER_H
#define EET_FORMAT_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "format/facts.h"
#include "format/kv.h"
#include "format/target.h"
#include "format/types.h"

typedef struct eet_writer eet_writer;

typedef struct eet_writer_options {
    bool force;          /* replace an existing target */
    bool no_verify;      /* skip the level-1 check before the rename */
    bool no_sync;        /* skip fsync: tests */
    uint64_t data_align; /* of DATA in the file; 0 = 4096; a power of two up to 2 MiB */
} eet_writer_options;

/* One tensor to come. The name follows from role, layer and the head's name.
 * Tensors are laid out in the order of declaration (execution order). */
typedef struct eet_writer_tensor {
    uint16_t role;
    int16_t layer;
    int32_t dtype; /* eet_dtype */
    int32_t rank;
    uint64_t dims[EET_MAX_RANK];
    bool synth;
    int32_t alias_of; /* number of an earlier, non-alias declaration with the same dtype and dims,
                         or -1 */
} eet_writer_tensor;

eet_status eet_writer_create(const char *path, const eet_writer_options *options, eet_writer **out,
                             eet_error *err);
/* Abandons what is not committed: the temporary is unlinked. NULL is fine. */
void eet_writer_free(eet_writer *writer);

/* Declarations, in any order among the kinds. Facts are copied. */
eet_status eet_writer_facts(eet_writer *writer, const eet_facts *facts, eet_error *err);
/* Provenance: outside every digest. Takes nothing; the builder stays the caller's.
 * Between begin and commit it may be given again with other values of the same
 * sizes: what only the writing tells. */
eet_status eet_writer_provenance(eet_writer *writer, const eet_kv_builder *prov, eet_error *err);
eet_status eet_writer_asset(eet_writer *writer, const char *name, bool functional,
                            const void *bytes, uint64_t size, eet_error *err);
/* *number counts declarations from 0. */
eet_status eet_writer_tensor_add(eet_writer *writer, const eet_writer_tensor *tensor,
                                 int32_t *number, eet_error *err);

/* Fixes the plan: checks facts against tensors (eet_facts_expect) and computes
 * every offset; nothing is written. Then eet_writer_bytes is the file's size. */
eet_status eet_writer_plan(eet_writer *writer, eet_error *err);
uint64_t eet_writer_bytes(const eet_writer *writer);

/* Makes the temporary file and reserves its space. E_EXISTS without force. */
eet_status eet_writer_begin(eet_writer *writer, eet_error *err);

/* Appends the next bytes of tensor `number`. Tensors must be written in the
 * order of declaration, aliases left out; chunks of any size. Hashing runs in
 * a second thread, so `data` is copied or consumed before the call returns. */
eet_status eet_writer_append(eet_writer *writer, int32_t number, const void *data, uint64_t bytes,
                             eet_error *err);

/* Seals and renames. After it only the digest and eet_writer_free are legal. */
eet_status eet_writer_commit(eet_writer *writer, eet_error *err);
const uint8_t *eet_writer_content_sha256(const eet_writer *writer); /* after commit */

/* Instead of begin, append and commit: a model that is in memory alone. Writes all but the
 * tensors into `image`, eet_writer_bytes of zeros, so that it opens at level 0; the digests
 * stay zero. The tensors' bytes are the caller's to fill in, each at eet_writer_offset. */
eet_status eet_writer_image(eet_writer *writer, void *image, eet_error *err);
uint64_t eet_writer_offset(const eet_writer *writer, int32_t number); /* after the plan */

/* The writer's temporary file while one exists, between begin and commit: for a signal
 * handler to unlink. */
const eet_live_path *eet_writer_temporary(const eet_writer *writer);

#endif
