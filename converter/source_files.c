/* source_files.c - the files of a checkpoint: told, opened again, and looked at for
 * changes. */
#include <unistd.h>

#include "converter/shards_internal.h"

static eet_status use(eet_source *source, eet_error *err) {
    return source->reader != NULL && source->reader->use != NULL ? source->reader->use(source, err)
                                                                 : EET_OK;
}

void eet_source_rest(eet_source *source) {
    if (source->fd >= 0) {
        (void)close(source->fd);
        source->fd = -1;
        (void)use(source, NULL);
    }
}

eet_status eet_source_wake(eet_source *source, eet_error *err) {
    uint64_t bytes = 0;

    if (source->fd >= 0) {
        return EET_OK;
    }
    eet_status status =
        eet_open_input(source->path, source->follow_symlinks, &source->fd, &bytes, err);

    if (status == EET_OK) {
        status = eet_input_check(source->fd, &source->mark, err);
    }
    if (status == EET_OK) {
        status = use(source, err);
    }
    if (status != EET_OK) {
        eet_source_rest(source);
    }
    return status;
}

static eet_source *file_of(const eet_source *source, int32_t index) {
    return source->part[index - 1];
}

int32_t eet_source_files(const eet_source *source) {
    return 1 + source->parts;
}

const eet_source_file *eet_source_file_at(const eet_source *source, int32_t index) {
    return index == 0 ? &source->file : &file_of(source, index)->file;
}

eet_status eet_source_file_open(eet_source *source, int32_t index, int *fd, eet_error *err) {
    eet_source *file = index == 0 ? source : file_of(source, index);
    const eet_status status = index == 0 ? EET_OK : eet_shards_wake(source, index - 1, err);

    *fd = file->fd;
    return status;
}

bool eet_source_is_of(const eet_source *source, uint64_t device, uint64_t inode) {
    for (int32_t i = 0; i < eet_source_files(source); i++) {
        const eet_source *file = i == 0 ? source : file_of(source, i);

        if (file->mark.device == device && file->mark.inode == inode) {
            return true;
        }
    }
    return false;
}

eet_status eet_source_check(eet_source *source, eet_error *err) {
    eet_status status = EET_OK;
    int fd = -1;

    for (int32_t i = 0; status == EET_OK && i < eet_source_files(source); i++) {
        const eet_source *file = i == 0 ? source : file_of(source, i);

        status = eet_source_file_open(source, i, &fd, err);
        if (status == EET_OK) {
            status = eet_input_check(fd, &file->mark, err);
            if (i > 0) {
                eet_error_prefix(err, file->name);
            }
        }
    }
    return status;
}
