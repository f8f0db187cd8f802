/* bench_check.c - is the fast path right? The same texts on it and on the plain-C reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/commands/bench.h"

enum { ROWS = 2, STEPS = 8, LONG = 16, SHORT = 5, MAX_TOKENS = LONG + SHORT };

/* On the CPU both sum in f32 or wider over the same weights, whatever their dtype; a device has
 * numbers of that dtype between its ops. */
static double bound_of(const eet_bench_model *m) {
    const bool inner = m->device != EET_HOST;

    return inner && m->dtype == EET_F16 ? 4e-3 : inner && m->dtype == EET_BF16 ? 2e-2 : 1e-5;
}

/* One of the two paths. */
typedef struct path {
    eet_session *session;
    float *values; /* (tokens or rows, width) */
} path;

typedef struct comparison {
    const eet_bench_model *model;
    path fast, reference;
    int32_t start[ROWS + 1], tokens[MAX_TOKENS];
    eet_batch batch;
    eet_bench_agreement *out;
    eet_error *err;
} comparison;

/* EET_BACKEND is read when a session is made. */
static eet_status open_path(const eet_bench_model *m, eet_model *of, const char *backend, path *out,
                            eet_error *err) {
    const eet_session_options options = {
        .size = sizeof options, .max_sequences = ROWS, .cache_tokens = m->encoder ? 1 : 0};
    char *before = getenv("EET_BACKEND");

    before = before != NULL ? strdup(before) : NULL;
    if (backend != NULL) {
        (void)setenv("EET_BACKEND", backend, 1);
    } else {
        (void)unsetenv("EET_BACKEND");
    }
    const eet_status status = eet_session_create(of, &options, &out->session, err);

    if (before != NULL) {
        (void)setenv("EET_BACKEND", before, 1);
    } else {
        (void)unsetenv("EET_BACKEND");
    }
    free(before);
    if (status != EET_OK) {
        return status;
    }
    out->values = malloc((size_t)MAX_TOKENS * (size_t)m->width * sizeof(float));
    return out->values != NULL
               ? EET_OK
               : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the values to compare");
}

static eet_status call(const comparison *c, const path *p) {
    const bool encoder = c->model->encoder;
    const eet_output output = {.size = sizeof output,
                               .head = c->model->head,
                               .take = encoder ? EET_TAKE_EVERY : EET_TAKE_LAST,
                               .data = p->values,
                               .bytes = (uint64_t)MAX_TOKENS * (uint64_t)c->model->width *
                                        sizeof(float)};

    return encoder ? eet_encode(p->session, &c->batch, &output, 1, c->err)
                   : eet_step(p->session, &c->batch, &output, 1, c->err);
}

/* The largest of a row, and the second in *second. */
static int32_t best_of(const float *row, int32_t width, float *second) {
    int32_t best = 0;

    *second = -INFINITY;
    for (int32_t i = 1; i < width; ++i) {
        if (row[i] > row[best]) {
            *second = row[best];
            best = i;
        } else if (row[i] > *second) {
            *second = row[i];
        }
    }
    return best;
}

/* One row of values. Another token counts unless the two best are too close to tell. */
static void compare_row(comparison *c, const float *fast, const float *reference) {
    const int32_t width = c->model->width;
    eet_bench_agreement *out = c->out;
    double off = 0.0;
    double size = 0.0;
    double largest = 0.0;
    float second = 0.0F;

    for (int32_t i = 0; i < width; ++i) {
        const double difference = (double)fast[i] - (double)reference[i];

        off += difference * difference;
        size += (double)reference[i] * (double)reference[i];
        largest = fabs(difference) > largest ? fabs(difference) : largest;
    }
    const double relative = sqrt(off / size);

    out->rows += 1;
    if (!(relative <= out->relative_l2)) { /* NaN is the worst, and stays */
        out->relative_l2 = relative;
    }
    if (c->model->head == EET_HIDDEN) {
        return;
    }
    const int32_t mine = best_of(fast, width, &second);
    const int32_t its = best_of(reference, width, &second);

    if (mine != its && (double)reference[its] - (double)second >= 4.0 * largest) {
        out->differing += 1;
    }
}

/* A call on both paths, and their values side by side. */
static eet_status compare_call(comparison *c) {
    const int32_t rows = c->model->encoder ? c->start[ROWS] : ROWS;
    eet_status status = call(c, &c->fast);

    if (status == EET_OK) {
        status = call(c, &c->reference);
    }
    for (int32_t r = 0; r < rows && status == EET_OK; ++r) {
        const int64_t at = (int64_t)r * c->model->width;

        compare_row(c, c->fast.values + at, c->reference.values + at);
    }
    return status;
}

static int32_t at_most(int32_t value, int32_t most) {
    return value < most ? value : most;
}

static eet_status compare_all(comparison *c) {
    const int32_t room = c->model->positions > 0 ? c->model->positions : LONG + STEPS;
    const int32_t longest = at_most(LONG, room - room / 4); /* some room for steps */
    const int32_t steps = c->model->encoder ? 0 : at_most(STEPS, room - longest);
    float second = 0.0F;

    c->start[1] = longest;
    c->start[2] = longest + at_most(SHORT, longest);
    for (int32_t i = 0; i < c->start[2]; ++i) {
        c->tokens[i] = eet_bench_token(c->model, i);
    }
    eet_status status = compare_call(c);

    for (int32_t s = 0; s < steps && status == EET_OK; ++s) {
        for (int32_t r = 0; r < ROWS; ++r) { /* both go on with what the fast path likes best */
            const float *row = c->fast.values + (int64_t)r * c->model->width;

            c->start[r + 1] = r + 1;
            c->tokens[r] = c->model->head == EET_HIDDEN ? eet_bench_token(c->model, s)
                                                        : best_of(row, c->model->width, &second);
        }
        status = compare_call(c);
    }
    return status;
}

eet_status eet_bench_compare(const eet_bench_model *model, eet_model *reference,
                             eet_bench_agreement *out, eet_error *err) {
    comparison c = {.model = model, .out = out, .err = err};

    *out = (eet_bench_agreement){.bound = bound_of(model)};
    c.batch =
        (eet_batch){.size = sizeof c.batch, .rows = ROWS, .start = c.start, .tokens = c.tokens};
    eet_status status = open_path(model, model->model, NULL, &c.fast, err);

    if (status == EET_OK) {
        status = open_path(model, reference, "ref", &c.reference, err);
    }
    if (status == EET_OK) {
        status = compare_all(&c);
    }
    out->good = out->relative_l2 <= out->bound && out->differing == 0;
    eet_session_destroy(c.fast.session);
    eet_session_destroy(c.reference.session);
    free(c.fast.values);
    free(c.reference.values);
    return status;
}
