/* input.h - opens a file that somebody else wrote. */
#ifndef EET_CONVERTER_INPUT_H
#define EET_CONVERTER_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

/* Opens a regular file for reading. A symbolic link is followed when it is a
 * Transformers hub cache's (snapshots/<rev>/NAME -> ../../blobs/<id>, one step, and
 * so in folders below <rev>) or when `follow_symlinks` says so, else it is
 * E_AMBIGUOUS; a FIFO, device or directory is refused without being opened for
 * data. The caller closes *fd. */
eet_status eet_open_input(const char *path, bool follow_symlinks, int *fd, uint64_t *bytes,
                          eet_error *err);

/* What tells one state of a file from another. */
typedef struct eet_input_mark {
    uint64_t device, inode, bytes;
    int64_t seconds, nanoseconds; /* of the last change */
} eet_input_mark;
eet_status eet_input_mark_of(int fd, eet_input_mark *out, eet_error *err);

/* E_IO when the open file is not what it was, or is another one. */
eet_status eet_input_check(int fd, const eet_input_mark *mark, eet_error *err);

/* Reads exactly `bytes` at `offset`; a shorter file is E_CORRUPT. */
eet_status eet_read_at(int fd, uint64_t offset, void *data, uint64_t bytes, eet_error *err);

/* The whole of a small file (<= limit bytes), NUL-terminated; free() it. */
eet_status eet_read_small(const char *path, bool follow_symlinks, uint64_t limit, char **data,
                          uint64_t *bytes, eet_error *err);

#endif
