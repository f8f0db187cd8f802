/* ops_attention.c - the three attentions of eet_ops.h: their projections, their keys and values,
 * and what each query sees. */
#include <math.h>
#include <string.h>

#include "engine/ops.h"
#include "format/types.h"

typedef enum kind { MASKED, CROSS, ENCODER } kind;

/* Keys and values in the caller's cache. */
typedef struct cache {
    eet_op_view keys, values;
    int32_t slots, capacity;
} cache;

typedef struct work {
    const eet_attention_op *a;
    kind which;
    eet_op_frame frame;
    eet_op_rows rows;
    eet_op_layer query, key, value, out;
    int32_t inner;          /* heads * head_dim */
    bool cached, remembers; /* there is a cache; there is a memory */
    cache cache;
    eet_op_view memory;
    eet_op_rows memory_rows;
    eet_mask allowed, added;
    int32_t *kv_length, longest_kv;
    int32_t *seen;   /* (rows) or NULL: keys from there on are not seen */
    int64_t *offset; /* (rows) elements before a row's keys */
    int64_t *place;  /* (tokens that are added) elements before their keys */
    float *q, *k, *v, *context, *memory_f32;
} work;

/* ---- checks ---------------------------------------------------------------- */

static eet_status check_numbers(const eet_op_job *job, const eet_attention_op *a, kind which) {
    if (a->heads < 1 || a->head_dim < 1 || (int64_t)a->heads * a->head_dim > EET_OP_MOST) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "heads is %d and head_dim is %d; their product has to be 1 to %d",
                        (int)a->heads, (int)a->head_dim, EET_OP_MOST);
    }
    if (!isfinite(a->scale)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "scale is %g", a->scale);
    }
    if (which == CROSS && a->mask.causal != 0) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "cross attention has no order that a causal mask could follow");
    }
    return EET_OK;
}

/* A layer that gives (heads, head_dim), of what has `in` columns. */
static eet_status take_inner(eet_op_job *job, const work *w, const eet_op_linear *linear,
                             const char *name, int64_t in, eet_op_layer *out) {
    const eet_status status = eet_op_take_linear(job, linear, name, in, out);

    if (status == EET_OK && out->w.n != w->inner) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s gives %d columns; %d heads of %d are %d", name, (int)out->w.n,
                        (int)w->a->heads, (int)w->a->head_dim, (int)w->inner);
    }
    return status;
}

static eet_status take_layers(eet_op_job *job, work *w) {
    const eet_attention_op *a = w->a;
    const int64_t width = w->frame.width;
    const int64_t source = w->remembers ? eet_op_width(&w->memory) : width;
    eet_status status = take_inner(job, w, &a->query, "query.weight", width, &w->query);

    if (status == EET_OK && (w->which != CROSS || w->remembers)) {
        status = take_inner(job, w, &a->key, "key.weight", source, &w->key);
        if (status == EET_OK) {
            status = take_inner(job, w, &a->value, "value.weight", source, &w->value);
        }
    }
    if (status == EET_OK) {
        status = eet_op_take_linear(job, &a->out, "out.weight", w->inner, &w->out);
    }
    return status == EET_OK ? eet_op_check_out(job, &w->frame, w->out.w.n) : status;
}

static eet_status look_memory(eet_op_job *job, work *w) {
    const eet_attention_op *a = w->a;

    w->remembers = w->which == CROSS && eet_op_given(&a->memory);
    if (!w->remembers) {
        return EET_OK;
    }
    eet_status status = eet_op_look(job, &a->memory, "memory", EET_OP_FLOATS, &w->memory);

    if (status == EET_OK) {
        status = eet_op_check_rows(job, &w->memory);
    }
    if (status == EET_OK) {
        status =
            eet_op_take_rows(job, &w->memory, 1, w->rows.rows, a->memory_start, &w->memory_rows);
    }
    if (status == EET_OK && w->memory_rows.rows != w->rows.rows) {
        return eet_op_misfit(job, &w->memory, "x has %d rows", (int)w->rows.rows);
    }
    return status;
}

static bool same_places(const eet_op_view *a, const eet_op_view *b) {
    bool same = a->rank == b->rank && a->dtype == b->dtype;

    for (int32_t i = 0; i < a->rank && same; ++i) {
        same = a->shape[i] == b->shape[i] && (a->stride[i] == b->stride[i] || a->shape[i] == 1);
    }
    return same;
}

static eet_status look_cache(const eet_op_job *job, work *w) {
    cache *c = &w->cache;
    const eet_op_view *k = &c->keys;

    w->cached = w->which != ENCODER;
    if (!w->cached) {
        return EET_OK;
    }
    eet_status status = eet_op_look(job, &w->a->keys, "keys", EET_OP_FLOATS, &c->keys);

    if (status == EET_OK) {
        status = eet_op_look(job, &w->a->values, "values", EET_OP_FLOATS, &c->values);
    }
    if (status != EET_OK) {
        return status;
    }
    if (k->rank != 4 || k->shape[2] != w->a->heads || k->shape[3] != w->a->head_dim ||
        k->shape[0] > EET_OP_MOST || k->shape[1] > EET_OP_MOST) {
        return eet_op_misfit(job, k, "it has to be (slots, capacity, %d, %d)", (int)w->a->heads,
                             (int)w->a->head_dim);
    }
    if (!same_places(k, &c->values)) {
        return eet_op_misfit(job, &c->values,
                             "it has to have the shape, strides and dtype of keys");
    }
    if (k->stride[3] != 1 && k->shape[3] > 1) {
        return eet_op_misfit(job, k, "its last axis has to be contiguous");
    }
    c->slots = (int32_t)k->shape[0];
    c->capacity = (int32_t)k->shape[1];
    return EET_OK;
}

static int32_t slot_of(const work *w, int32_t row) {
    return w->a->slot != NULL ? w->a->slot[row] : row;
}

/* Rows that write have slots of their own; `used` is (slots) bytes, NULL while measuring. */
static eet_status check_slots(const eet_op_job *job, const work *w, bool writes, uint8_t *used) {
    if (!w->cached || w->rows.rows == 0) {
        return EET_OK;
    }
    if (w->a->slot == NULL && w->cache.slots < w->rows.rows) {
        return eet_op_misfit(job, &w->cache.keys, "there are %d rows", (int)w->rows.rows);
    }
    const eet_status status =
        eet_op_check_list(job, w->a->slot, w->rows.rows, (int64_t)w->cache.slots - 1, "slot");

    if (status != EET_OK || used == NULL || !writes) {
        return status;
    }
    memset(used, 0, (size_t)w->cache.slots);
    for (int32_t r = 0; r < w->rows.rows; ++r) {
        if (used[slot_of(w, r)]++ != 0) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "two rows write into slot %d; the second is row %d", (int)slot_of(w, r),
                            (int)r);
        }
    }
    return EET_OK;
}

/* ---- which keys there are --------------------------------------------------- */

/* Keys that row `row` has, `most` of them at most. */
static int32_t keys_of(const work *w, int32_t row, int32_t *most) {
    const int32_t queries = eet_op_row_tokens(&w->rows, row);
    const int32_t *length = w->a->length;

    if (w->which == MASKED) {
        const int64_t keys = (int64_t)queries + (length != NULL ? length[row] : 0);

        *most = w->cache.capacity;
        return keys > INT32_MAX ? INT32_MAX : (int32_t)keys;
    }
    *most = w->which == ENCODER ? queries
            : w->remembers      ? eet_op_row_tokens(&w->memory_rows, row)
                                : w->cache.capacity;
    return length != NULL ? length[row] : *most;
}

/* With an order among the queries of an encoder, a bound of the keys is one of its own. */
static bool bounds_apart(const work *w) {
    return w->which == ENCODER && w->a->mask.causal != 0;
}

static eet_status count_keys(const eet_op_job *job, work *w) {
    const eet_status status =
        eet_op_check_list(job, w->a->length, w->rows.rows, EET_OP_MOST, "length");

    for (int32_t r = 0; r < w->rows.rows && status == EET_OK; ++r) {
        int32_t most = 0;
        int32_t keys = keys_of(w, r, &most);

        if (keys > most) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "row %d would have %d keys; there is room for %d", (int)r, (int)keys,
                            (int)most);
        }
        if (w->remembers && eet_op_row_tokens(&w->memory_rows, r) > w->cache.capacity) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "row %d has a memory of %d tokens; its keys have room for %d", (int)r,
                            (int)eet_op_row_tokens(&w->memory_rows, r), (int)w->cache.capacity);
        }
        keys = bounds_apart(w) ? most : keys;
        w->longest_kv = keys > w->longest_kv ? keys : w->longest_kv;
        if (w->kv_length != NULL) {
            w->kv_length[r] = keys;
        }
    }
    return status;
}

static eet_status look_masks(const eet_op_job *job, work *w) {
    const int64_t need[4] = {w->rows.rows, w->a->heads, w->rows.longest, w->longest_kv};
    const eet_op_mask *mask = &w->a->mask;
    const eet_status status =
        eet_op_look_mask(job, &mask->allowed, "mask.allowed", EET_OP_BYTES, need, &w->allowed);

    if (status != EET_OK) {
        return status;
    }
    return eet_op_look_mask(job, &mask->added, "mask.added", EET_OP_FLOATS, need, &w->added);
}

/* ---- computing -------------------------------------------------------------- */

/* Everything that a call needs, checked and laid out. */
static eet_status take(eet_op_job *job, work *w) {
    const eet_attention_op *a = w->a;
    const eet_op_switch how = {&a->x, &a->y, &a->norm, a->pre_norm, a->add_residual};
    eet_status status = check_numbers(job, a, w->which);

    w->inner = status == EET_OK ? a->heads * a->head_dim : 0;
    status = status == EET_OK ? eet_op_take_frame(job, &how, &w->frame) : status;
    if (status == EET_OK) {
        status = eet_op_take_rows(job, &w->frame.x, 1, a->rows, a->start, &w->rows);
    }
    status = status == EET_OK ? look_memory(job, w) : status;
    status = status == EET_OK ? look_cache(job, w) : status;
    status = status == EET_OK ? take_layers(job, w) : status;
    if (status != EET_OK) {
        return status;
    }
    const int64_t added = w->remembers ? w->memory_rows.tokens : w->frame.tokens;
    const bool writes = w->which == MASKED || w->remembers;
    uint8_t *used = eet_op_take_list(job, w->cache.slots, 1);

    w->kv_length = eet_op_take_list(job, w->rows.rows, sizeof *w->kv_length);
    w->seen = bounds_apart(w) ? eet_op_copy_list(job, a->length, w->rows.rows) : NULL;
    w->offset = eet_op_take_list(job, w->cached ? w->rows.rows : 0, sizeof *w->offset);
    w->place = eet_op_take_list(job, writes ? added : 0, sizeof *w->place);
    w->q = eet_op_take(job, w->frame.tokens, w->inner);
    w->context = eet_op_take(job, w->frame.tokens, w->inner);
    if (w->remembers) {
        w->memory_f32 = eet_op_take_floats(job, &w->memory);
    }
    if (writes || !w->cached) { /* in the cache, values follow when keys are done */
        w->k = eet_op_take(job, added, w->inner);
        w->v = w->cached ? w->k : eet_op_take(job, added, w->inner);
    }
    status = check_slots(job, w, writes, used);
    status = status == EET_OK ? count_keys(job, w) : status;
    return status == EET_OK ? look_masks(job, w) : status;
}

/* Where a row's keys begin, and where new ones go. */
static void fill_places(const work *w) {
    const eet_op_view *keys = &w->cache.keys;
    const eet_op_rows *rows = w->remembers ? &w->memory_rows : &w->rows;

    for (int32_t r = 0; r < w->rows.rows && w->cached; ++r) {
        const int64_t offset = slot_of(w, r) * keys->stride[0];
        const int32_t before = w->which == MASKED && w->a->length != NULL ? w->a->length[r] : 0;
        const int32_t count = w->which == MASKED || w->remembers ? eet_op_row_tokens(rows, r) : 0;

        w->offset[r] = offset;
        for (int32_t i = 0; i < count; ++i) {
            w->place[rows->start[r] + i] = offset + (before + i) * keys->stride[1];
        }
    }
}

/* New keys or values to their places in the cache. */
static eet_status store(const eet_op_job *job, const work *w, const eet_op_view *to,
                        const float *from, int32_t tokens) {
    const int32_t heads = w->a->heads;
    const int32_t head_dim = w->a->head_dim;
    const eet_convert_args args = {
        .x = from,
        .y = to->data,
        .count = (int64_t)tokens * w->inner,
        .from = EET_F32,
        .to = to->dtype,
        .rank = 3,
        .shape = {tokens, heads, head_dim},
        .x_stride = {w->inner, head_dim, 1},
        .y_stride = {0, to->stride[2], 1},
        .y_at = eet_op_listed(job, w->place),
    };

    return tokens > 0 ? eet_op_convert(job, &args) : EET_OK;
}

/* Keys or values of what was read, into the cache where there is one. */
static eet_status add_keys(const eet_op_job *job, const work *w, const eet_op_layer *layer,
                           const float *x, bool values) {
    const int32_t tokens = w->remembers ? w->memory_rows.tokens : w->rows.tokens;
    float *y = values ? w->v : w->k;
    const eet_status status = eet_op_project(job, layer, x, tokens, y);

    return status == EET_OK && w->cached
               ? store(job, w, values ? &w->cache.values : &w->cache.keys, y, tokens)
               : status;
}

static eet_status attend(const eet_op_job *job, const work *w) {
    const eet_attention_op *a = w->a;
    const eet_op_view *keys = &w->cache.keys;
    eet_attention_args args = {
        .q = w->q,
        .q_stride = w->inner,
        .k = w->k,
        .v = w->v,
        .kv_stride = w->inner,
        .kv_start = eet_op_listed(job, w->rows.list),
        .rows = w->rows.rows,
        .q_start = eet_op_listed(job, w->rows.list),
        .kv_length = eet_op_listed(job, w->kv_length),
        .heads = a->heads,
        .head_dim = a->head_dim,
        .scale = (float)(a->scale != 0.0 ? a->scale : 1.0 / sqrt(a->head_dim)),
        .causal = w->which == MASKED || (w->which == ENCODER && a->mask.causal != 0),
        .tokens = w->rows.tokens,
        .longest_q = w->rows.longest,
        .longest_kv = w->longest_kv,
        .y = w->context,
        .kv_seen = eet_op_listed(job, w->seen),
        .allowed = w->allowed,
        .added = w->added,
    };

    if (w->cached) {
        args.k = keys->data;
        args.v = w->cache.values.data;
        args.kv_stride = keys->stride[1];
        args.kv_head_stride = keys->stride[2];
        args.kv_dtype = keys->dtype;
        args.kv_offset = eet_op_listed(job, w->offset);
    }
    if (w->rows.tokens == 0) {
        return EET_OK;
    }
    return eet_op_done(job, job->context->ops->attention(job->context->backend, &args),
                       "attention");
}

static eet_status compute(const eet_op_job *job, const work *w) {
    const eet_op_layer *const layers[] = {&w->query, &w->key, &w->value, &w->out};
    const float *inside = NULL;
    const float *source = NULL;

    fill_places(w);
    eet_status status = eet_op_send_lists(job);

    if (status == EET_OK) {
        status = eet_op_enter(job, &w->frame, &inside);
    }
    for (int32_t i = 0; i < 4 && status == EET_OK; ++i) {
        status = eet_op_fetch_layer(job, layers[i]);
    }
    source = inside;
    if (status == EET_OK && w->remembers) {
        status = eet_op_fetch(job, &w->memory, w->memory_f32);
        source = w->memory_f32;
    }
    if (status == EET_OK) {
        status = eet_op_project(job, &w->query, inside, w->frame.tokens, w->q);
    }
    if (status == EET_OK && (w->which != CROSS || w->remembers)) {
        status = add_keys(job, w, &w->key, source, false);
        if (status == EET_OK) {
            status = add_keys(job, w, &w->value, source, true);
        }
    }
    if (status == EET_OK) {
        status = attend(job, w);
    }
    return status == EET_OK ? eet_op_leave(job, &w->frame, &w->out, w->context) : status;
}

static eet_status run(eet_op_job *job, const eet_attention_op *a, kind which) {
    work w = {.a = a, .which = which};
    const eet_status status = take(job, &w);

    return status == EET_OK && !job->measures ? compute(job, &w) : status;
}

eet_status eet_op_masked_body(eet_op_job *job, const void *args) {
    return run(job, args, MASKED);
}

eet_status eet_op_cross_body(eet_op_job *job, const void *args) {
    return run(job, args, CROSS);
}

eet_status eet_op_attention_body(eet_op_job *job, const void *args) {
    return run(job, args, ENCODER);
}
