/* test_plugin.c - what is not a backend of this build is refused, in words. */
#include <string.h>

#include "kernels/backend.h"
#include "tests/support/suite.h"

START_TEST(a_plugin_of_another_build_is_refused_and_both_digests_named)
{
    const eet_backend_api *api = NULL;
    eet_error error = {0};

    ck_assert_int_eq(eet_plugin_load(EET_WRONG_PLUGIN, &api, &error), EET_E_DEVICE);
    ck_assert_ptr_null(api);
    ck_assert_int_eq(error.status, EET_E_DEVICE);
    ck_assert_ptr_nonnull(strstr(error.text, EET_WRONG_PLUGIN " is of another build"));
    ck_assert_ptr_nonnull(strstr(error.text, "interface 0123abcd, against " EET_INTERFACE));
}
END_TEST

START_TEST(what_is_no_plugin_is_refused)
{
    const eet_backend_api *api = NULL;
    eet_error error = {0};

    ck_assert_int_eq(eet_plugin_load("libm.so.6", &api, &error), EET_E_DEVICE);
    ck_assert_str_eq(error.text, "libm.so.6 is not a backend of EET");
    ck_assert_int_eq(eet_plugin_load("/nowhere/libeet_cuda.so", &api, &error), EET_E_DEVICE);
    ck_assert_ptr_nonnull(strstr(error.text, "/nowhere/libeet_cuda.so cannot be loaded: "));
    ck_assert_int_eq(eet_plugin_load("/nowhere/libeet_cuda.so", &api, NULL), EET_E_DEVICE);
    ck_assert_ptr_null(api);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_plugin_of_another_build_is_refused_and_both_digests_named},
        {.test = what_is_no_plugin_is_refused},
    };

    return eet_suite_run("plugin", claims, sizeof claims / sizeof *claims);
}
