/* test_kv.c - typed metadata: what the builder writes is read back, what breaks a rule
 * is refused. */
#include <stdlib.h>
#include <string.h>

#include "format/kv.h"
#include "tests/support/suite.h"

static uint8_t *sample(uint64_t *bytes) {
    static const char *const words[] = {"one", "", "drei"};
    eet_kv_builder *b = eet_kv_builder_create();
    uint8_t *block = NULL;

    eet_kv_set_string(b, "b.text", EET_KV_REQUIRED, "caf\xC3\xA9");
    eet_kv_set_i64(b, "a.number", EET_KV_REQUIRED, -7);
    eet_kv_set_bool(b, "flag", 0, true);
    eet_kv_set_f64(b, "eps", 0, 1e-12);
    eet_kv_set_strings(b, "words", 0, words, 3);
    ck_assert_int_eq(eet_kv_build(b, &block, bytes, NULL), EET_OK);
    eet_kv_builder_free(b);
    return block;
}

START_TEST(values_are_read_back)
{
    uint64_t bytes = 0;
    uint8_t *block = sample(&bytes);
    eet_kv_view view;
    eet_kv entry;
    int64_t number = 0;
    double eps = 0;
    uint32_t length = 0;

    ck_assert_int_eq(eet_kv_open(block, bytes, 0, &view, NULL), EET_OK);
    ck_assert_uint_eq(view.count, 5);
    ck_assert(eet_kv_find(&view, "a.number", &entry) && eet_kv_i64(&entry, &number));
    ck_assert_int_eq(number, -7);
    ck_assert(eet_kv_find(&view, "eps", &entry) && eet_kv_f64(&entry, &eps));
    ck_assert(eps == 1e-12);
    ck_assert(eet_kv_find(&view, "words", &entry));
    ck_assert_uint_eq(eet_kv_length(&entry), 3);
    const char *last = eet_kv_string_item(&entry, 2, &length);

    ck_assert_uint_eq(length, 4);
    ck_assert_mem_eq(last, "drei", 4);
    ck_assert(!eet_kv_find(&view, "absent", &entry));
    eet_kv_close(&view);
    free(block);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
    uint64_t bytes = 0;
    uint8_t *block = sample(&bytes);
    eet_kv_view view;

    for (uint64_t cut = 0; cut < bytes; cut++) {
        uint8_t *shorter = malloc((size_t)cut + 1); /* so that a sanitizer sees its end */

        memcpy(shorter, block, (size_t)cut);
        ck_assert_int_eq(eet_kv_open(shorter, cut, 0, &view, NULL), EET_E_CORRUPT);
        free(shorter);
    }
    free(block);
}
END_TEST

START_TEST(a_key_set_twice_is_refused)
{
    eet_kv_builder *b = eet_kv_builder_create();
    uint8_t *block = NULL;
    uint64_t bytes = 0;

    eet_kv_set_i64(b, "same", 0, 1);
    eet_kv_set_i64(b, "same", 0, 2);
    ck_assert_int_eq(eet_kv_build(b, &block, &bytes, NULL), EET_E_ARGUMENT);
    eet_kv_builder_free(b);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = values_are_read_back},
        {.test = every_truncation_is_refused},
        {.test = a_key_set_twice_is_refused},
    };

    return eet_suite_run("kv", claims, sizeof claims / sizeof *claims);
}
