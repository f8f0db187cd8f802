/* double.c - see double.h. A stream does its work at once; what is recorded is kept and done when
 * it is launched. */
#include "tests/cuda/double.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/lt.h"
#include "kernels/cuda/probe.h"

enum { DEVICE_BYTES = 1 << 30, MOST_OPS = 512, FIRST = 64 };

static eet_double state = {.unused = DEVICE_BYTES,
                           .all = DEVICE_BYTES,
                           .driver = CUDART_VERSION,
                           .devices = 1,
                           .capability = 90};
static _Thread_local int current;      /* the thread's device */
static _Thread_local cudaError_t last; /* failure of this thread that nobody asked for */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* "unused=1000" and the like, in EET_DOUBLE: for programs that are not ours to reach into. */
__attribute__((constructor)) static void read_environment(void) {
    const char *text = getenv("EET_DOUBLE");
    const char *value = text != NULL ? strchr(text, '=') : NULL;
    const long number = value != NULL ? strtol(value + 1, NULL, 10) : 0;
    const size_t length = value != NULL ? (size_t)(value - text) : 0;
    const struct {
        const char *name;
        int32_t *field;
    } fields[] = {{"driver", &state.driver},
                  {"devices", &state.devices},
                  {"capability", &state.capability},
                  {"no_code", &state.no_code}};

    for (size_t i = 0; i < sizeof fields / sizeof *fields && text != NULL; ++i) {
        if (length == strlen(fields[i].name) && strncmp(text, fields[i].name, length) == 0) {
            *fields[i].field = (int32_t)number;
        }
    }
    if (text != NULL && strncmp(text, "unused=", 7) == 0) {
        state.unused = (uint64_t)number;
    }
    if (text != NULL && strncmp(text, "fails=", 6) == 0) {
        state.fails = number;
        state.code = cudaErrorLaunchFailure;
    }
}

EET_API eet_double *eet_double_get(void) {
    return &state;
}

EET_API int32_t eet_double_current(void) {
    return current;
}

/* backend.c's, under another name here. */
const eet_backend_api *eet_backend_entry_of_cuda(void);

/* The plain-C ops have f32 inside a block, whatever the weights are. */
static int32_t inner_of(const eet_backend *backend, int32_t weights) {
    (void)backend;
    (void)weights;
    return 0;
}

EET_API const eet_backend_api *eet_backend_entry(void) {
    static eet_backend_api api;

    (void)pthread_mutex_lock(&lock);
    if (api.size == 0) {
        api = *eet_backend_entry_of_cuda();
        api.inner = inner_of;
    }
    (void)pthread_mutex_unlock(&lock);
    return &api;
}

/* A call that can fail. */
#define call() count_call(__func__)
static cudaError_t count_call(const char *name) {
    (void)pthread_mutex_lock(&lock);
    const int64_t number = ++state.calls;
    const bool fails = (state.fails > 0 &&
                        (number == state.fails || (state.sticky != 0 && number > state.fails))) ||
                       strcmp(state.refuses, name) == 0;
    if (number == state.fails) {
        (void)strncpy(state.failed, name, sizeof state.failed - 1);
    }
    (void)pthread_mutex_unlock(&lock);
    return fails ? (last = (cudaError_t)state.code) : cudaSuccess;
}

static void count_blocks(int64_t more) {
    (void)pthread_mutex_lock(&lock);
    state.blocks += more;
    (void)pthread_mutex_unlock(&lock);
}

/* Memory with its length before it. */
#define take(out, bytes) take_block(out, bytes, __func__)
static cudaError_t take_block(void **out, size_t bytes, const char *name) {
    const cudaError_t code = count_call(name);
    char *block = NULL;

    (void)pthread_mutex_lock(&lock);
    if (code == cudaSuccess && bytes <= state.unused &&
        (block = aligned_alloc(FIRST, (bytes + 2 * FIRST - 1) / FIRST * FIRST)) != NULL) {
        memset(block + FIRST, 0xA5, bytes);
        memcpy(block, &bytes, sizeof bytes);
        state.unused -= bytes;
        state.blocks += 1;
        state.made[current == 0 ? 0 : 1] += 1;
        *out = block + FIRST;
    }
    (void)pthread_mutex_unlock(&lock);
    if (code == cudaSuccess && block == NULL) {
        last = cudaErrorMemoryAllocation;
        return last;
    }
    return code;
}

static cudaError_t give_back(void *block) {
    size_t bytes = 0;

    if (block != NULL) {
        (void)pthread_mutex_lock(&lock);
        memcpy(&bytes, (char *)block - FIRST, sizeof bytes);
        state.unused += bytes;
        state.blocks -= 1;
        (void)pthread_mutex_unlock(&lock);
        free((char *)block - FIRST);
    }
    return cudaSuccess;
}

/* ---- what is recorded ------------------------------------------------------ */

#define X(op) eet_##op##_args op;
typedef union any_args {
    EET_OP_MAP(X)
} any_args;
#undef X

typedef struct recorded_op {
    void (*run)(const any_args *);
    any_args args;
} recorded_op;

struct CUgraphExec_st {
    int32_t count;
    recorded_op op[MOST_OPS];
};

static _Thread_local struct CUgraphExec_st *recording;

#define X(name)                                                                         \
    static void run_##name(const any_args *args) {                                      \
        (void)eet_##name##_ref(NULL, &args->name);                                      \
    }                                                                                   \
    eet_status eet_##name##_cuda(eet_backend *backend, const eet_##name##_args *args) { \
        (void)backend;                                                                  \
        (void)call();                                                                   \
        if (strcmp(state.faulty, #name) == 0) {                                         \
            state.fails = state.calls + 1;                                              \
            state.sticky = 1;                                                           \
        }                                                                               \
        if (cudaPeekAtLastError() != cudaSuccess) { /* as on_device::launched() */      \
            return eet_cuda_status(cudaPeekAtLastError());                              \
        }                                                                               \
        if (recording == NULL) {                                                        \
            return eet_##name##_ref(NULL, args);                                        \
        }                                                                               \
        if (recording->count == MOST_OPS) {                                             \
            return EET_E_INTERNAL;                                                      \
        }                                                                               \
        recording->op[recording->count++] =                                             \
            (recorded_op){.run = run_##name, .args = {.name = *args}};                  \
        return EET_OK;                                                                  \
    }
EET_OP_MAP(X)
#undef X

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    const cudaError_t code = call();

    (void)stream;
    (void)mode;
    if (code == cudaSuccess) {
        recording = calloc(1, sizeof *recording);
        count_blocks(1);
    }
    return code;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    const cudaError_t code = call();

    (void)stream;
    *graph = code == cudaSuccess ? (cudaGraph_t)(void *)recording : NULL;
    if (code != cudaSuccess && recording != NULL) {
        count_blocks(-1);
        free(recording);
    }
    recording = NULL;
    return code;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long f) {
    cudaGraphExec_t made = NULL;
    const cudaError_t code = take((void **)(void *)&made, sizeof *made);

    (void)f;
    if (code == cudaSuccess) {
        memcpy(made, graph, sizeof *made);
        *out = made;
    }
    return code;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    const cudaError_t code = call();

    (void)stream;
    for (int32_t i = 0; code == cudaSuccess && i < graph->count; ++i) {
        graph->op[i].run(&graph->op[i].args);
    }
    return code;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    count_blocks(-1);
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    return give_back(graph);
}

/* ---- the device ------------------------------------------------------------- */

cudaError_t cudaDriverGetVersion(int *version) {
    *version = state.driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = state.devices;
    return state.devices > 0 ? call() : cudaErrorNoDevice;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    (void)device;
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? state.capability / 10
             : attribute == cudaDevAttrComputeCapabilityMinor ? state.capability % 10
                                                              : 4;
    return call();
}

cudaError_t cudaGetDevice(int *device) {
    *device = current;
    return call();
}

cudaError_t cudaSetDevice(int device) {
    const cudaError_t code = call();

    current = code == cudaSuccess ? device : current;
    return code;
}

cudaError_t cudaGetLastError(void) {
    const cudaError_t code = last;

    last = cudaSuccess;
    return code;
}

cudaError_t cudaPeekAtLastError(void) {
    return last;
}

const char *cudaGetErrorString(cudaError_t code) {
    return code == cudaErrorMemoryAllocation ? "out of memory" : "an injected error";
}

/* ---- memory ------------------------------------------------------------------ */

cudaError_t cudaMalloc(void **block, size_t bytes) {
    return take(block, bytes);
}

cudaError_t cudaFree(void *block) {
    return give_back(block);
}

cudaError_t cudaMallocHost(void **block, size_t bytes) {
    return take(block, bytes);
}

cudaError_t cudaHostAlloc(void **block, size_t bytes, unsigned flags) {
    (void)flags;
    return take(block, bytes);
}

cudaError_t cudaFreeHost(void *block) {
    return give_back(block);
}

cudaError_t cudaMemGetInfo(size_t *unused, size_t *all) {
    (void)pthread_mutex_lock(&lock);
    *unused = state.unused;
    *all = state.all;
    (void)pthread_mutex_unlock(&lock);
    return call();
}

cudaError_t cudaMemsetAsync(void *block, int value, size_t bytes, cudaStream_t stream) {
    const cudaError_t code = call();

    (void)stream;
    if (code == cudaSuccess) {
        memset(block, value, bytes);
    }
    return code;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    const cudaError_t code = call();

    (void)kind;
    (void)stream;
    if (code == cudaSuccess) {
        memcpy(to, from, bytes);
    }
    return code;
}

/* ---- streams and events -------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    return take((void **)(void *)stream, 1);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    return give_back(stream);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    (void)stream;
    return call();
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *now) {
    (void)stream;
    *now = recording != NULL ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return call();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)stream;
    (void)event;
    (void)flags;
    return call();
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    (void)stream;
    if (state.busy > 0) {
        (void)__atomic_fetch_sub(&state.busy, 1, __ATOMIC_RELAXED);
        return last = cudaErrorNotReady;
    }
    return call();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    return take((void **)(void *)event, 1);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    return give_back(event);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    (void)event;
    (void)stream;
    return call();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    (void)event;
    return call();
}

/* ---- code and rates ---------------------------------------------------------------- */

cudaError_t eet_cuda_has_code(void) {
    const cudaError_t code = call();

    return code == cudaSuccess && state.no_code != 0 ? cudaErrorNoKernelImageForDevice : code;
}

double eet_cuda_read_rate(eet_backend *backend) {
    (void)backend;
    return 4e12;
}

double eet_cuda_product_rate(eet_backend *backend, int32_t dtype) {
    (void)backend;
    return dtype == EET_F32 ? 6e13 : 9e14;
}

void eet_cuda_rates_end(eet_backend *backend) {
    (void)backend;
}

/* ---- cuBLASLt: there is none ---------------------------------------------------- */

void eet_lt_end(eet_backend *backend) {
    (void)backend;
}

void eet_lt_forget(eet_backend *backend) {
    (void)backend;
}
