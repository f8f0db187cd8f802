/* beam_search.c - the loop of a beam search: all open beams of all rows take a step together,
 * then each row chooses. */
#include <stddef.h>

#include "engine/run.h"

/* ---- a step ------------------------------------------------------------- */

/* The ranked tokens of rows [first, first + count) of the step are offered to their rows. */
static void offer_ranked(eet_generation *g, int32_t first, int32_t count) {
    eet_beams *b = &g->beams;

    for (int32_t i = 0; i < count; ++i) {
        const int32_t lane = b->lane[first + i];
        const int32_t row = lane / b->beams;

        for (int64_t k = (int64_t)i * b->best; k < (int64_t)(i + 1) * b->best; ++k) {
            const eet_beam_candidate candidate = {
                .sum = b->open[lane].sum + (double)b->best_score[k],
                .beam = lane % b->beams,
                .token = b->best_token[k],
                .log_prob = b->best_log_prob[k],
                .finish = eet_generation_finish(g, b->best_token[k]),
            };

            if (candidate.token >= 0) {
                eet_beam_offer(b, row, &candidate);
            }
        }
    }
}

/* The forced ids alone are offered to the rows of [first, first + count), each at no cost. */
static eet_status offer_forced(eet_session *s, int32_t first, int32_t count) {
    eet_generation *g = &s->generation;
    eet_beams *b = &g->beams;
    const int32_t vocab = s->model->head[g->head].width;
    const eet_logprob_args args = {
        .logits = s->work.result,
        .stride = vocab,
        .rows = count,
        .vocab = vocab,
        .target = s->work.target,
        .log_prob = s->work.log_prob,
    };
    const uint64_t bytes = (uint64_t)count * sizeof(int32_t);
    eet_status status = EET_OK;

    for (int32_t n = 0; n < b->forced_count && status == EET_OK; ++n) {
        for (int32_t i = 0; i < count; ++i) {
            s->target[i] = b->forced[n];
        }
        status = s->api->upload(s->backend, s->work.target, s->target, bytes);
        if (status == EET_OK) {
            status = s->ops->logprob(s->backend, &args);
        }
        if (status == EET_OK) {
            status = s->api->download(s->backend, b->best_log_prob, s->work.log_prob, bytes);
        }
        for (int32_t i = 0; i < count && status == EET_OK; ++i) {
            const int32_t lane = b->lane[first + i];
            const eet_beam_candidate candidate = {
                .sum = b->open[lane].sum,
                .beam = lane % b->beams,
                .token = b->forced[n],
                .log_prob = b->best_log_prob[i],
                .finish = eet_generation_finish(g, b->forced[n]),
            };

            eet_beam_offer(b, lane / b->beams, &candidate);
        }
    }
    return status;
}

/* What the op ranked, on the host. */
static eet_status download_best(eet_session *s, int32_t count) {
    eet_beams *b = &s->generation.beams;
    const uint64_t bytes = (uint64_t)count * (uint64_t)b->best * sizeof(int32_t);
    eet_status status = s->api->download(s->backend, b->best_token, s->work.best_token, bytes);

    if (status == EET_OK) {
        status = s->api->download(s->backend, b->best_score, s->work.best_score, bytes);
    }
    if (status == EET_OK) {
        status = s->api->download(s->backend, b->best_log_prob, s->work.best_log_prob, bytes);
    }
    return status;
}

/* The ids that the penalty is for: all that the rows' sequences have with this step. */
static eet_status upload_history(eet_session *s, const eet_batch *batch, int32_t first,
                                 int32_t count) {
    int32_t *length = s->generation.beams.history_length;

    for (int32_t i = 0; i < count; ++i) {
        const int32_t row = first + i;

        length[i] = s->cache.sequence[eet_batch_sequence(batch, row)].length +
                    batch->start[row + 1] - batch->start[row];
    }
    const eet_status status = eet_pick_upload_history(s, batch, first, count);

    return status == EET_OK ? s->api->upload(s->backend, s->work.history_length, length,
                                             (uint64_t)count * sizeof *length)
                            : status;
}

eet_status eet_beam_pick(eet_session *s, const eet_batch *batch, int32_t first, int32_t count) {
    eet_generation *g = &s->generation;
    const eet_beams *b = &g->beams;
    const int32_t vocab = s->model->head[g->head].width;
    const eet_beam_args args = {
        .logits = s->work.result,
        .stride = vocab,
        .rows = count,
        .vocab = vocab,
        .penalty = g->how.penalty,
        .barred = b->length < g->least ? g->bars : 0,
        .bar = s->work.bar,
        .history = s->work.history,
        .history_stride = s->limits.tokens,
        .history_length = s->work.history_length,
        .count = b->best,
        .token = s->work.best_token,
        .score = s->work.best_score,
        .log_prob = s->work.best_log_prob,
    };

    if (b->forced_count > 0 && b->length == b->force_at) {
        return offer_forced(s, first, count);
    }
    eet_status status = g->how.penalty != 0.0F ? upload_history(s, batch, first, count) : EET_OK;

    if (status == EET_OK) {
        status = s->ops->beam(s->backend, &args);
    }
    if (status == EET_OK) {
        status = download_best(s, count);
    }
    if (status == EET_OK) {
        offer_ranked(g, first, count);
    }
    return status;
}

/* ---- which sequence a beam has ------------------------------------------ */

static void free_sequence(eet_session *s, eet_beams *b, int32_t row, int32_t sequence) {
    eet_beam_row *r = &b->row[row];

    eet_cache_trim(&s->cache, sequence, 0);
    b->spare[(int64_t)row * b->beams + r->spares++] = sequence;
}

/* A beam's first successor takes its sequence over, others fork it; what has no successor is
 * spare before that. */
static void hand_over(eet_session *s, eet_beams *b, int32_t row) {
    eet_beam_row *r = &b->row[row];
    const int64_t first = (int64_t)row * b->beams;
    const eet_beam_candidate *goes = b->goes + first;

    for (int32_t beam = 0; beam < r->open; ++beam) {
        bool goes_on = false;

        for (int32_t i = 0; i < r->goes; ++i) {
            goes_on = goes_on || goes[i].beam == beam;
        }
        if (!goes_on) {
            free_sequence(s, b, row, b->open[first + beam].sequence);
        }
    }
    for (int32_t i = 0; i < r->goes; ++i) {
        const int32_t from = b->open[first + goes[i].beam].sequence;
        bool taken = false;

        for (int32_t k = 0; k < i; ++k) {
            taken = taken || goes[k].beam == goes[i].beam;
        }
        b->next[first + i].sequence = taken ? b->spare[first + --r->spares] : from;
        eet_cache_fork(&s->cache, from, b->next[first + i].sequence);
    }
    for (int32_t i = 0; i < r->goes; ++i) {
        b->open[first + i] = b->next[first + i];
    }
    r->open = r->goes;
}

/* ---- the end of a row --------------------------------------------------- */

/* All sequences of the row are spare but its own, which keeps `length` tokens. */
static void free_beams(eet_session *s, eet_beams *b, int32_t row, int32_t length) {
    eet_beam_row *r = &b->row[row];

    for (int32_t i = 0; i < r->open; ++i) {
        const int32_t sequence = b->open[(int64_t)row * b->beams + i].sequence;

        if (sequence != r->sequence) {
            free_sequence(s, b, row, sequence);
        }
    }
    r->open = 0;
    eet_cache_trim(&s->cache, r->sequence, length);
}

/* The row's own sequence has the prompt alone. It may be spare, for want of candidates: then it
 * gets the prompt back from a beam; all of them begin with it. */
static void hold_prompt(eet_session *s, eet_beams *b, int32_t row) {
    const eet_beam_row *r = &b->row[row];

    eet_cache_fork(&s->cache, b->open[(int64_t)row * b->beams].sequence, r->sequence);
    free_beams(s, b, row, r->prompt);
}

/* The row's own sequence gets the best text, all but its last token: what an open beam has of
 * it, then the rest by a step. A cancellation waits for that. */
static eet_status hold_best(eet_generation *g, int32_t row, eet_error *err) {
    eet_session *s = g->session;
    eet_beams *b = &g->beams;
    eet_beam_row *r = &b->row[row];
    const eet_beam_kept *best = &b->kept[(int64_t)row * b->beams];
    const eet_beam_open *open = &b->open[(int64_t)row * b->beams];
    const int32_t rest = best->count > 0 ? best->count - 1 : 0;
    int32_t common = -1;
    int32_t from = r->sequence;

    for (int32_t i = 0; i < r->open; ++i) {
        const int32_t shared = eet_beam_common(b, best, &open[i]);

        from = shared > common ? open[i].sequence : from;
        common = shared > common ? shared : common;
    }
    common = common < rest ? common : rest;
    eet_cache_fork(&s->cache, from, r->sequence);
    free_beams(s, b, row, r->prompt + common);
    const int32_t start[] = {0, rest - common};
    const eet_batch batch = {
        .rows = 1,
        .start = start,
        .tokens = b->token + r->first + common,
        .sequence = &r->sequence,
    };
    const eet_request request = {0};
    eet_status status = start[1] > 0 ? eet_run_step(s, &batch, &request, err) : EET_OK;

    bool cancelled = false;

    for (; status == EET_E_CANCELLED; status = eet_run_step(s, &batch, &request, err)) {
        eet_error_clear(err);
        cancelled = true;
    }
    if (cancelled) {
        eet_session_cancel(s);
    }
    return status;
}

/* Candidates are there: the row goes on or ends. */
static eet_status advance(eet_generation *g, int32_t row, eet_error *err) {
    eet_beams *b = &g->beams;
    eet_beam_row *r = &b->row[row];
    bool over = eet_beam_choose(b, row);

    if (!over && b->length + 1 == r->most) {
        eet_beam_close(b, row, b->next + (int64_t)row * b->beams, r->goes, b->length + 1,
                       EET_FINISH_LENGTH);
        over = true;
    }
    if (!over) {
        hand_over(g->session, b, row);
        return EET_OK;
    }
    if (r->kept == 0) { /* no token had a chance: the texts as they are */
        eet_beam_close(b, row, b->open + (int64_t)row * b->beams, r->open, b->length,
                       EET_FINISH_LENGTH);
    }
    eet_beam_write(b, row);
    r->searching = false;
    return hold_best(g, row, err);
}

static eet_status advance_all(eet_generation *g, eet_error *err) {
    eet_beams *b = &g->beams;
    eet_status status = EET_OK;

    for (int32_t row = 0; row < b->rows && status == EET_OK; ++row) {
        if (b->row[row].searching) {
            status = advance(g, row, err);
        }
    }
    b->length += 1;
    return status;
}

static eet_status run(eet_generation *g, const eet_batch *batch, eet_error *err) {
    const eet_pick pick = {.head = &g->session->model->head[g->head], .beams = true};
    const eet_request request = {.pick = &pick};

    return eet_run_step(g->session, batch, &request, err);
}

/* One token more for every open beam. */
static eet_status step(eet_generation *g, eet_error *err) {
    eet_beams *b = &g->beams;
    eet_batch batch = {.start = g->start, .tokens = g->tokens, .sequence = g->sequence};

    g->start[0] = 0;
    for (int32_t row = 0; row < b->rows; ++row) {
        eet_beam_row *r = &b->row[row];

        r->goes = 0;
        r->ends = 0;
        for (int32_t i = 0; r->searching && i < r->open; ++i) {
            const int32_t lane = row * b->beams + i;

            b->lane[batch.rows] = lane;
            g->tokens[batch.rows] = b->node[b->open[lane].node].token;
            g->sequence[batch.rows] = b->open[lane].sequence;
            batch.rows += 1;
            g->start[batch.rows] = batch.rows;
        }
    }
    const eet_status status = run(g, &batch, err);

    return status == EET_OK ? advance_all(g, err) : status;
}

/* ---- the iterator ------------------------------------------------------- */

/* Every row that goes on ends here, with the texts that it has. Its sequence keeps its prompt. */
static void cancel(eet_generation *g) {
    eet_beams *b = &g->beams;

    for (int32_t row = 0; row < b->rows; ++row) {
        eet_beam_row *r = &b->row[row];

        if (r->searching) {
            eet_beam_close(b, row, b->open + (int64_t)row * b->beams, r->open, b->length,
                           EET_FINISH_CANCELLED);
            eet_beam_write(b, row);
            hold_prompt(g->session, b, row);
            r->searching = false;
            r->cancelled = true;
        }
    }
}

/* Events of a row that has ended: its best text, or that there is none, and a cancellation. */
static int32_t events_of(const eet_beams *b, int32_t row) {
    const int32_t tokens = b->kept[(int64_t)row * b->beams].count;

    return tokens + (b->row[row].cancelled || tokens == 0 ? 1 : 0);
}

/* Event number `at` of such a row. */
static eet_event event_of(const eet_beams *b, int32_t row, int32_t at) {
    const eet_beam_row *r = &b->row[row];
    const eet_beam_kept *best = &b->kept[(int64_t)row * b->beams];
    eet_event event = {.row = row, .token = -1, .position = r->prompt + at};

    if (at < best->count) {
        event.token = b->token[r->first + at];
        event.log_prob = b->log_prob[r->first + at];
    }
    if (at + 1 == events_of(b, row)) {
        event.finish = r->cancelled ? EET_FINISH_CANCELLED : best->finish;
    }
    return event;
}

static int32_t deliver(eet_beams *b, eet_event *out, int32_t room) {
    int32_t count = 0;

    for (int32_t row = 0; row < b->rows; ++row) {
        eet_beam_row *r = &b->row[row];

        while (!r->searching && r->delivered < events_of(b, row) && count < room) {
            out[count++] = event_of(b, row, r->delivered++);
        }
    }
    return count;
}

static bool any_searching(const eet_beams *b) {
    bool any = false;

    for (int32_t row = 0; row < b->rows; ++row) {
        any = any || b->row[row].searching;
    }
    return any;
}

eet_status eet_beams_next(eet_generation *g, eet_event *out, int32_t room, int32_t *count,
                          eet_error *err) {
    eet_beams *b = &g->beams;
    int32_t delivered = 0;

    if (eet_session_stopped(g->session)) {
        cancel(g);
    }
    for (delivered = deliver(b, out, room); delivered == 0 && any_searching(b);
         delivered = deliver(b, out, room)) {
        const eet_status status = step(g, err);

        if (status == EET_E_CANCELLED) {
            eet_error_clear(err);
            cancel(g);
        } else if (status != EET_OK) {
            return status;
        }
    }
    *count = delivered;
    return EET_OK;
}

/* ---- begin and end ------------------------------------------------------ */

static void begin_rows(eet_generation *g, const eet_batch *prompts, int32_t wanted) {
    eet_session *s = g->session;
    eet_beams *b = &g->beams;
    int32_t first = 0;
    int32_t id = 0;

    for (int32_t row = 0; row < b->rows; ++row) {
        eet_beam_row *r = &b->row[row];
        const int32_t sequence = eet_batch_sequence(prompts, row);

        *r = (eet_beam_row){
            .sequence = sequence,
            .prompt = (int32_t)eet_batch_end(s, prompts, row),
            .most = eet_generation_room(s, prompts, row, wanted),
            .first = first,
            .open = 1,
            .searching = true,
        };
        b->open[(int64_t)row * b->beams] = (eet_beam_open){.sequence = sequence, .node = -1};
        b->lane[row] = row * b->beams;
        for (; r->spares < b->beams - 1; ++id) {
            if (eet_beams_may_have(s, id)) {
                b->spare[(int64_t)row * b->beams + r->spares++] = id;
            }
        }
        first += b->beams * r->most;
    }
}

eet_status eet_beams_begin(eet_generation *g, const eet_batch *prompts,
                           const eet_generate_options *o, eet_error *err) {
    eet_beams *b = &g->beams;
    const int32_t vocab = g->session->model->head[g->head].width;
    const int32_t best = o->beams + g->bars; /* as many go on whichever of these end a text */

    b->beams = o->beams;
    b->rows = prompts->rows;
    b->early_stopping = o->early_stopping;
    b->length_penalty = o->length_penalty != 0.0 ? o->length_penalty : 1.0;
    b->length = 0;
    b->best = best < vocab ? best : vocab;
    b->forced_count = o->forced_count;
    b->force_at = o->max_new_tokens - 1;
    for (int32_t i = 0; i < o->forced_count; ++i) {
        b->forced[i] = o->forced[i];
    }
    begin_rows(g, prompts, o->max_new_tokens);
    eet_status status = run(g, prompts, err);

    if (status == EET_OK) {
        status = advance_all(g, err);
    }
    if (status != EET_OK) {
        b->beams = 0;
    }
    return status;
}

void eet_beams_end(eet_generation *g) {
    eet_beams *b = &g->beams;

    for (int32_t row = 0; row < b->rows; ++row) {
        if (b->row[row].searching) {
            hold_prompt(g->session, b, row);
        }
    }
    b->beams = 0;
}
