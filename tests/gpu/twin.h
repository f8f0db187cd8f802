/* twin.h - a model of random weights on the device that is checked, and the same on the CPU, which
 * tells what is right. Whatever goes wrong fails the running case. */
#ifndef EET_TESTS_GPU_TWIN_H
#define EET_TESTS_GPU_TWIN_H

#include "engine/commands/bench.h"
#include "tests/gpu/gpu_check.h"

typedef struct gpu_twin {
    eet_bench_shape shape;
    eet_bench_image image;
    eet_model *model[2]; /* on the device, on the CPU */
    eet_session *session[2];
    double worst; /* error so far */
} gpu_twin;

/* "layers=2,hidden=52,heads=2,vocab=101": see eet_bench_parse_shape. `twins` false: none on the
 * CPU. `plain`: the CPU's plain-C reference, which is slow. */
gpu_twin gpu_twin_begin(const char *shape, int32_t dtype, bool twins, bool plain);
/* Sessions of both. */
void gpu_twin_sessions(gpu_twin *twin, eet_session_options options);
void gpu_twin_end(gpu_twin *twin);

/* Runs a call on both and compares the hidden states of all tokens, and head 0, within the dtype's
 * bound. */
void gpu_twin_encode(gpu_twin *twin, const eet_batch *batch);
void gpu_twin_step(gpu_twin *twin, const eet_batch *batch);
/* Tells the worst error. */
void gpu_twin_note(const gpu_twin *twin);

/* Rows of these lengths with drawn ids. */
typedef struct gpu_rows {
    eet_batch batch;
    int32_t *start, *tokens;
} gpu_rows;
gpu_rows gpu_rows_draw(const int32_t *lengths, int32_t count, int32_t vocab, uint64_t seed);
void gpu_rows_free(gpu_rows *rows);

#endif
