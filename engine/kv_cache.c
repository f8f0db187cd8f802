/* kv_cache.c - hands out pages of the cache and takes them back. */
#include "engine/kv_cache.h"

#include <stddef.h>
#include <string.h>

void eet_cache_layout(eet_cache *cache, eet_arena *host) {
    const uint64_t pages = (uint64_t)cache->count;
    const uint64_t sequences = (uint64_t)cache->sequences;
    const uint64_t sources = (uint64_t)cache->sources;
    const uint64_t stride = (uint64_t)cache->stride;

    cache->free = eet_arena_take(host, pages, sizeof *cache->free);
    cache->owners = eet_arena_take(host, pages, sizeof *cache->owners);
    cache->claims = eet_arena_take(host, pages, sizeof *cache->claims);
    cache->sequence = eet_arena_take(host, sequences + sources, sizeof *cache->sequence);
    cache->table = eet_arena_take(host, sequences * stride, sizeof *cache->table);
    cache->source_table =
        eet_arena_take(host, sources * (uint64_t)cache->source_stride, sizeof *cache->source_table);
    cache->ids = eet_arena_take(host, sequences * stride, EET_PAGE_TOKENS * sizeof *cache->ids);
}

void eet_cache_reset(eet_cache *cache, int32_t pad) {
    cache->pad = pad;
    cache->free_count = cache->count;
    for (int32_t i = 0; i < cache->count; ++i) {
        cache->free[i] = cache->count - 1 - i; /* page 0 is the first to go */
    }
    for (int32_t i = 0; i < cache->sequences + cache->sources; ++i) {
        cache->sequence[i].source = -1;
    }
}

static int32_t *pages_of(const eet_cache *cache, int32_t id) {
    return id < cache->sequences
               ? cache->table + (int64_t)id * cache->stride
               : cache->source_table + (int64_t)(id - cache->sequences) * cache->source_stride;
}

static int32_t take_page(eet_cache *cache) {
    const int32_t page = cache->free[--cache->free_count];

    cache->owners[page] = 1;
    return page;
}

static void give_back(eet_cache *cache, int32_t page) {
    cache->owners[page] -= 1;
    if (cache->owners[page] == 0) {
        cache->free[cache->free_count++] = page;
    }
}

int32_t eet_cache_lacks(const eet_cache *cache, int32_t id, int64_t tokens) {
    const int32_t lacks = eet_pages_for(tokens) - cache->sequence[id].pages;

    return lacks > 0 ? lacks : 0;
}

void eet_cache_take(eet_cache *cache, int32_t id, int64_t tokens) {
    eet_sequence *sequence = &cache->sequence[id];

    for (int32_t lacks = eet_cache_lacks(cache, id, tokens); lacks > 0; --lacks) {
        pages_of(cache, id)[sequence->pages++] = take_page(cache);
    }
}

void eet_cache_shrink(eet_cache *cache, int32_t id) {
    eet_sequence *sequence = &cache->sequence[id];

    while (sequence->pages > eet_pages_for(sequence->length)) {
        give_back(cache, pages_of(cache, id)[--sequence->pages]);
    }
}

void eet_cache_trim(eet_cache *cache, int32_t id, int32_t length) {
    cache->sequence[id].length = length;
    if (length == 0) {
        cache->sequence[id].source = -1;
    }
    eet_cache_shrink(cache, id);
}

void eet_cache_fork(eet_cache *cache, int32_t from, int32_t to) {
    const int32_t length = cache->sequence[from].length;
    const int32_t pages = eet_pages_for(length);

    if (from == to) {
        return;
    }
    eet_cache_trim(cache, to, 0);
    for (int32_t i = 0; i < pages; ++i) {
        const int32_t page = pages_of(cache, from)[i];

        pages_of(cache, to)[i] = page;
        cache->owners[page] += 1;
    }
    memcpy(eet_cache_ids(cache, to), eet_cache_ids(cache, from),
           (size_t)length * sizeof *cache->ids);
    cache->sequence[to] =
        (eet_sequence){.length = length, .pages = pages, .source = cache->sequence[from].source};
}

/* The page that the next token goes into, when it holds tokens already. */
static int32_t *begun_page(const eet_cache *cache, int32_t id) {
    const int32_t length = cache->sequence[id].length;

    return length % EET_PAGE_TOKENS != 0 ? pages_of(cache, id) + length / EET_PAGE_TOKENS : NULL;
}

int32_t eet_cache_claim(eet_cache *cache, int32_t id) {
    const int32_t *page = begun_page(cache, id);

    if (page == NULL) {
        return 0;
    }
    cache->claims[*page] += 1;
    return cache->claims[*page] < cache->owners[*page] ? 1 : 0;
}

void eet_cache_unclaim(eet_cache *cache, int32_t id) {
    const int32_t *page = begun_page(cache, id);

    if (page != NULL) {
        cache->claims[*page] -= 1;
    }
}

bool eet_cache_own(eet_cache *cache, int32_t id, eet_page_move *move) {
    int32_t *page = begun_page(cache, id);

    if (page == NULL || cache->owners[*page] == 1) {
        return false;
    }
    *move = (eet_page_move){
        .from = *page,
        .to = take_page(cache),
        .tokens = cache->sequence[id].length % EET_PAGE_TOKENS,
    };
    cache->owners[*page] -= 1;
    *page = move->to;
    return true;
}

int64_t eet_cache_slot(const eet_cache *cache, int32_t id, int32_t token) {
    const int64_t page = pages_of(cache, id)[token / EET_PAGE_TOKENS];

    return page * EET_PAGE_TOKENS + token % EET_PAGE_TOKENS;
}

int32_t eet_cache_counted(const eet_cache *cache, int32_t id, int32_t length) {
    int32_t counted = length;

    for (int32_t i = 0; cache->pad >= 0 && i < length; ++i) {
        counted -= eet_cache_ids(cache, id)[i] == cache->pad ? 1 : 0;
    }
    return counted;
}
