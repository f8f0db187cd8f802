/* backend.h - the border between the engine and a device. Private: a plugin is
 * built with the library it is loaded by (contracts: "interface" is the digest of
 * the headers on this border).
 *
 * A backend handle is cheap: a model opens one to place its weights, each session
 * its own and so has its own threads (CPU) or stream (CUDA). */
#ifndef EET_KERNELS_BACKEND_H
#define EET_KERNELS_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct eet_backend_options {
    int32_t threads;  /* CPU; 0 = CPUs in the affinity mask */
    bool reference;   /* the plain-C ops only (EET_BACKEND=ref) */
    int32_t device;   /* CUDA: its number */
    bool one_by_one;  /* CUDA: an op is finished before the next begins (EET_SYNC) */
    eet_error *error; /* a plugin says here why it does not open; NULL: nobody asks */
    void *stream;     /* CUDA: a caller's stream that all work goes to, which outlives the backend;
                         NULL: one of its own */
    bool only_memory; /* CUDA: nothing will be asked for but alloc and free, which need no pinned
                         memory of the host */
} eet_backend_options;

/* Bytes of a device. */
typedef struct eet_backend_memory {
    uint64_t unused, all; /* that nobody has; whoever has them. 0: unknown */
    uint64_t graphs;      /* that recording took, for this handle */
} eet_backend_memory;

typedef struct eet_backend_api {
    uint32_t size;      /* of this struct */
    char interface[65]; /* of a plugin: EET_INTERFACE as it was built with; "" within the library */
    const char *name;   /* "cpu", "cuda" */
    eet_status (*open)(const eet_backend_options *, eet_backend **);
    void (*close)(eet_backend *); /* NULL is fine */

    /* Memory of the device, 256-byte aligned and zeroed; NULL when there is none. */
    void *(*alloc)(eet_backend *, uint64_t bytes);
    void (*free)(eet_backend *, void *);
    eet_backend_memory (*memory)(eet_backend *);
    eet_status (*upload)(eet_backend *, void *device, const void *host, uint64_t bytes);
    eet_status (*download)(eet_backend *, void *host, const void *device, uint64_t bytes);
    /* A download whose bytes are there after the next sync. */
    eet_status (*download_later)(eet_backend *, void *host, const void *device, uint64_t bytes);
    eet_status (*sync)(eet_backend *);

    /* What ops do between begin and end is recorded, and done by launch. Of a backend with two
     * families alone; others have NULL here. E_MEMORY, E_DEVICE. */
    eet_status (*graph_begin)(eet_backend *);
    eet_status (*graph_end)(eet_backend *, void **graph);
    eet_status (*graph_launch)(eet_backend *, void *graph);
    void (*graph_free)(eet_backend *, void *graph); /* NULL is fine */

    /* Memory of the host, zeroed, that the device's work writes as well; NULL when there is none.
     * Of a backend with two families alone. */
    void *(*share)(eet_backend *, uint64_t bytes);
    void (*unshare)(eet_backend *, void *); /* NULL is fine */
    /* Waits until work has put `number`, or a larger one, into a word of shared memory; what was
     * written before it is there then. E_DEVICE when no work that is left will. */
    eet_status (*wait_for)(eet_backend *, const uint64_t *word, uint64_t number);

    /* A host matrix as the backend wants it, in `dtype`: on the CPU the same bytes in place, in
     * their own dtype alone. The host's may be read until the next sync or unplace. What was
     * allocated for it goes with eet_backend_api.unplace. */
    eet_status (*place)(eet_backend *, const eet_matrix *host, int32_t dtype, eet_matrix *out);
    void (*unplace)(eet_backend *, eet_matrix *);

    /* The dtype of activations inside a block whose weights have `weights`: x, y and what
     * attention takes and gives. 0 = f32. In a pre-norm stack the stream is f32, in a post-norm
     * one it has this dtype. */
    int32_t (*inner)(const eet_backend *, int32_t weights);
    /* Has it two families of ops? Then the composer applies a block's norms with `norm` in
     * EET_MANY, and they are prologues in EET_FEW alone. */
    bool (*families)(const eet_backend *);

    /* What failed first on the device, "" where nothing did. */
    const char *(*why)(const eet_backend *);
    /* Opens a range that a profiler shows, `number` (-1: none) behind its name; NULL closes the
     * last one. */
    void (*range)(eet_backend *, const char *name, int32_t number);

    const eet_ops *(*ops)(const eet_backend *);
    int32_t (*threads)(const eet_backend *);

    /* Of a backend with streams alone; others have NULL here. The stream of all work; and all that
     * comes from now on waits, on the device, for what is in a caller's `stream` now: E_STATE
     * while that is recorded, E_ARGUMENT of another device's. */
    void *(*stream)(const eet_backend *);
    eet_status (*wait_stream)(eet_backend *, void *stream);

    /* What a device could do at best, now: bytes that it reads a second, and multiplications and
     * additions of this dtype. 0: unknown. NULL on the CPU, whose bounds eet-bench finds. */
    double (*read_rate)(eet_backend *);
    double (*product_rate)(eet_backend *, int32_t dtype);
} eet_backend_api;

/* The one symbol of a plugin, a shared library with a backend. */
const eet_backend_api *eet_backend_entry(void);
typedef const eet_backend_api *(*eet_backend_entry_fn)(void);

/* Loads a plugin, for as long as the process lives. One that another build's headers made is
 * refused (EET_E_DEVICE), as is what is no plugin; `error` says why and may be NULL. */
eet_status eet_plugin_load(const char *path, const eet_backend_api **out, eet_error *error);

/* The CPU: reference first, then what the processor has (AVX2, AVX-512). */
const eet_backend_api *eet_backend_cpu(void);

/* Which instruction set the CPU's ops use: "ref", "avx2", "avx512". */
const char *eet_backend_cpu_isa(const eet_backend *);

#endif
