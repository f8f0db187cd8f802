/* every_call.c - the calls of a session, one after another. */
#include "tests/engine/every_call.h"

#include <stddef.h>

#include "tests/engine/play.h"

static const int32_t starts[] = {0, 3, 17, EVERY_TOKENS};

/* Outputs of every kind. */
static int32_t fill_outputs(eet_output *outputs, float *data, bool whole) {
    static const int32_t takes[] = {EET_TAKE_EVERY, EET_TAKE_FIRST, EET_TAKE_LAST, EET_TAKE_GIVEN,
                                    EET_TAKE_MEAN};
    static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    static const int32_t at[] = {2, 18};
    int32_t count = 0;

    for (int32_t i = 0; i < (whole ? 5 : 4); ++i) {
        for (int32_t head = EET_HIDDEN; head <= 0; ++head) {
            outputs[count] = play_output(head, data, EVERY_VALUES);
            outputs[count].take = takes[i];
            outputs[count].dtype = dtypes[count % 3];
            outputs[count].at = at;
            outputs[count].count = takes[i] == EET_TAKE_GIVEN ? 2 : 0;
            count += 1;
        }
    }
    return count;
}

#define CALL(v, call, wanted)                           \
    do {                                                \
        if ((call) != (wanted) && (v)->wrong == NULL) { \
            (v)->wrong = #call;                         \
        }                                               \
    } while (0)

static void use_generation(eet_session *session, const eet_batch *batch, float *data,
                           const eet_generate_options *how, every_verdict *v) {
    eet_generation *generation = NULL;
    eet_event event;
    int32_t count = 0, top = 0;

    CALL(v, eet_generate_begin(session, batch, how, &generation, &v->err), EET_OK);
    do {
        CALL(v, eet_generate_next(generation, &event, 1, &count, &v->err), EET_OK);
        CALL(v,
             count == 0 ? EET_OK
                        : eet_generate_top(generation, &event, &top, data, 1, &top, &v->err),
             EET_OK);
    } while (count > 0);
    eet_generate_end(generation);
}

/* A fork that writes, and a search that forks. */
static void use_forks(eet_session *session, const int32_t *ids, every_verdict *v) {
    const int32_t start[] = {0, 3};
    const int32_t to = 1;
    eet_batch batch = {.size = sizeof batch, .rows = 1, .start = start, .tokens = ids};
    const eet_generate_options how = {.size = sizeof how,
                                      .beams = 2,
                                      .max_new_tokens = 5,
                                      .min_new_tokens = 2,
                                      .repetition_penalty = 1.2};
    eet_generation *generation = NULL;
    eet_beam beam = {.size = sizeof beam};
    eet_event event;
    int32_t count = 0;

    CALL(v, eet_step(session, &batch, NULL, 0, &v->err), EET_OK);
    CALL(v, eet_sequence_fork(session, 0, to, &v->err), EET_OK);
    batch.sequence = &to;
    CALL(v, eet_step(session, &batch, NULL, 0, &v->err), EET_OK);
    CALL(v, eet_sequence_trim(session, 0, 0, &v->err), EET_OK);
    CALL(v, eet_sequence_trim(session, to, 0, &v->err), EET_OK);
    CALL(v, eet_generate_begin(session, &batch, &how, &generation, &v->err), EET_OK);
    do {
        CALL(v, eet_generate_next(generation, &event, 1, &count, &v->err), EET_OK);
    } while (count > 0);
    CALL(v, eet_generate_beam(generation, 0, 1, &beam, &v->err), EET_OK);
    eet_generate_end(generation);
    CALL(v, eet_sequence_trim(session, to, 0, &v->err), EET_OK);
}

void every_call(eet_session *session, const int32_t *ids, float *data, bool decoder,
                every_verdict *v) {
    const eet_batch batch = {
        .size = sizeof batch, .rows = EVERY_SEQUENCES, .start = starts, .tokens = ids};
    const eet_scores scores = {.size = sizeof scores, .log_prob = data};
    const eet_generate_options how = {
        .size = sizeof how, .temperature = 1, .top_p = 0.9, .repetition_penalty = 1.2, .top_n = 1};
    eet_output outputs[10];
    int32_t count = fill_outputs(outputs, data, true);

    CALL(v, eet_encode(session, &batch, outputs, count, &v->err), EET_OK);
    CALL(v, eet_score(session, &batch, ids, &scores, &v->err), EET_OK);
    if (!decoder) {
        CALL(v, eet_step(session, &batch, outputs, 1, &v->err), EET_E_UNSUPPORTED);
        return;
    }
    for (int32_t i = 0; i < EVERY_SEQUENCES; ++i) {
        CALL(v, eet_sequence_trim(session, i, 0, &v->err), EET_OK);
    }
    count = fill_outputs(outputs, data, false);
    CALL(v, eet_step(session, &batch, outputs, count, &v->err), EET_OK);
    CALL(v, eet_step(session, &batch, outputs, count, &v->err), EET_OK);
    CALL(v, eet_step(session, &batch, outputs, count, &v->err), EET_E_LIMIT);
    for (int32_t i = 0; i < EVERY_SEQUENCES; ++i) {
        CALL(v, eet_sequence_trim(session, i, i, &v->err), EET_OK);
    }
    use_generation(session, &batch, data, &how, v);
    for (int32_t i = 0; i < EVERY_SEQUENCES; ++i) {
        CALL(v, eet_sequence_trim(session, i, 0, &v->err), EET_OK);
    }
    use_forks(session, ids, v);
    eet_session_cancel(session);
    CALL(v, eet_step(session, &batch, outputs, 1, &v->err), EET_E_CANCELLED);
}

void every_source_call(eet_session *session, const int32_t *ids, float *data, every_verdict *v) {
    static const int32_t slots[] = {1, 1, 0};
    const eet_batch sources = {
        .size = sizeof sources, .rows = EVERY_SEQUENCES, .start = starts, .tokens = ids};
    const eet_array states = {
        .size = sizeof states, .dtype = EET_F32, .rank = 2, .shape = {25, 16}, .data = data};
    const eet_generate_options how = {.size = sizeof how, .max_new_tokens = 4, .top_n = 1};
    const eet_scores scores = {.size = sizeof scores, .log_prob = data};
    const eet_output output = play_output(EET_HIDDEN, data, EVERY_VALUES);
    eet_batch batch = sources;

    CALL(v, eet_source(session, &sources, &v->err), EET_OK);
    CALL(v, eet_step(session, &batch, &output, 1, &v->err), EET_E_ARGUMENT);
    batch.source = slots;
    CALL(v, eet_encode(session, &batch, &output, 1, &v->err), EET_OK);
    CALL(v, eet_step(session, &batch, &output, 1, &v->err), EET_OK);
    for (int32_t i = 0; i < EVERY_SEQUENCES; ++i) {
        CALL(v, eet_sequence_trim(session, i, 0, &v->err), EET_OK);
    }
    CALL(v, eet_source_set(session, 1, &states, &v->err), EET_OK);
    CALL(v, eet_score(session, &batch, NULL, &scores, &v->err), EET_OK);
    for (int32_t i = 0; i < EVERY_SEQUENCES; ++i) {
        CALL(v, eet_sequence_trim(session, i, 1, &v->err), EET_OK);
    }
    use_generation(session, &batch, data, &how, v);
    CALL(v, eet_source_set(session, 0, NULL, &v->err), EET_OK);
    eet_session_cancel(session);
    CALL(v, eet_source(session, &sources, &v->err), EET_E_CANCELLED);
}
