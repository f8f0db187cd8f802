/* eet_generate.c - the public interface of generation and scoring: reads the caller's structs,
 * checks what every function checks, and calls the rest of the engine. */
#include <stddef.h>

#include "eet.h"
#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/run.h"

eet_status eet_generate_begin(eet_session *session, const eet_batch *prompts,
                              const eet_generate_options *options, eet_generation **out,
                              eet_error *err) {
    eet_error own;
    eet_batch b;
    eet_generate_options o;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_batch(session, prompts, &b, e);

    if (status == EET_OK) {
        status = eet_abi_read(&o, sizeof o, options, "eet_generate_options", e);
    }
    if (status == EET_OK) {
        status = out == NULL ? eet_call_missing("out", e)
                             : eet_generation_start(session, &b, &o, out, e);
    }
    return eet_call_end(session, status, e);
}

/* A generation that goes on, and its session may be used. */
static eet_status check_generation(const eet_generation *generation, eet_error *err) {
    const eet_session *session = generation != NULL ? generation->session : NULL;

    return session == NULL ? eet_call_missing("generation", err)
                           : eet_call_check(session, true, err);
}

eet_status eet_generate_next(eet_generation *generation, eet_event *out, int32_t room,
                             int32_t *count, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_generation(generation, e);

    if (status == EET_OK && (out == NULL || count == NULL || room < 1)) {
        status = eet_fail(e, EET_E_ARGUMENT, EET_NOWHERE, "there is no room for an event");
    }
    if (status == EET_OK) {
        status = eet_generation_next(generation, out, room, count, e);
    }
    return eet_call_end(generation != NULL ? generation->session : NULL, status, e);
}

eet_status eet_generate_top(const eet_generation *generation, const eet_event *event,
                            int32_t *tokens, float *log_probs, int32_t room, int32_t *count,
                            eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_generation(generation, e);

    if (status == EET_OK && (event == NULL || count == NULL || room < 0 ||
                             (room > 0 && (tokens == NULL || log_probs == NULL)))) {
        status = eet_call_missing("event, or no room for its likeliest tokens", e);
    }
    if (status == EET_OK) {
        status = eet_generation_top(generation, event, tokens, log_probs, room, count, e);
    }
    return eet_call_end(generation != NULL ? generation->session : NULL, status, e);
}

eet_status eet_generate_beam(const eet_generation *generation, int32_t row, int32_t index,
                             eet_beam *out, eet_error *err) {
    eet_error own;
    eet_beam beam;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_generation(generation, e);

    if (status == EET_OK) {
        status = eet_abi_writable(out, "eet_beam", e);
    }
    if (status == EET_OK) {
        status = eet_beams_get(generation, row, index, &beam, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &beam, sizeof beam);
    }
    return eet_call_end(generation != NULL ? generation->session : NULL, status, e);
}

void eet_generate_end(eet_generation *generation) {
    if (generation != NULL && generation->session != NULL) {
        eet_generation_end(generation);
    }
}

eet_status eet_score(eet_session *session, const eet_batch *batch, const int32_t *targets,
                     const eet_scores *out, eet_error *err) {
    eet_error own;
    eet_batch b;
    eet_scores scores;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_batch(session, batch, &b, e);

    if (status == EET_OK) {
        status = out == NULL ? eet_call_missing("eet_scores to fill", e)
                             : eet_abi_read(&scores, sizeof scores, out, "eet_scores", e);
    }
    if (status == EET_OK) {
        status = eet_scores_run(session, &b, targets, &scores, e);
    }
    return eet_call_end(session, status, e);
}
