/* backend_cpu.c - the CPU as a backend: memory of the heap, the reference ops and what
 * the processor's instruction set replaces among them. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"

static const size_t ALIGNMENT = 256;

static void use_reference(eet_ops *ops) {
#define X(op) ops->op = eet_##op##_ref;
    EET_OP_MAP(X)
#undef X
}

static eet_status open_with(const eet_cpu_isa *isa, int32_t threads, eet_backend **out) {
    eet_backend *backend = calloc(1, sizeof *backend);

    if (backend == NULL) {
        return EET_E_MEMORY;
    }
    const eet_status status = eet_pool_create(threads, &backend->pool);

    if (status != EET_OK) {
        free(backend);
        return status;
    }
    use_reference(&backend->ops);
    backend->isa = "ref";
    if (isa != NULL) {
        isa->use(&backend->ops);
        backend->isa = isa->name;
    }
    *out = backend;
    return EET_OK;
}

static eet_status open_cpu(const eet_backend_options *options, eet_backend **out) {
    int32_t count = 0;
    const eet_cpu_isa *isas = eet_cpu_isas(&count);
    const eet_cpu_isa *best = NULL;

    for (int32_t i = 0; i < count && !options->reference; ++i) {
        if (isas[i].is_here()) {
            best = &isas[i];
        }
    }
    return open_with(best, options->threads, out);
}

eet_status eet_cpu_open_isa(const char *isa, int32_t threads, eet_backend **out) {
    int32_t count = 0;
    const eet_cpu_isa *isas = eet_cpu_isas(&count);

    if (strcmp(isa, "ref") == 0) {
        return open_with(NULL, threads, out);
    }
    for (int32_t i = 0; i < count; ++i) {
        if (strcmp(isa, isas[i].name) == 0) {
            return isas[i].is_here() ? open_with(&isas[i], threads, out) : EET_E_UNSUPPORTED;
        }
    }
    return EET_E_ARGUMENT;
}

static void close_cpu(eet_backend *backend) {
    if (backend != NULL) {
        eet_pool_destroy(backend->pool);
        free(backend);
    }
}

/* calloc leaves large blocks to the kernel, which zeroes a page when it is first used;
 * what calloc gave stands just before the block. */
static void *alloc_zeroed(eet_backend *backend, uint64_t bytes) {
    (void)backend;
    if (bytes > SIZE_MAX - 2 * ALIGNMENT) {
        return NULL;
    }
    char *base = calloc(1, (size_t)bytes + 2 * ALIGNMENT);

    if (base == NULL) {
        return NULL;
    }
    const size_t past = (uintptr_t)base % ALIGNMENT;
    char *block = base + 2 * ALIGNMENT - past;

    memcpy(block - sizeof base, &base, sizeof base);
    return block;
}

static void free_block(eet_backend *backend, void *block) {
    char *base = NULL;

    (void)backend;
    if (block != NULL) {
        memcpy(&base, (char *)block - sizeof base, sizeof base);
        free(base);
    }
}

static eet_status copy_bytes(eet_backend *backend, void *to, const void *from, uint64_t bytes) {
    (void)backend;
    if (bytes > 0) {
        memcpy(to, from, (size_t)bytes);
    }
    return EET_OK;
}

/* An op has done its work when it returns. */
static eet_status sync_nothing(eet_backend *backend) {
    (void)backend;
    return EET_OK;
}

static eet_status place_in_place(eet_backend *backend, const eet_matrix *host, int32_t dtype,
                                 eet_matrix *out) {
    (void)backend;
    *out = *host;
    return dtype == host->dtype ? EET_OK : EET_E_UNSUPPORTED;
}

static void unplace(eet_backend *backend, eet_matrix *matrix) {
    (void)backend;
    *matrix = (eet_matrix){0};
}

static eet_backend_memory memory_of(eet_backend *backend) {
    (void)backend;
    return (eet_backend_memory){0}; /* the system gives what it has, and more */
}

static const char *why(const eet_backend *backend) {
    (void)backend;
    return "";
}

static void mark_range(eet_backend *backend, const char *name, int32_t number) {
    (void)backend;
    (void)name;
    (void)number;
}

static int32_t inner_of(const eet_backend *backend, int32_t weights) {
    (void)backend;
    (void)weights;
    return 0; /* f32 */
}

static bool has_families(const eet_backend *backend) {
    (void)backend;
    return false;
}

static const eet_ops *ops_of(const eet_backend *backend) {
    return &backend->ops;
}

static int32_t threads_of(const eet_backend *backend) {
    return eet_pool_threads(backend->pool);
}

const char *eet_backend_cpu_isa(const eet_backend *backend) {
    return backend->isa;
}

const eet_backend_api *eet_backend_cpu(void) {
    static const eet_backend_api api = {
        .size = sizeof api,
        .name = "cpu",
        .open = open_cpu,
        .close = close_cpu,
        .alloc = alloc_zeroed,
        .free = free_block,
        .memory = memory_of,
        .upload = copy_bytes,
        .download = copy_bytes,
        .download_later = copy_bytes,
        .sync = sync_nothing,
        .place = place_in_place,
        .unplace = unplace,
        .inner = inner_of,
        .families = has_families,
        .why = why,
        .range = mark_range,
        .ops = ops_of,
        .threads = threads_of,
    };

    return &api;
}
