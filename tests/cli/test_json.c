/* test_json.c - JSON is read strictly and written so that it reads back. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/json.h"
#include "tests/support/suite.h"

static eet_json *parse_good(const char *text) {
    eet_error err = {0};
    eet_json *root = NULL;

    ck_assert_msg(eet_json_parse(text, strlen(text), &root, &err) == EET_OK, "%s: %s", text,
                  err.text);
    return root;
}

/* ---- reading ------------------------------------------------------------ */

static const struct {
    const char *text;
    eet_json_kind kind;
    double value;
} numbers[] = {
    {"0", EET_JSON_INTEGER, 0},
    {"-0", EET_JSON_INTEGER, 0},
    {"12", EET_JSON_INTEGER, 12},
    {"9223372036854775807", EET_JSON_INTEGER, 9223372036854775807.0},
    {"-9223372036854775808", EET_JSON_INTEGER, -9223372036854775808.0},
    {"9223372036854775808", EET_JSON_REAL, 9223372036854775808.0},
    {"18446744073709551616", EET_JSON_REAL, 18446744073709551616.0},
    {"1000000000000000019884624838656", EET_JSON_REAL, 1e30},
    {"-1000000000000000019884624838656", EET_JSON_REAL, -1e30},
    {"1e3", EET_JSON_REAL, 1000},
    {"1E+3", EET_JSON_REAL, 1000},
    {"12.0", EET_JSON_REAL, 12},
    {"-0.0", EET_JSON_REAL, -0.0},
    {"1e-5", EET_JSON_REAL, 1e-5},
};

START_TEST(a_number_without_point_and_exponent_that_fits_is_an_integer)
{
    eet_json *root = parse_good(numbers[_i].text);
    int64_t integer = 7;
    double real = 7;

    ck_assert_int_eq(eet_json_kind_of(root), numbers[_i].kind);
    ck_assert_int_eq(eet_json_as_integer(root, &integer), numbers[_i].kind == EET_JSON_INTEGER);
    ck_assert(eet_json_as_real(root, &real));
    ck_assert(real == numbers[_i].value);
    ck_assert_int_eq(signbit(real) != 0, signbit(numbers[_i].value) != 0);
    eet_json_free(root);
}
END_TEST

static const struct {
    const char *text;
    size_t bytes; /* 0: strlen */
    eet_status status;
    uint64_t offset;
} wrong[] = {
    {"", 0, EET_E_CORRUPT, 0},
    {"{\"a\": 1, \"a\": 2}", 0, EET_E_CORRUPT, 9},
    {"{\"a\": {\"b\": 1, \"b\": 1}}", 0, EET_E_CORRUPT, 15},
    {"[1, 2] x", 0, EET_E_CORRUPT, 7},
    {"[1, 2", 0, EET_E_CORRUPT, 5},
    {"[1,]", 0, EET_E_CORRUPT, 3},
    {"[01]", 0, EET_E_CORRUPT, 1},
    {"[1.]", 0, EET_E_CORRUPT, 1},
    {"[.5]", 0, EET_E_CORRUPT, 1},
    {"[+1]", 0, EET_E_CORRUPT, 1},
    {"[NaN]", 0, EET_E_CORRUPT, 1},
    {"[Infinity]", 0, EET_E_CORRUPT, 1},
    {"['a']", 0, EET_E_CORRUPT, 1},
    {"[1e999]", 0, EET_E_CORRUPT, 1},
    {"{a: 1}", 0, EET_E_CORRUPT, 1},
    {"[1 /* c */]", 0, EET_E_CORRUPT, 3},
    {"\xEF\xBB\xBF{}", 0, EET_E_CORRUPT, 0},
    {"[\"\xC3\x28\"]", 0, EET_E_CORRUPT, 2},
    {"[\"\xED\xA0\x80\"]", 0, EET_E_CORRUPT, 2},
    {"[\"\\ud800\"]", 0, EET_E_CORRUPT, 1},
    {"[\"\\x41\"]", 0, EET_E_CORRUPT, 4},
    {"[\"a\nb\"]", 0, EET_E_CORRUPT, 3},
    {"[\"a\\u0000b\"]", 0, EET_E_CORRUPT, 1},
    {"{\"a\\u0000b\": 1}", 0, EET_E_CORRUPT, 1},
    {"[1]\0", 4, EET_E_CORRUPT, 3},
    {"[\"a\0b\"]", 7, EET_E_CORRUPT, 3},
    {"[\"abc", 0, EET_E_CORRUPT, 5},
    {"[\"abc\\", 0, EET_E_CORRUPT, 6},
    {"[18446744073709551616, 18446744073709551616 x]", 0, EET_E_CORRUPT, 44},
};

START_TEST(malformed_json_is_refused_near_the_byte_at_fault)
{
    const char *text = wrong[_i].text;
    const size_t bytes = wrong[_i].bytes != 0 ? wrong[_i].bytes : strlen(text);
    char *exact = malloc(bytes + 1); /* ASan sees a read past the end */
    eet_error err = {0};
    eet_json *root = NULL;

    memcpy(exact, text, bytes);
    exact = realloc(exact, bytes == 0 ? 1 : bytes);
    ck_assert_int_eq(eet_json_parse(exact, bytes, &root, &err), wrong[_i].status);
    ck_assert_ptr_null(root);
    ck_assert_msg(err.offset <= bytes, "%s: offset %llu of %zu", text,
                  (unsigned long long)err.offset, bytes);
    ck_assert_msg(err.offset == wrong[_i].offset, "%s: offset %llu, expected %llu (%s)", text,
                  (unsigned long long)err.offset, (unsigned long long)wrong[_i].offset, err.text);
    free(exact);
}
END_TEST

static void nest(char *out, int depth) {
    for (int i = 0; i < depth; i++) {
        out[i] = '[';
        out[2 * depth - 1 - i] = ']';
    }
    out[2 * depth] = '\0';
}

START_TEST(nesting_64_deep_is_read_and_65_is_beyond_the_limit)
{
    char text[300];
    eet_error err = {0};
    eet_json *root = NULL;

    nest(text, 64);
    eet_json_free(parse_good(text));
    nest(text, 65);
    ck_assert_int_eq(eet_json_parse(text, strlen(text), &root, &err), EET_E_LIMIT);
    ck_assert_uint_eq(err.offset, 64);
}
END_TEST

START_TEST(a_million_brackets_are_refused_without_recursion)
{
    enum { MANY = 1000000 };
    char *text = malloc(MANY);
    eet_json *root = NULL;

    memset(text, '[', MANY);
    ck_assert_int_eq(eet_json_parse(text, MANY, &root, NULL), EET_E_LIMIT);
    memset(text, ']', MANY);
    ck_assert_int_eq(eet_json_parse(text, MANY, &root, NULL), EET_E_CORRUPT);
    free(text);
}
END_TEST

START_TEST(brackets_and_numbers_inside_strings_are_text)
{
    char text[400] = "[\"";
    eet_json *root = NULL;
    uint64_t bytes = 0;

    memset(text + 2, '[', 100);
    memcpy(text + 102, "99999999999999999999\\\"[]{}\"]", 29);
    root = parse_good(text);
    ck_assert_ptr_nonnull(eet_json_as_string(eet_json_item(root, 0), &bytes));
    ck_assert_uint_eq(bytes, 100 + 20 + 1 + 4);
    eet_json_free(root);
}
END_TEST

START_TEST(members_come_in_the_order_of_the_text)
{
    static const char *const keys[] = {"z", "a", "m", "", "b"};
    eet_json *root = parse_good("{\"z\":1,\"a\":true,\"m\":null,\"\":\"x\",\"b\":[1,2]}");
    eet_json_iterator it = eet_json_members(root);
    const char *key = NULL;
    const eet_json *value = NULL;
    uint64_t bytes = 0;
    int i = 0;

    ck_assert_uint_eq(eet_json_length(root), 5);
    for (; eet_json_next(&it, &key, &bytes, &value); i++) {
        ck_assert_str_eq(key, keys[i]);
        ck_assert_uint_eq(bytes, strlen(keys[i]));
        ck_assert_ptr_eq(value, eet_json_get(root, key));
    }
    ck_assert_int_eq(i, 5);
    ck_assert_uint_eq(eet_json_length(eet_json_get(root, "b")), 2);
    ck_assert_ptr_null(eet_json_item(eet_json_get(root, "b"), 2));
    eet_json_free(root);
}
END_TEST

START_TEST(a_look_at_a_value_of_another_kind_says_no)
{
    eet_json *root = parse_good("[null, true, 1, 1.5, \"s\", [], {}]");
    bool flag = false;
    int64_t integer = 0;
    double real = 0;

    for (uint64_t i = 0; i < 7; i++) {
        const eet_json *value = eet_json_item(root, i);

        ck_assert_uint_eq(eet_json_kind_of(value), i);
        ck_assert_int_eq(eet_json_as_bool(value, &flag), i == EET_JSON_BOOL);
        ck_assert_int_eq(eet_json_as_integer(value, &integer), i == EET_JSON_INTEGER);
        ck_assert_int_eq(eet_json_as_real(value, &real),
                         i == EET_JSON_INTEGER || i == EET_JSON_REAL);
        ck_assert_int_eq(eet_json_as_string(value, NULL) != NULL, i == EET_JSON_STRING);
        ck_assert_ptr_null(eet_json_get(value, "x"));
        ck_assert_ptr_null(eet_json_item(value, 0));
        ck_assert_uint_eq(eet_json_length(value), 0);
    }
    ck_assert(flag && integer == 1 && real == 1.5);
    eet_json_free(root);
}
END_TEST

/* ---- writing ------------------------------------------------------------ */

static char *written(eet_json *root, bool one_line) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    eet_error err = {0};

    ck_assert_msg(eet_json_write(root, stream, one_line, &err) == EET_OK, "%s", err.text);
    (void)fclose(stream);
    return text;
}

START_TEST(a_document_is_written_indented_or_on_one_line)
{
    for (int one_line = 0; one_line < 2; one_line++) {
        eet_json *root = eet_json_object();
        eet_json *shape = eet_json_array();
        eet_json *list = eet_json_array();

        eet_json_append_integer(shape, 2);
        eet_json_append_integer(shape, INT64_MIN);
        eet_json_append_real(shape, 1e-5);
        eet_json_append_real(shape, 1.0);
        eet_json_set(root, "shape", shape);
        eet_json_append(list, eet_json_object());
        eet_json_set(root, "list", list);
        eet_json_set_string(root, "none", NULL);
        eet_json_set_real(root, "nan", NAN);
        eet_json_set_bool(root, "yes", true);
        char *text = written(root, one_line == 1);

        ck_assert_str_eq(
            text, one_line == 1
                      ? "{\"shape\": [2, -9223372036854775808, 1e-05, 1.0], \"list\": [{}], "
                        "\"none\": null, \"nan\": null, \"yes\": true}\n"
                      : "{\n  \"shape\": [2, -9223372036854775808, 1e-05, 1.0],\n  \"list\": [\n"
                        "    {}\n  ],\n  \"none\": null,\n  \"nan\": null,\n  \"yes\": true\n}\n");
        free(text);
    }
}
END_TEST

START_TEST(control_characters_never_reach_the_output_raw)
{
    eet_json *root = eet_json_object();

    eet_json_set_string(root, "k\x1b",
                        "\x1b[31m\x7f\xC2\x9B\xE2\x80\xAE\"\\\n\t\xF3\xA0\x81\x81 \xC3\xA9");
    char *text = written(root, true);

    ck_assert_str_eq(text, "{\"k\\u001b\": \"\\u001b[31m\\u007f\\u009b\\u202e\\\"\\\\\\n\\t"
                           "\\udb40\\udc41 \xC3\xA9\"}\n");
    free(text);
}
END_TEST

START_TEST(what_is_not_utf8_is_written_as_replacement_characters)
{
    eet_json *root = eet_json_array();

    eet_json_append_string(root, "a\xFF\xC3(");
    char *text = written(root, true);

    ck_assert_str_eq(text, "[\"a\\ufffd\\ufffd(\"]\n");
    free(text);
}
END_TEST

START_TEST(every_real_reads_back_as_itself)
{
    static const double values[] = {0.1,      1.0 / 3, 1e-5, 1e300,     DBL_MIN, DBL_MAX,
                                    -DBL_MAX, 5e-324,  1e15, 123456789, 0.125,   -2.5};
    eet_json *root = eet_json_array();

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        eet_json_append_real(root, values[i]);
    }
    char *text = written(root, true);
    eet_json *back = parse_good(text);

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double value = 0;

        ck_assert_int_eq(eet_json_kind_of(eet_json_item(back, i)), EET_JSON_REAL);
        ck_assert(eet_json_as_real(eet_json_item(back, i), &value) && value == values[i]);
    }
    eet_json_free(back);
    free(text);
}
END_TEST

START_TEST(a_part_that_could_not_be_built_makes_writing_fail)
{
    eet_json *root = eet_json_object();
    eet_json *inner = eet_json_array();
    eet_error err = {0};

    eet_json_append(inner, NULL); /* as from a failed eet_json_object() */
    eet_json_set(root, "inner", inner);
    eet_json_set_integer(root, "after", 1);
    ck_assert_int_eq(eet_json_write(root, stdout, false, &err), EET_E_MEMORY);
    ck_assert_int_eq(eet_json_write(NULL, stdout, false, NULL), EET_E_MEMORY);
    eet_json_set(NULL, "x", eet_json_object());
    eet_json_append(NULL, eet_json_array());
}
END_TEST

START_TEST(a_full_disk_is_an_io_error)
{
    FILE *full = fopen("/dev/full", "w");
    eet_error err = {0};

    ck_assert_ptr_nonnull(full);
    ck_assert_int_eq(eet_json_write(eet_json_object(), full, false, &err), EET_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "No space left"));
    (void)fclose(full);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_number_without_point_and_exponent_that_fits_is_an_integer,
         .rows = sizeof numbers / sizeof *numbers},
        {.test = malformed_json_is_refused_near_the_byte_at_fault,
         .rows = sizeof wrong / sizeof *wrong},
        {.test = nesting_64_deep_is_read_and_65_is_beyond_the_limit},
        {.test = a_million_brackets_are_refused_without_recursion},
        {.test = brackets_and_numbers_inside_strings_are_text},
        {.test = members_come_in_the_order_of_the_text},
        {.test = a_look_at_a_value_of_another_kind_says_no},
        {.test = a_document_is_written_indented_or_on_one_line},
        {.test = control_characters_never_reach_the_output_raw},
        {.test = what_is_not_utf8_is_written_as_replacement_characters},
        {.test = every_real_reads_back_as_itself},
        {.test = a_part_that_could_not_be_built_makes_writing_fail},
        {.test = a_full_disk_is_an_io_error},
    };
    return eet_suite_run("json", claims, sizeof claims / sizeof *claims);
}
