/* cpu.h - a backend of the CPU from the inside: what its ops and its tests may see. */
#ifndef EET_KERNELS_CPU_H
#define EET_KERNELS_CPU_H

#include "kernels/backend.h"
#include "kernels/pool.h"

/* An instruction set that the ops are written for; the last that the processor has is
 * the one to use. */
typedef struct eet_cpu_isa {
    const char *name;
    bool (*is_here)(void);
    void (*use)(eet_ops *ops); /* overrides the ops that it is faster at */
} eet_cpu_isa;

struct eet_backend {
    eet_ops ops;
    eet_pool *pool;
    const char *isa;
};

const eet_cpu_isa *eet_cpu_isas(int32_t *count);

/* Opens with one instruction set, "ref" for none: E_ARGUMENT for a name that there is
 * not, E_UNSUPPORTED when the processor lacks it. */
eet_status eet_cpu_open_isa(const char *isa, int32_t threads, eet_backend **out);

void eet_cpu_use_avx2(eet_ops *ops);
void eet_cpu_use_avx512(eet_ops *ops);

#endif
