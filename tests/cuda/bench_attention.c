/* bench_attention.c - how long attention takes on the device: decode steps over pages, prefill and
 * encoders, with f16, in a CUDA graph that goes over enough layers to leave no key in the cache.
 *
 * A line a case: microseconds of one layer, then GB/s of keys and values and their share of the
 * rate of a copy, or TFLOP/s. An argument is the name of the cases to run. peer_attention.py times
 * torch with the same cases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "tests/cuda/device.h"

enum { MOST_ROWS = 64, MOST_LAYERS = 24, REPLAYS = 10, RANDOM = 1 << 22 };

typedef struct run {
    const char *name;
    int32_t rows, queries, keys, heads, head_dim;
    bool causal, paged, ragged;
    int32_t family;
} run;

#define DECODE(rows_, heads_, dim, keys_)                                                    \
    {                                                                                        \
        .name = "decode", .rows = (rows_), .queries = 1, .keys = (keys_), .heads = (heads_), \
        .head_dim = (dim), .causal = true, .paged = true, .family = EET_FEW                  \
    }
#define PREFILL(rows_, heads_, dim, keys_)                                       \
    {                                                                            \
        .name = "prefill", .rows = (rows_), .queries = (keys_), .keys = (keys_), \
        .heads = (heads_), .head_dim = (dim), .causal = true, .paged = true      \
    }
#define ENCODE(rows_, heads_, keys_, ragged_)                                         \
    {                                                                                 \
        .name = (ragged_) ? "ragged" : "encode", .rows = (rows_), .queries = (keys_), \
        .keys = (keys_), .heads = (heads_), .head_dim = 64, .ragged = (ragged_)       \
    }

static const run runs[] = {
    DECODE(1, 12, 64, 1024),    DECODE(4, 12, 64, 1024),    DECODE(1, 16, 64, 1024),
    DECODE(16, 16, 64, 1024),   DECODE(64, 16, 64, 1024),   DECODE(1, 25, 64, 1024),
    DECODE(1, 16, 64, 16384),   DECODE(16, 32, 128, 2048),  PREFILL(1, 16, 64, 1024),
    PREFILL(4, 16, 64, 1024),   PREFILL(1, 16, 64, 16384),  PREFILL(4, 16, 128, 2048),
    PREFILL(4, 8, 256, 2048),   ENCODE(1, 12, 128, false),  ENCODE(8, 12, 128, false),
    ENCODE(32, 12, 128, false), ENCODE(32, 12, 384, false), ENCODE(32, 12, 512, false),
    ENCODE(32, 16, 512, false), ENCODE(32, 12, 512, true),
};

static const char *only; /* runs of this name */

static void expect(cudaError_t code, const char *what) {
    if (code != cudaSuccess) {
        (void)fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(code));
        exit(EXIT_FAILURE);
    }
}

/* f16 of -1 .. 1 on the device. */
static void *noise(int64_t bytes) {
    static uint16_t numbers[RANDOM];
    static uint32_t state;
    char *block = NULL;

    for (int32_t i = 0; state < RANDOM; ++i, ++state) {
        numbers[i] = eet_f32_to_f16((float)(int32_t)(state * UINT32_C(2654435769)) * 0x1p-31F);
    }
    expect(cudaMalloc((void **)&block, (size_t)bytes), "memory");
    for (int64_t at = 0; at < bytes; at += 2 * RANDOM) {
        const int64_t some = bytes - at < 2 * RANDOM ? bytes - at : 2 * RANDOM;

        expect(cudaMemcpy(block + at, numbers, (size_t)some, cudaMemcpyHostToDevice), "upload");
    }
    return block;
}

static void *sent(const void *host, int64_t bytes) {
    void *block = NULL;

    expect(cudaMalloc(&block, (size_t)bytes), "memory");
    expect(cudaMemcpy(block, host, (size_t)bytes, cudaMemcpyHostToDevice), "upload");
    return block;
}

/* One layer's arguments, packed q|k|v or pages. */
static eet_attention_args args_of(const run *r, int32_t layers, void **memory) {
    const int32_t width = r->heads * r->head_dim;
    int32_t q_start[MOST_ROWS + 1] = {0};
    int32_t keys[MOST_ROWS];
    eet_attention_args a = {.rows = r->rows, .heads = r->heads, .head_dim = r->head_dim};

    for (int32_t i = 0; i < r->rows; ++i) {
        keys[i] = r->ragged ? r->keys / 10 + (r->keys - r->keys / 10) * i / (r->rows - 1) : r->keys;
        q_start[i + 1] = q_start[i] + (r->ragged ? keys[i] : r->queries);
    }
    a.tokens = q_start[r->rows];
    a.q_stride = a.kv_stride = (int64_t)width * 3;
    a.causal = r->causal;
    a.scale = 0.125F;
    a.dtype = EET_F16;
    a.family = r->family;
    a.longest_q = r->queries;
    a.longest_kv = r->keys;
    a.q_start = memory[0] = sent(q_start, sizeof q_start);
    a.kv_start = a.q_start; /* each query beside its key */
    a.kv_length = memory[2] = sent(keys, sizeof keys);
    a.q = memory[3] = noise(a.tokens * a.q_stride * 2 * (r->paged ? 1 : layers));
    expect(cudaMalloc(&memory[4], (size_t)a.tokens * (size_t)width * 2), "memory");
    a.y = memory[4];
    const int64_t scratch = eet_attention_scratch(a.tokens, a.heads, a.head_dim, a.longest_kv);

    expect(cudaMalloc(&memory[5], (size_t)scratch), "memory");
    expect(cudaMemset(memory[5], 0, (size_t)scratch), "memory");
    a.scratch = memory[5];
    if (r->paged) {
        a.table_stride = (r->keys + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS;
        const int32_t pages = r->rows * a.table_stride;
        int32_t *table = malloc((size_t)pages * sizeof *table);

        for (int32_t i = 0; table != NULL && i < pages; ++i) {
            table[i] = pages - 1 - i;
        }
        a.page_table = memory[6] = sent(table, (int64_t)r->rows * a.table_stride * 4);
        free(table);
        a.pages = (eet_pages){.pages = pages,
                              .layers = layers,
                              .heads = r->heads,
                              .head_dim = r->head_dim,
                              .dp = eet_padded_head(r->head_dim),
                              .dtype = EET_F16};
        a.pages.data = memory[7] = noise(eet_page_at(&a.pages, layers, 0, 0, 0, 0) * 2);
    }
    return a;
}

/* Microseconds of a replay. */
static double time_graph(cudaGraphExec_t graph, cudaStream_t stream) {
    cudaEvent_t start = NULL;
    cudaEvent_t end = NULL;
    float ms = 0.0F;

    expect(cudaEventCreate(&start), "event");
    expect(cudaEventCreate(&end), "event");
    expect(cudaGraphLaunch(graph, stream), "graph");
    expect(cudaEventRecord(start, stream), "event");
    for (int32_t i = 0; i < REPLAYS; ++i) {
        expect(cudaGraphLaunch(graph, stream), "graph");
    }
    expect(cudaEventRecord(end, stream), "event");
    expect(cudaEventSynchronize(end), "event");
    expect(cudaEventElapsedTime(&ms, start, end), "event");
    return (double)ms * 1000.0 / REPLAYS;
}

/* Bytes read and written per second by a copy, in GB. */
static double copy_rate(cudaStream_t stream) {
    const size_t bytes = (size_t)1 << 30;
    void *from = noise((int64_t)bytes);
    void *to = noise((int64_t)bytes);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;

    expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    expect(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy");
    expect(cudaStreamEndCapture(stream, &graph), "capture");
    expect(cudaGraphInstantiate(&exec, graph, 0), "graph");
    const double us = time_graph(exec, stream);

    expect(cudaFree(from), "free");
    expect(cudaFree(to), "free");
    return 2.0 * (double)bytes / us / 1000.0;
}

static void time_run(const run *r, double rate) {
    const cudaStream_t stream = device_backend()->stream;
    const int64_t layer_bytes = (int64_t)4 * r->rows * r->keys * r->heads * r->head_dim;
    const int64_t wanted = (INT64_C(200) << 20) / layer_bytes + 1;
    const int32_t layers = wanted < 2 ? 2 : wanted > MOST_LAYERS ? MOST_LAYERS : (int32_t)wanted;
    void *memory[8] = {NULL};
    eet_attention_args a = args_of(r, layers, memory);
    const eet_attention_args first = a;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;

    expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
    for (int32_t layer = 0; layer < layers; ++layer) {
        a.layer = layer;
        if (!r->paged) {
            a.q = (const char *)first.q + layer * a.tokens * a.q_stride * 2;
            a.k = (const char *)a.q + (int64_t)r->heads * r->head_dim * 2;
            a.v = (const char *)a.k + (int64_t)r->heads * r->head_dim * 2;
        }
        ON_DEVICE(attention, &a);
    }
    expect(cudaStreamEndCapture(stream, &graph), "capture");
    expect(cudaGraphInstantiate(&exec, graph, 0), "graph");
    const double us = time_graph(exec, stream) / layers;
    const double gb = (double)layer_bytes / us / 1000.0;
    double pairs = 0.0;

    for (int32_t i = 0; i < r->rows; ++i) {
        const double keys =
            r->ragged ? r->keys / 10 + (r->keys - r->keys / 10) * i / (r->rows - 1) : r->keys;

        pairs += (r->queries > 1 ? keys : 1.0) * keys * (r->causal && r->queries > 1 ? 0.5 : 1.0);
    }
    if (r->family == EET_FEW) {
        (void)printf("%-8s %3d x %5d, %2d heads of %3d: %8.2f us %7.0f GB/s %5.1f %%\n", r->name,
                     r->rows, r->keys, r->heads, r->head_dim, us, gb, 100.0 * gb / rate);
    } else {
        (void)printf("%-8s %3d x %5d, %2d heads of %3d: %8.2f us %7.1f TFLOP/s\n", r->name, r->rows,
                     r->keys, r->heads, r->head_dim, us,
                     4.0 * pairs * r->heads * r->head_dim / us / 1e6);
    }
    (void)fflush(stdout);
    (void)cudaGraphExecDestroy(exec);
    (void)cudaGraphDestroy(graph);
    for (int32_t i = 0; i < 8; ++i) {
        (void)cudaFree(memory[i]);
    }
}

START_TEST(attention_is_timed)
{
    const double rate = copy_rate(device_backend()->stream);

    (void)printf("a copy: %.0f GB/s read and written\n", rate);
    for (int32_t i = 0; i < (int32_t)(sizeof runs / sizeof *runs); ++i) {
        if (only == NULL || strcmp(only, runs[i].name) == 0) {
            time_run(&runs[i], rate);
        }
    }
    device_free();
}
END_TEST

int main(int argc, char **argv) {
    const eet_claim claims[] = {{.test = attention_is_timed}};

    only = argc > 1 ? argv[1] : NULL;
    (void)setenv("CK_FORK", "no", 1);
    (void)setenv("CK_DEFAULT_TIMEOUT", "0", 1);
    if (!device_open()) {
        return 77;
    }
    const int code = eet_suite_run("bench_attention", claims, 1);

    device_close();
    return code;
}
