/* ops_avx2.c - the ops written for AVX2, FMA and F16C. */
#include "kernels/simd_ops.h"

void eet_cpu_use_avx2(eet_ops *ops) {
    use_simd(ops);
}
