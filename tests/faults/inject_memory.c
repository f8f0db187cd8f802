/* inject_memory.c - allocations: those of ours can fail, and are remembered until they are
 * given back. */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/faults/inject.h"

enum { SLOTS = 1 << 18, EARLY = 1 << 16 };

#define CALLER __builtin_return_address(0)

/* ---- what is not given back yet ------------------------------------------ */

static void *kept[SLOTS]; /* open addressing; GONE where something was */
static uint64_t kept_count;
static bool any_kept; /* free() of others' memory need not look before */
static atomic_flag lock = ATOMIC_FLAG_INIT;
static char gone;

static size_t slot_of(const void *p) {
    return (size_t)((uintptr_t)p * UINT64_C(0x9E3779B97F4A7C15) >> 46) % SLOTS;
}

static void enter(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) {
    }
}

static void leave(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static void keep(void *p) {
    if (p == NULL) {
        return;
    }
    enter();
    any_kept = true;
    size_t at = slot_of(p);

    for (size_t i = 0; i < SLOTS && kept[at] != NULL && kept[at] != &gone; i++) {
        at = (at + 1) % SLOTS;
    }
    if (kept[at] == NULL || kept[at] == &gone) {
        kept[at] = p;
        kept_count++;
    }
    leave();
}

static void forget(const void *p) {
    if (p == NULL || !any_kept) {
        return;
    }
    enter();
    size_t at = slot_of(p);

    for (size_t i = 0; i < SLOTS && kept[at] != NULL && kept[at] != p; i++) {
        at = (at + 1) % SLOTS;
    }
    if (kept[at] == p) {
        kept[at] = &gone;
        kept_count--;
    }
    leave();
}

uint64_t eet_inject_kept(void) {
    return kept_count;
}

/* ---- the functions ------------------------------------------------------- */

/* Looking a function up may allocate: that comes from here and is never given back. */
static _Alignas(64) char early[EARLY];
static size_t early_used;
static bool looking;

static void *from_early(size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64;

    if (rounded > EARLY - early_used) {
        return NULL;
    }
    early_used += rounded;
    return early + early_used - rounded;
}

static bool is_early(const void *p) {
    return (uintptr_t)p >= (uintptr_t)early && (uintptr_t)p < (uintptr_t)early + EARLY;
}

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*aligned_alloc)(size_t, size_t);
    char *(*strdup)(const char *);
    char *(*strndup)(const char *, size_t);
} real;

static void look_up(void) {
    looking = true;
    EET_REAL(real.malloc, "malloc");
    EET_REAL(real.calloc, "calloc");
    EET_REAL(real.realloc, "realloc");
    EET_REAL(real.free, "free");
    EET_REAL(real.aligned_alloc, "aligned_alloc");
    EET_REAL(real.strdup, "strdup");
    EET_REAL(real.strndup, "strndup");
    looking = false;
}

/* Runs before all of the functions. */
static bool is_starting(void) {
    if (real.strndup == NULL && !looking) {
        look_up();
    }
    return looking;
}

/* May the allocation of `caller` go on? */
static bool may(const void *caller) {
    const int before = errno;

    if (eet_inject_judge(EET_KIND_ALLOC, caller).error != 0) {
        return false;
    }
    errno = before;
    return true;
}

static void *noted(void *p, const void *caller) {
    if (eet_inject_ours(caller)) {
        keep(p);
    }
    return p;
}

void *malloc(size_t bytes) {
    if (is_starting()) {
        return from_early(bytes);
    }
    return may(CALLER) ? noted(real.malloc(bytes), CALLER) : NULL;
}

void *calloc(size_t count, size_t bytes) {
    if (is_starting()) {
        return from_early(count * bytes); /* zero: it was never used */
    }
    return may(CALLER) ? noted(real.calloc(count, bytes), CALLER) : NULL;
}

void *realloc(void *p, size_t bytes) {
    if (is_starting() || is_early(p)) {
        return NULL;
    }
    if (!may(CALLER)) {
        return NULL;
    }
    forget(p); /* before another thread can be given the address */
    void *q = real.realloc(p, bytes);

    return noted(q == NULL ? p : q, CALLER) == p && q == NULL ? NULL : q;
}

void free(void *p) {
    if (is_starting() || is_early(p)) {
        return;
    }
    forget(p);
    real.free(p);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    if (is_starting()) {
        return NULL;
    }
    return may(CALLER) ? noted(real.aligned_alloc(alignment, bytes), CALLER) : NULL;
}

char *strdup(const char *text) {
    if (is_starting()) {
        return NULL;
    }
    return may(CALLER) ? noted(real.strdup(text), CALLER) : NULL;
}

char *strndup(const char *text, size_t length) {
    if (is_starting()) {
        return NULL;
    }
    return may(CALLER) ? noted(real.strndup(text, length), CALLER) : NULL;
}

int vasprintf(char **out, const char *format, va_list arguments) {
    static int (*next)(char **, const char *, va_list);

    EET_REAL(next, "vasprintf");
    if (!may(CALLER)) {
        return -1;
    }
    const int length = next(out, format, arguments);

    if (length >= 0) {
        (void)noted(*out, CALLER);
    }
    return length;
}

int asprintf(char **out, const char *format, ...) {
    static int (*next)(char **, const char *, va_list);
    va_list arguments;

    EET_REAL(next, "vasprintf");
    if (!may(CALLER)) {
        return -1;
    }
    va_start(arguments, format);
    const int length = next(out, format, arguments);

    va_end(arguments);
    if (length >= 0) {
        (void)noted(*out, CALLER);
    }
    return length;
}

/* It allocates for its caller. */
ssize_t getline(char **line, size_t *room, FILE *stream) {
    static ssize_t (*next)(char **, size_t *, FILE *);

    EET_REAL(next, "getline");
    if (!may(CALLER)) {
        return -1;
    }
    return next(line, room, stream);
}
