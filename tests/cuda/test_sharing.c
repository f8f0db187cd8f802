/* test_sharing.c - threads that make sessions of one model, generate and give them back, while
 * others open the model anew and close it: each gets what it gets alone, and nothing is left; over
 * a double of the runtime (double.h), and under ThreadSanitizer. */
#include <pthread.h>

#include "tests/cuda/on_double.h"

enum { THREADS = 4, ROUNDS = 6, PROMPT = 5, TOKENS = 12 };

static const int32_t ids[PROMPT] = {3, 1, 4, 1, 5};
static const int32_t start[2] = {0, PROMPT};
static const eet_batch prompt = {.size = sizeof prompt, .rows = 1, .start = start, .tokens = ids};
static const eet_model_options on_cuda = {.size = sizeof on_cuda, .device = EET_CUDA};

typedef struct texts {
    int32_t tokens[TOKENS];
    float log_probs[TOKENS];
} texts;

typedef struct worker {
    pthread_t thread;
    eet_model *model;
    const char *path;
    texts text[ROUNDS];
    eet_status status;
    eet_error said;
} worker;

/* In a session of its own; every other time of a model of its own. */
static eet_status run_round(worker *w, int32_t round) {
    eet_model *own = NULL;
    eet_session *session = NULL;
    eet_status status = EET_OK;

    if (round % 2 != 0) {
        status = eet_model_open(w->path, &on_cuda, &own, &w->said);
    }
    if (status == EET_OK) {
        status = eet_session_create(own != NULL ? own : w->model, NULL, &session, &w->said);
    }
    eet_model_close(own);
    if (status == EET_OK) {
        status = draw_tokens(session, &prompt, 3, TOKENS, 1, w->text[round].tokens,
                             w->text[round].log_probs, &w->said);
    }
    eet_session_destroy(session);
    return status;
}

static void *run(void *context) {
    worker *w = context;

    for (int32_t round = 0; round < ROUNDS && w->status == EET_OK; ++round) {
        w->status = run_round(w, round);
    }
    return NULL;
}

START_TEST(threads_on_one_model_get_what_each_gets_alone)
{
    const eet_tmp path = sample();
    eet_double *d = device();
    worker workers[THREADS];
    worker alone = {.path = path.path};

    EET_MUST(eet_model_open(path.path, &on_cuda, &alone.model, err));
    (void)run(&alone);
    ck_assert_msg(alone.status == EET_OK, "%s", alone.said.text);
    for (int32_t i = 0; i < THREADS; ++i) {
        workers[i] = (worker){.model = alone.model, .path = path.path};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
    for (int32_t i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        ck_assert_msg(workers[i].status == EET_OK, "%s", workers[i].said.text);
        ck_assert_mem_eq(workers[i].text, alone.text, sizeof alone.text);
    }
    eet_model_close(alone.model);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = threads_on_one_model_get_what_each_gets_alone},
    };

    return eet_suite_run("sharing", claims, sizeof claims / sizeof *claims);
}
