/* library.c - a program that uses libeet.so as a C programmer does, for the sweep: it ends with
 * the exit code of the first status that is not EET_OK, its sentence on stderr, and prints a
 * number made of all results.
 *
 *   library map|copy|fd|memory MODEL.eet */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/eet.h"

enum { ROWS = 2, TOKENS = 5, NEW = 6, TOP = 3 };

static const int32_t starts[ROWS + 1] = {0, 3, TOKENS};
static const int32_t tokens[TOKENS] = {5, 10, 15, 26, 28};
static const eet_batch batch = {
    .size = sizeof batch, .rows = ROWS, .start = starts, .tokens = tokens};

static uint64_t mix(uint64_t sum, const void *data, size_t bytes) {
    const unsigned char *at = data;

    for (size_t i = 0; i < bytes; i++) {
        sum = (sum ^ at[i]) * UINT64_C(1099511628211);
    }
    return sum;
}

/* A whole file in memory, aligned as eet_model_open_memory wants it. */
static void *read_all(const char *path, uint64_t *bytes) {
    FILE *stream = fopen(path, "rb");
    void *data = NULL;

    if (stream != NULL && fseek(stream, 0, SEEK_END) == 0) {
        *bytes = (uint64_t)ftell(stream);
        rewind(stream);
        data = aligned_alloc(64, (size_t)(*bytes + 63) / 64 * 64);
        if (data != NULL && fread(data, 1, (size_t)*bytes, stream) != *bytes) {
            *bytes = 0;
        }
    }
    if (stream != NULL) {
        (void)fclose(stream);
    }
    return data;
}

static eet_status open_model(const char *how, const char *path, void **memory, eet_model **model,
                             eet_error *err) {
    eet_model_options options = {.size = sizeof options, .verify = 1};
    uint64_t bytes = 0;

    if (strcmp(how, "memory") == 0) {
        *memory = read_all(path, &bytes);
        if (*memory == NULL) {
            return errno == ENOMEM ? EET_E_MEMORY : EET_E_IO;
        }
        return eet_model_open_memory(*memory, bytes, &options, model, err);
    }
    if (strcmp(how, "fd") == 0) {
        const int fd = open(path, O_RDONLY);
        const eet_status status = fd < 0 ? EET_E_IO : eet_model_open_fd(fd, &options, model, err);

        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    options.load = strcmp(how, "copy") == 0 ? EET_LOAD_COPY : EET_LOAD_MAP;
    return eet_model_open(path, &options, model, err);
}

/* One way to choose tokens; the sequences are empty before and after. */
static eet_status generate(eet_session *session, const eet_generate_options *options, uint64_t *sum,
                           eet_error *err) {
    eet_generation *generation = NULL;
    eet_event events[ROWS * NEW];
    int32_t count = 1;
    eet_status status = eet_generate_begin(session, &batch, options, &generation, err);

    while (status == EET_OK && count > 0) {
        status = eet_generate_next(generation, events, ROWS * NEW, &count, err);
        if (status == EET_OK) {
            *sum = mix(*sum, events, (size_t)count * sizeof *events);
        }
        for (int32_t i = 0; status == EET_OK && options->top_n > 0 && i < count; i++) {
            int32_t tokens_of[TOP];
            float log_probs[TOP];
            int32_t tops = 0;

            status =
                eet_generate_top(generation, &events[i], tokens_of, log_probs, TOP, &tops, err);
            *sum = status == EET_OK ? mix(*sum, tokens_of, (size_t)tops * sizeof *tokens_of) : *sum;
        }
    }
    if (status == EET_OK && options->beams > 1) {
        eet_beam beam = {.size = sizeof beam};

        status = eet_generate_beam(generation, 1, 1, &beam, err);
        *sum = mix(*sum, &beam.score, sizeof beam.score);
    }
    eet_generate_end(generation);
    for (int32_t row = 0; status == EET_OK && row < ROWS; row++) {
        status = eet_sequence_trim(session, row, 0, err);
    }
    return status;
}

static eet_status generate_all(eet_session *session, uint64_t *sum, eet_error *err) {
    const eet_generate_options options[] = {
        {.size = sizeof *options, .max_new_tokens = NEW, .ignore_eos = 1},
        {.size = sizeof *options,
         .max_new_tokens = NEW,
         .temperature = 0.8,
         .top_k = 20,
         .top_p = 0.9,
         .repetition_penalty = 1.2,
         .top_n = TOP,
         .seed = 7},
        {.size = sizeof *options, .max_new_tokens = NEW, .beams = 3},
    };
    float log_probs[TOKENS] = {0};
    const eet_scores scores = {.size = sizeof scores, .log_prob = log_probs};
    eet_status status = EET_OK;

    for (size_t i = 0; status == EET_OK && i < sizeof options / sizeof *options; i++) {
        status = generate(session, &options[i], sum, err);
    }
    if (status == EET_OK) {
        status = eet_score(session, &batch, NULL, &scores, err);
    }
    if (status == EET_OK) {
        *sum = mix(*sum, log_probs, 2 * sizeof *log_probs); /* behind them is a NaN */
        status = eet_sequence_fork(session, 0, 2, err);
    }
    return status;
}

static eet_status use(eet_model *model, uint64_t *sum, eet_error *err) {
    const eet_session_options options = {
        .size = sizeof options, .threads = 2, .max_sequences = 8, .max_tokens = 64};
    eet_model_info info = {.size = sizeof info};
    eet_session *session = NULL;
    eet_status status = eet_model_describe(model, &info, err);
    const uint64_t bytes = (uint64_t)TOKENS * (uint64_t)info.hidden * sizeof(float);
    float *hidden = calloc(1, (size_t)bytes + 1);
    const eet_output output = {
        .size = sizeof output, .head = EET_HIDDEN, .data = hidden, .bytes = bytes};

    if (hidden == NULL) {
        (void)snprintf(err->text, sizeof err->text, "no memory");
        return EET_E_MEMORY;
    }
    if (status == EET_OK) {
        status = eet_session_create(model, &options, &session, err);
    }
    if (status == EET_OK) {
        status = eet_encode(session, &batch, &output, 1, err);
        *sum = mix(*sum, hidden, (size_t)bytes);
    }
    if (status == EET_OK && info.has_decoder) {
        status = generate_all(session, sum, err);
    }
    eet_session_destroy(session);
    free(hidden);
    return status;
}

static int exit_of(eet_status status) {
    switch (status) {
#define X(symbol, number, exit_code) \
    case symbol:                     \
        return exit_code;
        EET_STATUS_MAP(X)
#undef X
    }
    return 70;
}

int main(int count, char **arguments) {
    uint64_t sum = UINT64_C(14695981039346656037);
    eet_model *model = NULL;
    void *memory = NULL;
    eet_error err = {0};

    if (count != 3) {
        return 2;
    }
    eet_status status = open_model(arguments[1], arguments[2], &memory, &model, &err);

    if (status == EET_OK) {
        status = use(model, &sum, &err);
    }
    eet_model_close(model);
    free(memory);
    if (status != EET_OK) {
        (void)fprintf(stderr, "library: error: %s\n",
                      err.text[0] == '\0' ? "its own files cannot be read" : err.text);
    } else {
        (void)printf("%016llx\n", (unsigned long long)sum);
    }
    return exit_of(status);
}
