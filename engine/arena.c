/* arena.c - cuts a block of memory, or counts what would be cut. */
#include "engine/arena.h"

#include <stddef.h>

#include "format/checked.h"

#define EET_ARENA_LIMIT (UINT64_C(1) << 62)
enum { ALIGNMENT = 64 };

void *eet_arena_take(eet_arena *arena, uint64_t count, uint64_t bytes) {
    uint64_t size = 0;
    uint64_t end = 0;

    if (!eet_mul_u64(count, bytes, &size) || !eet_add_u64(arena->used, size, &end) ||
        !eet_align_u64(end, ALIGNMENT, &end) || end > EET_ARENA_LIMIT) {
        arena->too_large = true;
        return NULL;
    }
    void *taken = arena->base != NULL ? arena->base + arena->used : NULL;

    arena->used = end;
    if (end > arena->peak) {
        arena->peak = end;
    }
    return taken;
}

void eet_arena_rewind(eet_arena *arena, uint64_t used) {
    arena->used = used;
}
