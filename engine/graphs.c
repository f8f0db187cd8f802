/* graphs.c - records the decoder's pass over 1, 2, 4 ... 64 tokens, and finds the one for a step.
 *
 * What a graph has more than a pass are tokens of no row: their keys and values go to a page that
 * no sequence has, their rows have no queries, and nobody asks for what comes of them. Each token's
 * bits are those of the pass without a graph. */
#include "engine/graphs.h"

#include <stddef.h>

static int32_t graph_tokens(int32_t graph) {
    return 1 << (graph / 2);
}

/* Two for each number of tokens: with and without cross attention. */
static int32_t graph_of(int32_t tokens, bool cross) {
    int32_t graph = 0;

    while (graph_tokens(graph) < tokens) {
        graph += 2;
    }
    return graph + (cross ? 1 : 0);
}

/* Tokens and rows of nobody, from those of the pass on. */
static void write_nobody(eet_session *s, const eet_pass *pass, int32_t end) {
    for (int32_t i = pass->tokens; i < end; ++i) {
        s->in.ids[i] = 0;
        s->in.positions[i] = 0;
        s->in.types[i] = -1;
        s->in.slot[i] = (int64_t)s->limits.pages * EET_PAGE_TOKENS;
    }
    for (int32_t i = pass->rows; i < end; ++i) {
        s->in.q_start[i + 1] = pass->tokens;
        s->in.kv_length[i] = 0;
        if (pass->cross) {
            s->in.source_length[i] = 0;
        }
    }
}

void eet_graphs_round(eet_session *s, eet_pass *pass) {
    const int32_t graph = pass->few ? graph_of(pass->tokens, pass->cross) : EET_GRAPHS;

    pass->graph = -1;
    if (graph < EET_GRAPHS && s->graph[graph] != NULL) {
        pass->graph = graph;
        write_nobody(s, pass, graph_tokens(graph));
    }
}

/* The pass that a graph is recorded from: as many rows as tokens, as long as can be. */
static eet_pass widest_pass(const eet_session *s, int32_t graph) {
    return (eet_pass){
        .stack = &s->model->stack[EET_DEC],
        .paged = true,
        .cross = graph % 2 == 1,
        .few = true,
        .graph = -1,
        .tokens = graph_tokens(graph),
        .rows = graph_tokens(graph),
        .longest_q = graph_tokens(graph) < EET_FEW_IN_ROW ? graph_tokens(graph) : EET_FEW_IN_ROW,
        .longest_kv = s->limits.tokens,
        .longest_source = s->limits.source_tokens,
    };
}

/* Inputs of no row at all, for a run that loads every kernel before it is recorded. */
static eet_status upload_nobody(eet_session *s, int32_t graph) {
    const eet_pass nobody = {.cross = graph % 2 == 1};

    s->in.q_start[0] = 0;
    write_nobody(s, &nobody, graph_tokens(graph));
    return s->api->upload(s->backend, s->work.in.slot, s->in.slot, s->input_bytes);
}

static eet_status record(eet_session *s, int32_t graph, eet_error *err) {
    const eet_pass pass = widest_pass(s, graph);
    eet_hidden hidden;
    void *recorded = NULL;
    eet_status status = upload_nobody(s, graph);

    if (status == EET_OK) {
        status = eet_forward(s, &pass, &hidden, err);
    }
    if (status == EET_OK) {
        status = s->api->sync(s->backend);
    }
    if (status == EET_OK) {
        status = s->api->graph_begin(s->backend);
    }
    if (status != EET_OK) {
        return status;
    }
    status = eet_forward(s, &pass, &hidden, err);
    const eet_status ended = s->api->graph_end(s->backend, &recorded);

    if (status == EET_OK && ended == EET_OK) {
        s->graph[graph] = recorded;
        s->recorded = hidden;
        return EET_OK;
    }
    s->api->graph_free(s->backend, recorded);
    return status != EET_OK ? status : ended;
}

/* Can a step of these many tokens be? */
static bool is_wanted(const eet_session *s, int32_t graph) {
    const eet_limits *l = &s->limits;
    const bool cross = graph % 2 == 1;

    return graph_tokens(graph) <= l->batch_tokens &&
           graph_tokens(graph) / 2 < (int64_t)l->sequences * EET_FEW_IN_ROW &&
           (!cross || (l->sources > 0 && graph_tokens(graph) <= l->source_rows)) &&
           (cross || l->sources == 0 || !s->model->facts->stack[EET_ENC].present);
}

eet_status eet_graphs_make(eet_session *s, eet_error *err) {
    eet_status status = EET_OK;

    if (!s->limits.families || s->check_finite || s->one_by_one ||
        !s->model->facts->stack[EET_DEC].present) {
        return EET_OK;
    }
    for (int32_t graph = 0; graph < EET_GRAPHS && status == EET_OK; ++graph) {
        if (is_wanted(s, graph)) {
            status = record(s, graph, err);
        }
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a step cannot be recorded on the %s backend",
                        s->api->name);
    }
    return EET_OK;
}

void eet_graphs_free(eet_session *s) {
    for (int32_t graph = 0; graph < EET_GRAPHS; ++graph) {
        if (s->graph[graph] != NULL) {
            s->api->graph_free(s->backend, s->graph[graph]);
            s->graph[graph] = NULL;
        }
    }
}

eet_status eet_graphs_run(eet_session *s, const eet_pass *pass, eet_hidden *out, eet_error *err) {
    if (eet_session_stopped(s)) {
        return eet_fail(err, EET_E_CANCELLED, EET_NOWHERE, "the session was cancelled");
    }
    const eet_status status = s->api->graph_launch(s->backend, s->graph[pass->graph]);

    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a recorded step failed on the %s backend",
                        s->api->name);
    }
    *out = s->recorded;
    return EET_OK;
}
