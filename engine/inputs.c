/* inputs.c - what a pass reads: ids, positions, types, and where keys and values are. */
#include <stddef.h>
#include <string.h>

#include "engine/graphs.h"
#include "engine/run.h"

/* A part of a row: tokens [first, end) of the packed batch, `before` tokens of the
 * sequence ahead of them, `counted` of which took a position. */
typedef struct row_part {
    int32_t row, first, end;
    int32_t before, counted;
} row_part;

static bool is_pad(const eet_pass *pass, int32_t token) {
    return pass->stack->pos_skip_pad && pass->batch->tokens[token] == pass->stack->tok_pad;
}

static row_part part_of(const eet_session *s, const eet_pass *pass, int32_t row, int32_t first) {
    const eet_batch *batch = pass->batch;
    const int32_t end = batch->start[row + 1];
    const int32_t last = pass->first + pass->tokens;
    row_part part = {.row = row, .first = first, .end = end < last ? end : last};

    if (pass->paged) {
        const int32_t id = eet_batch_sequence(batch, row);

        part.before = s->cache.sequence[id].length;
        part.counted = eet_cache_counted(&s->cache, id, part.before);
    }
    part.before += first - batch->start[row];
    for (int32_t i = batch->start[row]; i < first; ++i) {
        part.counted += is_pad(pass, i) ? 0 : 1;
    }
    return part;
}

static void write_tokens(eet_session *s, const eet_pass *pass, row_part part) {
    const eet_batch *batch = pass->batch;
    const int32_t id = eet_batch_sequence(batch, part.row);

    for (int32_t i = part.first; i < part.end; ++i) {
        const int32_t to = i - pass->first;
        const int32_t place = part.before + i - part.first;
        const bool pad = is_pad(pass, i);

        s->in.ids[to] = batch->tokens[i];
        s->in.types[to] = batch->types != NULL ? batch->types[i] : pass->stack->type_default;
        s->in.positions[to] = pad ? -1 : part.counted;
        part.counted += pad ? 0 : 1;
        if (batch->positions != NULL) {
            s->in.positions[to] = batch->positions[i];
        }
        if (pass->fills) {
            const int32_t slot = eet_batch_source(batch, part.row);

            s->in.slot[to] = eet_cache_slot(&s->cache, eet_cache_source(&s->cache, slot), place);
        }
        if (pass->paged) {
            s->in.slot[to] = eet_cache_slot(&s->cache, id, place);
            eet_cache_ids(&s->cache, id)[place] = batch->tokens[i];
        }
    }
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Where the keys and values of the row's source are. */
static void write_source(eet_session *s, eet_pass *pass, int32_t row) {
    const int32_t slot = eet_source_of(s, pass->batch, pass->paged, row);
    const int64_t stride = s->cache.source_stride;

    s->in.source_length[pass->rows] = s->cache.sequence[eet_cache_source(&s->cache, slot)].length;
    pass->longest_source = larger(pass->longest_source, s->in.source_length[pass->rows]);
    memcpy(s->in.source_table + pass->rows * stride, s->cache.source_table + slot * stride,
           (size_t)stride * sizeof *s->in.source_table);
}

static void write_row(eet_session *s, eet_pass *pass, row_part part) {
    const int32_t at = pass->rows;
    const int32_t stride = s->cache.stride;

    pass->longest_q = larger(pass->longest_q, part.end - part.first);
    pass->longest_kv = larger(pass->longest_kv, part.before + part.end - part.first);
    s->in.row[at] = part.row;
    s->in.q_start[at + 1] = part.end - pass->first;
    s->in.kv_length[at] = part.before + part.end - part.first;
    if (pass->cross) {
        write_source(s, pass, part.row);
    }
    if (pass->paged) {
        const int32_t id = eet_batch_sequence(pass->batch, part.row);

        memcpy(s->in.page_table + (int64_t)at * stride, s->cache.table + (int64_t)id * stride,
               (size_t)stride * sizeof *s->in.page_table);
    }
}

/* The row of the batch that packed token `token` is in. */
static int32_t row_at(const eet_batch *batch, int32_t token) {
    int32_t low = 0;
    int32_t high = batch->rows - 1;

    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;

        if (batch->start[middle] <= token) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void eet_inputs_use(eet_session *s, bool few) {
    s->in = s->inputs[few];
    s->work.in = s->work.inputs[few];
}

eet_status eet_inputs_upload(eet_session *s, int32_t rows) {
    const int32_t with_pages = rows < s->limits.sequences ? rows : s->limits.sequences;
    const int32_t *end = s->in.page_table + (int64_t)with_pages * s->limits.stride;

    return s->api->upload(s->backend, s->work.in.slot, s->in.slot,
                          (uint64_t)((const char *)end - (const char *)s->in.slot));
}

eet_status eet_inputs_write(eet_session *s, eet_pass *pass, eet_error *err) {
    const int32_t end = pass->first + pass->tokens;
    int32_t first = pass->first;

    pass->rows = 0;
    pass->longest_q = pass->longest_kv = pass->longest_source = 0;
    eet_inputs_use(s, pass->few);
    s->in.q_start[0] = 0;
    for (int32_t row = row_at(pass->batch, first); first < end; ++row) {
        const row_part part = part_of(s, pass, row, first);

        write_tokens(s, pass, part);
        write_row(s, pass, part);
        pass->rows += 1;
        first = part.end;
    }
    eet_graphs_round(s, pass);
    const eet_status status =
        eet_inputs_upload(s, pass->graph >= 0 ? s->graph[pass->graph].rows : pass->rows);

    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "the inputs do not reach the device");
    }
    return EET_OK;
}
