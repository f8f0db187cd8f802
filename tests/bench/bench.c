/* bench.c - time, random operands and the rate at which memory is read. */
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "format/half.h"

enum { READ_BYTES = 1 << 28, WORD = 8, LINE = 64 };

double bench_now(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

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

typedef struct reading {
    const uint64_t *data;
    int64_t words;
    uint64_t sum[1024]; /* of each part, so that nothing is optimised away */
} reading;

/* One word of every line: the line comes whole. */
static void read_part(void *context, int32_t part, int32_t parts) {
    reading *r = context;
    uint64_t sum[4] = {0};
    int64_t first = 0;
    int64_t count = 0;

    eet_part_range(r->words, 4 * LINE / WORD, part, parts, &first, &count);
    for (int64_t i = first; i < first + count; i += 4 * LINE / WORD) {
        for (int32_t j = 0; j < 4; ++j) {
            sum[j] += r->data[i + j * LINE / WORD];
        }
    }
    r->sum[part] = sum[0] + sum[1] + sum[2] + sum[3];
}

typedef struct read_call {
    eet_pool *pool;
    reading *reading;
} read_call;

static void read_all(void *context) {
    const read_call *call = context;

    eet_pool_run(call->pool, read_part, call->reading);
}

/* The block stays for the next reading. */
static reading block_to_read(void) {
    static const uint64_t *data;

    if (data == NULL) {
        data = bench_random(READ_BYTES / 4, EET_F32);
    }
    return (reading){.data = data, .words = READ_BYTES / WORD};
}

double bench_read_rate(eet_pool *pool) {
    reading r = block_to_read();
    read_call call = {.pool = pool, .reading = &r};

    return READ_BYTES / bench_fastest(read_all, &call, 0.3);
}

double bench_read_once(eet_pool *pool) {
    reading r = block_to_read();
    const double start = bench_now();

    eet_pool_run(pool, read_part, &r);
    return READ_BYTES / (bench_now() - start);
}

double bench_fastest(void (*once)(void *context), void *context, double seconds) {
    const double end = bench_now() + seconds;
    double fastest = 1e30;

    for (int32_t i = 0; i < 5 || bench_now() < end; ++i) {
        const double start = bench_now();

        once(context);
        const double took = bench_now() - start;

        fastest = took < fastest ? took : fastest;
    }
    return fastest;
}
