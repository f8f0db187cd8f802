/* bench_project_few.cu - how long the linear layers of a decode step take for few rows: each matrix
 * of a GPT-2 layer alone, and all of a step's in a chain, in a CUDA graph, against the rate at
 * which the same run reads memory.
 *
 * Usage: bench_project_few [f16|bf16 [large]]; large: hidden 4096 and more. The backend is linked.
 * Weights are a pool several times the size of the cache, walked through in order, so that none is
 * read from the cache. */
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include "kernels/cuda/cuda.h"
}

namespace {

constexpr int64_t POOL = INT64_C(3) << 29; /* elements: 3 GB */
constexpr int RUNS = 9;
constexpr int MATRICES = 48;         /* of one kind in a graph */
constexpr int32_t MOST_CALLS = 8192; /* hidden, from which on a graph has fewer */
constexpr int64_t SCRATCH = INT64_C(1) << 22;

struct model {
    const char *name;
    int32_t layers, hidden;
};

constexpr model MODELS[] = {{"124M", 12, 768}, {"355M", 24, 1024}, {"1.5B", 48, 1600}};
constexpr int32_t ROWS[] = {1, 4, 16, 32, 64};
constexpr model LARGE[] = {{"4096", 4, 4096},
                           {"5120", 4, 5120},
                           {"8192", 2, 8192},
                           {"12288", 1, 12288},
                           {"16384", 1, 16384}};
constexpr int32_t LARGE_ROWS[] = {1, 4, 8, 16, 32};
constexpr int32_t VOCAB = 50257;

void check(bool fine, const char *what) {
    if (!fine) {
        (void)fprintf(stderr, "%s failed: %s\n", what, cudaGetErrorString(cudaGetLastError()));
        exit(EXIT_FAILURE);
    }
}

__device__ float noise(uint64_t i) {
    uint64_t z = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (float)(int32_t)(z >> 32) * 0x1p-31F;
}

__global__ void fill(void *to, int32_t dtype, int64_t count, float size) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        eet_float_put(to, dtype, i, size * noise((uint64_t)i));
    }
}

__global__ void read_all(const uint4 *from, int64_t count, uint32_t *to) {
    uint32_t all = 0;

#pragma unroll 8
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        const uint4 v = from[i];

        all ^= v.x ^ v.y ^ v.z ^ v.w;
    }
    if (all == 0x12345678) {
        *to = all;
    }
}

struct bench {
    const eet_backend_api *api;
    eet_backend *backend;
    int32_t dtype;
    void *pool;
    int64_t at; /* of the next matrix in the pool */
    float *stream, *floats;
    void *wide, *q;
    eet_pages pages;
    int64_t *slot;
    float *logits, *scratch;
    double rate; /* bytes a second */
    double bytes;
};

void *space(bench *b, int64_t bytes) {
    void *block = b->api->alloc(b->backend, (uint64_t)bytes);

    check(block != nullptr, "allocation");
    return block;
}

/* Microseconds of a graph of what `work` launches: the median run. */
template <typename F> double time_of(bench *b, F work) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t ready = nullptr;
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    std::vector<float> took;

    check(cudaStreamBeginCapture(b->backend->stream, cudaStreamCaptureModeThreadLocal) ==
              cudaSuccess,
          "capture");
    work();
    check(cudaStreamEndCapture(b->backend->stream, &graph) == cudaSuccess, "end of capture");
    check(cudaGraphInstantiate(&ready, graph, 0) == cudaSuccess, "graph");
    check(cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess, "event");
    for (int run = 0; run < RUNS + 2; ++run) {
        float ms = 0.0F;

        (void)cudaEventRecord(begin, b->backend->stream);
        check(cudaGraphLaunch(ready, b->backend->stream) == cudaSuccess, "launch");
        (void)cudaEventRecord(end, b->backend->stream);
        check(cudaEventSynchronize(end) == cudaSuccess, "run");
        (void)cudaEventElapsedTime(&ms, begin, end);
        if (run >= 2) {
            took.push_back(ms * 1000.0F);
        }
    }
    (void)cudaGraphExecDestroy(ready);
    (void)cudaGraphDestroy(graph);
    (void)cudaEventDestroy(begin);
    (void)cudaEventDestroy(end);
    std::sort(took.begin(), took.end());
    return (double)took[took.size() / 2];
}

eet_matrix matrix(bench *b, int32_t n, int32_t k) {
    const int64_t count = ((int64_t)n * k + 127) / 128 * 128;
    eet_matrix w = {};

    if (b->at + count > POOL) {
        b->at = 0;
    }
    w.data = (const uint16_t *)b->pool + b->at;
    w.n = n;
    w.k = w.ld = k;
    w.dtype = (uint16_t)b->dtype;
    b->at += count;
    b->bytes += 2.0 * n * k;
    return w;
}

eet_project_args base(bench *b, int32_t rows, int32_t n, int32_t k) {
    eet_project_args a = {};

    a.w = matrix(b, n, k);
    a.bias = b->floats;
    a.family = EET_FEW;
    a.rows = rows;
    a.x_dtype = a.y_dtype = b->dtype;
    a.scratch = b->scratch;
    a.slot = b->slot;
    return a;
}

enum kind { QKV, OUT, FC1, FC2, SCORE, KINDS };
constexpr const char *NAMES[KINDS] = {"qkv", "out", "fc1", "fc2", "score"};

void normed_stream(bench *b, eet_project_args *a) {
    a->x = b->stream;
    a->x_dtype = EET_F32;
    a->norm = {b->floats, b->floats, 1e-5};
}

void add_to_stream(bench *b, eet_project_args *a) {
    a->residual = a->y = b->stream;
    a->residual_dtype = a->y_dtype = EET_F32;
}

void score(bench *b, int32_t rows, int32_t h) {
    eet_score_args a = {};

    a.x = b->stream;
    a.norm = {b->floats, b->floats, 1e-5};
    a.w = matrix(b, VOCAB, h);
    a.family = EET_FEW;
    a.rows = rows;
    a.logits = b->logits;
    a.scratch = b->scratch;
    check(b->api->ops(b->backend)->score(b->backend, &a) == EET_OK, "score");
}

void run_one(bench *b, kind which, int32_t rows, int32_t h) {
    eet_project_args a = {};

    if (which == SCORE) {
        score(b, rows, h);
        return;
    }
    if (which == QKV) {
        a = base(b, rows, 3 * h, h);
        normed_stream(b, &a);
        a.to = EET_TO_Q_AND_PAGES;
        a.pages = b->pages;
        a.pages.heads = h / 64;
        a.y = b->q;
    } else if (which == OUT) {
        a = base(b, rows, h, h);
        a.x = b->q;
        add_to_stream(b, &a);
    } else if (which == FC1) {
        a = base(b, rows, 4 * h, h);
        normed_stream(b, &a);
        a.act = EET_ACT_GELU_TANH;
        a.y = b->wide;
    } else {
        a = base(b, rows, h, 4 * h);
        a.x = b->wide;
        add_to_stream(b, &a);
    }
    check(b->api->ops(b->backend)->project(b->backend, &a) == EET_OK, "project");
}

void read_rate(bench *b) {
    const double us = time_of(b, [=] {
        read_all<<<(unsigned)b->backend->blocks * 8, 512, 0, b->backend->stream>>>(
            (const uint4 *)b->pool, POOL / 8, (uint32_t *)b->scratch);
    });

    b->rate = 2.0 * POOL / us * 1e6;
    printf("reads %.0f GB/s\n", b->rate / 1e9);
}

void report(bench *b, const char *model, const char *what, int32_t rows, double us, int calls) {
    printf("%s %-6s rows %2d: %8.2f us  %6.0f GB/s  %5.1f %% of the read rate%s\n", model, what,
           rows, us / calls, b->bytes / us / 1e3, b->bytes / us * 1e8 / b->rate,
           b->backend->in_turn ? "  (in turn)" : "");
}

void measure(bench *b, const model &m, int32_t rows) {
    for (int which = 0; which < KINDS; ++which) {
        const int calls = which == SCORE || m.hidden >= MOST_CALLS ? 8 : MATRICES;

        b->bytes = 0;
        const double us = time_of(b, [=] {
            for (int i = 0; i < calls; ++i) {
                run_one(b, (kind)which, rows, m.hidden);
            }
        });

        report(b, m.name, NAMES[which], rows, us, calls);
    }
    for (int turn = 0; turn < 2; ++turn) {
        b->backend->in_turn = turn == 1;
        b->bytes = 0;
        const double us = time_of(b, [=] {
            for (int i = 0; i < m.layers; ++i) {
                run_one(b, QKV, rows, m.hidden);
                run_one(b, OUT, rows, m.hidden);
                run_one(b, FC1, rows, m.hidden);
                run_one(b, FC2, rows, m.hidden);
            }
            run_one(b, SCORE, rows, m.hidden);
        });

        report(b, m.name, "step", rows, us, 1);
    }
    b->backend->in_turn = false;
}

void begin(bench *b, int32_t dtype) {
    constexpr int32_t MOST = 16384;
    const eet_backend_options options = {};
    int64_t slots[EET_FEW_TOKENS];

    b->dtype = dtype;
    b->api = eet_backend_entry();
    if (b->api->open(&options, &b->backend) != EET_OK) {
        printf("skipped: no CUDA device\n");
        exit(77);
    }
    b->pool = space(b, 2 * POOL);
    b->stream = (float *)space(b, EET_FEW_TOKENS * MOST * 4);
    b->floats = (float *)space(b, 4 * MOST * 4);
    b->wide = space(b, EET_FEW_TOKENS * 4 * MOST * 2);
    b->q = space(b, EET_FEW_TOKENS * MOST * 2);
    b->logits = (float *)space(b, (int64_t)EET_FEW_TOKENS * VOCAB * 4);
    b->scratch = (float *)space(b, SCRATCH * 4);
    b->pages = {space(b, 2 * 2 * MOST * 64 * 2), 2, 1, MOST / 64, 64, 64, dtype};
    b->slot = (int64_t *)space(b, sizeof slots);
    for (int i = 0; i < EET_FEW_TOKENS; ++i) {
        slots[i] = i;
    }
    check(b->api->upload(b->backend, b->slot, slots, sizeof slots) == EET_OK, "upload");
    fill<<<1024, 256, 0, b->backend->stream>>>(b->pool, dtype, POOL, 0.03F);
    fill<<<64, 256, 0, b->backend->stream>>>(b->stream, EET_F32, EET_FEW_TOKENS * MOST, 1.0F);
    fill<<<64, 256, 0, b->backend->stream>>>(b->floats, EET_F32, 4 * MOST, 1.0F);
    fill<<<64, 256, 0, b->backend->stream>>>(b->wide, dtype, EET_FEW_TOKENS * 4 * MOST, 1.0F);
    fill<<<64, 256, 0, b->backend->stream>>>(b->q, dtype, EET_FEW_TOKENS * MOST, 1.0F);
    check(cudaStreamSynchronize(b->backend->stream) == cudaSuccess, "fill");
}

} // namespace

int main(int argc, char **argv) {
    bench b = {};
    cudaDeviceProp device = {};

    begin(&b, argc > 1 && strcmp(argv[1], "bf16") == 0 ? EET_BF16 : EET_F16);
    (void)cudaGetDeviceProperties(&device, b.backend->device);
    printf("%s, %s\n", device.name, b.dtype == EET_F16 ? "f16" : "bf16");
    read_rate(&b);
    const bool large = argc > 2 && strcmp(argv[2], "large") == 0;

    for (const model &m : large ? std::vector<model>(std::begin(LARGE), std::end(LARGE))
                                : std::vector<model>(std::begin(MODELS), std::end(MODELS))) {
        for (const int32_t rows : large ? LARGE_ROWS : ROWS) {
            measure(&b, m, rows);
        }
    }
    return 0;
}
