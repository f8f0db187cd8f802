/* suite.c - the main function's body of every test program. */
#include "tests/support/suite.h"

#include <stdlib.h>

#include "tests/support/tmpfile.h"

static void add_claim(TCase *group, const eet_claim *claim) {
    if (claim->setup != NULL || claim->teardown != NULL) {
        tcase_add_checked_fixture(group, claim->setup, claim->teardown);
    }
    tcase_set_timeout(group, claim->timeout);
    if (claim->abort_signal != 0 && claim->rows > 0) {
        tcase_add_loop_test_raise_signal(group, claim->test, claim->abort_signal, 0, claim->rows);
    } else if (claim->abort_signal != 0) {
        tcase_add_test_raise_signal(group, claim->test, claim->abort_signal);
    } else if (claim->rows > 0) {
        tcase_add_loop_exit_test(group, claim->test, claim->exit_code, 0, claim->rows);
    } else {
        tcase_add_exit_test(group, claim->test, claim->exit_code);
    }
}

int eet_suite_run(const char *name, const eet_claim *claims, size_t count) {
    Suite *suite = suite_create(name);

    for (size_t i = 0; i < count; ++i) {
        TCase *group = tcase_create(name);

        add_claim(group, &claims[i]);
        suite_add_tcase(suite, group);
    }
    SRunner *runner = srunner_create(suite);

    eet_tmp_begin();
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    const int run = srunner_ntests_run(runner);

    srunner_free(runner);
    eet_tmp_end();
    return failed == 0 && run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
