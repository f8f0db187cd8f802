/* target_stale.c - what a writer that was killed left beside a target: ".NAME.RANDOM.tmp", which
 * nobody holds any more. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/target_parts.h"

/* Where locks are not shared (two machines, one folder), a file may look abandoned that is being
 * written: it is not, while it changes. */
enum { ABANDONED_SECONDS = 600, DIGITS = 16 };

/* ".NAME.0123456789abcdef.tmp" */
static bool is_temporary(const char *entry, const char *name) {
    const size_t kept = strnlen(name, EET_TARGET_NAME_KEPT);
    const char *digits = entry + 1 + kept + 1;

    return strlen(entry) == kept + 2 + DIGITS + 4 && entry[0] == '.' &&
           memcmp(entry + 1, name, kept) == 0 && digits[-1] == '.' &&
           strspn(digits, "0123456789abcdef") == DIGITS && strcmp(digits + DIGITS, ".tmp") == 0;
}

static bool is_abandoned(int fd) {
    struct stat about;

    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
           time(NULL) - about.st_mtime > ABANDONED_SECONDS && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void eet_target_clear_stale(int folder_fd, const char *name) {
    const int copy = fcntl(folder_fd, F_DUPFD_CLOEXEC, 0);
    DIR *folder = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry = NULL;

    if (folder == NULL) {
        if (copy >= 0) {
            (void)close(copy);
        }
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (!is_temporary(entry->d_name, name)) {
            continue;
        }
        const int fd = openat(folder_fd, entry->d_name,
                              O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

        if (fd >= 0 && is_abandoned(fd)) {
            (void)unlinkat(folder_fd, entry->d_name, 0);
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    (void)closedir(folder);
}

bool eet_target_hold(int fd) {
    struct stat about;

    (void)flock(fd, LOCK_EX | LOCK_NB); /* where it cannot be held, its age tells */
    return fstat(fd, &about) != 0 || about.st_nlink > 0;
}
