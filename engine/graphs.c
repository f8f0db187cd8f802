/* graphs.c - records passes by their size, and finds the one that a pass fits in.
 *
 * A graph is of a number of tokens and of rows that a pass is rounded up to. What it has more than
 * the pass are tokens of no row: their keys and values go to a page that no sequence has, their
 * rows have no queries, and nobody asks for what comes of them. Each token's bits are those of the
 * pass without a graph. */
#include "engine/graphs.h"

#include <stddef.h>

enum {
    MANY_TOKENS = 2048, /* of a recorded pass in EET_MANY: a longer one hides its launches */
    MANY_ROWS = 64,
    STEP = 16,   /* tokens are rounded up to a multiple of these, */
    MID = 256,   /* beyond so many of twice as many, */
    LONG = 1024, /* then of four times: 16 tokens or an eighth at most */
    SHORT = 512, /* up to so many tokens a graph is of rows of any length */
};

static int32_t power_from(int32_t count) {
    int32_t power = 1;

    while (power < count) {
        power *= 2;
    }
    return power;
}

static int32_t rounded_tokens(const eet_session *s, const eet_pass *pass) {
    if (pass->few) {
        return power_from(pass->tokens);
    }
    const int32_t step = pass->tokens > LONG ? 4 * STEP : (pass->tokens > MID ? 2 * STEP : STEP);
    const int32_t tokens = (pass->tokens + step - 1) / step * step;

    return tokens < s->limits.batch_tokens ? tokens : s->limits.batch_tokens;
}

/* A step's rows are no more than its tokens. */
static int32_t rounded_rows(const eet_pass *pass, int32_t tokens) {
    return pass->few ? tokens : power_from(pass->rows);
}

/* New tokens of the longest row that a graph of so many is for. A grid of attention has a place for
 * as many in every row, and those of a longer text would be mostly in vain. */
static int32_t rounded_longest(const eet_pass *pass, int32_t tokens) {
    if (pass->few) {
        return tokens > EET_FEW_IN_ROW ? EET_FEW_IN_ROW : tokens;
    }
    const int32_t longest = tokens > SHORT ? power_from(pass->longest_q) : tokens;

    return longest < tokens ? longest : tokens;
}

/* Tokens and rows of nobody, from those of the pass on. */
static void write_nobody(eet_session *s, const eet_pass *pass, int32_t tokens, int32_t rows) {
    for (int32_t i = pass->tokens; i < tokens; ++i) {
        s->in.ids[i] = 0;
        s->in.positions[i] = 0;
        s->in.types[i] = -1;
        s->in.slot[i] = (int64_t)s->limits.pages * EET_PAGE_TOKENS;
    }
    for (int32_t i = pass->rows; i < rows; ++i) {
        s->in.q_start[i + 1] = pass->tokens;
        s->in.kv_length[i] = 0;
        if (pass->cross) {
            s->in.source_length[i] = 0;
        }
    }
}

static bool fits(const eet_session *s, const eet_pass *pass, int32_t tokens, int32_t rows) {
    return tokens <= s->limits.batch_tokens &&
           tokens <= (pass->few ? EET_FEW_TOKENS : MANY_TOKENS) && rows <= tokens &&
           (pass->few || rows <= MANY_ROWS) && (!pass->cross || rows <= s->limits.source_rows);
}

/* The graph of this size, a new one where there is room; -1: none. */
static int32_t find(eet_session *s, const eet_pass *pass, int32_t tokens, int32_t rows) {
    const int32_t longest = rounded_longest(pass, tokens);

    for (int32_t i = 0; i < s->graphs; ++i) {
        const eet_graph *g = &s->graph[i];

        if (g->tokens == tokens && g->rows == rows && g->longest == longest &&
            g->stack == pass->stack && g->paged == pass->paged && g->cross == pass->cross &&
            g->few == pass->few) {
            return g->failed ? -1 : i;
        }
    }
    if (s->graphs == EET_GRAPHS) {
        return -1;
    }
    s->graph[s->graphs] = (eet_graph){.stack = pass->stack,
                                      .paged = pass->paged,
                                      .cross = pass->cross,
                                      .few = pass->few,
                                      .tokens = tokens,
                                      .rows = rows,
                                      .longest = longest};
    return s->graphs++;
}

void eet_graphs_round(eet_session *s, eet_pass *pass) {
    const int32_t tokens = rounded_tokens(s, pass);
    const int32_t rows = rounded_rows(pass, tokens);

    /* a pass that fills sources goes on in keep(): it is not run as a graph, and takes no place */
    pass->graph = s->records && !pass->fills && fits(s, pass, tokens, rows)
                      ? find(s, pass, tokens, rows)
                      : -1;
    if (pass->graph >= 0) {
        write_nobody(s, pass, tokens, rows);
    }
}

/* The pass that a graph is recorded from, as long as it can be. */
static eet_pass widest_pass(const eet_session *s, const eet_graph *g) {
    return (eet_pass){
        .stack = g->stack,
        .paged = g->paged,
        .cross = g->cross,
        .few = g->few,
        .graph = -1,
        .tokens = g->tokens,
        .rows = g->rows,
        .longest_q = g->longest,
        .longest_kv = g->paged ? s->limits.tokens : g->longest,
        .longest_source = s->limits.source_tokens,
    };
}

/* Does the pass whose inputs are there, and records it for the next of its size: what was run once
 * has its kernels loaded. A graph that there is no memory for is done without. */
static eet_status run_and_record(eet_session *s, eet_graph *g, eet_error *err) {
    const eet_pass pass = widest_pass(s, g);
    eet_hidden again;
    eet_status status = eet_forward(s, &pass, &g->hidden, err);

    if (status == EET_OK) {
        status = s->api->graph_begin(s->backend);
    }
    if (status != EET_OK) {
        return status;
    }
    status = eet_forward(s, &pass, &again, err);
    const eet_status ended = s->api->graph_end(s->backend, &g->recorded);

    if (status == EET_E_CANCELLED) { /* the next pass of the size records it */
        s->api->graph_free(s->backend, g->recorded);
        g->recorded = NULL;
        return status;
    }
    g->failed = status != EET_OK || ended != EET_OK;
    return status == EET_OK && ended == EET_E_MEMORY ? EET_OK : status != EET_OK ? status : ended;
}

/* All steps of few tokens, with inputs of no row at all. */
static eet_status record_steps(eet_session *s, bool cross, eet_error *err) {
    const int32_t most = s->limits.sequences < EET_FEW_TOKENS ? s->limits.sequences * EET_FEW_IN_ROW
                                                              : EET_FEW_TOKENS;
    eet_status status = EET_OK;

    eet_inputs_use(s, true);
    for (int32_t tokens = 1; tokens < 2 * most && status == EET_OK; tokens *= 2) {
        eet_pass nobody = {
            .stack = &s->model->stack[EET_DEC], .paged = true, .cross = cross, .few = true};

        s->in.q_start[0] = 0;
        if (!fits(s, &nobody, tokens, tokens)) {
            return EET_OK;
        }
        nobody.graph = find(s, &nobody, tokens, tokens);
        write_nobody(s, &nobody, tokens, tokens);
        status = eet_inputs_upload(s, tokens);
        if (status == EET_OK && nobody.graph >= 0) {
            status = run_and_record(s, &s->graph[nobody.graph], err);
        }
    }
    return status;
}

eet_status eet_graphs_make(eet_session *s, eet_error *err) {
    const eet_facts *facts = s->model->facts;
    const bool cross = s->limits.sources > 0;
    eet_status status = EET_OK;

    s->records = s->limits.families && !s->check_finite && !s->one_by_one;
    if (!s->records || !facts->stack[EET_DEC].present) {
        return EET_OK;
    }
    if (!cross || !facts->stack[EET_ENC].present) {
        status = record_steps(s, false, err);
    }
    if (status == EET_OK && cross) {
        status = record_steps(s, true, err);
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a step cannot be recorded on the %s backend",
                        s->api->name);
    }
    return EET_OK;
}

void eet_graphs_free(eet_session *s) {
    for (int32_t i = 0; i < s->graphs; ++i) {
        if (s->graph[i].recorded != NULL) {
            s->api->graph_free(s->backend, s->graph[i].recorded);
        }
    }
    s->graphs = 0;
}

eet_status eet_graphs_run(eet_session *s, const eet_pass *pass, eet_hidden *out, eet_error *err) {
    eet_graph *g = &s->graph[pass->graph];
    eet_status status = EET_OK;

    if (eet_session_stopped(s)) {
        return eet_fail(err, EET_E_CANCELLED, EET_NOWHERE, "the session was cancelled");
    }
    status = g->recorded != NULL ? s->api->graph_launch(s->backend, g->recorded)
                                 : run_and_record(s, g, err);
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a recorded pass failed on the %s backend",
                        s->api->name);
    }
    *out = g->hidden;
    return EET_OK;
}
