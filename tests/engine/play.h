/* play.h - models and sessions for the engine's suites, in a line each.
 *
 * Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_ENGINE_PLAY_H
#define EET_TESTS_ENGINE_PLAY_H

#include <stdint.h>

#include "engine/eet.h"
#include "tests/support/sample_model.h"

/* The sample's file, written anew, and opened. Release with eet_model_close. */
eet_model *play_model(const eet_sample_model *sample);
/* `options.size` is filled in. Release with eet_session_destroy. */
eet_session *play_session(eet_model *model, eet_session_options options);

/* A number below `below`, and the next state. */
uint32_t play_random(uint64_t *state, uint32_t below);
/* Ids below `vocab`, the same for the same state; free(). */
int32_t *play_ids(uint64_t *state, int32_t vocab, int32_t count);

/* Memory that is there; free(). */
void *play_alloc(size_t count, size_t bytes);

/* One row of `count` tokens for sequence *`sequence` (NULL: 0). `start` holds two numbers. */
eet_batch play_row(int32_t start[2], const int32_t *tokens, int32_t count, const int32_t *sequence);
/* An f32 output with room for `values`. */
eet_output play_output(int32_t head, float *data, int64_t values);

/* The call has this status, else its sentence is shown. */
#define play_expect(call, wanted)                                                       \
    do {                                                                                \
        const eet_status play_status = (call);                                          \
                                                                                        \
        ck_assert_msg(play_status == (wanted), "%s gives %s, not %s: %s", #call,        \
                      eet_status_name(play_status), eet_status_name(wanted), err.text); \
    } while (0)

#endif
