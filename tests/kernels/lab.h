/* lab.h - operands for tests of the ops: numbers of several kinds, in blocks without a byte
 * to spare (so that a sanitizer sees the first one too many), freed together. */
#ifndef EET_TESTS_KERNELS_LAB_H
#define EET_TESTS_KERNELS_LAB_H

#include <stdint.h>

#include "kernels/cpu.h"

/* Element `at` of activations in f32. */
static inline double lab_f32(const void *x, int64_t at) {
    return (double)((const float *)x)[at];
}

/* What numbers look like. */
typedef enum lab_kind {
    LAB_PLAIN = 0, /* -1 .. 1 */
    LAB_WILD = 1,  /* zeros, tiny and large ones (2^-30 .. 2^12) of both signs */
    LAB_FAR = 2    /* around 1,000: a mean far from the spread */
} lab_kind;

void *lab_block(int64_t bytes); /* not zeroed: a pattern that is NaN in every float dtype */
float *lab_floats(int64_t count, lab_kind kind);
void *lab_array(int64_t count, int32_t dtype, lab_kind kind); /* f32, f16, bf16, f64 */
int32_t *lab_ints(int64_t count, int32_t below);
/* Norm weights around 1; without `bias` there is none. */
eet_norm_weights lab_norm(int32_t cols, bool bias);
/* [n, k] with rows `extra` elements further apart than k; NaN between them. */
eet_matrix lab_matrix(int32_t n, int32_t k, int32_t extra, int32_t dtype, lab_kind kind);
/* Pages of one row's keys and values: `tokens` per row, page numbers shuffled. */
eet_pages lab_pages(int32_t pages, int32_t layers, int32_t heads, int32_t head_dim, int32_t dtype);
/* page_table (rows, stride): distinct pages, in no order. */
int32_t *lab_page_table(int32_t rows, int32_t stride);

void lab_seed(uint64_t seed);
void lab_free(void); /* all blocks */

/* Opens an instruction set; NULL, with a line on stderr, where the processor lacks it. */
eet_backend *lab_open(const char *isa, int32_t threads);
void lab_close(eet_backend *backend);

#endif
