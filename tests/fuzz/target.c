/* target.c - an input of a fuzzer as a file in memory. */
#include "tests/fuzz/target.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static void remove_file(void) {
    (void)unlink(path);
}

const char *eet_fuzz_file(const uint8_t *data, size_t size) {
    if (path[0] == '\0') {
        (void)snprintf(path, sizeof path, "/dev/shm/eet-fuzz.%ld", (long)getpid());
        (void)atexit(remove_file);
    }
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0) {
        perror(path);
        abort();
    }
    return path;
}
