/* ahead.h - steps of a generation that the device does without waiting for the host: as many are
 * queued as take a twentieth of a second, each with the token that the one before it chose, and
 * what they choose comes through memory that both sides see. What a generation gives is the same
 * without them. */
#ifndef EET_ENGINE_AHEAD_H
#define EET_ENGINE_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/arena.h"
#include "kernels/kernels.h"

struct eet_generation;
struct eet_limits;

enum {
    EET_MOST_AHEAD = 8, /* queued steps */
    EET_ENDS =
        2 * EET_MOST_AHEAD /* places for their ends, and those of a generation that was left */
};

/* Memory of the host and the device. */
typedef struct eet_ahead_shared {
    eet_step_end ring[EET_ENDS];
    _Atomic uint64_t cancelled; /* the turn whose rows are to end */
} eet_ahead_shared;

typedef struct eet_ahead {
    eet_ahead_shared *shared; /* NULL: the backend has no steps ahead */
    bool going;               /* the device knows the rows */
    bool sampled;             /* their choices need samplers */
    int32_t graph, rows;
    uint64_t launched, taken; /* numbers of steps, since the session was made */
    _Atomic uint64_t turn;    /* how often the device was told of rows */
    int64_t begun;            /* when the oldest queued step began, in ns; 0: nobody saw it */
    int64_t took[2];          /* the last two steps of these rows that the host waited for, in ns */
    int32_t *row;             /* (EET_FEW_TOKENS) of the generation, by row of a step */
    int32_t *index;           /* (EET_FEW_TOKENS) 0, 1, 2 ... */
    eet_going *state;         /* (EET_FEW_TOKENS) host side of work.going */
} eet_ahead;

void eet_ahead_layout(eet_ahead *ahead, eet_arena *host);
/* The ring, where the session's backend and model have use for it. */
eet_status eet_ahead_make(eet_session *session, eet_error *err);
void eet_ahead_free(eet_session *session);

/* Makes the session's running or next call end, and rows of the device's, if some are going. Any
 * thread, signal-safe. */
void eet_ahead_cancel(eet_session *session);

/* A new generation, of which the device knows nothing. */
void eet_ahead_reset(eet_ahead *ahead);

/* The next step of the open rows, whose choices wait to be fed: *end is what it came to, for
 * `ahead->row`. NULL: these rows take no steps ahead, and nothing is queued. */
eet_status eet_ahead_step(struct eet_generation *generation, const eet_step_end **end,
                          eet_error *err);

#endif
