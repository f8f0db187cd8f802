/* play.c - models and sessions for the engine's suites. */
#include "tests/engine/play.h"

#include <check.h>
#include <stdlib.h>

#include "tests/support/tmpfile.h"

eet_model *play_model(const eet_sample_model *sample) {
    const eet_tmp file = eet_tmp_path("model.eet");
    eet_model *model = NULL;
    eet_error err = {0};

    eet_sample_write(file.path, sample);
    play_expect(eet_model_open(file.path, NULL, &model, &err), EET_OK);
    return model;
}

eet_session *play_session(eet_model *model, eet_session_options options) {
    eet_session *session = NULL;
    eet_error err = {0};

    options.size = sizeof options;
    play_expect(eet_session_create(model, &options, &session, &err), EET_OK);
    return session;
}

uint32_t play_random(uint64_t *state, uint32_t below) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % below;
}

void *play_alloc(size_t count, size_t bytes) {
    void *memory = calloc(count + 1, bytes);

    ck_assert_ptr_nonnull(memory);
    return memory;
}

int32_t *play_ids(uint64_t *state, int32_t vocab, int32_t count) {
    int32_t *ids = play_alloc((size_t)count, sizeof *ids);

    for (int32_t i = 0; i < count; ++i) {
        ids[i] = (int32_t)play_random(state, (uint32_t)vocab);
    }
    return ids;
}

eet_batch play_row(int32_t start[2], const int32_t *tokens, int32_t count,
                   const int32_t *sequence) {
    start[0] = 0;
    start[1] = count;
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = 1,
                       .start = start,
                       .tokens = tokens,
                       .sequence = sequence};
}

eet_output play_output(int32_t head, float *data, int64_t values) {
    return (eet_output){.size = sizeof(eet_output),
                        .head = head,
                        .data = data,
                        .bytes = (uint64_t)values * sizeof *data};
}
