/* inject.c - makes the n-th call of a kind fail, in a program that does not know it: preload it.
 * Only calls of our own are met: those that return into the program or into libeet.so.
 *
 *   EET_INJECT=kind:n:fault[+],...  the n-th call of the kind (with + every one from then on)
 *   EET_INJECT_REPORT=FILE          what was met, and what was not given back at the end
 *   EET_INJECT_TRACE=1              and each call, with a hash of where it comes from
 *
 * Kinds: the table below, and `any`, which counts all of them but alloc. Faults: a name of an
 * error; short (half of what was asked for), end (nothing more to read), kill (SIGKILL before
 * the call), killed (SIGKILL behind it), stop (SIGSTOP before it). */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/faults/inject.h"

enum { RANGES = 8, RULES = 8, CALLS = 1 << 18, FRAMES = 12, DESCRIPTORS = 64 };

static const char *const kind_names[EET_KINDS] = {
    "alloc",   "open",     "stat",   "path",   "read", "write",  "map",
    "reserve", "truncate", "sync",   "rename", "link", "unlink", "close",
    "mode",    "advise",   "thread", "random", "list", "folder", "any"};

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR},
    {"EINVAL", EINVAL}, {"EPERM", EPERM},   {"EMFILE", EMFILE}, {"EOPNOTSUPP", EOPNOTSUPP},
    {"EAGAIN", EAGAIN}, {"ENOSYS", ENOSYS}, {"EEXIST", EEXIST}, {"EDQUOT", EDQUOT},
};

typedef struct rule {
    eet_kind kind;
    uint64_t first;
    bool persists;
    eet_verdict verdict;
} rule;

typedef struct range {
    uintptr_t base, start, end;
} range;

typedef struct call {
    uint64_t place;
    uint64_t number;
    uint8_t kind;
} call;

static range ranges[RANGES];
static int range_count;
static rule rules[RULES];
static int rule_count;
static atomic_bool ready;
static bool tracing;
static _Atomic(uint64_t) met[EET_KINDS], struck;
static call calls[CALLS];
static _Atomic(uint32_t) call_count;
static bool was_open[DESCRIPTORS];

/* ---- what is ours -------------------------------------------------------- */

static int add_module(struct dl_phdr_info *module, size_t size, void *context) {
    (void)size;
    (void)context;
    if (module->dlpi_name[0] != '\0' && strstr(module->dlpi_name, "/libeet") == NULL) {
        return 0;
    }
    for (int i = 0; i < module->dlpi_phnum && range_count < RANGES; i++) {
        const ElfW(Phdr) *part = &module->dlpi_phdr[i];

        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0) {
            const uintptr_t start = module->dlpi_addr + part->p_vaddr;

            ranges[range_count++] = (range){module->dlpi_addr, start, start + part->p_memsz};
        }
    }
    return 0;
}

static const range *range_of(const void *address) {
    for (int i = 0; i < range_count; i++) {
        if ((uintptr_t)address >= ranges[i].start && (uintptr_t)address < ranges[i].end) {
            return &ranges[i];
        }
    }
    return NULL;
}

/* Where a call comes from: its callers that are ours, wherever they were loaded. */
static uint64_t place_of_call(void) {
    void *frames[FRAMES];
    const int count = backtrace(frames, FRAMES);
    uint64_t place = UINT64_C(14695981039346656037);

    for (int i = 0; i < count; i++) {
        const range *r = range_of(frames[i]);

        if (r != NULL) {
            place = (place ^ ((uintptr_t)frames[i] - r->base)) * UINT64_C(1099511628211);
        }
    }
    return place;
}

static void trace(eet_kind kind, uint64_t number) {
    const uint32_t at = atomic_fetch_add(&call_count, 1);

    if (at < CALLS) {
        calls[at] = (call){place_of_call(), number, (uint8_t)kind};
    }
}

bool eet_inject_ours(const void *caller) {
    return atomic_load(&ready) && range_of(caller) != NULL;
}

/* ---- what happens to a call ---------------------------------------------- */

static void count_call(eet_kind kind, eet_verdict *verdict) {
    const uint64_t number = atomic_fetch_add(&met[kind], 1) + 1;

    for (int i = 0; i < rule_count; i++) {
        const rule *r = &rules[i];

        if (r->kind == kind && (number == r->first || (r->persists && number > r->first))) {
            *verdict = r->verdict;
            (void)atomic_fetch_add(&struck, 1);
        }
    }
    if (tracing) {
        trace(kind, number);
    }
}

eet_verdict eet_inject_judge(eet_kind kind, const void *caller) {
    eet_verdict verdict = {0};

    if (!eet_inject_ours(caller)) {
        return verdict;
    }
    count_call(kind, &verdict);
    if (kind != EET_KIND_ALLOC) {
        count_call(EET_KIND_ANY, &verdict);
    }
    if (verdict.kill) {
        (void)raise(SIGKILL);
    }
    if (verdict.stop) {
        (void)raise(SIGSTOP);
    }
    if (verdict.error != 0) {
        errno = verdict.error;
    }
    return verdict;
}

void eet_inject_after(eet_verdict verdict) {
    if (verdict.killed) {
        (void)raise(SIGKILL);
    }
}

/* ---- the rules and the report -------------------------------------------- */

__attribute__((noreturn)) static void refuse(const char *what) {
    (void)fprintf(stderr, "inject: %s\n", what);
    _exit(99);
}

static eet_verdict verdict_of(const char *fault) {
    const size_t length = strcspn(fault, "+,");

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        if (strlen(errors[i].name) == length && strncmp(errors[i].name, fault, length) == 0) {
            return (eet_verdict){.error = errors[i].number};
        }
    }
    const eet_verdict verdict = {.brief = strncmp(fault, "short", length) == 0,
                                 .end = strncmp(fault, "end", length) == 0,
                                 .kill = length == 4 && strncmp(fault, "kill", length) == 0,
                                 .stop = length == 4 && strncmp(fault, "stop", length) == 0,
                                 .killed = length == 6 && strncmp(fault, "killed", length) == 0};

    if (!verdict.brief && !verdict.end && !verdict.kill && !verdict.killed && !verdict.stop) {
        refuse("an unknown fault");
    }
    return verdict;
}

static rule read_rule(const char *text) {
    const char *number = strchr(text, ':');
    char *fault = NULL;
    rule r = {.kind = EET_KINDS};

    for (int i = 0; number != NULL && i < EET_KINDS; i++) {
        if (strlen(kind_names[i]) == (size_t)(number - text) &&
            strncmp(kind_names[i], text, (size_t)(number - text)) == 0) {
            r.kind = (eet_kind)i;
        }
    }
    if (r.kind == EET_KINDS) {
        refuse("an unknown kind");
    }
    r.first = strtoull(number + 1, &fault, 10);
    if (fault[0] != ':') {
        refuse("no fault is named");
    }
    r.verdict = verdict_of(fault + 1);
    r.persists = fault[strcspn(fault, "+,")] == '+';
    return r;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("EET_INJECT");
    void *warm[2];

    tracing = getenv("EET_INJECT_TRACE") != NULL;
    while (text != NULL && text[0] != '\0') {
        if (rule_count == RULES) {
            refuse("too many rules");
        }
        rules[rule_count++] = read_rule(text);
        text = strchr(text, ',');
        text = text == NULL ? NULL : text + 1;
    }
    (void)dl_iterate_phdr(add_module, NULL);
    if (tracing) {
        (void)backtrace(warm, 2); /* it loads a library when it first runs */
    }
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) != -1;
    }
    atomic_store(&ready, true);
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("EET_INJECT_REPORT");
    FILE *report = path == NULL ? NULL : fopen(path, "w");
    int descriptors = 0;

    atomic_store(&ready, false);
    if (report == NULL) {
        return;
    }
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        descriptors += !was_open[fd] && fcntl(fd, F_GETFD) != -1 && fd != fileno(report) ? 1 : 0;
    }
    (void)fprintf(report, "struck %llu\nleaked %llu\ndescriptors %d\n",
                  (unsigned long long)atomic_load(&struck), (unsigned long long)eet_inject_kept(),
                  descriptors);
    for (int i = 0; i < EET_KINDS; i++) {
        (void)fprintf(report, "met %s %llu\n", kind_names[i],
                      (unsigned long long)atomic_load(&met[i]));
    }
    const uint32_t count = atomic_load(&call_count);

    for (uint32_t i = 0; i < count && i < CALLS; i++) {
        (void)fprintf(report, "call %s %llu %016llx\n", kind_names[calls[i].kind],
                      (unsigned long long)calls[i].number, (unsigned long long)calls[i].place);
    }
    (void)fclose(report);
}
