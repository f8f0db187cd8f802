/* test_input.c - what is no regular file is refused at once, and links are followed
 * only where they should be. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "converter/input.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

static void expect_status(const char *path, bool follow, eet_status status, const char *says) {
    uint64_t bytes = 0;
    int fd = -1;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_int_eq(eet_open_input(path, follow, &fd, &bytes, &err), status);
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
    ck_assert_int_eq(fd, -1);
}

static void expect_refusal(const char *path, bool follow, const char *says) {
    expect_status(path, follow, EET_E_IO, says);
}

/* The one thing that --follow-symlinks decides. */
static void expect_link(const char *path) {
    expect_status(path, false, EET_E_AMBIGUOUS, "symbolic link; --follow-symlinks");
}

static void expect_content(const char *path, bool follow, const char *text) {
    char *data = NULL;
    uint64_t bytes = 0;
    eet_error err;

    eet_error_clear(&err);
    ck_assert_msg(eet_read_small(path, follow, 100, &data, &bytes, &err) == EET_OK, "%s", err.text);
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_str_eq(data, text);
    free(data);
}

START_TEST(a_regular_file_is_read)
{
    expect_content(eet_tmp_file("a", "text", 4).path, false, "text");
    expect_content(eet_tmp_file("empty", "", 0).path, false, "");
}
END_TEST

START_TEST(a_pipe_is_refused_without_waiting)
{
    const eet_tmp pipe = eet_tmp_path("pipe");

    ck_assert_int_eq(mkfifo(pipe.path, 0600), 0);
    expect_refusal(pipe.path, false, "is a pipe");
    expect_refusal(pipe.path, true, "is a pipe");
}
END_TEST

START_TEST(directories_devices_and_sockets_are_refused)
{
    const eet_tmp folder = eet_tmp_path(".");
    const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(chdir(folder.path), 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    expect_refusal("socket", false, "is a socket");
    (void)close(fd);
    expect_refusal("/dev/zero", false, "is a device");
    expect_refusal("/tmp", false, "is a directory");
    expect_refusal("/nowhere/at/all", false, "No such file");
}
END_TEST

START_TEST(a_link_is_followed_only_when_asked)
{
    const eet_tmp file = eet_tmp_file("a", "text", 4);
    const eet_tmp link = eet_tmp_path("link");

    ck_assert_int_eq(symlink(file.path, link.path), 0);
    expect_link(link.path);
    expect_content(link.path, true, "text");
}
END_TEST

START_TEST(links_to_nothing_to_themselves_and_to_no_files_are_refused_at_once)
{
    const eet_tmp loop = eet_tmp_path("loop");
    const eet_tmp dangling = eet_tmp_path("dangling");
    const eet_tmp device = eet_tmp_path("device");
    const eet_tmp folder = eet_tmp_path("folder");
    const eet_tmp fifo = eet_tmp_path("fifo");
    const eet_tmp pipe = eet_tmp_path("pipe");

    ck_assert_int_eq(symlink("loop", loop.path), 0);
    ck_assert_int_eq(symlink("/nowhere/at/all", dangling.path), 0);
    ck_assert_int_eq(symlink("/dev/zero", device.path), 0);
    ck_assert_int_eq(symlink("/tmp", folder.path), 0);
    ck_assert_int_eq(mkfifo(pipe.path, 0600), 0);
    ck_assert_int_eq(symlink("pipe", fifo.path), 0);
    expect_link(loop.path);
    expect_link(dangling.path);
    expect_link(device.path);
    expect_link(folder.path);
    expect_link(fifo.path);
    expect_refusal(loop.path, true, "Too many levels");
    expect_refusal(dangling.path, true, "No such file");
    expect_refusal(device.path, true, "is a device");
    expect_refusal(folder.path, true, "is a directory");
    expect_refusal(fifo.path, true, "is a pipe");
}
END_TEST

/* Makes models/blobs/<id>, models/snapshots/<revision>/NAME -> target. */
static eet_tmp make_cache(const char *folder, const char *target) {
    const eet_tmp blobs = eet_tmp_path("blobs");
    const eet_tmp snapshots = eet_tmp_path(folder);
    char path[600];
    eet_tmp link;

    ck_assert_int_eq(mkdir(blobs.path, 0700), 0);
    ck_assert_int_eq(mkdir(snapshots.path, 0700), 0);
    (void)eet_tmp_file("blobs/0a1b2c", "blob", 4);
    (void)snprintf(path, sizeof path, "%s/rev", snapshots.path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_lt(snprintf(link.path, sizeof link.path, "%s/config.json", path),
                     (int)sizeof link.path);
    ck_assert_int_eq(symlink(target, link.path), 0);
    return link;
}

START_TEST(a_hub_cache_is_followed)
{
    const eet_tmp link = make_cache("snapshots", "../../blobs/0a1b2c");

    expect_content(link.path, false, "blob");
    char *slash = strrchr(link.path, '/');
    char folder[512];

    (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - link.path), link.path);
    ck_assert_int_eq(chdir(folder), 0);
    expect_content("config.json", false, "blob");
    expect_content("./config.json", false, "blob");
}
END_TEST

START_TEST(folders_below_a_revision_are_followed_too)
{
    const eet_tmp link = make_cache("snapshots", "../../blobs/0a1b2c");
    const eet_tmp folder = eet_tmp_path("snapshots/rev/1_Pooling");
    const eet_tmp below = eet_tmp_path("snapshots/rev/1_Pooling/config.json");
    const eet_tmp other = eet_tmp_path("snapshots/rev/1_Pooling/other.json");

    ck_assert_int_eq(mkdir(folder.path, 0700), 0);
    ck_assert_int_eq(symlink("../../../blobs/0a1b2c", below.path), 0);
    ck_assert_int_eq(symlink("../../blobs/0a1b2c", other.path), 0); /* snapshots/blobs */
    expect_content(below.path, false, "blob");
    expect_link(other.path);
    ck_assert_int_eq(unlink(link.path), 0);
    ck_assert_int_eq(symlink("../../../blobs/0a1b2c", link.path), 0); /* beside the model */
    expect_link(link.path);
}
END_TEST

START_TEST(blobs_that_lie_behind_a_link_are_not_followed)
{
    const eet_tmp link = make_cache("snapshots", "../../blobs/0a1b2c");
    const eet_tmp blobs = eet_tmp_path("blobs");
    const eet_tmp elsewhere = eet_tmp_path("elsewhere");

    ck_assert_int_eq(rename(blobs.path, elsewhere.path), 0);
    ck_assert_int_eq(symlink("elsewhere", blobs.path), 0);
    expect_refusal(link.path, false, "Not a directory");
    expect_content(link.path, true, "blob");
}
END_TEST

START_TEST(what_only_looks_like_a_hub_cache_is_not_followed)
{
    static const char *const rows[][2] = {
        {"snapshot", "../../blobs/0a1b2c"},
        {"snapshots", "../../blobs/../blobs/0a1b2c"},
        {"snapshots", "../../blobs/"},
        {"snapshots", "/etc/passwd"},
        {"snapshots", "../../../etc/passwd"},
        {"snapshots", "../../../../../../../../../../etc/passwd"},
        {"snapshots", "../../blobs/0a1b2c/.."},
        {"snapshots", "../blobs/0a1b2c"},
        {"snapshots", "blobs/0a1b2c"},
    };

    expect_link(make_cache(rows[_i][0], rows[_i][1]).path);
}
END_TEST

START_TEST(a_blob_that_is_missing_is_an_error)
{ expect_refusal(make_cache("snapshots", "../../blobs/abc").path, false, "No such file"); }
END_TEST

START_TEST(a_file_that_changes_or_is_replaced_is_noticed)
{
    const eet_tmp file = eet_tmp_file("a", "text", 4);
    const struct timespec times[2] = {{1000, 0}, {1000, 5}};
    eet_input_mark mark;
    eet_error err;
    int fd = open(file.path, O_RDONLY | O_CLOEXEC);

    eet_error_clear(&err);
    ck_assert_int_eq(eet_input_mark_of(fd, &mark, NULL), EET_OK);
    ck_assert_int_eq(eet_input_check(fd, &mark, NULL), EET_OK);
    ck_assert_int_eq(utimensat(AT_FDCWD, file.path, times, 0), 0);
    ck_assert_int_eq(eet_input_check(fd, &mark, &err), EET_E_IO);
    ck_assert_msg(strstr(err.text, "changed while it was read") != NULL, "%s", err.text);
    ck_assert_int_eq(eet_input_mark_of(fd, &mark, NULL), EET_OK);
    ck_assert_int_eq(unlink(file.path), 0); /* still open: another file gets another number */
    (void)eet_tmp_file("a", "text", 4);
    const int other = open(file.path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(eet_input_check(fd, &mark, NULL), EET_OK);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_input_check(other, &mark, &err), EET_E_IO);
    ck_assert_msg(strstr(err.text, "replaced by another") != NULL, "%s", err.text);
    (void)close(fd);
    (void)close(other);
}
END_TEST

START_TEST(a_blob_that_is_a_link_is_not_followed)
{
    const eet_tmp link = make_cache("snapshots", "../../blobs/ff");

    ck_assert_int_eq(symlink("/etc/passwd", eet_tmp_path("blobs/ff").path), 0);
    expect_refusal(link.path, false, "symbolic links");
}
END_TEST

START_TEST(limits_and_ends_are_kept)
{
    const eet_tmp file = eet_tmp_file("a", "12345678", 8);
    const int fd = open(file.path, O_RDONLY | O_CLOEXEC);
    char *data = NULL;
    char part[9] = "";
    uint64_t bytes = 0;
    eet_error err;

    ck_assert_int_eq(eet_read_small(file.path, false, 7, &data, &bytes, NULL), EET_E_LIMIT);
    ck_assert_int_eq(eet_read_at(fd, 4, part, 4, NULL), EET_OK);
    ck_assert_str_eq(part, "5678");
    eet_error_clear(&err);
    ck_assert_int_eq(eet_read_at(fd, 4, part, 5, &err), EET_E_CORRUPT);
    ck_assert_uint_eq(err.offset, 8);
    ck_assert_int_eq(eet_read_at(fd, UINT64_MAX, part, 1, NULL), EET_E_CORRUPT);
    ck_assert_int_eq(eet_read_at(fd, 8, part, 0, NULL), EET_OK);
    (void)close(fd);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_regular_file_is_read},
        {.test = a_pipe_is_refused_without_waiting, .timeout = 5},
        {.test = directories_devices_and_sockets_are_refused},
        {.test = a_link_is_followed_only_when_asked},
        {.test = a_hub_cache_is_followed},
        {.test = links_to_nothing_to_themselves_and_to_no_files_are_refused_at_once, .timeout = 5},
        {.test = folders_below_a_revision_are_followed_too},
        {.test = blobs_that_lie_behind_a_link_are_not_followed},
        {.test = what_only_looks_like_a_hub_cache_is_not_followed, .rows = 9},
        {.test = a_blob_that_is_missing_is_an_error},
        {.test = a_file_that_changes_or_is_replaced_is_noticed},
        {.test = a_blob_that_is_a_link_is_not_followed},
        {.test = limits_and_ends_are_kept},
    };

    return eet_suite_run("input", claims, sizeof claims / sizeof claims[0]);
}
