/* bench.h - random operands and the fastest of several calls; what the machine itself can do
 * is the probe's to say. */
#ifndef EET_TESTS_BENCH_BENCH_H
#define EET_TESTS_BENCH_BENCH_H

#include <stdint.h>

#include "engine/commands/probe.h"
#include "kernels/cpu.h"

/* Memory of random finite numbers of a dtype (f32, f16, bf16; -0.5 .. 0.5); exits when there
 * is none. */
void *bench_random(int64_t count, int32_t dtype);

/* Runs `once` for at least `seconds` and five times; the fastest, in seconds. */
double bench_fastest(void (*once)(void *context), void *context, double seconds);

#endif
