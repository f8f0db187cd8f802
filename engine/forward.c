/* forward.c - the one place where the order of ops is written: embed, then blocks of
 * five ops each, eight with cross attention, steered by facts. */
#include <stddef.h>

#include "engine/run.h"

/* A pass on its way. The stream holds what is handed from block to block; in a
 * post-norm stack it is a sum whose norm is still to be applied, by who reads it. */
typedef struct flow {
    eet_session *session;
    const eet_pass *pass;
    const eet_stack *stack;
    void *stream, *other; /* the same buffer in a pre-norm stack: a raw residual may alias */
    int32_t family;
    bool norm_first; /* norms are ops of their own, not prologues */
    eet_norm_weights pending;
    eet_error *err;
} flow;

static const eet_norm_weights no_norm = {0};

/* Kernels return a bare status; the sentence is made here. */
static eet_status told(const flow *f, eet_status status, int32_t layer, const char *part) {
    if (status == EET_OK) {
        return EET_OK;
    }
    if (layer < 0) {
        return eet_fail(f->err, status, EET_NOWHERE, "%s failed on the %s backend", part,
                        f->session->api->name);
    }
    return eet_fail(f->err, status, EET_NOWHERE, "layer %d %s failed on the %s backend", (int)layer,
                    part, f->session->api->name);
}

static eet_status embed(flow *f) {
    eet_session *s = f->session;
    const eet_stack *stack = f->stack;
    const eet_embed_args args = {
        .token = stack->token.data,
        .position = stack->position.data,
        .type = stack->type.data,
        .token_dtype = stack->token.dtype,
        .position_dtype = stack->position.dtype,
        .type_dtype = stack->type.dtype,
        .ids = s->work.in.ids,
        .positions = s->work.in.positions,
        .types = s->work.in.types,
        .scale = stack->emb_scale,
        .tokens = f->pass->tokens,
        .dim = stack->emb_dim,
        .hidden = stack->hidden,
        .proj_in = stack->proj_in.w,
        .proj_in_bias = stack->proj_in.bias,
        .x_dtype = stack->stream,
        .x = f->stream,
        .scratch = stack->proj_in.w.data != NULL ? s->work.embedded : NULL,
    };

    return told(f, s->ops->embed(s->backend, &args), -1, "the embedding");
}

/* The whole stream, normed where it lies. */
static eet_status norm_stream(const flow *f, const eet_norm_weights *norm) {
    const eet_norm_args args = {
        .x = f->stream,
        .norm = *norm,
        .rows = f->pass->tokens,
        .cols = f->stack->hidden,
        .x_dtype = f->stack->stream,
        .y_dtype = f->stack->stream,
        .y = f->stream,
    };

    return told(f, f->session->ops->norm(f->session->backend, &args), -1, "a norm");
}

static eet_status project(const flow *f, const eet_linear *linear, eet_project_args args) {
    args.w = linear->w;
    args.bias = linear->bias;
    args.rows = f->pass->tokens;
    args.family = f->family;
    args.scratch = f->session->work.scratch;
    return f->session->ops->project(f->session->backend, &args);
}

/* What a part of a block reads: the stream, and the norm that is still to be applied to it. */
typedef struct part_input {
    const void *x;
    int32_t dtype;
    eet_norm_weights norm;
} part_input;

/* The part's own norm (pre-norm), or that of the part before (post-norm). With norms first, a
 * pre-norm part reads a normed copy, and a post-norm stream is normed where it lies. */
static eet_status enter_part(flow *f, const eet_norm_weights *own, part_input *in) {
    const eet_stack *stack = f->stack;
    const eet_norm_args args = {
        .x = f->stream,
        .norm = *own,
        .rows = f->pass->tokens,
        .cols = stack->hidden,
        .x_dtype = stack->stream,
        .y_dtype = stack->inner,
        .y = f->session->work.before,
    };
    eet_status status = EET_OK;

    *in = (part_input){
        .x = f->stream, .dtype = stack->stream, .norm = stack->pre_norm ? *own : f->pending};
    if (!f->norm_first || in->norm.weight == NULL) {
        return EET_OK;
    }
    in->norm = no_norm;
    if (!stack->pre_norm) {
        status = norm_stream(f, &f->pending);
        f->pending = no_norm;
        return status;
    }
    in->x = args.y;
    in->dtype = stack->inner;
    return f->session->ops->norm(f->session->backend, &args);
}

/* Elements from the beginning of activations within a block. */
static void *inner_at(const flow *f, void *x, int64_t elements) {
    return (char *)x + elements * eet_activation_bytes(f->stack->inner);
}

/* What self and cross attention have alike. */
static eet_attention_args attention_args(const flow *f, int32_t layer) {
    const eet_session *s = f->session;
    const eet_stack *stack = f->stack;
    const double by = stack->inv_layer_scale ? layer + 1 : 1;

    return (eet_attention_args){
        .q = s->work.qkv,
        .q_stride = (int64_t)stack->heads * stack->head_dim,
        .pages = s->cache.pages,
        .layer = layer,
        .rows = f->pass->rows,
        .q_start = s->work.in.q_start,
        .heads = stack->heads,
        .head_dim = stack->head_dim,
        .scale = (float)(stack->attn_scale / by),
        .dtype = stack->inner,
        .family = f->family,
        .tokens = f->pass->tokens,
        .longest_q = f->pass->longest_q,
        .y = s->work.context,
        .scratch = s->work.parts,
    };
}

static eet_status attend(const flow *f, int32_t layer) {
    const eet_session *s = f->session;
    const int64_t inner = (int64_t)f->stack->heads * f->stack->head_dim;
    eet_attention_args args = attention_args(f, layer);

    if (!f->pass->paged) {
        args.q_stride = 3 * inner;
        args.k = inner_at(f, s->work.qkv, inner);
        args.v = inner_at(f, s->work.qkv, 2 * inner);
        args.kv_stride = 3 * inner;
        args.kv_start = s->work.in.q_start;
    }
    args.page_table = s->work.in.page_table;
    args.table_stride = s->cache.stride;
    args.kv_length = s->work.in.kv_length;
    args.longest_kv = f->pass->longest_kv;
    args.causal = f->stack->causal;
    return s->ops->attention(s->backend, &args);
}

/* The same op over the keys and values of each row's source. */
static eet_status attend_to_source(const flow *f, int32_t layer) {
    const eet_session *s = f->session;
    eet_attention_args args = attention_args(f, layer);

    args.page_table = s->work.in.source_table;
    args.table_stride = s->cache.source_stride;
    args.kv_length = s->work.in.source_length;
    args.longest_kv = f->pass->longest_source;
    return s->ops->attention(s->backend, &args);
}

/* Adds a part of a block to the stream: y = part w^T + bias + norm(stream), where the norm is
 * that of a post-norm part's input. */
static eet_status add_to_stream(flow *f, const eet_linear *linear, const void *part,
                                const part_input *in) {
    const eet_project_args args = {
        .x = part,
        .x_dtype = f->stack->inner,
        .residual = f->stream,
        .residual_dtype = f->stack->stream,
        .residual_norm = f->stack->pre_norm ? no_norm : in->norm,
        .y_dtype = f->stack->stream,
        .y = f->other,
    };
    const eet_status status = project(f, linear, args);
    void *sum = f->other;

    f->other = f->stream;
    f->stream = sum;
    return status;
}

/* y = act(norm(x) w^T + bias) of a part's input, in the dtype of activations within a block. */
static eet_status project_input(const flow *f, const eet_linear *linear, const part_input *in,
                                eet_project_args args) {
    args.x = in->x;
    args.x_dtype = in->dtype;
    args.norm = in->norm;
    args.y_dtype = f->stack->inner;
    return project(f, linear, args);
}

/* The norm behind a part of a post-norm stack is for who reads the stream next. */
static void leave_part(flow *f, const eet_norm_weights *own) {
    if (!f->stack->pre_norm) {
        f->pending = *own;
    }
}

static eet_status self_attention(flow *f, int32_t layer) {
    const eet_layer_weights *w = &f->stack->layer[layer];
    const eet_project_args qkv = {
        .to = f->pass->paged ? EET_TO_Q_AND_PAGES : EET_TO_Y,
        .y = f->session->work.qkv,
        .pages = f->session->cache.pages,
        .layer = layer,
        .slot = f->session->work.in.slot,
    };
    part_input in;
    eet_status status = enter_part(f, &w->attn_norm, &in);

    if (status == EET_OK) {
        status = project_input(f, &w->qkv, &in, qkv);
    }
    if (status == EET_OK) {
        status = attend(f, layer);
    }
    if (status == EET_OK) {
        status = add_to_stream(f, &w->attn_out, f->session->work.context, &in);
    }
    leave_part(f, &w->attn_norm);
    return told(f, status, layer, "attention");
}

static eet_status cross_attention(flow *f, int32_t layer) {
    const eet_layer_weights *w = &f->stack->layer[layer];
    const eet_project_args q = {.y = f->session->work.qkv};
    part_input in;
    eet_status status = enter_part(f, &w->cross_norm, &in);

    if (status == EET_OK) {
        status = project_input(f, &w->cross_q, &in, q);
    }
    if (status == EET_OK) {
        status = attend_to_source(f, layer);
    }
    if (status == EET_OK) {
        status = add_to_stream(f, &w->cross_out, f->session->work.context, &in);
    }
    leave_part(f, &w->cross_norm);
    return told(f, status, layer, "cross attention");
}

static eet_status feed_forward(flow *f, int32_t layer) {
    const eet_layer_weights *w = &f->stack->layer[layer];
    const eet_project_args fc1 = {.act = f->stack->act, .y = f->session->work.ffn};
    part_input in;
    eet_status status = enter_part(f, &w->ffn_norm, &in);

    if (status == EET_OK) {
        status = project_input(f, &w->fc1, &in, fc1);
    }
    if (status == EET_OK) {
        status = add_to_stream(f, &w->fc2, f->session->work.ffn, &in);
    }
    leave_part(f, &w->ffn_norm);
    return told(f, status, layer, "feed-forward part");
}

static eet_status run_block(flow *f, int32_t layer) {
    if (eet_session_stopped(f->session)) {
        return eet_fail(f->err, EET_E_CANCELLED, EET_NOWHERE, "the session was cancelled");
    }
    eet_session *s = f->session;

    s->api->range(s->backend, "layer", layer);
    eet_status status = self_attention(f, layer);

    if (status == EET_OK) {
        status = eet_finite_check(f->session, f->pass, f->stream, layer, "attention", f->err);
    }
    if (status == EET_OK && f->pass->cross) {
        status = cross_attention(f, layer);
    }
    if (status == EET_OK && f->pass->cross) {
        status = eet_finite_check(f->session, f->pass, f->stream, layer, "cross attention", f->err);
    }
    if (status == EET_OK) {
        status = feed_forward(f, layer);
    }
    if (status == EET_OK) {
        status =
            eet_finite_check(f->session, f->pass, f->stream, layer, "feed-forward part", f->err);
    }
    s->api->range(s->backend, NULL, -1);
    return status;
}

static eet_status begin(flow *f) {
    eet_status status = embed(f);

    if (status == EET_OK && f->stack->pre_norm && f->stack->emb_norm.weight != NULL) {
        status = norm_stream(f, &f->stack->emb_norm);
    } else {
        f->pending = f->stack->emb_norm; /* of a post-norm stack; without weight in the other */
    }
    if (status == EET_OK) {
        status = eet_finite_check(f->session, f->pass, f->stream, -1, "the embedding", f->err);
    }
    return status;
}

/* What is left to apply: of the last block's norm and the stack's own, at most one. */
static eet_status end(flow *f, eet_hidden *out) {
    eet_status status = EET_OK;

    if (f->stack->final_norm.weight != NULL && f->pending.weight != NULL) {
        status = norm_stream(f, &f->pending);
    }
    if (f->stack->final_norm.weight != NULL) {
        f->pending = f->stack->final_norm;
    }
    *out = (eet_hidden){.x = f->stream, .dtype = f->stack->stream, .norm = f->pending};
    return status;
}

eet_status eet_forward(eet_session *session, const eet_pass *pass, eet_hidden *out,
                       eet_error *err) {
    flow f = {
        .session = session,
        .pass = pass,
        .stack = pass->stack,
        .stream = session->work.stream[0],
        .other = session->work.stream[pass->stack->pre_norm ? 0 : 1],
        .family = pass->few ? EET_FEW : EET_MANY,
        .norm_first = session->limits.families && !pass->few,
        .err = err,
    };
    eet_status status = begin(&f);

    for (int32_t layer = 0; layer < f.stack->layers && status == EET_OK; ++layer) {
        status = run_block(&f, layer);
    }
    return status == EET_OK ? end(&f, out) : status;
}
