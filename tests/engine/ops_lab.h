/* ops_lab.h - operands of operators, and the same operators written down plainly, in double. */
#ifndef EET_TESTS_ENGINE_OPS_LAB_H
#define EET_TESTS_ENGINE_OPS_LAB_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/eet_ops.h"
#include "format/half.h"
#include "tests/kernels/lab.h"

#ifdef EET_ON_DEVICE
#include "tests/cuda/ops_twin.h"
#else
static inline bool lab_device_there(void) {
    return true;
}
static inline int32_t lab_device(void) {
    return EET_HOST;
}
#endif

/* (a, b, c, d) of random numbers; 0 ends the axes. */
static inline eet_array lab_tensor(int32_t dtype, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t shape[4] = {a, b, c, d};
    eet_array array = {.size = sizeof array, .dtype = dtype};
    int64_t count = 1;

    for (; array.rank < 4 && shape[array.rank] > 0; ++array.rank) {
        array.shape[array.rank] = shape[array.rank];
        count *= shape[array.rank];
    }
    array.data = lab_array(count, dtype, LAB_PLAIN);
    return array;
}

static inline int64_t lab_count(const eet_array *a) {
    int64_t count = 1;

    for (int32_t i = 0; i < a->rank; ++i) {
        count *= a->shape[i];
    }
    return count;
}

/* Element i of a row-major array. */
static inline double lab_number(const eet_array *a, int64_t i) {
    return (double)eet_float_at(a->data, a->dtype, i);
}

static inline eet_op_linear lab_linear(int32_t dtype, int32_t out, int32_t in, bool bias) {
    eet_op_linear linear = {.weight = lab_tensor(dtype, out, in, 0, 0)};

    if (bias) {
        linear.bias = lab_tensor(dtype, out, 0, 0, 0);
    }
    return linear;
}

static inline eet_op_norm lab_op_norm(int32_t dtype, int32_t width) {
    return (eet_op_norm){.weight = lab_tensor(dtype, width, 0, 0, 0),
                         .bias = lab_tensor(dtype, width, 0, 0, 0),
                         .eps = 1e-3};
}

/* How far a result may be from the same in double: f32 on the way, and y's own rounding. */
static inline double slack(int32_t dtype, double value) {
    const double rounding = dtype == EET_F32 ? 0.0 : dtype == EET_F16 ? 0x1p-11 : 0x1p-8;

    return 2e-5 + 2e-5 * fabs(value) + rounding * fabs(value) + (dtype == EET_F16 ? 1e-7 : 0.0);
}

static inline void expect_row(const eet_array *y, int64_t row, int32_t width, const double *want) {
    for (int32_t i = 0; i < width; ++i) {
        const double got = lab_number(y, row * width + i);

        ck_assert_msg(fabs(got - want[i]) <= slack(y->dtype, want[i]),
                      "row %d column %d is %.9g against %.9g", (int)row, (int)i, got, want[i]);
    }
}

static inline void read_row(const eet_array *x, int64_t row, int32_t width, double *to) {
    for (int32_t i = 0; i < width; ++i) {
        to[i] = lab_number(x, row * width + i);
    }
}

/* ---- plainly ---------------------------------------------------------------- */

static inline void plain_linear(const eet_op_linear *l, const double *x, double *y) {
    const int64_t out = l->weight.shape[0];
    const int64_t in = l->weight.shape[1];

    for (int64_t j = 0; j < out; ++j) {
        y[j] = l->bias.size != 0 ? lab_number(&l->bias, j) : 0.0;
        for (int64_t i = 0; i < in; ++i) {
            y[j] += x[i] * lab_number(&l->weight, j * in + i);
        }
    }
}

static inline void plain_norm(const eet_op_norm *n, int32_t width, const double *x, double *y) {
    double mean = 0.0;
    double variance = 0.0;

    for (int32_t i = 0; i < width; ++i) {
        mean += x[i] / width;
    }
    for (int32_t i = 0; i < width; ++i) {
        variance += (x[i] - mean) * (x[i] - mean) / width;
    }
    for (int32_t i = 0; i < width; ++i) {
        const double bias = n->bias.size != 0 ? lab_number(&n->bias, i) : 0.0;

        y[i] = (x[i] - mean) / sqrt(variance + n->eps) * lab_number(&n->weight, i) + bias;
    }
}

/* One row of the table of the two switches: `inner` is F(x), y what comes of it. */
static inline void plain_leave(const eet_op_norm *norm, int32_t pre_norm, int32_t residual,
                               int32_t width, const double *x, double *y) {
    double sum[256];

    for (int32_t i = 0; i < width; ++i) {
        sum[i] = y[i] + (residual != 0 ? x[i] : 0.0);
    }
    if (pre_norm == 0 && residual != 0) {
        plain_norm(norm, width, sum, y);
    } else {
        memcpy(y, sum, (size_t)width * sizeof *y);
    }
}

/* softmax(q k^T scale + seen) v for one query and head; 0 where nothing is seen. */
static inline void plain_attend(const double *q, const double *k, const double *v, int32_t keys,
                                const int32_t dims[3], double scale, const double *added,
                                double *y) {
    const int32_t head_dim = dims[0];
    const int32_t stride = dims[1];
    double sum = 0.0;

    memset(y, 0, (size_t)head_dim * sizeof *y);
    for (int32_t t = 0; t < keys; ++t) {
        double score = 0.0;

        for (int32_t i = 0; i < head_dim; ++i) {
            score += q[i] * k[(int64_t)t * stride + i];
        }
        const double weight = isinf(added[t]) ? 0.0 : exp(score * scale + added[t]);

        sum += weight;
        for (int32_t i = 0; i < head_dim; ++i) {
            y[i] += weight * v[(int64_t)t * stride + i];
        }
    }
    for (int32_t i = 0; i < head_dim && sum > 0.0; ++i) {
        y[i] /= sum;
    }
}

/* ---- calls ------------------------------------------------------------------ */

/* Gives `args` (of operator `op`) exactly the workspace that it asks for. */
static inline eet_status lab_workspace(eet_op_context *context, int32_t op, void *args,
                                       eet_error *err) {
    struct {
        uint32_t size;
        int32_t first;
        void *workspace;
        uint64_t bytes;
    } begin;
    uint64_t bytes = 0;
    const eet_status status = eet_op_workspace(context, op, args, &bytes, err);

    if (status != EET_OK) {
        return status;
    }
    memcpy(&begin, args, sizeof begin);
    begin.workspace = lab_block((int64_t)bytes);
    begin.bytes = bytes;
    memcpy(args, &begin, sizeof begin);
    return EET_OK;
}

#endif
