/* emit.h - carries tensors from a checkpoint into a file, in pieces. */
#ifndef EET_CONVERTER_EMIT_H
#define EET_CONVERTER_EMIT_H

#include "converter/match.h"
#include "converter/notes.h"
#include "converter/transform.h"
#include "format/writer.h"

typedef struct eet_emit_options {
    eet_dtype dtype; /* EET_DTYPE_NONE keeps what the checkpoint has */
    bool clamp, allow_nonfinite;
} eet_emit_options;

/* Turns places whose tensor equals that of the place they share with into
 * aliases; E_AMBIGUOUS or E_CORRUPT where two have to be equal and are not. */
eet_status eet_settle_twins(eet_source *source, eet_plan *plan, eet_error *err);

/* The dtype that a place is written in. E_AMBIGUOUS where its parts differ. */
eet_status eet_emit_dtype(eet_source *source, const eet_plan *plan, int32_t place,
                          const eet_emit_options *options, eet_dtype *out, eet_error *err);

/* What takes a tensor's bytes, piece by piece, instead of a writer. */
typedef eet_status (*eet_emit_sink)(void *context, const void *data, uint64_t bytes,
                                    eet_error *err);

/* Appends all of place number `place` (no alias) as tensor `number`; a NaN, an
 * infinity or an overflow that the options do not allow is E_AMBIGUOUS, naming
 * the tensor. Adds to `stats` and takes memory for pieces only. */
typedef struct eet_emitter {
    eet_source *source;
    const eet_plan *plan;
    const eet_emit_options *options;
    eet_writer *writer;
    eet_emit_sink sink; /* or NULL */
    void *context;      /* of the sink */
    eet_cast_stats total;
    void *turned, *cast; /* pieces; freed by eet_emit_end */
    uint64_t turned_bytes, cast_bytes;
    bool at_target; /* the writer failed */
} eet_emitter;
eet_status eet_emit_place(eet_emitter *e, int32_t place, int32_t number, eet_error *err);
void eet_emit_end(eet_emitter *e);

#endif
