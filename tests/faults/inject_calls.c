/* inject_calls.c - calls of the system: those of ours can fail or do less than they were asked. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#define CALLER __builtin_return_address(0)

/* A function `name` that goes on to the next of its name, unless it is to fail with `failed`.
 * Programs of ours ask for files with 64-bit offsets: their names end in 64. */
#define STAND_BEFORE(result, name, kind, failed, parameters, arguments)        \
    result name parameters {                                                   \
        static result(*next) parameters;                                       \
        const eet_verdict verdict = eet_inject_judge(EET_KIND_##kind, CALLER); \
                                                                               \
        if (verdict.error != 0) {                                              \
            return failed;                                                     \
        }                                                                      \
        EET_REAL(next, #name);                                                 \
        result got = next arguments;                                           \
                                                                               \
        eet_inject_after(verdict);                                             \
        return got;                                                            \
    }

/* The same for what moves `bytes` bytes. */
#define STAND_BEFORE_MOVING(name, kind, parameters, arguments)                 \
    ssize_t name parameters {                                                  \
        static ssize_t(*next) parameters;                                      \
        const eet_verdict verdict = eet_inject_judge(EET_KIND_##kind, CALLER); \
                                                                               \
        if (verdict.error != 0) {                                              \
            return -1;                                                         \
        }                                                                      \
        if (verdict.end) {                                                     \
            return 0;                                                          \
        }                                                                      \
        if (verdict.brief && bytes > 1) {                                      \
            bytes /= 2;                                                        \
        }                                                                      \
        EET_REAL(next, #name);                                                 \
        const ssize_t got = next arguments;                                    \
                                                                               \
        eet_inject_after(verdict);                                             \
        return got;                                                            \
    }

static mode_t mode_of(int flags, va_list more) {
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

int open64(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    const eet_verdict verdict = eet_inject_judge(EET_KIND_OPEN, CALLER);
    va_list more;

    if (verdict.error != 0) {
        return -1;
    }
    va_start(more, flags);
    const mode_t mode = mode_of(flags, more);

    va_end(more);
    EET_REAL(next, "open64");
    const int got = next(path, flags, mode);

    eet_inject_after(verdict);
    return got;
}

int openat64(int folder, const char *path, int flags, ...) {
    static int (*next)(int, const char *, int, ...);
    const eet_verdict verdict = eet_inject_judge(EET_KIND_OPEN, CALLER);
    va_list more;

    if (verdict.error != 0) {
        return -1;
    }
    va_start(more, flags);
    const mode_t mode = mode_of(flags, more);

    va_end(more);
    EET_REAL(next, "openat64");
    const int got = next(folder, path, flags, mode);

    eet_inject_after(verdict);
    return got;
}

STAND_BEFORE(FILE *, fopen64, OPEN, NULL, (const char *path, const char *mode), (path, mode))
STAND_BEFORE(FILE *, fdopen, OPEN, NULL, (int fd, const char *mode), (fd, mode))
STAND_BEFORE(int, stat64, STAT, -1, (const char *restrict path, struct stat64 *restrict out),
             (path, out))
STAND_BEFORE(int, lstat64, STAT, -1, (const char *restrict path, struct stat64 *restrict out),
             (path, out))
STAND_BEFORE(int, fstat64, STAT, -1, (int fd, struct stat64 *out), (fd, out))
STAND_BEFORE(int, fstatat64, STAT, -1,
             (int fd, const char *restrict path, struct stat64 *restrict out, int flags),
             (fd, path, out, flags))
STAND_BEFORE(char *, realpath, PATH, NULL, (const char *restrict path, char *restrict out),
             (path, out))
STAND_BEFORE_MOVING(readlink, PATH, (const char *path, char *out, size_t bytes), (path, out, bytes))
STAND_BEFORE_MOVING(readlinkat, PATH, (int fd, const char *path, char *out, size_t bytes),
                    (fd, path, out, bytes))

STAND_BEFORE_MOVING(read, READ, (int fd, void *out, size_t bytes), (fd, out, bytes))
STAND_BEFORE_MOVING(pread64, READ, (int fd, void *out, size_t bytes, off64_t at),
                    (fd, out, bytes, at))
STAND_BEFORE_MOVING(write, WRITE, (int fd, const void *data, size_t bytes), (fd, data, bytes))
STAND_BEFORE_MOVING(pwrite64, WRITE, (int fd, const void *data, size_t bytes, off64_t at),
                    (fd, data, bytes, at))

STAND_BEFORE(void *, mmap64, MAP, MAP_FAILED,
             (void *at, size_t bytes, int protection, int flags, int fd, off64_t offset),
             (at, bytes, protection, flags, fd, offset))
STAND_BEFORE(int, fallocate64, RESERVE, -1, (int fd, int mode, off64_t at, off64_t bytes),
             (fd, mode, at, bytes))
STAND_BEFORE(int, ftruncate64, TRUNCATE, -1, (int fd, off64_t bytes), (fd, bytes))
STAND_BEFORE(int, fsync, SYNC, -1, (int fd), (fd))
STAND_BEFORE(int, fdatasync, SYNC, -1, (int fd), (fd))
STAND_BEFORE(int, rename, RENAME, -1, (const char *from, const char *to), (from, to))
STAND_BEFORE(int, renameat, RENAME, -1, (int a, const char *from, int b, const char *to),
             (a, from, b, to))
STAND_BEFORE(int, renameat2, RENAME, -1,
             (int a, const char *from, int b, const char *to, unsigned flags),
             (a, from, b, to, flags))
STAND_BEFORE(int, link, LINK, -1, (const char *from, const char *to), (from, to))
STAND_BEFORE(int, linkat, LINK, -1, (int a, const char *from, int b, const char *to, int flags),
             (a, from, b, to, flags))
STAND_BEFORE(int, unlink, UNLINK, -1, (const char *path), (path))
STAND_BEFORE(int, unlinkat, UNLINK, -1, (int fd, const char *path, int flags), (fd, path, flags))
STAND_BEFORE(int, fchmod, MODE, -1, (int fd, mode_t mode), (fd, mode))
STAND_BEFORE(int, mkdir, FOLDER, -1, (const char *path, mode_t mode), (path, mode))
STAND_BEFORE(int, mkdirat, FOLDER, -1, (int fd, const char *path, mode_t mode), (fd, path, mode))
STAND_BEFORE(int, madvise, ADVISE, -1, (void *at, size_t bytes, int advice), (at, bytes, advice))
STAND_BEFORE(int, flock, ADVISE, -1, (int fd, int how), (fd, how))
STAND_BEFORE(int, sync_file_range, ADVISE, -1, (int fd, off64_t at, off64_t bytes, unsigned flags),
             (fd, at, bytes, flags))
STAND_BEFORE(int, sched_getaffinity, ADVISE, -1, (pid_t pid, size_t bytes, cpu_set_t *out),
             (pid, bytes, out))
STAND_BEFORE_MOVING(getrandom, RANDOM, (void *out, size_t bytes, unsigned flags),
                    (out, bytes, flags))
STAND_BEFORE(DIR *, opendir, LIST, NULL, (const char *path), (path))
STAND_BEFORE(DIR *, fdopendir, LIST, NULL, (int fd), (fd))
STAND_BEFORE(struct dirent64 *, readdir64, LIST, NULL, (DIR * folder), (folder))

/* The descriptor is closed all the same, as Linux does it. */
int close(int fd) {
    static int (*next)(int);
    const eet_verdict verdict = eet_inject_judge(EET_KIND_CLOSE, CALLER);

    EET_REAL(next, "close");
    const int got = next(fd);

    eet_inject_after(verdict);
    if (verdict.error != 0) {
        errno = verdict.error;
        return -1;
    }
    return got;
}

/* Not of a stream in memory, which has no descriptor. */
int fclose(FILE *stream) {
    static int (*next)(FILE *);
    const bool is_file = fileno(stream) >= 0;
    const eet_verdict verdict =
        is_file ? eet_inject_judge(EET_KIND_CLOSE, CALLER) : (eet_verdict){0};

    EET_REAL(next, "fclose");
    const int got = next(stream);

    eet_inject_after(verdict);
    if (verdict.error != 0) {
        errno = verdict.error;
        return EOF;
    }
    return got;
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict attributes,
                   void *(*work)(void *), void *restrict argument) {
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    const eet_verdict verdict = eet_inject_judge(EET_KIND_THREAD, CALLER);

    if (verdict.error != 0) {
        return verdict.error;
    }
    EET_REAL(next, "pthread_create");
    return next(thread, attributes, work, argument);
}
