/* bench_gemm.c - how fast project is on a CUDA device: the layers of BERT and GPT-2 in f16, every
 * tile of gemm_sm90, what project itself chooses, and norm.
 *
 * Operands are drawn, and there are so many of each that they come from memory and not from the
 * cache. One line a shape: microseconds and TFLOP/s, the median of rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/project.h"

enum { ROUNDS = 5, CALLS = 12, COPIES = 4, TILES = EET_GEMM_TILES };
#define MOST ((int64_t)16384 * 4096)

typedef struct layer {
    const char *name;
    int32_t n, k, act, residual;
} layer;

static const layer layers[] = {
    {"base qkv", 2304, 768, EET_ACT_LINEAR, 0},
    {"base out", 768, 768, EET_ACT_LINEAR, 1},
    {"base fc1", 3072, 768, EET_ACT_GELU_ERF, 0},
    {"base fc2", 768, 3072, EET_ACT_LINEAR, 1},
    {"large qkv", 3072, 1024, EET_ACT_LINEAR, 0},
    {"large out", 1024, 1024, EET_ACT_LINEAR, 1},
    {"large fc1", 4096, 1024, EET_ACT_GELU_ERF, 0},
    {"large fc2", 1024, 4096, EET_ACT_LINEAR, 1},
    {"medium fc1", 4096, 1024, EET_ACT_GELU_TANH, 0},
    {"medium fc2 f32", 1024, 4096, EET_ACT_LINEAR, 2},
};

typedef struct bench {
    const eet_backend_api *api;
    eet_backend *backend;
    cudaEvent_t from, to;
    char *x, *w, *y, *residual; /* MOST numbers of 16 bits; y and residual of 32 */
    float *vector;
} bench;

static void must(bool fine, const char *what) {
    if (!fine) {
        (void)fprintf(stderr, "%s failed\n", what);
        exit(EXIT_FAILURE);
    }
}

static float drawn(uint64_t *state) {
    float sum = 0.0F;

    for (int32_t i = 0; i < 4; ++i) {
        *state = *state * 6364136223846793005U + 1442695040888963407U;
        sum += (float)(*state >> 40) * 0x1p-24F - 0.5F;
    }
    return sum;
}

static void *filled(bench *b, int64_t count, int32_t dtype, float scale) {
    const int64_t bytes = count * eet_float_bytes(dtype);
    char *host = malloc((size_t)bytes);
    void *block = b->api->alloc(b->backend, (uint64_t)bytes);
    uint64_t state = 7;

    must(host != NULL && block != NULL, "memory");
    for (int64_t i = 0; i < count; ++i) {
        const float x =
            i < 1 << 22 ? drawn(&state) * scale : eet_float_at(host, dtype, i - (1 << 22));
        float half = 0; /* as a model of 16 bits has biases */

        eet_float_put(&half, EET_F16, 0, x);
        eet_float_put(host, dtype, i, eet_float_at(&half, EET_F16, 0));
    }
    must(b->api->upload(b->backend, block, host, (uint64_t)bytes) == EET_OK, "upload");
    free(host);
    return block;
}

static int by_size(const void *a, const void *b) {
    const float x = *(const float *)a;
    const float y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Microseconds of a call: `run` with a number of operands in turn, in a graph. */
static double timed(bench *b, void (*run)(bench *, const void *, int32_t), const void *what) {
    const cudaStream_t stream = b->backend->stream;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t calls = NULL;
    float ms[ROUNDS];

    run(b, what, 0);
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess,
         "capture");
    for (int32_t i = 0; i < CALLS; ++i) {
        run(b, what, i % COPIES);
    }
    must(cudaStreamEndCapture(stream, &graph) == cudaSuccess, "capture");
    must(cudaGraphInstantiate(&calls, graph, 0) == cudaSuccess, "a graph");
    (void)cudaGraphLaunch(calls, stream);
    for (int32_t r = 0; r < ROUNDS; ++r) {
        (void)cudaEventRecord(b->from, stream);
        (void)cudaGraphLaunch(calls, stream);
        (void)cudaEventRecord(b->to, stream);
        must(cudaEventSynchronize(b->to) == cudaSuccess, "a kernel");
        must(cudaEventElapsedTime(&ms[r], b->from, b->to) == cudaSuccess, "an event");
    }
    (void)cudaGraphExecDestroy(calls);
    (void)cudaGraphDestroy(graph);
    qsort(ms, ROUNDS, sizeof *ms, by_size);
    return 1e3 * (double)ms[ROUNDS / 2] / CALLS;
}

typedef struct product {
    const layer *layer;
    int32_t rows, tile; /* tile: -1 = project itself, -2 = gemm_mma */
} product;

static void multiply(bench *b, const void *what, int32_t copy) {
    const product *p = what;
    const int64_t x_count = (int64_t)p->rows * p->layer->k;
    const int64_t y_count = (int64_t)p->rows * p->layer->n;
    const int64_t w_count = (int64_t)p->layer->n * p->layer->k;
    const int64_t x_copies = MOST / x_count < COPIES ? MOST / x_count : COPIES;
    const int64_t y_copies = MOST / y_count < COPIES ? MOST / y_count : COPIES;
    const int32_t dtype = p->layer->residual == 2 ? EET_F32 : EET_F16;
    eet_project_args a = {
        .x = b->x + copy % x_copies * x_count * 2,
        .x_dtype = EET_F16,
        .w = {.data = b->w + copy * w_count * 2,
              .n = p->layer->n,
              .k = p->layer->k,
              .ld = p->layer->k,
              .dtype = EET_F16},
        .bias = b->vector,
        .act = p->layer->act,
        .residual = p->layer->residual != 0
                        ? b->residual + copy % y_copies * y_count * eet_float_bytes(dtype)
                        : NULL,
        .residual_dtype = dtype,
        .rows = p->rows,
        .y = b->y + copy % y_copies * y_count * eet_float_bytes(dtype),
        .y_dtype = dtype,
    };
    const eet_finish f = {.a = a, .y_columns = p->layer->n, .wide = true};

    if (p->tile == -1) {
        must(eet_project_cuda(b->backend, &a) == EET_OK, "project");
    } else if (p->tile == -2) {
        must(eet_gemm_mma(b->backend, &f) == EET_OK, "gemm_mma");
    } else {
        must(eet_gemm_sm90(b->backend, &f, p->tile) == EET_OK, "gemm_sm90");
    }
}

/* How long the first product of a kind takes, where cuBLASLt is opened and tried; then others. */
static void bench_first(bench *b) {
    for (int32_t i = 0; i < 4; ++i) {
        const product p = {&layers[i < 2 ? 0 : i - 1], i == 1 ? 1024 : 512, -1};
        struct timespec from;
        struct timespec to;

        (void)clock_gettime(CLOCK_MONOTONIC, &from);
        multiply(b, &p, 0);
        must(b->api->sync(b->backend) == EET_OK, "project");
        (void)clock_gettime(CLOCK_MONOTONIC, &to);
        (void)printf("first %s of %d rows: %.1f ms\n", p.layer->name, p.rows,
                     1e3 * (double)(to.tv_sec - from.tv_sec) +
                         1e-6 * (double)(to.tv_nsec - from.tv_nsec));
    }
}

static void normalise(bench *b, const void *what, int32_t copy) {
    eet_norm_args a = *(const eet_norm_args *)what;
    const int64_t count = (int64_t)a.rows * a.cols;

    a.x = (const char *)a.x + copy * count * eet_float_bytes(a.x_dtype);
    a.y = (char *)a.y + copy * count * eet_float_bytes(a.y_dtype);
    must(eet_norm_cuda(b->backend, &a) == EET_OK, "norm");
}

static void bench_norms(bench *b) {
    static const int32_t shapes[][2] = {{4096, 768}, {4096, 1024}, {16384, 1024}, {2048, 4096}};

    for (int32_t i = 0; i < 4; ++i) {
        for (int32_t kind = 0; kind < 2; ++kind) {
            const int32_t from = kind == 0 ? EET_F32 : EET_F16;
            const eet_norm_args a = {.x = b->residual,
                                     .x_dtype = from,
                                     .norm = {.weight = b->vector, .bias = b->vector, .eps = 1e-5},
                                     .rows = shapes[i][0],
                                     .cols = shapes[i][1],
                                     .y = b->y,
                                     .y_dtype = EET_F16};
            const double us = timed(b, normalise, &a);
            const double bytes = (double)a.rows * a.cols * (2 + eet_float_bytes(from));

            (void)printf("norm %5d x %4d %s -> f16: %7.2f us %6.0f GB/s\n", a.rows, a.cols,
                         kind == 0 ? "f32" : "f16", us, bytes / us * 1e-3);
        }
    }
}

int main(int argc, char **argv) {
    static const int32_t rows[] = {128, 512, 1024, 4096, 12288, 16384};
    bench b = {.api = eet_backend_entry()};
    const int32_t first = argc > 1 ? atoi(argv[1]) : -2;

    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (b.api->open(&(eet_backend_options){0}, &b.backend) != EET_OK) {
        (void)printf("skipped: no CUDA device\n");
        return 77;
    }
    must(cudaEventCreate(&b.from) == cudaSuccess && cudaEventCreate(&b.to) == cudaSuccess,
         "an event");
    b.x = filled(&b, MOST, EET_F16, 1.0F);
    b.w = filled(&b, (int64_t)COPIES * 4096 * 1024, EET_F16, 0.05F);
    b.residual = filled(&b, MOST, EET_F32, 1.0F);
    b.y = b.api->alloc(b.backend, (uint64_t)MOST * 4);
    b.vector = filled(&b, 1 << 16, EET_F32, 1.0F);
    bench_first(&b);
    (void)printf("%-14s %6s", "TFLOP/s", "rows");
    for (int32_t t = first; t < TILES; ++t) {
        (void)printf(t == -2 ? "     mma" : t == -1 ? "      ours (us)      " : "  tile %d", t);
    }
    (void)printf("\n");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; ++i) {
        for (size_t r = 0; r < sizeof rows / sizeof *rows; ++r) {
            (void)printf("%-14s %6d", layers[i].name, rows[r]);
            for (int32_t t = first; t < TILES; ++t) {
                const product p = {&layers[i], rows[r], t};
                const double us = timed(&b, multiply, &p);

                (void)printf(" %7.1f", 2e-6 * rows[r] * layers[i].n * layers[i].k / us);
                if (t == -1) {
                    (void)printf(" (%9.2f)", us);
                }
            }
            (void)printf("\n");
        }
    }
    bench_norms(&b);
    b.api->close(b.backend);
    return 0;
}
