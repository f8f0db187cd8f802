/* run.c - a call's passes: whole rows for an encoding, any pieces for a step. */
#include <stddef.h>

#include "engine/graphs.h"
#include "engine/run.h"

static eet_status run_pass(eet_session *s, eet_pass *pass, const eet_request *request,
                           eet_error *err) {
    eet_hidden hidden;

    s->api->range(s->backend, "pass", -1);
    eet_status status = eet_inputs_write(s, pass, err);

    eet_log(s->log, EET_LOG_TRACE, "pass: %d tokens in %d rows, %s", (int)pass->tokens,
            (int)pass->rows, pass->paged ? "into the cache" : "without cache");
    if (status == EET_OK) {
        status = pass->graph >= 0 ? eet_graphs_run(s, pass, &hidden, err)
                                  : eet_forward(s, pass, &hidden, err);
    }
    if (status == EET_OK) {
        status = eet_outputs_write(s, pass, &hidden, request, err);
    }
    s->api->range(s->backend, NULL, -1);
    return status;
}

int32_t eet_batch_rows_end(const eet_session *s, const eet_batch *batch, int32_t row) {
    const int32_t first = batch->start[row];

    do {
        ++row;
    } while (row < batch->rows && batch->start[row + 1] - first <= s->limits.batch_tokens);
    return row;
}

static bool looks(const eet_session *s, const eet_batch *batch, bool paged, int32_t row) {
    return s->model->facts->stack[EET_DEC].cross && eet_source_of(s, batch, paged, row) >= 0;
}

/* A step's row of few new tokens runs in the family for them, however the call is cut. */
static bool is_few(const eet_session *s, const eet_batch *batch, bool paged, int32_t row) {
    return paged && s->limits.families &&
           batch->start[row + 1] - batch->start[row] <= EET_FEW_IN_ROW;
}

/* Can two rows be in one pass? It looks at sources or does not, and is of one family. */
static bool together(const eet_session *s, const eet_batch *batch, bool paged, int32_t a,
                     int32_t b) {
    return looks(s, batch, paged, a) == looks(s, batch, paged, b) &&
           is_few(s, batch, paged, a) == is_few(s, batch, paged, b);
}

/* Tokens that a pass beginning with this row can have. */
static int32_t room_of(const eet_session *s, const eet_batch *batch, bool paged, int32_t row) {
    const int32_t room = s->limits.batch_tokens;

    return is_few(s, batch, paged, row) && room > EET_FEW_TOKENS ? EET_FEW_TOKENS : room;
}

/* The rows from `row` on that a pass takes together, whole: of sources it knows so many. */
static int32_t whole_rows(const eet_session *s, const eet_batch *batch, bool paged, int32_t row) {
    const int32_t most = eet_batch_rows_end(s, batch, row);
    const int32_t last = batch->start[row] + room_of(s, batch, paged, row);
    const bool cross = looks(s, batch, paged, row);
    int32_t end = row + 1;

    while (end < most && batch->start[end + 1] <= last && together(s, batch, paged, row, end) &&
           (!cross || end - row < s->limits.source_rows)) {
        ++end;
    }
    return end;
}

static eet_status check_encode(const eet_session *s, int32_t which, const eet_batch *batch,
                               const eet_request *request, eet_error *err) {
    const eet_stack *stack = &s->model->stack[which];
    eet_status status = eet_batch_check(stack, batch, err);
    bool whole = true;

    if (status == EET_OK && which == EET_DEC) {
        status = eet_source_check(s, batch, false, err);
    }
    if (status == EET_OK) {
        status = eet_batch_check_whole(s, stack, batch, err);
    }
    return status == EET_OK ? eet_outputs_check(s, which, batch, request, &whole, err) : status;
}

eet_status eet_run_encode(eet_session *s, const eet_batch *batch, const eet_request *request,
                          eet_error *err) {
    const bool cross = s->model->facts->stack[EET_DEC].cross;
    const int32_t which =
        cross && batch->source != NULL ? EET_DEC : eet_model_first_stack(s->model);
    eet_status status = EET_OK;

    if (batch->source != NULL && !cross) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no cross attention; leave out source");
    }
    status = check_encode(s, which, batch, request, err);
    for (int32_t row = 0; row < batch->rows && status == EET_OK;) {
        const bool looking = which == EET_DEC && looks(s, batch, false, row);
        const int32_t end = whole_rows(s, batch, false, row);
        eet_pass pass = {
            .stack = &s->model->stack[which],
            .batch = batch,
            .cross = looking,
            .first = batch->start[row],
            .tokens = batch->start[end] - batch->start[row],
        };

        status = run_pass(s, &pass, request, err);
        row = end;
    }
    return status;
}

/* Lengths grow when all went well; else the sequences are as they were. */
static void settle(eet_session *s, const eet_batch *batch, bool grown) {
    for (int32_t r = 0; r < batch->rows; ++r) {
        const int32_t id = eet_batch_sequence(batch, r);

        if (grown) {
            s->cache.sequence[id].source = eet_source_of(s, batch, true, r);
            s->cache.sequence[id].length += batch->start[r + 1] - batch->start[r];
        } else {
            eet_cache_shrink(&s->cache, id);
        }
    }
}

/* All pages that the call needs; returns how many moves are to be made first. */
static int32_t take_pages(eet_session *s, const eet_batch *batch) {
    int32_t moves = 0;

    for (int32_t r = 0; r < batch->rows; ++r) {
        const int32_t id = eet_batch_sequence(batch, r);
        const int64_t end = eet_batch_end(s, batch, r);

        moves += eet_cache_own(&s->cache, id, &s->moves[moves]) ? 1 : 0;
        eet_cache_take(&s->cache, id, end);
    }
    return moves;
}

/* What forks share and are about to write. */
static eet_status copy_pages(eet_session *s, int32_t moves, eet_error *err) {
    const eet_page_copy_args args = {
        .pages = s->cache.pages, .moves = s->work.moves, .count = moves};
    eet_status status = EET_OK;

    if (moves > 0) {
        status =
            s->api->upload(s->backend, s->work.moves, s->moves, (uint64_t)moves * sizeof *s->moves);
    }
    if (moves > 0 && status == EET_OK) {
        status = s->ops->page_copy(s->backend, &args);
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "pages are not copied on the %s backend",
                        s->api->name);
    }
    return EET_OK;
}

static eet_status check_step(eet_session *s, const eet_batch *batch, const eet_request *request,
                             bool *whole, eet_error *err) {
    const eet_stack *stack = &s->model->stack[EET_DEC];

    if (!s->model->facts->stack[EET_DEC].present) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no decoder; use eet_encode");
    }
    eet_status status = eet_batch_check(stack, batch, err);

    if (status == EET_OK) {
        status = eet_outputs_check(s, EET_DEC, batch, request, whole, err);
    }
    if (status == EET_OK && *whole) {
        status = eet_batch_check_pieces(s, batch, err);
    }
    if (status == EET_OK) {
        status = eet_batch_check_sequences(s, stack, batch, err);
    }
    return status == EET_OK ? eet_source_check(s, batch, true, err) : status;
}

/* Tokens of the pass that begins at packed token `first` in row *row, which goes on to where
 * the next pass begins. */
static int32_t pass_tokens(const eet_session *s, const eet_batch *batch, int32_t first, bool whole,
                           int32_t *row) {
    const int32_t left = batch->start[batch->rows] - first;
    const int32_t room = room_of(s, batch, true, *row);
    const int32_t begin = *row;
    int32_t end = first + (left < room ? left : room);

    if (whole) {
        *row = whole_rows(s, batch, true, *row);
        return batch->start[*row] - first;
    }
    while (batch->start[*row] < end && batch->start[*row + 1] <= end) {
        *row += 1;
        if (batch->start[*row] < end && !together(s, batch, true, begin, *row)) {
            end = batch->start[*row];
        }
    }
    return end - first;
}

eet_status eet_run_step(eet_session *s, const eet_batch *batch, const eet_request *request,
                        eet_error *err) {
    bool whole = false;
    int32_t row = 0;
    eet_status status = check_step(s, batch, request, &whole, err);

    if (status != EET_OK) {
        return status;
    }
    const int32_t tokens = batch->start[batch->rows];

    status = copy_pages(s, take_pages(s, batch), err);
    for (int32_t first = 0; first < tokens && status == EET_OK;) {
        eet_pass pass = {
            .stack = &s->model->stack[EET_DEC],
            .batch = batch,
            .paged = true,
            .cross = looks(s, batch, true, row),
            .few = is_few(s, batch, true, row),
            .first = first,
        };

        pass.tokens = pass_tokens(s, batch, first, whole, &row);
        status = run_pass(s, &pass, request, err);
        first += pass.tokens;
    }
    settle(s, batch, status == EET_OK);
    return status;
}
