/* generate.c - generation as an iterator: each step's choices wait until they are delivered,
 * then they are the next step's tokens. */
#include "engine/generate.h"

#include <stddef.h>
#include <string.h>

#include "engine/run.h"
#include "kernels/advance.h"

void eet_generation_layout(eet_generation *g, int32_t sequences, eet_arena *host) {
    const uint64_t rows = (uint64_t)sequences;

    g->row = eet_arena_take(host, rows, sizeof *g->row);
    g->start = eet_arena_take(host, rows + 1, sizeof *g->start);
    g->tokens = eet_arena_take(host, rows, sizeof *g->tokens);
    g->sequence = eet_arena_take(host, rows, sizeof *g->sequence);
    g->sampler = eet_arena_take(host, rows, sizeof *g->sampler);
    g->choice = eet_arena_take(host, rows, sizeof *g->choice);
    g->log_prob = eet_arena_take(host, rows, sizeof *g->log_prob);
    g->top_token = eet_arena_take(host, rows * EET_MAX_TOP, sizeof *g->top_token);
    g->top_log_prob = eet_arena_take(host, rows * EET_MAX_TOP, sizeof *g->top_log_prob);
    eet_ahead_layout(&g->ahead, host);
}

/* ---- choices ------------------------------------------------------------ */

/* How a row's next token is chosen, which comes after `length` tokens of its sequence. */
static eet_sampler sampler_of(const eet_generation *g, const eet_generated *row, int32_t length) {
    eet_sampler sampler = g->how;

    sampler.stream = row->stream;
    sampler.position = length;
    sampler.history = length;
    sampler.barred = eet_barred_after(row->count, g->least, g->bars);
    return sampler;
}

/* One step that ends with a choice for each row, in g->choice; its samplers are filled in. */
static eet_status choose(eet_generation *g, const eet_batch *batch, eet_error *err) {
    eet_session *s = g->session;
    bool processed = g->processed;

    for (int32_t r = 0; r < batch->rows; ++r) {
        processed = processed || g->sampler[r].barred > 0;
    }
    const eet_pick pick = {
        .head = &s->model->head[g->head],
        .sampler = processed ? g->sampler : NULL,
        .token = g->choice,
        .log_prob = g->log_prob,
        .top = g->top,
        .top_stride = EET_MAX_TOP,
        .top_token = g->top_token,
        .top_log_prob = g->top_log_prob,
    };
    const eet_request request = {.pick = &pick};

    return eet_run_step(s, batch, &request, err);
}

int32_t eet_generation_finish(const eet_generation *g, int32_t token) {
    return eet_ending_of(token, g->eos, g->stop, g->stops, 1);
}

/* The row's next token, which comes behind all of its sequence. */
static void note_choice(eet_generation *g, eet_generated *row, int32_t token, float log_prob) {
    row->token = token;
    row->log_prob = log_prob;
    row->position = g->session->cache.sequence[row->sequence].length;
    row->count += 1;
    row->left -= 1;
    row->finish = eet_ending_of(token, g->eos, g->stop, g->stops, row->left);
    row->waiting = true;
}

static void note_choice_at(eet_generation *g, eet_generated *row, int32_t at) {
    note_choice(g, row, g->choice[at], g->log_prob[at]);
    row->top = at;
}

/* ---- the start ---------------------------------------------------------- */

/* Takes the pages that the rows may need, over what the first step will take. */
static void begin_rows(eet_generation *g, const eet_batch *prompts, const eet_generate_options *o) {
    eet_session *s = g->session;

    for (int32_t r = 0; r < prompts->rows; ++r) {
        const int32_t id = eet_batch_sequence(prompts, r);
        const int32_t left = eet_generation_room(s, prompts, r, o->max_new_tokens);
        const int32_t prompt = (int32_t)eet_batch_end(s, prompts, r);

        g->row[r] = (eet_generated){
            .stream = o->stream != NULL ? o->stream[r] : (uint64_t)r,
            .sequence = id,
            .left = left,
            .open = true,
        };
        g->sampler[r] = sampler_of(g, &g->row[r], prompt);
        eet_cache_take(&s->cache, id, (int64_t)prompt + left - 1);
    }
}

/* The first choice of every row. */
static eet_status begin_choices(eet_generation *g, const eet_batch *prompts,
                                const eet_generate_options *o, eet_error *err) {
    begin_rows(g, prompts, o);
    const eet_status status = choose(g, prompts, err); /* a failure gives all pages back */

    for (int32_t r = 0; status == EET_OK && r < g->rows; ++r) {
        note_choice_at(g, &g->row[r], r);
    }
    return status;
}

static void take_options(eet_generation *g, const eet_generate_options *o) {
    const eet_session *s = g->session;
    const int32_t vocab = s->model->stack[EET_DEC].vocab_size;

    g->head = o->head;
    g->eos = o->ignore_eos != 0 ? -1 : s->model->facts->stack[EET_DEC].tok_eos;
    g->stops = o->stop_count;
    g->bars = 0;
    for (int32_t i = 0; i < o->stop_count; ++i) {
        g->stop[i] = o->stop[i];
        g->bar[g->bars++] = o->stop[i];
    }
    if (g->eos >= 0) {
        g->bar[g->bars++] = g->eos;
    }
    g->least = o->min_new_tokens;
    g->top = o->top_n < vocab ? o->top_n : vocab;
    g->how = (eet_sampler){
        .seed = o->seed,
        .temperature = o->temperature,
        .top_p = o->top_p,
        .penalty = o->repetition_penalty != 1.0 ? (float)o->repetition_penalty : 0.0F,
        .top_k = o->top_k,
    };
    g->processed = o->temperature != 0.0 || g->how.penalty != 0.0F;
}

eet_status eet_generation_start(eet_session *s, const eet_batch *prompts,
                                const eet_generate_options *o, eet_generation **out,
                                eet_error *err) {
    eet_generation *g = &s->generation;
    eet_status status = eet_generation_check(s, prompts, o, err);

    if (status != EET_OK) {
        return status;
    }
    g->session = s;
    g->rows = prompts->rows;
    eet_ahead_reset(&g->ahead);
    take_options(g, o);
    status = s->api->upload(s->backend, s->work.bar, g->bar, (uint64_t)g->bars * sizeof *g->bar);
    if (status != EET_OK) {
        status = eet_fail(err, status, EET_NOWHERE, "ids do not reach the device");
    } else {
        status =
            o->beams > 1 ? eet_beams_begin(g, prompts, o, err) : begin_choices(g, prompts, o, err);
    }
    if (status != EET_OK) {
        g->session = NULL;
        return status;
    }
    *out = g;
    return EET_OK;
}

/* ---- steps -------------------------------------------------------------- */

static void close_row(eet_generation *g, eet_generated *row) {
    row->open = false;
    row->waiting = false;
    eet_cache_shrink(&g->session->cache, row->sequence);
}

/* The choices that wait, as many as there is room for. */
static int32_t deliver(eet_generation *g, eet_event *out, int32_t room) {
    int32_t count = 0;

    for (int32_t r = 0; r < g->rows && count < room; ++r) {
        eet_generated *row = &g->row[r];

        if (row->waiting) {
            out[count++] = (eet_event){
                .row = r,
                .token = row->token,
                .position = row->position,
                .finish = row->finish,
                .log_prob = row->log_prob,
            };
            row->waiting = false;
            row->delivered = true;
            if (row->finish != EET_FINISH_NONE) {
                close_row(g, row);
            }
        }
    }
    return count;
}

/* Every open row ends here, without a token; but one whose last token waits has ended with it. */
static void cancel_rows(eet_generation *g) {
    for (int32_t r = 0; r < g->rows; ++r) {
        eet_generated *row = &g->row[r];

        if (row->open && row->finish == EET_FINISH_NONE) {
            row->position = g->session->cache.sequence[row->sequence].length;
            row->token = -1;
            row->log_prob = 0;
            row->finish = EET_FINISH_CANCELLED;
            row->waiting = true;
        }
    }
}

void eet_generation_feed(eet_generation *g, eet_batch *batch, int32_t r) {
    const eet_generated *row = &g->row[r];

    g->tokens[batch->rows] = row->token;
    g->sequence[batch->rows] = row->sequence;
    g->sampler[batch->rows] = sampler_of(g, row, row->position + 1);
    batch->rows += 1;
    g->start[batch->rows] = batch->rows;
}

/* A step of the device's is over: the open rows have fed their choices and made the next ones. */
static void note_step(eet_generation *g, const eet_step_end *end) {
    eet_cache *cache = &g->session->cache;

    for (int32_t i = 0; i < g->ahead.rows; ++i) {
        eet_generated *row = &g->row[g->ahead.row[i]];

        if (row->open) {
            eet_sequence *sequence = &cache->sequence[row->sequence];

            eet_cache_ids(cache, row->sequence)[sequence->length] = row->token;
            sequence->length += 1;
            note_choice(g, row, end->row[i].token, end->row[i].log_prob);
        }
    }
}

/* Feeds the open rows their choices and notes the next ones. */
static eet_status step_here(eet_generation *g, eet_error *err) {
    eet_batch batch = {.start = g->start, .tokens = g->tokens, .sequence = g->sequence};

    g->start[0] = 0;
    for (int32_t r = 0; r < g->rows; ++r) {
        if (g->row[r].open) {
            eet_generation_feed(g, &batch, r);
        }
    }
    if (batch.rows == 0) {
        return EET_OK;
    }
    const eet_status status = choose(g, &batch, err);
    int32_t at = 0;

    for (int32_t r = 0; status == EET_OK && r < g->rows; ++r) {
        if (g->row[r].open) {
            note_choice_at(g, &g->row[r], at++);
        }
    }
    return status;
}

/* The same, by the device where it can. */
static eet_status step(eet_generation *g, eet_error *err) {
    const eet_step_end *end = NULL;
    const eet_status status = eet_ahead_step(g, &end, err);

    if (end != NULL) {
        note_step(g, end);
    }
    return status != EET_OK || end != NULL ? status : step_here(g, err);
}

eet_status eet_generation_next(eet_generation *g, eet_event *out, int32_t room, int32_t *count,
                               eet_error *err) {
    if (g->beams.beams > 1) {
        return eet_beams_next(g, out, room, count, err);
    }
    if (eet_session_stopped(g->session)) {
        cancel_rows(g);
    }
    for (int32_t r = 0; r < g->rows; ++r) {
        g->row[r].delivered = false;
    }
    int32_t delivered = deliver(g, out, room);

    if (delivered == 0) {
        const eet_status status = step(g, err);

        if (status == EET_E_CANCELLED) {
            eet_error_clear(err);
            cancel_rows(g);
        } else if (status != EET_OK) {
            return status;
        }
        delivered = deliver(g, out, room);
    }
    *count = delivered;
    return EET_OK;
}

eet_status eet_generation_top(const eet_generation *g, const eet_event *event, int32_t *tokens,
                              float *log_probs, int32_t room, int32_t *count, eet_error *err) {
    const eet_generated *row = event->row >= 0 && event->row < g->rows ? &g->row[event->row] : NULL;

    if (g->beams.beams > 1) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a beam search tells no likeliest tokens; ask for its beams");
    }
    if (row == NULL || !row->delivered || row->position != event->position) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "row %d, position %d is no event of the latest eet_generate_next",
                        (int)event->row, (int)event->position);
    }
    const int32_t told = row->finish == EET_FINISH_CANCELLED ? 0 : g->top;
    const int64_t at = (int64_t)row->top * EET_MAX_TOP;

    if (room < told) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "there is room for %d likeliest tokens; there are %d", (int)room,
                        (int)told);
    }
    if (told > 0) {
        memcpy(tokens, g->top_token + at, (size_t)told * sizeof *tokens);
        memcpy(log_probs, g->top_log_prob + at, (size_t)told * sizeof *log_probs);
    }
    *count = told;
    return EET_OK;
}

void eet_generation_end(eet_generation *g) {
    if (g->beams.beams > 1) {
        eet_beams_end(g);
        g->session = NULL;
        return;
    }
    for (int32_t r = 0; r < g->rows; ++r) {
        eet_cache_shrink(&g->session->cache, g->row[r].sequence);
    }
    g->session = NULL;
}
