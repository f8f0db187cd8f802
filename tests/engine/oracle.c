/* oracle.c - a transformer as it is written on a blackboard. */
#include "tests/engine/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "format/slots.h"
#include "tests/engine/play.h"

/* A place of the model: its tensors are made by eet_sample_value. */
typedef struct place {
    const eet_sample_model *model;
    eet_group group;
    int slot;
    int32_t layer;
} place;

static double element(const place *p, bool bias, int64_t inputs, int64_t index) {
    const float value = eet_sample_value(p->model, eet_role(p->group, p->slot, bias), p->layer,
                                         (uint64_t)inputs, (uint64_t)index);

    if (p->model->dtype == EET_F16) {
        return (double)eet_f16_to_f32(eet_f32_to_f16(value));
    }
    if (p->model->dtype == EET_BF16) {
        return (double)eet_bf16_to_f32(eet_f32_to_bf16(value));
    }
    return (double)value;
}

static double *numbers(int64_t count) {
    return play_alloc((size_t)count, sizeof(double));
}

/* y = W x + b for one x of k values. */
static void linear(const place *p, bool biased, const double *x, int32_t k, double *y, int32_t n) {
    for (int32_t j = 0; j < n; ++j) {
        y[j] = biased && !p->model->no_bias ? element(p, true, n, j) : 0;
        for (int32_t i = 0; i < k; ++i) {
            y[j] += element(p, false, k, (int64_t)j * k + i) * x[i];
        }
    }
}

static void norm(const place *p, double eps, double *x, int32_t n) {
    double mean = 0;
    double variance = 0;

    for (int32_t i = 0; i < n; ++i) {
        mean += x[i] / n;
    }
    for (int32_t i = 0; i < n; ++i) {
        variance += (x[i] - mean) * (x[i] - mean) / n;
    }
    for (int32_t i = 0; i < n; ++i) {
        const double bias = p->model->no_bias ? 0 : element(p, true, n, i);

        x[i] = (x[i] - mean) / sqrt(variance + eps) * element(p, false, n, i) + bias;
    }
}

static double activation(int32_t act, double x) {
    switch (act) {
    case EET_ACT_RELU:
        return x > 0 ? x : 0;
    case EET_ACT_GELU_ERF:
        return x * 0.5 * (1 + erf(x / sqrt(2)));
    case EET_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case EET_ACT_SILU:
        return x / (1 + exp(-x));
    case EET_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case EET_ACT_TANH:
        return tanh(x);
    case EET_ACT_RELU2:
        return x > 0 ? x * x : 0;
    default:
        return x;
    }
}

static eet_group group_of(int32_t stack) {
    return stack == EET_ENC ? EET_GROUP_ENC : EET_GROUP_DEC;
}

/* The group that has the stack's tokens: both stacks may share the encoder's. */
static eet_group tokens_of(const eet_sample_model *m, int32_t stack) {
    return m->shared ? EET_GROUP_ENC : group_of(stack);
}

/* Adds a row of a table to x. */
static void add_row(const eet_sample_model *m, int32_t stack, int slot, int64_t row, double *x) {
    const bool tokens = slot == EET_SLOT_EMB_TYPE && stack == EET_DEC && m->type_is_token;
    const place table = {m, group_of(stack), tokens ? EET_SLOT_EMB_TOK : slot, -1};
    const int32_t n = m->facts.stack[stack].hidden;

    for (int32_t i = 0; row >= 0 && i < n; ++i) {
        x[i] += element(&table, false, n, row * n + i);
    }
}

static void embed(const eet_sample_model *m, int32_t stack, const oracle_text *text, double *x) {
    const eet_stack_facts *s = &m->facts.stack[stack];
    const place token = {m, tokens_of(m, stack), EET_SLOT_EMB_TOK, -1};
    const place proj_in = {m, group_of(stack), EET_SLOT_EMB_PROJ_IN, -1};
    const place emb_norm = {m, group_of(stack), EET_SLOT_EMB_NORM, -1};
    double *narrow = numbers(s->emb_dim);
    int32_t next = 0;

    for (int32_t t = 0; t < text->count; ++t, x += s->hidden) {
        const bool pad = s->pos_skip_pad && text->ids[t] == s->tok_pad;
        const int32_t counted = pad ? -1 : next++;

        for (int32_t i = 0; i < s->emb_dim; ++i) {
            narrow[i] = s->emb_scale *
                        element(&token, false, s->emb_dim, (int64_t)text->ids[t] * s->emb_dim + i);
        }
        if (s->emb_dim != s->hidden) {
            linear(&proj_in, true, narrow, s->emb_dim, x, s->hidden);
        } else {
            memcpy(x, narrow, sizeof *x * (size_t)s->hidden);
        }
        if (s->pos_table) {
            add_row(m, stack, EET_SLOT_EMB_POS,
                    text->positions != NULL ? text->positions[t] : counted, x);
        }
        if (s->types > 0) {
            add_row(m, stack, EET_SLOT_EMB_TYPE,
                    text->types != NULL ? text->types[t] : s->type_default, x);
        }
        if (s->emb_norm) {
            norm(&emb_norm, s->norm_eps, x, s->hidden);
        }
    }
    free(narrow);
}

/* Query t of a head against the keys that it may see; adds to y. */
static void attend(const eet_stack_facts *s, double scale, const double *qkv, int32_t t,
                   int32_t seen, double *y) {
    const int64_t inner = (int64_t)s->heads * s->head_dim;
    double *weight = numbers(seen);

    for (int32_t h = 0; h < s->heads; ++h) {
        const double *q = qkv + t * 3 * inner + (int64_t)h * s->head_dim;
        double sum = 0;

        for (int32_t j = 0; j < seen; ++j) {
            const double *k = qkv + j * 3 * inner + inner + (int64_t)h * s->head_dim;

            weight[j] = 0;
            for (int32_t i = 0; i < s->head_dim; ++i) {
                weight[j] += scale * q[i] * k[i];
            }
            weight[j] = exp(weight[j]);
            sum += weight[j];
        }
        for (int32_t i = 0; i < s->head_dim; ++i) {
            double *out = y + (int64_t)h * s->head_dim + i;

            *out = 0;
            for (int32_t j = 0; j < seen; ++j) {
                *out +=
                    weight[j] / sum * qkv[j * 3 * inner + 2 * inner + (int64_t)h * s->head_dim + i];
            }
        }
    }
    free(weight);
}

/* What self-attention adds to each of `count` states. */
static void self_attention(const eet_sample_model *m, int32_t stack, int32_t layer, const double *x,
                           const oracle_text *text, double *added) {
    const int32_t count = text->count;
    const eet_stack_facts *s = &m->facts.stack[stack];
    const int32_t inner = s->heads * s->head_dim;
    const place qkv = {m, group_of(stack), EET_SLOT_ATTN_QKV, layer};
    const place out = {m, group_of(stack), EET_SLOT_ATTN_OUT, layer};
    const double scale = s->inv_layer_scale ? s->attn_scale / (layer + 1) : s->attn_scale;
    double *all = numbers((int64_t)count * 3 * inner);
    double *context = numbers(inner);

    for (int32_t t = 0; t < count; ++t) {
        linear(&qkv, true, x + (int64_t)t * s->hidden, s->hidden, all + (int64_t)t * 3 * inner,
               3 * inner);
    }
    for (int32_t t = 0; t < count; ++t) {
        attend(s, scale, all, t, stack == EET_DEC ? t + 1 : count, context);
        linear(&out, true, context, inner, added + (int64_t)t * s->hidden, s->hidden);
    }
    free(all);
    free(context);
}

/* Each state asks the source's keys, and gets of its values. */
static void cross_attention(const eet_sample_model *m, int32_t stack, int32_t layer,
                            const double *x, const oracle_text *text, double *added) {
    const eet_stack_facts *s = &m->facts.stack[stack];
    const int32_t inner = s->heads * s->head_dim;
    const place q = {m, group_of(stack), EET_SLOT_CROSS_Q, layer};
    const place kv = {m, group_of(stack), EET_SLOT_CROSS_KV, layer};
    const place out = {m, group_of(stack), EET_SLOT_CROSS_OUT, layer};
    const double scale = s->inv_layer_scale ? s->attn_scale / (layer + 1) : s->attn_scale;
    double *all = numbers((int64_t)text->source_count * 3 * inner); /* the query in row 0 */
    double *context = numbers(inner);

    for (int32_t j = 0; j < text->source_count; ++j) {
        linear(&kv, true, text->source + (int64_t)j * s->cross_dim, s->cross_dim,
               all + (int64_t)j * 3 * inner + inner, 2 * inner);
    }
    for (int32_t t = 0; t < text->count; ++t) {
        linear(&q, true, x + (int64_t)t * s->hidden, s->hidden, all, inner);
        attend(s, scale, all, 0, text->source_count, context);
        linear(&out, true, context, inner, added + (int64_t)t * s->hidden, s->hidden);
    }
    free(all);
    free(context);
}

static void feed_forward(const eet_sample_model *m, int32_t stack, int32_t layer, const double *x,
                         const oracle_text *text, double *added) {
    const int32_t count = text->count;
    const eet_stack_facts *s = &m->facts.stack[stack];
    const place fc1 = {m, group_of(stack), EET_SLOT_FFN_FC1, layer};
    const place fc2 = {m, group_of(stack), EET_SLOT_FFN_FC2, layer};
    double *inside = numbers(s->ffn);

    for (int32_t t = 0; t < count; ++t) {
        linear(&fc1, true, x + (int64_t)t * s->hidden, s->hidden, inside, s->ffn);
        for (int32_t i = 0; i < s->ffn; ++i) {
            inside[i] = activation(s->act, inside[i]);
        }
        linear(&fc2, true, inside, s->ffn, added + (int64_t)t * s->hidden, s->hidden);
    }
    free(inside);
}

typedef void part(const eet_sample_model *m, int32_t stack, int32_t layer, const double *x,
                  const oracle_text *text, double *added);

/* x + part(norm x), or norm(x + part x). */
static void run_part(const place *its_norm, int32_t stack, part *run, double *x,
                     const oracle_text *text) {
    const int32_t count = text->count;
    const eet_stack_facts *s = &its_norm->model->facts.stack[stack];
    const int64_t values = (int64_t)count * s->hidden;
    double *input = numbers(values);
    double *added = numbers(values);

    memcpy(input, x, sizeof *x * (size_t)values);
    for (int32_t t = 0; s->pre_norm && t < count; ++t) {
        norm(its_norm, s->norm_eps, input + (int64_t)t * s->hidden, s->hidden);
    }
    run(its_norm->model, stack, its_norm->layer, input, text, added);
    for (int64_t i = 0; i < values; ++i) {
        x[i] += added[i];
    }
    for (int32_t t = 0; !s->pre_norm && t < count; ++t) {
        norm(its_norm, s->norm_eps, x + (int64_t)t * s->hidden, s->hidden);
    }
    free(input);
    free(added);
}

double *oracle_hidden(const eet_sample_model *m, int32_t stack, const oracle_text *text) {
    const eet_stack_facts *s = &m->facts.stack[stack];
    const place final = {m, group_of(stack), EET_SLOT_NORM, -1};
    double *x = numbers((int64_t)text->count * s->hidden);

    embed(m, stack, text, x);
    for (int32_t layer = 0; layer < s->layers; ++layer) {
        const place attn_norm = {m, group_of(stack), EET_SLOT_ATTN_NORM, layer};
        const place cross_norm = {m, group_of(stack), EET_SLOT_CROSS_NORM, layer};
        const place ffn_norm = {m, group_of(stack), EET_SLOT_FFN_NORM, layer};

        run_part(&attn_norm, stack, self_attention, x, text);
        if (text->source != NULL) {
            run_part(&cross_norm, stack, cross_attention, x, text);
        }
        run_part(&ffn_norm, stack, feed_forward, x, text);
    }
    for (int32_t t = 0; s->final_norm && t < text->count; ++t) {
        norm(&final, s->norm_eps, x + (int64_t)t * s->hidden, s->hidden);
    }
    return x;
}

/* The last part of a head, with the vocabulary's logical size. */
static double *run_out(const eet_sample_model *m, int32_t head, const double *x, int32_t *width) {
    const int32_t stack = m->facts.head[head].stack;
    const eet_stack_facts *s = &m->facts.stack[stack];
    const eet_sample_head *parts = &m->head[head];
    const place own = {m, EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, head};
    const place tied = {m, tokens_of(m, stack), EET_SLOT_EMB_TOK, -1};
    const int32_t rows = parts->tied ? s->vocab_rows : parts->out;
    const int32_t k = *width;
    double *y = numbers(rows);

    linear(parts->tied ? &tied : &own, !parts->tied, x, k, y, rows);
    for (int32_t j = 0; parts->tied && parts->dense > 0 && !m->no_bias && j < rows; ++j) {
        y[j] += element(&own, true, rows, j); /* a bias of its own beside the shared matrix */
    }
    *width = rows == s->vocab_rows ? s->vocab_size : rows;
    return y;
}

double *oracle_head(const eet_sample_model *m, int32_t head, const double *hidden, int32_t *width) {
    const eet_head_facts *facts = &m->facts.head[head];
    const eet_stack_facts *s = &m->facts.stack[facts->stack];
    const eet_sample_head *parts = &m->head[head];
    const place dense = {m, EET_GROUP_HEAD, EET_SLOT_HEAD_DENSE, head};
    const place its_norm = {m, EET_GROUP_HEAD, EET_SLOT_HEAD_NORM, head};
    double *x = numbers(parts->dense > s->hidden ? parts->dense : s->hidden);
    double length = 0;

    *width = s->hidden;
    memcpy(x, hidden, sizeof *x * (size_t)s->hidden);
    if (parts->dense > 0) {
        linear(&dense, true, hidden, s->hidden, x, parts->dense);
        *width = parts->dense;
        for (int32_t i = 0; i < *width; ++i) {
            x[i] = activation(facts->act, x[i]);
        }
    }
    if (parts->norm) {
        norm(&its_norm, s->norm_eps, x, *width);
    }
    if (parts->tied || parts->out > 0) {
        double *scores = run_out(m, head, x, width);

        free(x);
        x = scores;
    }
    for (int32_t i = 0; i < *width; ++i) {
        length += x[i] * x[i];
    }
    for (int32_t i = 0; facts->normalize && i < *width; ++i) {
        x[i] /= sqrt(length);
    }
    return x;
}
