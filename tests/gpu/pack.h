/* pack.h - the models and the goldens that lie beside gpu_check. Whatever goes wrong fails the
 * running case. */
#ifndef EET_TESTS_GPU_PACK_H
#define EET_TESTS_GPU_PACK_H

#include "tests/gpu/gpu_check.h"

/* A golden file as pack_goldens.c writes it into an asset: records, each followed by its values
 * and zeros up to a multiple of 8. */
typedef struct gpu_record {
    char name[48];
    int32_t real; /* 0: int32_t, 1: double */
    int32_t rows, columns, reserved;
} gpu_record;

typedef struct gpu_golden {
    char name[GPU_NAME];
    uint8_t *bytes;
    uint64_t size;
} gpu_golden;

enum { GPU_SLOTS = 16, GPU_MAX_GOLDENS = 256 };

/* The names of all goldens, in order; how many. None where there is no pack. */
int32_t gpu_golden_names(char names[GPU_MAX_GOLDENS][GPU_NAME]);
gpu_golden gpu_golden_open(const char *name);
/* The dataset, or NULL. */
const gpu_record *gpu_golden_find(const gpu_golden *golden, const char *dataset);
/* The record behind `record`; NULL begins; NULL ends. */
const gpu_record *gpu_golden_next(const gpu_golden *golden, const gpu_record *record);
/* Values of a dataset; `rows` may be NULL. NULL where `needed` is false and there is none. */
const int32_t *gpu_golden_integers(const gpu_golden *golden, const char *dataset, bool needed,
                                   int32_t *rows);
const double *gpu_golden_reals(const gpu_golden *golden, const char *dataset, int32_t *rows,
                               int32_t *columns);
/* The one value of a dataset, or `otherwise` where there is none. */
double gpu_golden_real(const gpu_golden *golden, const char *dataset, double otherwise);

/* The checkpoint's model, which computes in a dtype, on the device that is checked: of a file in
 * that dtype where the pack has one, else of the one in f32. */
eet_model *gpu_model_open(const char *checkpoint, int32_t dtype);
/* The same of a file of the first dtype. */
eet_model *gpu_model_open_as(const char *checkpoint, int32_t dtype, int32_t compute);
/* Is this file in the pack? */
bool gpu_model_there(const char *checkpoint, int32_t dtype);

/* A golden, its model and a session. */
typedef struct gpu_trial {
    gpu_golden golden;
    char checkpoint[GPU_NAME];
    eet_model *model;
    eet_model_info info;
    eet_session *session;
    int32_t dtype, rows, count;
    const int32_t *start, *tokens, *types, *positions, *at;
    const int32_t *source_start, *source_tokens; /* row r looks at slot r */
    int32_t source[GPU_SLOTS];
} gpu_trial;

gpu_trial gpu_trial_begin(const char *golden, int32_t dtype);
/* The file of one dtype computes in another, which is the trial's. */
gpu_trial gpu_trial_begin_as(const char *golden, int32_t file, int32_t dtype);
void gpu_trial_end(gpu_trial *trial);
eet_batch gpu_trial_batch(const gpu_trial *trial);
/* The head of this name; EET_HIDDEN for "hidden", -2 where there is none. */
int32_t gpu_trial_head(const gpu_trial *trial, const char *name, eet_head_info *info);
/* Fills source slots 0, 1 ... with the golden's "states", of which slot i owns those from start[i]
 * on. */
void gpu_states_set(const gpu_golden *golden, eet_session *session, const int32_t *start,
                    int32_t count);
/* Values are near the dataset, as near as the dtype and the library's own error ask. */
void gpu_trial_compare(const gpu_trial *trial, const char *dataset, const float *ours);

#endif
