/* test_threads.c - one model serves many threads; a session can be stopped from any of them, and
 * is of no use in the child of a fork. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { WORKERS = 4, TURNS = 12, TOKENS = 20, VOCAB = 40, LONG = 60000 };

/* ---- several sessions ---------------------------------------------------------------- */

typedef struct worker {
    pthread_t thread;
    eet_model *model;
    const int32_t *ids;
    int32_t number;
    bool looks; /* the model has an encoder */
    float scores[TURNS][TOKENS * VOCAB];
} worker;

/* Its own session, its own texts and sources, the one model. */
static void *work(void *argument) {
    static const int32_t slot = 0;
    worker *w = argument;
    eet_session *session = play_session(
        w->model, (eet_session_options){.threads = 1 + w->number % 2, .max_batch_tokens = 7});
    eet_error err = {0};

    for (int32_t turn = 0; turn < TURNS; ++turn) {
        int32_t start[2];
        const int32_t count = 1 + (turn * 5 + w->number) % TOKENS;
        int32_t source_start[2];
        eet_batch batch = play_row(start, w->ids + turn * 2, count, NULL);
        const eet_batch source = play_row(source_start, w->ids + turn, 1 + turn % 7, NULL);
        const eet_output output = play_output(0, w->scores[turn], (int64_t)count * VOCAB);
        eet_model_info info = {.size = sizeof info};

        if (w->looks) {
            play_expect(eet_source(session, &source, &err), EET_OK);
            batch.source = &slot;
        }
        play_expect(eet_step(session, &batch, &output, 1, &err), EET_OK);
        play_expect(eet_sequence_trim(session, 0, 0, &err), EET_OK);
        play_expect(eet_model_describe(w->model, &info, &err), EET_OK);
    }
    eet_session_destroy(session);
    return NULL;
}

START_TEST(sessions_of_many_threads_give_what_one_gives)
{
    const bool looks = _i == 1;
    const eet_sample_model sample = looks ? eet_sample_encoder_decoder() : eet_sample_decoder();
    eet_model *model = play_model(&sample);
    worker *all = play_alloc(WORKERS, sizeof *all);
    worker *alone = play_alloc(1, sizeof *alone);
    uint64_t random = 6;
    int32_t *ids = play_ids(&random, VOCAB, TURNS * 2 + TOKENS);

    for (int32_t i = 0; i < WORKERS; ++i) {
        all[i] = (worker){.model = model, .ids = ids, .number = i, .looks = looks};
        ck_assert_int_eq(pthread_create(&all[i].thread, NULL, work, &all[i]), 0);
    }
    for (int32_t i = 0; i < WORKERS; ++i) {
        ck_assert_int_eq(pthread_join(all[i].thread, NULL), 0);
        *alone = (worker){.model = model, .ids = ids, .number = i, .looks = looks};
        (void)work(alone);
        ck_assert_mem_eq(alone->scores, all[i].scores, sizeof alone->scores);
    }
    eet_model_close(model);
    free(all);
    free(alone);
    free(ids);
}
END_TEST

static void *close_model(void *model) {
    eet_model_close(model);
    return NULL;
}

START_TEST(a_session_keeps_its_model_alive)
{
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_session *sessions[2];
    static const int32_t tokens[] = {1, 2, 3};
    float scores[2][3 * VOCAB];
    eet_error err = {0};
    pthread_t thread;

    for (int32_t i = 0; i < 2; ++i) {
        sessions[i] = play_session(model, (eet_session_options){.threads = 2});
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, close_model, model), 0);
    for (int32_t i = 0; i < 2; ++i) {
        int32_t start[2];
        const eet_batch batch = play_row(start, tokens, 3, NULL);
        const eet_output output = play_output(0, scores[i], 3 * VOCAB);

        play_expect(eet_step(sessions[i], &batch, &output, 1, &err), EET_OK);
        if (i == 0) {
            ck_assert_int_eq(pthread_join(thread, NULL), 0);
        }
        eet_session_destroy(sessions[i]);
    }
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
}
END_TEST

/* ---- cancelling ---------------------------------------------------------------------- */

/* Without positions, so that a text may be long. */
static eet_model *endless_model(void) {
    eet_sample_model sample = eet_sample_decoder();

    sample.facts.stack[EET_DEC].pos_table = false;
    sample.facts.stack[EET_DEC].pos_rows = 0;
    return play_model(&sample);
}

typedef struct stopper {
    eet_session *session;
    _Atomic int32_t seen; /* events */
} stopper;

static void *stop_when_it_runs(void *argument) {
    stopper *s = argument;

    while (atomic_load(&s->seen) < 10) {
        (void)usleep(100);
    }
    eet_session_cancel(s->session);
    return NULL;
}

START_TEST(a_generation_ends_when_another_thread_cancels)
{
    static const int32_t start[] = {0, 1, 3}, tokens[] = {4, 5, 6};
    eet_model *model = endless_model();
    stopper s = {
        .session = play_session(
            model, (eet_session_options){.threads = 2, .max_sequences = 2, .max_tokens = LONG})};
    const eet_batch prompts = {.size = sizeof prompts, .rows = 2, .start = start, .tokens = tokens};
    const eet_generate_options options = {.size = sizeof options, .ignore_eos = 1};
    eet_generation *generation = NULL;
    eet_event events[2];
    int32_t count = 0;
    int32_t ended = 0;
    int64_t delivered = 0;
    eet_error err = {0};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, stop_when_it_runs, &s), 0);
    play_expect(eet_generate_begin(s.session, &prompts, &options, &generation, &err), EET_OK);
    do {
        play_expect(eet_generate_next(generation, events, 2, &count, &err), EET_OK);
        for (int32_t i = 0; i < count; ++i) {
            ck_assert(events[i].finish == EET_FINISH_NONE ||
                      events[i].finish == EET_FINISH_CANCELLED);
            ended += events[i].finish == EET_FINISH_CANCELLED ? 1 : 0;
        }
        delivered += count;
        (void)atomic_fetch_add(&s.seen, count);
    } while (count > 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(ended, 2);
    ck_assert_int_lt(delivered, LONG);
    eet_generate_end(generation);
    play_expect(eet_sequence_trim(s.session, 0, 0, &err), EET_OK);
    play_expect(eet_encode(s.session, &prompts, NULL, 0, &err), EET_OK); /* it lives on */
    eet_session_destroy(s.session);
    eet_model_close(model);
}
END_TEST

static void *stop_soon(void *argument) {
    stopper *s = argument;

    while (atomic_load(&s->seen) == 0) {
        (void)usleep(100);
    }
    (void)usleep(2000);
    eet_session_cancel(s->session);
    return NULL;
}

START_TEST(a_step_ends_when_another_thread_cancels)
{
    eet_model *model = endless_model();
    stopper s = {
        .session = play_session(
            model, (eet_session_options){.threads = 2, .max_tokens = LONG, .max_batch_tokens = 8})};
    int32_t *tokens = play_alloc(LONG, sizeof *tokens);
    int32_t start[2];
    const eet_batch some = play_row(start, tokens, 3, NULL);
    eet_error err = {0};
    pthread_t thread;

    play_expect(eet_step(s.session, &some, NULL, 0, &err), EET_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, &s), 0);
    atomic_store(&s.seen, 1);
    start[1] = LONG - 3; /* minutes of work */
    play_expect(eet_step(s.session, &some, NULL, 0, &err), EET_E_CANCELLED);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 3); /* as it was */
    start[1] = 3;
    play_expect(eet_step(s.session, &some, NULL, 0, &err), EET_OK); /* cancelled once */
    ck_assert_int_eq(eet_sequence_length(s.session, 0), 6);
    free(tokens);
    eet_session_destroy(s.session);
    eet_model_close(model);
}
END_TEST

/* ---- fork ---------------------------------------------------------------------------- */

/* In the child: the number of the first rule that does not hold, 0 for none. */
static int try_in_child(eet_session *session, eet_model *model, const eet_batch *batch) {
    eet_generation *generation = NULL;
    eet_model_info info = {.size = sizeof info};
    float scores[3 * VOCAB];
    const eet_output output = play_output(0, scores, 3 * VOCAB);

    if (eet_step(session, batch, &output, 1, NULL) != EET_E_STATE) {
        return 1;
    }
    if (eet_encode(session, batch, &output, 1, NULL) != EET_E_STATE) {
        return 2;
    }
    if (eet_generate_begin(session, batch, NULL, &generation, NULL) != EET_E_STATE) {
        return 3;
    }
    if (eet_sequence_trim(session, 0, 0, NULL) != EET_E_STATE) {
        return 4;
    }
    eet_session_destroy(session);
    if (eet_model_describe(model, &info, NULL) != EET_OK || info.vocab_size != VOCAB) {
        return 5;
    }
    eet_model_close(model);
    return 0;
}

START_TEST(the_child_of_a_fork_can_only_destroy_a_session)
{
    static const int32_t tokens[] = {1, 2, 3};
    const eet_sample_model sample = eet_sample_decoder();
    eet_model *model = play_model(&sample);
    eet_session *session = play_session(model, (eet_session_options){.threads = 1 + _i});
    int32_t start[2];
    const eet_batch batch = play_row(start, tokens, 3, NULL);
    eet_error err = {0};
    int status = 0;

    play_expect(eet_step(session, &batch, NULL, 0, &err), EET_OK);
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        _exit(try_in_child(session, model, &batch));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_msg(WEXITSTATUS(status) == 0, "rule %d", WEXITSTATUS(status));
    play_expect(eet_step(session, &batch, NULL, 0, &err), EET_OK); /* the parent goes on */
    ck_assert_int_eq(eet_sequence_length(session, 0), 6);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = sessions_of_many_threads_give_what_one_gives, .rows = 2},
        {.test = a_session_keeps_its_model_alive},
        {.test = a_generation_ends_when_another_thread_cancels},
        {.test = a_step_ends_when_another_thread_cancels},
        {.test = the_child_of_a_fork_can_only_destroy_a_session, .rows = 2},
    };

    return eet_suite_run("threads", claims, sizeof claims / sizeof *claims);
}
