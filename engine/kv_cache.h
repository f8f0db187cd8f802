/* kv_cache.h - which pages of the key/value cache belong to which sequence, and which to
 * which source of cross attention. The pages themselves are the backend's; this is the
 * host's book-keeping, in memory of the session's arena.
 *
 * Sources stand behind the sequences, numbered on: what takes an `id` takes theirs too, but
 * for what is about forks and ids of tokens.
 *
 * Sequences that were forked share pages. A page with several owners is never written:
 * who appends to it gets a copy first (eet_cache_own), and the page count of a call
 * includes its copies (eet_cache_claim), so that nothing is missing once work begins. */
#ifndef EET_ENGINE_KV_CACHE_H
#define EET_ENGINE_KV_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/arena.h"
#include "kernels/kernels.h"

typedef struct eet_sequence {
    int32_t length; /* tokens in the cache */
    int32_t pages;  /* taken; at least as many as the length needs */
    int32_t source; /* slot that its cross attention looks at; -1: none */
} eet_sequence;

typedef struct eet_cache {
    eet_pages pages;   /* the backend's */
    int32_t sequences; /* slots for sequences */
    int32_t stride;    /* pages that one sequence may have */
    int32_t sources;   /* slots for sources */
    int32_t source_stride;
    int32_t count; /* pages to hand out; the backend may have more */
    int32_t free_count;
    int32_t *free;          /* (pages) numbers of pages that nobody has: the first free_count */
    int32_t *owners;        /* (pages) sequences that have the page */
    int32_t *claims;        /* (pages) of them, those that a call appends to; 0 between calls */
    eet_sequence *sequence; /* (sequences + sources) */
    int32_t *table;         /* (sequences, stride) pages in order */
    int32_t *source_table;  /* (sources, source_stride) likewise */
    int32_t *ids;           /* (sequences, stride * 64) of each sequence's tokens */
    int32_t pad;            /* the id that takes no position; -1: all do */
} eet_cache;

/* Cuts the book-keeping of a cache whose counts are set. */
void eet_cache_layout(eet_cache *cache, eet_arena *host);
/* Every page is free. `pad`: the id that takes no position, or -1. */
void eet_cache_reset(eet_cache *cache, int32_t pad);

static inline int32_t eet_pages_for(int64_t tokens) {
    return (int32_t)((tokens + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS);
}

/* The id of a source slot. */
static inline int32_t eet_cache_source(const eet_cache *cache, int32_t slot) {
    return cache->sequences + slot;
}

/* Pages that the sequence lacks for `tokens` tokens. */
int32_t eet_cache_lacks(const eet_cache *cache, int32_t id, int64_t tokens);
/* Takes them; there must be as many free ones. */
void eet_cache_take(eet_cache *cache, int32_t id, int64_t tokens);
/* Gives back the pages that the sequence's length does not need. */
void eet_cache_shrink(eet_cache *cache, int32_t id);
/* Keeps `length` tokens; without any it looks at no source. */
void eet_cache_trim(eet_cache *cache, int32_t id, int32_t length);

/* `to` becomes what `from` is, on the same pages; what it had is given back first. */
void eet_cache_fork(eet_cache *cache, int32_t from, int32_t to);

/* Counts the sequence among those that are about to append: 1 when that takes a copy of
 * its last page, else 0. The last of a page's owners to claim it can keep it. Every claim
 * is followed by an unclaim. */
int32_t eet_cache_claim(eet_cache *cache, int32_t id);
void eet_cache_unclaim(eet_cache *cache, int32_t id);
/* Makes the page that the sequence's next token goes into its own. False: it is. True: the
 * copy in `move` is to be made before the page is written. */
bool eet_cache_own(eet_cache *cache, int32_t id, eet_page_move *move);

/* Where the key and value of a sequence's token go: page * 64 + place. */
int64_t eet_cache_slot(const eet_cache *cache, int32_t id, int32_t token);

/* The ids of a sequence's tokens: `length` of them, and room for more. */
static inline int32_t *eet_cache_ids(const eet_cache *cache, int32_t id) {
    return cache->ids + (int64_t)id * cache->stride * EET_PAGE_TOKENS;
}

/* Tokens among the first `length` of a sequence that are no pads. */
int32_t eet_cache_counted(const eet_cache *cache, int32_t id, int32_t length);

#endif
