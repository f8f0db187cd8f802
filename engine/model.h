/* model.h - a model as sessions see it: stacks and heads bound to the weights of an
 * open file. Immutable but for the count of its owners. */
#ifndef EET_ENGINE_MODEL_H
#define EET_ENGINE_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "eet.h"
#include "engine/log.h"
#include "format/container.h"
#include "kernels/backend.h"
#include "kernels/block.h"

/* A fact that is text, terminated: the file's metadata is not. */
typedef struct eet_model_text {
    const char *text; /* NULL: another kind of fact */
} eet_model_text;

/* A matrix in the file, and as the backend has it. */
typedef struct eet_placed {
    const void *host;
    void *converted; /* the host's, where the dtype is another than the file's */
    eet_matrix matrix;
} eet_placed;

struct eet_model {
    _Atomic int32_t references;
    pid_t process; /* that opened it */
    eet_file *file;
    const eet_facts *facts;       /* the file's */
    int32_t device, device_index; /* eet_memory_kind */
    int32_t dtype;                /* of matrices; 0 = each the file's own */
    const eet_backend_api *api;
    eet_backend *backend;
    eet_log_level log;
    eet_stack stack[EET_STACKS]; /* present as the facts say */
    eet_layer_weights *layer[EET_STACKS];
    eet_head head[EET_MAX_HEADS];
    void *widened;      /* norms and biases in f32, in the backend's memory */
    eet_placed *placed; /* (placed_count) matrices, each once however many names it has */
    int32_t placed_count;
    uint64_t weight_bytes; /* of all of that, as it is here */
    int32_t *by_name;      /* directory indexes, by name */
    char *texts;           /* memory of `text` */
    eet_model_text *text;  /* (entries of META) */
};

/* Takes `file` over, also when it fails. */
eet_status eet_model_make(eet_file *file, const eet_model_options *options, eet_model **out,
                          eet_error *err);
void eet_model_release(eet_model *model); /* NULL is fine */

/* The stack that takes a caller's tokens first; that it can run is another question. */
int32_t eet_model_first_stack(const eet_model *model);
/* The stack that gives EET_HIDDEN: the decoder, else the encoder. */
int32_t eet_model_last_stack(const eet_model *model);

/* bind.c: fills stacks and heads from the file; E_UNSUPPORTED for a dtype, E_CORRUPT for
 * a head whose parts do not fit each other. */
eet_status eet_model_bind(eet_model *model, eet_error *err);
void eet_model_unbind(eet_model *model);

/* place.c: a matrix of the file where the model runs, in the dtype it computes in. */
eet_status eet_model_place(eet_model *model, const eet_file_tensor *tensor, eet_matrix *out,
                           eet_error *err);
void eet_model_unplace(eet_model *model); /* all of them */

/* describe.c */
uint64_t eet_model_file_bytes(const eet_model *model); /* of the weights; aliases counted once */
eet_status eet_model_index(eet_model *model, eet_error *err);
void eet_model_unindex(eet_model *model);
void eet_model_info_get(const eet_model *model, eet_model_info *out);
eet_status eet_model_fact_get(const eet_model *model, const char *key, eet_fact *out,
                              eet_error *err);
eet_status eet_model_tensor_get(const eet_model *model, int32_t index, eet_tensor_info *out,
                                eet_error *err);
eet_status eet_model_weight_get(const eet_model *model, int32_t index, eet_array *out,
                                eet_error *err);
eet_status eet_model_head_get(const eet_model *model, int32_t index, eet_head_info *out,
                              eet_error *err);

#endif
