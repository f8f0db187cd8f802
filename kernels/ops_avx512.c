/* ops_avx512.c - the ops that AVX-512 makes faster. */
#include "kernels/cpu.h"

void eet_cpu_use_avx512(eet_ops *ops) {
    (void)ops;
}
