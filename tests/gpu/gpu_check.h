/* gpu_check.h - what the files of gpu_check share: its cases, what a case says, its pack.
 *
 * A case runs in a child process with its group. It passes when it comes to its end; what is not as
 * it should be ends the child, and the parent starts another one for the cases that are left. */
#ifndef EET_TESTS_GPU_CHECK_H
#define EET_TESTS_GPU_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/eet.h"

enum { GPU_NAME = 96, GPU_TEXT = 512, GPU_PATH = 1024, GPU_MAX_CASES = 4096 };

typedef struct gpu_case {
    char name[GPU_NAME];  /* "models.gpt2_tiny.f16": begins with its stage */
    char group[GPU_NAME]; /* one process */
    int32_t limit;        /* seconds; a group may take the most that one of its cases says */
    bool quick;           /* belongs to make gpu-quick */
    bool anywhere;        /* runs without a device too */
    void (*run)(const struct gpu_case *);
    char subject[GPU_NAME]; /* a golden, a program */
    int32_t dtype, number;
} gpu_case;

/* What all of this process works on. */
typedef struct gpu_context {
    int32_t device; /* eet_memory_kind */
    char folder[GPU_PATH];
    char program[GPU_PATH];
} gpu_context;

const gpu_context *gpu_here(void);
void gpu_here_set(const gpu_context *context);

/* ---- cases ---------------------------------------------------------------- */

typedef struct gpu_table {
    gpu_case *cases; /* (GPU_MAX_CASES) */
    int32_t count;
} gpu_table;

/* Copies the case behind the others; its group is the name's first two parts where it has none. */
void gpu_table_add(gpu_table *table, gpu_case one);

void gpu_cases_identity(gpu_table *table);
void gpu_cases_ops(gpu_table *table);
void gpu_cases_models(gpu_table *table);
void gpu_cases_searches(gpu_table *table);
void gpu_cases_schedules(gpu_table *table);
void gpu_cases_generate(gpu_table *table);
void gpu_cases_large(gpu_table *table);
void gpu_cases_faults(gpu_table *table);
void gpu_cases_sanitize(gpu_table *table);
void gpu_cases_self(gpu_table *table);

/* ---- what a case says (child.c) ------------------------------------------- */

/* Runs cases one after another and tells the file `report` of each. */
int gpu_child_run(const gpu_table *table, const char *names, const char *report);
/* The file that the running process tells; false when it cannot. A line of fields for the parent.
 */
bool gpu_report_open(const char *report);
void gpu_tell(const char *kind, const char *name, const char *verdict, double seconds,
              const char *detail);
/* driver.c: asks the driver for its device, and tells `report`. */
int gpu_child_probe(const char *report);

_Noreturn void gpu_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void gpu_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For people, behind the verdict. */
void gpu_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A case within the running one: a line of its own. */
void gpu_part(const char *name, const char *verdict, const char *detail);

#define gpu_expect(condition, ...) \
    do {                           \
        if (!(condition)) {        \
            gpu_fail(__VA_ARGS__); \
        }                          \
    } while (0)

/* The call has this status, else its sentence is told. */
#define gpu_call(call, wanted)                                                            \
    do {                                                                                  \
        const eet_status gpu_status = (call);                                             \
                                                                                          \
        gpu_expect(gpu_status == (wanted), "%s gives %s, not %s: %s", #call,              \
                   eet_status_name(gpu_status), eet_status_name(wanted), gpu_error.text); \
    } while (0)

/* ---- other programs (case_ops.c, case_sanitize.c) --------------------------- */

struct dirent;

/* A file of this process, which is not there yet. */
void gpu_name_file(char path[GPU_PATH], const char *what);
/* Is the file beside this program a suite of the ops? */
int gpu_is_suite(const struct dirent *entry);
/* How many tests the TAP of a suite tells of. */
int32_t gpu_tap_tests(const char *path);

/* What a run of compute-sanitizer told. */
typedef struct gpu_complaints {
    bool whole;      /* it looked at everything */
    int32_t excused; /* lines of what it cannot know */
    int32_t count;   /* all others that complain */
    char text[GPU_TEXT];
} gpu_complaints;

/* Reads its output. `unknown`: this version of racecheck does not know a lane that arrives at a
 * barrier for its warp, so that what it says of that form in attend_pages is excused. */
gpu_complaints gpu_complaints_read(const char *path, bool unknown);

/* Starts a program whose output goes to `output`, and gives its exit status (128 + a signal). */
int gpu_program_run(const char *const *arguments, const char *output);

/* ---- what the parent does (parent.c, report.c) ----------------------------- */

typedef struct gpu_wanted {
    const char *only, *stage; /* parts of names; names' beginnings */
    const char *log;          /* NULL: none */
    bool list, quick, resume;
    double budget; /* seconds; 0: none */
} gpu_wanted;

/* Runs what is wanted; main's exit status. */
int gpu_parent_run(const gpu_table *table, const gpu_wanted *wanted);

enum { GPU_PASSED, GPU_FAILED, GPU_SKIPPED, GPU_NOT_REACHED, GPU_VERDICTS };
extern const char *const gpu_verdicts[GPU_VERDICTS];

typedef struct gpu_report {
    char commit[64], card[128], driver[64];
    const char *device; /* "cuda", "cpu" */
    int log;            /* file descriptor, or -1 */
    int32_t counts[GPU_VERDICTS];
} gpu_report;

/* One JSON line. */
void gpu_report_line(gpu_report *report, const char *name, int verdict, double seconds,
                     const char *detail);
/* Has the log a line that says this case passed, of this commit, device and card? */
bool gpu_report_passed(const gpu_report *report, const char *log, const char *name);

/* ---- the driver's word (driver.c) ---------------------------------------------- */

uint64_t gpu_device_free(void); /* bytes; 0 on the CPU */
void *gpu_device_alloc(size_t bytes);
/* Addresses of the device that no memory is at; bytes: a multiple of 2 MiB. */
void *gpu_device_nowhere(size_t bytes);
void gpu_device_read(void *host, const void *device, size_t bytes);

/* ---- memory and numbers ----------------------------------------------------- */

void *gpu_alloc(int64_t count, size_t bytes); /* zeroed; for the life of the process */
uint32_t gpu_random(uint64_t *state, uint32_t below);
double gpu_seconds(void);
/* Relative L2 of `count` values against the truth; NaN counts as infinite. */
double gpu_error_of(const float *ours, const double *truth, int64_t count);
/* How far a dtype may be off (contracts, section 7). */
double gpu_bound(int32_t dtype);
/* How far a result may be off where the real library's own error in that dtype is `theirs`
 * (INFINITY: unknown): the bound and 1.5 times theirs. Where the library itself is over the bound
 * no arithmetic with operands of that dtype is under it (docs/gpu-check.md): then at most what the
 * library is. */
double gpu_most_error(int32_t dtype, double theirs);

#endif
