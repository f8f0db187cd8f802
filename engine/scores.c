/* scores.c - the log-probabilities of given ids: a step or an encoding whose outputs are not
 * a head's scores but what they say of those ids. */
#include <math.h>
#include <stddef.h>

#include "engine/run.h"

static eet_status check_arrays(const eet_scores *out, eet_error *err) {
    if (out->reserved != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "reserved is %d; it has to be 0",
                        (int)out->reserved);
    }
    if (out->top < 0 || out->top > EET_MAX_TOP) {
        return eet_fail(err, out->top < 0 ? EET_E_ARGUMENT : EET_E_LIMIT, EET_NOWHERE,
                        "top is %d, outside 0 to %d", (int)out->top, EET_MAX_TOP);
    }
    if (out->top > 0 && (out->top_token == NULL || out->top_log_prob == NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "top is %d, and top_token or top_log_prob has no room for them",
                        (int)out->top);
    }
    return EET_OK;
}

static eet_status check_targets(const eet_stack *stack, const eet_batch *batch,
                                const int32_t *targets, eet_error *err) {
    const int32_t tokens = batch->start[batch->rows];

    for (int32_t i = 0; targets != NULL && i < tokens; ++i) {
        if (targets[i] < -1 || targets[i] >= stack->vocab_size) {
            return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                            "targets[%d] is %d; the vocabulary is 0 to %d, and -1 is none", (int)i,
                            (int)targets[i], (int)stack->vocab_size - 1);
        }
    }
    return EET_OK;
}

/* What was not asked for, and places beyond a small vocabulary. */
static void fill_rest(const eet_scores *out, const eet_pick *pick, const eet_batch *batch) {
    int32_t row = 0;

    for (int32_t i = 0; i < batch->start[batch->rows]; ++i) {
        row += i >= batch->start[row + 1] ? 1 : 0;
        const bool there = eet_pick_target(pick, batch, row, i) >= 0;

        if (!there && out->log_prob != NULL) {
            out->log_prob[i] = NAN;
        }
        for (int32_t n = there ? pick->head->width : 0; n < out->top; ++n) {
            out->top_token[(int64_t)i * out->top + n] = -1;
            out->top_log_prob[(int64_t)i * out->top + n] = NAN;
        }
    }
}

eet_status eet_scores_run(eet_session *s, const eet_batch *batch, const int32_t *targets,
                          const eet_scores *out, eet_error *err) {
    const bool decoder = s->model->facts->stack[EET_DEC].present;
    const int32_t which = decoder ? EET_DEC : EET_ENC;
    eet_status status = eet_pick_check_head(s, which, out->head, err);

    if (status == EET_OK) {
        status = check_arrays(out, err);
    }
    if (status == EET_OK && !decoder && targets == NULL) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "an encoder scores ids in their places: there are no targets");
    }
    if (status == EET_OK) {
        status = eet_batch_check(&s->model->stack[which], batch, err);
    }
    if (status == EET_OK) {
        status = check_targets(&s->model->stack[which], batch, targets, err);
    }
    if (status != EET_OK) {
        return status;
    }
    const eet_pick pick = {
        .head = &s->model->head[out->head],
        .scores = true,
        .target = targets,
        .log_prob = out->log_prob,
        .top = out->top,
        .top_stride = out->top,
        .top_token = out->top_token,
        .top_log_prob = out->top_log_prob,
    };
    const eet_request request = {.pick = &pick};

    status =
        decoder ? eet_run_step(s, batch, &request, err) : eet_run_encode(s, batch, &request, err);
    if (status == EET_OK) {
        fill_rest(out, &pick, batch);
    }
    return status;
}
