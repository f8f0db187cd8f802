/* generate.h - the loop that feeds a model its own choices. A session has room for one
 * generation: nothing allocates. */
#ifndef EET_ENGINE_GENERATE_H
#define EET_ENGINE_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/arena.h"
#include "format/types.h"

enum { EET_MAX_STOPS = 64 };

/* One row of the prompts. */
typedef struct eet_generated {
    int32_t sequence;
    int32_t token;    /* chosen last */
    int32_t position; /* of it */
    int32_t left;     /* tokens that may still be chosen */
    int32_t finish;   /* EET_FINISH_* of that token */
    float log_prob;
    bool open;    /* it will choose more, or has a choice to deliver */
    bool waiting; /* the choice is not delivered yet */
} eet_generated;

struct eet_generation {
    eet_session *session; /* NULL: none is going on */
    int32_t head, rows, eos, stops;
    int32_t stop[EET_MAX_STOPS];
    eet_generated *row;                 /* (sequences) */
    int32_t *start, *tokens, *sequence; /* the next step's batch */
    int32_t *choice;                    /* (sequences) what it chose */
    float *log_prob;
};

void eet_generation_layout(eet_generation *generation, int32_t sequences, eet_arena *host);

eet_status eet_generation_start(eet_session *session, const eet_batch *prompts,
                                const eet_generate_options *options, eet_generation **out,
                                eet_error *err);
eet_status eet_generation_next(eet_generation *generation, eet_event *out, int32_t room,
                               int32_t *count, eet_error *err);
void eet_generation_end(eet_generation *generation);

#endif
