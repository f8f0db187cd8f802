/* layout.c - where everything in a session's memory is. */
#include <stddef.h>

#include "engine/run.h"

static uint64_t at_most(int32_t count, int32_t most) {
    return (uint64_t)(count < most ? count : most);
}

static void cut_inputs(eet_inputs *in, const eet_limits *l, int32_t most, eet_arena *a) {
    const uint64_t tokens = at_most(l->batch_tokens, most);
    const uint64_t sequences = at_most(l->sequences, most);
    const uint64_t sources = at_most(l->source_rows, most);

    in->slot = eet_arena_take(a, tokens, sizeof *in->slot);
    in->ids = eet_arena_take(a, tokens, sizeof *in->ids);
    in->positions = eet_arena_take(a, tokens, sizeof *in->positions);
    in->types = eet_arena_take(a, tokens, sizeof *in->types);
    in->q_start = eet_arena_take(a, tokens + 1, sizeof *in->q_start);
    in->kv_length = eet_arena_take(a, tokens, sizeof *in->kv_length);
    in->row = eet_arena_take(a, tokens, sizeof *in->row);
    in->source_length = eet_arena_take(a, sources, sizeof *in->source_length);
    in->source_table =
        eet_arena_take(a, sources * (uint64_t)l->source_stride, sizeof *in->source_table);
    in->page_table = eet_arena_take(a, sequences * (uint64_t)l->stride, sizeof *in->page_table);
}

static void layout_inputs(eet_inputs *inputs, const eet_limits *l, eet_arena *a) {
    const uint64_t start = a->used;

    cut_inputs(&inputs[true], l, EET_FEW_TOKENS, a);
    eet_arena_rewind(a, start);
    cut_inputs(&inputs[false], l, INT32_MAX, a);
}

static void layout_host(eet_session *s, eet_arena *a) {
    const eet_limits *l = &s->limits;

    layout_inputs(s->inputs, l, a);
    s->index = eet_arena_take(a, (uint64_t)l->batch_tokens, sizeof *s->index);
    s->to = eet_arena_take(a, (uint64_t)l->outputs, sizeof *s->to);
    s->target = eet_arena_take(a, (uint64_t)l->outputs, sizeof *s->target);
    s->moves = eet_arena_take(a, (uint64_t)l->sequences, sizeof *s->moves);
    s->seen = eet_arena_take(a, (uint64_t)l->sequences + (uint64_t)l->sources, sizeof *s->seen);
    s->given =
        eet_arena_take(a, (uint64_t)l->batch_tokens * (uint64_t)l->cross_dim, sizeof *s->given);
    s->values = s->check_finite ? eet_arena_take(a, (uint64_t)l->batch_tokens * (uint64_t)l->hidden,
                                                 sizeof *s->values)
                                : NULL;
    eet_cache_layout(&s->cache, a);
    eet_generation_layout(&s->generation, l->sequences, a);
    eet_beams_layout(&s->generation.beams, l, a);
}

/* Embedding, attention, feed-forward part and outputs come one after another: they
 * share their memory. */
static void layout_steps(eet_workspace *w, const eet_limits *l, eet_arena *a) {
    const uint64_t tokens = (uint64_t)l->batch_tokens;
    const uint64_t outputs = (uint64_t)l->outputs;
    const uint64_t start = a->used;

    w->embedded = eet_arena_take(a, tokens * (uint64_t)l->projected, sizeof *w->embedded);

    eet_arena_rewind(a, start);
    w->qkv = eet_arena_take(a, tokens * 3 * (uint64_t)l->inner, (uint64_t)l->inner_bytes);
    w->context = eet_arena_take(a, tokens * (uint64_t)l->inner, (uint64_t)l->inner_bytes);

    eet_arena_rewind(a, start);
    w->ffn = eet_arena_take(a, tokens * (uint64_t)l->ffn, (uint64_t)l->inner_bytes);

    eet_arena_rewind(a, start);
    w->normed = eet_arena_take(a, tokens * (uint64_t)l->hidden, sizeof *w->normed);
    w->rows = eet_arena_take(a, outputs * (uint64_t)l->hidden, sizeof *w->rows);
    w->dense = eet_arena_take(a, outputs * (uint64_t)l->dense, sizeof *w->dense);
    w->result = eet_arena_take(a, outputs * (uint64_t)l->width, sizeof *w->result);
    const uint64_t hidden = tokens * (uint64_t)l->hidden;
    const uint64_t scored = outputs * (uint64_t)l->width;

    w->converted = eet_arena_take(a, hidden > scored ? hidden : scored, sizeof(uint16_t));
    w->choice = eet_arena_take(a, (uint64_t)eet_sample_scratch(l->choices, l->width), 1);
    eet_arena_rewind(a, a->peak);
}

/* What picks read and write besides scores. */
static void layout_picks(eet_workspace *w, const eet_limits *l, eet_arena *a) {
    const uint64_t outputs = (uint64_t)l->outputs;
    const uint64_t choices = (uint64_t)l->choices;
    const uint64_t ranked = choices * (uint64_t)l->ranked;

    w->token = eet_arena_take(a, outputs, sizeof *w->token);
    w->target = eet_arena_take(a, outputs, sizeof *w->target);
    w->log_prob = eet_arena_take(a, outputs, sizeof *w->log_prob);
    w->top_token = eet_arena_take(a, outputs * EET_MAX_TOP, sizeof *w->top_token);
    w->top_log_prob = eet_arena_take(a, outputs * EET_MAX_TOP, sizeof *w->top_log_prob);
    w->sampler = eet_arena_take(a, choices, sizeof *w->sampler);
    w->history = eet_arena_take(a, choices * (uint64_t)l->tokens, sizeof *w->history);
    w->history_length = eet_arena_take(a, choices, sizeof *w->history_length);
    w->bar = eet_arena_take(a, EET_MAX_BARRED, sizeof *w->bar);
    w->best_token = eet_arena_take(a, ranked, sizeof *w->best_token);
    w->best_score = eet_arena_take(a, ranked, sizeof *w->best_score);
    w->best_log_prob = eet_arena_take(a, ranked, sizeof *w->best_log_prob);
}

static uint64_t larger(int64_t a, int64_t b) {
    return (uint64_t)(a > b ? a : b);
}

/* Bytes for attention of EET_FEW: of tokens that a pass can have, for one head at least, since that
 * of encoders counts there too. */
static uint64_t bytes_of_parts(const eet_limits *l) {
    const int64_t keys = (int64_t)larger((int64_t)l->stride, (int64_t)l->source_stride);
    const int64_t heads = (int64_t)larger(l->heads, 1);
    const bool any = l->sequences >= EET_FEW_TOKENS / EET_FEW_IN_ROW;
    const int64_t tokens = any ? EET_FEW_TOKENS : (int64_t)l->sequences * EET_FEW_IN_ROW;

    return (uint64_t)eet_attention_scratch(tokens, heads, l->head_dim, keys * EET_PAGE_TOKENS);
}

/* What a backend with two families needs besides. */
static void layout_families(eet_workspace *w, const eet_limits *l, eet_arena *a) {
    const uint64_t tokens = (uint64_t)l->batch_tokens;

    if (!l->families) {
        return;
    }
    w->going = eet_arena_take(a, EET_FEW_TOKENS, sizeof *w->going);
    w->rules = eet_arena_take(a, 1, sizeof *w->rules);
    w->before = eet_arena_take(a, tokens * (uint64_t)l->hidden, (uint64_t)l->inner_bytes);
    w->parts = eet_arena_take(a, bytes_of_parts(l), 1);
}

static void layout_work(eet_session *s, eet_arena *a) {
    const eet_limits *l = &s->limits;
    eet_workspace *w = &s->work;
    const uint64_t stream = (uint64_t)l->batch_tokens * (uint64_t)l->hidden;
    const int64_t k = (int64_t)larger(l->ffn, (int64_t)larger(l->inner, l->hidden));
    const int64_t head_k = (int64_t)larger(l->hidden, l->dense);

    layout_inputs(w->inputs, l, a);
    w->index = eet_arena_take(a, (uint64_t)l->batch_tokens, sizeof *w->index);
    w->stream[0] = eet_arena_take(a, stream, (uint64_t)l->stream_bytes);
    w->stream[1] =
        l->post_norm ? eet_arena_take(a, stream, (uint64_t)l->stream_bytes) : w->stream[0];
    layout_families(w, l, a);
    w->moves = eet_arena_take(a, (uint64_t)l->sequences, sizeof *w->moves);
    layout_picks(w, l, a);
    w->scratch = eet_arena_take(
        a, larger(eet_project_scratch(l->batch_tokens, k), eet_project_scratch(l->outputs, head_k)),
        sizeof *w->scratch);
    layout_steps(w, l, a);
}

void eet_session_layout(eet_session *s, eet_arenas *arenas) {
    const eet_limits *l = &s->limits;
    const int32_t physical = l->pages + (l->families ? 1 : 0); /* one of nobody's, see graphs.c */

    s->cache.sequences = l->sequences;
    s->cache.stride = l->stride;
    s->cache.sources = l->sources;
    s->cache.source_stride = l->source_stride;
    s->cache.count = l->pages;
    s->cache.pages = (eet_pages){
        .pages = physical,
        .layers = l->layers,
        .heads = l->heads,
        .head_dim = l->head_dim,
        .dp = eet_padded_head(l->head_dim),
        .dtype = l->cache_dtype,
    };
    const uint64_t page = UINT64_C(2) * EET_PAGE_TOKENS * (uint64_t)l->heads *
                          (uint64_t)s->cache.pages.dp * (l->cache_dtype == EET_F32 ? 4 : 2);

    s->cache.pages.data =
        eet_arena_take(&arenas->cache, (uint64_t)physical * (uint64_t)l->layers, page);
    layout_host(s, &arenas->host);
    layout_work(s, &arenas->work);
    eet_inputs_use(s, false);
}
