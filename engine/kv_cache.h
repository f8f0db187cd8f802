/* kv_cache.h - which pages of the key/value cache belong to which sequence. The pages
 * themselves are the backend's; this is the host's book-keeping, in memory of the
 * session's arena. */
#ifndef EET_ENGINE_KV_CACHE_H
#define EET_ENGINE_KV_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "kernels/kernels.h"

typedef struct eet_sequence {
    int32_t length; /* tokens in the cache */
    int32_t pages;  /* taken; at least as many as the length needs */
} eet_sequence;

typedef struct eet_cache {
    eet_pages pages;   /* the backend's */
    int32_t sequences; /* slots for sequences */
    int32_t stride;    /* pages that one sequence may have */
    int32_t free_count;
    int32_t *free;          /* (pages) numbers of pages that nobody has: the first free_count */
    uint16_t *owners;       /* (pages) sequences that have the page */
    eet_sequence *sequence; /* (sequences) */
    int32_t *table;         /* (sequences, stride) pages in order */
    uint8_t *pad; /* (sequences, stride * 64) is the token a pad? NULL: positions do not ask */
} eet_cache;

/* Cuts the book-keeping of a cache whose counts are set. */
void eet_cache_layout(eet_cache *cache, eet_arena *host, bool pads);
/* Every page is free. */
void eet_cache_reset(eet_cache *cache);

static inline int32_t eet_pages_for(int64_t tokens) {
    return (int32_t)((tokens + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS);
}

/* Pages that the sequence lacks for `tokens` tokens. */
int32_t eet_cache_lacks(const eet_cache *cache, int32_t id, int64_t tokens);
/* Takes them; there must be as many free ones. */
void eet_cache_take(eet_cache *cache, int32_t id, int64_t tokens);
/* Gives back the pages that the sequence's length does not need. */
void eet_cache_shrink(eet_cache *cache, int32_t id);
void eet_cache_trim(eet_cache *cache, int32_t id, int32_t length);

/* Where the key and value of a sequence's token go: page * 64 + place. */
int64_t eet_cache_slot(const eet_cache *cache, int32_t id, int32_t token);

/* Tokens among the first `length` of a sequence that are no pads. */
int32_t eet_cache_counted(const eet_cache *cache, int32_t id, int32_t length);
void eet_cache_note_pad(eet_cache *cache, int32_t id, int32_t token, bool pad);

#endif
