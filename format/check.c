/* check.c - level 1: the XXH3-128 of every tensor, on several threads. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "format/checksum.h"
#include "format/file.h"

enum { MAX_THREADS = 16, WORTH_A_THREAD = 4 << 20 };

/* Workers take the next tensor in the order of offsets; the first wrong one in that
 * order is the one reported, whoever finds it. */
typedef struct check {
    const eet_file *file;
    atomic_uint next;
    atomic_uint wrong; /* position in by_offset; data_count when none is */
} check;

static bool tensor_is_whole(const eet_file *file, uint32_t index) {
    const eet_disk_tensor *t = &file->directory[index];
    const uint8_t *data = file->bytes + file->sections[t->section].offset + t->offset;
    const eet_xxh3 hash = eet_xxh3_128(data, t->nbytes);

    return memcmp(hash.word, t->xxh3_128, sizeof hash.word) == 0;
}

static eet_status blame(const eet_file *file, uint32_t index, eet_error *err) {
    const eet_disk_tensor *t = &file->directory[index];

    return eet_fail(err, EET_E_CORRUPT, file->sections[t->section].offset + t->offset,
                    "tensor \"%s\": its checksum is wrong; the file is damaged",
                    file->name_text + file->name_at[index]);
}

static void *work(void *argument) {
    check *c = argument;
    unsigned position = atomic_fetch_add(&c->next, 1);

    while (position < c->file->data_count && position < atomic_load(&c->wrong)) {
        if (!tensor_is_whole(c->file, c->file->by_offset[position])) {
            unsigned first = atomic_load(&c->wrong);

            while (position < first && !atomic_compare_exchange_weak(&c->wrong, &first, position)) {
            }
            return NULL;
        }
        position = atomic_fetch_add(&c->next, 1);
    }
    return NULL;
}

static int thread_count(const eet_file *file) {
    const uint64_t worth = file->size / WORTH_A_THREAD + 1;
    cpu_set_t set;
    int count = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        count = CPU_COUNT(&set);
    }
    count = count > MAX_THREADS ? MAX_THREADS : count;
    return (uint64_t)count > worth ? (int)worth : count;
}

eet_status eet_file_check_tensors(const eet_file *file, eet_error *err) {
    const int wanted = thread_count(file);
    pthread_t threads[MAX_THREADS];
    check c = {.file = file};
    int started = 0;

    atomic_init(&c.next, 0);
    atomic_init(&c.wrong, file->data_count);
    /* A thread that cannot be had is no failure: the caller does its share. */
    while (started < wanted - 1 && pthread_create(&threads[started], NULL, work, &c) == 0) {
        started++;
    }
    (void)work(&c);
    for (int i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    const unsigned wrong = atomic_load(&c.wrong);

    if (wrong == file->data_count) {
        return EET_OK;
    }
    return blame(file, file->by_offset[wrong], err);
}

eet_status eet_file_check_sum(const eet_file *file, int32_t index, eet_error *err) {
    return tensor_is_whole(file, (uint32_t)index) ? EET_OK : blame(file, (uint32_t)index, err);
}
