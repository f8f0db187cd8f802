/* tmpfile.h - files of a test: a directory of its own, removed when the program
 * ends, whatever the test did. Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_SUPPORT_TMPFILE_H
#define EET_TESTS_SUPPORT_TMPFILE_H

#include <stddef.h>

typedef struct eet_tmp {
    char path[512];
} eet_tmp;

/* The suite's main makes the directory before the first test forks and removes
 * it with all it holds after the last. */
void eet_tmp_begin(void);
void eet_tmp_end(void);

/* The path of `name` in this process' own directory (made at the first call). */
eet_tmp eet_tmp_path(const char *name);
/* The same, with a file of these bytes in it. */
eet_tmp eet_tmp_file(const char *name, const void *bytes, size_t size);
/* The number of entries in this process' own directory: what a command left. */
int eet_tmp_entries(void);

/* A whole file in memory, followed by a zero byte; free it. */
unsigned char *eet_file_slurp(const char *path, size_t *size);

#endif
