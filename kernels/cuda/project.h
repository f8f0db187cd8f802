/* project.h - the kernels between which project chooses, each with the same meaning and its own
 * operands: see eet_project_args. Every dtype is named (0 was made EET_F32). */
#ifndef EET_KERNELS_CUDA_PROJECT_H
#define EET_KERNELS_CUDA_PROJECT_H

#include "kernels/arguments.h"

/* The dtype in which project reads an x of these weights without another pass over it. */
int32_t eet_project_dtype(const eet_backend *backend, const eet_matrix *w);

/* What a product's kernel adds to its sums, and where it puts them. */
typedef struct eet_finish {
    eet_project_args a;
    const float *moment; /* (rows, 4): first, mean, scale of a normed residual */
    int32_t y_columns;
    bool wide; /* 8 columns of a row from a multiple of 8 are 16-byte aligned, and in one head */
} eet_finish;

/* Any dtypes; x is read as it is and a norm of it has been applied. */
void eet_project_plain(eet_backend *backend, const eet_finish *f);

/* x and w in one dtype of 16 bits, on compute capability 8.0 and newer. */
bool eet_gemm_mma_takes(const eet_backend *backend, const eet_matrix *w);
eet_status eet_gemm_mma(eet_backend *backend, const eet_finish *f);

/* Likewise, on 9.0 alone, where rows of x and w are 16-byte aligned. All of its tiles have equal
 * bits; `tile` is one of them, or -1 for what is fastest. */
enum { EET_GEMM_TILES = 9 };
bool eet_gemm_sm90_takes(const eet_backend *backend, const eet_matrix *w);
eet_status eet_gemm_sm90(eet_backend *backend, const eet_finish *f, int32_t tile);

#endif
