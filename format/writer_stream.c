/* writer_stream.c - SHA-256 in a second thread: a ring of buffers between the caller,
 * who copies in, and the thread, which hashes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "format/sha256.h"
#include "format/writer_parts.h"

enum { SLOTS = 32, SLOT_BYTES = 256 << 10 };

typedef struct slot {
    uint8_t *digest; /* set: the piece ends here */
    uint32_t bytes;
} slot;

struct eet_hasher {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    pthread_t thread;
    bool threaded; /* else the caller hashes */
    bool quit;
    uint64_t head, tail; /* slots ever filled; slots ever hashed */
    slot slots[SLOTS];
    uint8_t *room; /* (SLOTS * SLOT_BYTES) */
    eet_sha256 *hash;
};

static void hash_slot(eet_hasher *h, uint64_t number) {
    const slot *s = &h->slots[number % SLOTS];

    eet_sha256_add(h->hash, h->room + (number % SLOTS) * SLOT_BYTES, s->bytes);
    if (s->digest != NULL) {
        eet_sha256_finish(h->hash, s->digest);
    }
}

static void *run(void *argument) {
    eet_hasher *h = argument;

    (void)pthread_mutex_lock(&h->lock);
    for (;;) {
        while (h->tail == h->head && !h->quit) {
            (void)pthread_cond_wait(&h->filled, &h->lock);
        }
        if (h->tail == h->head) {
            break;
        }
        const uint64_t number = h->tail;

        (void)pthread_mutex_unlock(&h->lock);
        hash_slot(h, number);
        (void)pthread_mutex_lock(&h->lock);
        h->tail++;
        (void)pthread_cond_signal(&h->emptied);
    }
    (void)pthread_mutex_unlock(&h->lock);
    return NULL;
}

eet_hasher *eet_hasher_create(void) {
    eet_hasher *h = calloc(1, sizeof *h);

    if (h == NULL) {
        return NULL;
    }
    h->room = malloc((size_t)SLOTS * SLOT_BYTES);
    h->hash = eet_sha256_create();
    if (h->room == NULL || h->hash == NULL) {
        free(h->room);
        eet_sha256_free(h->hash);
        free(h);
        return NULL;
    }
    (void)pthread_mutex_init(&h->lock, NULL);
    (void)pthread_cond_init(&h->filled, NULL);
    (void)pthread_cond_init(&h->emptied, NULL);
    h->threaded = pthread_create(&h->thread, NULL, run, h) == 0;
    return h;
}

void eet_hasher_free(eet_hasher *h) {
    if (h == NULL) {
        return;
    }
    if (h->threaded) {
        (void)pthread_mutex_lock(&h->lock);
        h->quit = true;
        (void)pthread_cond_signal(&h->filled);
        (void)pthread_mutex_unlock(&h->lock);
        (void)pthread_join(h->thread, NULL);
    }
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->filled);
    (void)pthread_cond_destroy(&h->emptied);
    eet_sha256_free(h->hash);
    free(h->room);
    free(h);
}

/* Hands over one slot's worth. */
static void push(eet_hasher *h, const void *data, uint32_t bytes, uint8_t *digest) {
    if (!h->threaded) {
        eet_sha256_add(h->hash, data, bytes);
        if (digest != NULL) {
            eet_sha256_finish(h->hash, digest);
        }
        return;
    }
    (void)pthread_mutex_lock(&h->lock);
    while (h->head - h->tail == SLOTS) {
        (void)pthread_cond_wait(&h->emptied, &h->lock);
    }
    const uint64_t number = h->head;

    (void)pthread_mutex_unlock(&h->lock);
    if (bytes > 0) {
        memcpy(h->room + (number % SLOTS) * SLOT_BYTES, data, bytes);
    }
    h->slots[number % SLOTS] = (slot){digest, bytes};
    (void)pthread_mutex_lock(&h->lock);
    h->head++;
    (void)pthread_cond_signal(&h->filled);
    (void)pthread_mutex_unlock(&h->lock);
}

void eet_hasher_add(eet_hasher *h, const void *data, uint64_t bytes) {
    const uint8_t *at = data;

    while (bytes > 0) {
        const uint32_t step = bytes < SLOT_BYTES ? (uint32_t)bytes : (uint32_t)SLOT_BYTES;

        push(h, at, step, NULL);
        at += step;
        bytes -= step;
    }
}

void eet_hasher_end(eet_hasher *h, uint8_t digest[32]) {
    push(h, NULL, 0, digest);
}

void eet_hasher_drain(eet_hasher *h) {
    if (!h->threaded) {
        return;
    }
    (void)pthread_mutex_lock(&h->lock);
    while (h->tail != h->head) {
        (void)pthread_cond_wait(&h->emptied, &h->lock);
    }
    (void)pthread_mutex_unlock(&h->lock);
}
