/* pooling.c - the mean of each row's tokens, and lengths of 1: reference and cost. */
#include <math.h>
#include <stddef.h>

#include "kernels/kernels.h"

static double length_of(const float *y, int32_t cols) {
    double sum = 0.0;

    for (int32_t j = 0; j < cols; ++j) {
        sum += (double)y[j] * (double)y[j];
    }
    return fmax(sqrt(sum), 1e-12);
}

eet_status eet_pool_ref(eet_backend *backend, const eet_pool_args *a) {
    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        const int64_t first = a->start != NULL ? a->start[row] : row;
        const int64_t end = a->start != NULL ? a->start[row + 1] : first + 1;
        float *y = a->y + (int64_t)row * a->cols;

        for (int32_t j = 0; j < a->cols; ++j) {
            double sum = 0.0;

            for (int64_t t = first; t < end; ++t) {
                sum += (double)a->x[t * a->cols + j];
            }
            y[j] = end > first ? (float)(sum / (double)(end - first)) : 0.0F;
        }
        const double length = a->normalize ? length_of(y, a->cols) : 1.0;

        for (int32_t j = 0; j < a->cols; ++j) {
            y[j] = (float)((double)y[j] / length);
        }
    }
    return EET_OK;
}

eet_cost eet_pool_cost(const eet_pool_args *a) {
    const double tokens = a->start != NULL ? a->start[a->rows] - a->start[0] : a->rows;
    const double out = (double)a->rows * a->cols;

    return (eet_cost){
        .flops = tokens * a->cols + (a->normalize ? 3.0 : 1.0) * out,
        .bytes = 4.0 * (tokens * a->cols + out),
    };
}
