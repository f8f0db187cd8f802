/* run.h - a call's way through a stack: checked, cut into passes that the workspace
 * holds, run, and its outputs written. */
#ifndef EET_ENGINE_RUN_H
#define EET_ENGINE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/session.h"

enum { EET_FEW_IN_ROW = 8 }; /* new tokens of a row that runs in family EET_FEW */

/* Packed tokens [first, first + tokens) of a batch. A step's pass may cut rows; an
 * encoding's holds whole ones. */
typedef struct eet_pass {
    const eet_stack *stack;
    const eet_batch *batch;
    bool paged; /* keys and values go into the cache */
    bool cross; /* its rows look at sources */
    bool fills; /* what it gives becomes the sources of the batch's rows */
    bool few;   /* its rows are short: EET_FEW, where the backend has families */
    int32_t first, tokens;
    int32_t graph;                                 /* that does it, -1: none (graphs.c) */
    int32_t rows;                                  /* parts of rows, numbered by inputs.row */
    int32_t longest_q, longest_kv, longest_source; /* of its rows' new tokens, keys, sources */
} eet_pass;

/* An output, checked: what to read, and where it goes. */
typedef struct eet_wanted {
    const eet_head *head; /* NULL: the hidden states */
    int32_t take, dtype, width, memory;
    bool skip_pad; /* take last: the last token that is not `pad` */
    int32_t pad;
    int64_t total; /* rows of the output */
    const int32_t *at;
    char *data;
} eet_wanted;

/* What is made of the scores of a head over the vocabulary, instead of giving them out: a
 * choice after each row's last token, or the log-probability of given ids. Arrays are the
 * host's; a pick is a row of the batch, with `scores` a packed token of it. */
typedef struct eet_pick {
    const eet_head *head;
    bool scores;                /* of given ids */
    const int32_t *target;      /* scores: (tokens) ids after each token, -1: none; NULL: what
                                   follows the token in its row */
    bool beams;                 /* the session's beam search takes what it needs */
    const eet_sampler *sampler; /* (rows) how to choose; NULL: the largest */
    int32_t *token;             /* (rows) chosen */
    float *log_prob;            /* (picks) of the choice or the target; scores: may be NULL */
    int32_t top;                /* likeliest ids to tell */
    int32_t top_stride;
    int32_t *top_token; /* (picks, top_stride) */
    float *top_log_prob;
} eet_pick;

/* What a call wants: the caller's structs, or a pick. */
typedef struct eet_request {
    const eet_output *outputs;
    int32_t count;
    const eet_pick *pick; /* NULL: none */
} eet_request;

/* batch.c: ARGUMENT and LIMIT of everything that a caller may get wrong. */
eet_status eet_batch_check(const eet_stack *stack, const eet_batch *batch, eet_error *err);
eet_status eet_batch_check_whole(const eet_session *session, const eet_stack *stack,
                                 const eet_batch *batch, eet_error *err);
eet_status eet_batch_check_pieces(const eet_session *session, const eet_batch *batch,
                                  eet_error *err);
eet_status eet_batch_check_sequences(eet_session *session, const eet_stack *stack,
                                     const eet_batch *batch, eet_error *err);

static inline int32_t eet_batch_sequence(const eet_batch *batch, int32_t row) {
    return batch->sequence != NULL ? batch->sequence[row] : row;
}

/* Tokens that the sequence of a row will have, with those of the row. */
static inline int64_t eet_batch_end(const eet_session *s, const eet_batch *batch, int32_t row) {
    const int32_t id = eet_batch_sequence(batch, row);

    return (int64_t)s->cache.sequence[id].length + batch->start[row + 1] - batch->start[row];
}

/* The slot that eet_source fills from a row. */
static inline int32_t eet_batch_source(const eet_batch *batch, int32_t row) {
    return batch->source != NULL ? batch->source[row] : row;
}

/* source.c: which slot a row looks at (-1: none), and that it can. */
int32_t eet_source_of(const eet_session *session, const eet_batch *batch, bool paged, int32_t row);
eet_status eet_source_check(const eet_session *session, const eet_batch *batch, bool paged,
                            eet_error *err);
/* Fills slots: by the encoder's run over the rows, or with given states. */
eet_status eet_source_run(eet_session *session, const eet_batch *batch, eet_error *err);
eet_status eet_source_give(eet_session *session, int32_t slot, const eet_array *hidden,
                           eet_error *err);

/* export.c: a sequence that there is. E_ARGUMENT; arrays may be NULL. */
eet_status eet_export_run(eet_session *session, int32_t id, int32_t layer, const eet_array *keys,
                          const eet_array *values, eet_error *err);

/* outputs.c. *whole: an output needs each row in one pass (a mean); untouched otherwise. */
eet_status eet_outputs_check(const eet_session *session, int32_t stack, const eet_batch *batch,
                             const eet_request *request, bool *whole, eet_error *err);
eet_status eet_outputs_write(eet_session *session, const eet_pass *pass, const eet_hidden *hidden,
                             const eet_request *request, eet_error *err);

/* heads.c: `count` rows of an output, for the positions in session->index (mean: for the
 * pass's rows from `first` on), width apart. */
eet_status eet_head_run(eet_session *session, const eet_pass *pass, const eet_hidden *hidden,
                        const eet_wanted *wanted, int32_t first, int32_t count, const float **out);

/* pick.c: E_ARGUMENT and E_UNSUPPORTED for a head that does not score tokens. */
eet_status eet_pick_check_head(const eet_session *session, int32_t stack, int32_t head,
                               eet_error *err);
eet_status eet_pick_write(eet_session *session, const eet_pass *pass, const eet_hidden *hidden,
                          const eet_pick *pick, eet_error *err);
/* The id that is scored after packed token `token`, which is in row `row`; -1: none. */
int32_t eet_pick_target(const eet_pick *pick, const eet_batch *batch, int32_t row, int32_t token);
/* Uploads the ids that `count` rows' sequences will have with this batch, to work.history. */
eet_status eet_pick_upload_history(eet_session *session, const eet_batch *batch, int32_t first,
                                   int32_t count);

/* `count` positions of a head that scores tokens, and the choice of a token at each: with the
 * samplers in work.sampler or, not sampled, the largest. */
eet_wanted eet_pick_wanted(const eet_head *head, int32_t count);
eet_sample_args eet_pick_sample_args(const eet_session *session, const eet_head *head,
                                     const float *logits, int32_t count, bool sampled);

/* scores.c */
eet_status eet_scores_run(eet_session *session, const eet_batch *batch, const int32_t *targets,
                          const eet_scores *out, eet_error *err);

/* inputs.c: writes what the pass reads and uploads it; finds pass->rows. */
eet_status eet_inputs_write(eet_session *session, eet_pass *pass, eet_error *err);
/* The same in two parts, for who has no pass: where its inputs are, and those of so many rows. */
void eet_inputs_use(eet_session *session, bool few);
eet_status eet_inputs_upload(eet_session *session, int32_t rows);

/* forward.c: embeds and runs the blocks. E_CANCELLED between two of them. */
eet_status eet_forward(eet_session *session, const eet_pass *pass, eet_hidden *out, eet_error *err);

/* finite.c: with EET_CHECK_FINITE, names the first value that is no number. */
eet_status eet_finite_check(eet_session *session, const eet_pass *pass, const void *x,
                            int32_t layer, const char *part, eet_error *err);
/* The same of `count` states that a caller gives, in session->given. */
eet_status eet_finite_check_source(eet_session *session, int32_t slot, int32_t first, int32_t count,
                                   eet_error *err);

/* run.c. The end of as many whole rows from `row` on as a pass holds. */
int32_t eet_batch_rows_end(const eet_session *session, const eet_batch *batch, int32_t row);
eet_status eet_run_encode(eet_session *session, const eet_batch *batch, const eet_request *request,
                          eet_error *err);
eet_status eet_run_step(eet_session *session, const eet_batch *batch, const eet_request *request,
                        eet_error *err);

#endif
