/* ops_layers.c - linear layers, norms, the switch of norms, and rows of tokens. */
#include <math.h>
#include <string.h>

#include "engine/ops.h"
#include "format/types.h"

eet_status eet_op_done(const eet_op_job *job, eet_status status, const char *what) {
    if (status == EET_OK) {
        return EET_OK;
    }
    const eet_op_context *c = job->context;
    const char *why = c->api->why(c->backend);

    return eet_fail(job->err, status, EET_NOWHERE, "%s failed on the %s backend%s%s", what,
                    c->api->name, *why != '\0' ? ": " : "", why);
}

/* ---- layers ---------------------------------------------------------------- */

/* A vector of `count` numbers, or none. */
static eet_status take_vector(eet_op_job *job, const eet_array *array, const char *name,
                              int64_t count, eet_op_layer *layer, int32_t at) {
    eet_op_view *v = &layer->vector[at];

    layer->floats[at] = NULL;
    *v = (eet_op_view){0};
    if (!eet_op_given(array)) {
        return EET_OK;
    }
    const eet_status status = eet_op_look(job, array, name, EET_OP_FLOATS, v);

    if (status != EET_OK) {
        return status;
    }
    if (v->rank != 1 || v->shape[0] != count) {
        return eet_op_misfit(job, v, "it has to be (%lld)", (long long)count);
    }
    layer->floats[at] = eet_op_take_floats(job, v);
    return EET_OK;
}

eet_status eet_op_take_linear(eet_op_job *job, const eet_op_linear *linear, const char *name,
                              int64_t in, eet_op_layer *out) {
    eet_op_view v;

    *out = (eet_op_layer){0};
    const eet_status status = eet_op_look(job, &linear->weight, name, EET_OP_FLOATS, &v);

    if (status != EET_OK) {
        return status;
    }
    if (v.rank != 2 || v.shape[1] != in || v.shape[0] < 1 || v.shape[0] > EET_OP_MOST) {
        return eet_op_misfit(job, &v, "it has to be (out, %lld)", (long long)in);
    }
    const int64_t ld = v.shape[0] > 1 ? v.stride[0] : in;

    if ((v.stride[1] != 1 && in > 1) || ld < in || ld > INT32_MAX) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "the rows of %s are not contiguous, one after the other; a transposed "
                        "weight has to be copied once",
                        name);
    }
    out->w = (eet_matrix){.data = v.data,
                          .n = (int32_t)v.shape[0],
                          .k = (int32_t)in,
                          .ld = (int32_t)ld,
                          .dtype = (uint16_t)v.dtype};
    return take_vector(job, &linear->bias, "a bias", v.shape[0], out, 0);
}

eet_status eet_op_take_norm(eet_op_job *job, const eet_op_norm *norm, int64_t width,
                            eet_op_layer *out) {
    *out = (eet_op_layer){.eps = norm->eps != 0.0 ? norm->eps : 1e-5};
    if (!(norm->eps >= 0.0) || isinf(norm->eps)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "norm.eps is %g; it has to be positive", norm->eps);
    }
    eet_status status = take_vector(job, &norm->weight, "norm.weight", width, out, 0);

    if (status == EET_OK) {
        status = take_vector(job, &norm->bias, "norm.bias", width, out, 1);
    }
    return status;
}

eet_status eet_op_fetch_layer(const eet_op_job *job, const eet_op_layer *layer) {
    eet_status status = EET_OK;

    for (int32_t i = 0; i < 2 && status == EET_OK; ++i) {
        if (layer->floats[i] != NULL) {
            status = eet_op_fetch(job, &layer->vector[i], layer->floats[i]);
        }
    }
    return status;
}

eet_norm_weights eet_op_norm_of(const eet_op_layer *layer) {
    return (eet_norm_weights){
        .weight = layer->floats[0], .bias = layer->floats[1], .eps = layer->eps};
}

static eet_status project(const eet_op_job *job, eet_project_args args) {
    if (args.rows == 0) {
        return EET_OK;
    }
    return eet_op_done(job, job->context->ops->project(job->context->backend, &args), "project");
}

eet_status eet_op_project(const eet_op_job *job, const eet_op_layer *layer, const float *x,
                          int64_t rows, float *y) {
    return project(
        job, (eet_project_args){
                 .x = x, .w = layer->w, .bias = layer->floats[0], .rows = (int32_t)rows, .y = y});
}

static eet_status norm_rows(const eet_op_job *job, const eet_op_frame *f, int32_t width,
                            const float *x, float *y) {
    const eet_norm_args args = {.x = x,
                                .norm = eet_op_norm_of(&f->norm),
                                .rows = (int32_t)f->tokens,
                                .cols = width,
                                .y = y};

    if (args.rows == 0) {
        return EET_OK;
    }
    return eet_op_done(job, job->context->ops->norm(job->context->backend, &args), "norm");
}

/* ---- the switch of norms --------------------------------------------------- */

eet_status eet_op_take_frame(eet_op_job *job, const eet_op_switch *how, eet_op_frame *out) {
    const bool normed = eet_op_given(&how->norm->weight);
    eet_op_frame f = {.pre_norm = how->pre_norm != 0,
                      .post_norm = how->pre_norm == 0 && how->add_residual != 0 && normed,
                      .residual = how->add_residual != 0};
    eet_status status = eet_op_look(job, how->x, "x", EET_OP_FLOATS, &f.x);

    if (status == EET_OK) {
        status = eet_op_check_rows(job, &f.x);
    }
    if (status == EET_OK) {
        status = eet_op_look(job, how->y, "y", EET_OP_FLOATS, &f.y);
    }
    if (status == EET_OK && f.pre_norm && !normed) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "pre_norm is set and there is no norm.weight");
    }
    if (status != EET_OK) {
        return status;
    }
    f.tokens = eet_op_tokens(&f.x);
    f.width = (int32_t)eet_op_width(&f.x);
    if (f.pre_norm || f.post_norm) {
        status = eet_op_take_norm(job, how->norm, f.width, &f.norm);
    }
    f.in = eet_op_take_floats(job, &f.x);
    f.normed = f.pre_norm ? eet_op_take(job, f.tokens, f.width) : f.in;
    f.result = eet_op_take_floats(job, &f.y);
    f.sum = f.post_norm ? eet_op_take(job, f.tokens, f.width) : f.result;
    *out = f;
    return status;
}

eet_status eet_op_check_out(const eet_op_job *job, eet_op_frame *frame, int32_t out) {
    const eet_op_view *x = &frame->x;
    const eet_op_view *y = &frame->y;
    bool fits = y->rank == x->rank && eet_op_width(y) == out;

    for (int32_t i = 0; i + 1 < x->rank; ++i) {
        fits = fits && y->shape[i] == x->shape[i];
    }
    if (!fits) {
        return eet_op_misfit(job, y, "it has to have x's axes and %d columns", (int)out);
    }
    if (frame->residual && out != frame->width) {
        return eet_op_misfit(job, x, "a residual of that width does not go with %d columns of y",
                             (int)out);
    }
    frame->out = out;
    return EET_OK;
}

eet_status eet_op_enter(const eet_op_job *job, const eet_op_frame *frame, const float **inside) {
    eet_status status = eet_op_fetch(job, &frame->x, frame->in);

    if (status == EET_OK) {
        status = eet_op_fetch_layer(job, &frame->norm);
    }
    if (status == EET_OK && frame->pre_norm) {
        status = norm_rows(job, frame, frame->width, frame->in, frame->normed);
    }
    *inside = frame->normed;
    return status;
}

eet_status eet_op_leave(const eet_op_job *job, const eet_op_frame *frame, const eet_op_layer *last,
                        const float *inside) {
    eet_status status =
        project(job, (eet_project_args){.x = inside,
                                        .w = last->w,
                                        .bias = last->floats[0],
                                        .residual = frame->residual ? frame->in : NULL,
                                        .rows = (int32_t)frame->tokens,
                                        .y = frame->sum});

    if (status == EET_OK && frame->post_norm) {
        status = norm_rows(job, frame, frame->out, frame->sum, frame->result);
    }
    if (status == EET_OK) {
        status = eet_op_deliver(job, frame->result, &frame->y);
    }
    return status;
}

/* ---- rows ------------------------------------------------------------------ */

static eet_status check_start(const eet_op_job *job, const eet_op_view *view, const int32_t *start,
                              eet_op_rows *rows) {
    for (int32_t r = 0; r <= rows->rows; ++r) {
        const int32_t before = r > 0 ? start[r - 1] : 0;

        if (start[r] < before || start[r] > rows->tokens || (r == 0 && start[0] != 0)) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "start[%d] of %s is %d; starts go from 0 up to the %d tokens", (int)r,
                            view->name, (int)start[r], (int)rows->tokens);
        }
        rows->longest = start[r] - before > rows->longest ? start[r] - before : rows->longest;
    }
    if (start[rows->rows] != rows->tokens) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "the rows of %s end with token %d of %d", view->name,
                        (int)start[rows->rows], (int)rows->tokens);
    }
    return EET_OK;
}

eet_status eet_op_take_rows(eet_op_job *job, const eet_op_view *view, int32_t more, int32_t rows,
                            const int32_t *start, eet_op_rows *out) {
    const char *width = more > 0 ? ", width" : "";
    int64_t tokens = 1;

    for (int32_t i = 0; i < view->rank - more; ++i) {
        tokens = view->shape[i] > EET_OP_MOST ? EET_OP_MOST + 1 : tokens * view->shape[i];
        tokens = tokens > EET_OP_MOST ? EET_OP_MOST + 1 : tokens;
    }
    *out = (eet_op_rows){.rows = rows, .start = start, .tokens = (int32_t)tokens};
    if (tokens > EET_OP_MOST || rows < 0 || rows > EET_OP_MOST) {
        return eet_op_misfit(job, view, "there may be %d tokens and rows (%d are given)",
                             EET_OP_MOST, (int)rows);
    }
    if (start != NULL) {
        out->list = eet_op_copy_list(job, start, (int64_t)rows + 1);
        return view->rank == 1 + more
                   ? check_start(job, view, start, out)
                   : eet_op_misfit(job, view, "with start it has to be (tokens%s)", width);
    }
    if (view->rank != 2 + more || (rows != 0 && view->shape[0] != rows) ||
        view->shape[0] > EET_OP_MOST || view->shape[1] > EET_OP_MOST) {
        return eet_op_misfit(job, view,
                             "without start it has to be (rows, tokens%s), and rows is %d", width,
                             (int)rows);
    }
    out->rows = (int32_t)view->shape[0];
    out->longest = (int32_t)view->shape[1];
    int32_t *equal = eet_op_take_list(job, (int64_t)out->rows + 1, sizeof *equal);

    for (int32_t r = 0; r <= out->rows && equal != NULL; ++r) {
        equal[r] = r * out->longest;
    }
    out->start = out->list = equal;
    return EET_OK;
}

int32_t eet_op_row_tokens(const eet_op_rows *rows, int32_t row) {
    return rows->start == NULL ? rows->longest : rows->start[row + 1] - rows->start[row];
}

eet_status eet_op_check_list(const eet_op_job *job, const int32_t *list, int32_t rows, int64_t most,
                             const char *name) {
    for (int32_t r = 0; list != NULL && r < rows; ++r) {
        if (list[r] < 0 || list[r] > most) {
            return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "%s[%d] is %d; it has to be 0 to %lld", name, (int)r, (int)list[r],
                            (long long)most);
        }
    }
    return EET_OK;
}
