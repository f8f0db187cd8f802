/* test_forks.c - sequences that share pages: thousands of forks, cuts and steps beside a model
 * that runs every text from its start; and where each page is at every moment. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "engine/session.h"
#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { SLOTS = 7, MOST = 200, PAGES = 13, VOCAB = 40, PAD = 3 };

/* The engine under test, what its sequences should hold, and who says what follows. */
typedef struct stage {
    eet_model *model;
    eet_session *session; /* tight: PAGES pages for SLOTS sequences */
    eet_session *naive;   /* one sequence, always run from its start */
    int32_t length[SLOTS];
    int32_t tokens[SLOTS][MOST];
    float *want, *got; /* (MOST, VOCAB) and (SLOTS * MOST, VOCAB) */
    uint64_t random;
    int32_t refused, cancelled, copies;
    eet_error err;
} stage;

/* Weights and cache of several kinds; `pads`: positions depend on which tokens were pads. */
static const struct {
    int32_t dtype, cache_dtype, threads;
    bool pads;
    const char *backend; /* NULL: the processor's best */
    int32_t operations;
} kinds[] = {
    {EET_F32, EET_F32, 1, false, NULL, 2500},
    {EET_F32, EET_F16, 2, false, NULL, 1000},
    {EET_BF16, EET_BF16, 2, true, NULL, 1000},
    {EET_F32, EET_F32, 1, true, "ref", 250},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static eet_sample_model sample_of(int kind) {
    eet_sample_model sample = eet_sample_decoder();
    eet_stack_facts *s = &sample.facts.stack[EET_DEC];

    sample.dtype = kinds[kind].dtype;
    s->heads = 3;
    s->head_dim = 5;
    s->hidden = 20;
    s->emb_dim = 20;
    s->ffn = 31;
    s->pos_rows = MOST + 1;
    s->pos_skip_pad = kinds[kind].pads;
    s->tok_pad = PAD;
    if (kinds[kind].backend != NULL) {
        ck_assert_int_eq(setenv("EET_BACKEND", kinds[kind].backend, 1), 0);
    }
    return sample;
}

static stage begin_stage(int kind) {
    const eet_sample_model sample = sample_of(kind);
    stage s = {.model = play_model(&sample), .random = (uint64_t)kind + 5};
    eet_session_options options = {.threads = kinds[kind].threads,
                                   .max_sequences = SLOTS,
                                   .max_tokens = MOST,
                                   .cache_tokens = PAGES * EET_PAGE_TOKENS,
                                   .max_batch_tokens = 50,
                                   .cache_dtype = kinds[kind].cache_dtype};

    s.session = play_session(s.model, options);
    options = (eet_session_options){
        .threads = 1, .max_tokens = MOST, .cache_dtype = kinds[kind].cache_dtype};
    s.naive = play_session(s.model, options);
    s.want = play_alloc((size_t)MOST * VOCAB, sizeof *s.want);
    s.got = play_alloc((size_t)SLOTS * MOST * VOCAB, sizeof *s.got);
    return s;
}

static void end_stage(stage *s) {
    free(s->want);
    free(s->got);
    eet_session_destroy(s->naive);
    eet_session_destroy(s->session);
    eet_model_close(s->model);
}

static const int32_t *pages_of(const stage *s, int32_t id) {
    return s->session->cache.table + (int64_t)id * s->session->cache.stride;
}

/* Every page is free or has as many owners as sequences name it; no sequence has more pages
 * than it needs. */
static void check_pages(const stage *s) {
    const eet_cache *cache = &s->session->cache;
    int32_t owners[PAGES] = {0};
    int32_t free_pages = 0;

    for (int32_t id = 0; id < SLOTS; ++id) {
        ck_assert_int_eq(eet_sequence_length(s->session, id), s->length[id]);
        ck_assert_int_eq(cache->sequence[id].pages, eet_pages_for(s->length[id]));
        for (int32_t i = 0; i < cache->sequence[id].pages; ++i) {
            owners[pages_of(s, id)[i]] += 1;
        }
    }
    for (int32_t i = 0; i < cache->free_count; ++i) {
        ck_assert_int_eq(owners[cache->free[i]], 0);
        owners[cache->free[i]] = -1; /* not twice */
    }
    for (int32_t page = 0; page < PAGES; ++page) {
        ck_assert_int_eq(cache->claims[page], 0);
        ck_assert_int_ne(owners[page], 0); /* neither free nor used: lost */
        ck_assert_int_eq(cache->owners[page], owners[page] < 0 ? 0 : owners[page]);
        free_pages += owners[page] < 0 ? 1 : 0;
    }
    ck_assert_int_eq(free_pages, cache->free_count);
}

/* ---- steps ------------------------------------------------------------------------------ */

/* New tokens for some sequences. */
typedef struct draft {
    int32_t rows, start[SLOTS + 1], slot[SLOTS];
    int32_t tokens[SLOTS * MOST];
} draft;

static draft draw_draft(stage *s) {
    draft d = {0};
    const int32_t first = (int32_t)play_random(&s->random, SLOTS);

    for (int32_t i = 0; i < SLOTS; ++i) {
        const int32_t id = (first + i) % SLOTS;
        const uint32_t most = play_random(&s->random, 4) == 0 ? 90 : 3;
        int32_t count = (int32_t)play_random(&s->random, most);

        count = s->length[id] + count > MOST ? MOST - s->length[id] : count;
        if (count == 0 || play_random(&s->random, 2) == 0) {
            continue;
        }
        const int32_t at = d.start[d.rows];

        for (int32_t k = 0; k < count; ++k) {
            d.tokens[at + k] = (int32_t)play_random(&s->random, VOCAB);
        }
        d.slot[d.rows++] = id;
        d.start[d.rows] = at + count;
    }
    return d;
}

/* Copies that the rows of a draft need: of the rows that append to one begun page, all when
 * others have the page too, else all but one. */
static int32_t copies_of(const stage *s, const draft *d) {
    int32_t copies = 0;

    for (int32_t page = 0; page < PAGES; ++page) {
        int32_t owners = 0;
        int32_t writers = 0;

        for (int32_t id = 0; id < SLOTS; ++id) {
            for (int32_t i = 0; i < eet_pages_for(s->length[id]); ++i) {
                owners += pages_of(s, id)[i] == page ? 1 : 0;
            }
        }
        for (int32_t r = 0; r < d->rows; ++r) {
            const int32_t length = s->length[d->slot[r]];

            writers += length % EET_PAGE_TOKENS != 0 &&
                               pages_of(s, d->slot[r])[length / EET_PAGE_TOKENS] == page
                           ? 1
                           : 0;
        }
        copies += writers == 0 ? 0 : writers == owners ? writers - 1 : writers;
    }
    return copies;
}

static int32_t pages_needed(const stage *s, const draft *d) {
    int32_t pages = copies_of(s, d);

    for (int32_t r = 0; r < d->rows; ++r) {
        const int32_t length = s->length[d->slot[r]];

        pages +=
            eet_pages_for((int64_t)length + d->start[r + 1] - d->start[r]) - eet_pages_for(length);
    }
    return pages;
}

/* A row's scores are those of its whole text, bit for bit. */
static void compare_row(stage *s, const draft *d, int32_t row) {
    const int32_t id = d->slot[row];
    const int32_t count = d->start[row + 1] - d->start[row];
    int32_t start[2];
    const eet_batch text = play_row(start, s->tokens[id], s->length[id], NULL);
    eet_output output = play_output(0, s->want, (int64_t)MOST * VOCAB);

    output.take = EET_TAKE_EVERY;
    ck_assert_int_eq(eet_sequence_trim(s->naive, 0, 0, &s->err), EET_OK);
    ck_assert_int_eq(eet_step(s->naive, &text, &output, 1, &s->err), EET_OK);
    ck_assert_msg(memcmp(s->want + (int64_t)(s->length[id] - count) * VOCAB,
                         s->got + (int64_t)d->start[row] * VOCAB,
                         sizeof *s->want * (size_t)count * VOCAB) == 0,
                  "sequence %d of %d tokens has other scores", id, s->length[id]);
}

static void note_step(stage *s, const draft *d) {
    for (int32_t r = 0; r < d->rows; ++r) {
        const int32_t id = d->slot[r];
        const int32_t count = d->start[r + 1] - d->start[r];

        memcpy(s->tokens[id] + s->length[id], d->tokens + d->start[r],
               sizeof *d->tokens * (size_t)count);
        s->length[id] += count;
    }
}

/* A step gives the scores of whole texts; or it is refused when, and only when, a page is
 * missing; or it is cancelled. The last two change no sequence. */
static void try_step(stage *s) {
    const draft d = draw_draft(s);
    const eet_batch batch = {.size = sizeof batch,
                             .rows = d.rows,
                             .start = d.start,
                             .tokens = d.tokens,
                             .sequence = d.slot};
    eet_output output = play_output(0, s->got, (int64_t)SLOTS * MOST * VOCAB);

    output.take = EET_TAKE_EVERY;
    if (d.rows == 0) {
        return;
    }
    const int32_t copies = copies_of(s, &d);
    const bool fits = pages_needed(s, &d) <= s->session->cache.free_count;
    const bool cancel = play_random(&s->random, 20) == 0;
    int32_t table[SLOTS * 4];

    ck_assert_uint_eq(sizeof table, sizeof *table * SLOTS * (size_t)s->session->cache.stride);
    memcpy(table, s->session->cache.table, sizeof table);
    if (cancel) {
        eet_session_cancel(s->session);
    }
    const eet_status status = eet_step(s->session, &batch, &output, 1, &s->err);

    if (!fits) {
        ck_assert_int_eq(status, EET_E_LIMIT);
        ck_assert_mem_eq(table, s->session->cache.table, sizeof table);
        ck_assert(!cancel || eet_session_stopped(s->session));
        s->refused += 1;
        return;
    }
    ck_assert_msg(status == (cancel ? EET_E_CANCELLED : EET_OK), "%s", s->err.text);
    s->copies += copies;
    if (cancel) {
        s->cancelled += 1;
        return;
    }
    note_step(s, &d);
    for (int32_t r = 0; r < d.rows; ++r) {
        compare_row(s, &d, r);
    }
}

static void try_fork(stage *s) {
    const int32_t from = (int32_t)play_random(&s->random, SLOTS);
    const int32_t to = (int32_t)play_random(&s->random, SLOTS);

    ck_assert_int_eq(eet_sequence_fork(s->session, from, to, &s->err), EET_OK);
    s->length[to] = s->length[from];
    memmove(s->tokens[to], s->tokens[from], sizeof s->tokens[to]);
}

static void try_trim(stage *s, bool whole) {
    const int32_t id = (int32_t)play_random(&s->random, SLOTS);
    const uint32_t most = (uint32_t)s->length[id] + 1;

    s->length[id] = whole ? 0 : (int32_t)play_random(&s->random, most);
    ck_assert_int_eq(eet_sequence_trim(s->session, id, s->length[id], &s->err), EET_OK);
}

START_TEST(forked_sequences_have_the_bits_of_texts_run_from_their_start)
{
    stage s = begin_stage(_i);
    const int32_t operations = kinds[_i].operations;

    for (int32_t i = 0; i < operations; ++i) {
        switch (play_random(&s.random, 12)) {
        case 0:
        case 1:
        case 2:
            try_fork(&s);
            break;
        case 3:
            try_trim(&s, false);
            break;
        case 4:
            try_trim(&s, play_random(&s.random, 4) > 0);
            break;
        default:
            try_step(&s);
        }
        check_pages(&s);
    }
    ck_assert_int_gt(s.refused, operations / 100); /* else the test saw too little */
    ck_assert_int_gt(s.cancelled, operations / 100);
    ck_assert_int_gt(s.copies, operations / 10);
    for (int32_t id = 0; id < SLOTS; ++id) {
        ck_assert_int_eq(eet_sequence_trim(s.session, id, 0, &s.err), EET_OK);
    }
    ck_assert_int_eq(s.session->cache.free_count, PAGES);
    end_stage(&s);
}
END_TEST

/* ---- what a fork costs ------------------------------------------------------------------ */

static eet_status feed(stage *s, int32_t rows, const int32_t *slots, int32_t each) {
    static const int32_t zeros[SLOTS * MOST];
    int32_t start[SLOTS + 1];
    const eet_batch batch = {
        .size = sizeof batch, .rows = rows, .start = start, .tokens = zeros, .sequence = slots};

    for (int32_t r = 0; r <= rows; ++r) {
        start[r] = r * each;
    }
    return eet_step(s->session, &batch, NULL, 0, &s->err);
}

START_TEST(a_fork_takes_no_page_until_it_writes)
{
    stage s = begin_stage(0);
    const eet_cache *cache = &s.session->cache;

    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){0}, 130), EET_OK); /* 64 + 64 + 2 */
    for (int32_t to = 1; to < SLOTS; ++to) {
        ck_assert_int_eq(eet_sequence_fork(s.session, 0, to, &s.err), EET_OK);
    }
    ck_assert_int_eq(cache->free_count, PAGES - 3);
    ck_assert_int_eq(feed(&s, 2, (const int32_t[]){2, 5}, 1), EET_OK);
    ck_assert_int_eq(cache->free_count, PAGES - 5); /* a copy of the last page each */
    ck_assert_int_eq(feed(&s, 2, (const int32_t[]){2, 5}, 61), EET_OK);
    ck_assert_int_eq(cache->free_count, PAGES - 5); /* theirs already */
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){2}, 1), EET_OK);
    ck_assert_int_eq(cache->free_count, PAGES - 6); /* a full page is not written: no copy */
    end_stage(&s);
}
END_TEST

START_TEST(the_last_to_write_a_shared_page_keeps_it)
{
    stage s = begin_stage(0);
    const eet_cache *cache = &s.session->cache;
    const int32_t both[] = {0, 1};

    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){0}, 10), EET_OK);
    ck_assert_int_eq(eet_sequence_fork(s.session, 0, 1, &s.err), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){2}, 192), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){3}, 192), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){4}, 192), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){5}, 128), EET_OK);
    ck_assert_int_eq(cache->free_count, 1);
    ck_assert_int_eq(eet_sequence_fork(s.session, 0, 6, &s.err), EET_OK);
    /* one page is left: two of three owners that write need two */
    ck_assert_int_eq(feed(&s, 2, both, 1), EET_E_LIMIT);
    ck_assert_str_eq(s.err.text,
                     "the call needs 2 pages of 64 tokens; 1 of the cache's 13 are free");
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 10);
    ck_assert_int_eq(eet_sequence_length(s.session, 1), 10);
    ck_assert_int_eq(cache->free_count, 1);
    ck_assert_int_eq(eet_sequence_trim(s.session, 6, 0, &s.err), EET_OK);
    ck_assert_int_eq(cache->free_count, 1);
    ck_assert_int_eq(feed(&s, 2, both, 1), EET_OK); /* two of two need one */
    ck_assert_int_eq(cache->free_count, 0);
    ck_assert_int_eq(eet_sequence_fork(s.session, 0, 6, &s.err), EET_OK); /* needs none */
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){6}, 1), EET_E_LIMIT);
    ck_assert_int_eq(eet_sequence_trim(s.session, 0, 0, &s.err), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){6}, 1), EET_OK); /* alone now */
    end_stage(&s);
}
END_TEST

START_TEST(a_fork_replaces_what_was_there_and_knows_the_sequences)
{
    stage s = begin_stage(0);
    const eet_cache *cache = &s.session->cache;

    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){0}, 70), EET_OK);
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){1}, 150), EET_OK);
    ck_assert_int_eq(eet_sequence_fork(s.session, 0, 0, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 70);
    ck_assert_int_eq(cache->free_count, PAGES - 5);
    ck_assert_int_eq(eet_sequence_fork(s.session, 0, 1, &s.err), EET_OK);
    ck_assert_int_eq(eet_sequence_length(s.session, 1), 70);
    ck_assert_int_eq(cache->free_count, PAGES - 2);
    ck_assert_int_eq(eet_sequence_fork(s.session, 3, 1, &s.err), EET_OK); /* of an empty one */
    ck_assert_int_eq(eet_sequence_length(s.session, 1), 0);
    ck_assert_int_eq(eet_sequence_fork(s.session, -1, 1, &s.err), EET_E_ARGUMENT);
    ck_assert_str_eq(s.err.text, "there is no sequence -1; there are 7");
    ck_assert_int_eq(eet_sequence_fork(s.session, 1, SLOTS, &s.err), EET_E_ARGUMENT);
    ck_assert_str_eq(s.err.text, "there is no sequence 7; there are 7");
    ck_assert_int_eq(eet_sequence_fork(NULL, 0, 1, &s.err), EET_E_ARGUMENT);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 70);
    end_stage(&s);
}
END_TEST

START_TEST(a_page_can_be_shared_by_every_sequence_that_there_can_be)
{
    enum { ALL = 65536 };
    const eet_sample_model sample = eet_sample_decoder();
    stage s = {.model = play_model(&sample)};

    s.session = play_session(
        s.model, (eet_session_options){
                     .threads = 1, .max_sequences = ALL, .max_tokens = 16, .cache_tokens = 128});
    ck_assert_int_eq(feed(&s, 1, (const int32_t[]){0}, 5), EET_OK);
    for (int32_t to = 1; to < ALL; ++to) {
        ck_assert_int_eq(eet_sequence_fork(s.session, 0, to, &s.err), EET_OK);
    }
    for (int32_t id = 0; id < ALL; ++id) {
        ck_assert_int_eq(s.session->cache.free_count, 1);
        ck_assert_int_eq(eet_sequence_trim(s.session, id, 0, &s.err), EET_OK);
    }
    ck_assert_int_eq(s.session->cache.free_count, 2);
    end_stage(&s);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = forked_sequences_have_the_bits_of_texts_run_from_their_start, .rows = KINDS},
        {.test = a_fork_takes_no_page_until_it_writes},
        {.test = the_last_to_write_a_shared_page_keeps_it},
        {.test = a_fork_replaces_what_was_there_and_knows_the_sequences},
        {.test = a_page_can_be_shared_by_every_sequence_that_there_can_be},
    };

    return eet_suite_run("forks", claims, sizeof claims / sizeof *claims);
}
