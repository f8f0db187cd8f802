/* source.c - the sources of cross attention: an encoder's states, of which only the keys and
 * values of every decoder layer are kept, in pages like those of a sequence. */
#include <stddef.h>
#include <string.h>

#include "engine/run.h"
#include "format/half.h"

/* ---- which source a row looks at ------------------------------------------ */

/* Named by the call, else what the sequence's last step looked at. -1 in a call is no name:
 * a sequence that has a slot keeps to it. */
int32_t eet_source_of(const eet_session *s, const eet_batch *batch, bool paged, int32_t row) {
    if (batch->source != NULL && batch->source[row] != -1) {
        return batch->source[row];
    }
    return paged ? s->cache.sequence[eet_batch_sequence(batch, row)].source : -1;
}

static eet_status check_slot(const eet_session *s, int32_t slot, int32_t row, eet_error *err) {
    if (slot < 0 || slot >= s->limits.sources) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "row %d names source %d; the session has %d", (int)row, (int)slot,
                        (int)s->limits.sources);
    }
    return EET_OK;
}

/* A decoder that has its encoder in the file was made to look at something; one without
 * leaves cross attention out where there is no source. */
eet_status eet_source_check(const eet_session *s, const eet_batch *batch, bool paged,
                            eet_error *err) {
    const eet_facts *facts = s->model->facts;

    if (!facts->stack[EET_DEC].cross) {
        return batch->source == NULL
                   ? EET_OK
                   : eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                              "the model has no cross attention; leave out source");
    }
    for (int32_t row = 0; row < batch->rows; ++row) {
        const int32_t slot = eet_source_of(s, batch, paged, row);

        if (slot == -1 && facts->stack[EET_ENC].present) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "row %d has no source for cross attention; fill a slot with "
                            "eet_source and name it in source",
                            (int)row);
        }
        if (slot != -1 && check_slot(s, slot, row, err) != EET_OK) {
            return EET_E_ARGUMENT;
        }
        if (slot != -1 && s->cache.sequence[eet_cache_source(&s->cache, slot)].length == 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "row %d looks at source %d, which is empty; fill it with eet_source",
                            (int)row, (int)slot);
        }
    }
    return EET_OK;
}

/* ---- filling slots ---------------------------------------------------------- */

/* Keys and values of `tokens` states for every layer of the decoder, into the pages that
 * in.slot names. */
static eet_status keep(eet_session *s, const eet_hidden *hidden, int32_t tokens, eet_error *err) {
    const eet_stack *decoder = &s->model->stack[EET_DEC];

    for (int32_t layer = 0; layer < decoder->layers; ++layer) {
        const eet_linear *kv = &decoder->layer[layer].cross_kv;
        const eet_project_args args = {
            .x = hidden->x,
            .x_dtype = hidden->dtype,
            .norm = hidden->norm,
            .w = kv->w,
            .bias = kv->bias,
            .rows = tokens,
            .to = EET_TO_PAGES,
            .pages = s->cache.pages,
            .layer = layer,
            .slot = s->work.in.slot,
            .scratch = s->work.scratch,
        };
        const eet_status status = s->ops->project(s->backend, &args);

        if (status != EET_OK) {
            return eet_fail(err, status, EET_NOWHERE,
                            "layer %d keys of a source failed on the %s backend", (int)layer,
                            s->api->name);
        }
    }
    return EET_OK;
}

/* What the slot held is given up, and the pages that `tokens` do not need. */
static void give_rest_back(eet_session *s, int32_t slot, int32_t tokens) {
    const int32_t id = eet_cache_source(&s->cache, slot);

    s->cache.sequence[id].length = tokens;
    eet_cache_shrink(&s->cache, id);
    s->cache.sequence[id].length = 0;
}

/* The slot has its tokens now, or, after a failure, none. */
static void settle(eet_session *s, int32_t slot, int32_t tokens, bool filled) {
    eet_cache_trim(&s->cache, eet_cache_source(&s->cache, slot), filled ? tokens : 0);
}

static eet_status check_length(const eet_session *s, int32_t slot, int64_t tokens, eet_error *err) {
    if (tokens > s->limits.source_tokens) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "source %d would have %lld tokens; the session holds %d of each", (int)slot,
                        (long long)tokens, (int)s->limits.source_tokens);
    }
    return EET_OK;
}

/* Pages that a slot takes, less those that it has. */
static int64_t more_pages(const eet_session *s, int32_t slot, int64_t tokens) {
    return (int64_t)eet_pages_for(tokens) -
           s->cache.sequence[eet_cache_source(&s->cache, slot)].pages;
}

static eet_status check_pages(const eet_session *s, int64_t pages, eet_error *err) {
    if (pages > s->cache.free_count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the call needs %lld pages of %d tokens more; %d of the cache's %d are "
                        "free",
                        (long long)pages, EET_PAGE_TOKENS, (int)s->cache.free_count,
                        (int)s->cache.count);
    }
    return EET_OK;
}

static int32_t row_tokens(const eet_batch *batch, int32_t row) {
    return batch->start[row + 1] - batch->start[row];
}

/* Slots that are there, named once, and have room. */
static eet_status check_slots(eet_session *s, const eet_batch *batch, eet_error *err) {
    int64_t pages = 0;

    s->call += 1;
    for (int32_t row = 0; row < batch->rows; ++row) {
        const int32_t slot = eet_batch_source(batch, row);
        eet_status status = check_slot(s, slot, row, err);

        if (status == EET_OK && s->seen[eet_cache_source(&s->cache, slot)] == s->call) {
            status =
                eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "two rows name source %d", (int)slot);
        }
        if (status == EET_OK) {
            status = check_length(s, slot, row_tokens(batch, row), err);
        }
        if (status != EET_OK) {
            return status;
        }
        s->seen[eet_cache_source(&s->cache, slot)] = s->call;
        pages += more_pages(s, slot, row_tokens(batch, row));
    }
    return check_pages(s, pages, err);
}

static eet_status check_run(eet_session *s, const eet_batch *batch, eet_error *err) {
    const eet_facts *facts = s->model->facts;
    const eet_stack *encoder = &s->model->stack[EET_ENC];

    if (!facts->stack[EET_DEC].cross || !facts->stack[EET_ENC].present) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        facts->stack[EET_DEC].cross
                            ? "the model has no encoder; give its states to eet_source_set"
                            : "the model has no cross attention");
    }
    eet_status status = eet_batch_check(encoder, batch, err);

    if (status == EET_OK) {
        status = eet_batch_check_whole(s, encoder, batch, err);
    }
    return status == EET_OK ? check_slots(s, batch, err) : status;
}

static eet_status fill_rows(eet_session *s, eet_pass *pass, eet_error *err) {
    eet_hidden hidden;
    eet_status status = eet_inputs_write(s, pass, err);

    eet_log(s->log, EET_LOG_TRACE, "pass: %d tokens in %d rows, into sources", (int)pass->tokens,
            (int)pass->rows);
    if (status == EET_OK) {
        status = eet_forward(s, pass, &hidden, err);
    }
    return status == EET_OK ? keep(s, &hidden, pass->tokens, err) : status;
}

static eet_status run(eet_session *s, const eet_batch *batch, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t row = 0; row < batch->rows; ++row) { /* all give back before one takes */
        give_rest_back(s, eet_batch_source(batch, row), row_tokens(batch, row));
    }
    for (int32_t row = 0; row < batch->rows; ++row) {
        eet_cache_take(&s->cache, eet_cache_source(&s->cache, eet_batch_source(batch, row)),
                       row_tokens(batch, row));
    }
    for (int32_t row = 0; row < batch->rows && status == EET_OK;) {
        const int32_t end = eet_batch_rows_end(s, batch, row);
        eet_pass pass = {
            .stack = &s->model->stack[EET_ENC],
            .batch = batch,
            .fills = true,
            .first = batch->start[row],
            .tokens = batch->start[end] - batch->start[row],
        };

        status = fill_rows(s, &pass, err);
        row = end;
    }
    for (int32_t row = 0; row < batch->rows; ++row) {
        settle(s, eet_batch_source(batch, row), row_tokens(batch, row), status == EET_OK);
    }
    return status;
}

eet_status eet_source_run(eet_session *s, const eet_batch *batch, eet_error *err) {
    const eet_status status = check_run(s, batch, err);

    return status == EET_OK ? run(s, batch, err) : status;
}

/* ---- states that a caller has ------------------------------------------------ */

static eet_status check_array(const eet_session *s, const eet_array *a, eet_error *err) {
    if (a->dtype != EET_F32 && a->dtype != EET_F16 && a->dtype != EET_BF16 && a->dtype != EET_F64) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a source's dtype is %d; f32, f16, bf16 and f64 are possible",
                        (int)a->dtype);
    }
    if (a->memory != EET_HOST && a->memory != s->model->device) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a source's memory is not the host's; the model is on %s",
                        s->model->device == EET_HOST ? "the CPU" : s->api->name);
    }
    if (a->rank != 2 || a->shape[0] < 1 || a->shape[1] != s->limits.cross_dim || a->data == NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a source is an array of tokens x %d values; this one has rank %d and "
                        "shape %lld x %lld",
                        (int)s->limits.cross_dim, (int)a->rank, (long long)a->shape[0],
                        (long long)a->shape[1]);
    }
    return EET_OK;
}

static float value_at(const eet_array *a, int64_t row, int64_t column) {
    const bool packed = a->stride[0] == 0 && a->stride[1] == 0;
    const int64_t at =
        packed ? row * a->shape[1] + column : row * a->stride[0] + column * a->stride[1];

    return a->dtype == EET_F64 ? (float)((const double *)a->data)[at]
                               : eet_float_at(a->data, a->dtype, at);
}

/* Tokens [first, first + count) of an array on the device, in f32. */
static eet_status convert_states(eet_session *s, const eet_array *a, int64_t first, int32_t count) {
    const int64_t width = s->limits.cross_dim;
    const bool packed = a->stride[0] == 0 && a->stride[1] == 0;
    const int64_t row = packed ? width : a->stride[0];
    const eet_convert_args args = {
        .x = (const char *)a->data + first * row * eet_float_bytes(a->dtype),
        .y = s->work.normed,
        .count = count * width,
        .from = a->dtype,
        .to = EET_F32,
        .rank = 2,
        .shape = {count, width},
        .x_stride = {row, packed ? 1 : a->stride[1]},
        .y_stride = {width, 1},
    };
    const eet_status status = s->ops->convert(s->backend, &args);

    return status == EET_OK && s->check_finite
               ? s->api->download(s->backend, s->given, s->work.normed,
                                  (uint64_t)(count * width) * sizeof *s->given)
               : status;
}

/* Tokens [first, first + count) of the array, and where they go. */
static eet_status upload_states(eet_session *s, int32_t slot, const eet_array *a, int64_t first,
                                int32_t count) {
    const int64_t width = s->limits.cross_dim;

    eet_inputs_use(s, false);
    for (int32_t i = 0; i < count; ++i) {
        s->in.slot[i] =
            eet_cache_slot(&s->cache, eet_cache_source(&s->cache, slot), (int32_t)first + i);
        for (int64_t j = 0; j < width && a->memory == EET_HOST; ++j) {
            s->given[i * width + j] = value_at(a, first + i, j);
        }
    }
    const eet_status status = s->api->upload(s->backend, s->work.in.slot, s->in.slot,
                                             (uint64_t)count * sizeof *s->in.slot);

    if (status == EET_OK && a->memory != EET_HOST) {
        return convert_states(s, a, first, count);
    }
    return status == EET_OK ? s->api->upload(s->backend, s->work.normed, s->given,
                                             (uint64_t)(count * width) * sizeof *s->given)
                            : status;
}

static eet_status give(eet_session *s, int32_t slot, const eet_array *a, eet_error *err) {
    const eet_hidden hidden = {.x = s->work.normed};
    const int32_t tokens = (int32_t)a->shape[0];
    eet_status status = EET_OK;

    give_rest_back(s, slot, tokens);
    eet_cache_take(&s->cache, eet_cache_source(&s->cache, slot), tokens);
    for (int32_t first = 0; first < tokens && status == EET_OK;) {
        const int32_t left = tokens - first;
        const int32_t count = left < s->limits.batch_tokens ? left : s->limits.batch_tokens;

        status = upload_states(s, slot, a, first, count);
        if (status != EET_OK) {
            (void)eet_fail(err, status, EET_NOWHERE, "a source does not reach the device");
        } else {
            status = eet_finite_check_source(s, slot, first, count, err);
        }
        if (status == EET_OK) {
            status = keep(s, &hidden, count, err);
        }
        first += count;
    }
    if (status == EET_OK && a->memory != EET_HOST) { /* it is the caller's again */
        status = s->api->sync(s->backend);
    }
    settle(s, slot, tokens, status == EET_OK);
    return status;
}

eet_status eet_source_give(eet_session *s, int32_t slot, const eet_array *hidden, eet_error *err) {
    if (!s->model->facts->stack[EET_DEC].cross) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "the model has no cross attention");
    }
    if (slot < 0 || slot >= s->limits.sources) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no source %d; there are %d",
                        (int)slot, (int)s->limits.sources);
    }
    if (hidden == NULL) {
        settle(s, slot, 0, false);
        return EET_OK;
    }
    eet_status status = check_array(s, hidden, err);

    if (status == EET_OK) {
        status = check_length(s, slot, hidden->shape[0], err);
    }
    if (status == EET_OK) {
        status = check_pages(s, more_pages(s, slot, hidden->shape[0]), err);
    }
    return status == EET_OK ? give(s, slot, hidden, err) : status;
}
