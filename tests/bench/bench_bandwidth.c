/* bench_bandwidth.c - the rate at which the CPU's threads read memory: the bound of all
 * that is bound by memory. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

int main(int argc, char **argv) {
    const int32_t threads = argc > 1 ? atoi(argv[1]) : 0;
    eet_pool *pool = NULL;

    if (eet_pool_create(threads, &pool) != EET_OK) {
        return EXIT_FAILURE;
    }
    printf("reading memory, %d threads: %.1f GB/s\n", eet_pool_threads(pool),
           bench_read_rate(pool) * 1e-9);
    eet_pool_destroy(pool);
    return EXIT_SUCCESS;
}
