/* bench.h - time, and what the machine itself can do: the bounds of the benchmarks. */
#ifndef EET_TESTS_BENCH_BENCH_H
#define EET_TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/cpu.h"

double bench_now(void); /* seconds */

/* Memory of random finite numbers of a dtype (f32, f16, bf16; -0.5 .. 0.5); exits when there
 * is none. */
void *bench_random(int64_t count, int32_t dtype);

/* The fastest of several readings of a block far larger than the caches: bytes a second. */
double bench_read_rate(eet_pool *pool);
/* The same, of one reading: to be taken between the steps of something that takes long. */
double bench_read_once(eet_pool *pool);

/* Multiply-adds on registers alone, two flops each, in an instruction set that has ops
 * ("avx2", "avx512"): flops a second. 0 for one that is not known here. */
double bench_peak(eet_pool *pool, const char *isa);

/* Runs `once` for at least `seconds` and five times; the fastest, in seconds. */
double bench_fastest(void (*once)(void *context), void *context, double seconds);

#endif
