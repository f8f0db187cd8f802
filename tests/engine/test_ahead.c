/* test_ahead.c - steps ahead of the host, on a device that a queue stands for (queue_device.c):
 * what a generation gives, and what it leaves behind, is that of steps one by one (EET_SYNC). */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/engine/queue_device.h"
#include "tests/engine/support.h"

enum { ROWS = 5, VOCAB = 40, EOS = 9, PAD = 3, MOST = 120, POSITIONS = 200 };

static const int32_t start[ROWS + 1] = {0, 4, 5, 12, 21, 33};
static const int32_t ids[33] = {3,  14, 15, 9,  2, 6,  5,  35, 8,  9, 7,  1,  1, 2, 4, 8, 16,
                                32, 31, 30, 29, 3, 14, 15, 9,  26, 5, 35, 38, 7, 9, 3, 2};
static const eet_batch prompts = {
    .size = sizeof prompts, .rows = ROWS, .start = start, .tokens = ids};
static const int32_t stops[] = {VOCAB + 5, 11, 30};

static const eet_generate_options ways[] = {
    {.ignore_eos = 1, .max_new_tokens = 70},
    {.temperature = 2, .seed = 7, .ignore_eos = 1, .max_new_tokens = MOST},
    {.temperature = 1, .top_k = 9, .seed = 1, .max_new_tokens = 100},
    {.temperature = 3, .top_p = 0.8, .seed = UINT64_MAX, .stop = stops, .stop_count = 3},
    {.temperature = 1.5,
     .top_k = 20,
     .top_p = 0.9,
     .repetition_penalty = 1.4,
     .min_new_tokens = 5,
     .max_new_tokens = 90},
    {.repetition_penalty = 1.8, .min_new_tokens = 8, .max_new_tokens = 66},
    {.temperature = 2, .min_new_tokens = 20, .stop = stops, .stop_count = 3, .max_new_tokens = 40},
    {.min_new_tokens = 9, .stop = stops, .stop_count = 3, .max_new_tokens = 50},
    {.max_new_tokens = 1},
    {.max_new_tokens = 2, .ignore_eos = 1},
};
enum { WAYS = sizeof ways / sizeof *ways };

typedef struct device {
    eet_model *model;
    eet_session *ahead, *here; /* the second takes its steps one by one */
    bool cross, mixed;
} device;

static void *symbol_of_queue(const char *name) {
    void *plugin = dlopen(EET_QUEUE_DEVICE, RTLD_NOW | RTLD_NOLOAD);

    ck_assert_ptr_nonnull(plugin);
    void *symbol = dlsym(plugin, name);

    dlclose(plugin);
    return symbol;
}

static queue_seen look_at_queue(void) {
    void *symbol = symbol_of_queue("queue_look");
    queue_seen (*look)(void) = NULL;

    memcpy(&look, &symbol, sizeof look);
    return look();
}

static void pace_queue(int64_t microseconds) {
    void *symbol = symbol_of_queue("queue_pace");
    void (*pace)(int64_t) = NULL;

    memcpy(&pace, &symbol, sizeof pace);
    pace(microseconds);
}

static void fill_sources(eet_session *session) {
    static const int32_t begin[ROWS + 1] = {0, 3, 9, 10, 14, 20};
    const eet_batch sources = {.size = sizeof sources, .rows = ROWS, .start = begin, .tokens = ids};

    EET_MUST(eet_source(session, &sources, err));
}

/* The sources of a decoder without an encoder, two of which are left empty. */
static void give_sources(eet_session *session) {
    float states[6 * 16];

    for (int32_t i = 0; i < 6 * 16; ++i) {
        states[i] = (float)(i * 37 % 64) / 32.0F - 1.0F;
    }
    for (int32_t slot = 0; slot < ROWS; slot += 2) {
        const eet_array array = {.size = sizeof array,
                                 .dtype = EET_F32,
                                 .rank = 2,
                                 .shape = {2 + slot, 16},
                                 .data = states};

        EET_MUST(eet_source_set(session, slot, &array, err));
    }
}

static eet_session *make_one(const device *d, bool one_by_one) {
    eet_session_options options = {.threads = 1, .max_sequences = ROWS};

    ck_assert_int_eq(one_by_one ? setenv("EET_SYNC", "1", 1) : unsetenv("EET_SYNC"), 0);
    eet_session *session = make_session(d->model, options);

    ck_assert_int_eq(unsetenv("EET_SYNC"), 0);
    if (d->mixed) {
        give_sources(session);
    } else if (d->cross) {
        fill_sources(session);
    }
    return session;
}

/* MIXED: some rows look at sources, some at none. */
typedef enum kind { PLAIN, PADS, CROSS, MIXED, KINDS } kind;

static device open_device(kind of) {
    eet_sample_model sample = of == CROSS ? eet_sample_encoder_decoder() : eet_sample_decoder();
    const eet_tmp path = eet_tmp_path("model.eet");
    const eet_model_options options = {.size = sizeof options, .device = EET_CUDA};
    device d = {.cross = of >= CROSS, .mixed = of == MIXED};

    sample.facts.stack[EET_DEC].tok_eos = EOS;
    sample.facts.stack[EET_DEC].pos_rows = POSITIONS;
    if (of == MIXED) {
        sample.facts.stack[EET_DEC].cross = true;
        sample.facts.stack[EET_DEC].cross_dim = 16;
    }
    if (of == PADS) {
        sample.facts.stack[EET_DEC].pos_skip_pad = true;
        sample.facts.stack[EET_DEC].tok_pad = PAD;
    }
    ck_assert_int_eq(setenv("EET_BACKEND_PATH", EET_QUEUE_DEVICE, 1), 0);
    eet_sample_write(path.path, &sample);
    EET_MUST(eet_model_open(path.path, &options, &d.model, err));
    d.ahead = make_one(&d, false);
    d.here = make_one(&d, true);
    return d;
}

static void close_device(device *d) {
    eet_session_destroy(d->ahead);
    eet_session_destroy(d->here);
    eet_model_close(d->model);
}

static const int32_t *source_of(const device *d) {
    static const int32_t look[ROWS] = {0, 1, 2, 3, 4};
    static const int32_t some[ROWS] = {0, -1, 2, -1, 4};

    return d->mixed ? some : d->cross ? look : NULL;
}

static eet_generation *begin(const device *d, eet_session *session, eet_generate_options options) {
    eet_batch batch = prompts;
    eet_generation *generation = NULL;

    options.size = sizeof options;
    batch.source = source_of(d);
    EET_MUST(eet_generate_begin(session, &batch, &options, &generation, err));
    return generation;
}

/* One call of each generation gives the same events; false: they are over. */
static bool same_events(eet_generation *ahead, eet_generation *here, int32_t room) {
    eet_event got[ROWS] = {0};
    eet_event want[ROWS] = {0};
    int32_t count = 0;
    int32_t wanted = 0;

    EET_MUST(eet_generate_next(ahead, got, room, &count, err));
    EET_MUST(eet_generate_next(here, want, room, &wanted, err));
    ck_assert_int_eq(count, wanted);
    ck_assert_mem_eq(got, want, sizeof got);
    if (count > 1 && got[1].token >= 0) { /* the scores are of these rows */
        ck_assert(got[0].log_prob != got[1].log_prob);
    }
    return count > 0;
}

/* What the sessions have, and what comes of a further step of all sequences. */
static void expect_same_sessions(const device *d) {
    static const int32_t one[ROWS + 1] = {0, 1, 2, 3, 4, 5};
    const eet_batch batch = {
        .size = sizeof batch, .rows = ROWS, .start = one, .tokens = ids, .source = source_of(d)};
    float got[ROWS][VOCAB];
    float want[ROWS][VOCAB];
    eet_output output = {
        .size = sizeof output, .take = EET_TAKE_LAST, .data = got, .bytes = sizeof got};

    for (int32_t r = 0; r < ROWS; ++r) {
        const int32_t length = eet_sequence_length(d->ahead, r);
        const int32_t kept = length < POSITIONS ? length : POSITIONS - 1;

        ck_assert_int_eq(length, eet_sequence_length(d->here, r));
        EET_MUST(eet_sequence_trim(d->ahead, r, kept, err));
        EET_MUST(eet_sequence_trim(d->here, r, kept, err));
    }
    EET_MUST(eet_step(d->ahead, &batch, &output, 1, err));
    output.data = want;
    EET_MUST(eet_step(d->here, &batch, &output, 1, err));
    ck_assert_mem_eq(got, want, sizeof got);
    for (int32_t r = 0; r < ROWS; ++r) {
        EET_MUST(eet_sequence_trim(d->ahead, r, 0, err));
        EET_MUST(eet_sequence_trim(d->here, r, 0, err));
    }
}

/* Does what is queued, obeys a word that came too late, and empties all sequences. */
static void forget_rows(const device *d) {
    static const int32_t one[ROWS + 1] = {0, 1, 2, 3, 4, 5};
    const eet_batch batch = {
        .size = sizeof batch, .rows = ROWS, .start = one, .tokens = ids, .source = source_of(d)};
    float scores[ROWS][VOCAB];
    const eet_output output = {
        .size = sizeof output, .take = EET_TAKE_LAST, .data = scores, .bytes = sizeof scores};
    const eet_status status = eet_step(d->ahead, &batch, &output, 1, NULL);

    ck_assert(status == EET_OK || status == EET_E_CANCELLED);
    for (int32_t r = 0; r < ROWS; ++r) {
        EET_MUST(eet_sequence_trim(d->ahead, r, 0, err));
        EET_MUST(eet_sequence_trim(d->here, r, 0, err));
    }
}

START_TEST(events_are_those_of_steps_one_by_one)
{
    device d = open_device(_i / WAYS);
    const eet_generate_options *way = &ways[_i % WAYS];
    static const int32_t rooms[] = {ROWS, 1, 2};

    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; ++i) {
        eet_generation *ahead = begin(&d, d.ahead, *way);
        eet_generation *here = begin(&d, d.here, *way);

        while (same_events(ahead, here, rooms[i])) {
        }
        eet_generate_end(ahead);
        eet_generate_end(here);
        expect_same_sessions(&d);
    }
    if (!d.mixed && (way->max_new_tokens == 0 || way->max_new_tokens > 5)) {
        const size_t most = look_at_queue().most_ahead;

        ck_assert_msg(most >= 4 && most <= 8, "%zu steps were queued", most);
    }
    close_device(&d);
}
END_TEST

/* After _i calls; what waits in the queue then is of nobody. */
START_TEST(a_generation_that_is_cancelled_or_left_leaves_nothing_behind)
{
    device d = open_device(_i % KINDS);

    for (int32_t way = 0; way < WAYS; ++way) {
        eet_generation *ahead = begin(&d, d.ahead, ways[way]);
        eet_generation *here = begin(&d, d.here, ways[way]);
        bool more = true;

        for (int32_t i = 0; i < _i && more; ++i) {
            more = same_events(ahead, here, 1 + way % ROWS);
        }
        if (way % 2 == 0) {
            eet_session_cancel(d.ahead);
            eet_session_cancel(d.here);
            while (same_events(ahead, here, ROWS)) {
            }
        }
        eet_generate_end(ahead);
        eet_generate_end(here);
        if (way % 3 != 0) {
            expect_same_sessions(&d);
            continue;
        }
        for (int32_t r = 0; r < ROWS; ++r) { /* the next generation takes other pages */
            EET_MUST(eet_sequence_trim(d.ahead, (r + way) % ROWS, 0, err));
            EET_MUST(eet_sequence_trim(d.here, (r + way) % ROWS, 0, err));
        }
    }
    close_device(&d);
}
END_TEST

/* As many steps as take 50 ms, at least one and at most 8: a slow machine makes it fewer. */
START_TEST(steps_of_a_twentieth_of_a_second_are_queued)
{
    static const struct {
        int64_t pace; /* microseconds */
        size_t least, most;
    } rows[] = {{0, 4, 8}, {5500, 2, 8}, {11000, 2, 4}, {26000, 1, 1}, {60000, 1, 1}};
    device d = open_device(PLAIN);
    const eet_generate_options options = {.ignore_eos = 1, .max_new_tokens = 11};

    pace_queue(rows[_i].pace);
    eet_generation *ahead = begin(&d, d.ahead, options);
    eet_generation *here = begin(&d, d.here, options);

    (void)look_at_queue();
    while (same_events(ahead, here, ROWS)) {
    }
    const size_t most = look_at_queue().most_ahead;

    ck_assert_msg(most >= rows[_i].least && most <= rows[_i].most, "%zu steps were queued", most);
    eet_generate_end(ahead);
    eet_generate_end(here);
    pace_queue(0);
    close_device(&d);
}
END_TEST

/* The first step that ends after the word still had rows, those behind it have none. */
START_TEST(queued_steps_of_a_cancelled_generation_are_for_nobody)
{
    device d = open_device(PLAIN);
    const eet_generate_options options = {.ignore_eos = 1, .max_new_tokens = 60};
    size_t nobodys = 0;

    for (int32_t i = 0; i < 18; ++i) {
        eet_generation *ahead = begin(&d, d.ahead, options);
        eet_event event[ROWS];
        int32_t count = 0;

        for (int32_t call = 0; call < 3 + i * i % 4; ++call) {
            EET_MUST(eet_generate_next(ahead, event, ROWS, &count, err));
        }
        (void)look_at_queue();
        eet_session_cancel(d.ahead);
        EET_MUST(eet_generate_next(ahead, event, ROWS, &count, err));
        ck_assert_int_eq(count, ROWS);
        ck_assert_int_eq(event[0].finish, EET_FINISH_CANCELLED);
        eet_generate_end(ahead);
        forget_rows(&d);
        const queue_seen seen = look_at_queue();

        ck_assert_uint_eq(seen.nobodys, seen.steps > 0 ? seen.steps - 1 : 0);
        nobodys += seen.nobodys;
    }
    ck_assert_uint_gt(nobodys, 10);
    close_device(&d);
}
END_TEST

static void *cancel_later(void *session) {
    static _Atomic uint32_t times;
    const struct timespec time = {.tv_nsec = 100000 * (long)(atomic_fetch_add(&times, 1) % 16)};

    (void)nanosleep(&time, NULL);
    eet_session_cancel(session);
    return NULL;
}

/* Whenever the word comes: events are those of before, then each row's last one, and the next
 * generation begins with nothing of it. */
START_TEST(another_thread_may_cancel)
{
    device d = open_device(PLAIN);
    const eet_generate_options options = {.ignore_eos = 1, .max_new_tokens = MOST};

    for (int32_t i = 0; i < 24; ++i) {
        eet_generation *ahead = begin(&d, d.ahead, options);
        eet_generation *here = begin(&d, d.here, options);
        eet_event got = {0};
        eet_event want = {0};
        int32_t count = 1;
        int32_t told = 0;
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_later, d.ahead), 0);
        while (count > 0) {
            EET_MUST(eet_generate_next(ahead, &got, 1, &count, err));
            if (count > 0 && got.finish != EET_FINISH_CANCELLED) {
                EET_MUST(eet_generate_next(here, &want, 1, &told, err));
                ck_assert_int_eq(told, 1);
                ck_assert_mem_eq(&got, &want, sizeof got);
            }
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        eet_generate_end(ahead);
        eet_generate_end(here);
        forget_rows(&d);
    }
    close_device(&d);
}
END_TEST

START_TEST(likeliest_tokens_are_told_by_steps_one_by_one)
{
    device d = open_device(PLAIN);
    eet_generate_options options = ways[1];

    (void)look_at_queue();
    options.top_n = 2;
    eet_generation *here = begin(&d, d.ahead, options);

    options.top_n = 0;
    eet_generation *other = begin(&d, d.here, options);

    while (same_events(here, other, ROWS)) {
    }
    ck_assert_uint_eq(look_at_queue().most_ahead, 0);
    eet_generate_end(here);
    eet_generate_end(other);
    close_device(&d);
}
END_TEST

/* Rows of five lengths: which steps there are, and how wide the last is. */
START_TEST(no_step_is_queued_that_no_row_needs)
{
    static const int32_t most[] = {1, 2, 3, 4, 5, 60};
    device d = open_device(PLAIN);
    const eet_generate_options options = {.ignore_eos = 1, .max_new_tokens = most[_i]};
    eet_generation *ahead = begin(&d, d.ahead, options);
    eet_generation *here = begin(&d, d.here, options);

    (void)look_at_queue();
    while (same_events(ahead, here, ROWS)) {
    }
    ck_assert_int_eq((int32_t)look_at_queue().steps, most[_i] - 1);
    eet_generate_end(ahead);
    eet_generate_end(here);
    close_device(&d);
}
END_TEST

/* Rows have room for as many tokens as their prompts leave. */
START_TEST(rows_that_ended_leave_the_step)
{
    device d = open_device(PLAIN);
    eet_generation *ahead = begin(&d, d.ahead, (eet_generate_options){.ignore_eos = 1});
    eet_generation *here = begin(&d, d.here, (eet_generate_options){.ignore_eos = 1});

    (void)look_at_queue();
    while (same_events(ahead, here, ROWS)) {
    }
    const queue_seen seen = look_at_queue();

    ck_assert_int_eq(seen.rows, 1);
    ck_assert_uint_le(seen.steps, POSITIONS + 2 * 7); /* seven are done for nobody as rows leave */
    eet_generate_end(ahead);
    eet_generate_end(here);
    close_device(&d);
}
END_TEST

static void cancel(void *session) {
    eet_session_cancel(session);
}

START_TEST(a_recording_that_is_cancelled_is_made_by_the_next_pass)
{
    static const int32_t long_row[2] = {0, 33};
    const eet_batch batch = {.size = sizeof batch, .rows = 1, .start = long_row, .tokens = ids};
    void *symbol = NULL;
    void (*call)(void (*)(void *), void *) = NULL;
    device d = open_device(PLAIN);

    symbol = symbol_of_queue("queue_call");
    memcpy(&call, &symbol, sizeof call);
    call(cancel, d.ahead);
    EET_FAILS(eet_step(d.ahead, &batch, NULL, 0, err), EET_E_CANCELLED, "cancelled");
    (void)look_at_queue();
    for (size_t i = 0; i < 3; ++i) {
        EET_MUST(eet_step(d.ahead, &batch, NULL, 0, err));
        ck_assert_uint_eq(look_at_queue().launches, i == 0 ? 0 : 1);
    }
    close_device(&d);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = events_are_those_of_steps_one_by_one, .rows = KINDS * WAYS},
        {.test = a_generation_that_is_cancelled_or_left_leaves_nothing_behind, .rows = 12},
        {.test = steps_of_a_twentieth_of_a_second_are_queued, .rows = 5},
        {.test = queued_steps_of_a_cancelled_generation_are_for_nobody},
        {.test = another_thread_may_cancel},
        {.test = likeliest_tokens_are_told_by_steps_one_by_one},
        {.test = no_step_is_queued_that_no_row_needs, .rows = 6},
        {.test = rows_that_ended_leave_the_step},
        {.test = a_recording_that_is_cancelled_is_made_by_the_next_pass},
    };

    return eet_suite_run("ahead", claims, sizeof claims / sizeof *claims);
}
