/* ahead.c - keeps a few steps queued on the device.
 *
 * All pages that the rows may need were taken when the generation began, so that the inputs of the
 * first step are the host's and those of each other one are written by the op `advance`. The host
 * takes what steps came to in their order; it looks at nothing that the device has beside that. A
 * step that is queued when the generation ends changes nothing that is read later: what comes after
 * it in the stream writes its own inputs, and its keys lie behind the rows' lengths. */
#include "engine/ahead.h"

#include <stddef.h>
#include <time.h>

#include "engine/device.h"
#include "engine/graphs.h"
#include "engine/run.h"
#include "kernels/advance.h"

static const int64_t queued_ns = 50 * 1000 * 1000; /* what queued steps take together, about */

_Static_assert((int)EET_GOES_ON == (int)EET_FINISH_NONE &&
                   (int)EET_ENDS_EOS == (int)EET_FINISH_EOS &&
                   (int)EET_ENDS_STOP == (int)EET_FINISH_STOP &&
                   (int)EET_ENDS_LENGTH == (int)EET_FINISH_LENGTH,
               "an ending of a device is a finish of the interface");

void eet_ahead_layout(eet_ahead *a, eet_arena *host) {
    a->row = eet_arena_take(host, EET_FEW_TOKENS, sizeof *a->row);
    a->index = eet_arena_take(host, EET_FEW_TOKENS, sizeof *a->index);
    a->state = eet_arena_take(host, EET_FEW_TOKENS, sizeof *a->state);
}

eet_status eet_ahead_make(eet_session *s, eet_error *err) {
    eet_ahead *a = &s->generation.ahead;

    if (!s->records || s->limits.choices == 0) {
        return EET_OK;
    }
    a->shared = s->api->share(s->backend, sizeof *a->shared);
    if (a->shared == NULL) {
        return eet_fail(err, eet_device_denied(s->api, s->backend), EET_NOWHERE,
                        "no memory that the host shares with the %s backend", s->api->name);
    }
    for (int32_t i = 0; i < EET_FEW_TOKENS; ++i) {
        a->index[i] = i;
    }
    return EET_OK;
}

/* Queued steps write into the ring until they are over. */
void eet_ahead_free(eet_session *s) {
    eet_ahead *a = &s->generation.ahead;

    if (a->shared != NULL) {
        (void)s->api->sync(s->backend);
        s->api->unshare(s->backend, a->shared);
        a->shared = NULL;
    }
}

/* The host looks at the session's flag before it takes a step, and obeys it; so the device may only
 * be told of a turn that was there before the flag was: a later one's rows go on for somebody. */
void eet_ahead_cancel(eet_session *s) {
    eet_ahead *a = &s->generation.ahead;
    const uint64_t turn = atomic_load(&a->turn);

    atomic_store(&s->cancelled, 1);
    if (a->shared != NULL && eet_device_is_here(s->model->device, s->process)) {
        atomic_store(&a->shared->cancelled, turn);
    }
}

void eet_ahead_reset(eet_ahead *a) {
    a->going = false;
    a->taken = a->launched;
}

/* ---- the start ---------------------------------------------------------- */

static bool looks_at_source(const eet_session *s, int32_t sequence) {
    return s->model->facts->stack[EET_DEC].cross && s->cache.sequence[sequence].source >= 0;
}

/* Can rows of this number, those in a->row, take steps ahead? */
static bool is_possible(const eet_generation *g, int32_t rows) {
    const eet_session *s = g->session;
    const eet_limits *l = &s->limits;
    const bool cross = looks_at_source(s, g->sequence[0]);
    bool alike = true;

    for (int32_t i = 0; i < rows; ++i) {
        alike = alike && looks_at_source(s, g->sequence[i]) == cross;
    }
    return alike && rows <= l->choices && rows <= l->batch_tokens &&
           (!cross || rows <= l->source_rows);
}

/* The open rows as a step's, of one token each, which go->sampler is for as well. False: there are
 * too many. */
static bool gather_rows(eet_generation *g, eet_batch *batch) {
    eet_ahead *a = &g->ahead;

    *batch = (eet_batch){.start = g->start, .tokens = g->tokens, .sequence = g->sequence};
    g->start[0] = 0;
    for (int32_t r = 0; r < g->rows; ++r) {
        if (g->row[r].open && batch->rows == EET_FEW_TOKENS) {
            return false;
        }
        if (g->row[r].open) {
            a->row[batch->rows] = r;
            eet_generation_feed(g, batch, r);
        }
    }
    return batch->rows > 0;
}

/* What the device is to know of a row that feeds its choice. */
static eet_going going_of(const eet_session *s, const eet_generated *row) {
    const int32_t before = s->cache.sequence[row->sequence].length;
    const int32_t counted = eet_cache_counted(&s->cache, row->sequence, before);

    return (eet_going){
        .length = before + 1,
        .counted = counted + (row->token == s->cache.pad ? 0 : 1),
        .count = row->count,
        .left = row->left,
    };
}

static eet_status upload_rules(eet_generation *g) {
    eet_session *s = g->session;
    const eet_going_rules rules = {
        .steps = g->ahead.launched,
        .turn = atomic_fetch_add(&g->ahead.turn, 1) + 1,
        .eos = g->eos,
        .stops = g->stops,
        .bars = g->bars,
        .least = g->least,
        .pad = s->cache.pad,
    };

    return s->api->upload(s->backend, s->work.rules, &rules, sizeof rules);
}

static eet_status upload_samplers(eet_generation *g, const eet_batch *batch) {
    eet_session *s = g->session;
    const uint64_t bytes = (uint64_t)batch->rows * sizeof *g->sampler;
    const eet_status status = s->api->upload(s->backend, s->work.sampler, g->sampler, bytes);

    return status == EET_OK && g->how.penalty != 0.0F
               ? eet_pick_upload_history(s, batch, 0, batch->rows)
               : status;
}

/* All that the steps read and the host knows. */
static eet_status upload_rows(eet_generation *g, const eet_batch *batch) {
    eet_session *s = g->session;
    eet_ahead *a = &g->ahead;
    const uint64_t rows = (uint64_t)batch->rows;

    a->sampled = g->processed;
    for (int32_t i = 0; i < batch->rows; ++i) {
        a->state[i] = going_of(s, &g->row[a->row[i]]);
        a->sampled = a->sampled || g->sampler[i].barred > 0;
    }
    eet_status status =
        s->api->upload(s->backend, s->work.index, a->index, rows * sizeof *a->index);

    if (status == EET_OK) {
        status = s->api->upload(s->backend, s->work.going, a->state, rows * sizeof *a->state);
    }
    if (status == EET_OK) {
        status = upload_rules(g);
    }
    return status == EET_OK && a->sampled ? upload_samplers(g, batch) : status;
}

/* The device gets to know the rows, where it can go on with them: a->going. */
static eet_status start(eet_generation *g, eet_error *err) {
    eet_session *s = g->session;
    eet_ahead *a = &g->ahead;
    eet_batch batch;

    a->going = false;
    if (!gather_rows(g, &batch) || !is_possible(g, batch.rows)) {
        return EET_OK;
    }
    eet_pass pass = {
        .stack = &s->model->stack[EET_DEC],
        .batch = &batch,
        .paged = true,
        .cross = looks_at_source(s, g->sequence[0]),
        .few = true,
        .tokens = batch.rows,
    };
    eet_status status = eet_inputs_write(s, &pass, err);

    if (status != EET_OK || pass.graph < 0 || s->graph[pass.graph].recorded == NULL) {
        return status;
    }
    status = upload_rows(g, &batch);
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "the rows do not reach the device");
    }
    a->graph = pass.graph;
    a->rows = batch.rows;
    a->going = true;
    a->took[0] = a->took[1] = 0;
    return EET_OK;
}

/* ---- how many ------------------------------------------------------------ */

static int64_t now_ns(void) {
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * 1000 * 1000 + now.tv_nsec;
}

/* The oldest queued step has ended. It is known how long it took when the host waited for it and
 * for the one before it, or saw it begin; the next one begins now. */
static void note_end(eet_ahead *a, bool waited) {
    const int64_t now = waited ? now_ns() : 0;

    if (waited && a->begun != 0) {
        const int64_t took = now > a->begun ? now - a->begun : 1;

        a->took[0] = a->took[1] != 0 ? a->took[1] : took;
        a->took[1] = took;
    }
    a->begun = now;
}

/* One until it is known what a step takes; of two that the host has seen the faster one, since it
 * is the host that may have been away. */
static int32_t queue_length(const eet_ahead *a) {
    const int64_t step = a->took[0] < a->took[1] ? a->took[0] : a->took[1];
    const int64_t steps = step > 0 ? queued_ns / step : 1;

    return steps < 1 ? 1 : steps > EET_MOST_AHEAD ? EET_MOST_AHEAD : (int32_t)steps;
}

/* ---- steps -------------------------------------------------------------- */

static eet_status advance(eet_generation *g) {
    eet_session *s = g->session;
    const eet_advance_args args = {
        .rows = g->ahead.rows,
        .rules = s->work.rules,
        .going = s->work.going,
        .token = s->work.token,
        .log_prob = s->work.log_prob,
        .bar = s->work.bar,
        .sampler = g->ahead.sampled ? s->work.sampler : NULL,
        .history = g->how.penalty != 0.0F ? s->work.history : NULL,
        .history_stride = s->limits.tokens,
        .page_table = s->work.in.page_table,
        .table_stride = s->cache.stride,
        .nowhere = (int64_t)s->limits.pages * EET_PAGE_TOKENS,
        .slot = s->work.in.slot,
        .ids = s->work.in.ids,
        .positions = s->work.in.positions,
        .kv_length = s->work.in.kv_length,
        .ring = g->ahead.shared->ring,
        .slots = EET_ENDS,
        .cancelled = (const uint64_t *)&g->ahead.shared->cancelled,
    };

    return s->ops->advance(s->backend, &args);
}

/* One step more behind those that are queued. */
static eet_status launch(eet_generation *g, eet_error *err) {
    eet_session *s = g->session;
    eet_ahead *a = &g->ahead;
    const eet_pass pass = {
        .stack = &s->model->stack[EET_DEC], .few = true, .graph = a->graph, .tokens = a->rows};
    const eet_head *head = &s->model->head[g->head];
    const eet_wanted wanted = eet_pick_wanted(head, a->rows);
    const float *logits = NULL;
    eet_hidden hidden;

    a->begun = a->launched == a->taken ? now_ns() : a->begun;
    s->api->range(s->backend, "step ahead", -1);
    eet_status status = eet_graphs_run(s, &pass, &hidden, err);

    if (status == EET_OK) {
        status = eet_head_run(s, &pass, &hidden, &wanted, 0, a->rows, &logits);
        if (status == EET_OK) {
            const eet_sample_args args = eet_pick_sample_args(s, head, logits, a->rows, a->sampled);

            status = s->ops->sample(s->backend, &args);
        }
        if (status == EET_OK) {
            status = advance(g);
        }
        if (status != EET_OK) {
            status = eet_fail(err, status, EET_NOWHERE, "a step ahead failed on the %s backend",
                              s->api->name);
        }
    }
    s->api->range(s->backend, NULL, -1);
    a->launched += status == EET_OK ? 1 : 0;
    return status;
}

/* Rows that have ended leave when half as wide a step is enough for the others. */
static bool is_too_wide(const eet_generation *g, int32_t open) {
    return 2 * open <= g->session->graph[g->ahead.graph].tokens;
}

/* The open rows, and the most tokens that one of them may still choose. */
static int32_t count_open(const eet_generation *g, int32_t *most) {
    int32_t open = 0;

    *most = 0;
    for (int32_t r = 0; r < g->rows; ++r) {
        if (g->row[r].open) {
            open += 1;
            *most = g->row[r].left > *most ? g->row[r].left : *most;
        }
    }
    return open;
}

/* As many steps as are to be queued: no row needs more, and none where rows are to leave first. */
static eet_status fill_queue(eet_generation *g, int32_t open, int32_t most, eet_error *err) {
    eet_ahead *a = &g->ahead;
    eet_status status = EET_OK;

    if (a->launched == a->taken && (!a->going || is_too_wide(g, open))) {
        status = start(g, err);
    }
    if (status != EET_OK || !a->going || (a->launched > a->taken && is_too_wide(g, open))) {
        return status;
    }
    const int32_t length = queue_length(a);

    most = most < length ? most : length;
    while (status == EET_OK && a->launched - a->taken < (uint64_t)most) {
        status = launch(g, err);
    }
    return status;
}

eet_status eet_ahead_step(eet_generation *g, const eet_step_end **end, eet_error *err) {
    eet_session *s = g->session;
    eet_ahead *a = &g->ahead;
    int32_t most = 0;
    const int32_t open = count_open(g, &most);

    *end = NULL;
    if (a->shared == NULL || g->top > 0 || open == 0) {
        return EET_OK;
    }
    eet_status status = fill_queue(g, open, most, err);

    if (status != EET_OK || a->launched == a->taken) {
        return status;
    }
    const eet_step_end *oldest = &a->shared->ring[a->taken % EET_ENDS];
    const bool waited = __atomic_load_n(&oldest->number, __ATOMIC_ACQUIRE) <= a->taken;

    status = s->api->wait_for(s->backend, &oldest->number, a->taken + 1);
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a step ahead failed on the %s backend",
                        s->api->name);
    }
    note_end(a, waited);
    a->taken += 1;
    *end = oldest;
    return EET_OK;
}
