/* test_streams.c - a device's memory for others, the order among streams, and the child of a fork:
 * what fails there is told, and is no failure of anything else; over a double of the runtime
 * (double.h). */
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/cuda/on_double.h"

START_TEST(a_buffer_takes_its_own_memory_and_says_what_fails)
{
    enum { BYTES = 1000, BESIDE = 4096 };
    eet_double *d = device();
    eet_buffer *buffer = NULL;
    const uint64_t unused = d->unused;
    const int64_t before = d->calls;

    EET_MUST(eet_buffer_create_on(EET_CUDA, 0, BYTES, &buffer, err));
    const int64_t calls = d->calls - before;

    for (int32_t i = 0; i < BYTES; ++i) {
        ck_assert_int_eq(((const char *)eet_buffer_data(buffer))[i], 0);
    }
    ck_assert_uint_lt(unused - d->unused, BYTES + BESIDE); /* nothing is pinned */
    eet_buffer_release(buffer);
    for (int64_t n = 1; n <= calls; ++n) {
        const bool memory = n % 2 == _i;
        eet_error said = {0};

        d->calls = 0;
        d->fails = n;
        d->code = memory ? cudaErrorMemoryAllocation : cudaErrorLaunchFailure;
        buffer = NULL;
        const eet_status status = eet_buffer_create_on(EET_CUDA, 0, BYTES, &buffer, &said);

        eet_buffer_release(buffer);
        d->fails = 0;
        ck_assert_msg(status == EET_OK || status == EET_E_DEVICE ||
                          (memory && status == EET_E_MEMORY),
                      "call %lld, %s: %s", (long long)n, d->failed, said.text);
        ck_assert((status == EET_OK) == (buffer != NULL));
        ck_assert_int_eq(d->blocks, 0);
    }
    ck_assert_uint_eq(d->unused, unused);
}
END_TEST

typedef struct late_writer {
    const eet_double *device;
    uint64_t *word;
} late_writer;

/* Writes when somebody has looked at the stream. */
static void *write_late(void *context) {
    const late_writer *w = context;

    while (__atomic_load_n(&w->device->busy, __ATOMIC_RELAXED) == INT32_MAX) {
    }
    __atomic_store_n(w->word, 1, __ATOMIC_RELEASE);
    return NULL;
}

START_TEST(a_long_wait_is_no_failure_of_what_comes_next)
{
    eet_double *d = device();
    const eet_backend_api *api = entry();
    const eet_backend_options options = {.device = 0};
    const float x = 1.5F;
    float y = 0.0F;
    const eet_convert_args args = {.x = &x, .y = &y, .count = 1, .from = EET_F32, .to = EET_F32};
    eet_backend *backend = NULL;
    pthread_t thread;

    ck_assert_int_eq(api->open(&options, &backend), EET_OK);
    late_writer writer = {.device = d, .word = api->share(backend, sizeof(uint64_t))};

    ck_assert_ptr_nonnull(writer.word);
    d->busy = INT32_MAX;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_late, &writer), 0);
    ck_assert_int_eq(api->wait_for(backend, writer.word, 1), EET_OK);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_lt(d->busy, INT32_MAX);
    ck_assert_int_eq(api->ops(backend)->convert(backend, &args), EET_OK);
    ck_assert(y == x);
    d->busy = 0;
    ck_assert_int_eq(api->wait_for(backend, writer.word, 2), EET_E_DEVICE); /* by nobody */
    api->unshare(backend, writer.word);
    api->close(backend);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

START_TEST(a_stream_that_cannot_be_waited_for_leaves_the_session_as_it_was)
{
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA};
    const eet_backend_options options = {.device = 0};
    const eet_backend_api *api = entry();
    const int32_t start[2] = {0, 3};
    const int32_t ids[3] = {3, 1, 4};
    const eet_batch row = {.size = sizeof row, .rows = 1, .start = start, .tokens = ids};
    eet_double *d = device();
    eet_model *model = NULL;
    eet_session *session = NULL;
    eet_backend *other = NULL;
    void *graph = NULL;

    EET_MUST(eet_model_open(path.path, &on, &model, err));
    EET_MUST(eet_session_create(model, NULL, &session, err));
    ck_assert_int_eq(api->open(&options, &other), EET_OK);
    void *stream = api->stream(other);

    ck_assert_int_eq(api->graph_begin(other), EET_OK);
    EET_FAILS(eet_session_wait(session, stream, err), EET_E_STATE, "while a graph is recorded");
    ck_assert_int_eq(api->graph_end(other, &graph), EET_OK);
    EET_MUST(eet_session_wait(session, stream, err));
    d->code = cudaErrorInvalidResourceHandle;
    (void)strcpy(d->refuses, "cudaEventRecord");
    EET_FAILS(eet_session_wait(session, stream, err), EET_E_ARGUMENT, "of the same device");
    d->refuses[0] = '\0';
    EET_MUST(eet_step(session, &row, NULL, 0, err));
    api->graph_free(other, graph);
    api->close(other);
    eet_session_destroy(session);
    eet_model_close(model);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

/* CUDA does not go on in the child of a fork: what a child gives back touches no device. */
START_TEST(a_child_gives_back_without_a_call_of_the_device)
{
    const eet_tmp path = sample();
    const eet_model_options on = {.size = sizeof on, .device = EET_CUDA};
    const eet_double *d = device();
    eet_buffer *buffer = NULL;
    eet_model *model = NULL;
    eet_session *session = NULL;
    int status = 0;

    EET_MUST(eet_model_open(path.path, &on, &model, err));
    EET_MUST(eet_session_create(model, NULL, &session, err));
    EET_MUST(eet_buffer_create_on(EET_CUDA, 0, 1000, &buffer, err));
    const int64_t calls = d->calls;
    const pid_t child = fork();

    if (child == 0) {
        eet_session_cancel(session);
        eet_session_destroy(session);
        eet_model_close(model);
        eet_buffer_release(buffer);
        _exit(d->calls == calls ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    eet_session_destroy(session);
    eet_model_close(model);
    eet_buffer_release(buffer);
    ck_assert_int_gt(d->calls, calls);
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = a_buffer_takes_its_own_memory_and_says_what_fails, .rows = 2},
        {.test = a_long_wait_is_no_failure_of_what_comes_next},
        {.test = a_stream_that_cannot_be_waited_for_leaves_the_session_as_it_was},
        {.test = a_child_gives_back_without_a_call_of_the_device},
    };

    return eet_suite_run("streams", claims, sizeof claims / sizeof *claims);
}
