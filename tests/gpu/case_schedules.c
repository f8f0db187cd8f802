/* case_schedules.c - a request's bits depend on its own tokens and on how it was cut into steps
 * (contracts, section 5): not on the requests beside it, its place, its slot, the size of passes
 * or the thread. By memcmp of all states and scores. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"
#include "tests/gpu/twin.h"

enum { REQUESTS = 16, SLOTS = 24, MOST_PIECES = 160, MOST_TOKENS = 140, SCHEDULES = 64 };

/* A text, how it comes in, and what it gives when it is alone. */
typedef struct request {
    int32_t count, pieces;
    int32_t cut[MOST_PIECES + 1]; /* piece p is [cut[p], cut[p + 1]) */
    int32_t tokens[MOST_TOKENS];
    float *states, *scores;
    int32_t fed; /* pieces */
} request;

typedef struct fair {
    eet_model *model;
    eet_bench_shape shape;
    bool step;
    request requests[REQUESTS];
} fair;

/* Encoders and calls of eet_encode take a text whole; steps take it in any pieces. */
static void cut_request(const fair *f, request *r, uint64_t *random) {
    static const uint32_t most[] = {1, 8, 66, MOST_TOKENS};

    for (int32_t at = 0; at < r->count;) {
        const int32_t left = r->count - at;
        const int32_t piece =
            f->step ? 1 + (int32_t)gpu_random(random, most[gpu_random(random, 4)]) : left;

        at += piece < left ? piece : left;
        r->cut[++r->pieces] = at;
    }
}

/* Numbers of head 0 for so many tokens at most: a pooled state is one of a text. */
static int64_t score_room(const fair *f, int32_t tokens) {
    return (int64_t)tokens * (f->shape.encoder ? f->shape.hidden : f->shape.vocab);
}

static void draw_requests(fair *f) {
    static const int32_t lengths[REQUESTS] = {1,  2,  8,  9,   16, 63,  64, 65,
                                              70, 17, 33, 128, 5,  130, 31, 100};
    uint64_t random = 5;

    for (int32_t i = 0; i < REQUESTS; ++i) {
        request *r = &f->requests[i];

        r->count = lengths[i];
        for (int32_t k = 0; k < r->count; ++k) {
            r->tokens[k] = (int32_t)gpu_random(&random, (uint32_t)f->shape.vocab);
        }
        cut_request(f, r, &random);
        r->states = gpu_alloc((int64_t)r->count * f->shape.hidden, sizeof(float));
        r->scores = gpu_alloc(score_room(f, r->count), sizeof(float));
    }
}

static eet_session *make_session(eet_model *model, int32_t passes, int32_t outputs) {
    const eet_session_options options = {.size = sizeof options,
                                         .threads = 2,
                                         .max_sequences = SLOTS,
                                         .max_batch_tokens = passes,
                                         .max_outputs = outputs};
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(model, &options, &session, &gpu_error), EET_OK);
    return session;
}

/* Room for one call of everything. */
typedef struct call {
    int32_t rows, start[REQUESTS + 1], slot[REQUESTS], of[REQUESTS];
    int32_t tokens[REQUESTS * MOST_TOKENS];
    float *states, *scores;
} call;

static call *begin_call(const fair *f) {
    call *c = gpu_alloc(1, sizeof *c);

    c->states = gpu_alloc((int64_t)REQUESTS * MOST_TOKENS * f->shape.hidden, sizeof(float));
    c->scores = gpu_alloc(score_room(f, REQUESTS * MOST_TOKENS), sizeof(float));
    return c;
}

static void end_call(call *c) {
    free(c->states);
    free(c->scores);
    free(c);
}

static void add_piece(const fair *f, call *c, int32_t which, int32_t slot) {
    const request *r = &f->requests[which];
    const int32_t from = r->cut[r->fed];
    const int32_t count = r->cut[r->fed + 1] - from;

    memcpy(c->tokens + c->start[c->rows], r->tokens + from, sizeof *c->tokens * (size_t)count);
    c->slot[c->rows] = slot;
    c->of[c->rows] = which;
    c->rows += 1;
    c->start[c->rows] = c->start[c->rows - 1] + count;
}

static void run_call(const fair *f, call *c, eet_session *session) {
    const uint64_t count = (uint64_t)c->start[c->rows];
    const bool scores = !f->shape.encoder; /* else a pooled state a row */
    const eet_batch batch = {.size = sizeof batch,
                             .rows = c->rows,
                             .start = c->start,
                             .tokens = c->tokens,
                             .sequence = f->step ? c->slot : NULL};
    const eet_output outputs[] = {
        {.size = sizeof *outputs,
         .head = EET_HIDDEN,
         .data = c->states,
         .bytes = sizeof(float) * count * (uint64_t)f->shape.hidden},
        {.size = sizeof *outputs,
         .head = 0,
         .data = c->scores,
         .bytes = sizeof(float) * (scores ? count * (uint64_t)f->shape.vocab
                                          : (uint64_t)c->rows * (uint64_t)f->shape.hidden)}};
    eet_error gpu_error = {0};

    if (f->step) {
        gpu_call(eet_step(session, &batch, outputs, 2, &gpu_error), EET_OK);
    } else {
        gpu_call(eet_encode(session, &batch, outputs, 2, &gpu_error), EET_OK);
    }
}

/* What row i of the call gave, to or against its request; false: the bits differ. */
static bool settle(fair *f, const call *c, int32_t i, bool keep) {
    request *r = &f->requests[c->of[i]];
    const size_t hidden = (size_t)f->shape.hidden;
    const size_t width = f->shape.encoder ? hidden : (size_t)f->shape.vocab;
    const size_t from = (size_t)r->cut[r->fed];
    const size_t at = (size_t)c->start[i];
    const size_t count = (size_t)c->start[i + 1] - at;
    const size_t scores = f->shape.encoder ? 1 : count;
    const float *score = c->scores + (f->shape.encoder ? (size_t)i : at) * width;

    r->fed += 1;
    if (keep) {
        memcpy(r->states + from * hidden, c->states + at * hidden, sizeof(float) * count * hidden);
        memcpy(r->scores + from * width, score, sizeof(float) * scores * width);
    }
    return memcmp(r->states + from * hidden, c->states + at * hidden,
                  sizeof(float) * count * hidden) == 0 &&
           memcmp(r->scores + from * width, score, sizeof(float) * scores * width) == 0;
}

static void run_alone(fair *f) {
    eet_session *session = make_session(f->model, 512, 0);
    call *c = begin_call(f);
    eet_error gpu_error = {0};

    for (int32_t i = 0; i < REQUESTS; ++i) {
        for (f->requests[i].fed = 0; f->requests[i].fed < f->requests[i].pieces;) {
            c->rows = 0;
            add_piece(f, c, i, 0);
            run_call(f, c, session);
            (void)settle(f, c, 0, true);
        }
        gpu_call(eet_sequence_trim(session, 0, 0, &gpu_error), EET_OK);
    }
    end_call(c);
    eet_session_destroy(session);
}

/* Drawn requests give their next piece, in a drawn order, each to a slot of its own. */
static void run_schedule(fair *f, int32_t schedule) {
    static const int32_t passes[] = {512, 140, 2048, 256};
    uint64_t random = (uint64_t)schedule + 1;
    eet_session *session = make_session(f->model, passes[schedule % 4], 16 + 40 * (schedule % 3));
    call *c = begin_call(f);
    const uint32_t shift = gpu_random(&random, SLOTS);
    const uint32_t busy = 1 + gpu_random(&random, 4);
    int32_t left = REQUESTS;

    for (int32_t i = 0; i < REQUESTS; ++i) {
        f->requests[i].fed = 0;
    }
    while (left > 0) {
        const uint32_t first = gpu_random(&random, REQUESTS);

        c->rows = 0;
        for (uint32_t k = 0; k < REQUESTS; ++k) {
            const uint32_t i = (first + 5 * k) % REQUESTS;
            const request *r = &f->requests[i];

            if (r->fed < r->pieces && gpu_random(&random, 4) < busy) {
                add_piece(f, c, (int32_t)i, (int32_t)((i + shift) % SLOTS));
            }
        }
        if (c->rows > 0) {
            run_call(f, c, session);
        }
        for (int32_t i = 0; i < c->rows; ++i) {
            const request *r = &f->requests[c->of[i]];
            const int32_t from = r->cut[r->fed];

            gpu_expect(settle(f, c, i, false),
                       "schedule %d: tokens %d to %d of request %d have other bits among %d rows",
                       schedule, from, r->cut[r->fed] - 1, c->of[i], c->rows);
            left -= r->fed == r->pieces ? 1 : 0;
        }
    }
    end_call(c);
    eet_session_destroy(session);
}

static fair begin_fair(const gpu_case *one, gpu_twin *twin) {
    *twin = gpu_twin_begin(one->subject, one->dtype, false, false);
    fair f = {.model = twin->model[0], .shape = twin->shape};

    f.step = strncmp(one->name, "schedules.steps", 15) == 0;
    draw_requests(&f);
    run_alone(&f);
    return f;
}

static void end_fair(fair *f, gpu_twin *twin) {
    for (int32_t i = 0; i < REQUESTS; ++i) {
        free(f->requests[i].states);
        free(f->requests[i].scores);
    }
    gpu_twin_end(twin);
}

static void run_schedules(const gpu_case *one) {
    gpu_twin twin;
    fair f = begin_fair(one, &twin);

    for (int32_t schedule = 0; schedule < SCHEDULES; ++schedule) {
        run_schedule(&f, schedule);
    }
    gpu_note("%d requests in %d schedules", REQUESTS, SCHEDULES);
    end_fair(&f, &twin);
}

/* ---- a smaller device --------------------------------------------------------------- */

/* Grids that stride over their work where they would not on this card; values are what they were.
 */
static void run_small(const gpu_case *one) {
    gpu_expect(setenv("EET_SMS", "16", 1) == 0, "no environment");
    const int32_t length[] = {130, 5, 64};
    gpu_twin twin = gpu_twin_begin(one->subject, one->dtype, true, false);
    gpu_rows rows = gpu_rows_draw(length, 3, twin.shape.vocab, 3);

    gpu_twin_sessions(&twin, (eet_session_options){.max_sequences = SLOTS});
    gpu_twin_step(&twin, &rows.batch);
    gpu_twin_note(&twin);
    gpu_rows_free(&rows);
    gpu_twin_end(&twin);
    run_schedules(one);
    gpu_expect(unsetenv("EET_SMS") == 0, "no environment");
}

/* ---- several threads on one model ---------------------------------------------------- */

enum { THREADS = 4 };

typedef struct worker {
    fair f;
    int32_t number;
} worker;

static void *work(void *context) {
    worker *w = context;

    for (int32_t schedule = 0; schedule < 6; ++schedule) {
        run_schedule(&w->f, w->number * 6 + schedule); /* what differs ends the process */
    }
    return NULL;
}

static void run_threads(const gpu_case *one) {
    gpu_twin twin;
    fair f = begin_fair(one, &twin);
    pthread_t threads[THREADS];
    worker *workers = gpu_alloc(THREADS, sizeof *workers);

    for (int32_t i = 0; i < THREADS; ++i) {
        workers[i] = (worker){.f = f, .number = i}; /* what is alone is shared, and read alone */
        gpu_expect(pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "no thread");
    }
    for (int32_t i = 0; i < THREADS; ++i) {
        gpu_expect(pthread_join(threads[i], NULL) == 0, "no end of a thread");
    }
    gpu_note("%d threads, a session each at a time", THREADS);
    free(workers);
    end_fair(&f, &twin);
}

/* ---- several devices ------------------------------------------------------------------- */

/* A model each on the first two devices, at the same time, with the same bits: they are alike. */
static void run_devices(const gpu_case *one) {
    gpu_twin twin;
    const eet_model_options options = {
        .size = sizeof options, .device = EET_CUDA, .device_index = 1};
    pthread_t threads[2];
    worker *workers = gpu_alloc(2, sizeof *workers);
    eet_model *second = NULL;
    eet_error gpu_error = {0};

    if (gpu_here()->device != EET_CUDA) {
        gpu_skip("the CPU is one device");
    }
    if (eet_device_check(EET_CUDA, 1, &gpu_error) != EET_OK) {
        gpu_skip("%s", gpu_error.text); /* "there is no CUDA device 1; this machine has 1" */
    }
    fair f = begin_fair(one, &twin);

    gpu_call(
        eet_model_open_memory(twin.image.bytes, twin.image.size, &options, &second, &gpu_error),
        EET_OK);
    for (int32_t i = 0; i < 2; ++i) {
        workers[i] = (worker){.f = f, .number = i};
        workers[i].f.model = i == 0 ? f.model : second;
        gpu_expect(pthread_create(&threads[i], NULL, work, &workers[i]) == 0, "no thread");
    }
    for (int32_t i = 0; i < 2; ++i) {
        gpu_expect(pthread_join(threads[i], NULL) == 0, "no end of a thread");
    }
    gpu_note("two devices, a thread each");
    eet_model_close(second);
    free(workers);
    end_fair(&f, &twin);
}

void gpu_cases_schedules(gpu_table *table) {
    static const char decoder[] = "layers=3,hidden=192,heads=3,vocab=307,ffn=300,positions=160";
    static const char odd[] = "layers=2,hidden=78,heads=3,vocab=101,ffn=77,positions=160";
    static const char encoder[] =
        "layers=2,hidden=128,heads=2,vocab=101,ffn=260,positions=160,kind=encoder";
    static const struct {
        const char *name, *shape;
        void (*run)(const gpu_case *);
        bool quick;
    } rows[] = {
        {"schedules.steps.%s", decoder, run_schedules, true},
        {"schedules.steps_odd.%s", odd, run_schedules, false},
        {"schedules.encode.%s", encoder, run_schedules, true},
        {"schedules.encode_decoder.%s", decoder, run_schedules, false},
        {"schedules.steps_threads.%s", decoder, run_threads, true},
        {"schedules.steps_small.%s", decoder, run_small, false},
        {"schedules.steps_devices.%s", decoder, run_devices, false},
    };
    static const int32_t dtypes[] = {EET_F16, EET_F32, EET_BF16};

    for (size_t i = 0; i < 3 * (sizeof rows / sizeof *rows); ++i) {
        const int32_t dtype = dtypes[i % 3];
        gpu_case one = {.limit = 180,
                        .quick = rows[i / 3].quick && dtype == EET_F16,
                        .run = rows[i / 3].run,
                        .dtype = dtype};

        (void)snprintf(one.name, sizeof one.name, rows[i / 3].name,
                       eet_dtype_name((eet_dtype)dtype));
        (void)snprintf(one.group, sizeof one.group, "schedules");
        (void)snprintf(one.subject, sizeof one.subject, "%s", rows[i / 3].shape);
        gpu_table_add(table, one);
    }
}
