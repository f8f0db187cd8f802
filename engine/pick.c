/* pick.c - what a generation and eet_score make of a head's scores: only what comes of them
 * leaves the backend. */
#include <stddef.h>
#include <string.h>

#include "engine/run.h"

eet_status eet_pick_check_head(const eet_session *s, int32_t stack, int32_t head, eet_error *err) {
    const eet_model *model = s->model;

    if (model->facts->heads == 0) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the model has no head that scores tokens");
    }
    if (head < 0 || head >= model->facts->heads) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no head %d; the model has %d",
                        (int)head, (int)model->facts->heads);
    }
    if (model->facts->head[head].stack != stack || model->head[head].out.w.data == NULL ||
        model->head[head].width != model->stack[stack].vocab_size) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "head \"%s\" does not score the tokens of the vocabulary",
                        model->facts->head[head].name);
    }
    return EET_OK;
}

/* ---- choices ------------------------------------------------------------ */

eet_status eet_pick_upload_history(eet_session *s, const eet_batch *batch, int32_t first,
                                   int32_t count) {
    eet_status status = EET_OK;

    for (int32_t i = 0; i < count && status == EET_OK; ++i) {
        const int32_t row = first + i;
        const int32_t id = eet_batch_sequence(batch, row);
        const int64_t length = eet_batch_end(s, batch, row);

        status =
            s->api->upload(s->backend, s->work.history + (int64_t)i * s->limits.tokens,
                           eet_cache_ids(&s->cache, id), (uint64_t)length * sizeof *s->cache.ids);
    }
    return status;
}

/* Does a sampler of these rows ask which ids were there? */
static bool asks_for_history(const eet_sampler *sampler, int32_t count) {
    bool asks = false;

    for (int32_t i = 0; sampler != NULL && i < count; ++i) {
        asks = asks || sampler[i].penalty != 0.0F;
    }
    return asks;
}

eet_sample_args eet_pick_sample_args(const eet_session *s, const eet_head *head,
                                     const float *logits, int32_t count, bool sampled) {
    return (eet_sample_args){
        .logits = logits,
        .stride = head->width,
        .rows = count,
        .vocab = head->width,
        .sampler = sampled ? s->work.sampler : NULL,
        .history = s->work.history,
        .history_stride = s->limits.tokens,
        .bar = s->work.bar,
        .token = s->work.token,
        .log_prob = s->work.log_prob,
        .scratch = s->work.choice,
    };
}

/* The choice of each of `count` rows of the batch, from `first` on. */
static eet_status choose(eet_session *s, const eet_batch *batch, const float *logits,
                         const eet_pick *pick, int32_t first, int32_t count) {
    const eet_sampler *sampler = pick->sampler != NULL ? pick->sampler + first : NULL;
    const eet_sample_args args =
        eet_pick_sample_args(s, pick->head, logits, count, sampler != NULL);
    eet_status status = EET_OK;

    if (sampler != NULL) {
        status =
            s->api->upload(s->backend, s->work.sampler, sampler, (uint64_t)count * sizeof *sampler);
    }
    if (status == EET_OK && asks_for_history(sampler, count)) {
        status = eet_pick_upload_history(s, batch, first, count);
    }
    if (status == EET_OK) {
        status = s->ops->sample(s->backend, &args);
    }
    if (status == EET_OK) {
        status = s->api->download_later(s->backend, pick->token + first, s->work.token,
                                        (uint64_t)count * sizeof *pick->token);
    }
    if (status == EET_OK) {
        status = s->api->download(s->backend, pick->log_prob + first, s->work.log_prob,
                                  (uint64_t)count * sizeof *pick->log_prob);
    }
    return status;
}

/* ---- log-probabilities -------------------------------------------------- */

/* One pick's results to where the caller wants them. */
static eet_status download_pick(eet_session *s, const eet_pick *pick, int32_t from, int32_t top) {
    const int64_t to = s->to[from];
    eet_status status = EET_OK;

    if (pick->scores && pick->log_prob != NULL) {
        status = s->api->download_later(s->backend, pick->log_prob + to, s->work.log_prob + from,
                                        sizeof *pick->log_prob);
    }
    if (status == EET_OK && top > 0) {
        status = s->api->download_later(s->backend, pick->top_token + to * pick->top_stride,
                                        s->work.top_token + (int64_t)from * top,
                                        (uint64_t)top * sizeof *pick->top_token);
    }
    if (status == EET_OK && top > 0) {
        status = s->api->download_later(s->backend, pick->top_log_prob + to * pick->top_stride,
                                        s->work.top_log_prob + (int64_t)from * top,
                                        (uint64_t)top * sizeof *pick->top_log_prob);
    }
    return status;
}

/* Targets (host, s->target) and the likeliest ids of `count` rows of scores. */
static eet_status tell(eet_session *s, const float *logits, const eet_pick *pick, int32_t count) {
    const int32_t width = pick->head->width;
    const eet_logprob_args args = {
        .logits = logits,
        .stride = width,
        .rows = count,
        .vocab = width,
        .target = pick->scores ? s->work.target : NULL,
        .log_prob = s->work.log_prob,
        .top = pick->top < width ? pick->top : width,
        .top_token = s->work.top_token,
        .top_log_prob = s->work.top_log_prob,
    };
    eet_status status = EET_OK;

    if (pick->scores) {
        status = s->api->upload(s->backend, s->work.target, s->target,
                                (uint64_t)count * sizeof *s->target);
    }
    if (status == EET_OK) {
        status = s->ops->logprob(s->backend, &args);
    }
    for (int32_t i = 0; i < count && status == EET_OK; ++i) {
        status = download_pick(s, pick, i, args.top);
    }
    return status == EET_OK ? s->api->sync(s->backend) : status;
}

/* ---- positions ---------------------------------------------------------- */

eet_wanted eet_pick_wanted(const eet_head *head, int32_t count) {
    return (eet_wanted){.head = head,
                        .take = EET_TAKE_GIVEN,
                        .dtype = EET_F32,
                        .width = head->width,
                        .total = count};
}

/* The head's scores of the positions in s->index, and what comes of them. */
static eet_status run_picks(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                            const eet_pick *pick, int32_t count) {
    const eet_wanted wanted = eet_pick_wanted(pick->head, count);
    const float *logits = NULL;
    eet_status status =
        s->api->upload(s->backend, s->work.index, s->index, (uint64_t)count * sizeof *s->index);

    if (status == EET_OK) {
        status = eet_head_run(s, pass, hidden, &wanted, 0, count, &logits);
    }
    if (status == EET_OK && (pick->scores || pick->top > 0)) {
        status = tell(s, logits, pick, count);
    }
    if (status == EET_OK && pick->beams) {
        status = eet_beam_pick(s, pass->batch, s->to[0], count);
    } else if (status == EET_OK && !pick->scores) {
        status = choose(s, pass->batch, logits, pick, s->to[0], count);
    }
    return status;
}

int32_t eet_pick_target(const eet_pick *pick, const eet_batch *batch, int32_t row, int32_t token) {
    if (pick->target != NULL) {
        return pick->target[token];
    }
    return token + 1 < batch->start[row + 1] ? batch->tokens[token + 1] : -1;
}

/* Makes packed token `token` the pass's next pick, if there is one. */
static bool take(eet_session *s, const eet_pass *pass, const eet_pick *pick, int32_t row,
                 int32_t token, int32_t count) {
    const eet_batch *batch = pass->batch;

    if (pick->scores) {
        s->target[count] = eet_pick_target(pick, batch, row, token);
    }
    s->index[count] = token - pass->first;
    s->to[count] = pick->scores ? token : row;
    return pick->scores ? s->target[count] >= 0 : token == batch->start[row + 1] - 1;
}

eet_status eet_pick_write(eet_session *s, const eet_pass *pass, const eet_hidden *hidden,
                          const eet_pick *pick, eet_error *err) {
    const int32_t room = pick->scores ? s->limits.outputs : s->limits.choices;
    const int32_t end = pass->first + pass->tokens;
    int32_t row = s->in.row[0];
    int32_t count = 0;
    eet_status status = EET_OK;

    for (int32_t token = pass->first; token < end && status == EET_OK; ++token) {
        row += token >= pass->batch->start[row + 1] ? 1 : 0;
        count += take(s, pass, pick, row, token, count) ? 1 : 0;
        if (count == room || (token == end - 1 && count > 0)) {
            status = run_picks(s, pass, hidden, pick, count);
            count = 0;
        }
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "a head failed on the %s backend", s->api->name);
    }
    return EET_OK;
}
