/* ops_ffn.c - the feed-forward part of a block, and a norm alone. */
#include "engine/ops.h"
#include "format/types.h"

static bool is_act(int32_t act) {
    switch (act) {
#define X(symbol, number, name) case symbol:
        EET_ACT_MAP(X)
#undef X
        return true;
    default:
        return false;
    }
}

static eet_status run_ffn(const eet_op_job *job, const eet_op_frame *frame,
                          const eet_op_layer layers[2], int32_t act, float *between) {
    const float *inside = NULL;
    eet_status status = eet_op_enter(job, frame, &inside);

    for (int32_t i = 0; i < 2 && status == EET_OK; ++i) {
        status = eet_op_fetch_layer(job, &layers[i]);
    }
    if (status != EET_OK || frame->tokens == 0) {
        return status;
    }
    const eet_project_args args = {.x = inside,
                                   .w = layers[0].w,
                                   .bias = layers[0].floats[0],
                                   .act = act,
                                   .rows = (int32_t)frame->tokens,
                                   .y = between};

    status = eet_op_done(job, job->context->ops->project(job->context->backend, &args), "project");
    return status == EET_OK ? eet_op_leave(job, frame, &layers[1], between) : status;
}

eet_status eet_op_ffn_body(eet_op_job *job, const void *args) {
    const eet_ffn_op *a = args;
    const eet_op_switch how = {&a->x, &a->y, &a->norm, a->pre_norm, a->add_residual};
    eet_op_frame frame;
    eet_op_layer layers[2];

    if (!is_act(a->act)) {
        return eet_fail(job->err, EET_E_ARGUMENT, EET_NOWHERE, "there is no activation %d",
                        (int)a->act);
    }
    eet_status status = eet_op_take_frame(job, &how, &frame);

    if (status == EET_OK) {
        status = eet_op_take_linear(job, &a->fc1, "fc1.weight", frame.width, &layers[0]);
    }
    if (status == EET_OK) {
        status = eet_op_take_linear(job, &a->fc2, "fc2.weight", layers[0].w.n, &layers[1]);
    }
    if (status == EET_OK) {
        status = eet_op_check_out(job, &frame, layers[1].w.n);
    }
    if (status != EET_OK) {
        return status;
    }
    float *between = eet_op_take(job, frame.tokens, layers[0].w.n);

    return job->measures ? EET_OK : run_ffn(job, &frame, layers, a->act, between);
}

eet_status eet_op_layernorm_body(eet_op_job *job, const void *args) {
    const eet_layernorm_op *a = args;
    const eet_op_switch how = {&a->x, &a->y, &a->norm, 1, 0};
    eet_op_frame frame;
    eet_status status = eet_op_take_frame(job, &how, &frame);

    if (status == EET_OK) {
        status = eet_op_check_out(job, &frame, frame.width);
    }
    if (status != EET_OK || job->measures) {
        return status;
    }
    const float *inside = NULL;

    status = eet_op_enter(job, &frame, &inside);
    return status == EET_OK ? eet_op_deliver(job, inside, &frame.y) : status;
}
