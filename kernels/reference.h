/* reference.h - what the reference ops share with each other and with the CPU's fast
 * ones. */
#ifndef EET_KERNELS_REFERENCE_H
#define EET_KERNELS_REFERENCE_H

#include "kernels/arguments.h"

/* A row's mean and 1 / sqrt(variance + eps). */
typedef struct eet_moments {
    double mean, scale;
} eet_moments;

/* Moments for a norm with a weight; without one, or without x, there is nothing to know. */
eet_moments eet_moments_of(const float *x, int32_t cols, const eet_norm_weights *norm);

/* Column j of the norm of a row with x there; x itself without a norm. */
double eet_normed(float x, int32_t j, const eet_norm_weights *norm, eet_moments moments);

/* Elements [first, end) of a conversion that is known. */
void eet_convert_some(const eet_convert_args *a, int64_t first, int64_t end);

/* As far as a matrix is read. */
double eet_matrix_bytes(const eet_matrix *w);

/* log of the sum of all e^(logit - top); `top` is the largest logit. */
double eet_log_parts(const float *logits, int32_t vocab, double *top);
/* The same with the largest one back in. */
double eet_log_sum(const float *logits, int32_t vocab);
/* Row `row` after repetition penalty and minimum length, in y. */
void eet_sample_process(const eet_sample_args *a, int32_t row, float *y);
/* All ids, the largest score first, the lowest id first among equals. */
void eet_sample_sort(const float *y, int32_t vocab, int32_t *order);

#endif
