/* input.c - opens and reads files that somebody else wrote. */
#include "converter/input.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READING = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* What a file that is no regular file is. */
static const char *kind_name(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a pipe";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    case S_IFSOCK:
        return "a socket";
    default:
        return "no regular file";
    }
}

static eet_status fail_system(eet_error *err, int number) {
    return eet_fail_errno(err, number, "the file cannot be opened");
}

/* How many "../" a hub cache's link begins with; 0: "../../blobs/<id>" is not its form.
 * *id: the blob's name. */
static int count_up(const char *target, const char **id) {
    static const char blobs[] = "blobs/";
    int up = 0;

    for (; strncmp(target, "../", 3) == 0; target += 3) {
        up++;
    }
    if (up < 2 || strncmp(target, blobs, sizeof blobs - 1) != 0) {
        return 0;
    }
    *id = target + sizeof blobs - 1;
    return **id != '\0' && strspn(*id, "0123456789abcdefABCDEF-") == strlen(*id) ? up : 0;
}

/* Is the folder .../snapshots/<revision>, or `up` - 2 folders below one? Asked of the
 * system: a path may be relative. */
static bool is_snapshot(int folder, int up) {
    char link[64];
    char path[PATH_MAX];

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t length = readlink(link, path, sizeof path - 1);

    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    for (; up > 1; up--) {
        char *last = strrchr(path, '/');

        if (last == NULL || last == path) {
            return false;
        }
        *last = '\0';
    }
    return strcmp(base_name(path), "snapshots") == 0;
}

/* Opens a blob of the cache that `folder` belongs to: neither it nor the folder of
 * blobs may be a link. */
static int open_in_cache(int folder, const char *target, const char *id) {
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%.*s", (int)(id - target) - 1, target); /* no slash */
    const int blobs = openat(folder, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (blobs < 0) {
        return -1;
    }
    const int fd = openat(blobs, id, READING | O_NOFOLLOW);
    const int number = errno;

    (void)close(blobs);
    errno = number;
    return fd;
}

/* Opens what a symbolic link `path` stands for when it is a hub cache's. */
static eet_status open_blob(const char *path, int *fd, eet_error *err) {
    char target[PATH_MAX];
    const ssize_t length = readlink(path, target, sizeof target - 1);
    const char *id = NULL;

    if (length <= 0) {
        return fail_system(err, errno);
    }
    target[length] = '\0';
    char *parent = strndup(path, (size_t)(base_name(path) - path));

    if (parent == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a path");
    }
    const int folder = open(*parent == '\0' ? "." : parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int up = count_up(target, &id);

    free(parent);
    if (folder < 0) {
        return fail_system(err, errno);
    }
    if (up == 0 || !is_snapshot(folder, up)) {
        (void)close(folder);
        return eet_fail(err, EET_E_AMBIGUOUS, EET_NOWHERE,
                        "the file is a symbolic link; --follow-symlinks follows it");
    }
    *fd = open_in_cache(folder, target, id);
    const int number = errno;

    (void)close(folder);
    return *fd < 0 ? fail_system(err, number) : EET_OK;
}

/* What the open file is, and its size. */
static eet_status check_regular(int fd, uint64_t *bytes, eet_error *err) {
    struct stat now;

    if (fstat(fd, &now) != 0) {
        return fail_system(err, errno);
    }
    if (!S_ISREG(now.st_mode)) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE, "the file is %s, not a regular file",
                        kind_name(now.st_mode));
    }
    *bytes = (uint64_t)now.st_size;
    return EET_OK;
}

/* A device may do something when it is opened, so look before. */
static eet_status look_first(const char *path, bool follow_symlinks, bool *is_link,
                             eet_error *err) {
    struct stat now;

    if ((follow_symlinks ? stat(path, &now) : lstat(path, &now)) != 0) {
        return fail_system(err, errno);
    }
    *is_link = S_ISLNK(now.st_mode);
    if (!S_ISREG(now.st_mode) && !*is_link) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE, "the file is %s, not a regular file",
                        kind_name(now.st_mode));
    }
    return EET_OK;
}

eet_status eet_open_input(const char *path, bool follow_symlinks, int *fd, uint64_t *bytes,
                          eet_error *err) {
    const int flags = READING | (follow_symlinks ? 0 : O_NOFOLLOW);
    bool is_link = false;
    uint64_t size = 0;
    int opened = -1;
    eet_status status = look_first(path, follow_symlinks, &is_link, err);

    if (status != EET_OK) {
        return status;
    }
    if (is_link) {
        status = open_blob(path, &opened, err);
    } else {
        opened = open(path, flags);
        status = opened < 0 ? fail_system(err, errno) : EET_OK;
    }
    if (status == EET_OK) {
        status = check_regular(opened, &size, err);
    }
    if (status != EET_OK) {
        if (opened >= 0) {
            (void)close(opened);
        }
        return status;
    }
    *fd = opened;
    *bytes = size;
    return EET_OK;
}

eet_status eet_input_mark_of(int fd, eet_input_mark *out, eet_error *err) {
    struct stat now;

    if (fstat(fd, &now) != 0) {
        return fail_system(err, errno);
    }
    *out = (eet_input_mark){
        .device = (uint64_t)now.st_dev,
        .inode = (uint64_t)now.st_ino,
        .bytes = (uint64_t)now.st_size,
        .seconds = now.st_mtim.tv_sec,
        .nanoseconds = now.st_mtim.tv_nsec,
    };
    return EET_OK;
}

eet_status eet_input_check(int fd, const eet_input_mark *mark, eet_error *err) {
    eet_input_mark now = {.bytes = 0};
    const eet_status status = eet_input_mark_of(fd, &now, err);

    if (status != EET_OK) {
        return status;
    }
    if (now.device != mark->device || now.inode != mark->inode) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE,
                        "the file was replaced by another one while it was read; try again");
    }
    if (now.bytes != mark->bytes || now.seconds != mark->seconds ||
        now.nanoseconds != mark->nanoseconds) {
        return eet_fail(err, EET_E_IO, EET_NOWHERE,
                        "the file changed while it was read; try again");
    }
    return EET_OK;
}

eet_status eet_read_at(int fd, uint64_t offset, void *data, uint64_t bytes, eet_error *err) {
    enum { CHUNK = 8 << 20 };
    uint8_t *at = data;
    uint64_t done = 0;

    if (offset > INT64_MAX || bytes > INT64_MAX - offset) {
        return eet_fail(err, EET_E_CORRUPT, offset, "an offset of %llu is past any file",
                        (unsigned long long)offset);
    }
    while (done < bytes) {
        const unsigned long long where = offset + done;
        const uint64_t wanted = bytes - done < CHUNK ? bytes - done : CHUNK;
        const ssize_t got = pread(fd, at + done, (size_t)wanted, (off_t)where);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return eet_fail_errno(err, errno, "cannot read at byte %llu", where);
        }
        if (got == 0) {
            return eet_fail(err, EET_E_CORRUPT, where,
                            "the file ends at byte %llu, in the middle of what is read", where);
        }
        done += (uint64_t)got;
    }
    return EET_OK;
}

eet_status eet_read_small(const char *path, bool follow_symlinks, uint64_t limit, char **data,
                          uint64_t *bytes, eet_error *err) {
    uint64_t size = 0;
    int fd = -1;
    eet_status status = eet_open_input(path, follow_symlinks, &fd, &size, err);

    if (status != EET_OK) {
        return status;
    }
    if (size > limit) {
        (void)close(fd);
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the file has %llu bytes; at most %llu are read", (unsigned long long)size,
                        (unsigned long long)limit);
    }
    char *text = malloc((size_t)size + 1);

    if (text == NULL) {
        (void)close(fd);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes",
                        (unsigned long long)size);
    }
    eet_input_mark mark;

    status = eet_input_mark_of(fd, &mark, err);
    if (status == EET_OK) {
        status = eet_read_at(fd, 0, text, size, err);
    }
    if (status == EET_OK) {
        status = eet_input_check(fd, &mark, err);
    }
    (void)close(fd);
    if (status != EET_OK) {
        free(text);
        return status;
    }
    text[size] = '\0';
    *data = text;
    *bytes = size;
    return EET_OK;
}
