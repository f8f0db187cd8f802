/* target.h - a file that is to appear whole or not at all: a temporary file beside it takes
 * its name in one step. */
#ifndef EET_FORMAT_TARGET_H
#define EET_FORMAT_TARGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "eet_types.h"

/* The path of a temporary file while it exists, else NULL: signal handlers read it. */
typedef _Atomic(const char *) eet_live_path;

typedef struct eet_target {
    char *path, *folder; /* as given; the folder that holds it */
    const char *name;    /* in path */
    int folder_fd, fd;   /* -1: not open */
    char *temporary;     /* path of the temporary file */
    const char *temporary_name;
    eet_live_path live; /* temporary */
    uint64_t started;   /* bytes, from the start, that the disk was asked to write already */
} eet_target;

eet_status eet_target_set(eet_target *target, const char *path, eet_error *err);
/* Makes the temporary file with `bytes` bytes reserved; 0 when its size is not known yet. */
eet_status eet_target_begin(eet_target *target, bool force, uint64_t bytes, eet_error *err);
eet_status eet_target_write(const eet_target *target, uint64_t offset, const void *data,
                            uint64_t bytes, eet_error *err);
/* Has the disk write what stands before `end`, in steps, while more is made; no promise. */
void eet_target_start_writing(eet_target *target, uint64_t end);
/* Gives the temporary file its mode and its name. */
eet_status eet_target_commit(eet_target *target, bool force, bool sync, eet_error *err);
void eet_target_drop(eet_target *target); /* unlinks what is not committed, frees all */

#endif
