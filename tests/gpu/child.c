/* child.c - a group's process: runs cases, tells each verdict, ends at the first that fails. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

/* The running case. */
static struct {
    int report;
    const gpu_case *one;
    double begun;
    char note[GPU_TEXT];
} running = {.report = -1};

double gpu_seconds(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A line of fields between tabs; what is within a field is one line without tabs. */
void gpu_tell(const char *kind, const char *name, const char *verdict, double seconds,
              const char *detail) {
    char line[2 * GPU_TEXT];
    int length = snprintf(line, sizeof line - 1, "%s\t%s\t%s\t%.3f\t%.*s", kind, name, verdict,
                          seconds, GPU_TEXT, detail);

    length = length < (int)sizeof line - 1 ? length : (int)sizeof line - 2;
    for (char *c = line + length - (int)strlen(detail); c >= line && c < line + length; ++c) {
        *c = (char)(*c == '\n' || *c == '\t' ? ' ' : *c);
    }
    line[length++] = '\n';
    if (write(running.report, line, (size_t)length) != length) {
        _exit(3); /* nobody hears it: not told is not passed */
    }
}

static void end_case(const char *verdict, const char *detail) {
    gpu_tell("end", running.one->name, verdict, gpu_seconds() - running.begun, detail);
}

void gpu_fail(const char *format, ...) {
    char text[GPU_TEXT];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    end_case("failed", text);
    _exit(1);
}

void gpu_skip(const char *format, ...) {
    char text[GPU_TEXT];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    end_case("skipped", text);
    _exit(0);
}

void gpu_note(const char *format, ...) {
    const size_t used = strlen(running.note);
    va_list args;

    va_start(args, format);
    if (used + 3 < sizeof running.note) {
        (void)strcpy(running.note + used, used > 0 ? ", " : "");
        (void)vsnprintf(running.note + used + (used > 0 ? 2 : 0),
                        sizeof running.note - used - (used > 0 ? 2 : 0), format, args);
    }
    va_end(args);
}

void gpu_part(const char *name, const char *verdict, const char *detail) {
    gpu_tell("end", name, verdict, 0, detail);
}

bool gpu_report_open(const char *report) {
    running.report = open(report, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* no child outlives who waits for it */
    return running.report >= 0;
}

static bool is_named(const char *names, const char *name) {
    const size_t length = strlen(name);
    const char *at = names;

    while ((at = strstr(at, name)) != NULL) {
        if ((at == names || at[-1] == ',') && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
        at += length;
    }
    return false;
}

int gpu_child_run(const gpu_table *table, const char *names, const char *report) {
    if (!gpu_report_open(report)) {
        return 3;
    }
    for (int32_t i = 0; i < table->count; ++i) {
        running.one = &table->cases[i];
        if (is_named(names, running.one->name)) {
            running.note[0] = '\0';
            running.begun = gpu_seconds();
            gpu_tell("begin", running.one->name, "", 0, "");
            running.one->run(running.one);
            end_case("passed", running.note);
        }
    }
    return 0;
}

/* ---- other programs --------------------------------------------------------- */

int gpu_program_run(const char *const *arguments, const char *output) {
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        const int file = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (file >= 0 && dup2(file, STDOUT_FILENO) >= 0 && dup2(file, STDERR_FILENO) >= 0) {
            (void)execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        }
        _exit(127);
    }
    gpu_expect(child > 0, "no process for %s", arguments[0]);
    while (waitpid(child, &status, 0) < 0) {
        gpu_expect(errno == EINTR, "%s cannot be waited for", arguments[0]);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- memory and numbers ------------------------------------------------------ */

void *gpu_alloc(int64_t count, size_t bytes) {
    void *memory = calloc((size_t)count + 1, bytes);

    gpu_expect(memory != NULL, "no memory for %lld numbers", (long long)count);
    return memory;
}

uint32_t gpu_random(uint64_t *state, uint32_t below) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

double gpu_error_of(const float *ours, const double *truth, int64_t count) {
    double off = 0;
    double whole = 0;

    for (int64_t i = 0; i < count; ++i) {
        const double d = (double)ours[i] - truth[i];

        off += d * d;
        whole += truth[i] * truth[i];
    }
    const double error = sqrt(off / whole);

    return error == error ? error : INFINITY;
}

double gpu_bound(int32_t dtype) {
    return dtype == EET_F32 ? 1e-5 : dtype == EET_F16 ? 4e-3 : 2e-2;
}

double gpu_most_error(int32_t dtype, double theirs) {
    const double bound = gpu_bound(dtype);

    return isfinite(theirs) && theirs > bound ? theirs : fmin(bound, 1.5 * theirs);
}
