/* ahead.h - steps of a generation that the device does without waiting for the host: a few are
 * always queued, each with the token that the one before it chose, and what they choose comes
 * through memory that both sides see. What a generation gives is the same without them. */
#ifndef EET_ENGINE_AHEAD_H
#define EET_ENGINE_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/arena.h"
#include "kernels/kernels.h"

struct eet_generation;
struct eet_limits;

typedef struct eet_ahead {
    eet_step_end *ring; /* shared; NULL: the backend has no steps ahead */
    bool going;         /* the device knows the rows */
    bool sampled;       /* their choices need samplers */
    int32_t graph, rows;
    uint64_t launched, taken; /* numbers of steps, since the session was made */
    int32_t *row;             /* (EET_FEW_TOKENS) of the generation, by row of a step */
    int32_t *index;           /* (EET_FEW_TOKENS) 0, 1, 2 ... */
    eet_going *state;         /* (EET_FEW_TOKENS) host side of work.going */
} eet_ahead;

void eet_ahead_layout(eet_ahead *ahead, eet_arena *host);
/* The ring, where the session's backend and model have use for it. */
eet_status eet_ahead_make(eet_session *session, eet_error *err);
void eet_ahead_free(eet_session *session);

/* A new generation, of which the device knows nothing. */
void eet_ahead_reset(eet_ahead *ahead);

/* The next step of the open rows, whose choices wait to be fed: *end is what it came to, for
 * `ahead->row`. NULL: these rows take no steps ahead, and nothing is queued. */
eet_status eet_ahead_step(struct eet_generation *generation, const eet_step_end **end,
                          eet_error *err);

#endif
