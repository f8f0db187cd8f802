/* generate.c - greedy generation as an iterator: each step's choices wait until they are
 * delivered, then they are the next step's tokens. */
#include "engine/generate.h"

#include <stddef.h>
#include <string.h>

#include "engine/run.h"

void eet_generation_layout(eet_generation *g, int32_t sequences, eet_arena *host) {
    const uint64_t rows = (uint64_t)sequences;

    g->row = eet_arena_take(host, rows, sizeof *g->row);
    g->start = eet_arena_take(host, rows + 1, sizeof *g->start);
    g->tokens = eet_arena_take(host, rows, sizeof *g->tokens);
    g->sequence = eet_arena_take(host, rows, sizeof *g->sequence);
    g->choice = eet_arena_take(host, rows, sizeof *g->choice);
    g->log_prob = eet_arena_take(host, rows, sizeof *g->log_prob);
}

static eet_status check_options(const eet_generate_options *o, eet_error *err) {
    if (o->top_k != 0 || o->temperature != 0 || o->top_p != 0 || o->repetition_penalty != 0 ||
        o->min_new_tokens != 0 || o->beams != 0 || o->seed != 0 || o->stream != NULL ||
        o->length_penalty != 0 || o->early_stopping != 0 || o->top_n != 0) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "sampling and beams come with a later version; this one is greedy");
    }
    if (o->max_new_tokens < 0 || o->stop_count < 0 || (o->stop_count > 0 && o->stop == NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "max_new_tokens is %d and stop_count %d; the stop ids are in `stop`",
                        (int)o->max_new_tokens, (int)o->stop_count);
    }
    if (o->stop_count > EET_MAX_STOPS) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE, "%d stop ids; at most %d are possible",
                        (int)o->stop_count, EET_MAX_STOPS);
    }
    return EET_OK;
}

static eet_status check_model(const eet_session *s, const eet_generate_options *o, eet_error *err) {
    const eet_model *model = s->model;

    if (!model->facts->stack[EET_DEC].present || model->facts->stack[EET_DEC].cross) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        model->facts->stack[EET_DEC].present
                            ? "decoders with cross attention come with a later version"
                            : "the model has no decoder; use eet_encode");
    }
    if (model->facts->heads == 0) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no head that scores tokens");
    }
    if (o->head < 0 || o->head >= model->facts->heads) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no head %d; the model has %d",
                        (int)o->head, (int)model->facts->heads);
    }
    if (model->facts->head[o->head].stack != EET_DEC || model->head[o->head].out.w.data == NULL ||
        model->head[o->head].width != model->stack[EET_DEC].vocab_size) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "head \"%s\" does not score the tokens of the vocabulary",
                        model->facts->head[o->head].name);
    }
    return EET_OK;
}

/* Tokens that a row may choose: its sequence and the model's positions are bounds. The
 * last choice is not fed, so that it needs no place. */
static int32_t room_of(const eet_session *s, const eet_batch *prompts, int32_t row,
                       int32_t wanted) {
    const eet_stack *stack = &s->model->stack[EET_DEC];
    const int32_t id = eet_batch_sequence(prompts, row);
    const int32_t before = s->cache.sequence[id].length;
    const int32_t prompt = prompts->start[row + 1] - prompts->start[row];
    int32_t room = s->limits.tokens - before - prompt;

    if (stack->pos_rows > 0) {
        int32_t positions = stack->pos_rows - eet_cache_counted(&s->cache, id, before);

        for (int32_t i = prompts->start[row]; i < prompts->start[row + 1]; ++i) {
            positions -= stack->pos_skip_pad && prompts->tokens[i] == stack->tok_pad ? 0 : 1;
        }
        room = positions < room ? positions : room;
    }
    room += 1;
    return wanted > 0 && wanted < room ? wanted : room;
}

/* Pages for all that the rows may choose are taken at the start: no row is cut short by
 * another one. */
static eet_status check_pages(const eet_session *s, const eet_batch *prompts, int32_t wanted,
                              eet_error *err) {
    int64_t lacks = 0;

    for (int32_t r = 0; r < prompts->rows; ++r) {
        const int32_t id = eet_batch_sequence(prompts, r);
        const int64_t end = (int64_t)s->cache.sequence[id].length + prompts->start[r + 1] -
                            prompts->start[r] + room_of(s, prompts, r, wanted) - 1;

        lacks += eet_cache_lacks(&s->cache, id, end);
    }
    if (lacks > s->cache.free_count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the generation needs %lld pages of %d tokens; %d of the cache's %d are "
                        "free; ask for fewer max_new_tokens",
                        (long long)lacks, EET_PAGE_TOKENS, (int)s->cache.free_count,
                        (int)s->cache.pages.pages);
    }
    return EET_OK;
}

static eet_status check_start(eet_session *s, const eet_batch *prompts,
                              const eet_generate_options *o, eet_error *err) {
    eet_status status = check_options(o, err);

    if (status == EET_OK) {
        status = check_model(s, o, err);
    }
    if (status == EET_OK && prompts->positions != NULL) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "a generation counts positions itself; leave them out");
    }
    if (status == EET_OK) {
        status = eet_batch_check(&s->model->stack[EET_DEC], prompts, err);
    }
    if (status == EET_OK) {
        status = eet_batch_check_sequences(s, &s->model->stack[EET_DEC], prompts, err);
    }
    return status == EET_OK ? check_pages(s, prompts, o->max_new_tokens, err) : status;
}

/* One step that ends with the greedy choice of each row, in g->choice. */
static eet_status choose(eet_generation *g, const eet_batch *batch, eet_error *err) {
    eet_session *s = g->session;
    const eet_wanted choice = {
        .head = &s->model->head[g->head],
        .take = EET_TAKE_LAST,
        .dtype = EET_F32,
        .width = s->model->head[g->head].width,
        .total = batch->rows,
        .token = g->choice,
        .log_prob = g->log_prob,
    };
    const eet_request request = {.choice = &choice};

    return eet_run_step(s, batch, &request, err);
}

static int32_t finish_of(const eet_generation *g, const eet_generated *row) {
    if (row->token == g->eos) {
        return EET_FINISH_EOS;
    }
    for (int32_t i = 0; i < g->stops; ++i) {
        if (row->token == g->stop[i]) {
            return EET_FINISH_STOP;
        }
    }
    return row->left == 0 ? EET_FINISH_LENGTH : EET_FINISH_NONE;
}

static void note_choice(eet_generation *g, eet_generated *row, int32_t at) {
    const eet_cache *cache = &g->session->cache;

    row->token = g->choice[at];
    row->log_prob = g->log_prob[at];
    row->position = cache->sequence[row->sequence].length;
    row->left -= 1;
    row->finish = finish_of(g, row);
    row->waiting = true;
}

/* Takes the pages that the rows may need, over what the first step will take. */
static void begin_rows(eet_generation *g, const eet_batch *prompts, int32_t wanted) {
    eet_session *s = g->session;

    for (int32_t r = 0; r < prompts->rows; ++r) {
        const int32_t id = eet_batch_sequence(prompts, r);
        const int32_t left = room_of(s, prompts, r, wanted);

        g->row[r] = (eet_generated){.sequence = id, .left = left, .open = true};
        eet_cache_take(&s->cache, id,
                       (int64_t)s->cache.sequence[id].length + prompts->start[r + 1] -
                           prompts->start[r] + left - 1);
    }
}

eet_status eet_generation_start(eet_session *s, const eet_batch *prompts,
                                const eet_generate_options *o, eet_generation **out,
                                eet_error *err) {
    eet_generation *g = &s->generation;
    eet_status status = check_start(s, prompts, o, err);

    if (status != EET_OK) {
        return status;
    }
    g->session = s;
    g->head = o->head;
    g->rows = prompts->rows;
    g->eos = o->ignore_eos != 0 ? -1 : s->model->facts->stack[EET_DEC].tok_eos;
    g->stops = o->stop_count;
    for (int32_t i = 0; i < o->stop_count; ++i) {
        g->stop[i] = o->stop[i];
    }
    begin_rows(g, prompts, o->max_new_tokens);
    status = choose(g, prompts, err); /* a failure gives all pages back */
    if (status != EET_OK) {
        g->session = NULL;
        return status;
    }
    for (int32_t r = 0; r < g->rows; ++r) {
        note_choice(g, &g->row[r], r);
    }
    *out = g;
    return EET_OK;
}

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
            if (row->finish != EET_FINISH_NONE) {
                close_row(g, row);
            }
        }
    }
    return count;
}

/* Every open row ends here, without a token. */
static void cancel_rows(eet_generation *g) {
    for (int32_t r = 0; r < g->rows; ++r) {
        eet_generated *row = &g->row[r];

        if (row->open) {
            row->position = g->session->cache.sequence[row->sequence].length;
            row->token = -1;
            row->log_prob = 0;
            row->finish = EET_FINISH_CANCELLED;
            row->waiting = true;
        }
    }
}

/* Feeds the open rows their choices and notes the next ones. */
static eet_status step(eet_generation *g, eet_error *err) {
    eet_batch batch = {.start = g->start, .tokens = g->tokens, .sequence = g->sequence};

    g->start[0] = 0;
    for (int32_t r = 0; r < g->rows; ++r) {
        if (g->row[r].open) {
            g->tokens[batch.rows] = g->row[r].token;
            g->sequence[batch.rows] = g->row[r].sequence;
            batch.rows += 1;
            g->start[batch.rows] = batch.rows;
        }
    }
    if (batch.rows == 0) {
        return EET_OK;
    }
    const eet_status status = choose(g, &batch, err);
    int32_t at = 0;

    for (int32_t r = 0; status == EET_OK && r < g->rows; ++r) {
        if (g->row[r].open) {
            note_choice(g, &g->row[r], at++);
        }
    }
    return status;
}

eet_status eet_generation_next(eet_generation *g, eet_event *out, int32_t room, int32_t *count,
                               eet_error *err) {
    if (eet_session_stopped(g->session)) {
        cancel_rows(g);
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

void eet_generation_end(eet_generation *g) {
    for (int32_t r = 0; r < g->rows; ++r) {
        eet_cache_shrink(&g->session->cache, g->row[r].sequence);
    }
    g->session = NULL;
}
