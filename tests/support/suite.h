/* suite.h - runs the claims of one test program under Check.
 *
 *   int main(void) {
 *       const eet_claim claims[] = {
 *           {.test = open_reports_a_short_file},
 *           {.test = decode_gives_the_expected_value, .rows = row_count},
 *       };
 *       return eet_suite_run("reader", claims, sizeof claims / sizeof *claims);
 *   }
 *
 * Each claim runs in a process of its own (Check forks), so a crash or a leak is
 * charged to the claim that made it. A claim with rows runs once a row, with the
 * row's number in Check's `_i`. */
#ifndef EET_TESTS_SUPPORT_SUITE_H
#define EET_TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stddef.h>

typedef struct eet_claim {
    const TTest *test;
    int rows;         /* 0: once */
    double timeout;   /* seconds for each row; 0: CTest's limit alone */
    SFun setup;       /* runs before each row, in the claim's process; may be NULL */
    SFun teardown;    /* runs after it; may be NULL */
    int exit_code;    /* the claim passes when its process exits with this */
    int abort_signal; /* the claim passes when its process dies of this signal; 0: none */
} eet_claim;

/* Runs all claims and gives main's exit status. */
int eet_suite_run(const char *name, const eet_claim *claims, size_t count);

#endif
