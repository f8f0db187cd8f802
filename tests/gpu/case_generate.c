/* case_generate.c - a text that is generated depends on its own prompt alone: not on the rows
 * beside it, their order, their number or how long they go on, nor on what other threads do on the
 * same model. Tokens, and the bits of their log-probabilities. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"
#include "tests/gpu/twin.h"

enum { TEXTS = 12, MOST_PROMPT = 70, MOST_NEW = 40, ROUNDS = 24, THREADS = 4, EACH = 8 };

typedef struct text {
    int32_t prompt[MOST_PROMPT], count;
    int32_t wanted; /* new tokens */
    int32_t tokens[MOST_NEW];
    float log_probs[MOST_NEW];
} text;

typedef struct chorus {
    eet_model *model;
    double temperature;
    text *texts; /* (TEXTS) */
} chorus;

static void draw_texts(chorus *c, int32_t vocab) {
    static const int32_t lengths[TEXTS] = {1, 2, 7, 8, 9, 16, 33, 63, 64, 65, 70, 5};
    uint64_t random = 11;

    c->texts = gpu_alloc(TEXTS, sizeof *c->texts);
    for (int32_t i = 0; i < TEXTS; ++i) {
        c->texts[i].count = lengths[i];
        c->texts[i].wanted = 1 + (int32_t)gpu_random(&random, MOST_NEW);
        for (int32_t k = 0; k < lengths[i]; ++k) {
            c->texts[i].prompt[k] = (int32_t)gpu_random(&random, (uint32_t)vocab);
        }
    }
}

/* Prompts go in whole, so that none is cut otherwise than alone. */
static eet_session *make_session(eet_model *model) {
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 2,
                                         .max_sequences = TEXTS,
                                         .max_batch_tokens = TEXTS * MOST_PROMPT};
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(model, &options, &session, &gpu_error), EET_OK);
    return session;
}

/* Texts that are generated together. */
typedef struct group {
    int32_t rows, most;
    int32_t of[TEXTS], start[TEXTS + 1], sequence[TEXTS], got[TEXTS];
    uint64_t stream[TEXTS];
    int32_t tokens[TEXTS * MOST_PROMPT];
} group;

static void add_text(const chorus *c, group *g, int32_t which, int32_t slot) {
    const text *t = &c->texts[which];

    memcpy(g->tokens + g->start[g->rows], t->prompt, sizeof *g->tokens * (size_t)t->count);
    g->of[g->rows] = which;
    g->sequence[g->rows] = slot;
    g->stream[g->rows] = (uint64_t)which;
    g->got[g->rows] = 0;
    g->most = t->wanted > g->most ? t->wanted : g->most;
    g->rows += 1;
    g->start[g->rows] = g->start[g->rows - 1] + t->count;
}

/* What a row gives, kept or compared as far as it was generated alone. */
static void take_event(const chorus *c, group *g, const eet_event *event, bool keep) {
    text *t = &c->texts[g->of[event->row]];
    const int32_t nth = g->got[event->row]++;

    gpu_expect(event->position == t->count + nth, "text %d: new token %d is at position %d",
               g->of[event->row], nth, event->position);
    if (keep) {
        t->tokens[nth] = event->token;
        t->log_probs[nth] = event->log_prob;
    } else if (nth < t->wanted) {
        gpu_expect(event->token == t->tokens[nth] &&
                       memcmp(&event->log_prob, &t->log_probs[nth], sizeof(float)) == 0,
                   "text %d, new token %d among %d rows: %d (%.9g), alone: %d (%.9g)",
                   g->of[event->row], nth, g->rows, event->token, (double)event->log_prob,
                   t->tokens[nth], (double)t->log_probs[nth]);
    }
}

static void run_group(const chorus *c, eet_session *session, group *g, int32_t room, bool keep) {
    const eet_batch batch = {.size = sizeof batch,
                             .rows = g->rows,
                             .start = g->start,
                             .tokens = g->tokens,
                             .sequence = g->sequence};
    const eet_generate_options options = {.size = sizeof options,
                                          .max_new_tokens = g->most,
                                          .ignore_eos = 1,
                                          .temperature = c->temperature,
                                          .seed = 5,
                                          .stream = g->stream};
    eet_generation *generation = NULL;
    eet_event events[16];
    int32_t count = 0;
    eet_error gpu_error = {0};

    gpu_call(eet_generate_begin(session, &batch, &options, &generation, &gpu_error), EET_OK);
    do {
        gpu_call(eet_generate_next(generation, events, room, &count, &gpu_error), EET_OK);
        for (int32_t i = 0; i < count; ++i) {
            take_event(c, g, &events[i], keep);
        }
    } while (count > 0);
    eet_generate_end(generation);
    for (int32_t row = 0; row < g->rows; ++row) {
        gpu_expect(g->got[row] == g->most, "text %d: %d new tokens, not %d", g->of[row],
                   g->got[row], g->most);
        gpu_call(eet_sequence_trim(session, g->sequence[row], 0, &gpu_error), EET_OK);
    }
}

static void run_alone(const chorus *c) {
    eet_session *session = make_session(c->model);
    group *g = gpu_alloc(1, sizeof *g);

    for (int32_t i = 0; i < TEXTS; ++i) {
        g->rows = g->most = 0;
        add_text(c, g, i, 0);
        run_group(c, session, g, 16, true);
    }
    free(g);
    eet_session_destroy(session);
}

/* Groups of any size, order and slots, whose events come in pieces of any size. */
static void run_rounds(const chorus *c, uint64_t random, int32_t rounds) {
    eet_session *session = make_session(c->model);
    group *g = gpu_alloc(1, sizeof *g);

    for (int32_t round = 0; round < rounds; ++round) {
        const uint32_t first = gpu_random(&random, TEXTS);
        const uint32_t shift = gpu_random(&random, TEXTS);
        const uint32_t rows = 1 + gpu_random(&random, TEXTS);

        g->rows = g->most = 0;
        for (uint32_t k = 0; k < rows; ++k) {
            const uint32_t which = (first + 5 * k) % TEXTS;

            add_text(c, g, (int32_t)which, (int32_t)((which + shift) % TEXTS));
        }
        run_group(c, session, g, 1 + (int32_t)gpu_random(&random, 16), false);
    }
    free(g);
    eet_session_destroy(session);
}

typedef struct worker {
    const chorus *chorus;
    uint64_t random;
} worker;

static void *work(void *context) {
    const worker *w = context;

    run_rounds(w->chorus, w->random, EACH); /* what differs ends the process */
    return NULL;
}

static void run_threads(const chorus *c) {
    pthread_t threads[THREADS];
    worker workers[THREADS];

    for (int32_t i = 0; i < THREADS; ++i) {
        workers[i] = (worker){.chorus = c, .random = 100 + (uint64_t)i};
        gpu_expect(pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "no thread");
    }
    for (int32_t i = 0; i < THREADS; ++i) {
        gpu_expect(pthread_join(threads[i], NULL) == 0, "no end of a thread");
    }
}

static void run_texts(const gpu_case *one) {
    gpu_twin twin = gpu_twin_begin(one->subject, one->dtype, false, false);
    chorus c = {.model = twin.model[0], .temperature = one->number != 0 ? 0.9 : 0};

    draw_texts(&c, twin.shape.vocab);
    run_alone(&c);
    run_rounds(&c, 3, ROUNDS);
    run_threads(&c);
    gpu_note("%d texts in %d groups, and in %d threads", TEXTS, ROUNDS, THREADS);
    free(c.texts);
    gpu_twin_end(&twin);
}

void gpu_cases_generate(gpu_table *table) {
    static const char shape[] = "layers=3,hidden=192,heads=3,vocab=307,ffn=300,positions=160";
    static const int32_t dtypes[] = {EET_F16, EET_F32, EET_BF16};

    for (int32_t i = 0; i < 6; ++i) {
        const int32_t dtype = dtypes[i % 3];
        gpu_case one = {.limit = 120,
                        .quick = dtype == EET_F16,
                        .run = run_texts,
                        .dtype = dtype,
                        .number = i / 3};

        (void)snprintf(one.name, sizeof one.name, "schedules.%s.%s", i < 3 ? "greedy" : "draws",
                       eet_dtype_name((eet_dtype)dtype));
        (void)snprintf(one.group, sizeof one.group, "schedules");
        (void)snprintf(one.subject, sizeof one.subject, "%s", shape);
        gpu_table_add(table, one);
    }
}
