/* lt.c - products of 16-bit weights by cuBLASLt, which is opened at run time and never linked, when
 * the first large product comes.
 *
 * A kind of product (sizes of the weights, dtypes, what follows the sums) has an algorithm for each
 * range of rows, found when the first call of that range comes. Only those are kept whose bits are
 * those of our own kernel on drawn operands: so a row is the same whichever makes it, and what the
 * library has no answer for is ours to make. None splits a sum over k. In a recording nothing is
 * opened or tried. */
#include "kernels/cuda/lt.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"

enum {
    KINDS = 64,
    BIASES = 1024,
    RANGES = 9,      /* of rows: up to 64, 128, 256 ... and the rest */
    LEAST_ROWS = 64, /* of the first range */
    FIRST_ROWS = 256,
    TRIED_ROWS = 192,
    CANDIDATES = 8,
    ALIGNED = 16,
    MOST_N = 65536
};

#define FUNCTIONS(X)                        \
    X(cublasLtCreate)                       \
    X(cublasLtDestroy)                      \
    X(cublasLtMatmul)                       \
    X(cublasLtMatmulAlgoGetHeuristic)       \
    X(cublasLtMatmulAlgoConfigGetAttribute) \
    X(cublasLtMatmulDescCreate)             \
    X(cublasLtMatmulDescDestroy)            \
    X(cublasLtMatmulDescSetAttribute)       \
    X(cublasLtMatrixLayoutCreate)           \
    X(cublasLtMatrixLayoutDestroy)          \
    X(cublasLtMatrixLayoutSetAttribute)     \
    X(cublasLtMatmulPreferenceCreate)       \
    X(cublasLtMatmulPreferenceDestroy)      \
    X(cublasLtMatmulPreferenceSetAttribute)

/* What algorithms are chosen by. */
typedef struct kind {
    int32_t n, k, ld, dtype, y_dtype, bias, residual;
} kind;

typedef struct product {
    kind of;
    cublasLtMatmulDesc_t what;
    cublasLtMatrixLayout_t w, x, y;
    bool described, tried[RANGES], known[RANGES];
    cublasLtMatmulAlgo_t algo[RANGES];
} product;

/* A bias beside y of 16 bits has to have that dtype too: does it lose nothing by that? */
typedef struct known_bias {
    const float *bias;
    int32_t n, dtype;
    bool exact;
} known_bias;

struct eet_lt {
#define X(name) __typeof__(&(name)) name;
    FUNCTIONS(X)
#undef X
    cublasLtHandle_t handle;
    void *bias; /* on the device, MOST_N numbers of 16 bits */
    int32_t count, biases;
    product products[KINDS];
    known_bias known[BIASES];
};

static bool find_functions(eet_lt *lt, void *library) {
    void *symbol = NULL;
    bool all = true;

#define X(name)                                \
    symbol = dlsym(library, #name);            \
    memcpy(&lt->name, &symbol, sizeof symbol); \
    all = all && symbol != NULL;
    FUNCTIONS(X)
#undef X
    return all;
}

static eet_lt *begin(void) {
    void *library = eet_lt_find();
    eet_lt *lt = library != NULL ? calloc(1, sizeof *lt) : NULL;

    if (lt == NULL) {
        return NULL;
    }
    if (!find_functions(lt, library) || cudaMalloc(&lt->bias, MOST_N * 2) != cudaSuccess) {
        (void)cudaGetLastError();
        free(lt);
        return NULL;
    }
    if (lt->cublasLtCreate(&lt->handle) != CUBLAS_STATUS_SUCCESS) {
        (void)cudaFree(lt->bias);
        free(lt);
        return NULL;
    }
    return lt;
}

static void forget(const eet_lt *lt, const product *p) {
    const cublasLtMatrixLayout_t layouts[] = {p->w, p->x, p->y};

    if (p->what != NULL) {
        (void)lt->cublasLtMatmulDescDestroy(p->what);
    }
    for (int i = 0; i < 3; ++i) {
        if (layouts[i] != NULL) {
            (void)lt->cublasLtMatrixLayoutDestroy(layouts[i]);
        }
    }
}

void eet_lt_end(eet_backend *backend) {
    eet_lt *lt = backend->lt;

    if (lt == NULL) {
        return;
    }
    for (int32_t i = 0; i < lt->count; ++i) {
        forget(lt, &lt->products[i]);
    }
    (void)lt->cublasLtDestroy(lt->handle);
    (void)cudaFree(lt->bias);
    free(lt);
    backend->lt = NULL;
}

void eet_lt_forget(eet_backend *backend) {
    if (backend->lt != NULL) {
        backend->lt->biases = 0;
    }
}

static cudaDataType_t type_of(int32_t dtype) {
    return dtype == EET_F32 ? CUDA_R_32F : (dtype == EET_F16 ? CUDA_R_16F : CUDA_R_16BF);
}

/* The library sees columns where we see rows: y^T = w x^T. */
static bool describe(const eet_lt *lt, product *p) {
    const kind *k = &p->of;
    const uint64_t n = (uint64_t)k->n;
    const uint64_t depth = (uint64_t)k->k;
    const cublasOperation_t across = CUBLAS_OP_T;
    const cublasLtEpilogue_t end = k->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const void *const bias = lt->bias;

#define SET(name, value)                                                                \
    (lt->cublasLtMatmulDescSetAttribute(p->what, CUBLASLT_MATMUL_DESC_##name, &(value), \
                                        sizeof(value)) == 0)
    return lt->cublasLtMatmulDescCreate(&p->what, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0 &&
           lt->cublasLtMatrixLayoutCreate(&p->w, type_of(k->dtype), depth, n, k->ld) == 0 &&
           lt->cublasLtMatrixLayoutCreate(&p->x, type_of(k->dtype), depth, 1, k->k) == 0 &&
           lt->cublasLtMatrixLayoutCreate(&p->y, type_of(k->y_dtype), n, 1, k->n) == 0 &&
           SET(TRANSA, across) && SET(EPILOGUE, end) && (!k->bias || SET(BIAS_POINTER, bias));
#undef SET
}

static bool set_rows(const eet_lt *lt, const product *p, int32_t rows) {
    const uint64_t columns = (uint64_t)rows;

    return lt->cublasLtMatrixLayoutSetAttribute(p->x, CUBLASLT_MATRIX_LAYOUT_COLS, &columns,
                                                sizeof columns) == 0 &&
           lt->cublasLtMatrixLayoutSetAttribute(p->y, CUBLASLT_MATRIX_LAYOUT_COLS, &columns,
                                                sizeof columns) == 0;
}

/* Are sums one after another over all of k? */
static bool in_order(const eet_lt *lt, const cublasLtMatmulHeuristicResult_t *result) {
    int32_t parts = 0;
    uint32_t scheme = 0;
    size_t written = 0;

    return result->state == CUBLAS_STATUS_SUCCESS && result->workspaceSize == 0 &&
           lt->cublasLtMatmulAlgoConfigGetAttribute(&result->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                                    &parts, sizeof parts, &written) == 0 &&
           lt->cublasLtMatmulAlgoConfigGetAttribute(&result->algo,
                                                    CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &scheme,
                                                    sizeof scheme, &written) == 0 &&
           parts <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

static cublasLtMatmulPreference_t make_wish(const eet_lt *lt) {
    cublasLtMatmulPreference_t wish = NULL;
    const uint64_t bytes = 0; /* of workspace */
    const uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    const uint32_t aligned = ALIGNED;

    if (lt->cublasLtMatmulPreferenceCreate(&wish) != 0) {
        return NULL;
    }
#define SET(name, value)                                                                   \
    (lt->cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_##name, &(value), \
                                              sizeof(value)) == 0)
    if (SET(MAX_WORKSPACE_BYTES, bytes) && SET(REDUCTION_SCHEME_MASK, scheme) &&
        SET(MIN_ALIGNMENT_A_BYTES, aligned) && SET(MIN_ALIGNMENT_B_BYTES, aligned) &&
        SET(MIN_ALIGNMENT_C_BYTES, aligned) && SET(MIN_ALIGNMENT_D_BYTES, aligned)) {
        return wish;
    }
#undef SET
    (void)lt->cublasLtMatmulPreferenceDestroy(wish);
    return NULL;
}

static int range_of(int32_t rows) {
    int range = 0;

    while (range < RANGES - 1 && rows > LEAST_ROWS << range) {
        ++range;
    }
    return range;
}

/* The first algorithm in order for the most rows of a range. */
static bool choose(const eet_lt *lt, product *p, int range) {
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    cublasLtMatmulPreference_t wish = make_wish(lt);
    int count = 0;
    const bool chosen =
        wish != NULL && set_rows(lt, p, LEAST_ROWS << range) &&
        lt->cublasLtMatmulAlgoGetHeuristic(lt->handle, p->what, p->w, p->x, p->y, p->y, wish,
                                           CANDIDATES, results, &count) == CUBLAS_STATUS_SUCCESS;

    if (wish != NULL) {
        (void)lt->cublasLtMatmulPreferenceDestroy(wish);
    }
    for (int i = 0; chosen && i < count; ++i) {
        if (in_order(lt, &results[i])) {
            p->algo[range] = results[i].algo;
            return true;
        }
    }
    return false;
}

/* `bias` has y's dtype. */
static bool run(const eet_backend *backend, const product *p, int range, const eet_project_args *a,
                const void *bias) {
    const eet_lt *lt = backend->lt;
    const float one = 1.0F;
    const float again = a->residual != NULL ? 1.0F : 0.0F;

    return set_rows(lt, p, a->rows) &&
           (bias == NULL ||
            lt->cublasLtMatmulDescSetAttribute(p->what, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                               sizeof bias) == 0) &&
           lt->cublasLtMatmul(lt->handle, p->what, &one, a->w.data, p->w, a->x, p->x, &again,
                              a->residual != NULL ? a->residual : a->y, p->y, a->y, p->y,
                              &p->algo[range], NULL, 0, backend->stream) == CUBLAS_STATUS_SUCCESS;
}

/* Numbers about 1 that need all bits of their dtype. */
static void draw(void *to, int64_t count, int32_t dtype, int32_t exact_in) {
    uint64_t state = (uint64_t)count;

    for (int64_t i = 0; i < count; ++i) {
        float x = 0; /* room for any dtype */

        state = state * 6364136223846793005U + 1442695040888963407U;
        eet_float_put(&x, exact_in, 0, (float)(int32_t)(state >> 32) * 0x1p-31F);
        eet_float_put(to, dtype, i, eet_float_at(&x, exact_in, 0));
    }
}

/* Drawn operands on the device, and what both make of them. */
typedef struct trial {
    char *device, *host;
    int64_t x, residual, bias, half_bias, ours, y, bytes; /* where each begins */
} trial;

static int64_t take(trial *t, int64_t bytes) {
    const int64_t at = t->bytes;

    t->bytes += (bytes + 255) / 256 * 256;
    return at;
}

static bool begin_trial(trial *t, const kind *of) {
    const int64_t outputs = (int64_t)TRIED_ROWS * of->n;
    const int32_t exact = of->y_dtype == EET_F32 ? EET_F32 : of->y_dtype;

    memset(t, 0, sizeof *t);
    t->x = take(t, (int64_t)TRIED_ROWS * of->k * 2);
    t->residual = take(t, outputs * eet_float_bytes(of->y_dtype));
    t->bias = take(t, (int64_t)of->n * 4);
    t->half_bias = take(t, (int64_t)of->n * 4);
    t->ours = take(t, outputs * eet_float_bytes(of->y_dtype));
    t->y = take(t, outputs * eet_float_bytes(of->y_dtype));
    t->host = malloc((size_t)t->bytes);
    if (t->host == NULL || cudaMalloc((void **)&t->device, (size_t)t->bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        free(t->host);
        return false;
    }
    draw(t->host + t->x, (int64_t)TRIED_ROWS * of->k, of->dtype, of->dtype);
    draw(t->host + t->residual, outputs, of->y_dtype, of->y_dtype);
    draw(t->host + t->bias, of->n, EET_F32, exact);
    draw(t->host + t->half_bias, of->n, of->y_dtype, exact);
    return true;
}

/* Has a range's algorithm the bits of our own kernel? */
static bool try_range(eet_backend *backend, product *p, int range, const trial *t, eet_finish f) {
    const size_t bytes =
        (size_t)TRIED_ROWS * (size_t)p->of.n * (size_t)eet_float_bytes(p->of.y_dtype);
    eet_project_args *a = &f.a;

    a->rows = TRIED_ROWS;
    a->x = t->device + t->x;
    a->bias = a->bias != NULL ? (float *)(void *)(t->device + t->bias) : NULL;
    a->residual = a->residual != NULL ? t->device + t->residual : NULL;
    a->y = t->device + t->ours;
    const bool ours = cudaMemcpyAsync(t->device, t->host, (size_t)t->ours, cudaMemcpyHostToDevice,
                                      backend->stream) == cudaSuccess &&
                      eet_gemm_sm90(backend, &f, -1) == EET_OK;

    a->y = t->device + t->y;
    return ours && cudaMemsetAsync(a->y, UINT8_MAX, bytes, backend->stream) == cudaSuccess &&
           run(backend, p, range, a, a->bias != NULL ? t->device + t->half_bias : NULL) &&
           cudaMemcpyAsync(t->host + t->ours, t->device + t->ours, (size_t)(t->bytes - t->ours),
                           cudaMemcpyDeviceToHost, backend->stream) == cudaSuccess &&
           cudaStreamSynchronize(backend->stream) == cudaSuccess &&
           memcmp(t->host + t->ours, t->host + t->y, bytes) == 0;
}

/* NULL when there are too many. */
static product *find_product(eet_lt *lt, const kind *of) {
    for (int32_t i = 0; i < lt->count; ++i) {
        if (memcmp(&lt->products[i].of, of, sizeof *of) == 0) {
            return &lt->products[i];
        }
    }
    if (lt->count == KINDS) {
        return NULL;
    }
    product *p = &lt->products[lt->count++];

    p->of = *of;
    p->described = describe(lt, p);
    return p;
}

/* Is there an algorithm for a range? In a recording only those that were tried before. */
static bool has_algorithm(eet_backend *backend, product *p, int range, const eet_finish *f,
                          bool recorded) {
    trial t;

    if (p == NULL || !p->described || p->tried[range] || recorded) {
        return p != NULL && p->known[range];
    }
    p->tried[range] = true;
    if (choose(backend->lt, p, range) && begin_trial(&t, &p->of)) {
        p->known[range] = try_range(backend, p, range, &t, *f);
        (void)cudaStreamSynchronize(backend->stream);
        (void)cudaFree(t.device);
        free(t.host);
    }
    return p->known[range];
}

/* Has every number of a bias y's dtype? */
static bool is_exact(const eet_backend *backend, const eet_project_args *a) {
    float *host = malloc((size_t)a->w.n * 4);
    bool exact = host != NULL &&
                 cudaMemcpyAsync(host, a->bias, (size_t)a->w.n * 4, cudaMemcpyDeviceToHost,
                                 backend->stream) == cudaSuccess &&
                 cudaStreamSynchronize(backend->stream) == cudaSuccess;

    for (int32_t i = 0; exact && i < a->w.n; ++i) {
        float x = 0; /* room for any dtype */

        eet_float_put(&x, a->y_dtype, 0, host[i]);
        exact = eet_float_at(&x, a->y_dtype, 0) == host[i];
    }
    free(host);
    return exact;
}

static bool bias_is_exact(eet_backend *backend, const eet_project_args *a, bool recorded) {
    eet_lt *lt = backend->lt;

    for (int32_t i = 0; i < lt->biases; ++i) {
        if (lt->known[i].bias == a->bias && lt->known[i].n == a->w.n &&
            lt->known[i].dtype == a->y_dtype) {
            return lt->known[i].exact;
        }
    }
    if (lt->biases == BIASES || recorded) {
        return false;
    }
    lt->known[lt->biases] = (known_bias){a->bias, a->w.n, a->y_dtype, is_exact(backend, a)};
    return lt->known[lt->biases++].exact;
}

/* The bias in y's dtype, on the device. */
static const void *ready_bias(eet_backend *backend, const eet_project_args *a, bool recorded) {
    const eet_convert_args half = {
        .x = a->bias, .y = backend->lt->bias, .from = EET_F32, .to = a->y_dtype, .count = a->w.n};

    if (a->bias == NULL || a->y_dtype == EET_F32) {
        return a->bias;
    }
    return bias_is_exact(backend, a, recorded) && eet_convert_cuda(backend, &half) == EET_OK
               ? backend->lt->bias
               : NULL;
}

/* Does the library do what follows the sums? */
static bool fits(const eet_finish *f) {
    const eet_project_args *a = &f->a;

    return f->wide && a->to == EET_TO_Y && a->act == EET_ACT_LINEAR && a->w.n <= MOST_N &&
           (a->residual == NULL || a->residual_dtype == a->y_dtype);
}

static bool multiply(eet_backend *backend, const eet_finish *f, bool recorded) {
    const eet_project_args *a = &f->a;
    const kind of = {
        a->w.n, a->w.k, a->w.ld, a->w.dtype, a->y_dtype, a->bias != NULL, a->residual != NULL};
    product *p = find_product(backend->lt, &of);
    const int range = range_of(a->rows);

    if (!has_algorithm(backend, p, range, f, recorded)) {
        return false;
    }
    const void *bias = ready_bias(backend, a, recorded);

    return (bias != NULL || a->bias == NULL) && run(backend, p, range, a, bias);
}

bool eet_lt_multiply(eet_backend *backend, const eet_finish *f) {
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    enum cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;

    if (!fits(f) || f->a.rows < LEAST_ROWS / 2 ||
        cudaStreamIsCapturing(backend->stream, &status) != cudaSuccess) {
        return false;
    }
    const bool recorded = status != cudaStreamCaptureStatusNone;

    if (!backend->lt_asked && !recorded && f->a.rows >= FIRST_ROWS) {
        backend->lt_asked = true;
        backend->lt = begin();
    }
    if (backend->lt == NULL) {
        return false;
    }
    (void)cudaThreadExchangeStreamCaptureMode(&mode); /* kernels are loaded when they are needed */
    const bool done = multiply(backend, f, recorded);

    (void)cudaThreadExchangeStreamCaptureMode(&mode);
    if (!done) {
        (void)cudaGetLastError(); /* what the library could not do is no error of the next kernel */
    }
    return done;
}
