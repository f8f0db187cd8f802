/* inject.h - the two halves of the preloaded library: who decides (inject.c), and the functions
 * that stand before those of the C library (inject_memory.c, inject_calls.c). */
#ifndef EET_TESTS_FAULTS_INJECT_H
#define EET_TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum eet_kind {
    EET_KIND_ALLOC,
    EET_KIND_OPEN,
    EET_KIND_STAT,
    EET_KIND_PATH, /* realpath, readlink */
    EET_KIND_READ,
    EET_KIND_WRITE,
    EET_KIND_MAP,
    EET_KIND_RESERVE,
    EET_KIND_TRUNCATE,
    EET_KIND_SYNC,
    EET_KIND_RENAME,
    EET_KIND_LINK,
    EET_KIND_UNLINK,
    EET_KIND_CLOSE,
    EET_KIND_MODE,
    EET_KIND_ADVISE,
    EET_KIND_THREAD,
    EET_KIND_RANDOM,
    EET_KIND_LIST,   /* opendir, readdir */
    EET_KIND_FOLDER, /* mkdir */
    EET_KIND_ANY,
    EET_KINDS
} eet_kind;

typedef struct eet_verdict {
    int error; /* errno of the failure; 0: none */
    bool brief, end, kill, killed, stop;
} eet_verdict;

/* Does `caller`, a return address, lie in the program or in libeet.so? */
bool eet_inject_ours(const void *caller);
/* Counts a call of ours; sets errno when it is to fail. */
eet_verdict eet_inject_judge(eet_kind kind, const void *caller);
void eet_inject_after(eet_verdict verdict);

/* Allocations of ours that nobody has given back. */
uint64_t eet_inject_kept(void);

/* Stores the C library's own function in `variable`, once. */
#define EET_REAL(variable, name)                       \
    do {                                               \
        if ((variable) == NULL) {                      \
            void *found = dlsym(RTLD_NEXT, (name));    \
                                                       \
            memcpy(&(variable), &found, sizeof found); \
        }                                              \
    } while (0)

#endif
