/* heads.c - take, dense, norm, out: the parts of a head, those that it has. */
#include <stddef.h>

#include "engine/run.h"

static eet_status norm_rows(eet_session *s, const eet_hidden *x, const int32_t *index, int32_t rows,
                            int32_t cols, float *y) {
    const eet_norm_args args = {.x = x->x,
                                .x_dtype = x->dtype,
                                .index = index,
                                .norm = x->norm,
                                .rows = rows,
                                .cols = cols,
                                .y = y};

    return s->ops->norm(s->backend, &args);
}

/* The mean of the normed tokens of `count` rows of the pass, from row `first` on. */
static eet_status take_mean(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                            int32_t first, int32_t count) {
    const int32_t cols = pass->stack->hidden;
    const eet_pool_args args = {
        .x = s->work.normed,
        .start = s->work.in.q_start + first,
        .rows = count,
        .cols = cols,
        .y = s->work.rows,
    };
    const eet_status status = norm_rows(s, hidden, NULL, pass->tokens, cols, s->work.normed);

    return status == EET_OK ? s->ops->pool(s->backend, &args) : status;
}

static eet_status dense(eet_session *s, const eet_head *head, const float *x, int32_t count) {
    const eet_project_args args = {
        .x = x,
        .w = head->dense.w,
        .bias = head->dense.bias,
        .act = head->act,
        .rows = count,
        .y = s->work.dense,
        .scratch = s->work.scratch,
    };

    return s->ops->project(s->backend, &args);
}

static eet_status score(eet_session *s, const eet_head *head, const eet_hidden *x,
                        const int32_t *index, int32_t family, int32_t count) {
    const eet_score_args args = {
        .x = x->x,
        .x_dtype = x->dtype,
        .index = index,
        .norm = x->norm,
        .family = family,
        .w = head->out.w,
        .bias = head->out.bias,
        .rows = count,
        .logits = s->work.result,
        .scratch = s->work.scratch,
    };

    return s->ops->score(s->backend, &args);
}

/* dense, norm and out of rows whose own norm is done. */
static eet_status run_parts(eet_session *s, const eet_head *head, int32_t cols, int32_t count,
                            const float **out) {
    const float *x = s->work.rows;
    eet_status status = EET_OK;

    if (head->dense.w.data != NULL) {
        status = dense(s, head, x, count);
        x = s->work.dense;
        cols = head->dense.w.n;
    }
    if (status == EET_OK && head->out.w.data != NULL) {
        const eet_hidden hidden = {.x = x, .norm = head->norm};

        status = score(s, head, &hidden, NULL, EET_MANY, count);
        x = s->work.result;
    } else if (status == EET_OK && head->norm.weight != NULL) {
        const eet_hidden hidden = {.x = x, .norm = head->norm};

        status = norm_rows(s, &hidden, NULL, count, cols, s->work.result);
        x = s->work.result;
    }
    *out = x;
    return status;
}

/* In the case that counts, a language model's, norm and product are one op. */
static bool is_plain(const eet_wanted *wanted) {
    return wanted->head != NULL && wanted->take != EET_TAKE_MEAN &&
           wanted->head->dense.w.data == NULL && wanted->head->norm.weight == NULL &&
           wanted->head->out.w.data != NULL;
}

static eet_status to_unit_length(eet_session *s, const float *x, int32_t rows, int32_t cols,
                                 const float **out) {
    const eet_pool_args args = {
        .x = x,
        .rows = rows,
        .cols = cols,
        .normalize = true,
        .y = s->work.result,
    };

    *out = s->work.result;
    return s->ops->pool(s->backend, &args);
}

eet_status eet_head_run(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                        const eet_wanted *wanted, int32_t first, int32_t count, const float **out) {
    const int32_t cols = pass->stack->hidden;
    eet_status status = EET_OK;

    if (is_plain(wanted)) {
        const int32_t family = pass->few ? EET_FEW : EET_MANY;

        *out = s->work.result;
        status = score(s, wanted->head, hidden, s->work.index, family, count);
    } else if (wanted->head == NULL && wanted->take != EET_TAKE_MEAN) {
        *out = s->work.normed;
        return norm_rows(s, hidden, s->work.index, count, cols, s->work.normed);
    } else {
        *out = s->work.rows;
        status = wanted->take == EET_TAKE_MEAN
                     ? take_mean(s, pass, hidden, first, count)
                     : norm_rows(s, hidden, s->work.index, count, cols, s->work.rows);
        if (status == EET_OK && wanted->head != NULL) {
            status = run_parts(s, wanted->head, cols, count, out);
        }
    }
    if (status == EET_OK && wanted->head != NULL && wanted->head->normalize) {
        status = to_unit_length(s, *out, count, wanted->width, out);
    }
    return status;
}
