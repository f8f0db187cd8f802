/* cpu_other.c - the instruction sets of a processor that no op is written for. */
#include <stddef.h>

#include "kernels/cpu.h"

const eet_cpu_isa *eet_cpu_isas(int32_t *count) {
    *count = 0;
    return NULL;
}
