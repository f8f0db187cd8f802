/* case_faults.c - what goes wrong says so in a sentence with the right status, leaves nothing
 * behind, and the CPU works on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/twin.h"

enum { MOST_HOGS = 400 };

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
static void expect_rows(eet_session *session) {
    static const int32_t length = 3;
    gpu_rows rows = gpu_rows_draw(&length, 1, 101, 1);
    float *states = gpu_alloc(3 * 256, sizeof *states);
    const eet_output output = {
        .size = sizeof output, .head = EET_HIDDEN, .data = states, .bytes = 3 * 256 * 4};
    eet_error gpu_error = {0};

    gpu_call(eet_step(session, &rows.batch, &output, 1, &gpu_error), EET_OK);
    gpu_call(eet_sequence_trim(session, 0, 0, &gpu_error), EET_OK);
    gpu_rows_free(&rows);
    free(states);
}

static void expect_works(eet_model *model) {
    const eet_session_options options = {.size = sizeof options, .max_tokens = 64};
    eet_session *session = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(model, &options, &session, &gpu_error), EET_OK);
    expect_rows(session);
    eet_session_destroy(session);
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
    static const char *const sizes[] = {"of cache",  "of workspace", "of weights",
                                        "of graphs", "of CUDA",      "are free"};

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
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        gpu_expect(strstr(gpu_error.text, sizes[i]) != NULL, "no \"%s\" in: %s", sizes[i],
                   gpu_error.text);
    }
    expect_works(t.model[1]);
}

static uint64_t unused_of(eet_session *session) {
    eet_memory_use use = {.size = sizeof use};
    eet_error gpu_error = {0};

    gpu_call(eet_session_memory(session, &use, &gpu_error), EET_OK);
    return use.free_bytes;
}

/* Sessions until not even a small one fits: what they take at most is halved each time. */
static int32_t fill_up(eet_model *model, eet_session **hogs) {
    eet_session_options options = {.size = sizeof options,
                                   .max_sequences = 1,
                                   .max_tokens = 64,
                                   .max_batch_tokens = 16,
                                   .cache_tokens = 1 << 26};
    eet_error gpu_error = {0};
    int32_t count = 0;

    while (count < MOST_HOGS && options.cache_tokens >= 64) {
        const eet_status status = eet_session_create(model, &options, &hogs[count], &gpu_error);

        gpu_expect(status == EET_OK || status == EET_E_MEMORY, "a session that may not fit: %s",
                   gpu_error.text);
        if (status == EET_OK) {
            ++count;
        } else {
            options.cache_tokens /= 2;
        }
    }
    gpu_expect(options.cache_tokens < 64, "%d sessions do not fill the device", count);
    return count;
}

/* A device without any memory left: what there is goes on, what is new is refused, exit 6. */
static void run_full(const gpu_case *one) {
    need_device();
    const gpu_twin t = gpu_twin_begin(shape, one->dtype, true, false);
    const eet_session_options options = {.size = sizeof options, .max_tokens = 64};
    eet_session **hogs = gpu_alloc(MOST_HOGS, sizeof *hogs);
    eet_session *session = NULL;
    eet_model *model = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(t.model[0], &options, &session, &gpu_error), EET_OK);
    expect_rows(session);
    const uint64_t before = unused_of(session);
    const int32_t count = fill_up(t.model[0], hogs);

    gpu_expect(unused_of(session) < before / 100, "%llu of %llu bytes are free",
               (unsigned long long)unused_of(session), (unsigned long long)before);
    expect_rows(session);
    gpu_expect(open_on(&t, EET_CUDA, 0, &model, &gpu_error) == EET_E_MEMORY && model == NULL,
               "a model that does not fit: %s", gpu_error.text);
    expect_sentence(&gpu_error, EET_E_MEMORY, "memory");
    expect_works(t.model[1]);
    for (int32_t i = 0; i < count; ++i) {
        eet_session_destroy(hogs[i]);
    }
    gpu_expect(unused_of(session) + (64 << 20) > before, "%llu of %llu bytes came back",
               (unsigned long long)unused_of(session), (unsigned long long)before);
    expect_rows(session);
    expect_works(t.model[0]);
    eet_session_destroy(session);
    free(hogs);
}

/* A kernel writes where there is no memory: that call says so, all that is on the device is lost to
 * this process, and the CPU works on. */
static void run_kernel(const gpu_case *one) {
    need_device();
    static const int32_t length = 3;
    const gpu_twin t = gpu_twin_begin(shape, one->dtype, true, false);
    const eet_session_options options = {.size = sizeof options, .max_tokens = 64};
    gpu_rows rows = gpu_rows_draw(&length, 1, 101, 1);
    const eet_output nowhere = {.size = sizeof nowhere,
                                .head = EET_HIDDEN,
                                .memory = EET_CUDA,
                                .data = gpu_device_nowhere(2 << 20),
                                .bytes = 3 * 256 * 4};
    eet_session *session = NULL;
    eet_session *other = NULL;
    eet_model *model = NULL;
    eet_error gpu_error = {0};

    gpu_call(eet_session_create(t.model[0], &options, &session, &gpu_error), EET_OK);
    gpu_call(eet_session_create(t.model[0], &options, &other, &gpu_error), EET_OK);
    gpu_expect(eet_step(session, &rows.batch, &nowhere, 1, &gpu_error) == EET_E_DEVICE,
               "a write to nowhere gives %s", eet_status_name((eet_status)gpu_error.status));
    expect_sentence(&gpu_error, EET_E_DEVICE, "illegal");
    gpu_expect(eet_step(session, &rows.batch, NULL, 0, &gpu_error) == EET_E_STATE,
               "a dead session gives %s", eet_status_name((eet_status)gpu_error.status));
    gpu_expect(eet_step(other, &rows.batch, NULL, 0, &gpu_error) == EET_E_DEVICE,
               "a session of a dead device gives %s",
               eet_status_name((eet_status)gpu_error.status));
    expect_sentence(&gpu_error, EET_E_DEVICE, "illegal");
    gpu_expect(open_on(&t, EET_CUDA, 0, &model, &gpu_error) == EET_E_DEVICE && model == NULL,
               "a model of a dead device gives %s", eet_status_name((eet_status)gpu_error.status));
    expect_sentence(&gpu_error, EET_E_DEVICE, "CUDA");
    expect_works(t.model[1]);
    eet_session_destroy(other);
    eet_session_destroy(session);
    eet_model_close(t.model[0]);
    gpu_rows_free(&rows);
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
    gpu_table_add(table, (gpu_case){.name = "faults.full",
                                    .group = "faults_full",
                                    .run = run_full,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "faults.kernel",
                                    .group = "faults_kernel",
                                    .quick = true,
                                    .run = run_kernel,
                                    .dtype = EET_F16});
    gpu_table_add(table, (gpu_case){.name = "faults.no_device",
                                    .quick = true,
                                    .run = run_hidden_device,
                                    .dtype = EET_F16});
}
