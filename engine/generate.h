/* generate.h - the loop that feeds a model its own choices. A session has room for one
 * generation: nothing allocates. */
#ifndef EET_ENGINE_GENERATE_H
#define EET_ENGINE_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/ahead.h"
#include "engine/arena.h"
#include "engine/beam.h"
#include "format/types.h"
#include "kernels/kernels.h"

enum {
    EET_MAX_STOPS = 64,
    EET_MAX_BARRED = EET_MAX_STOPS + 1, /* the end token too */
    EET_MAX_TOP = 256                   /* likeliest ids to tell of one position */
};

/* One row of the prompts. */
typedef struct eet_generated {
    uint64_t stream; /* of its random numbers */
    int32_t sequence;
    int32_t token;    /* chosen last */
    int32_t position; /* of it */
    int32_t count;    /* tokens chosen */
    int32_t left;     /* tokens that may still be chosen */
    int32_t finish;   /* EET_FINISH_* of that token */
    float log_prob;
    int32_t top;    /* where the likeliest ids beside it are: a row of generation.top_token */
    bool open;      /* it will choose more, or has a choice to deliver */
    bool waiting;   /* the choice is not delivered yet */
    bool delivered; /* it was, by the latest call */
} eet_generated;

struct eet_generation {
    eet_session *session; /* NULL: none is going on */
    int32_t head, rows, eos, stops;
    int32_t stop[EET_MAX_STOPS];
    int32_t bar[EET_MAX_BARRED]; /* what may not be chosen too early: eos and the stops */
    int32_t bars;
    int32_t least;  /* tokens before which they are barred */
    int32_t top;    /* likeliest ids to tell */
    bool processed; /* choices need samplers: there is a draw or a penalty */
    eet_sampler how;
    eet_generated *row;                 /* (sequences) */
    int32_t *start, *tokens, *sequence; /* the next step's batch */
    eet_sampler *sampler;               /* (sequences) */
    int32_t *choice;                    /* (sequences) what it chose */
    float *log_prob;
    int32_t *top_token; /* (sequences, EET_MAX_TOP) */
    float *top_log_prob;
    eet_ahead ahead;
    eet_beams beams; /* where rows have several; they choose otherwise than by the above */
};

void eet_generation_layout(eet_generation *generation, int32_t sequences, eet_arena *host);

eet_status eet_generation_start(eet_session *session, const eet_batch *prompts,
                                const eet_generate_options *options, eet_generation **out,
                                eet_error *err);
eet_status eet_generation_next(eet_generation *generation, eet_event *out, int32_t room,
                               int32_t *count, eet_error *err);
eet_status eet_generation_top(const eet_generation *generation, const eet_event *event,
                              int32_t *tokens, float *log_probs, int32_t room, int32_t *count,
                              eet_error *err);
void eet_generation_end(eet_generation *generation);

/* Adds row r, which feeds its choice, to a step's batch; and how its next one is chosen. */
void eet_generation_feed(eet_generation *generation, eet_batch *batch, int32_t r);
/* EET_FINISH_EOS or _STOP when the token ends a row. */
int32_t eet_generation_finish(const eet_generation *generation, int32_t token);

/* generate_check.c: everything that may be wrong with a start. */
eet_status eet_generation_check(eet_session *session, const eet_batch *prompts,
                                const eet_generate_options *options, eet_error *err);
/* Tokens that a row may choose: its sequence and the model's positions are bounds. The
 * last choice is not fed, so that it needs no place. */
int32_t eet_generation_room(const eet_session *session, const eet_batch *prompts, int32_t row,
                            int32_t wanted);

#endif
