/* case_self.c - cases for the test of gpu_check itself, run when they are named alone: every way a
 * case can end. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

static void run_passes(const gpu_case *one) {
    gpu_note("number %d", one->number);
}

static void run_fails(const gpu_case *one) {
    gpu_expect(one->number < 0, "a \"reason\"\nin two lines");
}

static void run_skips(const gpu_case *one) {
    gpu_skip("case %d has nothing to do here", one->number);
}

static void run_crashes(const gpu_case *one) {
    (void)one;
    (void)raise(SIGSEGV);
}

static void run_leaves(const gpu_case *one) {
    _exit(one->number); /* with no word, and the status of success */
}

static void run_hangs(const gpu_case *one) {
    (void)one;
    for (;;) {
        (void)pause();
    }
}

/* How far a result may be off, by its dtype and the library's own error. */
static void run_limits(const gpu_case *one) {
    static const struct {
        int32_t dtype;
        double theirs, most;
    } rows[] = {
        {EET_BF16, INFINITY, 2e-2}, /* unknown */
        {EET_BF16, 1e-2, 1.5e-2},   {EET_BF16, 1.99e-2, 2e-2}, {EET_BF16, 2e-2, 2e-2},
        {EET_BF16, 3.3e-2, 3.3e-2}, {EET_F16, 4e-3, 4e-3},     {EET_F16, 4.1e-3, 4.1e-3},
        {EET_F16, 1e-3, 1.5e-3},    {EET_F32, 9e-6, 1e-5},     {EET_F32, 2e-7, 3e-7},
    };

    (void)one;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        const double most = gpu_most_error(rows[i].dtype, rows[i].theirs);

        gpu_expect(fabs(most - rows[i].most) <= 1e-12, "row %zu: at most %g, should be %g", i, most,
                   rows[i].most);
    }
}

/* What racecheck 2025.3 said of attend_pages, line for line, and after it `more`. */
static gpu_complaints read_said(const char *more, bool unknown) {
    static const char said[] =
        "========= COMPUTE-SANITIZER\n"
        "========= Error: Race reported between Write access at void <unnamed>::attend_pages<"
        "lanes_of<f16, (int)4>>(eet_attention_args, int, int, bool)+0x7060\n"
        "=========     and Read access at void <unnamed>::attend_pages<lanes_of<f16, (int)4>>("
        "eet_attention_args, int, int, bool)+0x7c50 [1872 hazards]\n"
        "========= \n"
        "========= Potential invalid __shared__ read of size 4 bytes\n"
        "=========     at void <unnamed>::attend_pages<lanes_of<f16, (int)4>>(eet_attention_args, "
        "int, int, bool)+0x7700\n"
        "=========     by thread (0,0,0) in block (0,0,0)\n"
        "=========     Address 0x4002520 is located in a block that might have already exited\n"
        "========= \n";
    char path[GPU_PATH];

    gpu_name_file(path, "said");
    FILE *file = fopen(path, "w");

    gpu_expect(file != NULL && fputs(said, file) >= 0 && fputs(more, file) >= 0 &&
                   fclose(file) == 0,
               "%s cannot be written", path);
    const gpu_complaints c = gpu_complaints_read(path, unknown);

    (void)unlink(path);
    return c;
}

/* Of these lines nothing is excused but what racecheck cannot know. */
static void run_complaints(const gpu_case *one) {
    static const char summary[] = "========= RACECHECK SUMMARY: 3 hazards displayed (9 errors, 0 "
                                  "warnings)\n";
    static const char *const others[] = {
        "========= Error: Race reported between Write access at void <unnamed>::in_turn<(bool)0>("
        "float *)+0xb0\n",
        "=========     and Read access at void <unnamed>::in_turn<(bool)0>(float *)+0xc0 [9 "
        "hazards]\n",
        "=========     and Write access at void <unnamed>::attend_pages<lanes_of<f16, (int)4>>("
        "int)+0xc0 [9 hazards]\n",
        "=========     at void <unnamed>::attend_pages_too<lanes_of<f16, (int)4>>(int)+0xc0\n",
        "========= Potential invalid __shared__ write of size 4 bytes\n",
        "=========     Address 0x40 is located in a block that might not have entered yet\n",
        "========= Invalid __global__ read of size 4 bytes\n",
        "========= Internal Sanitizer Error: The Sanitizer failed to handle an exception.\n",
    };
    gpu_complaints c = read_said(summary, true);

    (void)one;
    gpu_expect(c.whole && c.count == 0 && c.excused == 7, "%d excused, %d not", c.excused, c.count);
    c = read_said(summary, false);
    gpu_expect(!c.whole && c.count == 7 && c.excused == 0, "%d excused, %d not", c.excused,
               c.count);
    c = read_said("", true);
    gpu_expect(!c.whole && c.count == 0, "without an end it is whole");
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
        c = read_said(others[i], true);
        gpu_expect(c.count == 1 && strstr(others[i], c.text) != NULL, "other %zu: %d, \"%s\"", i,
                   c.count, c.text);
    }
}

void gpu_cases_self(gpu_table *table) {
    static const struct {
        const char *name;
        void (*run)(const gpu_case *);
        int32_t limit;
    } rows[] = {
        {"self.one.passes", run_passes, 60},
        {"self.one.fails", run_fails, 60},
        {"self.one.after", run_passes, 60},
        {"self.one.crashes", run_crashes, 60},
        {"self.one.skips", run_skips, 60},
        {"self.one.leaves", run_leaves, 60},
        {"self.one.last", run_passes, 60},
        {"self.two.before", run_passes, 1},
        {"self.two.hangs", run_hangs, 1},
        {"self.two.behind", run_passes, 1},
        {"self.three.passes", run_passes, 60},
        {"self.four.limits", run_limits, 60},
        {"self.four.complaints", run_complaints, 60},
    };

    for (int32_t i = 0; i < (int32_t)(sizeof rows / sizeof *rows); ++i) {
        gpu_case one = {.run = rows[i].run, .limit = rows[i].limit};

        (void)snprintf(one.name, sizeof one.name, "%s", rows[i].name);
        gpu_table_add(table, one);
    }
}
