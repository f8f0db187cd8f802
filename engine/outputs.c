/* outputs.c - checks what a caller wants of a call, and writes it as passes go by. */
#include <stddef.h>

#include "engine/abi.h"
#include "engine/run.h"
#include "format/checked.h"

/* The caller's structs stand one of his sizes apart. */
static eet_status read_output(const eet_output *outputs, int32_t index, eet_output *out,
                              eet_error *err) {
    const char *at = (const char *)outputs + (size_t)index * outputs->size;

    return eet_abi_read(out, sizeof *out, at, "eet_output", err);
}

static int64_t total_of(const eet_output *output, int32_t take, const eet_batch *batch) {
    if (take == EET_TAKE_EVERY) {
        return batch->start[batch->rows];
    }
    return take == EET_TAKE_GIVEN ? output->count : batch->rows;
}

static eet_status check_given(const eet_output *output, int32_t tokens, eet_error *err) {
    if (output->count < 0 || (output->count > 0 && output->at == NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "take = given needs the positions in at; count is %d", (int)output->count);
    }
    for (int32_t i = 0; i < output->count; ++i) {
        if (output->at[i] < (i > 0 ? output->at[i - 1] : 0) || output->at[i] >= tokens) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "at[%d] is %d; positions ascend and are below %d", (int)i,
                            (int)output->at[i], (int)tokens);
        }
    }
    return EET_OK;
}

/* Which head, or the hidden states, and what it takes. */
static eet_status find_head(const eet_session *s, int32_t stack, const eet_output *output,
                            eet_wanted *out, eet_error *err) {
    const eet_model *model = s->model;

    out->take = output->take;
    if (output->head == EET_HIDDEN) {
        out->width = model->stack[stack].hidden;
        out->take = output->take == EET_TAKE_DEFAULT ? EET_TAKE_EVERY : output->take;
        return EET_OK;
    }
    if (output->head < 0 || output->head >= model->facts->heads) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no head %d; the model has %d",
                        (int)output->head, (int)model->facts->heads);
    }
    if (model->facts->head[output->head].stack != stack) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "head \"%s\" reads a stack that this call does not run",
                        model->facts->head[output->head].name);
    }
    out->head = &model->head[output->head];
    out->width = out->head->width;
    if (output->take == EET_TAKE_DEFAULT) {
        out->take = out->head->take;
        out->skip_pad = out->head->skip_pad;
        out->pad = model->stack[stack].tok_pad;
    }
    return EET_OK;
}

static int32_t dtype_bytes(int32_t dtype) {
    return dtype == EET_F32 ? 4 : 2;
}

static eet_status check_room(const eet_session *s, const eet_output *output,
                             const eet_wanted *wanted, eet_error *err) {
    uint64_t bytes = 0;

    if (wanted->dtype != EET_F32 && wanted->dtype != EET_F16 && wanted->dtype != EET_BF16) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "an output's dtype is %d; f32, f16 and bf16 are possible",
                        (int)wanted->dtype);
    }
    if (output->memory != EET_HOST && output->memory != s->model->device) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "an output's memory is not the host's; the model is on %s",
                        s->model->device == EET_HOST ? "the CPU" : s->api->name);
    }
    if (!eet_mul_u64((uint64_t)wanted->total, (uint64_t)wanted->width, &bytes) ||
        !eet_mul_u64(bytes, (uint64_t)dtype_bytes(wanted->dtype), &bytes) ||
        bytes > output->bytes || (output->data == NULL && bytes > 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "an output of %lld x %d values needs %llu bytes; there is room for %llu",
                        (long long)wanted->total, (int)wanted->width, (unsigned long long)bytes,
                        (unsigned long long)(output->data == NULL ? 0 : output->bytes));
    }
    return EET_OK;
}

static eet_status resolve(const eet_session *s, int32_t stack, const eet_batch *batch,
                          const eet_output *output, eet_wanted *out, eet_error *err) {
    *out = (eet_wanted){.dtype = output->dtype != 0 ? output->dtype : EET_F32,
                        .memory = output->memory,
                        .at = output->at,
                        .data = output->data};
    eet_status status = find_head(s, stack, output, out, err);

    if (status == EET_OK && (out->take < EET_TAKE_FIRST || out->take > EET_TAKE_MEAN)) {
        status =
            eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "take %d does not exist", (int)out->take);
    }
    if (status == EET_OK && out->take == EET_TAKE_GIVEN) {
        status = check_given(output, batch->start[batch->rows], err);
    }
    if (status == EET_OK) {
        out->total = total_of(output, out->take, batch);
        status = check_room(s, output, out, err);
    }
    return status;
}

eet_status eet_outputs_check(const eet_session *s, int32_t stack, const eet_batch *batch,
                             const eet_request *request, bool *whole, eet_error *err) {
    if (request->count < 0 || (request->count > 0 && request->outputs == NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there are %d outputs",
                        (int)request->count);
    }
    for (int32_t i = 0; i < request->count; ++i) {
        eet_output output;
        eet_wanted wanted;
        eet_status status = read_output(request->outputs, i, &output, err);

        if (status == EET_OK) {
            status = resolve(s, stack, batch, &output, &wanted, err);
        }
        if (status != EET_OK) {
            return status;
        }
        *whole = *whole || wanted.take == EET_TAKE_MEAN;
    }
    return EET_OK;
}

/* A row's last token; of a row of pads alone its first. */
static int32_t last_of(const eet_wanted *wanted, const eet_batch *batch, int64_t row) {
    int32_t at = batch->start[row + 1] - 1;

    while (wanted->skip_pad && at > batch->start[row] && batch->tokens[at] == wanted->pad) {
        --at;
    }
    return at;
}

/* The packed token after which row `to` of an output can be given. */
static int32_t position_of(const eet_wanted *wanted, const eet_batch *batch, int64_t to) {
    switch (wanted->take) {
    case EET_TAKE_FIRST:
        return batch->start[to];
    case EET_TAKE_EVERY:
        return (int32_t)to;
    case EET_TAKE_GIVEN:
        return wanted->at[to];
    case EET_TAKE_LAST:
        return last_of(wanted, batch, to);
    default:
        return batch->start[to + 1] - 1;
    }
}

/* The first row of an output at packed token `token` or later. */
static int64_t row_from(const eet_wanted *wanted, const eet_batch *batch, int32_t token) {
    int64_t low = 0;
    int64_t high = wanted->total;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;

        if (position_of(wanted, batch, middle) < token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Values to the caller's memory, in his dtype. */
static eet_status deliver(eet_session *s, const eet_wanted *wanted, const float *values, int64_t to,
                          int64_t rows) {
    const int64_t count = rows * wanted->width;
    const uint64_t bytes = (uint64_t)dtype_bytes(wanted->dtype);
    const bool stays = wanted->memory != EET_HOST; /* on the device */
    char *data = wanted->data + (uint64_t)(to * wanted->width) * bytes;
    const eet_convert_args args = {
        .x = values,
        .y = stays ? (void *)data : s->work.converted,
        .count = count,
        .from = EET_F32,
        .to = wanted->dtype,
    };

    if (wanted->dtype == EET_F32 && !stays) {
        return s->api->download(s->backend, data, values, (uint64_t)count * bytes);
    }
    eet_status status = s->ops->convert(s->backend, &args);

    if (status != EET_OK) {
        return status;
    }
    return stays ? s->api->sync(s->backend)
                 : s->api->download(s->backend, data, s->work.converted, (uint64_t)count * bytes);
}

/* Rows [to, to + count) of an output. */
static eet_status write_rows(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                             const eet_wanted *wanted, int64_t to, int32_t count, eet_error *err) {
    const float *values = NULL;
    eet_status status = EET_OK;

    for (int32_t i = 0; i < count; ++i) {
        s->index[i] = position_of(wanted, pass->batch, to + i) - pass->first;
    }
    status =
        s->api->upload(s->backend, s->work.index, s->index, (uint64_t)count * sizeof *s->index);
    if (status == EET_OK) {
        const int32_t first = wanted->take == EET_TAKE_MEAN ? (int32_t)to - s->in.row[0] : 0;

        status = eet_head_run(s, pass, hidden, wanted, first, count, &values);
    }
    if (status == EET_OK) {
        status = deliver(s, wanted, values, to, count);
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a head failed on the %s backend", s->api->name);
    }
    return EET_OK;
}

static eet_status write_output(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                               const eet_wanted *wanted, eet_error *err) {
    const int64_t end = row_from(wanted, pass->batch, pass->first + pass->tokens);
    const int32_t room =
        wanted->head == NULL && wanted->take != EET_TAKE_MEAN ? pass->tokens : s->limits.outputs;
    eet_status status = EET_OK;

    for (int64_t to = row_from(wanted, pass->batch, pass->first); to < end && status == EET_OK;) {
        const int32_t count = end - to < room ? (int32_t)(end - to) : room;

        status = write_rows(s, pass, hidden, wanted, to, count, err);
        to += count;
    }
    return status;
}

eet_status eet_outputs_write(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                             const eet_request *request, eet_error *err) {
    const int32_t stack = pass->stack == &s->model->stack[EET_ENC] ? EET_ENC : EET_DEC;
    eet_status status = EET_OK;

    if (request->pick != NULL) {
        status = eet_pick_write(s, pass, hidden, request->pick, err);
    }
    for (int32_t i = 0; i < request->count && status == EET_OK; ++i) {
        eet_output output;
        eet_wanted wanted;

        status = read_output(request->outputs, i, &output, err);
        if (status == EET_OK) {
            status = resolve(s, stack, pass->batch, &output, &wanted, err);
        }
        if (status == EET_OK) {
            status = write_output(s, pass, hidden, &wanted, err);
        }
    }
    return status;
}
