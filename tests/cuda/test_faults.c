/* test_faults.c - a CUDA device where any call fails: one sentence with the right status, nothing
 * leaked, and the CPU works on. The backend is its own C files over a double of the runtime
 * (on_double.h), so this runs without a device. */
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"
#include "kernels/backend.h"
#include "tests/cuda/on_double.h"
#include "tests/engine/support.h"

enum { ROWS = 1500, COLUMNS = 1701 }; /* 5 MB: no whole number of pieces */
enum { HIDDEN = 16, PROMPT = 11, STEPS = 3, VALUES = (PROMPT + STEPS) * HIDDEN };

static const int32_t ids[PROMPT + STEPS] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7};

typedef struct results {
    float values[VALUES];
    int32_t tokens[STEPS];
} results;

/* A prompt, then token after token; hidden states into `values`. */
static eet_status run_steps(eet_session *session, float *values, eet_error *err) {
    eet_status status = EET_OK;

    for (int32_t at = 0, count = PROMPT; at < PROMPT + STEPS && status == EET_OK;) {
        const int32_t start[2] = {0, count};
        const eet_batch batch = {
            .size = sizeof batch, .rows = 1, .start = start, .tokens = ids + at};
        const eet_output output = {.size = sizeof output,
                                   .head = EET_HIDDEN,
                                   .data = values + at * HIDDEN,
                                   .bytes = (uint64_t)count * HIDDEN * sizeof *values};

        status = eet_step(session, &batch, &output, 1, err);
        at += count;
        count = 1;
    }
    return status;
}

/* Draws a few tokens behind another prompt. */
static eet_status run_generation(eet_session *session, int32_t tokens[STEPS], eet_error *err) {
    static const int32_t start[2] = {0, PROMPT};
    static const int32_t sequence = 1;
    const eet_batch prompt = {
        .size = sizeof prompt, .rows = 1, .start = start, .tokens = ids, .sequence = &sequence};

    return draw_tokens(session, &prompt, 7, STEPS, STEPS, tokens, NULL, err);
}

static eet_status run(const char *path, const eet_model_options *options, results *out,
                      eet_error *err) {
    const eet_session_options wanted = {.size = sizeof wanted, .max_sequences = 2};
    eet_model *model = NULL;
    eet_session *session = NULL;
    eet_status status = eet_model_open(path, options, &model, err);

    if (status == EET_OK) {
        status = eet_session_create(model, &wanted, &session, err);
    }
    if (status == EET_OK) {
        status = run_steps(session, out->values, err);
    }
    if (status == EET_OK) {
        status = run_generation(session, out->tokens, err);
    }
    eet_session_destroy(session);
    eet_model_close(model);
    return status;
}

static void expect_cpu_works(const char *path) {
    results out;

    EET_MUST(run(path, NULL, &out, err));
}

static void expect_cuda_works(const char *path) {
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA};
    results out;

    EET_MUST(run(path, &on, &out, err));
}

START_TEST(a_model_on_the_double_gives_the_values_of_the_cpu)
{
    static const int32_t dtypes[] = {0, EET_F16, EET_BF16};
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA, .dtype = dtypes[_i]};
    const eet_model_options here = {.size = sizeof here, .dtype = dtypes[_i]};
    results mine = {.values = {0}};
    results its = {.values = {0}};
    eet_double *d = device();
    double off = 0.0;
    double all = 0.0;

    EET_MUST(run(path.path, &on, &mine, err));
    EET_MUST(run(path.path, &here, &its, err));
    ck_assert_mem_eq(mine.tokens, its.tokens, sizeof its.tokens);
    for (int32_t i = 0; i < VALUES; ++i) {
        off += (double)(mine.values[i] - its.values[i]) * (mine.values[i] - its.values[i]);
        all += (double)its.values[i] * its.values[i];
    }
    ck_assert_msg(off <= 1e-10 * all, "%g of %g", off, all);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

/* Bytes that no two pieces of have alike. */
static uint16_t number_at(int64_t i) {
    return (uint16_t)((uint64_t)i * UINT64_C(0x9E3779B97F4A7C15) >> 50 & 0x3BFF);
}

static eet_matrix large_matrix(void) {
    const eet_matrix host = {.data = malloc((size_t)ROWS * COLUMNS * 2),
                             .n = ROWS,
                             .k = COLUMNS,
                             .ld = COLUMNS,
                             .dtype = EET_F16};
    uint16_t *numbers = NULL;

    memcpy(&numbers, &host.data, sizeof numbers);
    ck_assert_ptr_nonnull(numbers);
    for (int64_t i = 0; i < (int64_t)ROWS * COLUMNS; ++i) {
        numbers[i] = number_at(i);
    }
    return host;
}

START_TEST(all_of_a_model_is_on_its_device_and_the_thread_stays_on_its_own)
{
    const eet_tmp path = sample();
    const eet_model_options second = {.size = sizeof second, .device = EET_CUDA, .device_index = 1};
    const eet_matrix host = large_matrix();
    void *symbol = symbol_of(EET_DOUBLE, "eet_double_current");
    int32_t (*current)(void) = NULL;
    eet_double *d = device();
    const eet_backend_api *api = entry();
    const eet_backend_options options = {.device = 1};
    eet_backend *backend = NULL;
    eet_matrix placed = {0};
    results out;

    memcpy(&current, &symbol, sizeof current);
    d->devices = 2;
    EET_MUST(run(path.path, &second, &out, err));
    ck_assert_int_eq(current(), 0);
    ck_assert_int_eq(api->open(&options, &backend), EET_OK); /* and what threads bring there */
    ck_assert_int_eq(api->place(backend, &host, EET_F16, &placed), EET_OK);
    ck_assert_int_eq(api->sync(backend), EET_OK);
    api->unplace(backend, &placed);
    api->close(backend);
    ck_assert_int_eq(current(), 0);
    ck_assert_int_eq(d->made[0], 0);
    ck_assert_int_gt(d->made[1], 20);
    ck_assert_int_eq(d->blocks, 0);
    free((void *)(uintptr_t)host.data);
}
END_TEST

static eet_status open_there(const char *path, int32_t index, eet_error *err) {
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA, .device_index = index};
    eet_model *model = NULL;
    const eet_status status = eet_model_open(path, &on, &model, err);

    ck_assert_ptr_null(model);
    return status;
}

START_TEST(a_device_that_is_not_to_be_had_is_told_in_words)
{
    const eet_tmp path = sample();
    eet_double *d = device();
    const eet_double fine = *d;

    d->driver = 0;
    EET_FAILS(open_there(path.path, 0, err), EET_E_DEVICE, "no CUDA driver is installed");
    *d = fine;
    d->driver = 12040;
    EET_FAILS(open_there(path.path, 0, err), EET_E_DEVICE,
              "the driver is for CUDA 12.4, this build needs 13.");
    *d = fine;
    d->driver = CUDART_VERSION / 1000 * 1000; /* of its first minor version, which is enough */
    expect_cuda_works(path.path);
    *d = fine;
    d->devices = 0;
    EET_FAILS(open_there(path.path, 0, err), EET_E_DEVICE, "this machine has no CUDA device");
    *d = fine;
    EET_FAILS(open_there(path.path, 3, err), EET_E_DEVICE, "there is no CUDA device 3");
    d->capability = 61;
    EET_FAILS(open_there(path.path, 0, err), EET_E_DEVICE,
              "has compute capability 6.1; this build needs 7.5");
    *d = fine;
    d->no_code = 1;
    EET_FAILS(open_there(path.path, 0, err), EET_E_DEVICE,
              "this build has no code for CUDA device 0");
    *d = fine;
    d->unused = 1000;
    EET_FAILS(open_there(path.path, 0, err), EET_E_MEMORY, "no memory left");
    ck_assert_int_eq(d->blocks, 0);
    expect_cpu_works(path.path);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_with_every_size)
{
    static const char *const sizes[] = {"of cache",  "of workspace", "of weights",
                                        "of graphs", "of CUDA",      "are free"};
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA};
    const eet_session_options large = {.size = sizeof large, .max_sequences = 1000};
    eet_double *d = device();
    eet_model *model = NULL;
    eet_session *session = NULL;
    eet_error said = {0};

    EET_MUST(eet_model_open(path.path, &on, &model, err));
    const int64_t before = d->blocks;
    const uint64_t unused = d->unused;

    d->unused = 6 << 20;
    for (int32_t i = 0; i < 2; ++i) {
        ck_assert_int_eq(eet_session_create(model, &large, &session, &said), EET_E_MEMORY);
        ck_assert_int_eq(d->blocks, before);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        ck_assert_msg(strstr(said.text, sizes[i]) != NULL, "no \"%s\" in: %s", sizes[i], said.text);
    }
    d->unused = unused;
    EET_MUST(eet_session_create(model, NULL, &session, err));
    eet_session_destroy(session);
    eet_model_close(model);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

/* Where the last bytes of a session fail, too: memory that host and device share, and a model's
 * first ones. */
START_TEST(what_fails_for_memory_late_or_first_is_told_with_sizes)
{
    static const char *const calls[] = {"cudaHostAlloc", "cudaMalloc"};
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA};
    eet_double *d = device();
    eet_model *model = NULL;
    eet_session *session = NULL;

    EET_MUST(eet_model_open(path.path, &on, &model, err));
    d->code = cudaErrorMemoryAllocation;
    (void)strcpy(d->refuses, calls[_i]);
    if (_i == 0) {
        EET_FAILS(eet_session_create(model, NULL, &session, err), EET_E_MEMORY, "of workspace");
        EET_FAILS(eet_session_create(model, NULL, &session, err), EET_E_MEMORY, "are free");
    } else {
        EET_FAILS(open_there(path.path, 0, err), EET_E_MEMORY, "of norms and biases");
        EET_FAILS(open_there(path.path, 0, err), EET_E_MEMORY, "are free");
    }
    d->refuses[0] = '\0';
    eet_model_close(model);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

START_TEST(who_has_the_memory_is_told)
{
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA, .dtype = EET_F16};
    eet_double *d = device();
    eet_memory_use use = {.size = sizeof use};
    eet_memory_need need = {.size = sizeof need};
    eet_model_info info = {.size = sizeof info};
    eet_model *model = NULL;
    eet_session *session = NULL;

    EET_MUST(eet_model_open(path.path, &on, &model, err));
    EET_MUST(eet_session_measure(model, NULL, &need, err));
    EET_MUST(eet_session_create(model, NULL, &session, err));
    EET_MUST(eet_session_memory(session, &use, err));
    ck_assert_uint_eq(use.free_bytes, d->unused);
    ck_assert_uint_eq(use.cache_bytes, need.cache_bytes);
    ck_assert_uint_eq(use.workspace_bytes, need.workspace_bytes);
    ck_assert_uint_eq(use.host_bytes, need.host_bytes);
    EET_MUST(eet_model_describe(model, &info, err));
    ck_assert_uint_gt(use.weights_bytes, info.weight_bytes / 2); /* f16, and vectors in f32 */
    ck_assert_uint_lt(use.weights_bytes, info.weight_bytes * 3 / 4);
    ck_assert_uint_gt(use.graphs_bytes, 0);
    ck_assert_uint_gt(use.library_bytes, 2 * (4 << 20)); /* pinned, which the double counts too */
    ck_assert_uint_eq(use.weights_bytes + use.cache_bytes + use.workspace_bytes + use.graphs_bytes +
                          use.library_bytes + use.free_bytes,
                      d->all);
    eet_session_destroy(session);
    eet_model_close(model);
}
END_TEST

/* The double's device memory is the host's. */
static void expect_placed(const eet_matrix *placed, int32_t dtype) {
    const uint16_t *half = placed->data;
    const float *single = placed->data;

    ck_assert_int_eq(placed->dtype, dtype);
    for (int64_t i = 0; i < (int64_t)ROWS * COLUMNS; ++i) {
        if (dtype == EET_F16 ? half[i] != number_at(i)
                             : single[i] != eet_f16_to_f32(number_at(i))) {
            ck_abort_msg("number %lld is another", (long long)i);
        }
    }
}

static eet_status place_twice(const eet_backend_api *api, eet_backend *backend,
                              const eet_matrix *host, eet_matrix out[2]) {
    eet_status status = api->place(backend, host, EET_F16, &out[0]);

    if (status == EET_OK) {
        status = api->place(backend, host, EET_F32, &out[1]);
    }
    return status == EET_OK ? api->sync(backend) : status;
}

START_TEST(much_is_brought_by_threads_and_in_another_dtype_where_that_is_wanted)
{
    eet_double *d = device();
    const eet_backend_api *api = entry();
    const eet_backend_options options = {.device = 0};
    const eet_matrix host = large_matrix();
    eet_matrix placed[2] = {{0}};
    eet_backend *backend = NULL;

    ck_assert_int_eq(api->open(&options, &backend), EET_OK);
    ck_assert_int_eq(place_twice(api, backend, &host, placed), EET_OK);
    expect_placed(&placed[0], EET_F16);
    expect_placed(&placed[1], EET_F32);
    api->unplace(backend, &placed[0]);
    api->unplace(backend, &placed[1]);
    api->close(backend);
    ck_assert_int_eq(d->blocks, 0);
    free((void *)(uintptr_t)host.data);
}
END_TEST

/* Did a call fail that one of several threads needs to begin? The others bring all of it. */
static bool lacks_a_thread(const eet_double *d) {
    return strcmp(d->failed, "cudaStreamCreateWithFlags") == 0 ||
           strcmp(d->failed, "cudaEventCreateWithFlags") == 0 ||
           strcmp(d->failed, "cudaMallocHost") == 0;
}

START_TEST(what_fails_on_the_way_is_told_or_the_numbers_are_right)
{
    eet_double *d = device();
    const eet_backend_api *api = entry();
    const eet_backend_options options = {.device = 0};
    const eet_matrix host = large_matrix();
    int64_t failed = 0;

    d->code = _i == 0 ? cudaErrorMemoryAllocation : cudaErrorLaunchFailure;
    for (int64_t n = 1; n <= 150; ++n) {
        eet_matrix placed[2] = {{0}};
        eet_backend *backend = NULL;

        d->calls = 0;
        d->fails = n;
        d->failed[0] = '\0';
        eet_status status = api->open(&options, &backend);

        if (status == EET_OK) {
            status = place_twice(api, backend, &host, placed);
            ck_assert_msg(status == EET_OK || !lacks_a_thread(d), "%s", d->failed);
            if (status == EET_OK && n % 10 == 0) { /* the rest of them is much work */
                expect_placed(&placed[0], EET_F16);
                expect_placed(&placed[1], EET_F32);
            }
            api->unplace(backend, &placed[0]);
            api->unplace(backend, &placed[1]);
            api->close(backend);
        }
        failed += status != EET_OK ? 1 : 0;
        d->fails = 0;
        ck_assert_msg(d->blocks == 0, "call %lld: %lld blocks are left", (long long)n,
                      (long long)d->blocks);
    }
    ck_assert_int_gt(failed, 20);
    free((void *)(uintptr_t)host.data);
}
END_TEST

/* Row 0: there is no memory; 1: the device fails once; 2: for good. */
START_TEST(whichever_call_fails_it_is_told_and_nothing_leaks)
{
    static const struct {
        int32_t code, sticky;
    } kinds[] = {
        {cudaErrorMemoryAllocation, 0}, {cudaErrorLaunchFailure, 0}, {cudaErrorIllegalAddress, 1}};
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA, .dtype = EET_F16};
    results out;
    eet_double *d = device();
    int64_t failed = 0;

    EET_MUST(run(path.path, &on, &out, err));
    const int64_t calls = d->calls;

    ck_assert_int_gt(calls, 200);
    for (int64_t n = 1; n <= calls + 20; ++n) {
        eet_error said = {0};

        d->calls = 0;
        d->fails = n;
        d->code = kinds[_i].code;
        d->sticky = kinds[_i].sticky;
        const eet_status status = run(path.path, &on, &out, &said);

        d->fails = 0;
        ck_assert_msg(d->blocks == 0, "call %lld, %s: %lld blocks are left (%s)", (long long)n,
                      d->failed, (long long)d->blocks, said.text);
        failed += status != EET_OK;
        ck_assert_int_eq(status, said.status);
        ck_assert_msg(status == EET_OK || status == EET_E_DEVICE || status == EET_E_MEMORY,
                      "call %lld: status %d", (long long)n, (int)status);
        ck_assert_msg(status == EET_OK ||
                          (strlen(said.text) > 20 && strchr(said.text, '\n') == NULL),
                      "call %lld: \"%s\"", (long long)n, said.text);
        ck_assert_msg(status != EET_E_DEVICE ||
                          strstr(said.text, kinds[_i].code == cudaErrorMemoryAllocation
                                                ? "out of memory" /* before there is a device */
                                                : "an injected error") != NULL,
                      "call %lld, %s: no cause in \"%s\"", (long long)n, d->failed, said.text);
        ck_assert_msg(status != EET_E_MEMORY || kinds[_i].code == cudaErrorMemoryAllocation,
                      "call %lld: %s", (long long)n, said.text);
    }
    ck_assert_int_gt(failed, calls / 2);
    expect_cpu_works(path.path);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_model_on_the_double_gives_the_values_of_the_cpu, .rows = 3},
        {.test = all_of_a_model_is_on_its_device_and_the_thread_stays_on_its_own},
        {.test = a_device_that_is_not_to_be_had_is_told_in_words},
        {.test = what_does_not_fit_is_refused_with_every_size},
        {.test = what_fails_for_memory_late_or_first_is_told_with_sizes, .rows = 2},
        {.test = who_has_the_memory_is_told},
        {.test = much_is_brought_by_threads_and_in_another_dtype_where_that_is_wanted},
        {.test = what_fails_on_the_way_is_told_or_the_numbers_are_right, .rows = 2},
        {.test = whichever_call_fails_it_is_told_and_nothing_leaks, .rows = 3},
    };

    return eet_suite_run("faults", claims, sizeof claims / sizeof *claims);
}
