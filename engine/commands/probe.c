/* probe.c - reads memory and multiplies registers as fast as this machine can. */
#include "engine/commands/probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/cpu.h"

enum {
    READ_BYTES = 1 << 28,
    HUGE_PAGE = 1 << 21,
    WORD = 8,
    LINE = 64,
    STREAMS = 4,
    PARTS = 1024,   /* threads at most */
    CHAINS = 12,    /* of multiply-adds: enough to hide the latency of one */
    STEPS = 400000, /* of each: a millisecond */
    RUNS = 3
};

struct eet_probe {
    uint64_t *block; /* (READ_BYTES / WORD) */
    bool wide;       /* registers of 16 lanes */
    float start;     /* not known when this is compiled */
    uint64_t read[PARTS];
    float burnt[PARTS]; /* what each part found, so that nothing is optimised away */
};

double eet_probe_now(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

eet_probe *eet_probe_create(void) {
    eet_probe *probe = calloc(1, sizeof *probe);

    if (probe == NULL) {
        return NULL;
    }
    probe->start = (float)eet_probe_now();
    probe->block = aligned_alloc(HUGE_PAGE, READ_BYTES);
    if (probe->block == NULL) {
        eet_probe_free(probe);
        return NULL;
    }
    (void)madvise(probe->block, READ_BYTES, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < READ_BYTES / WORD; ++i) {
        probe->block[i] = i; /* pages of its own, not one page of zeros */
    }
    return probe;
}

void eet_probe_free(eet_probe *probe) {
    if (probe != NULL) {
        free(probe->block);
        free(probe);
    }
}

/* One word of every line, as the line comes whole; in the way that was fastest of those tried:
 * large pages, a range a thread, in streams side by side. */
static void read_part(void *context, int32_t part, int32_t parts) {
    eet_probe *probe = context;
    uint64_t sum[STREAMS] = {0};
    int64_t first = 0;
    int64_t count = 0;

    eet_part_range(READ_BYTES / WORD, STREAMS * LINE / WORD, part, parts, &first, &count);
    const int64_t stream = count / STREAMS;

    for (int64_t i = first; i < first + stream; i += LINE / WORD) {
        for (int32_t j = 0; j < STREAMS; ++j) {
            sum[j] += probe->block[i + j * stream];
        }
    }
    probe->read[part] = sum[0] + sum[1] + sum[2] + sum[3];
}

double eet_probe_read_rate(eet_probe *probe, eet_backend *backend) {
    const double start = eet_probe_now();

    eet_pool_run(backend->pool, read_part, probe);
    return READ_BYTES / (eet_probe_now() - start);
}

#if defined(__x86_64__)
typedef float lanes8 __attribute__((vector_size(32)));
typedef float lanes16 __attribute__((vector_size(64)));

__attribute__((target("avx2,fma"))) static float burn8(float start) {
    lanes8 sum[CHAINS];
    lanes8 all = {0};

    for (int32_t c = 0; c < CHAINS; ++c) { /* all different, or the compiler does one for all */
        sum[c] = all + start * (float)(c + 1);
    }
    for (int32_t i = 0; i < STEPS; ++i) {
#pragma GCC unroll 12
        for (int32_t c = 0; c < CHAINS; ++c) {
            sum[c] = sum[c] * 0.75F + 0.5F;
        }
    }
    for (int32_t c = 0; c < CHAINS; ++c) {
        all += sum[c];
    }
    return all[0];
}

__attribute__((target("avx512f"))) static float burn16(float start) {
    lanes16 sum[CHAINS];
    lanes16 all = {0};

    for (int32_t c = 0; c < CHAINS; ++c) {
        sum[c] = all + start * (float)(c + 1);
    }
    for (int32_t i = 0; i < STEPS; ++i) {
#pragma GCC unroll 12
        for (int32_t c = 0; c < CHAINS; ++c) {
            sum[c] = sum[c] * 0.75F + 0.5F;
        }
    }
    for (int32_t c = 0; c < CHAINS; ++c) {
        all += sum[c];
    }
    return all[0];
}

/* Lanes of f32 in a register of the instruction set; 0: not known. */
static int32_t lanes_of(const char *isa) {
    return strcmp(isa, "avx512") == 0 ? 16 : strcmp(isa, "avx2") == 0 ? 8 : 0;
}

static void burn_part(void *context, int32_t part, int32_t parts) {
    eet_probe *probe = context;

    (void)parts;
    probe->burnt[part] = probe->wide ? burn16(probe->start) : burn8(probe->start);
}
#else
static int32_t lanes_of(const char *isa) {
    (void)isa;
    return 0;
}

static void burn_part(void *context, int32_t part, int32_t parts) {
    (void)context;
    (void)part;
    (void)parts;
}
#endif

double eet_probe_peak(eet_probe *probe, eet_backend *backend) {
    const int32_t lanes = lanes_of(backend->isa);
    double fastest = 1e30;

    probe->wide = lanes == 16;
    for (int32_t i = 0; i < RUNS && lanes > 0; ++i) {
        const double start = eet_probe_now();

        eet_pool_run(backend->pool, burn_part, probe);
        const double took = eet_probe_now() - start;

        fastest = took < fastest ? took : fastest;
    }
    return 2.0 * lanes * CHAINS * STEPS * eet_pool_threads(backend->pool) / fastest;
}
