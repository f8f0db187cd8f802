/* test_shards.c - a checkpoint in several files is one table of tensors, needs few open
 * files, and notices when one of its files is no longer what it was. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/source.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

enum { PARTS = 100, BYTES = 3 };

/* Part number i holds tensor t<i>, whose bytes are i, i + 1, i + 2. */
static eet_tmp make_part(int i, const char *name) {
    char header[160];
    unsigned char file[200] = {0};
    const int length =
        snprintf(header, sizeof header,
                 "{\"t%d\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", i);

    file[0] = (unsigned char)length;
    memcpy(file + 8, header, (size_t)length);
    for (int k = 0; k < BYTES; k++) {
        file[8 + length + k] = (unsigned char)(i + k);
    }
    return eet_tmp_file(name, file, 8 + (size_t)length + BYTES);
}

static const char *part_name(int i) {
    static char name[32];

    (void)snprintf(name, sizeof name, "part-%03d.bin", i);
    return name;
}

static eet_source *open_parts(int count) {
    char *text = malloc(64 * (size_t)count + 64);
    int at = sprintf(text, "{\"weight_map\": {");
    eet_source *source = NULL;
    eet_error err;

    for (int i = 0; i < count; i++) {
        (void)make_part(i, part_name(i));
        at += sprintf(text + at, "%s\"t%d\": \"%s\"", i == 0 ? "" : ", ", i, part_name(i));
    }
    at += sprintf(text + at, "}}");
    const eet_tmp index = eet_tmp_file("an.index.json", text, (size_t)at);

    free(text);
    eet_error_clear(&err);
    ck_assert_msg(eet_source_open(index.path, false, &source, &err) == EET_OK, "%s", err.text);
    return source;
}

static eet_status read_tensor(eet_source *source, int i, unsigned char data[BYTES],
                              eet_error *err) {
    char name[16];

    (void)snprintf(name, sizeof name, "t%d", i);
    const eet_source_tensor *tensor = eet_source_find(source, name);

    ck_assert_ptr_nonnull(tensor);
    eet_error_clear(err);
    return eet_source_read(source, tensor, data, err);
}

static void expect_tensor(eet_source *source, int i) {
    unsigned char data[BYTES];
    eet_error err;

    ck_assert_msg(read_tensor(source, i, data, &err) == EET_OK, "%s", err.text);
    for (int k = 0; k < BYTES; k++) {
        ck_assert_uint_eq(data[k], (unsigned char)(i + k));
    }
}

static void expect_failure(eet_source *source, int i, eet_status status, const char *says) {
    unsigned char data[BYTES];
    eet_error err;

    ck_assert_int_eq(read_tensor(source, i, data, &err), status);
    ck_assert_msg(strncmp(err.text, part_name(i), strlen(part_name(i))) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
}

static int count_open(void) {
    DIR *stream = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(stream) != NULL) {
        count++;
    }
    (void)closedir(stream);
    return count;
}

START_TEST(every_part_is_read_and_few_are_open)
{
    const int before = count_open();
    eet_source *source = open_parts(PARTS);

    ck_assert_int_eq(eet_source_count(source), PARTS);
    ck_assert_int_le(count_open(), before + 17);
    for (int i = 0; i < PARTS; i++) {
        expect_tensor(source, i * 37 % PARTS);
        ck_assert_int_le(count_open(), before + 17);
    }
    expect_tensor(source, 5);
    expect_tensor(source, 5);
    ck_assert_int_eq(eet_source_check(source, NULL), EET_OK);
    eet_source_close(source);
    ck_assert_int_eq(count_open(), before);
}
END_TEST

START_TEST(a_process_may_have_hardly_any_open_files)
{
    const struct rlimit limit = {20, 20};

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    eet_source *source = open_parts(PARTS);

    for (int i = PARTS - 1; i >= 0; i--) {
        expect_tensor(source, i);
    }
    eet_source_close(source);
}
END_TEST

START_TEST(the_files_are_told_and_can_be_read)
{
    eet_source *source = open_parts(PARTS);
    char byte = 0;
    int fd = -1;
    struct stat about;

    ck_assert_int_eq(eet_source_files(source), PARTS + 1);
    ck_assert_str_eq(eet_source_file_at(source, 0)->name, "an.index.json");
    ck_assert_str_eq(eet_source_file_at(source, 0)->kind, "index");
    for (int i = 0; i < PARTS; i++) {
        ck_assert_str_eq(eet_source_file_at(source, i + 1)->name, part_name(i));
        ck_assert_str_eq(eet_source_file_at(source, i + 1)->kind, "safetensors");
        ck_assert_int_eq(eet_source_file_open(source, i + 1, &fd, NULL), EET_OK);
        ck_assert_int_eq(pread(fd, &byte, 1, 8), 1);
        ck_assert_int_eq(byte, '{');
    }
    ck_assert_int_eq(fstat(fd, &about), 0);
    ck_assert_uint_eq(eet_source_file_at(source, PARTS)->bytes, (uint64_t)about.st_size);
    ck_assert(eet_source_is_of(source, (uint64_t)about.st_dev, (uint64_t)about.st_ino));
    ck_assert_int_eq(stat("/tmp", &about), 0);
    ck_assert(!eet_source_is_of(source, (uint64_t)about.st_dev, (uint64_t)about.st_ino));
    eet_source_close(source);
}
END_TEST

START_TEST(a_part_that_is_replaced_is_noticed)
{
    eet_source *source = open_parts(PARTS); /* part 0 is closed by now */
    const eet_tmp other = make_part(0, "other");
    eet_error err;

    ck_assert_int_eq(rename(other.path, eet_tmp_path(part_name(0)).path), 0);
    expect_failure(source, 0, EET_E_IO, "replaced by another");
    expect_failure(source, 0, EET_E_IO, "replaced by another"); /* and again */
    expect_tensor(source, 1);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_check(source, &err), EET_E_IO);
    ck_assert_msg(strstr(err.text, "part-000.bin: ") == err.text, "%s", err.text);
    eet_source_close(source);
}
END_TEST

START_TEST(a_part_that_changes_or_goes_is_noticed)
{
    eet_source *source = open_parts(PARTS);
    const struct timespec times[2] = {{1000, 0}, {1000, 5}};
    eet_error err;

    ck_assert_int_eq(utimensat(AT_FDCWD, eet_tmp_path(part_name(3)).path, times, 0), 0);
    expect_failure(source, 3, EET_E_IO, "changed while it was read");
    ck_assert_int_eq(unlink(eet_tmp_path(part_name(4)).path), 0);
    expect_failure(source, 4, EET_E_IO, "No such file");
    ck_assert_int_eq(symlink("part-006.bin", eet_tmp_path(part_name(4)).path), 0);
    expect_failure(source, 4, EET_E_AMBIGUOUS, "a symbolic link");
    expect_tensor(source, PARTS - 1); /* open still, so it is read before the look */
    ck_assert_int_eq(utimensat(AT_FDCWD, eet_tmp_path(part_name(PARTS - 1)).path, times, 0), 0);
    expect_tensor(source, PARTS - 1);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_check(source, &err), EET_E_IO);
    eet_source_close(source);
}
END_TEST

START_TEST(a_change_of_an_open_part_is_found_in_the_end)
{
    eet_source *source = open_parts(3);
    const struct timespec times[2] = {{1000, 0}, {1000, 5}};
    const char *const changed[] = {"part-001.bin", "an.index.json"};
    eet_error err;

    ck_assert_int_eq(eet_source_check(source, NULL), EET_OK);
    ck_assert_int_eq(utimensat(AT_FDCWD, eet_tmp_path(changed[_i]).path, times, 0), 0);
    eet_error_clear(&err);
    ck_assert_int_eq(eet_source_check(source, &err), EET_E_IO);
    ck_assert_msg(strstr(err.text, "changed while it was read") != NULL, "%s", err.text);
    eet_source_close(source);
}
END_TEST

START_TEST(a_part_cut_short_is_found_by_name)
{
    eet_source *source = open_parts(2);

    ck_assert_int_eq(truncate(eet_tmp_path(part_name(1)).path, 20), 0);
    expect_failure(source, 1, EET_E_CORRUPT, "the file ends at byte");
    expect_tensor(source, 0);
    eet_source_close(source);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = every_part_is_read_and_few_are_open},
        {.test = a_process_may_have_hardly_any_open_files},
        {.test = the_files_are_told_and_can_be_read},
        {.test = a_part_that_is_replaced_is_noticed},
        {.test = a_part_that_changes_or_goes_is_noticed},
        {.test = a_change_of_an_open_part_is_found_in_the_end, .rows = 2},
        {.test = a_part_cut_short_is_found_by_name},
    };

    return eet_suite_run("shards", claims, sizeof claims / sizeof claims[0]);
}
