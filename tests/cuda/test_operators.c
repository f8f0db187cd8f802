/* test_operators.c - the operators of eet_ops.h where a call of CUDA's runtime fails: told in a
 * sentence, with nothing left behind, and the context works on or says why not; over a double of
 * the runtime (double.h), whose device memory is the host's. */
#include <cuda_runtime_api.h>
#include <string.h>

#include "eet_ops.h"
#include "tests/cuda/on_double.h"

enum { TOKENS = 6, WIDTH = 8, HEADS = 2, DIM = 4, ROOM = 1 << 16 };

static const float numbers[] = {0.5F, -1.25F, 2.0F, 0.0F, -0.75F, 1.5F, 3.0F, -2.5F};

typedef struct stage {
    float x[TOKENS * WIDTH], y[TOKENS * WIDTH], w[WIDTH * WIDTH], b[WIDTH];
    float keys[2 * TOKENS * WIDTH], values[2 * TOKENS * WIDTH];
    int64_t ids[TOKENS];
    char workspace[ROOM];
} stage;

static void fill(float *x, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        x[i] = numbers[i * 5 % 8] * (float)(1 + i % 3);
    }
}

static void begin(stage *s) {
    memset(s, 0, sizeof *s);
    fill(s->x, TOKENS * WIDTH);
    fill(s->w, WIDTH * WIDTH);
    fill(s->b, WIDTH);
    for (int32_t i = 0; i < TOKENS; ++i) {
        s->ids[i] = i * 3 % 5;
    }
}

static eet_array array(int32_t memory, int32_t dtype, int64_t rows, int64_t cols, void *data) {
    return (eet_array){.size = sizeof(eet_array),
                       .dtype = dtype,
                       .memory = memory,
                       .rank = cols > 0 ? 2 : 1,
                       .shape = {rows, cols},
                       .data = data};
}

static eet_array cache(int32_t memory, void *data) {
    return (eet_array){.size = sizeof(eet_array),
                       .dtype = EET_F32,
                       .memory = memory,
                       .rank = 4,
                       .shape = {2, TOKENS, HEADS, DIM},
                       .data = data};
}

/* Embeds ids into x, which then attends to itself: into y. */
static eet_status compute(eet_op_context *context, int32_t memory, stage *s, eet_error *err) {
    static const int32_t start[] = {0, 2, TOKENS};
    const eet_op_norm norm = {.weight = array(memory, EET_F32, WIDTH, 0, s->b)};
    const eet_op_linear linear = {.weight = array(memory, EET_F32, WIDTH, WIDTH, s->w),
                                  .bias = array(memory, EET_F32, WIDTH, 0, s->b)};
    const eet_embedding_op embedding = {.size = sizeof embedding,
                                        .workspace = s->workspace,
                                        .workspace_bytes = ROOM,
                                        .rows = 2,
                                        .start = start,
                                        .ids = array(memory, EET_I64, TOKENS, 0, s->ids),
                                        .token = array(memory, EET_F32, TOKENS, WIDTH, s->x),
                                        .norm = norm,
                                        .y = array(memory, EET_F32, TOKENS, WIDTH, s->y)};
    const eet_attention_op attention = {.size = sizeof attention,
                                        .rows = 2,
                                        .workspace = s->workspace,
                                        .workspace_bytes = ROOM,
                                        .heads = HEADS,
                                        .head_dim = DIM,
                                        .pre_norm = 1,
                                        .add_residual = 1,
                                        .start = start,
                                        .x = array(memory, EET_F32, TOKENS, WIDTH, s->y),
                                        .y = array(memory, EET_F32, TOKENS, WIDTH, s->y),
                                        .norm = norm,
                                        .query = linear,
                                        .key = linear,
                                        .value = linear,
                                        .out = linear,
                                        .keys = cache(memory, s->keys),
                                        .values = cache(memory, s->values)};
    const eet_status status = eet_op_embedding(context, &embedding, err);

    return status == EET_OK ? eet_op_masked_multi_head_attention(context, &attention, err) : status;
}

static eet_status run(int32_t device, void *stream, stage *s, eet_error *err) {
    const eet_op_options options = {
        .size = sizeof options, .device = device, .threads = device == EET_HOST, .stream = stream};
    eet_op_context *context = NULL;
    eet_status status = eet_op_context_create(&options, &context, err);

    begin(s);
    if (status == EET_OK) {
        status = eet_op_wait(context, s, err); /* any stream that is not its own */
    }
    if (status == EET_OK) {
        status = compute(context, device, s, err);
    }
    if (status == EET_OK) {
        status = eet_op_finish(context, err);
    }
    eet_op_context_destroy(context);
    return status;
}

static stage mine, its;

START_TEST(operators_on_the_double_give_the_values_of_the_cpu)
{
    eet_double *d = device();

    EET_MUST(run(EET_HOST, NULL, &its, err));
    EET_MUST(run(EET_CUDA, NULL, &mine, err));
    for (int32_t i = 0; i < TOKENS * WIDTH; ++i) {
        ck_assert_double_eq_tol((double)mine.y[i], (double)its.y[i], 1e-4);
    }
    ck_assert_int_eq(d->blocks, 0);
}
END_TEST

START_TEST(whichever_call_fails_an_operator_tells_it)
{
    static const int32_t codes[] = {cudaErrorMemoryAllocation, cudaErrorLaunchFailure};
    static const char *const causes[] = {"out of memory", "an injected error"};
    char borrowed = 0;
    void *stream = _i % 2 == 0 ? NULL : &borrowed;
    eet_double *d = device();
    const int64_t before = d->calls;
    int64_t failed = 0;

    EET_MUST(run(EET_CUDA, stream, &mine, err));
    const int64_t calls = d->calls - before;

    for (int64_t n = 1; n <= calls; ++n) {
        eet_error said = {0};

        d->calls = 0;
        d->fails = n;
        d->code = codes[_i / 2];
        const eet_status status = run(EET_CUDA, stream, &its, &said);

        d->fails = 0;
        failed += status != EET_OK;
        ck_assert(said.text[0] == '\0' || said.text[strlen(said.text) - 2] != ':');
        ck_assert_int_eq(d->blocks, 0);
        ck_assert_int_eq(status, said.status);
        ck_assert_msg(status != EET_E_DEVICE || strstr(said.text, causes[_i / 2]) != NULL,
                      "call %lld, %s: no cause in \"%s\"", (long long)n, d->failed, said.text);
        ck_assert_msg(status != EET_OK || memcmp(its.y, mine.y, sizeof mine.y) == 0,
                      "call %lld, %s: other values", (long long)n, d->failed);
    }
    ck_assert_int_gt(failed, calls / 2);
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = operators_on_the_double_give_the_values_of_the_cpu},
        {.test = whichever_call_fails_an_operator_tells_it, .rows = 4},
    };

    return eet_suite_run("operators", claims, sizeof claims / sizeof *claims);
}
