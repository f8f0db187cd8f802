/* batch.c - what a caller's batch may hold. */
#include <limits.h>
#include <stddef.h>

#include "engine/run.h"

static eet_status check_rows(const eet_batch *batch, eet_error *err) {
    if (batch->rows < 1 || batch->start == NULL || batch->tokens == NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "a batch has rows, their starts and their tokens; this one has %d rows",
                        (int)batch->rows);
    }
    if (batch->start[0] != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "start[0] is %d, not 0",
                        (int)batch->start[0]);
    }
    for (int32_t r = 0; r < batch->rows; ++r) {
        if (batch->start[r + 1] <= batch->start[r]) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "row %d has no tokens: it starts at %d and ends at %d", (int)r,
                            (int)batch->start[r], (int)batch->start[r + 1]);
        }
    }
    return EET_OK;
}

/* The row that packed token `token` belongs to, for a sentence. */
static int32_t row_of(const eet_batch *batch, int32_t token) {
    int32_t row = 0;

    while (batch->start[row + 1] <= token) {
        ++row;
    }
    return row;
}

static eet_status check_ids(const eet_stack *stack, const eet_batch *batch, eet_error *err) {
    const int32_t tokens = batch->start[batch->rows];

    for (int32_t i = 0; i < tokens; ++i) {
        if (batch->tokens[i] < 0 || batch->tokens[i] >= stack->vocab_size) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "token id %d in row %d is outside the vocabulary of %d",
                            (int)batch->tokens[i], (int)row_of(batch, i), (int)stack->vocab_size);
        }
    }
    for (int32_t i = 0; batch->types != NULL && i < tokens; ++i) {
        if (stack->types == 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the model has no token types");
        }
        if (batch->types[i] < 0 || batch->types[i] >= stack->types) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "token type %d in row %d is outside the model's %d",
                            (int)batch->types[i], (int)row_of(batch, i), (int)stack->types);
        }
    }
    return EET_OK;
}

/* -1 is a position too where the model has pads that take none. */
static eet_status check_positions(const eet_stack *stack, const eet_batch *batch, eet_error *err) {
    const int32_t tokens = batch->start[batch->rows];
    const int32_t low = stack->pos_skip_pad ? -1 : 0;

    for (int32_t i = 0; batch->positions != NULL && i < tokens; ++i) {
        if (stack->pos_rows == 0) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the model has no positions");
        }
        if (batch->positions[i] < low || batch->positions[i] >= stack->pos_rows) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "position %d in row %d is outside the model's %d",
                            (int)batch->positions[i], (int)row_of(batch, i), (int)stack->pos_rows);
        }
    }
    return EET_OK;
}

/* Tokens of a row that take a position. */
static int64_t counted_in(const eet_stack *stack, const eet_batch *batch, int32_t row) {
    int64_t counted = batch->start[row + 1] - batch->start[row];

    for (int32_t i = batch->start[row]; stack->pos_skip_pad && i < batch->start[row + 1]; ++i) {
        counted -= batch->tokens[i] == stack->tok_pad ? 1 : 0;
    }
    return counted;
}

static eet_status check_text(const eet_stack *stack, const eet_batch *batch, int32_t row,
                             int32_t before, eet_error *err) {
    const int64_t end = before + counted_in(stack, batch, row);

    if (stack->pos_rows > 0 && batch->positions == NULL && end > stack->pos_rows) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "row %d needs %lld positions; the model has %d", (int)row, (long long)end,
                        (int)stack->pos_rows);
    }
    return EET_OK;
}

eet_status eet_batch_check(const eet_stack *stack, const eet_batch *batch, eet_error *err) {
    eet_status status = check_rows(batch, err);

    if (status == EET_OK) {
        status = check_ids(stack, batch, err);
    }
    if (status == EET_OK) {
        status = check_positions(stack, batch, err);
    }
    return status;
}

/* Rows that go through in one piece. */
eet_status eet_batch_check_pieces(const eet_session *s, const eet_batch *batch, eet_error *err) {
    for (int32_t r = 0; r < batch->rows; ++r) {
        const int32_t tokens = batch->start[r + 1] - batch->start[r];

        if (tokens > s->limits.batch_tokens) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                            "row %d has %d tokens; the session computes %d at once; make it with "
                            "larger max_batch_tokens",
                            (int)r, (int)tokens, (int)s->limits.batch_tokens);
        }
    }
    return EET_OK;
}

/* An encoding's row begins a text. */
eet_status eet_batch_check_whole(const eet_session *s, const eet_stack *stack,
                                 const eet_batch *batch, eet_error *err) {
    for (int32_t r = 0; r < batch->rows; ++r) {
        const eet_status status = check_text(stack, batch, r, 0, err);

        if (status != EET_OK) {
            return status;
        }
    }
    return eet_batch_check_pieces(s, batch, err);
}

/* A sequence's number, named once; the marks need no clearing: each call has its own. */
static eet_status check_sequence(eet_session *s, const eet_batch *batch, int32_t row,
                                 eet_error *err) {
    const int32_t id = eet_batch_sequence(batch, row);

    if (id < 0 || id >= s->limits.sequences) {
        return eet_fail(err, batch->sequence != NULL ? EET_E_ARGUMENT : EET_E_LIMIT, EET_NOWHERE,
                        "row %d asks for sequence %d; the session has %d", (int)row, (int)id,
                        (int)s->limits.sequences);
    }
    if (s->seen[id] == s->call) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "two rows name sequence %d", (int)id);
    }
    s->seen[id] = s->call;
    return EET_OK;
}

/* Pages that the call takes: for its tokens, and for copies of what sequences share. */
static int64_t pages_of(eet_session *s, const eet_batch *batch) {
    int64_t pages = 0;

    for (int32_t r = 0; r < batch->rows; ++r) {
        const int32_t id = eet_batch_sequence(batch, r);
        const int64_t end = eet_batch_end(s, batch, r);

        pages += eet_cache_lacks(&s->cache, id, end) + eet_cache_claim(&s->cache, id);
    }
    for (int32_t r = 0; r < batch->rows; ++r) {
        eet_cache_unclaim(&s->cache, eet_batch_sequence(batch, r));
    }
    return pages;
}

eet_status eet_batch_check_sequences(eet_session *s, const eet_stack *stack, const eet_batch *batch,
                                     eet_error *err) {
    s->call += 1;
    for (int32_t r = 0; r < batch->rows; ++r) {
        eet_status status = check_sequence(s, batch, r, err);

        if (status != EET_OK) {
            return status;
        }
        const int32_t id = eet_batch_sequence(batch, r);
        const int32_t before = s->cache.sequence[id].length;
        const int64_t end = (int64_t)before + batch->start[r + 1] - batch->start[r];

        if (end > s->limits.tokens) {
            return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                            "sequence %d would have %lld tokens; the session holds %d of each",
                            (int)id, (long long)end, (int)s->limits.tokens);
        }
        status = check_text(stack, batch, r, eet_cache_counted(&s->cache, id, before), err);
        if (status != EET_OK) {
            return status;
        }
    }
    const int64_t lacks = pages_of(s, batch);

    if (lacks > s->cache.free_count) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the call needs %lld pages of %d tokens; %d of the cache's %d are free",
                        (long long)lacks, EET_PAGE_TOKENS, (int)s->cache.free_count,
                        (int)s->cache.count);
    }
    return EET_OK;
}
