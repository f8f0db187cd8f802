/* test_pickle.c - pickles become inert graphs: every opcode, every rule, every limit. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "converter/pickle.h"
#include "tests/converter/cases_pickle.h"
#include "tests/support/suite.h"

typedef struct text {
    char at[4096];
    size_t used;
    int depth;
} text;

static void put(text *out, const char *bytes, size_t count) {
    ck_assert_uint_lt(out->used + count, sizeof out->at);
    memcpy(out->at + out->used, bytes, count);
    out->used += count;
    out->at[out->used] = '\0';
}

static void puts_to(text *out, const char *string) {
    put(out, string, strlen(string));
}

static void show(text *out, const eet_pickle_node *node);

static void show_items(text *out, const eet_pickle_node *node, const char *open,
                       const char *close) {
    puts_to(out, open);
    for (uint32_t i = 0; i < eet_pickle_count(node); i++) {
        puts_to(out, i == 0 ? "" : ", ");
        if (eet_pickle_kind_of(node) == EET_PICKLE_DICT) {
            show(out, eet_pickle_key(node, i));
            puts_to(out, ": ");
            show(out, eet_pickle_value(node, i));
        } else {
            show(out, eet_pickle_item(node, i));
        }
    }
    puts_to(out, close);
}

static void show_number(text *out, const eet_pickle_node *node) {
    char number[64] = "";
    int64_t integer = 0;
    double real = 0;
    bool truth = false;

    if (eet_pickle_int(node, &integer)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)integer);
    } else if (eet_pickle_float(node, &real)) {
        (void)snprintf(number, sizeof number, "%g", real);
    } else {
        ck_assert(eet_pickle_bool(node, &truth));
        (void)snprintf(number, sizeof number, "%s", truth ? "True" : "False");
    }
    puts_to(out, number);
}

static void show_string(text *out, const eet_pickle_node *node) {
    uint32_t bytes = 0;
    const char *at = eet_pickle_text(node, &bytes);

    puts_to(out, eet_pickle_kind_of(node) == EET_PICKLE_BYTES ? "b'" : "'");
    put(out, at, bytes);
    puts_to(out, "'");
}

static void show_call(text *out, const eet_pickle_node *node) {
    show(out, eet_pickle_callable(node));
    show_items(out, eet_pickle_arguments(node), "(", ")");
}

static void show(text *out, const eet_pickle_node *node) {
    static const char *const brackets[][2] = {
        [EET_PICKLE_TUPLE] = {"(", ")"},
        [EET_PICKLE_LIST] = {"[", "]"},
        [EET_PICKLE_SET] = {"<", ">"},
        [EET_PICKLE_DICT] = {"{", "}"},
        [EET_PICKLE_STORAGE] = {"storage(", ")"},
    };
    const eet_pickle_kind kind = eet_pickle_kind_of(node);
    eet_pickle_label label;
    char number[32];
    uint32_t bytes = 0;

    ck_assert_int_lt(++out->depth, 1000);
    if (kind == EET_PICKLE_NONE) {
        puts_to(out, "None");
    } else if (kind == EET_PICKLE_BIG) {
        (void)eet_pickle_text(node, &bytes);
        (void)snprintf(number, sizeof number, "big:%u", bytes);
        puts_to(out, number);
    } else if (kind == EET_PICKLE_TEXT || kind == EET_PICKLE_BYTES) {
        show_string(out, node);
    } else if (kind == EET_PICKLE_GLOBAL) {
        puts_to(out, eet_pickle_describe(node, &label));
    } else if (kind == EET_PICKLE_CALL) {
        show_call(out, node);
    } else if (kind < EET_PICKLE_TEXT) {
        show_number(out, node);
    } else {
        show_items(out, node, brackets[kind][0], brackets[kind][1]);
    }
    if (eet_pickle_state(node) != NULL) {
        puts_to(out, "+");
        show(out, eet_pickle_state(node));
    }
}

/* A copy of exactly these bytes, so that a sanitizer sees their end. */
static char *exactly(const char *data, size_t bytes) {
    char *copy = malloc(bytes == 0 ? 1 : bytes);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, bytes);
    return bytes == 0 ? realloc(copy, 1) : copy;
}

START_TEST(a_malformed_pickle_is_refused_with_its_place)
{
    const pickle_case *c = &refused[_i];
    char *data = exactly(c->data, c->bytes);
    eet_pickle *pickle = NULL;
    eet_error err;

    eet_error_clear(&err);
    const eet_status status = eet_pickle_read(data, c->bytes, NULL, &pickle, &err);

    ck_assert_msg(status == c->status, "%s: status %s: %s", c->name, eet_status_symbol(status),
                  err.text);
    ck_assert_msg(strstr(err.text, c->says) != NULL, "%s: said \"%s\", expected \"%s\"", c->name,
                  err.text, c->says);
    ck_assert_ptr_null(pickle);
    free(data);
}
END_TEST

START_TEST(every_opcode_gives_its_value)
{
    char *data = exactly(accepted[_i].data, accepted[_i].bytes);
    eet_pickle *pickle = NULL;
    eet_error err;
    text out = {.used = 0};

    eet_error_clear(&err);
    ck_assert_msg(eet_pickle_read(data, accepted[_i].bytes, NULL, &pickle, &err) == EET_OK,
                  "%s: %s", accepted[_i].name, err.text);
    show(&out, eet_pickle_root(pickle));
    ck_assert_msg(strcmp(out.at, accepted[_i].shown) == 0, "%s: %s, expected %s", accepted[_i].name,
                  out.at, accepted[_i].shown);
    eet_pickle_free(pickle);
    free(data);
}
END_TEST

START_TEST(every_truncation_is_malformed)
{
    for (size_t cut = 0; cut < accepted[_i].bytes; cut++) {
        char *data = exactly(accepted[_i].data, cut);
        eet_pickle *pickle = NULL;
        eet_error err;

        eet_error_clear(&err);
        const eet_status status = eet_pickle_read(data, cut, NULL, &pickle, &err);

        ck_assert_msg(status == EET_E_CORRUPT, "%s cut at %zu: %s", accepted[_i].name, cut,
                      eet_status_symbol(status));
        ck_assert_msg(strstr(err.text, "at byte") != NULL, "%s", err.text);
        free(data);
    }
}
END_TEST

/* The tables together use every opcode there is. */
START_TEST(the_tables_leave_no_opcode_out)
{
    static const char opcodes[] = "(.012FIJKLMNQRSTUVXabcdeghijlopqrstu}])GBC"
                                  "\x80\x81\x85\x86\x87\x88\x89\x8A\x8B\x8C\x8D\x8E\x8F\x90\x91\x92"
                                  "\x93\x94\x95\x96";

    for (const char *code = opcodes; *code != '\0'; code++) {
        bool used = false;

        for (size_t i = 0; i < ACCEPTED; i++) {
            used = used || memchr(accepted[i].data, *code, accepted[i].bytes) != NULL;
        }
        ck_assert_msg(used, "opcode 0x%02X", (unsigned char)*code);
    }
}
END_TEST

static eet_status read_repeated(const char *front, const char *body, uint64_t times,
                                const char *back, const eet_pickle_limits *limits, eet_pickle **out,
                                eet_error *err, char **kept) {
    const size_t body_bytes = strlen(body);
    const size_t bytes = strlen(front) + body_bytes * times + strlen(back);
    char *data = malloc(bytes);
    char *at = data;

    ck_assert_ptr_nonnull(data);
    at = (char *)memcpy(at, front, strlen(front)) + strlen(front);
    for (uint64_t i = 0; i < times; i++) {
        at = (char *)memcpy(at, body, body_bytes) + body_bytes;
    }
    memcpy(at, back, strlen(back));
    eet_error_clear(err);
    const eet_status status = eet_pickle_read(data, bytes, limits, out, err);

    if (kept == NULL || status != EET_OK) {
        free(data);
    } else {
        *kept = data;
    }
    return status;
}

static const struct {
    const char *name;
    size_t field;
    uint64_t value, times;
    const char *front, *body, *back;
    const char *says;
} bounds[] = {
    {"operations", offsetof(eet_pickle_limits, operations), 20, 10, "", "N0", "N.",
     "20 operations"},
    {"nodes", offsetof(eet_pickle_limits, nodes), 10, 10, "(", "]", "t.", "10 values"},
    {"arena", offsetof(eet_pickle_limits, arena_bytes), 32768, 2000, "(", "]", "t.",
     "32768 bytes of values"},
    {"stack", offsetof(eet_pickle_limits, stack), 9, 10, "", "N", "(t.", "9 values on the stack"},
    {"marks", offsetof(eet_pickle_limits, marks), 9, 10, "", "(", "N.", "9 open marks"},
    {"memo", offsetof(eet_pickle_limits, memo), 9, 10, "N",
     "\x94"
     "0N",
     ".", "9 memo entries"},
    {"string", offsetof(eet_pickle_limits, string_bytes), 9, 10, "\x8C\x0A", "x", ".",
     "9 bytes in one string"},
    {"a list's items", offsetof(eet_pickle_limits, items), 9, 10, "](", "N", "e.",
     "9 items in one container"},
    {"a list's items, one by one", offsetof(eet_pickle_limits, items), 9, 10, "]", "Na", ".",
     "9 items in one container"},
    {"a dict's pairs", offsetof(eet_pickle_limits, items), 9, 10, "}(", "NN", "u.",
     "9 items in one container"},
};
enum { BOUNDS = sizeof bounds / sizeof bounds[0] };

START_TEST(every_limit_is_kept)
{
    eet_pickle_limits limits = eet_pickle_default_limits;
    eet_pickle *pickle = NULL;
    eet_error err;
    eet_status status = read_repeated(bounds[_i].front, bounds[_i].body, bounds[_i].times,
                                      bounds[_i].back, &limits, &pickle, &err, NULL);

    ck_assert_msg(status == EET_OK || strstr(err.text, "STOP with") != NULL, "%s", err.text);
    eet_pickle_free(status == EET_OK ? pickle : NULL);
    memcpy((char *)&limits + bounds[_i].field, &bounds[_i].value, sizeof(uint64_t));
    status = read_repeated(bounds[_i].front, bounds[_i].body, bounds[_i].times, bounds[_i].back,
                           &limits, &pickle, &err, NULL);
    ck_assert_msg(status == EET_E_LIMIT, "%s: %s", bounds[_i].name, eet_status_symbol(status));
    ck_assert_msg(strstr(err.text, bounds[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_million_levels_are_read_and_freed)
{
    eet_pickle *pickle = NULL;
    eet_error err;

    ck_assert_int_eq(read_repeated(")", "\x85", 1000000, ".", NULL, &pickle, &err, NULL), EET_OK);
    eet_pickle_free(pickle);
    /* a list in a list in a list: the outer one waits on the stack, APPEND closes it */
    const size_t levels = 1000000;
    char *data = malloc(2 * levels);

    ck_assert_ptr_nonnull(data);
    memset(data, ']', levels);
    memset(data + levels, 'a', levels - 1);
    data[2 * levels - 1] = '.';
    ck_assert_int_eq(eet_pickle_read(data, 2 * levels, NULL, &pickle, &err), EET_OK);
    ck_assert_str_eq(eet_pickle_kind_name(eet_pickle_root(pickle)), "a list");
    eet_pickle_free(pickle);
    free(data);
}
END_TEST

START_TEST(doubling_by_the_memo_stays_small)
{
    eet_pickle *pickle = NULL;
    eet_error err;
    char *data = NULL;

    ck_assert_int_eq(read_repeated("]q\1", "0]h\1ah\1aq\1", 40, ".", NULL, &pickle, &err, &data),
                     EET_OK);
    const eet_pickle_node *node = eet_pickle_root(pickle);

    for (int level = 0; level < 40; level++) {
        ck_assert_uint_eq(eet_pickle_count(node), 2);
        node = eet_pickle_item(node, 1);
    }
    ck_assert_uint_eq(eet_pickle_count(node), 0);
    eet_pickle_free(pickle);
    free(data);
}
END_TEST

START_TEST(a_hundred_million_operations_stop_early)
{
    struct timespec from;
    struct timespec to;
    eet_pickle *pickle = NULL;
    eet_error err;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    ck_assert_int_eq(read_repeated("", "N0", 50000000, "N.", NULL, &pickle, &err, NULL),
                     EET_E_LIMIT);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    const double seconds =
        (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    ck_assert_double_lt(seconds, 20);
#else
    ck_assert_double_lt(seconds, 2);
#endif
}
END_TEST

START_TEST(a_graph_may_hold_itself)
{
    /* d = {}; d['d'] = d; and a DictConfig whose child's _parent is the config itself */
    static const char self[] = "}q\0X\1\0\0\0dh\0s.";
    static const char config[] = "\x80\2comegaconf.dictconfig\nDictConfig\n)\x81q\0}q\1(X\x08\0\0\0"
                                 "_contentX\1\0\0\0xcm\nAnyNode\n)\x81}X\x07\0\0\0_parenth\0sb"
                                 "\x86ub.";
    eet_pickle *pickle = NULL;
    const eet_pickle_node *found = NULL;

    ck_assert_int_eq(eet_pickle_read(self, sizeof self - 1, NULL, &pickle, NULL), EET_OK);
    ck_assert_int_eq(eet_pickle_find(eet_pickle_root(pickle), "d", &found, NULL), EET_OK);
    ck_assert_ptr_eq(found, eet_pickle_root(pickle));
    eet_pickle_free(pickle);
    ck_assert_int_eq(eet_pickle_read(config, sizeof config - 1, NULL, &pickle, NULL), EET_OK);
    const eet_pickle_node *root = eet_pickle_root(pickle);

    ck_assert_int_eq(eet_pickle_find(eet_pickle_state(root), "_content", &found, NULL), EET_OK);
    const eet_pickle_node *leaf = eet_pickle_state(eet_pickle_item(found, 1));

    ck_assert_int_eq(eet_pickle_find(leaf, "_parent", &found, NULL), EET_OK);
    ck_assert_ptr_eq(found, root);
    eet_pickle_free(pickle);
}
END_TEST

START_TEST(a_key_that_stands_twice_is_refused)
{
    static const char twice[] = "}(X\1\0\0\0xNX\1\0\0\0xNX\1\0\0\0yNu.";
    eet_pickle *pickle = NULL;
    const eet_pickle_node *found = NULL;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_pickle_read(twice, sizeof twice - 1, NULL, &pickle, &err), EET_OK);
    ck_assert_int_eq(eet_pickle_find(eet_pickle_root(pickle), "x", &found, &err), EET_E_CORRUPT);
    ck_assert_str_eq(err.text, "the key \"x\" stands twice in a map");
    ck_assert_int_eq(eet_pickle_find(eet_pickle_root(pickle), "y", &found, NULL), EET_OK);
    ck_assert_ptr_nonnull(found);
    ck_assert_int_eq(eet_pickle_find(eet_pickle_root(pickle), "z", &found, NULL), EET_OK);
    ck_assert_ptr_null(found);
    eet_pickle_free(pickle);
}
END_TEST

START_TEST(the_locale_does_not_change_numbers)
{
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "C"};
    static const char data[] = "F1.5\n.";
    eet_pickle *pickle = NULL;
    double value = 0;

    for (size_t i = 0; i < sizeof locales / sizeof locales[0]; i++) {
        (void)setlocale(LC_ALL, locales[i]); /* those that are not installed change nothing */
        ck_assert_int_eq(eet_pickle_read(data, sizeof data - 1, NULL, &pickle, NULL), EET_OK);
        ck_assert(eet_pickle_float(eet_pickle_root(pickle), &value));
        ck_assert_double_eq(value, 1.5);
        eet_pickle_free(pickle);
    }
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_malformed_pickle_is_refused_with_its_place, .rows = REFUSED},
        {.test = every_opcode_gives_its_value, .rows = ACCEPTED},
        {.test = every_truncation_is_malformed, .rows = ACCEPTED},
        {.test = the_tables_leave_no_opcode_out},
        {.test = every_limit_is_kept, .rows = BOUNDS},
        {.test = a_million_levels_are_read_and_freed},
        {.test = doubling_by_the_memo_stays_small},
        {.test = a_hundred_million_operations_stop_early},
        {.test = a_graph_may_hold_itself},
        {.test = a_key_that_stands_twice_is_refused},
        {.test = the_locale_does_not_change_numbers},
    };

    return eet_suite_run("pickle", claims, sizeof claims / sizeof *claims);
}
