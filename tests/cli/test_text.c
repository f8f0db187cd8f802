/* test_text.c - sizes, digests, tables and the progress line. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "format/cli/text.h"
#include "tests/support/suite.h"

static const struct {
    uint64_t bytes;
    const char *text;
} sizes[] = {
    {0, "0 B"},
    {17, "17 B"},
    {1023, "1023 B"},
    {1024, "1.0 KiB"},
    {12288, "12.0 KiB"},
    {1048524, "1023.9 KiB"},
    {1048575, "1.0 MiB"},
    {522000000, "497.8 MiB"},
    {UINT64_C(1) << 40, "1.0 TiB"},
    {UINT64_MAX, "16.0 EiB"},
};

START_TEST(a_size_has_one_decimal_of_a_binary_unit)
{
    eet_size_text buffer;

    ck_assert_str_eq(eet_format_size(&buffer, sizes[_i].bytes), sizes[_i].text);
}
END_TEST

START_TEST(a_digest_is_64_lower_case_digits)
{
    uint8_t digest[32];
    eet_hex_text buffer;

    for (int i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(i * 8 + 7);
    }
    ck_assert_str_eq(eet_format_sha256(&buffer, digest),
                     "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
}
END_TEST

START_TEST(columns_line_up_whatever_the_script)
{
    static const char *const header[] = {"name", "size", "note"};
    static const bool right[] = {false, true, false};
    static const char *const rows[][3] = {
        {"caf\xC3\xA9", "5", "x"},
        {"\xE6\xBC\xA2\xE5\xAD\x97", "12345", ""},
        {"e\xCC\x81\x1b", "1", "long note"},
    };
    eet_table *table = eet_table_create(3, header, right);
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);

    for (int i = 0; i < 3; i++) {
        eet_table_row(table, rows[i]);
    }
    ck_assert_int_eq(eet_table_end(table, stream, NULL), EET_OK);
    (void)fclose(stream);
    ck_assert_str_eq(text, "name    size  note\n"
                           "caf\xC3\xA9       5  x\n"
                           "\xE6\xBC\xA2\xE5\xAD\x97   12345\n"
                           "e\xCC\x81\\x1B      1  long note\n");
    free(text);
}
END_TEST

START_TEST(a_table_without_memory_says_so)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    static const char *const cells[] = {"a"};
    static const char *const lacking[] = {NULL};
    static const bool right[] = {false};
    eet_table *table = eet_table_create(1, cells, right);
    eet_error err = {0};

    eet_table_row(NULL, cells);
    ck_assert_int_eq(eet_table_end(NULL, stream, &err), EET_E_MEMORY);
    ck_assert_ptr_nonnull(strstr(err.text, "memory"));
    eet_table_row(table, lacking);
    ck_assert_int_eq(eet_table_end(table, stream, NULL), EET_E_MEMORY);
    (void)fclose(stream);
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

/* ---- progress ----------------------------------------------------------- */

/* Makes stderr a terminal; returns the other end of it. */
static int open_terminal(void) {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);

    ck_assert_int_ge(master, 0);
    ck_assert(grantpt(master) == 0 && unlockpt(master) == 0);
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);

    ck_assert_int_ge(slave, 0);
    ck_assert_int_eq(dup2(slave, STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(fcntl(master, F_SETFL, O_NONBLOCK), 0);
    return master;
}

static void read_terminal(int master, char *text, size_t room) {
    const ssize_t bytes = read(master, text, room - 1);

    text[bytes > 0 ? bytes : 0] = '\0';
}

START_TEST(progress_is_silent_unless_stderr_is_a_terminal)
{
    static const char *const silences[][2] = {
        {"TERM", "dumb"}, {"NO_COLOR", "1"}, {"EET_NO_PROGRESS", "1"}};
    char text[256];

    (void)setenv("TERM", "xterm", 1);
    (void)unsetenv("NO_COLOR");
    (void)unsetenv("EET_NO_PROGRESS");
    (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    ck_assert_ptr_null(eet_progress_begin("tensor", 2, 10, false));
    const int master = open_terminal();

    ck_assert_ptr_null(eet_progress_begin("tensor", 2, 10, true));
    for (int i = 0; i < 3; i++) {
        (void)setenv(silences[i][0], silences[i][1], 1);
        ck_assert_ptr_null(eet_progress_begin("tensor", 2, 10, false));
        (void)setenv("TERM", "xterm", 1);
        (void)unsetenv("NO_COLOR");
    }
    eet_progress_step(NULL, 1, 5);
    eet_progress_end(NULL);
    read_terminal(master, text, sizeof text);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(progress_shows_rate_and_time_left_and_wipes_itself)
{
    static const char start[] = "\rtensor 131/148  312.0 MiB/512.0 MiB  ";
    char text[1024];

    (void)setenv("TERM", "xterm", 1);
    (void)unsetenv("NO_COLOR");
    (void)unsetenv("EET_NO_PROGRESS");
    const int master = open_terminal();
    eet_progress *progress = eet_progress_begin("tensor", 148, 512 << 20, false);

    ck_assert_ptr_nonnull(progress);
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    eet_progress_step(progress, 131, 312 << 20);
    read_terminal(master, text, sizeof text);
    ck_assert_msg(strncmp(text, start, strlen(start)) == 0, "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "iB/s  ETA 0:0"));
    eet_progress_end(progress);
    read_terminal(master, text, sizeof text);
    ck_assert_str_eq(text, "\r\033[K");
}
END_TEST

static double now(void) {
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

START_TEST(progress_is_rewritten_at_most_ten_times_a_second)
{
    char text[65536];
    int lines = 0;
    const double began = now();

    (void)setenv("TERM", "xterm", 1);
    (void)unsetenv("NO_COLOR");
    (void)unsetenv("EET_NO_PROGRESS");
    const int master = open_terminal();
    eet_progress *progress = eet_progress_begin("tensor", 1000, 1000, false);

    for (uint64_t i = 0; i < 250; i++) {
        eet_progress_step(progress, i, i);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    const double seconds = now() - began;

    read_terminal(master, text, sizeof text);
    for (const char *at = text; *at != '\0'; at++) {
        lines += *at == '\r' ? 1 : 0;
    }
    ck_assert_int_ge(lines, 2);
    ck_assert_msg(lines <= 1 + 10 * seconds, "%d lines in %g s", lines, seconds);
    eet_progress_end(progress);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_size_has_one_decimal_of_a_binary_unit, .rows = sizeof sizes / sizeof *sizes},
        {.test = a_digest_is_64_lower_case_digits},
        {.test = columns_line_up_whatever_the_script},
        {.test = a_table_without_memory_says_so},
        {.test = progress_is_silent_unless_stderr_is_a_terminal},
        {.test = progress_shows_rate_and_time_left_and_wipes_itself},
        {.test = progress_is_rewritten_at_most_ten_times_a_second},
    };
    return eet_suite_run("text", claims, sizeof claims / sizeof *claims);
}
