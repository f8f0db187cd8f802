/* test_schedules.c - a row's bits depend on nothing but the row and its source: not on how its
 * prompt was cut into calls, on the rows beside it, its place or its slots, the passes, nor the
 * threads. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/play.h"
#include "tests/support/suite.h"

enum { ROWS = 6, SLOTS = 8, TRIES = 10, SOURCES = 4 };

static const int32_t lengths[ROWS] = {1, 5, 70, 130, 17, 64};
static const int32_t source_lengths[SOURCES] = {64, 1, 33, 9};
static const int32_t looks[ROWS] = {0, 1, 2, 3, 1, 0}; /* two sources are looked at by two rows */
static const int32_t threads[] = {1, 2, 3};
static const int32_t passes[] = {7, 512};

/* Which weights, and by which ops. */
static const struct {
    int32_t dtype;
    const char *backend; /* NULL: the processor's best */
} kinds[] = {{EET_F32, NULL}, {EET_F16, NULL}, {EET_BF16, NULL}, {EET_F32, "ref"}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* A set of texts, and what each gives when it is alone. */
typedef struct texts {
    eet_model *model;
    int32_t hidden, scores; /* widths of EET_HIDDEN and head 0 */
    int32_t *ids[ROWS];
    int32_t *source_ids[SOURCES]; /* NULL: the rows look at none */
    float *states[ROWS], *logits[ROWS];
} texts;

static texts begin_texts(const eet_sample_model *sample, int32_t stack) {
    texts t = {.model = play_model(sample),
               .hidden = sample->facts.stack[stack].hidden,
               .scores = sample->facts.stack[stack].vocab_size};
    uint64_t random = 11;

    for (int32_t row = 0; row < ROWS; ++row) {
        const size_t count = (size_t)lengths[row];

        t.ids[row] = play_ids(&random, t.scores, lengths[row]);
        t.states[row] = play_alloc(count * (size_t)t.hidden, sizeof(float));
        t.logits[row] = play_alloc(count * (size_t)t.scores, sizeof(float));
    }
    for (int32_t i = 0; i < SOURCES && sample->facts.stack[stack].cross; ++i) {
        t.source_ids[i] = play_ids(&random, t.scores, source_lengths[i]);
    }
    return t;
}

static void end_texts(texts *t) {
    for (int32_t row = 0; row < ROWS; ++row) {
        free(t->ids[row]);
        free(t->states[row]);
        free(t->logits[row]);
    }
    for (int32_t i = 0; i < SOURCES; ++i) {
        free(t->source_ids[i]);
    }
    eet_model_close(t->model);
}

static eet_sample_model wide(eet_sample_model sample, int32_t stack, int kind) {
    eet_stack_facts *s = &sample.facts.stack[stack];

    sample.dtype = kinds[kind].dtype;
    s->heads = 3;
    s->head_dim = 13;
    s->hidden = 50;
    s->emb_dim = 50;
    s->ffn = 77;
    s->pos_rows = 200;
    if (kinds[kind].backend != NULL) {
        ck_assert_int_eq(setenv("EET_BACKEND", kinds[kind].backend, 1), 0);
    }
    return sample;
}

/* Fills slot (i + shift) % SLOTS with each source i that is `wanted`, from number `first` on. */
static void fill_sources(const texts *t, eet_session *session, const bool wanted[SOURCES],
                         int32_t first, int32_t shift) {
    int32_t ids[SOURCES * 64];
    int32_t start[SOURCES + 1] = {0};
    int32_t slot[SOURCES];
    eet_batch batch = {.size = sizeof batch, .start = start, .tokens = ids, .source = slot};
    eet_error err = {0};

    for (int32_t n = 0; n < SOURCES; ++n) {
        const int32_t i = (first + n) % SOURCES;

        if (wanted[i]) {
            memcpy(ids + start[batch.rows], t->source_ids[i],
                   sizeof *ids * (size_t)source_lengths[i]);
            slot[batch.rows] = (i + shift) % SLOTS;
            batch.rows += 1;
            start[batch.rows] = start[batch.rows - 1] + source_lengths[i];
        }
    }
    if (batch.rows > 0) {
        play_expect(eet_source(session, &batch, &err), EET_OK);
    }
}

/* Each row alone, in one call, by one thread. */
static void run_alone(texts *t, bool step) {
    static const int32_t first_slot = 0;
    eet_session *session = play_session(t->model, (eet_session_options){.threads = 1});
    eet_error err = {0};

    for (int32_t row = 0; row < ROWS; ++row) {
        int32_t start[2];
        const int64_t count = lengths[row];
        eet_batch batch = play_row(start, t->ids[row], lengths[row], NULL);
        const eet_output outputs[] = {play_output(EET_HIDDEN, t->states[row], count * t->hidden),
                                      play_output(0, t->logits[row], count * t->scores)};
        bool wanted[SOURCES] = {false};

        if (t->source_ids[0] != NULL) {
            wanted[looks[row]] = true;
            fill_sources(t, session, wanted, 0, SLOTS - looks[row]); /* into slot 0 */
            batch.source = &first_slot;
        }
        if (step) {
            play_expect(eet_step(session, &batch, outputs, 2, &err), EET_OK);
            play_expect(eet_sequence_trim(session, 0, 0, &err), EET_OK);
        } else {
            play_expect(eet_encode(session, &batch, outputs, 2, &err), EET_OK);
        }
    }
    eet_session_destroy(session);
}

/* Some tokens of some rows in one call: what is packed where. */
typedef struct call {
    int32_t rows, start[ROWS + 1], slot[ROWS];
    int32_t shift, source[ROWS];   /* source i is in slot (i + shift) % SLOTS */
    int32_t row[ROWS], from[ROWS]; /* of the texts */
    int32_t *ids;
    float *states, *logits;
} call;

static void add_part(const texts *t, call *c, int32_t row, int32_t from, int32_t count) {
    const int32_t at = c->start[c->rows];

    memcpy(c->ids + at, t->ids[row] + from, sizeof *c->ids * (size_t)count);
    c->row[c->rows] = row;
    c->from[c->rows] = from;
    c->source[c->rows] = (looks[row] + c->shift) % SLOTS;
    c->rows += 1;
    c->start[c->rows] = at + count;
}

static void run_call(const texts *t, call *c, eet_session *session, bool step) {
    const int64_t count = c->start[c->rows];
    const eet_batch batch = {.size = sizeof batch,
                             .rows = c->rows,
                             .start = c->start,
                             .tokens = c->ids,
                             .sequence = step ? c->slot : NULL,
                             .source = t->source_ids[0] != NULL ? c->source : NULL};
    const eet_output outputs[] = {play_output(EET_HIDDEN, c->states, count * t->hidden),
                                  play_output(0, c->logits, count * t->scores)};
    eet_error err = {0};

    if (step) {
        play_expect(eet_step(session, &batch, outputs, 2, &err), EET_OK);
    } else {
        play_expect(eet_encode(session, &batch, outputs, 2, &err), EET_OK);
    }
}

static void compare_part(const char *what, const float *all, const float *part, int32_t from,
                         int32_t count, int32_t width) {
    for (int32_t i = 0; i < count; ++i) {
        ck_assert_msg(memcmp(all + (int64_t)(from + i) * width, part + (int64_t)i * width,
                             sizeof *all * (size_t)width) == 0,
                      "%s of token %d differ", what, from + i);
    }
}

static void compare_call(const texts *t, const call *c) {
    for (int32_t i = 0; i < c->rows; ++i) {
        const int32_t row = c->row[i];
        const int64_t at = c->start[i];
        const int32_t count = c->start[i + 1] - c->start[i];

        compare_part("states", t->states[row], c->states + at * t->hidden, c->from[i], count,
                     t->hidden);
        compare_part("scores", t->logits[row], c->logits + at * t->scores, c->from[i], count,
                     t->scores);
    }
}

static call begin_call(const texts *t) {
    size_t count = 0;

    for (int32_t row = 0; row < ROWS; ++row) {
        count += (size_t)lengths[row];
    }
    return (call){.ids = play_alloc(count, sizeof(int32_t)),
                  .states = play_alloc(count * (size_t)t->hidden, sizeof(float)),
                  .logits = play_alloc(count * (size_t)t->scores, sizeof(float))};
}

static void end_call(call *c) {
    free(c->ids);
    free(c->states);
    free(c->logits);
}

/* How much of a row a schedule takes at most: all, one token, or some. */
static int32_t draw_part(int32_t schedule, int32_t left, uint64_t *random) {
    static const uint32_t most[] = {2, 9, 66, 140};

    if (schedule < 2) {
        return schedule == 0 || left == 0 ? left : 1;
    }
    const int32_t part = (int32_t)play_random(random, most[play_random(random, 4)]);

    return part < left ? part : left;
}

/* Fills the sources that this call's rows begin with, and, since that changes nothing, any of the
 * others again. */
static void draw_sources(const texts *t, eet_session *session, const int32_t fed[ROWS],
                         int32_t shift, uint64_t *random) {
    bool wanted[SOURCES];

    for (int32_t i = 0; i < SOURCES; ++i) {
        wanted[i] = play_random(random, 4) == 0;
    }
    for (int32_t row = 0; row < ROWS; ++row) {
        wanted[looks[row]] = wanted[looks[row]] || fed[row] == 0;
    }
    fill_sources(t, session, wanted, (int32_t)play_random(random, SOURCES), shift);
}

/* Feeds all rows by a schedule: 0 whole, 1 token by token, else drawn. */
static void feed_texts(const texts *t, int32_t schedule, eet_session *session) {
    uint64_t random = (uint64_t)schedule;
    const int32_t shift = (int32_t)play_random(&random, SLOTS);
    int32_t fed[ROWS] = {0};
    call c = begin_call(t);
    bool more = true;

    c.shift = (int32_t)play_random(&random, SLOTS);
    while (more) {
        const int32_t first = (int32_t)play_random(&random, ROWS);

        if (t->source_ids[0] != NULL) {
            draw_sources(t, session, fed, c.shift, &random);
        }
        more = false;
        c.rows = 0;
        for (int32_t i = 0; i < ROWS; ++i) {
            const int32_t row = (first + i) % ROWS;
            const int32_t part = draw_part(schedule, lengths[row] - fed[row], &random);

            c.slot[c.rows] = (row + shift) % SLOTS;
            if (part > 0) {
                add_part(t, &c, row, fed[row], part);
                if (fed[row] > 0 && play_random(&random, 2) == 0) {
                    c.source[c.rows - 1] = -1; /* it keeps to the one that it has */
                }
                fed[row] += part;
            }
            more = more || fed[row] < lengths[row];
        }
        if (c.rows > 0) {
            run_call(t, &c, session, true);
            compare_call(t, &c);
        }
    }
    end_call(&c);
}

START_TEST(steps_give_the_same_bits_in_every_schedule)
{
    const eet_sample_model sample = wide(eet_sample_decoder(), EET_DEC, _i);
    texts t = begin_texts(&sample, EET_DEC);

    run_alone(&t, true);
    for (int32_t schedule = 0; schedule < TRIES; ++schedule) {
        eet_session *session =
            play_session(t.model, (eet_session_options){.threads = threads[schedule % 3],
                                                        .max_sequences = SLOTS,
                                                        .max_outputs = 1 + 20 * (schedule % 2),
                                                        .max_batch_tokens = passes[schedule % 2]});

        feed_texts(&t, schedule, session);
        eet_session_destroy(session);
    }
    for (int32_t schedule = 0; schedule < 2; ++schedule) { /* and with the passes swapped */
        eet_session *session =
            play_session(t.model, (eet_session_options){.threads = 2,
                                                        .max_sequences = SLOTS,
                                                        .max_batch_tokens = passes[1 - schedule]});

        feed_texts(&t, schedule, session);
        eet_session_destroy(session);
    }
    end_texts(&t);
}
END_TEST

/* Some rows, whole, in any order, in passes that hold the longest. */
static void encode_texts(const texts *t, int32_t schedule) {
    static const int32_t none[ROWS] = {0};
    eet_session *session = play_session(
        t->model, (eet_session_options){.threads = threads[schedule % 3],
                                        .max_sources = t->source_ids[0] != NULL ? SLOTS : 0,
                                        .max_outputs = 1 + 20 * (schedule % 2),
                                        .max_batch_tokens = schedule % 2 == 0 ? 130 : 512});
    uint64_t random = (uint64_t)schedule;
    call c = begin_call(t);

    c.shift = schedule % SLOTS;
    if (t->source_ids[0] != NULL) {
        draw_sources(t, session, none, c.shift, &random);
    }
    for (int32_t times = 0; times < 4; ++times) {
        const int32_t first = (int32_t)play_random(&random, ROWS);

        c.rows = 0;
        for (int32_t i = 0; i < ROWS; ++i) {
            if (times == 0 || play_random(&random, 3) > 0) {
                add_part(t, &c, (first + i) % ROWS, 0, lengths[(first + i) % ROWS]);
            }
        }
        if (c.rows > 0) {
            run_call(t, &c, session, false);
            compare_call(t, &c);
        }
    }
    end_call(&c);
    eet_session_destroy(session);
}

START_TEST(encodings_give_the_same_bits_in_every_batch)
{
    const eet_sample_model sample = wide(eet_sample_encoder(), EET_ENC, _i);
    eet_sample_model fitting = sample;

    fitting.head[0].dense = 50; /* the width that the tied matrix takes */
    fitting.head[1].dense = 50;
    texts t = begin_texts(&fitting, EET_ENC);

    run_alone(&t, false);
    for (int32_t schedule = 0; schedule < TRIES; ++schedule) {
        encode_texts(&t, schedule);
    }
    end_texts(&t);
}
END_TEST

START_TEST(a_decoder_encodes_with_the_bits_of_its_steps)
{
    const eet_sample_model sample = wide(eet_sample_decoder(), EET_DEC, _i);
    texts t = begin_texts(&sample, EET_DEC);

    run_alone(&t, true);
    for (int32_t schedule = 0; schedule < 3; ++schedule) {
        encode_texts(&t, schedule);
    }
    end_texts(&t);
}
END_TEST

/* An encoder of another width than the decoder. */
static eet_sample_model pair(int kind) {
    eet_sample_model sample =
        wide(wide(eet_sample_encoder_decoder(), EET_DEC, kind), EET_ENC, kind);

    sample.shared = false;
    sample.facts.stack[EET_ENC].hidden = 36;
    sample.facts.stack[EET_ENC].emb_dim = 36;
    sample.facts.stack[EET_DEC].cross_dim = 36;
    return sample;
}

START_TEST(rows_with_sources_give_the_same_bits_in_every_schedule)
{
    const eet_sample_model sample = pair(_i);
    texts t = begin_texts(&sample, EET_DEC);

    run_alone(&t, true);
    for (int32_t schedule = 0; schedule < TRIES; ++schedule) {
        eet_session *session = play_session(
            t.model, (eet_session_options){.threads = threads[schedule % 3],
                                           .max_sequences = SLOTS,
                                           .max_outputs = 1 + 20 * (schedule % 2),
                                           .max_batch_tokens = schedule % 2 == 0 ? 64 : 512});

        feed_texts(&t, schedule, session);
        eet_session_destroy(session);
    }
    for (int32_t schedule = 0; schedule < 3; ++schedule) { /* a target at once */
        encode_texts(&t, schedule);
    }
    end_texts(&t);
}
END_TEST

/* Row 2's sentence vector and pooled state, whoever is beside it. */
START_TEST(means_and_first_tokens_give_the_same_bits_in_every_batch)
{
    enum { HIDDEN = 50 };
    eet_sample_model sample = wide(eet_sample_encoder(), EET_ENC, _i);
    float alone[2][HIDDEN];
    float values[2][ROWS * HIDDEN];
    eet_error err = {0};

    sample.head[0].dense = HIDDEN;
    sample.head[1].dense = HIDDEN;
    texts t = begin_texts(&sample, EET_ENC);

    for (int32_t schedule = 0; schedule < 6; ++schedule) {
        call c = begin_call(&t);
        int32_t mine = 0;
        eet_session *session = play_session(
            t.model, (eet_session_options){.threads = threads[schedule % 3],
                                           .max_batch_tokens = schedule % 2 == 0 ? 512 : 130});

        for (int32_t i = schedule == 0 ? 2 : 0; i < (schedule == 0 ? 3 : ROWS); ++i) {
            mine = (i + schedule) % ROWS == 2 || schedule == 0 ? c.rows : mine;
            add_part(&t, &c, schedule == 0 ? 2 : (i + schedule) % ROWS, 0,
                     lengths[schedule == 0 ? 2 : (i + schedule) % ROWS]);
        }
        const eet_batch batch = {
            .size = sizeof batch, .rows = c.rows, .start = c.start, .tokens = c.ids};
        eet_output outputs[] = {play_output(EET_HIDDEN, values[0], ROWS * HIDDEN),
                                play_output(1, values[1], ROWS * HIDDEN)};

        outputs[0].take = EET_TAKE_MEAN;
        play_expect(eet_encode(session, &batch, outputs, 2, &err), EET_OK);
        for (int32_t i = 0; i < 2; ++i) {
            if (schedule == 0) {
                memcpy(alone[i], values[i], sizeof alone[i]);
            }
            ck_assert_mem_eq(alone[i], values[i] + mine * HIDDEN, sizeof alone[i]);
        }
        end_call(&c);
        eet_session_destroy(session);
    }
    end_texts(&t);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = steps_give_the_same_bits_in_every_schedule, .rows = KINDS},
        {.test = encodings_give_the_same_bits_in_every_batch, .rows = KINDS},
        {.test = a_decoder_encodes_with_the_bits_of_its_steps, .rows = KINDS},
        {.test = rows_with_sources_give_the_same_bits_in_every_schedule, .rows = KINDS},
        {.test = means_and_first_tokens_give_the_same_bits_in_every_batch, .rows = KINDS},
    };

    return eet_suite_run("schedules", claims, sizeof claims / sizeof *claims);
}
