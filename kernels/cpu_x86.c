/* cpu_x86.c - the instruction sets of x86-64 that ops are written for, worst first. */
#include <cpuid.h>

#include "kernels/cpu.h"

/* Not every compiler's __builtin_cpu_supports knows f16c. */
static bool has_f16c(void) {
    unsigned int eax = 0;
    unsigned int ebx = 0;
    unsigned int ecx = 0;
    unsigned int edx = 0;

    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

const eet_cpu_isa *eet_cpu_isas(int32_t *count) {
    static const eet_cpu_isa isas[] = {
        {.name = "avx2", .is_here = has_avx2, .use = eet_cpu_use_avx2},
        {.name = "avx512", .is_here = has_avx512, .use = eet_cpu_use_avx512},
    };

    *count = (int32_t)(sizeof isas / sizeof isas[0]);
    return isas;
}
