/* support.h - what the engine's suites share. */
#ifndef EET_TESTS_ENGINE_SUPPORT_H
#define EET_TESTS_ENGINE_SUPPORT_H

#include "eet.h"
#include "tests/support/sample_model.h"
#include "tests/support/suite.h"
#include "tests/support/tmpfile.h"

/* Fails the test with the call's own words. */
#define EET_MUST(call)                                               \
    do {                                                             \
        eet_error err_ = {0};                                        \
        eet_error *err = &err_;                                      \
        ck_assert_msg((call) == EET_OK, "%s: %s", #call, err->text); \
    } while (0)

/* The call must fail so, and say so. */
#define EET_FAILS(call, wanted, words)                                               \
    do {                                                                             \
        eet_error err_ = {0};                                                        \
        eet_error *err = &err_;                                                      \
        ck_assert_int_eq((call), (wanted));                                          \
        ck_assert_int_eq(err->status, (wanted));                                     \
        ck_assert_msg(strstr(err->text, (words)) != NULL, "said \"%s\"", err->text); \
    } while (0)

/* The sample model, written and opened. */
static inline eet_model *open_sample(const eet_sample_model *sample) {
    const eet_tmp path = eet_tmp_path("model.eet");
    eet_model *model = NULL;

    eet_sample_write(path.path, sample);
    EET_MUST(eet_model_open(path.path, NULL, &model, err));
    return model;
}

static inline eet_session *make_session(eet_model *model, eet_session_options options) {
    eet_session *session = NULL;

    options.size = sizeof options;
    EET_MUST(eet_session_create(model, &options, &session, err));
    return session;
}

/* One row. */
static inline eet_batch row_of(const int32_t *ids, int32_t *start, int32_t count) {
    start[0] = 0;
    start[1] = count;
    return (eet_batch){.size = sizeof(eet_batch), .rows = 1, .start = start, .tokens = ids};
}

#endif
