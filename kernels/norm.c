/* norm.c - layer normalisation of chosen rows: reference and cost. */
#include <math.h>
#include <stddef.h>

#include "kernels/reference.h"

eet_moments eet_moments_of(const float *x, int32_t cols, const eet_norm_weights *norm) {
    double mean = 0.0;
    double variance = 0.0;

    if (x == NULL || norm->weight == NULL) {
        return (eet_moments){0};
    }
    for (int32_t j = 0; j < cols; ++j) {
        mean += (double)x[j];
    }
    mean /= cols;
    for (int32_t j = 0; j < cols; ++j) {
        variance += ((double)x[j] - mean) * ((double)x[j] - mean);
    }
    variance /= cols;
    return (eet_moments){.mean = mean, .scale = 1.0 / sqrt(variance + norm->eps)};
}

double eet_normed(float x, int32_t j, const eet_norm_weights *norm, eet_moments moments) {
    if (norm->weight == NULL) {
        return (double)x;
    }
    const double bias = norm->bias != NULL ? (double)norm->bias[j] : 0.0;

    return ((double)x - moments.mean) * moments.scale * (double)norm->weight[j] + bias;
}

eet_status eet_norm_ref(eet_backend *backend, const eet_norm_args *a) {
    (void)backend;
    if (!eet_all_f32(a->x_dtype, a->y_dtype, 0)) {
        return EET_E_UNSUPPORTED;
    }
    for (int64_t i = 0; i < a->rows; ++i) {
        const float *x = (const float *)a->x + (a->index != NULL ? a->index[i] : i) * a->cols;
        float *y = (float *)a->y + i * a->cols;
        const eet_moments moments = eet_moments_of(x, a->cols, &a->norm);

        for (int32_t j = 0; j < a->cols; ++j) {
            y[j] = (float)eet_normed(x[j], j, &a->norm, moments);
        }
    }
    return EET_OK;
}

eet_cost eet_norm_cost(const eet_norm_args *a) {
    const double elements = (double)a->rows * a->cols;
    const double vectors = (a->norm.weight != NULL) + (a->norm.bias != NULL);

    return (eet_cost){
        .flops = a->norm.weight != NULL ? 7.0 * elements : 0.0,
        .bytes = 4.0 * (2.0 * elements + vectors * a->cols),
    };
}
