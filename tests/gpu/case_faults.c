/* case_faults.c - what goes wrong says so in a sentence with the right status, leaves nothing
 * behind, and the CPU works on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/twin.h"

static const char shape[] = "layers=2,hidden=256,heads=4,vocab=101,positions=65536";

static void need_device(void) {
    if (gpu_here()->device != EET_CUDA) {
        gpu_skip("a fault of CUDA");
    }
}

static eet_status open_on(const gpu_twin *t, int32_t device, int32_t index, eet_model **model,
                          eet_error *err) {
    const eet_model_options options = {
        .size = sizeof options, .device = device, .device_index = index};

    return eet_model_open_memory(t->image.bytes, t->image.size, &options, model, err);
}

/* Three tokens go through. */
static void expect_works(eet_model *model) {
    static const int32_t length = 3;
    const eet_session_options options = {.size = sizeof options, .max_tokens = 64};
    gpu_rows rows = gpu_rows_draw(&length, 1, 101, 1);
    eet_session *session = NULL;
    float *states = gpu_alloc(3 * 256, sizeof *states);
    const eet_output output = {
        .size = sizeof output, .head = EET_HIDDEN, .data = states, .bytes = 3 * 256 * 4};
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(model, &options, &session, &gpu_error), EET_OK);
    gpu_call(eet_step(session, &rows.batch, &output, 1, &gpu_error), EET_OK);
    eet_session_destroy(session);
    gpu_rows_free(&rows);
    free(states);
}

/* A sentence of one line that names what it is about. */
static void expect_sentence(const eet_error *err, eet_status status, const char *about) {
    gpu_expect(err->status == (int32_t)status, "the status is %s, not %s: %s",
               eet_status_name((eet_status)err->status), eet_status_name(status), err->text);
    gpu_expect(strlen(err->text) > 10 && strchr(err->text, '\n') == NULL, "\"%s\" is no sentence",
               err->text);
    gpu_expect(strstr(err->text, about) != NULL, "\"%s\" does not name \"%s\"", err->text, about);
    gpu_note("%s", err->text);
}

static void run_index(const gpu_case *one) {
    need_device();
    const gpu_twin t = gpu_twin_begin(shape, one->dtype, true, false);
    eet_model *model = NULL;
    eet_error err = {0};

    (void)open_on(&t, EET_CUDA, 97, &model, &err);
    expect_sentence(&err, EET_E_DEVICE, "97");
    gpu_expect(model == NULL, "a model on no device");
    (void)open_on(&t, EET_CUDA, -1, &model, &err);
    gpu_expect(err.status != EET_OK && model == NULL, "device -1 opens");
    expect_works(t.model[0]);
    expect_works(t.model[1]);
}

/* Out of memory: the session that cannot be is refused with what it needs and what is free; the
 * model goes on. */
static void run_memory(const gpu_case *one) {
    need_device();
    const gpu_twin t = gpu_twin_begin(shape, one->dtype, true, false);
    const eet_session_options options = {
        .size = sizeof options, .max_sequences = 30000, .max_tokens = 65536};
    eet_memory_need need = {.size = sizeof need};
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_measure(t.model[0], &options, &need, &gpu_error), EET_OK);
    gpu_expect(need.cache_bytes > UINT64_C(1) << 40, "only %llu bytes are needed",
               (unsigned long long)need.cache_bytes);
    for (int32_t i = 0; i < 3; ++i) { /* nothing of it stays taken */
        gpu_expect(eet_session_create(t.model[0], &options, &session, &gpu_error) == EET_E_MEMORY &&
                       session == NULL,
                   "%llu bytes of cache give %s", (unsigned long long)need.cache_bytes,
                   eet_status_name((eet_status)gpu_error.status));
        expect_works(t.model[0]);
    }
    expect_sentence(&gpu_error, EET_E_MEMORY, "free");
    expect_works(t.model[1]);
}

/* A process that is shown no device: its CPU works. */
static void run_hidden_device(const gpu_case *one) {
    need_device();
    (void)setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
    gpu_twin t = {.worst = 0};
    eet_model *model = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_bench_parse_shape(shape, &t.shape, &gpu_error), EET_OK);
    t.shape.dtype = one->dtype;
    gpu_call(eet_bench_image_make(&t.shape, &t.image, &gpu_error), EET_OK);
    (void)open_on(&t, EET_CUDA, 0, &model, &gpu_error);
    expect_sentence(&gpu_error, EET_E_DEVICE, "CUDA");
    gpu_expect(model == NULL, "a model on no device");
    gpu_call(open_on(&t, EET_HOST, 0, &model, &gpu_error), EET_OK);
    expect_works(model);
    eet_model_close(model);
}

void gpu_cases_faults(gpu_table *table) {
    gpu_table_add(table, (gpu_case){.name = "faults.index",
                                    .group = "faults",
                                    .quick = true,
                                    .run = run_index,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "faults.memory",
                                    .group = "faults",
                                    .quick = true,
                                    .run = run_memory,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "faults.no_device",
                                    .quick = true,
                                    .run = run_hidden_device,
                                    .dtype = EET_F16});
}
