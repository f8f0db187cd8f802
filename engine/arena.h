/* arena.h - one block of memory, cut in order. Without a base nothing is taken, only
 * counted: the function that lays memory out runs twice, first to measure it. */
#ifndef EET_ENGINE_ARENA_H
#define EET_ENGINE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

typedef struct eet_arena {
    char *base; /* NULL: measure */
    uint64_t used, peak;
    bool too_large; /* more than 2^62 bytes were asked for */
} eet_arena;

/* `count` elements of `bytes` each, aligned to 64 bytes; NULL while measuring. */
void *eet_arena_take(eet_arena *arena, uint64_t count, uint64_t bytes);

/* What was taken after `used` was read is over: its memory is the next one's. */
void eet_arena_rewind(eet_arena *arena, uint64_t used);

#endif
