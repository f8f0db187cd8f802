/* source_shards.c - a checkpoint in several files: opens all that its index names,
 * holds the index to what they hold, and keeps few of them open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "converter/index.h"
#include "converter/shards_internal.h"

enum {
    SPARE = 24, /* descriptors that others need */
    EACH = 3    /* of a part while it is opened */
};

static eet_status no_memory(eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a checkpoint in several files");
}

/* ---- few open files ------------------------------------------------------ */

static int32_t holding_room(void) {
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > SPARE + EACH * EET_SHARDS_HELD) {
        return EET_SHARDS_HELD;
    }
    return limit.rlim_cur > SPARE + EACH ? (int32_t)(limit.rlim_cur - SPARE) / EACH : 1;
}

/* The part that was opened first closes for another one. */
static void make_place(eet_shards *shards) {
    shards->turn = (shards->turn + 1) % shards->room;
    if (shards->held[shards->turn] != NULL) {
        eet_source_rest(shards->held[shards->turn]);
    }
    shards->held[shards->turn] = NULL;
}

static void hold(eet_shards *shards, eet_source *part) {
    shards->held[shards->turn] = part;
}

eet_status eet_shards_wake(eet_source *source, int32_t index, eet_error *err) {
    eet_source *part = source->part[index];

    if (part->fd >= 0) {
        return EET_OK;
    }
    make_place(source->state);
    const eet_status status = eet_source_wake(part, err);

    if (status == EET_OK) {
        hold(source->state, part);
    } else {
        eet_error_prefix(err, part->name);
    }
    return status;
}

/* ---- opening ------------------------------------------------------------- */

static char *beside(const eet_source *source, const char *name) {
    const size_t folder = (size_t)(source->name - source->path);
    char *path = malloc(folder + strlen(name) + 1);

    if (path != NULL) {
        memcpy(path, source->path, folder);
        strcpy(path + folder, name);
    }
    return path;
}

/* Names, one after the other, as many as a sentence can hold. */
typedef struct listing {
    char text[320];
    size_t used;
    int32_t named, count;
} listing;

static void list_name(listing *list, const char *name) {
    const char *comma = list->count == 0 ? "" : ", ";
    const size_t more = strlen(comma) + strlen(name);

    if (list->named == list->count && list->used + more < sizeof list->text) {
        (void)snprintf(list->text + list->used, sizeof list->text - list->used, "%s%s", comma,
                       name);
        list->used += more;
        list->named++;
    }
    list->count++;
}

/* Which files are not there at all, or are links to nothing: said together. */
static eet_status check_there(const eet_source *source, const eet_index *index, eet_error *err) {
    listing missing = {.used = 0};

    for (int32_t i = 0; i < index->files; i++) {
        char *path = beside(source, index->file[i]);
        struct stat about;

        if (path == NULL) {
            return no_memory(err);
        }
        if (stat(path, &about) != 0 && errno == ENOENT) {
            list_name(&missing, index->file[i]);
        }
        free(path);
    }
    if (missing.count == 0) {
        return EET_OK;
    }
    return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE,
                    "%d of the %d files that the index names are missing: %s%s; fetch them again",
                    (int)missing.count, (int)index->files, missing.text,
                    missing.named < missing.count ? ", ..." : "");
}

/* A link that would need --follow-symlinks: inside the folder it is a matter of that
 * option, but an index from elsewhere does not lead out of its folder. */
static eet_status judge_link(const char *path, eet_status status, eet_error *err) {
    char target[4096];
    const ssize_t length = status == EET_E_AMBIGUOUS ? readlink(path, target, sizeof target) : -1;

    if (length <= 0 || memchr(target, '/', (size_t)length) == NULL) {
        return status;
    }
    eet_error_clear(err);
    return eet_fail(err, EET_E_SUSPICIOUS, EET_NOWHERE,
                    "the file is a symbolic link out of its folder; --follow-symlinks follows it");
}

/* Two names of one file would be two parts with the same tensors. */
static eet_status check_twice(const eet_source *source, const eet_source *part, eet_error *err) {
    for (int32_t i = 0; i < source->parts; i++) {
        const eet_input_mark *mark = &source->part[i]->mark;

        if (mark->device == part->mark.device && mark->inode == part->mark.inode) {
            return eet_fail(err, EET_E_CORRUPT, EET_NOWHERE, "the file is %s by another name",
                            source->part[i]->name);
        }
    }
    return EET_OK;
}

static eet_status take_warnings(eet_source *source, const eet_source *part, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t i = 0; status == EET_OK && i < part->warnings; i++) {
        status = eet_source_warn(source, err, "%s: %s", part->name, part->warning[i]);
    }
    return status;
}

static eet_status open_part(eet_source *source, const char *name, eet_error *err) {
    eet_shards *shards = source->state;
    char *path = beside(source, name);
    eet_source *part = NULL;

    if (path == NULL) {
        return no_memory(err);
    }
    make_place(shards);
    eet_status status = eet_source_open_part(path, source->follow_symlinks, &part, err);

    if (status != EET_OK) {
        status = judge_link(path, status, err);
    }
    free(path);
    if (part == NULL) {
        eet_error_prefix(err, name);
        return status;
    }
    status = check_twice(source, part, err);
    eet_error_prefix(err, name);
    source->part[source->parts++] = part; /* source's from now on */
    hold(shards, part);
    return status == EET_OK ? take_warnings(source, part, err) : status;
}

static eet_status open_parts(eet_source *source, const eet_index *index, eet_error *err) {
    eet_status status = check_there(source, index, err);

    for (int32_t i = 0; status == EET_OK && i < index->files; i++) {
        status = open_part(source, index->file[i], err);
        if (status == EET_OK) {
            status = eet_shards_take(source, index, i, err);
        }
    }
    return status;
}

static eet_status open_shards(eet_source *source, eet_error *err) {
    eet_shards *shards = calloc(1, sizeof *shards);
    eet_index index = {0};

    source->state = shards;
    if (shards == NULL) {
        return no_memory(err);
    }
    shards->room = holding_room();
    eet_status status = eet_index_read(source->fd, source->bytes, &index, err);

    if (status != EET_OK) {
        return status;
    }
    source->parts = 0;
    source->part = calloc((size_t)index.files, sizeof(eet_source *));
    shards->base = calloc((size_t)index.files, sizeof *shards->base);
    status = source->part != NULL && shards->base != NULL ? open_parts(source, &index, err)
                                                          : no_memory(err);
    if (status == EET_OK) {
        status = eet_shards_settle(source, &index, err);
    }
    eet_index_free(&index);
    return status;
}

static void close_shards(eet_source *source) {
    eet_shards *shards = source->state;

    if (shards != NULL) {
        for (int32_t i = 0; i < shards->strays; i++) {
            free((char *)shards->stray[i].tensor.name);
        }
        free(shards->stray);
        free(shards->base);
    }
    free(shards);
    source->state = NULL;
}

/* ---- reading ------------------------------------------------------------- */

/* The part that storage number `storage` lies in. */
static int32_t part_of(const eet_source *source, int32_t storage) {
    const eet_shards *shards = source->state;
    int32_t low = 0;
    int32_t high = source->parts;

    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;

        if (shards->base[middle] <= storage) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint64_t storage_bytes(const eet_source *source, int32_t storage) {
    const eet_shards *shards = source->state;
    const int32_t index = part_of(source, storage);
    const eet_source *part = source->part[index];

    return part->reader->storage_bytes(part, storage - shards->base[index]);
}

static eet_status storage_read(eet_source *source, int32_t storage, void *data, eet_error *err) {
    const eet_shards *shards = source->state;
    const int32_t index = part_of(source, storage);
    eet_source *part = source->part[index];
    eet_status status = eet_shards_wake(source, index, err);

    if (status == EET_OK) {
        status = part->reader->storage_read(part, storage - shards->base[index], data, err);
        eet_error_prefix(err, part->name);
    }
    return status;
}

const eet_source_reader eet_source_reader_shards = {
    .kind = "index",
    .open = open_shards,
    .close = close_shards,
    .storage_bytes = storage_bytes,
    .storage_read = storage_read,
};
