/* beam.h - beam search: the likeliest texts of a row side by side, each in a sequence of its
 * own. What Transformers' BeamSearchScorer keeps, this keeps (docs/sampling.md).
 *
 * A row's beams fork from the sequence of its prompt and share its pages. Everything that a
 * search may need is there before it begins: sequences, pages, and memory of the session. */
#ifndef EET_ENGINE_BEAM_H
#define EET_ENGINE_BEAM_H

#include <stdbool.h>
#include <stdint.h>

#include "eet.h"
#include "engine/arena.h"
#include "format/types.h"

struct eet_limits;

enum { EET_MAX_FORCED = 8 };

/* A token of a text, which is read from its end. */
typedef struct eet_beam_node {
    int32_t token;
    int32_t before; /* node; -1: the prompt */
    float log_prob;
} eet_beam_node;

typedef struct eet_beam_open {
    int32_t sequence; /* has all of the text but its last token */
    int32_t node;     /* its last token; -1: none yet */
    double sum;
} eet_beam_open;

/* A text that is finished. */
typedef struct eet_beam_kept {
    double score;
    int32_t node;  /* its last token but the one that ended it; -1: none */
    int32_t token; /* which ended it; -1: nothing did */
    float log_prob;
    int32_t finish; /* EET_FINISH_* */
    int32_t count;  /* of its tokens */
} eet_beam_kept;

/* One token more for an open beam. */
typedef struct eet_beam_candidate {
    double sum;
    int32_t beam, token;
    float log_prob;
    int32_t finish; /* EET_FINISH_*: how the token ends the text; NONE: it goes on */
} eet_beam_candidate;

/* A row of the prompts. Its beams, what it keeps and its spare sequences begin at row * beams
 * of their arrays, its nodes and the tokens of its texts at `first`. */
typedef struct eet_beam_row {
    int32_t sequence; /* of the prompt */
    int32_t prompt;   /* tokens in it, earlier ones included */
    int32_t most;     /* tokens that a text may have */
    int32_t first, nodes;
    int32_t open, kept, goes, ends, spares;
    double worst;   /* score of what it keeps */
    bool searching; /* else its texts are there */
    bool cancelled;
    int32_t delivered; /* events */
} eet_beam_row;

typedef struct eet_beams {
    int32_t beams; /* of each row; below 2: no search goes on */
    int32_t rows;
    int32_t early_stopping;
    int32_t length;                 /* tokens that every open beam has */
    int32_t best;                   /* tokens to rank for each of them */
    int32_t forced[EET_MAX_FORCED]; /* what alone may be token number `force_at` + 1 of a text */
    int32_t forced_count, force_at;
    double length_penalty;
    eet_beam_row *row;        /* (sequences) */
    eet_beam_open *open;      /* (sequences) */
    eet_beam_open *next;      /* (sequences) open after this step */
    eet_beam_kept *kept;      /* (sequences) */
    eet_beam_candidate *goes; /* (sequences) the best that go on, best first */
    eet_beam_candidate *ends; /* (sequences) the best that end a text */
    int32_t *spare;           /* (sequences) of the row, without a beam */
    int32_t *lane;            /* (sequences) which of `open` a row of the step is */
    eet_beam_node *node;      /* (room) */
    int32_t *token;           /* (room) of finished texts */
    float *log_prob;          /* (room) */
    int32_t *best_token;      /* (choices, best) what the op ranked */
    float *best_score, *best_log_prob;
    int32_t *history_length; /* (choices) of the ids before each row's choice */
} eet_beams;

void eet_beams_layout(eet_beams *beams, const struct eet_limits *limits, eet_arena *host);

/* beam.c: one row's search. A candidate takes its place among the best of its kind. */
void eet_beam_offer(eet_beams *beams, int32_t row, const eet_beam_candidate *candidate);
/* Chooses among the candidates: which texts are finished, and which go on (beams->next, the
 * number of candidates in row->goes). Is the search over? */
bool eet_beam_choose(eet_beams *beams, int32_t row);
/* Finishes `count` open texts of `length` tokens. */
void eet_beam_close(eet_beams *beams, int32_t row, const eet_beam_open *open, int32_t count,
                    int32_t length, int32_t finish);
/* Orders what is kept, best first, and writes the texts. */
void eet_beam_write(eet_beams *beams, int32_t row);
/* Tokens that a finished text and an open one have in common. */
int32_t eet_beam_common(const eet_beams *beams, const eet_beam_kept *kept,
                        const eet_beam_open *open);

/* beams.c: E_ARGUMENT of forced ids, whose number is checked; the model has a decoder. */
eet_status eet_beams_check_forced(const eet_session *session, const eet_generate_options *options,
                                  eet_error *err);
/* E_ARGUMENT and E_LIMIT of a search whose prompts are checked and marked. */
eet_status eet_beams_check(eet_session *session, const eet_batch *prompts,
                           const eet_generate_options *options, eet_error *err);
/* May a beam have the sequence? */
bool eet_beams_may_have(const eet_session *session, int32_t id);
eet_status eet_beams_get(const eet_generation *generation, int32_t row, int32_t index,
                         eet_beam *out, eet_error *err);

/* beam_search.c: the iterator. */
eet_status eet_beams_begin(eet_generation *generation, const eet_batch *prompts,
                           const eet_generate_options *options, eet_error *err);
eet_status eet_beams_next(eet_generation *generation, eet_event *out, int32_t room, int32_t *count,
                          eet_error *err);
void eet_beams_end(eet_generation *generation);
/* Takes the best tokens out of the scores of rows [first, first + count) of a step, which are
 * in work.result and may be overwritten. */
eet_status eet_beam_pick(eet_session *session, const eet_batch *batch, int32_t first,
                         int32_t count);

#endif
