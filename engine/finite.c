/* finite.c - finds the first value of a stream that is no finite number. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/run.h"

/* The pass row that token `token` of the pass is in. */
static int32_t row_of(const eet_session *s, int32_t token) {
    int32_t row = 0;

    while (s->in.q_start[row + 1] <= token) {
        ++row;
    }
    return row;
}

/* Where in the model that was; which stack, where there are two. */
static void name_place(const eet_session *s, const eet_pass *pass, int32_t layer, const char *part,
                       char *out, size_t room) {
    const eet_facts *facts = s->model->facts;
    const bool both = facts->stack[EET_ENC].present && facts->stack[EET_DEC].present;
    const char *stack = pass->stack == &s->model->stack[EET_ENC] ? "encoder" : "decoder";

    if (layer >= 0) {
        (void)snprintf(out, room, "%s%slayer %d %s", both ? stack : "", both ? " " : "", (int)layer,
                       part);
    } else {
        (void)snprintf(out, room, "%s%s%s", part, both ? " of the " : "", both ? stack : "");
    }
}

eet_status eet_finite_check(eet_session *s, const eet_pass *pass, const void *x, int32_t layer,
                            const char *part, eet_error *err) {
    const int64_t count = (int64_t)pass->tokens * pass->stack->hidden;
    char place[64];

    const int32_t dtype = eet_activation(pass->stack->stream);
    const uint64_t bytes = (uint64_t)(count * eet_activation_bytes(dtype));

    if (!s->check_finite) {
        return EET_OK;
    }
    const eet_status status = s->api->download(s->backend, s->values, x, bytes);

    if (status != EET_OK) {
        name_place(s, pass, layer, part, place, sizeof place);
        return eet_fail(err, status, EET_NOWHERE, "the values after %s cannot be read", place);
    }
    for (int64_t i = 0; i < count; ++i) {
        if (!isfinite(eet_float_at(s->values, dtype, i))) {
            const int32_t token = (int32_t)(i / pass->stack->hidden);
            const int32_t row = s->in.row[row_of(s, token)];

            name_place(s, pass, layer, part, place, sizeof place);
            return eet_fail(err, EET_E_INTERNAL, EET_NOWHERE,
                            "a value is not finite after %s, row %d (token %d of it, column %d)",
                            place, (int)row, (int)(pass->first + token - pass->batch->start[row]),
                            (int)(i % pass->stack->hidden));
        }
    }
    return EET_OK;
}

eet_status eet_finite_check_source(eet_session *s, int32_t slot, int32_t first, int32_t count,
                                   eet_error *err) {
    const int64_t width = s->limits.cross_dim;

    for (int64_t i = 0; s->check_finite && i < count * width; ++i) {
        if (!isfinite(s->given[i])) {
            return eet_fail(err, EET_E_INTERNAL, EET_NOWHERE,
                            "a value of source %d is not finite (token %d, column %d)", (int)slot,
                            (int)(first + i / width), (int)(i % width));
        }
    }
    return EET_OK;
}
