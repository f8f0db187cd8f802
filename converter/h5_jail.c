/* h5_jail.c - a process for a library that has met hostile files before: it has one file to
 * read, one pipe to write, little memory and little time, and no other call of the system. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "converter/h5_wire.h"

enum { FILE_FD = 3, PIPE_FD = 4, MEMORY = 1 << 30 };

/* A sanitizer reserves more addresses than any limit allows, and makes calls of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
enum { SANITIZED = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) };
#else
enum { SANITIZED = 0 };
#endif

/* Of the processor: the library can be made to turn in circles. */
enum { SECONDS = SANITIZED ? 8 : 5 };

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH
#define ALLOW(call)                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Memory, the two descriptors, the clock and the end. Everything else fails with EPERM: the
 * library takes that as it takes any error. Where the kernel has no filters, the limits and the
 * closed descriptors are what is left. */
static void forbid_calls(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(pread64),
        ALLOW(write),
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(brk),
        ALLOW(futex),
        ALLOW(clock_gettime),
        ALLOW(gettimeofday),
        ALLOW(getpid),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(exit),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
#else
static void forbid_calls(void) {}
#endif

static void limit(__rlimit_resource_t what, rlim_t most) {
    struct rlimit is = {0};

    if (getrlimit(what, &is) == 0) {
        is.rlim_max = is.rlim_max < most ? is.rlim_max : most;
        is.rlim_cur = is.rlim_max;
        (void)setrlimit(what, &is);
    }
}

static void close_rest(void) {
    enum { MOST = 65536 };

    if (syscall(SYS_close_range, PIPE_FD + 1, ~0U, 0) != 0) { /* before Linux 5.9 */
        for (int fd = PIPE_FD + 1; fd < MOST; fd++) {
            (void)close(fd);
        }
    }
}

/* Both descriptors get their numbers, and the others go. */
static bool keep_two(int file, int out) {
    const int high_file = fcntl(file, F_DUPFD, PIPE_FD + 1);
    const int high_out = fcntl(out, F_DUPFD, PIPE_FD + 1);

    if (high_file < 0 || high_out < 0 || dup2(high_file, FILE_FD) < 0 ||
        dup2(high_out, PIPE_FD) < 0) {
        return false;
    }
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (int fd = 0; nothing >= 0 && fd < FILE_FD; fd++) {
        (void)dup2(nothing, fd);
    }
    close_rest();
    return nothing >= 0;
}

static _Noreturn void run_child(int file, uint64_t bytes, int out) {
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGSEGV,
                                 SIGBUS, SIGFPE,  SIGILL, SIGABRT, SIGXCPU};

    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        (void)signal(caught[i], SIG_DFL); /* what they clean up is their parent's */
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (!keep_two(file, out)) {
        _exit(1);
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, SECONDS);
    limit(RLIMIT_NOFILE, PIPE_FD + 1);
    limit(RLIMIT_FSIZE, 0);
    if (!SANITIZED) {
        limit(RLIMIT_AS, MEMORY);
        forbid_calls();
    }
    eet_h5_parse(FILE_FD, bytes, PIPE_FD);
    _exit(0);
}

eet_status eet_h5_start(int file, uint64_t bytes, eet_h5_child *out, eet_error *err) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return eet_fail_errno(err, errno, "no pipe for parsing HDF5");
    }
    const pid_t pid = fork();

    if (pid == 0) {
        run_child(file, bytes, ends[1]);
    }
    const int number = errno;

    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return eet_fail_errno(err, number, "no process for parsing HDF5");
    }
    *out = (eet_h5_child){.pid = pid, .from = ends[0]};
    return EET_OK;
}

eet_status eet_h5_end(eet_h5_child *child, eet_status so_far, eet_error *err) {
    int how = 0;

    (void)close(child->from);
    if (so_far == EET_E_LIMIT || so_far == EET_OK) {
        (void)kill(child->pid, SIGKILL); /* of a good one: it has nothing more to say */
    }
    while (waitpid(child->pid, &how, 0) < 0 && errno == EINTR) {
    }
    if (so_far != EET_E_CORRUPT || !WIFSIGNALED(how)) {
        return so_far;
    }
    const int number = WTERMSIG(how);

    if (number == SIGPIPE) { /* we stopped to listen */
        return so_far;
    }
    eet_error_clear(err); /* it knew no more than that the pipe was closed */
    if (number == SIGXCPU || number == SIGKILL) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "parsing the HDF5 file takes too long, or was ended; it may be made to");
    }
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                    "the HDF5 library crashed on the file (signal %d)", number);
}
