/* shards_internal.h - inside source_shards.c and shards_tensors.c: an open checkpoint
 * in several files. */
#ifndef EET_CONVERTER_SHARDS_INTERNAL_H
#define EET_CONVERTER_SHARDS_INTERNAL_H

#include "converter/index.h"
#include "converter/source_reader.h"

enum { EET_SHARDS_HELD = 16 };

/* A tensor in another file than the index says. */
typedef struct eet_shards_stray {
    eet_source_tensor tensor; /* its name is the stray's, its storage the whole's */
    int32_t part;
} eet_shards_stray;

typedef struct eet_shards {
    int32_t *base; /* (parts) number of a part's first storage in the whole */
    int32_t storages;
    eet_shards_stray *stray;
    int32_t strays, stray_room;
    int32_t unnamed;                   /* tensors that the index does not name, */
    eet_shown first_unnamed;           /* and the first of them */
    double bytes, spared, packed;      /* of all tensors: see eet_shards_settle */
    eet_source *held[EET_SHARDS_HELD]; /* parts that are open, round by round */
    int32_t room, turn;
} eet_shards;

/* Makes the part readable; another one may be closed for it. */
eet_status eet_shards_wake(eet_source *source, int32_t index, eet_error *err);

/* shards_tensors.c: takes the tensors of the part opened last away from it. */
eet_status eet_shards_take(eet_source *source, const eet_index *index, int32_t number,
                           eet_error *err);
/* Is every tensor of the index in its file, and in no other one as something else? */
eet_status eet_shards_settle(eet_source *source, const eet_index *index, eet_error *err);

#endif
