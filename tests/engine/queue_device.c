/* queue_device.c - a plugin that stands for a device: the CPU's ops, done as late as they may be.
 *
 * What is asked for waits in a queue, with copies of arguments and bytes, until somebody waits for
 * it; a wait for a number in shared memory does no more work than that takes, or all. So work is
 * behind who asked for it or ahead of him, and what reads memory of the host too late, takes a
 * result too late or waits for nothing is found. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/backend.h"
#include "tests/engine/queue_device.h"

typedef enum what_to_do {
#define X(op) DO_##op,
    EET_OP_MAP(X)
#undef X
        UPLOAD,
    DOWNLOAD
} what_to_do;

typedef struct job {
    what_to_do what;
    union {
#define X(op) eet_##op##_args op;
        EET_OP_MAP(X)
#undef X
        struct {
            void *to;
            const void *from; /* of an upload: the bytes, which the job owns */
            uint64_t bytes;
        } copy;
    } args;
} job;

typedef struct jobs {
    job *job;
    size_t count, room, done;
} jobs;

struct eet_backend {
    eet_backend *cpu;
    jobs queue;
    jobs *records; /* NULL: nothing is recorded */
};

static queue_seen seen;
static size_t waits;
static void (*to_call)(void *);
static void *to_call_with;
static int64_t pace;

EET_API queue_seen queue_look(void) {
    const queue_seen now = seen;

    seen = (queue_seen){0};
    return now;
}

EET_API void queue_call(void (*function)(void *), void *context) {
    to_call = function;
    to_call_with = context;
}

EET_API void queue_pace(int64_t microseconds) {
    pace = microseconds;
}

/* The step that ends has been for nobody when no row had keys in it. */
static void note_step(const eet_advance_args *a) {
    const struct timespec time = {.tv_nsec = pace * 1000};
    size_t on = 0;

    for (int32_t row = 0; row < a->rows; ++row) {
        on += a->going[row].length > 0 ? 1 : 0;
    }
    seen.steps += 1;
    seen.nobodys += on == 0 ? 1 : 0;
    seen.rows = a->rows;
    (void)nanosleep(&time, NULL);
}

static eet_status add(jobs *to, const job *one) {
    if (to->count == to->room) {
        const size_t room = 2 * to->room + 16;
        job *more = realloc(to->job, room * sizeof *more);

        if (more == NULL) {
            return EET_E_MEMORY;
        }
        to->job = more;
        to->room = room;
    }
    to->job[to->count++] = *one;
    return EET_OK;
}

static eet_status do_job(eet_backend *b, job *one) {
    const eet_ops *ops = eet_backend_cpu()->ops(b->cpu);

    if (one->what == DO_advance) {
        note_step(&one->args.advance);
    }
    switch (one->what) {
#define X(op)     \
    case DO_##op: \
        return ops->op(b->cpu, &one->args.op);
        EET_OP_MAP(X)
#undef X
    case UPLOAD:
        memcpy(one->args.copy.to, one->args.copy.from, (size_t)one->args.copy.bytes);
        free((void *)(uintptr_t)one->args.copy.from);
        return EET_OK;
    case DOWNLOAD:
        memcpy(one->args.copy.to, one->args.copy.from, (size_t)one->args.copy.bytes);
        return EET_OK;
    }
    return EET_E_INTERNAL;
}

static eet_status do_next(eet_backend *b) {
    const eet_status status = do_job(b, &b->queue.job[b->queue.done++]);

    if (b->queue.done == b->queue.count) {
        b->queue.done = b->queue.count = 0;
    }
    return status;
}

static eet_status do_all(eet_backend *b) {
    eet_status status = EET_OK;

    while (b->queue.count > 0) {
        const eet_status one = do_next(b);

        status = status == EET_OK ? one : status;
    }
    return status;
}

static void note_ahead(const eet_backend *b) {
    size_t ahead = 0;

    for (size_t i = b->queue.done; i < b->queue.count; ++i) {
        ahead += b->queue.job[i].what == DO_advance ? 1 : 0;
    }
    seen.most_ahead = ahead > seen.most_ahead ? ahead : seen.most_ahead;
}

#define X(op)                                                                   \
    static eet_status op##_later(eet_backend *b, const eet_##op##_args *args) { \
        const job one = {.what = DO_##op, .args.op = *args};                    \
                                                                                \
        return add(b->records != NULL ? b->records : &b->queue, &one);          \
    }
EET_OP_MAP(X)
#undef X

static const eet_ops *ops_of(const eet_backend *b) {
    static const eet_ops ops = {
#define X(op) .op = op##_later,
        EET_OP_MAP(X)
#undef X
    };

    (void)b;
    return &ops;
}

static eet_status open_queue(const eet_backend_options *options, eet_backend **out) {
    eet_backend *b = calloc(1, sizeof *b);

    if (b == NULL) {
        return EET_E_MEMORY;
    }
    const eet_status status = eet_backend_cpu()->open(options, &b->cpu);

    if (status != EET_OK) {
        free(b);
        return status;
    }
    *out = b;
    return EET_OK;
}

static void close_queue(eet_backend *b) {
    if (b != NULL) {
        (void)do_all(b);
        eet_backend_cpu()->close(b->cpu);
        free(b->queue.job);
        free(b);
    }
}

static void *alloc_on(eet_backend *b, uint64_t bytes) {
    return eet_backend_cpu()->alloc(b->cpu, bytes);
}

static void free_on(eet_backend *b, void *block) {
    (void)do_all(b);
    eet_backend_cpu()->free(b->cpu, block);
}

static eet_backend_memory memory_of(eet_backend *b) {
    return eet_backend_cpu()->memory(b->cpu);
}

static eet_status upload(eet_backend *b, void *device, const void *host, uint64_t bytes) {
    if (b->records != NULL) {
        return EET_E_INTERNAL; /* nothing of the host may be in a recording */
    }
    if (bytes == 0) {
        return EET_OK;
    }
    void *copy = malloc((size_t)bytes);

    if (copy == NULL) {
        return EET_E_MEMORY;
    }
    memcpy(copy, host, (size_t)bytes);
    const job one = {.what = UPLOAD, .args.copy = {device, copy, bytes}};

    return add(&b->queue, &one);
}

static eet_status download_later(eet_backend *b, void *host, const void *device, uint64_t bytes) {
    const job one = {.what = DOWNLOAD, .args.copy = {host, device, bytes}};

    return b->records != NULL ? EET_E_INTERNAL : bytes > 0 ? add(&b->queue, &one) : EET_OK;
}

static eet_status download(eet_backend *b, void *host, const void *device, uint64_t bytes) {
    const eet_status status = download_later(b, host, device, bytes);

    return status == EET_OK ? do_all(b) : status;
}

static eet_status graph_begin(eet_backend *b) {
    void (*const call)(void *) = to_call;

    to_call = NULL;
    if (call != NULL) {
        call(to_call_with);
    }
    b->records = calloc(1, sizeof *b->records);
    return b->records != NULL ? EET_OK : EET_E_MEMORY;
}

static eet_status graph_end(eet_backend *b, void **graph) {
    *graph = b->records;
    b->records = NULL;
    return EET_OK;
}

static eet_status graph_launch(eet_backend *b, void *graph) {
    const jobs *recorded = graph;
    eet_status status = EET_OK;

    seen.launches += 1;
    for (size_t i = 0; i < recorded->count && status == EET_OK; ++i) {
        status = add(&b->queue, &recorded->job[i]);
    }
    return status;
}

static void graph_free(eet_backend *b, void *graph) {
    jobs *recorded = graph;

    (void)b;
    if (recorded != NULL) {
        free(recorded->job);
        free(recorded);
    }
}

static void *share(eet_backend *b, uint64_t bytes) {
    (void)b;
    return calloc(1, (size_t)bytes);
}

static void unshare(eet_backend *b, void *shared) {
    (void)b;
    free(shared);
}

static eet_status wait_for(eet_backend *b, const uint64_t *word, uint64_t number) {
    eet_status status = EET_OK;

    note_ahead(b);
    waits += 1;
    if (waits % 3 == 0) {
        status = do_all(b);
    }
    while (status == EET_OK && *word < number) {
        status = b->queue.count > 0 ? do_next(b) : EET_E_DEVICE;
    }
    return status;
}

static eet_status place(eet_backend *b, const eet_matrix *host, int32_t dtype, eet_matrix *out) {
    return eet_backend_cpu()->place(b->cpu, host, dtype, out);
}

static void unplace(eet_backend *b, eet_matrix *matrix) {
    eet_backend_cpu()->unplace(b->cpu, matrix);
}

static int32_t inner_of(const eet_backend *b, int32_t weights) {
    (void)b;
    (void)weights;
    return 0;
}

static bool has_families(const eet_backend *b) {
    (void)b;
    return true;
}

static const char *why(const eet_backend *b) {
    (void)b;
    return "";
}

static void mark_range(eet_backend *b, const char *name, int32_t number) {
    (void)b;
    (void)name;
    (void)number;
}

static int32_t threads_of(const eet_backend *b) {
    return eet_backend_cpu()->threads(b->cpu);
}

EET_API const eet_backend_api *eet_backend_entry(void) {
    static const eet_backend_api api = {
        .size = sizeof api,
        .interface = EET_INTERFACE,
        .name = "queue",
        .open = open_queue,
        .close = close_queue,
        .alloc = alloc_on,
        .free = free_on,
        .memory = memory_of,
        .upload = upload,
        .download = download,
        .download_later = download_later,
        .sync = do_all,
        .graph_begin = graph_begin,
        .graph_end = graph_end,
        .graph_launch = graph_launch,
        .graph_free = graph_free,
        .share = share,
        .unshare = unshare,
        .wait_for = wait_for,
        .place = place,
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
