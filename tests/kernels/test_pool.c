/* test_pool.c - the thread pool: every part runs once a round, asleep or awake, and a
 * child of fork may drop it. */
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/pool.h"
#include "tests/support/suite.h"

enum { ROUNDS = 5000, MOST = 7 };

typedef struct tally {
    int32_t part[MOST]; /* plain: a round's end must order them */
    int32_t wrong;
} tally;

static void count_part(void *context, int32_t part, int32_t parts) {
    tally *t = context;

    t->part[part] += 1;
    if (part >= parts) {
        t->wrong += 1;
    }
}

static void nap(long ns) {
    const struct timespec time = {.tv_nsec = ns};

    (void)nanosleep(&time, NULL);
}

START_TEST(every_part_runs_once_a_round)
{
    const int32_t threads = _i + 1;
    eet_pool *pool = NULL;
    tally t = {0};

    ck_assert_int_eq(eet_pool_create(threads, &pool), EET_OK);
    ck_assert_int_eq(eet_pool_threads(pool), threads);
    for (int32_t round = 1; round <= ROUNDS; ++round) {
        eet_pool_run(pool, count_part, &t);
        for (int32_t i = 0; i < MOST; ++i) {
            ck_assert_int_eq(t.part[i], i < threads ? round : 0);
        }
    }
    ck_assert_int_eq(t.wrong, 0);
    eet_pool_destroy(pool);
}
END_TEST

/* A pause of more than the spin lets workers fall asleep; some end just around it. */
START_TEST(sleeping_workers_wake)
{
    eet_pool *pool = NULL;
    tally t = {0};

    ck_assert_int_eq(eet_pool_create(3, &pool), EET_OK);
    for (int32_t round = 1; round <= 300; ++round) {
        eet_pool_run(pool, count_part, &t);
        nap(round % 4 == 0 ? 300000 : round * 40);
    }
    for (int32_t i = 0; i < 3; ++i) {
        ck_assert_int_eq(t.part[i], 300);
    }
    eet_pool_destroy(pool);
}
END_TEST

static void slow_last(void *context, int32_t part, int32_t parts) {
    if (part == parts - 1) {
        nap(200000);
    }
    count_part(context, part, parts);
}

START_TEST(the_caller_waits_for_the_slowest)
{
    eet_pool *pool = NULL;
    tally t = {0};

    ck_assert_int_eq(eet_pool_create(3, &pool), EET_OK);
    for (int32_t round = 1; round <= 100; ++round) {
        eet_pool_run(pool, slow_last, &t);
        ck_assert_int_eq(t.part[2], round);
    }
    eet_pool_destroy(pool);
}
END_TEST

START_TEST(a_pool_that_never_ran_is_destroyed)
{
    for (int32_t i = 0; i < 100; ++i) {
        eet_pool *pool = NULL;

        ck_assert_int_eq(eet_pool_create(4, &pool), EET_OK);
        eet_pool_destroy(pool);
    }
    eet_pool_destroy(NULL);
}
END_TEST

START_TEST(without_a_pool_the_caller_does_it_all)
{
    tally t = {0};

    eet_pool_run(NULL, count_part, &t);
    ck_assert_int_eq(t.part[0], 1);
    ck_assert_int_eq(t.part[1], 0);
}
END_TEST

START_TEST(too_many_threads_are_refused)
{
    eet_pool *pool = NULL;

    ck_assert_int_eq(eet_pool_create(1025, &pool), EET_E_LIMIT);
    ck_assert_int_eq(eet_pool_create(-1, &pool), EET_E_LIMIT);
    ck_assert_ptr_null(pool);
    ck_assert_int_ge(eet_pool_default_threads(), 1);
}
END_TEST

START_TEST(a_child_of_fork_drops_the_pool)
{
    eet_pool *pool = NULL;
    tally t = {0};
    int status = 0;

    ck_assert_int_eq(eet_pool_create(3, &pool), EET_OK);
    eet_pool_run(pool, count_part, &t);
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        eet_pool_destroy(pool);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    eet_pool_run(pool, count_part, &t);
    ck_assert_int_eq(t.part[2], 2);
    eet_pool_destroy(pool);
}
END_TEST

/* Each row: items, grain, parts. */
START_TEST(ranges_cover_all_items_once)
{
    static const int64_t table[][3] = {{0, 1, 3},   {1, 1, 4},    {10, 4, 3}, {64, 64, 2},
                                       {65, 64, 2}, {1000, 7, 9}, {5, 8, 2},  {12, 4, 3}};
    const int64_t *row = table[_i];
    int64_t next = 0;

    for (int32_t part = 0; part < (int32_t)row[2]; ++part) {
        int64_t first = -1;
        int64_t count = -1;

        eet_part_range(row[0], row[1], part, (int32_t)row[2], &first, &count);
        ck_assert_int_ge(count, 0);
        ck_assert_int_eq(first, next);
        ck_assert(count % row[1] == 0 || first + count == row[0]);
        next = first + count;
    }
    ck_assert_int_eq(next, row[0]);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = every_part_runs_once_a_round, .rows = MOST},
        {.test = sleeping_workers_wake},
        {.test = the_caller_waits_for_the_slowest},
        {.test = a_pool_that_never_ran_is_destroyed},
        {.test = without_a_pool_the_caller_does_it_all},
        {.test = too_many_threads_are_refused},
        {.test = a_child_of_fork_drops_the_pool},
        {.test = ranges_cover_all_items_once, .rows = 8},
    };

    return eet_suite_run("pool", claims, sizeof claims / sizeof claims[0]);
}
