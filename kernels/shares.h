/* shares.h - which part of an op's work is whose, where blocks or threads share it by numbers
 * alone: the same on the host, which tests it, and on a device. */
#ifndef EET_KERNELS_SHARES_H
#define EET_KERNELS_SHARES_H

#include <stdint.h>

#include "kernels/kernels.h"

/* ---- texts -------------------------------------------------------------------- */

/* The row that a query belongs to: the last that does not begin behind it. q_start has a number of
 * each row, ascending. */
EET_BOTH static inline int32_t eet_row_of(const int32_t *q_start, int32_t rows, int32_t query) {
    int32_t low = 0;
    int32_t high = rows - 1;

    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;

        if (q_start[middle] <= query) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* ---- pages of keys -------------------------------------------------------------- */

EET_BOTH static inline int32_t eet_pages_of(int32_t keys) {
    return (keys + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS;
}

/* The first page of one of `chains` runs of pages, which differ by one page at most. */
EET_BOTH static inline int32_t eet_chain_at(int32_t chain, int32_t chains, int32_t pages) {
    return (int32_t)((int64_t)chain * pages / chains);
}

/* Items are a token's heads, token after token; an item of a token has `each` pages. The first item
 * that begins `at` pages from the start or behind, if `at` is among the pages of this token, before
 * which the tokens' items have `before` pages a head; else -1. */
EET_BOTH static inline int32_t eet_item_at(int32_t token, int32_t heads, int32_t before,
                                           int32_t each, int64_t at) {
    const int64_t begin = (int64_t)before * heads;

    return begin <= at && at < begin + (int64_t)each * heads
               ? token * heads + (int32_t)((at - begin + each - 1) / each)
               : -1;
}

/* ---- tiles of a product ---------------------------------------------------------- */

/* The tile of a number, so that those made at the same time share rows of x and of w: tiles of
 * columns one after another, for so many tiles of rows at a time. */
enum { EET_TILE_GROUP = 16 };

typedef struct eet_tile_place {
    int32_t row, col;
} eet_tile_place;

EET_BOTH static inline eet_tile_place eet_tile_at(int32_t tile, int32_t across, int32_t down) {
    const int32_t group = tile / (EET_TILE_GROUP * across);
    const int32_t in = tile - group * EET_TILE_GROUP * across;
    const int32_t left = down - group * EET_TILE_GROUP;
    const int32_t height = left < EET_TILE_GROUP ? left : EET_TILE_GROUP;
    const eet_tile_place place = {group * EET_TILE_GROUP + in % height, in / height};

    return place;
}

/* ---- ids of a vocabulary ---------------------------------------------------------- */

/* [begin, end); none where end is not behind begin. */
typedef struct eet_ids {
    int32_t begin, end;
} eet_ids;

EET_BOTH static inline eet_ids eet_ids_of_part(int32_t vocab, int32_t part, int32_t parts) {
    const int32_t each = (vocab + parts - 1) / parts;
    const int32_t begin = part * each;
    const eet_ids ids = {begin, begin + each < vocab ? begin + each : vocab};

    return ids;
}

#endif
