/* case_identity.c - which library this is, that it runs on the device, and that what it refuses
 * changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/twin.h"

static const char shape[] = "layers=2,hidden=64,heads=2,vocab=101,positions=64";

static void run_library(const gpu_case *one) {
    (void)one;
    gpu_expect(eet_abi() >> 16 == EET_ABI_MAJOR, "the library's interface is %u.%u, not %d",
               eet_abi() >> 16, eet_abi() & 0xFFFF, EET_ABI_MAJOR);
    gpu_note("EET %s, interface %u.%u", eet_version(), eet_abi() >> 16, eet_abi() & 0xFFFF);
}

static void run_model(const gpu_case *one) {
    static const int32_t lengths[] = {9, 1, 33};
    gpu_twin t = gpu_twin_begin(shape, one->dtype, true, true);
    gpu_rows rows = gpu_rows_draw(lengths, 3, 101, 1);

    gpu_twin_sessions(&t, (eet_session_options){.max_sequences = 3});
    gpu_twin_encode(&t, &rows.batch);
    gpu_twin_step(&t, &rows.batch);
    gpu_twin_note(&t);
    gpu_rows_free(&rows);
    gpu_twin_end(&t);
}

/* The last state of a step of tokens 1, 2, 3; the sequence is trimmed again. */
static void take_state(eet_session *session, float state[64]) {
    static const int32_t start[] = {0, 3};
    static const int32_t tokens[] = {1, 2, 3};
    static const int32_t at[] = {2};
    const eet_batch batch = {.size = sizeof batch, .rows = 1, .start = start, .tokens = tokens};
    const eet_output output = {.size = sizeof output,
                               .head = EET_HIDDEN,
                               .take = EET_TAKE_GIVEN,
                               .count = 1,
                               .at = at,
                               .data = state,
                               .bytes = 64 * sizeof *state};
    eet_error gpu_error = {0};

    gpu_call(eet_step(session, &batch, &output, 1, &gpu_error), EET_OK);
    gpu_call(eet_sequence_trim(session, 0, 0, &gpu_error), EET_OK);
}

static void run_limits(const gpu_case *one) {
    static const int32_t too_long = 65;
    gpu_twin t = gpu_twin_begin(shape, one->dtype, false, false);
    float before[64];
    float after[64];
    int32_t bad[] = {1, 101, 3};
    gpu_rows rows = gpu_rows_draw(&too_long, 1, 101, 1);
    const int32_t start[] = {0, 3};
    const eet_batch batch = {.size = sizeof batch, .rows = 1, .start = start, .tokens = bad};
    eet_error err = {0};

    gpu_twin_sessions(&t, (eet_session_options){.max_sequences = 2});
    take_state(t.session[0], before);
    gpu_expect(eet_step(t.session[0], &rows.batch, NULL, 0, &err) == EET_E_LIMIT,
               "65 tokens of 64 give %d: %s", err.status, err.text);
    gpu_expect(strstr(err.text, "65") != NULL && strstr(err.text, "64") != NULL,
               "both numbers are not in \"%s\"", err.text);
    gpu_expect(eet_step(t.session[0], &batch, NULL, 0, &err) == EET_E_ARGUMENT,
               "an id that is none gives %d: %s", err.status, err.text);
    take_state(t.session[0], after);
    gpu_expect(memcmp(before, after, sizeof before) == 0,
               "what was refused changed what comes behind it");
    gpu_rows_free(&rows);
    gpu_twin_end(&t);
}

/* Watched step by step (EET_SYNC) and for numbers that are none (EET_CHECK_FINITE), which leaves
 * recorded graphs out, a model gives the same bits. */
static void run_watched(const gpu_case *one) {
    float state[2][64];

    for (int32_t i = 0; i < 2; ++i) {
        if (i == 1) {
            (void)setenv("EET_SYNC", "1", 1);
            (void)setenv("EET_CHECK_FINITE", "1", 1);
        }
        gpu_twin t = gpu_twin_begin(shape, one->dtype, false, false);

        gpu_twin_sessions(&t, (eet_session_options){.max_sequences = 2});
        take_state(t.session[0], state[i]);
        gpu_twin_end(&t);
    }
    (void)unsetenv("EET_SYNC");
    (void)unsetenv("EET_CHECK_FINITE");
    gpu_expect(memcmp(state[0], state[1], sizeof state[0]) == 0, "the bits differ");
}

/* What is left on the device has the bits of what comes to the host. */
static void run_device_output(const gpu_case *one) {
    enum { BYTES = 3 * 64 * 4 };
    static const int32_t length = 3;
    gpu_twin t = gpu_twin_begin(shape, one->dtype, false, false);
    gpu_rows rows = gpu_rows_draw(&length, 1, 101, 1);
    float host[BYTES / 4];
    float device[BYTES / 4];
    eet_output output = {.size = sizeof output, .head = EET_HIDDEN, .data = host, .bytes = BYTES};
    eet_error gpu_error = {0};

    if (gpu_here()->device != EET_CUDA) {
        gpu_skip("the CPU's memory is the host's");
    }
    memset(host, 0xFF, BYTES);
    memset(device, 0xFE, BYTES);
    gpu_twin_sessions(&t, (eet_session_options){.max_sequences = 2});
    gpu_call(eet_encode(t.session[0], &rows.batch, &output, 1, &gpu_error), EET_OK);
    output.memory = EET_CUDA;
    output.data = gpu_device_alloc(BYTES);
    gpu_call(eet_encode(t.session[0], &rows.batch, &output, 1, &gpu_error), EET_OK);
    gpu_device_read(device, output.data, BYTES);
    gpu_expect(memcmp(host, device, BYTES) == 0, "the bits differ");
    gpu_rows_free(&rows);
    gpu_twin_end(&t);
}

void gpu_cases_identity(gpu_table *table) {
    gpu_table_add(table, (gpu_case){.name = "identity.library",
                                    .group = "identity",
                                    .quick = true,
                                    .run = run_library});
    gpu_table_add(table, (gpu_case){.name = "identity.model",
                                    .group = "identity",
                                    .quick = true,
                                    .run = run_model,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "identity.device_output",
                                    .group = "identity",
                                    .quick = true,
                                    .run = run_device_output,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "identity.watched",
                                    .group = "identity",
                                    .quick = true,
                                    .run = run_watched,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "identity.limits",
                                    .group = "identity",
                                    .quick = true,
                                    .run = run_limits,
                                    .dtype = EET_F16});
}
