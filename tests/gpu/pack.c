/* pack.c - the models and the goldens that lie beside gpu_check. */
#include "tests/gpu/pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/types.h"
#include "format/verify.h"

/* ---- goldens --------------------------------------------------------------- */

static eet_file *open_goldens(eet_error *err) {
    char path[GPU_PATH + 16];
    eet_file *file = NULL;

    (void)snprintf(path, sizeof path, "%s/goldens.eet", gpu_here()->folder);
    if (eet_file_open(path, 0, EET_LOAD_MAP, &file, err) == EET_OK &&
        eet_file_unpack_assets(file, err) != EET_OK) {
        eet_file_close(file);
        file = NULL;
    }
    return file;
}

int32_t gpu_golden_names(char names[GPU_MAX_GOLDENS][GPU_NAME]) {
    eet_error err = {0};
    eet_file *file = open_goldens(&err);
    const int32_t count = file != NULL ? eet_file_assets(file) : 0;

    for (int32_t i = 0; i < count; ++i) {
        (void)snprintf(names[i], GPU_NAME, "%.95s", eet_file_asset_at(file, i).name);
    }
    eet_file_close(file);
    return count;
}

gpu_golden gpu_golden_open(const char *name) {
    gpu_golden golden = {.bytes = NULL};
    eet_error err = {0};
    eet_file *file = open_goldens(&err);

    gpu_expect(file != NULL, "the goldens: %s", err.text);
    (void)snprintf(golden.name, sizeof golden.name, "%s", name);
    for (int32_t i = 0; i < eet_file_assets(file) && golden.bytes == NULL; ++i) {
        if (strcmp(eet_file_asset_at(file, i).name, name) == 0) {
            gpu_expect(eet_file_asset_read(file, i, &golden.bytes, &golden.size, &err) == EET_OK,
                       "golden %s: %s", name, err.text);
        }
    }
    gpu_expect(golden.bytes != NULL, "there is no golden %s", name);
    eet_file_close(file);
    return golden;
}

static uint64_t record_bytes(const gpu_record *record) {
    const uint64_t count = (uint64_t)record->rows * (uint64_t)record->columns;

    return sizeof *record + (count * (record->real != 0 ? 8 : 4) + 7) / 8 * 8;
}

const gpu_record *gpu_golden_next(const gpu_golden *golden, const gpu_record *record) {
    const uint8_t *at =
        record == NULL ? golden->bytes : (const uint8_t *)record + record_bytes(record);

    return at < golden->bytes + golden->size ? (const gpu_record *)(const void *)at : NULL;
}

const gpu_record *gpu_golden_find(const gpu_golden *golden, const char *dataset) {
    const gpu_record *record = gpu_golden_next(golden, NULL);

    while (record != NULL && strcmp(record->name, dataset) != 0) {
        record = gpu_golden_next(golden, record);
    }
    return record;
}

const int32_t *gpu_golden_integers(const gpu_golden *golden, const char *dataset, bool needed,
                                   int32_t *rows) {
    const gpu_record *record = gpu_golden_find(golden, dataset);

    gpu_expect(record != NULL || !needed, "%s has no %s", golden->name, dataset);
    gpu_expect(record == NULL || record->real == 0, "%s of %s are no integers", dataset,
               golden->name);
    if (rows != NULL) {
        *rows = record != NULL ? record->rows : 0;
    }
    return record != NULL ? (const int32_t *)(const void *)(record + 1) : NULL;
}

const double *gpu_golden_reals(const gpu_golden *golden, const char *dataset, int32_t *rows,
                               int32_t *columns) {
    const gpu_record *record = gpu_golden_find(golden, dataset);

    gpu_expect(record != NULL && record->real != 0, "%s has no %s", golden->name, dataset);
    *rows = record->rows;
    *columns = record->columns;
    return (const double *)(const void *)(record + 1);
}

double gpu_golden_real(const gpu_golden *golden, const char *dataset, double otherwise) {
    int32_t rows = 0;
    int32_t columns = 0;

    return gpu_golden_find(golden, dataset) != NULL
               ? gpu_golden_reals(golden, dataset, &rows, &columns)[0]
               : otherwise;
}

/* ---- models ---------------------------------------------------------------- */

static void model_path(const char *checkpoint, int32_t dtype, char path[GPU_PATH]) {
    (void)snprintf(path, GPU_PATH, "%.800s/models/%.90s.%s.eet", gpu_here()->folder, checkpoint,
                   eet_dtype_name((eet_dtype)dtype));
}

bool gpu_model_there(const char *checkpoint, int32_t dtype) {
    char path[GPU_PATH];

    model_path(checkpoint, dtype, path);
    return access(path, R_OK) == 0;
}

eet_model *gpu_model_open(const char *checkpoint, int32_t dtype) {
    return gpu_model_open_as(checkpoint, gpu_model_there(checkpoint, dtype) ? dtype : EET_F32,
                             dtype);
}

eet_model *gpu_model_open_as(const char *checkpoint, int32_t dtype, int32_t compute) {
    const eet_model_options options = {.size = sizeof options,
                                       .device = gpu_here()->device,
                                       .dtype = compute != dtype ? compute : 0};
    char path[GPU_PATH];
    eet_model *model = NULL;
    eet_error gpu_error = {0};

    model_path(checkpoint, dtype, path);
    gpu_call(eet_model_open(path, &options, &model, &gpu_error), EET_OK);
    return model;
}

/* ---- trials ---------------------------------------------------------------- */

static void fill_sources(gpu_trial *t) {
    int32_t count = 0;
    eet_error gpu_error = {0};

    t->source_start = gpu_golden_integers(&t->golden, "source_start", false, &count);
    if (t->source_start != NULL && t->info.has_encoder != 0) {
        t->source_tokens = gpu_golden_integers(&t->golden, "source_tokens", true, NULL);
        gpu_expect(count == t->rows + 1, "%s: %d sources of %d rows", t->golden.name, count - 1,
                   t->rows);
        for (int32_t row = 0; row < t->rows; ++row) {
            t->source[row] = row;
        }
        const eet_batch sources = {.size = sizeof sources,
                                   .rows = t->rows,
                                   .start = t->source_start,
                                   .tokens = t->source_tokens};

        gpu_call(eet_source(t->session, &sources, &gpu_error), EET_OK);
    }
}

void gpu_states_set(const gpu_golden *golden, eet_session *session, const int32_t *start,
                    int32_t count) {
    int32_t rows = 0;
    int32_t width = 0;
    const double *states = gpu_golden_reals(golden, "states", &rows, &width);
    eet_error gpu_error = {0};

    for (int32_t slot = 0; slot < count; ++slot) {
        const eet_array array = {.size = sizeof array,
                                 .dtype = EET_F64,
                                 .rank = 2,
                                 .shape = {start[slot + 1] - start[slot], width},
                                 .data =
                                     (void *)(uintptr_t)(states + (int64_t)start[slot] * width)};

        gpu_call(eet_source_set(session, slot, &array, &gpu_error), EET_OK);
    }
}

gpu_trial gpu_trial_begin(const char *golden, int32_t dtype) {
    return gpu_trial_begin_as(golden, 0, dtype);
}

gpu_trial gpu_trial_begin_as(const char *golden, int32_t file, int32_t dtype) {
    gpu_trial t = {.golden = gpu_golden_open(golden), .dtype = dtype};
    const eet_session_options options = {
        .size = sizeof options, .threads = 2, .max_sequences = GPU_SLOTS, .max_batch_tokens = 96};
    eet_error gpu_error = {0};

    (void)snprintf(t.checkpoint, sizeof t.checkpoint, "%.*s", (int)strcspn(golden, "."), golden);
    t.model = file != 0 ? gpu_model_open_as(t.checkpoint, file, dtype)
                        : gpu_model_open(t.checkpoint, dtype);
    t.info = (eet_model_info){.size = sizeof t.info};
    gpu_call(eet_model_describe(t.model, &t.info, &gpu_error), EET_OK);
    gpu_call(eet_session_create(t.model, &options, &t.session, &gpu_error), EET_OK);
    t.start = gpu_golden_integers(&t.golden, "start", true, &t.rows);
    t.rows -= 1;
    gpu_expect(t.rows >= 1 && t.rows <= GPU_SLOTS, "%s has %d rows", golden, t.rows);
    t.count = t.start[t.rows];
    t.tokens = gpu_golden_integers(&t.golden, "tokens", true, NULL);
    t.types = gpu_golden_integers(&t.golden, "types", false, NULL);
    t.positions = gpu_golden_integers(&t.golden, "positions", false, NULL);
    t.at = gpu_golden_integers(&t.golden, "at", false, NULL);
    fill_sources(&t);
    return t;
}

void gpu_trial_end(gpu_trial *trial) {
    free(trial->golden.bytes);
    eet_session_destroy(trial->session);
    eet_model_close(trial->model);
}

eet_batch gpu_trial_batch(const gpu_trial *trial) {
    return (eet_batch){.size = sizeof(eet_batch),
                       .rows = trial->rows,
                       .start = trial->start,
                       .tokens = trial->tokens,
                       .types = trial->types,
                       .positions = trial->positions,
                       .source = trial->source_tokens != NULL ? trial->source : NULL};
}

int32_t gpu_trial_head(const gpu_trial *trial, const char *name, eet_head_info *info) {
    *info =
        (eet_head_info){.size = sizeof *info, .take = EET_TAKE_EVERY, .width = trial->info.hidden};
    if (strcmp(name, "hidden") == 0) {
        return EET_HIDDEN;
    }
    for (int32_t i = 0; i < trial->info.heads; ++i) {
        *info = (eet_head_info){.size = sizeof *info};
        if (eet_model_head(trial->model, i, info, NULL) == EET_OK &&
            strcmp(info->name, name) == 0) {
            return i;
        }
    }
    return -2;
}

/* On the CPU each value of f32 too: |ours - truth| <= 1e-4 max(1, max |truth| of the row). */
static void compare_values(const gpu_trial *trial, const char *dataset, const float *ours,
                           const double *truth, int32_t rows, int32_t width) {
    for (int32_t row = 0; row < rows; ++row) {
        double most = 1;

        for (int32_t i = 0; i < width; ++i) {
            most = fmax(most, fabs(truth[(int64_t)row * width + i]));
        }
        for (int32_t i = 0; i < width; ++i) {
            const double value = (double)ours[(int64_t)row * width + i];
            const double off = fabs(value - truth[(int64_t)row * width + i]);

            gpu_expect(off <= 1e-4 * most, "%s %s: row %d, value %d: %g, should be %g",
                       trial->golden.name, dataset, row, i, value, truth[(int64_t)row * width + i]);
        }
    }
}

void gpu_trial_compare(const gpu_trial *trial, const char *dataset, const float *ours) {
    char key[64];
    int32_t rows = 0;
    int32_t width = 0;
    const double *truth = gpu_golden_reals(&trial->golden, dataset, &rows, &width);
    const double error = gpu_error_of(ours, truth, (int64_t)rows * width);

    (void)snprintf(key, sizeof key, "%.48s_%s", dataset, eet_dtype_name((eet_dtype)trial->dtype));
    const double theirs = gpu_golden_real(&trial->golden, key, INFINITY);
    const double most = gpu_most_error(trial->dtype, theirs);

    if (trial->dtype == EET_F32 && gpu_here()->device == EET_HOST) {
        compare_values(trial, dataset, ours, truth, rows, width);
    }
    gpu_expect(error <= most, "%s %s: relative error %.3g, at most %.3g (the library's own: %.3g)",
               trial->golden.name, dataset, error, most, theirs);
    gpu_note("%s %.2g of %.2g", dataset, error, most);
}
