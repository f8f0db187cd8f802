/* twin.c - a model of random weights on the device that is checked, and the same on the CPU. */
#include "tests/gpu/twin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"

gpu_twin gpu_twin_begin(const char *shape, int32_t dtype, bool twins, bool plain) {
    gpu_twin t = {.worst = 0};
    char text[256];
    eet_error gpu_error = {0};

    (void)snprintf(text, sizeof text, "%s,dtype=%s", shape, eet_dtype_name((eet_dtype)dtype));
    gpu_call(eet_bench_parse_shape(text, &t.shape, &gpu_error), EET_OK);
    gpu_call(eet_bench_image_make(&t.shape, &t.image, &gpu_error), EET_OK);
    for (int32_t i = 0; i < (twins ? 2 : 1); ++i) {
        const eet_model_options options = {.size = sizeof options,
                                           .device = i == 0 ? gpu_here()->device : EET_HOST};

        if (i == 1 && plain) {
            (void)setenv("EET_BACKEND", "ref", 1);
        }
        gpu_call(
            eet_model_open_memory(t.image.bytes, t.image.size, &options, &t.model[i], &gpu_error),
            EET_OK);
    }
    return t;
}

void gpu_twin_sessions(gpu_twin *twin, eet_session_options options) {
    const char *plain = getenv("EET_BACKEND");
    const bool reference = plain != NULL;
    eet_error gpu_error = {0};

    options.size = sizeof options;
    for (int32_t i = 0; i < 2 && twin->model[i] != NULL; ++i) {
        if (i == 0) {
            (void)unsetenv("EET_BACKEND");
        } else if (reference) {
            (void)setenv("EET_BACKEND", "ref", 1);
        }
        gpu_call(eet_session_create(twin->model[i], &options, &twin->session[i], &gpu_error),
                 EET_OK);
    }
}

void gpu_twin_end(gpu_twin *twin) {
    for (int32_t i = 0; i < 2; ++i) {
        eet_session_destroy(twin->session[i]);
        eet_model_close(twin->model[i]);
    }
    eet_bench_image_free(&twin->image);
    (void)unsetenv("EET_BACKEND");
}

typedef eet_status one_call(eet_session *, const eet_batch *, const eet_output *, int32_t,
                            eet_error *);

/* How many values head 0 gives. */
static int64_t head_values(const gpu_twin *t, const eet_batch *batch) {
    return t->shape.encoder ? (int64_t)batch->rows * t->shape.hidden
                            : (int64_t)batch->start[batch->rows] * t->shape.vocab;
}

static void compare(gpu_twin *t, const char *what, const float *ours, const float *truth,
                    int64_t count) {
    double off = 0;
    double whole = 0;

    for (int64_t i = 0; i < count; ++i) {
        const double d = (double)ours[i] - (double)truth[i];

        off += d * d;
        whole += (double)truth[i] * (double)truth[i];
    }
    const double error = sqrt(off / whole);

    gpu_expect(error <= gpu_bound(t->shape.dtype), "%s: relative error %.3g, at most %.3g", what,
               error, gpu_bound(t->shape.dtype));
    t->worst = fmax(t->worst, error);
}

static void run_both(gpu_twin *t, const eet_batch *batch, one_call *call, const char *what) {
    const int64_t count[2] = {(int64_t)batch->start[batch->rows] * t->shape.hidden,
                              head_values(t, batch)};
    float *values[2][2];
    char text[64];
    eet_error gpu_error = {0};

    for (int32_t i = 0; i < 2; ++i) {
        eet_output outputs[2];

        for (int32_t k = 0; k < 2; ++k) {
            values[i][k] = gpu_alloc(count[k], sizeof(float));
            memset(values[i][k], 0xFF, sizeof(float) * (size_t)count[k]); /* NaN */
            outputs[k] = (eet_output){.size = sizeof(eet_output),
                                      .head = k - 1,
                                      .data = values[i][k],
                                      .bytes = sizeof(float) * (uint64_t)count[k]};
        }
        gpu_call(call(t->session[i], batch, outputs, 2, &gpu_error), EET_OK);
    }
    (void)snprintf(text, sizeof text, "%s, hidden states", what);
    compare(t, text, values[0][0], values[1][0], count[0]);
    (void)snprintf(text, sizeof text, "%s, head", what);
    compare(t, text, values[0][1], values[1][1], count[1]);
    for (int32_t i = 0; i < 4; ++i) {
        free(values[i / 2][i % 2]);
    }
}

void gpu_twin_encode(gpu_twin *twin, const eet_batch *batch) {
    run_both(twin, batch, eet_encode, "encode");
}

void gpu_twin_step(gpu_twin *twin, const eet_batch *batch) {
    run_both(twin, batch, eet_step, "step");
}

void gpu_twin_note(const gpu_twin *twin) {
    gpu_note("relative error %.2g of %.2g", twin->worst, gpu_bound(twin->shape.dtype));
}

gpu_rows gpu_rows_draw(const int32_t *lengths, int32_t count, int32_t vocab, uint64_t seed) {
    gpu_rows rows = {.start = gpu_alloc(count + 1, sizeof(int32_t))};

    for (int32_t r = 0; r < count; ++r) {
        rows.start[r + 1] = rows.start[r] + lengths[r];
    }
    rows.tokens = gpu_alloc(rows.start[count], sizeof(int32_t));
    for (int32_t i = 0; i < rows.start[count]; ++i) {
        rows.tokens[i] = (int32_t)gpu_random(&seed, (uint32_t)vocab);
    }
    rows.batch = (eet_batch){
        .size = sizeof(eet_batch), .rows = count, .start = rows.start, .tokens = rows.tokens};
    return rows;
}

void gpu_rows_free(gpu_rows *rows) {
    free(rows->start);
    free(rows->tokens);
}
