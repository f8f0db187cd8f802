/* case_large.c - the limits that are lifted: any head size, hidden 16,384 with 128 heads, 16,384
 * tokens, many rows, and memory that grows with the tokens and not with their square. On the CPU
 * the same cases run at sizes that it can do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/types.h"
#include "tests/gpu/twin.h"

static bool on_device(void) {
    return gpu_here()->device == EET_CUDA;
}

/* ---- head sizes ------------------------------------------------------------------ */

static void run_heads(const gpu_case *one) {
    static const int32_t lengths[] = {1, 70, 130, 17, 64, 5};
    static const int32_t more[] = {1, 3, 8, 9, 1, 1};
    char shape[160];

    for (int32_t encoder = 0; encoder < 2; ++encoder) {
        (void)snprintf(shape, sizeof shape,
                       "layers=2,hidden=%d,heads=2,vocab=101,ffn=97,positions=200%s",
                       2 * one->number, encoder != 0 ? ",kind=encoder" : "");
        gpu_twin t = gpu_twin_begin(shape, one->dtype, true, true);
        gpu_rows rows = gpu_rows_draw(lengths, 6, 101, 3);
        gpu_rows tail = gpu_rows_draw(more, 6, 101, 4);

        gpu_twin_sessions(&t, (eet_session_options){.max_sequences = 8, .max_batch_tokens = 300});
        gpu_twin_encode(&t, &rows.batch);
        if (encoder == 0) {
            gpu_twin_step(&t, &rows.batch);
            gpu_twin_step(&t, &tail.batch);
        }
        gpu_twin_note(&t);
        gpu_rows_free(&rows);
        gpu_rows_free(&tail);
        gpu_twin_end(&t);
    }
}

/* ---- large ones ------------------------------------------------------------------- */

/* A prompt or two, then tokens one by one, on both. */
static void run_text(const char *shape, int32_t dtype, const int32_t *lengths, int32_t count,
                     eet_session_options options) {
    static const int32_t single[] = {1, 1, 1, 1};
    gpu_twin t = gpu_twin_begin(shape, dtype, true, false);
    gpu_rows rows = gpu_rows_draw(lengths, count, t.shape.vocab, 7);

    gpu_twin_sessions(&t, options);
    if (t.shape.encoder) {
        gpu_twin_encode(&t, &rows.batch);
    } else {
        gpu_twin_step(&t, &rows.batch);
        for (uint64_t i = 0; i < 4; ++i) {
            gpu_rows next = gpu_rows_draw(single, count, t.shape.vocab, 8 + i);

            gpu_twin_step(&t, &next.batch);
            gpu_rows_free(&next);
        }
    }
    gpu_twin_note(&t);
    gpu_rows_free(&rows);
    gpu_twin_end(&t);
}

static void run_hidden(const gpu_case *one) {
    static const int32_t lengths[] = {40, 5, 1};
    char shape[160];

    (void)snprintf(shape, sizeof shape, "layers=1,hidden=%d,heads=%d,vocab=512,positions=64%s",
                   on_device() ? 16384 : 512, on_device() ? 128 : 4,
                   one->number != 0 ? ",kind=encoder" : "");
    run_text(shape, one->dtype, lengths, 3, (eet_session_options){.max_sequences = 4});
}

static void run_tokens(const gpu_case *one) {
    const int32_t length = on_device() ? 16384 : 700;
    char shape[160];

    (void)snprintf(shape, sizeof shape, "layers=2,hidden=256,heads=4,vocab=199,positions=%d%s",
                   length + 100, one->number == 1 ? ",kind=encoder" : "");
    run_text(shape, one->dtype, &length, 1,
             (eet_session_options){.max_batch_tokens = one->number == 2 ? 1000 : length});
}

/* More rows than fit any fixed table; each is what it is alone. */
static void run_rows(const gpu_case *one) {
    enum { ROWS = 1500 };
    const int32_t count = on_device() ? ROWS : 100;
    static int32_t lengths[ROWS];
    static int32_t single[ROWS];
    gpu_twin t = gpu_twin_begin("layers=2,hidden=128,heads=2,vocab=101,positions=64", one->dtype,
                                true, false);
    uint64_t random = 1;

    for (int32_t i = 0; i < count; ++i) {
        lengths[i] = 1 + (int32_t)gpu_random(&random, 40);
        single[i] = 1;
    }
    gpu_rows rows = gpu_rows_draw(lengths, count, 101, 2);
    gpu_rows next = gpu_rows_draw(single, count, 101, 3);

    gpu_twin_sessions(&t, (eet_session_options){.max_sequences = count,
                                                .max_batch_tokens = 4096,
                                                .max_outputs = 2048});
    gpu_twin_step(&t, &rows.batch);
    gpu_twin_step(&t, &next.batch);
    gpu_note("%d rows", count);
    gpu_twin_note(&t);
    gpu_rows_free(&rows);
    gpu_rows_free(&next);
    gpu_twin_end(&t);
}

/* ---- memory ------------------------------------------------------------------------- */

/* The memory of a session for one text of `length` tokens: by measure, and by the device. */
static void take_memory(eet_model *model, int32_t length, uint64_t *told, uint64_t *taken) {
    const eet_session_options options = {
        .size = sizeof options, .max_tokens = length, .max_batch_tokens = length};
    eet_memory_need need = {.size = sizeof need};
    eet_session *session = NULL;
    gpu_rows rows = gpu_rows_draw(&length, 1, 199, 3);
    float *last = gpu_alloc(256, sizeof *last);
    const int32_t at = length - 1;
    const eet_output output = {.size = sizeof output,
                               .head = EET_HIDDEN,
                               .take = EET_TAKE_GIVEN,
                               .count = 1,
                               .at = &at,
                               .data = last,
                               .bytes = 256 * sizeof *last};
    const uint64_t before = gpu_device_free();
    eet_error gpu_error = {0};

    gpu_call(eet_session_measure(model, &options, &need, &gpu_error), EET_OK);
    gpu_call(eet_session_create(model, &options, &session, &gpu_error), EET_OK);
    gpu_call(eet_step(session, &rows.batch, &output, 1, &gpu_error), EET_OK);
    *told = need.cache_bytes + need.workspace_bytes;
    *taken = before - gpu_device_free();
    eet_session_destroy(session);
    gpu_rows_free(&rows);
    free(last);
}

/* Twice the tokens take at most 2.2 times the memory, and 64 MiB of slack: nothing is of
 * sequence times sequence, which would take four times as much. */
static void run_memory(const gpu_case *one) {
    enum { POINTS = 5 };
    const int32_t first = on_device() ? 1024 : 128;
    uint64_t told[POINTS];
    uint64_t taken[POINTS];
    gpu_twin t = gpu_twin_begin("layers=2,hidden=256,heads=4,vocab=199,positions=16384", one->dtype,
                                false, false);

    for (int32_t i = 0; i < POINTS; ++i) {
        take_memory(t.model[0], first << i, &told[i], &taken[i]);
        gpu_note("%d tokens: %.1f MiB told, %.1f taken", first << i, (double)told[i] / (1 << 20),
                 (double)taken[i] / (1 << 20));
        gpu_expect(i == 0 || (double)told[i] <= 2.2 * (double)told[i - 1],
                   "%d tokens need %.1f MiB, and half of them %.1f", first << i,
                   (double)told[i] / (1 << 20), (double)told[i - 1] / (1 << 20));
        gpu_expect(i == 0 || (double)taken[i] <= 2.2 * (double)taken[i - 1] + (64 << 20),
                   "%d tokens take %.1f MiB of the device, and half of them %.1f", first << i,
                   (double)taken[i] / (1 << 20), (double)taken[i - 1] / (1 << 20));
    }
    gpu_twin_end(&t);
}

/* A session takes from the device what it said, and gives it back. */
static void run_leak(const gpu_case *one) {
    gpu_twin t = gpu_twin_begin("layers=2,hidden=256,heads=4,vocab=199,positions=4096", one->dtype,
                                false, false);
    uint64_t told = 0;
    uint64_t taken = 0;

    const int32_t length = on_device() ? 2048 : 256;

    take_memory(t.model[0], length, &told, &taken); /* what is loaded at first use comes here */
    const uint64_t before = gpu_device_free();

    for (int32_t i = 0; i < 20; ++i) {
        take_memory(t.model[0], length, &told, &taken);
    }
    const uint64_t after = gpu_device_free();

    gpu_expect(after + (8 << 20) >= before, "20 sessions kept %.1f MiB",
               (double)(before - after) / (1 << 20));
    gpu_note("told %.1f MiB, taken %.1f", (double)told / (1 << 20), (double)taken / (1 << 20));
    gpu_twin_end(&t);
}

static void add(gpu_table *table, const char *name, int32_t dtype, int32_t number, int32_t limit,
                void (*run)(const gpu_case *)) {
    gpu_case one = {.limit = limit, .run = run, .dtype = dtype, .number = number};

    (void)snprintf(one.name, sizeof one.name, "%s.%s", name, eet_dtype_name((eet_dtype)dtype));
    if (strncmp(name, "heads", 5) == 0) {
        (void)strcpy(one.group, "heads");
        one.quick = dtype == EET_F16 && number % 32 != 0;
    }
    gpu_table_add(table, one);
}

void gpu_cases_large(gpu_table *table) {
    static const int32_t dtypes[] = {EET_F16, EET_F32, EET_BF16};
    static const int32_t sizes[] = {26, 32, 64, 72, 80, 96, 128, 256};

    for (int32_t i = 0; i < 3 * 8; ++i) {
        char name[32];

        (void)snprintf(name, sizeof name, "heads.size%d", sizes[i % 8]);
        add(table, name, dtypes[i / 8], sizes[i % 8], 120, run_heads);
    }
    add(table, "large.tokens_decoder", EET_F16, 0, 120, run_tokens);
    add(table, "large.tokens_decoder_cut", EET_F16, 2, 120, run_tokens);
    add(table, "large.tokens_encoder", EET_F16, 1, 120, run_tokens);
    add(table, "large.tokens_decoder", EET_F32, 0, 120, run_tokens);
    add(table, "large.rows", EET_F16, 0, 60, run_rows);
    add(table, "large.memory", EET_F16, 0, 60, run_memory);
    add(table, "large.leak", EET_F16, 0, 60, run_leak);
    add(table, "large.hidden_decoder", EET_F16, 0, 120, run_hidden);
    add(table, "large.hidden_encoder", EET_BF16, 1, 120, run_hidden);
}
