/* test_shares.c - whoever shares work by numbers alone leaves nothing out and does nothing twice.
 */
#include "kernels/shares.h"

#include "kernels/stages.h"
#include "tests/kernels/lab.h"
#include "tests/support/suite.h"

START_TEST(a_query_is_of_the_row_that_it_lies_in)
{
    int32_t start[12] = {0};

    for (int32_t rows = 1; rows <= 11; ++rows) {
        for (int32_t r = 0; r < rows; ++r) { /* some rows are of one query, none is of none */
            start[r + 1] = start[r] + 1 + (r * r + _i) % 4;
        }
        for (int32_t r = 0; r < rows; ++r) {
            for (int32_t query = start[r]; query < start[r + 1]; ++query) {
                ck_assert_int_eq(eet_row_of(start, rows, query), r);
            }
        }
        ck_assert_int_eq(eet_row_of(start, rows, start[rows] + 3), rows - 1);
    }
}
END_TEST

START_TEST(chains_are_all_pages_in_order_and_alike)
{
    for (int32_t keys = 0; keys < 70 * EET_PAGE_TOKENS; keys += 13 + _i) {
        const int32_t pages = eet_pages_of(keys);

        ck_assert(pages * EET_PAGE_TOKENS >= keys && (pages - 1) * EET_PAGE_TOKENS < keys);
        for (int32_t chains = 1; chains <= 8; chains *= 2) {
            ck_assert_int_eq(eet_chain_at(0, chains, pages), 0);
            ck_assert_int_eq(eet_chain_at(chains, chains, pages), pages);
            for (int32_t c = 0; c < chains; ++c) {
                const int32_t length =
                    eet_chain_at(c + 1, chains, pages) - eet_chain_at(c, chains, pages);

                ck_assert(length == pages / chains || length == pages / chains + 1);
            }
        }
    }
    ck_assert_int_eq(eet_chain_at(7, 8, INT32_MAX), (int32_t)(INT64_C(7) * INT32_MAX / 8));
}
END_TEST

/* The first item of a share among all tokens; the end of all behind the last one. */
static int32_t first_of(const int32_t *before, int32_t tokens, int32_t heads, int64_t at) {
    int32_t item = tokens * heads;
    int32_t found = 0;

    for (int32_t token = 0; token < tokens; ++token) {
        const int32_t each = before[token + 1] - before[token];
        const int32_t one = eet_item_at(token, heads, before[token], each, at);

        if (one >= 0) {
            const int64_t begin =
                (int64_t)before[token] * heads + (int64_t)(one - token * heads) * each;

            ck_assert(begin >= at && begin - at < each);
            item = one;
            ++found;
        }
    }
    ck_assert_int_eq(found, at < (int64_t)before[tokens] * heads ? 1 : 0);
    return item;
}

/* Shares of pages, cut at items: each item is in one share, and no share is longer than the pages
 * that are its by right and an item. Tokens of nobody (no pages) are in nobody's way. */
START_TEST(shares_are_all_items_in_order)
{
    int32_t before[41] = {0};

    lab_seed((uint64_t)_i);
    const int32_t *pages = lab_ints(40, 18);

    for (int32_t token = 0; token < 40; ++token) {
        before[token + 1] = before[token] + (pages[token] < 4 ? 0 : pages[token] - 3);
    }
    for (int32_t tokens = 1; tokens <= 40; tokens += 5) {
        const int32_t heads = 1 + (tokens + _i) % 12;
        const int64_t total = (int64_t)before[tokens] * heads;

        for (int32_t shares = 1; shares <= 132; shares += 1 + shares / 2) {
            int32_t last = 0;

            for (int32_t s = 0; s < shares && total > 0; ++s) {
                const int32_t begin = first_of(before, tokens, heads, total * s / shares);
                const int32_t end = first_of(before, tokens, heads, total * (s + 1) / shares);

                ck_assert(begin >= last && end >= begin);
                for (int32_t item = last; item < begin; ++item) { /* left out: nobody's */
                    ck_assert_int_eq(before[item / heads], before[item / heads + 1]);
                }
                last = end;
            }
            for (int32_t item = last; item < tokens * heads; ++item) {
                ck_assert(total == 0 || before[item / heads] == before[item / heads + 1]);
            }
        }
    }
    lab_free();
}
END_TEST

START_TEST(stages_are_as_many_as_there_is_room_for_and_never_one)
{
    enum { STATES = 18432, STAGE = 16384 }; /* of heads of 64, in 16 bits */

    ck_assert_int_eq(eet_stages_in(104 << 10, STATES, STAGE, 8), 5);
    ck_assert_int_eq(eet_stages_in(96 << 10, STATES, STAGE, 8), 4);
    ck_assert_int_eq(eet_stages_in(104 << 10, STATES, STAGE, 3), 3);
    ck_assert_int_eq(eet_stages_in(STATES + 2 * STAGE, STATES, STAGE, 8), 2);
    ck_assert_int_eq(eet_stages_in(STATES + 2 * STAGE - 1, STATES, STAGE, 8), 0);
    ck_assert_int_eq(eet_stages_in(STATES, STATES, STAGE, 8), 0);
    ck_assert_int_eq(eet_stages_in(-100, STATES, STAGE, 8), 0);
}
END_TEST

START_TEST(every_tile_has_one_number)
{
    static const int32_t widths[] = {1, 2, 3, 15, 16, 17, 40};
    const int32_t across = widths[_i];
    char seen[40][40];

    for (int32_t down = 1; down <= 40; ++down) {
        memset(seen, 0, sizeof seen);
        for (int32_t tile = 0; tile < across * down; ++tile) {
            const eet_tile_place at = eet_tile_at(tile, across, down);

            ck_assert(at.row >= 0 && at.row < down && at.col >= 0 && at.col < across);
            ck_assert_int_eq(seen[at.row][at.col]++, 0);
            ck_assert_int_eq(at.row / EET_TILE_GROUP, tile / (EET_TILE_GROUP * across));
        }
    }
}
END_TEST

START_TEST(every_id_is_of_one_part)
{
    static const int32_t vocabs[] = {1, 2, 31, 32, 33, 101, 4096, 50257, 128256};
    static const int32_t parts[] = {1, 2, 32, 64, 100};

    for (size_t p = 0; p < sizeof parts / sizeof *parts; ++p) {
        int32_t next = 0;

        for (int32_t part = 0; part < parts[p]; ++part) {
            const eet_ids ids = eet_ids_of_part(vocabs[_i], part, parts[p]);

            if (ids.begin < ids.end) {
                ck_assert_int_eq(ids.begin, next);
                next = ids.end;
            }
        }
        ck_assert_int_eq(next, vocabs[_i]);
    }
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_query_is_of_the_row_that_it_lies_in, .rows = 4},
        {.test = chains_are_all_pages_in_order_and_alike, .rows = 3},
        {.test = shares_are_all_items_in_order, .rows = 8},
        {.test = stages_are_as_many_as_there_is_room_for_and_never_one},
        {.test = every_tile_has_one_number, .rows = 7},
        {.test = every_id_is_of_one_part, .rows = 9},
    };

    return eet_suite_run("shares", claims, sizeof claims / sizeof *claims);
}
