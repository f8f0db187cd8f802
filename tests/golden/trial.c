/* trial.c - one golden put to the test. */
#include "tests/golden/trial.h"

#include <check.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/tmpfile.h"

extern char **environ;

/* Runs a command; what it says is shown when it fails. */
static void run_command(const char *const *arguments) {
    const eet_tmp said = eet_tmp_path("said.txt");
    char *const *argv = (char *const *)(uintptr_t)arguments; /* posix_spawn leaves them alone */
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    int status = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, said.path,
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    ck_assert_int_eq(posix_spawn(&child, arguments[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        size_t size = 0;

        ck_abort_msg("%s %s: %s", arguments[0], arguments[1],
                     (char *)eet_file_slurp(said.path, &size));
    }
}

eet_model *eet_trial_model(const char *checkpoint, const char *weights, const char *dtype) {
    const eet_tmp out = eet_tmp_path("model.eet");
    const bool computed = strncmp(dtype, "f32:", 4) == 0;
    const eet_model_options options = {.size = sizeof options,
                                       .dtype = !computed ? 0
                                                : strcmp(dtype + 4, "f16") == 0
                                                    ? (int32_t)EET_F16
                                                    : (int32_t)EET_BF16};
    char source[512];
    char config[512];
    eet_model *model = NULL;
    eet_error err = {0};

    (void)snprintf(source, sizeof source, "%s/checkpoints/%s/%s", EET_FIXTURES, checkpoint,
                   weights != NULL ? weights : "");
    (void)snprintf(config, sizeof config, "%s/checkpoints/%s/config.json", EET_FIXTURES,
                   checkpoint);
    run_command((const char *const[]){
        EET_BIN "/eet-convert", source, "--dtype", computed ? "f32" : dtype, "--force", "-o",
        out.path, weights != NULL ? "--config" : NULL, config, NULL}); /* a folder has its own */
    ck_assert_msg(eet_model_open(out.path, &options, &model, &err) == EET_OK, "%s", err.text);
    return model;
}

eet_batch eet_trial_sources(const eet_trial *trial) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = trial->rows,
                       .start = trial->source_start,
                       .tokens = trial->source_tokens};
}

/* Row r's source into slot r. */
static void read_sources(eet_trial *trial) {
    int count = 0;
    eet_error err = {0};

    trial->source_start = eet_golden_integers(trial->golden, "source_start", &count, NULL);
    ck_assert_int_eq(count, trial->rows + 1);
    trial->source_tokens = eet_golden_integers(trial->golden, "source_tokens", &count, NULL);
    trial->source = calloc((size_t)trial->rows, sizeof *trial->source);
    ck_assert_ptr_nonnull(trial->source);
    for (int32_t row = 0; row < trial->rows; ++row) {
        trial->source[row] = row;
    }
    const eet_batch sources = eet_trial_sources(trial);

    ck_assert_msg(eet_source(trial->session, &sources, &err) == EET_OK, "%s", err.text);
}

eet_trial eet_trial_begin(const char *golden, const char *dtype) {
    eet_trial trial = {.golden = eet_golden_open(golden)};
    const eet_session_options options = {
        .size = sizeof options, .threads = 2, .max_sequences = TRIAL_SLOTS, .max_batch_tokens = 96};
    int count = 0;
    eet_error err = {0};

    (void)snprintf(trial.checkpoint, sizeof trial.checkpoint, "%.*s", (int)strcspn(golden, "."),
                   golden);
    trial.model = eet_trial_model(trial.checkpoint, NULL, dtype);
    ck_assert_msg(eet_session_create(trial.model, &options, &trial.session, &err) == EET_OK, "%s",
                  err.text);
    trial.start = eet_golden_integers(trial.golden, "start", &count, NULL);
    trial.rows = count - 1;
    ck_assert_int_le(trial.rows, TRIAL_SLOTS);
    trial.tokens = eet_golden_integers(trial.golden, "tokens", &count, NULL);
    ck_assert_int_eq(count, trial.start[trial.rows]);
    if (eet_golden_has(trial.golden, "types")) {
        trial.types = eet_golden_integers(trial.golden, "types", &count, NULL);
    }
    if (eet_golden_has(trial.golden, "positions")) {
        trial.positions = eet_golden_integers(trial.golden, "positions", &count, NULL);
    }
    if (eet_golden_has(trial.golden, "at")) {
        trial.at = eet_golden_integers(trial.golden, "at", &count, NULL);
        ck_assert_int_eq(count, trial.rows);
    }
    if (eet_golden_has(trial.golden, "source_start")) {
        read_sources(&trial);
    }
    return trial;
}

void eet_trial_end(eet_trial *trial) {
    free(trial->start);
    free(trial->tokens);
    free(trial->types);
    free(trial->positions);
    free(trial->at);
    free(trial->source_start);
    free(trial->source_tokens);
    free(trial->source);
    eet_session_destroy(trial->session);
    eet_model_close(trial->model);
    eet_golden_close(trial->golden);
}

eet_batch eet_trial_batch(const eet_trial *trial) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = trial->rows,
                       .start = trial->start,
                       .tokens = trial->tokens,
                       .types = trial->types,
                       .positions = trial->positions,
                       .source = trial->source};
}

int32_t eet_trial_head(const eet_model *model, const char *name) {
    eet_head_info head = {.size = sizeof head};

    if (strcmp(name, "hidden") == 0) {
        return EET_HIDDEN;
    }
    for (int32_t i = 0; eet_model_head(model, i, &head, NULL) == EET_OK; ++i) {
        if (strcmp(head.name, name) == 0) {
            return i;
        }
    }
    ck_abort_msg("the model has no head %s", name);
    return 0;
}

/* Values a position, and how many positions all rows of the batch give. */
static int32_t shape_output(const eet_trial *trial, int32_t head, int32_t *width) {
    eet_model_info model = {.size = sizeof model};
    eet_head_info info = {.size = sizeof info};

    if (head == EET_HIDDEN) {
        ck_assert_int_eq(eet_model_describe(trial->model, &model, NULL), EET_OK);
        *width = model.hidden;
        return trial->start[trial->rows];
    }
    ck_assert_int_eq(eet_model_head(trial->model, head, &info, NULL), EET_OK);
    *width = info.width;
    return info.take == EET_TAKE_EVERY ? trial->start[trial->rows] : trial->rows;
}

float *eet_trial_encode(const eet_trial *trial, const char *name, int32_t *width) {
    const int32_t head = eet_trial_head(trial->model, name);
    const int32_t count = shape_output(trial, head, width);
    const size_t bytes = sizeof(float) * (size_t)count * (size_t)*width;
    float *values = malloc(bytes);
    const eet_batch batch = eet_trial_batch(trial);
    const eet_output output = {.size = sizeof output,
                               .head = head,
                               .count = trial->at != NULL ? trial->rows : 0,
                               .at = trial->at,
                               .data = values,
                               .bytes = bytes};
    eet_error err = {0};

    ck_assert_ptr_nonnull(values);
    ck_assert_msg(eet_encode(trial->session, &batch, &output, 1, &err) == EET_OK, "%s: %s",
                  trial->checkpoint, err.text);
    return values;
}
