/* ops_avx512.c - the ops written for AVX-512. */
#include "kernels/simd_ops.h"

void eet_cpu_use_avx512(eet_ops *ops) {
    use_simd(ops);
}
