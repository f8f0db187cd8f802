/* bench.c - random operands, and the fastest of several calls. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "format/half.h"

void *bench_random(int64_t count, int32_t dtype) {
    const int64_t bytes = count * eet_float_bytes(dtype);
    void *data = aligned_alloc(4096, (size_t)(bytes + 4095) / 4096 * 4096);
    uint64_t state = 1;

    if (data == NULL) {
        (void)fprintf(stderr, "no memory for %lld bytes\n", (long long)bytes);
        exit(EXIT_FAILURE);
    }
    for (int64_t i = 0; i < count; ++i) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        eet_float_put(data, dtype, i, (float)(state >> 40) * 0x1p-24F - 0.5F);
    }
    return data;
}

double bench_fastest(void (*once)(void *context), void *context, double seconds) {
    const double end = eet_probe_now() + seconds;
    double fastest = 1e30;

    for (int32_t i = 0; i < 5 || eet_probe_now() < end; ++i) {
        const double start = eet_probe_now();

        once(context);
        const double took = eet_probe_now() - start;

        fastest = took < fastest ? took : fastest;
    }
    return fastest;
}
