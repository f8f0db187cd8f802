/* target.c - a temporary file beside a target, which takes its name in one step. */
#include "format/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/target_parts.h"
#include "format/types.h"
#include "format/utf8.h"

enum { TRIES = 16, WRITE_STEP = 16 << 20, START_STEP = 32 << 20, MODE = 0644 };

static eet_status fail_target(const eet_target *target, eet_status status, const char *what,
                              eet_error *err) {
    eet_shown shown;

    return eet_fail(err, status, EET_NOWHERE, "\"%s\" %s",
                    eet_show(&shown, target->path, strlen(target->path)), what);
}

static eet_status fail_system(const eet_target *target, int number, const char *what,
                              eet_error *err) {
    eet_shown shown;

    return eet_fail_errno(err, number, "cannot %s \"%s\"", what,
                          eet_show(&shown, target->path, strlen(target->path)));
}

eet_status eet_target_set(eet_target *target, const char *path, eet_error *err) {
    const char *slash = strrchr(path, '/');

    target->fd = -1;
    target->folder_fd = -1;
    atomic_init(&target->live, NULL);
    if (path[0] == '\0' || (slash != NULL && slash[1] == '\0')) {
        eet_shown shown;

        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the target \"%s\" names no file",
                        eet_show(&shown, path, strlen(path)));
    }
    target->path = strdup(path);
    target->folder = slash == NULL   ? strdup(".")
                     : slash == path ? strdup("/")
                                     : strndup(path, (size_t)(slash - path));
    if (target->path == NULL || target->folder == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a path");
    }
    target->name = slash == NULL ? target->path : target->path + (slash - path) + 1;
    return EET_OK;
}

/* What stands at the target now, and may it be replaced? */
static eet_status check_present(const eet_target *target, bool force, eet_error *err) {
    struct stat info;

    if (fstatat(target->folder_fd, target->name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? EET_OK : fail_system(target, errno, "write", err);
    }
    if (S_ISDIR(info.st_mode)) {
        return fail_target(target, EET_E_ARGUMENT, "is a directory", err);
    }
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) {
        return fail_target(target, EET_E_ARGUMENT, "is no regular file", err);
    }
    return force ? EET_OK : fail_target(target, EET_E_EXISTS, "exists; --force replaces it", err);
}

/* Opens a new file ".NAME.RANDOM.tmp". */
static eet_status open_temporary(eet_target *target, eet_error *err) {
    const size_t room = strlen(target->folder) + EET_TARGET_NAME_KEPT + 32;

    target->temporary = malloc(room);
    if (target->temporary == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a path");
    }
    for (int i = 0; i < TRIES; i++) {
        uint64_t random = 0;

        if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
            random = (uint64_t)getpid() << 16 | (uint64_t)i;
        }
        (void)snprintf(target->temporary, room, "%s/.%.*s.%016llx.tmp", target->folder,
                       EET_TARGET_NAME_KEPT, target->name, (unsigned long long)random);
        target->temporary_name = target->temporary + strlen(target->folder) + 1;
        target->fd = openat(target->folder_fd, target->temporary_name,
                            O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (target->fd >= 0 && eet_target_hold(target->fd)) {
            atomic_store(&target->live, target->temporary);
            return EET_OK;
        }
        if (target->fd >= 0) {
            (void)close(target->fd);
            target->fd = -1;
            errno = EEXIST;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return fail_system(target, errno, "write beside", err);
}

/* fallocate, because posix_fallocate writes zeros where the filesystem cannot reserve. */
static eet_status reserve(const eet_target *target, uint64_t bytes, eet_error *err) {
    int result = 0;

    do {
        result = fallocate(target->fd, 0, 0, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        do {
            result = ftruncate(target->fd, (off_t)bytes);
        } while (result != 0 && errno == EINTR);
    }
    if (result != 0) {
        eet_shown shown;

        return eet_fail_errno(err, errno, "cannot reserve %llu bytes for \"%s\"",
                              (unsigned long long)bytes,
                              eet_show(&shown, target->path, strlen(target->path)));
    }
    return EET_OK;
}

eet_status eet_target_begin(eet_target *target, bool force, uint64_t bytes, eet_error *err) {
    target->folder_fd = open(target->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target->folder_fd < 0) {
        eet_shown shown;

        return eet_fail_errno(err, errno, "cannot write in \"%s\"",
                              eet_show(&shown, target->folder, strlen(target->folder)));
    }
    eet_status status = check_present(target, force, err);

    if (status == EET_OK) {
        eet_target_clear_stale(target->folder_fd, target->name);
        status = open_temporary(target, err);
    }
    return status == EET_OK && bytes > 0 ? reserve(target, bytes, err) : status;
}

eet_status eet_target_write(const eet_target *target, uint64_t offset, const void *data,
                            uint64_t bytes, eet_error *err) {
    const uint8_t *at = data;

    while (bytes > 0) {
        const size_t step = bytes < WRITE_STEP ? (size_t)bytes : WRITE_STEP;
        const ssize_t done = pwrite(target->fd, at, step, (off_t)offset);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return fail_system(target, done < 0 ? errno : ENOSPC, "write", err);
        }
        at += done;
        offset += (uint64_t)done;
        bytes -= (uint64_t)done;
    }
    return EET_OK;
}

void eet_target_start_writing(eet_target *target, uint64_t end) {
    if (end > target->started && end - target->started >= START_STEP) {
        (void)sync_file_range(target->fd, (off_t)target->started, (off_t)(end - target->started),
                              SYNC_FILE_RANGE_WRITE);
        target->started = end;
    }
}

/* The process' umask without changing it, so that no other thread is disturbed. */
static mode_t current_umask(void) {
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    unsigned mask = 0;
    bool found = false;

    while (status != NULL && !found && fgets(line, sizeof line, status) != NULL) {
        found = sscanf(line, "Umask: %o", &mask) == 1;
    }
    if (status != NULL) {
        (void)fclose(status);
    }
    if (!found) {
        mask = (unsigned)umask(077);
        (void)umask((mode_t)mask);
    }
    return (mode_t)mask;
}

/* The name is taken only where nothing has it. Without RENAME_NOREPLACE a hard link does the
 * same; where neither exists, only --force can go on. */
static eet_status take_free_name(const eet_target *target, eet_error *err) {
    const int dir = target->folder_fd;
    int result = renameat2(dir, target->temporary_name, dir, target->name, RENAME_NOREPLACE);

    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
        result = linkat(dir, target->temporary_name, dir, target->name, 0);
        if (result != 0 && errno != EEXIST) {
            return fail_target(target, EET_E_IO,
                               "stands on a filesystem that cannot rename without replacing; "
                               "--force renames all the same",
                               err);
        }
        if (result == 0) {
            (void)unlinkat(dir, target->temporary_name, 0);
        }
    }
    if (result != 0 && errno == EEXIST) {
        return fail_target(target, EET_E_EXISTS, "exists; --force replaces it", err);
    }
    return result == 0 ? EET_OK : fail_system(target, errno, "rename to", err);
}

static eet_status take_name(const eet_target *target, bool force, eet_error *err) {
    const int dir = target->folder_fd;

    if (!force) {
        return take_free_name(target, err);
    }
    if (renameat(dir, target->temporary_name, dir, target->name) != 0) {
        return fail_system(target, errno, "rename to", err);
    }
    return EET_OK;
}

static int sync_whole(int fd) {
    int result = 0;

    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

/* What the file is to be, before it has its name: a network's filesystem may tell only at the
 * end that it lost something. */
static eet_status finish(eet_target *target, bool sync, eet_error *err) {
    int result = fchmod(target->fd, (mode_t)(MODE & ~current_umask()));

    if (result == 0 && sync) {
        result = sync_whole(target->fd);
    }
    if (result == 0) {
        const int fd = target->fd;

        target->fd = -1; /* closed, whatever close says */
        result = close(fd);
        result = result != 0 && errno == EINTR ? 0 : result;
    }
    return result == 0 ? EET_OK : fail_system(target, errno, "finish", err);
}

eet_status eet_target_commit(eet_target *target, bool force, bool sync, eet_error *err) {
    eet_status status = finish(target, sync, err);

    if (status == EET_OK) {
        status = take_name(target, force, err);
    }
    if (status != EET_OK) {
        return status;
    }
    atomic_store(&target->live, NULL);
    /* Some filesystems cannot sync a folder; the file itself is safe by now. */
    if (sync && sync_whole(target->folder_fd) != 0 && errno != EINVAL && errno != EROFS) {
        return fail_system(target, errno, "sync the folder of", err);
    }
    return EET_OK;
}

void eet_target_drop(eet_target *target) {
    if (atomic_load(&target->live) != NULL) {
        (void)unlinkat(target->folder_fd, target->temporary_name, 0);
        atomic_store(&target->live, NULL);
    }
    if (target->fd >= 0) {
        (void)close(target->fd);
    }
    if (target->folder_fd >= 0) {
        (void)close(target->folder_fd);
    }
    free(target->temporary);
    free(target->folder);
    free(target->path);
}
