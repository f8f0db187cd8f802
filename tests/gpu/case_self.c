/* case_self.c - cases for the test of gpu_check itself, run when they are named alone: every way a
 * case can end. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
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

void gpu_cases_self(gpu_table *table) {
    static const struct {
        const char *name;
        void (*run)(const gpu_case *);
        int32_t limit;
    } rows[] = {
        {"self.one.passes", run_passes, 60},   {"self.one.fails", run_fails, 60},
        {"self.one.after", run_passes, 60},    {"self.one.crashes", run_crashes, 60},
        {"self.one.skips", run_skips, 60},     {"self.one.leaves", run_leaves, 60},
        {"self.one.last", run_passes, 60},     {"self.two.before", run_passes, 1},
        {"self.two.hangs", run_hangs, 1},      {"self.two.behind", run_passes, 1},
        {"self.three.passes", run_passes, 60}, {"self.four.limits", run_limits, 60},
    };

    for (int32_t i = 0; i < (int32_t)(sizeof rows / sizeof *rows); ++i) {
        gpu_case one = {.run = rows[i].run, .limit = rows[i].limit};

        (void)snprintf(one.name, sizeof one.name, "%s", rows[i].name);
        gpu_table_add(table, one);
    }
}
