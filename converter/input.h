/* input.h - opens a file that somebody else wrote. */
#ifndef EET_CONVERTER_INPUT_H
#define EET_CONVERTER_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

/* Opens a regular file for reading. A symbolic link is followed when it is a
 * Transformers hub cache's (snapshots/<rev>/NAME -> ../../blobs/<id>, one step)
 * or when `follow_symlinks` says so; a FIFO, device or directory is refused
 * without being opened for data. The caller closes *fd. */
eet_status eet_open_input(const char *path, bool follow_symlinks, int *fd, uint64_t *bytes,
                          eet_error *err);

/* Reads exactly `bytes` at `offset`; a shorter file is E_CORRUPT. */
eet_status eet_read_at(int fd, uint64_t offset, void *data, uint64_t bytes, eet_error *err);

/* The whole of a small file (<= limit bytes), NUL-terminated; free() it. */
eet_status eet_read_small(const char *path, bool follow_symlinks, uint64_t limit, char **data,
                          uint64_t *bytes, eet_error *err);

#endif
