/* ops_embedding.c - rows of tables for ids, positions and types, added up and normed. */
#include <math.h>

#include "engine/ops.h"
#include "format/types.h"

/* ids, positions or types: what the caller has, and one a token as kernels read them. */
typedef struct indexes {
    eet_op_view view;
    bool given;
    int64_t row, token; /* strides */
    int32_t *at;        /* (tokens) a list of the call's */
    int32_t *narrow;    /* (tokens) on the device, where they lie there; else NULL */
} indexes;

typedef struct table {
    eet_op_view view;
    bool given;
} table;

typedef struct work {
    const eet_embedding_op *a;
    eet_op_rows rows;
    indexes ids, types, positions;
    table token, type, position;
    eet_op_view y;
    eet_op_layer norm;
    bool normed;
    int32_t width;
    float *sum, *result;
} work;

static eet_status look_table(const eet_op_job *job, const eet_array *array, const char *name,
                             table *out) {
    out->given = eet_op_given(array);
    if (!out->given) {
        return EET_OK;
    }
    const eet_status status = eet_op_look(job, array, name, EET_OP_FLOATS, &out->view);

    if (status != EET_OK) {
        return status;
    }
    if (out->view.rank != 2 || !out->view.dense || out->view.shape[0] > INT32_MAX ||
        out->view.shape[1] < 1 || out->view.shape[1] > EET_OP_MOST) {
        return eet_op_misfit(job, &out->view, "it has to be (rows, width), contiguous");
    }
    return EET_OK;
}

/* Positions or types, whose axes may be 1 where those of ids are not. */
static eet_status look_indexes(const eet_op_job *job, const work *w, const eet_array *array,
                               const char *name, indexes *out) {
    const eet_op_view *ids = &w->ids.view;
    eet_op_view *v = &out->view;

    out->given = eet_op_given(array);
    if (!out->given) {
        return EET_OK;
    }
    const eet_status status = eet_op_look(job, array, name, EET_OP_IDS, v);
    bool fits = v->rank == ids->rank;

    for (int32_t i = 0; i < v->rank && status == EET_OK && fits; ++i) {
        fits = v->shape[i] == ids->shape[i] || v->shape[i] == 1;
    }
    if (status == EET_OK && !fits) {
        return eet_op_misfit(job, v, "its axes have to be those of ids, or 1");
    }
    if (status == EET_OK && v->rank > 0) {
        out->token = v->shape[v->rank - 1] == 1 ? 0 : v->stride[v->rank - 1];
        out->row = v->rank == 2 && v->shape[0] > 1 ? v->stride[0] : 0;
    }
    return status;
}

static eet_status look_all(eet_op_job *job, work *w) {
    const eet_embedding_op *a = w->a;
    eet_status status = eet_op_look(job, &a->ids, "ids", EET_OP_IDS, &w->ids.view);

    if (status == EET_OK) {
        status = eet_op_take_rows(job, &w->ids.view, 0, a->rows, a->start, &w->rows);
    }
    if (status == EET_OK) { /* as any indexes, of their own shape */
        status = look_indexes(job, w, &a->ids, "ids", &w->ids);
    }
    status = status == EET_OK ? look_indexes(job, w, &a->types, "types", &w->types) : status;
    if (status == EET_OK) {
        status = look_indexes(job, w, &a->positions, "positions", &w->positions);
    }
    status = status == EET_OK ? look_table(job, &a->token, "token", &w->token) : status;
    status = status == EET_OK ? look_table(job, &a->type, "type", &w->type) : status;
    status = status == EET_OK ? look_table(job, &a->position, "position", &w->position) : status;
    if (status == EET_OK && !w->token.given) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "there is no token");
    }
    if (status == EET_OK) {
        status = eet_op_look(job, &a->y, "y", EET_OP_FLOATS, &w->y);
    }
    return status;
}

static eet_status check_shapes(const eet_op_job *job, work *w) {
    const table *const others[] = {&w->type, &w->position};
    const eet_op_view *ids = &w->ids.view;
    bool fits = w->y.rank == ids->rank + 1;

    w->width = (int32_t)w->token.view.shape[1];
    for (int32_t i = 0; i < 2; ++i) {
        if (others[i]->given && others[i]->view.shape[1] != w->width) {
            return eet_op_misfit(job, &others[i]->view, "token has %d columns", (int)w->width);
        }
    }
    for (int32_t i = 0; i < ids->rank; ++i) {
        fits = fits && w->y.shape[i] == ids->shape[i];
    }
    if (!fits || eet_op_width(&w->y) != w->width) {
        return eet_op_misfit(job, &w->y, "it has to have the axes of ids, and %d columns",
                             (int)w->width);
    }
    if (w->types.given && !w->type.given) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "there are types and no type table");
    }
    if (w->positions.given && !w->position.given) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "there are positions and no position table");
    }
    if (!isfinite(w->a->scale)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "scale is %g", w->a->scale);
    }
    return eet_op_check_list(job, w->a->length, w->rows.rows, EET_OP_MOST, "length");
}

static int64_t number_at(const eet_op_view *v, int64_t at) {
    return v->dtype == EET_I64 ? ((const int64_t *)v->data)[at] : ((const int32_t *)v->data)[at];
}

/* What lies on the device comes to the lists: one wait for all three. */
static eet_status bring_indexes(const eet_op_job *job, const work *w) {
    const eet_op_context *c = job->context;
    const indexes *const all[] = {&w->ids, &w->types, &w->positions};
    const int32_t queries = w->ids.view.rank == 2 ? w->rows.longest : w->rows.tokens;
    eet_status status = EET_OK;
    bool any = false;

    for (int32_t i = 0; i < 3 && status == EET_OK && w->rows.tokens > 0; ++i) {
        if (all[i]->narrow == NULL) {
            continue;
        }
        const eet_convert_args args = {
            .x = all[i]->view.data,
            .y = all[i]->narrow,
            .count = w->rows.tokens,
            .from = all[i]->view.dtype,
            .to = EET_I32,
            .rank = 2,
            .shape = {w->rows.tokens / queries, queries},
            .x_stride = {all[i]->row, all[i]->token},
            .y_stride = {queries, 1},
        };

        status = eet_op_convert(job, &args);
        if (status == EET_OK) {
            status = c->api->download_later(c->backend, all[i]->at, all[i]->narrow,
                                            (uint64_t)w->rows.tokens * sizeof *all[i]->at);
        }
        any = true;
    }
    status = status == EET_OK && any ? c->api->sync(c->backend) : status;
    return eet_op_done(job, status, "a list");
}

/* Numbers `lowest` .. rows of the table - 1, one a token. */
static eet_status read_indexes(const eet_op_job *job, const work *w, const indexes *from,
                               const table *into, int32_t lowest) {
    const int32_t queries = w->ids.view.rank == 2 ? w->rows.longest : w->rows.tokens;

    for (int32_t i = 0; i < w->rows.tokens; ++i) {
        const int64_t at = i / queries * from->row + i % queries * from->token;
        const int64_t number = from->narrow != NULL ? from->at[i] : number_at(&from->view, at);

        if (number < lowest || number >= into->view.shape[0]) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s of token %d is %lld; the table %s has %lld rows", from->view.name,
                            (int)i, (long long)number, into->view.name,
                            (long long)into->view.shape[0]);
        }
        from->at[i] = (int32_t)number;
    }
    return EET_OK;
}

static eet_status count_positions(const eet_op_job *job, const work *w) {
    const eet_embedding_op *a = w->a;

    for (int32_t r = 0; r < w->rows.rows; ++r) {
        int64_t next = (int64_t)a->position_offset + (a->length != NULL ? a->length[r] : 0);

        for (int32_t i = w->rows.start[r]; i < w->rows.start[r + 1]; ++i) {
            const bool pad = a->skip_pad != 0 && w->ids.at[i] == a->pad;

            if (!pad && (next < 0 || next >= w->position.view.shape[0])) {
                return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                                "token %d would have position %lld; the table has %lld rows",
                                (int)i, (long long)next, (long long)w->position.view.shape[0]);
            }
            w->positions.at[i] = pad ? -1 : (int32_t)next;
            next += pad ? 0 : 1;
        }
    }
    return EET_OK;
}

/* All ids are read and checked before anything is written. */
static eet_status read_all(const eet_op_job *job, const work *w) {
    eet_status status = bring_indexes(job, w);

    if (status == EET_OK) {
        status = read_indexes(job, w, &w->ids, &w->token, 0);
    }
    if (status == EET_OK && w->types.given) {
        status = read_indexes(job, w, &w->types, &w->type, 0);
    }
    if (status == EET_OK && w->positions.given) {
        status = read_indexes(job, w, &w->positions, &w->position, -1);
    } else if (status == EET_OK && w->position.given) {
        status = count_positions(job, w);
    }
    return status;
}

static eet_status compute(const eet_op_job *job, const work *w) {
    const eet_embed_args embed = {
        .token = w->token.view.data,
        .position = w->position.given ? w->position.view.data : NULL,
        .type = w->types.given ? w->type.view.data : NULL,
        .token_dtype = w->token.view.dtype,
        .position_dtype = w->position.view.dtype,
        .type_dtype = w->type.view.dtype,
        .ids = eet_op_listed(job, w->ids.at),
        .positions = eet_op_listed(job, w->positions.at),
        .types = w->types.given ? eet_op_listed(job, w->types.at) : NULL,
        .scale = w->a->scale != 0.0 ? w->a->scale : 1.0,
        .tokens = w->rows.tokens,
        .dim = w->width,
        .hidden = w->width,
        .x = w->sum,
    };
    const eet_norm_args norm = {.x = w->sum,
                                .norm = eet_op_norm_of(&w->norm),
                                .rows = w->rows.tokens,
                                .cols = w->width,
                                .y = w->result};
    const eet_op_context *context = job->context;
    eet_status status = read_all(job, w);

    if (status != EET_OK || w->rows.tokens == 0) {
        return status;
    }
    status = eet_op_send_lists(job);
    if (status == EET_OK) {
        status = eet_op_done(job, context->ops->embed(context->backend, &embed), "embed");
    }
    if (status == EET_OK && w->normed) {
        status = eet_op_fetch_layer(job, &w->norm);
        if (status == EET_OK) {
            status = eet_op_done(job, context->ops->norm(context->backend, &norm), "norm");
        }
    }
    return status == EET_OK ? eet_op_deliver(job, w->result, &w->y) : status;
}

eet_status eet_op_embedding_body(eet_op_job *job, const void *args) {
    work w = {.a = args};
    indexes *const lists[] = {&w.ids, &w.types, &w.positions};
    eet_status status = look_all(job, &w);

    if (status == EET_OK) {
        status = check_shapes(job, &w);
    }
    w.normed = eet_op_given(&w.a->norm.weight);
    if (status == EET_OK && w.normed) {
        status = eet_op_take_norm(job, &w.a->norm, w.width, &w.norm);
    }
    if (status != EET_OK) {
        return status;
    }
    for (int32_t i = 0; i < 3; ++i) {
        lists[i]->at = eet_op_take_list(job, w.rows.tokens, sizeof *lists[i]->at);
        if (lists[i]->given && lists[i]->view.memory != EET_HOST) {
            lists[i]->narrow =
                eet_arena_take(&job->arena, (uint64_t)w.rows.tokens, sizeof(int32_t));
        }
    }
    w.result = eet_op_take_floats(job, &w.y);
    w.sum = w.result; /* a norm may be in place */
    return job->measures ? EET_OK : compute(job, &w);
}
