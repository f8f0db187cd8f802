/* tmpfile.c - files of a test, removed when the program ends. */
#include "tests/support/tmpfile.h"

#include <check.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];

void eet_tmp_begin(void) {
    const char *base = getenv("TMPDIR");

    (void)snprintf(root, sizeof root, "%s/eet-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(root) == NULL) {
        perror(root);
        exit(EXIT_FAILURE);
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void eet_tmp_end(void) {
    if (root[0] != '\0' && nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        perror(root);
    }
    root[0] = '\0';
}

/* One directory for each process, so that the rows of a claim do not meet. */
static eet_tmp own_directory(void) {
    eet_tmp own;

    ck_assert_msg(root[0] != '\0', "eet_tmp_begin has not run");
    (void)snprintf(own.path, sizeof own.path, "%s/%ld", root, (long)getpid());
    if (access(own.path, F_OK) != 0) {
        ck_assert_msg(mkdir(own.path, 0700) == 0, "%s cannot be made", own.path);
    }
    return own;
}

eet_tmp eet_tmp_path(const char *name) {
    const eet_tmp own = own_directory();
    eet_tmp file;
    const int length = snprintf(file.path, sizeof file.path, "%s/%s", own.path, name);

    ck_assert_msg(length > 0 && (size_t)length < sizeof file.path, "%s is too long", name);
    return file;
}

eet_tmp eet_tmp_file(const char *name, const void *bytes, size_t size) {
    const eet_tmp file = eet_tmp_path(name);
    FILE *stream = fopen(file.path, "wb");

    ck_assert_msg(stream != NULL, "%s cannot be made", file.path);
    ck_assert_uint_eq(size == 0 ? 0 : fwrite(bytes, 1, size, stream), size);
    ck_assert_int_eq(fclose(stream), 0);
    return file;
}

int eet_tmp_entries(void) {
    const eet_tmp own = own_directory();
    DIR *directory = opendir(own.path);
    int entries = 0;

    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL) {
        ++entries;
    }
    ck_assert_int_eq(closedir(directory), 0);
    return entries - 2; /* "." and ".." */
}

unsigned char *eet_file_slurp(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");

    ck_assert_msg(stream != NULL, "%s cannot be opened", path);
    ck_assert_int_eq(fseek(stream, 0, SEEK_END), 0);
    const long length = ftell(stream);

    ck_assert_int_ge(length, 0);
    rewind(stream);
    unsigned char *bytes = malloc((size_t)length + 1);

    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)length, stream), (size_t)length);
    bytes[length] = '\0';
    ck_assert_int_eq(fclose(stream), 0);
    *size = (size_t)length;
    return bytes;
}
