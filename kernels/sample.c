/* sample.c - the choice of a token and its log-probability: reference and cost. */
#include <float.h>
#include <math.h>
#include <stddef.h>

#include "kernels/random.h"
#include "kernels/reference.h"

static int32_t best_of(const float *scores, int32_t vocab) {
    int32_t best = 0;

    for (int32_t i = 1; i < vocab; ++i) {
        if (scores[i] > scores[best] || isnan(scores[best])) {
            best = i;
        }
    }
    return isnan(scores[best]) ? 0 : best;
}

double eet_log_parts(const float *logits, int32_t vocab, double *top) {
    double sum = 0.0;

    *top = (double)logits[best_of(logits, vocab)];
    for (int32_t i = 0; i < vocab; ++i) {
        sum += exp((double)logits[i] - *top);
    }
    return log(sum);
}

double eet_log_sum(const float *logits, int32_t vocab) {
    double top = 0.0;
    const double parts = eet_log_parts(logits, vocab, &top);

    return top + parts;
}

/* Scores that differ from each other by a number, or not at all: a NaN is never chosen. */
static float bounded(float score) {
    const float below = score > FLT_MAX ? FLT_MAX : score;

    return below >= -FLT_MAX ? below : -INFINITY;
}

/* Repetition penalty and minimum length: the row as it is chosen from. */
void eet_sample_process(const eet_sample_args *a, int32_t row, float *y) {
    const float *logits = a->logits + row * a->stride;
    const eet_sampler *s = &a->sampler[row];
    const int32_t history = s->penalty != 0.0F && s->penalty != 1.0F ? s->history : 0;

    for (int32_t i = 0; i < a->vocab; ++i) {
        y[i] = bounded(logits[i]);
    }
    for (int32_t i = 0; i < history; ++i) { /* from the logit: once, however often an id is there */
        const int32_t id = a->history[row * a->history_stride + i];

        y[id] = bounded(eet_penalised(logits[id], s->penalty));
    }
    for (int32_t i = 0; i < s->barred; ++i) {
        if (a->bar[i] >= 0 && a->bar[i] < a->vocab) {
            y[a->bar[i]] = -INFINITY;
        }
    }
}

/* Does id a come before id b: larger score, then lower id? */
static bool is_before(const float *y, int32_t a, int32_t b) {
    return y[a] > y[b] || (y[a] == y[b] && a < b);
}

/* Lets the id at `root` sink to its place in a heap whose root comes last. */
static void sink(const float *y, int32_t *heap, int32_t root, int32_t count) {
    for (int32_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && is_before(y, heap[child], heap[child + 1])) {
            child += 1;
        }
        if (!is_before(y, heap[root], heap[child])) {
            return;
        }
        const int32_t id = heap[root];

        heap[root] = heap[child];
        heap[child] = id;
        root = child;
    }
}

/* All ids in order, the first to be chosen first (heapsort: no memory of its own). */
void eet_sample_sort(const float *y, int32_t vocab, int32_t *order) {
    for (int32_t i = 0; i < vocab; ++i) {
        order[i] = i;
    }
    for (int32_t root = vocab / 2 - 1; root >= 0; --root) {
        sink(y, order, root, vocab);
    }
    for (int32_t last = vocab - 1; last > 0; --last) {
        const int32_t id = order[0];

        order[0] = order[last];
        order[last] = id;
        sink(y, order, 0, last);
    }
}

/* How many of the first `count` ids in order top_p keeps: those before which less than that
 * share of the mass is. */
static int32_t keep_mass(const float *y, const int32_t *order, int32_t count,
                         const eet_sampler *s) {
    uint64_t total = 0;
    uint64_t before = 0;
    int32_t kept = 0;

    for (int32_t i = 0; i < count; ++i) {
        total += eet_weight(eet_scaled(y[order[i]], y[order[0]], s->temperature));
    }
    while (kept < count && (double)before < s->top_p * (double)total) {
        before += eet_weight(eet_scaled(y[order[kept++]], y[order[0]], s->temperature));
    }
    return kept > 0 ? kept : 1;
}

/* The largest sum of scaled score and noise. */
static int32_t draw(const float *y, const int32_t *order, int32_t count, const eet_sampler *s) {
    double most = -INFINITY;
    int32_t best = order[0];

    for (int32_t i = 0; i < count; ++i) {
        const int32_t id = order[i];
        const double sum = eet_scaled(y[id], y[order[0]], s->temperature) +
                           eet_noise(s->seed, s->stream, s->position, id);

        if (sum > most || (sum == most && id < best)) {
            most = sum;
            best = id;
        }
    }
    return best;
}

static int32_t choose(const eet_sample_args *a, int32_t row) {
    const eet_sampler *s = &a->sampler[row];
    float *y = (float *)a->scratch + (int64_t)row * 2 * a->vocab;
    int32_t *order = (int32_t *)(void *)(y + a->vocab);
    int32_t count = a->vocab;

    eet_sample_process(a, row, y);
    const int32_t best = best_of(y, a->vocab);

    if (s->temperature == 0.0 || y[best] == -INFINITY) {
        return best;
    }
    eet_sample_sort(y, a->vocab, order);
    if (s->top_k > 0 && s->top_k < count) {
        count = s->top_k;
    }
    if (s->top_p > 0.0 && s->top_p < 1.0) {
        count = keep_mass(y, order, count, s);
    }
    return draw(y, order, count, s);
}

eet_status eet_sample_ref(eet_backend *backend, const eet_sample_args *a) {
    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        const float *logits = a->logits + row * a->stride;
        const int32_t token = a->sampler != NULL ? choose(a, row) : best_of(logits, a->vocab);

        a->token[row] = token;
        if (a->log_prob != NULL) {
            double top = 0.0;
            const double parts = eet_log_parts(logits, a->vocab, &top);

            a->log_prob[row] = (float)((double)logits[token] - top - parts);
        }
    }
    return EET_OK;
}

eet_cost eet_sample_cost(const eet_sample_args *a) {
    const double elements = (double)a->rows * a->vocab;

    return (eet_cost){
        .flops = a->log_prob != NULL ? 3.0 * elements : elements,
        .bytes = 4.0 * elements + (a->log_prob != NULL ? 8.0 : 4.0) * a->rows,
    };
}
