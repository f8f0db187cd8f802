/* ops.h - what the operators of eet_ops.h share: a call on its way, arrays that were looked at, and
 * the f32 copies that kernels work on. */
#ifndef EET_ENGINE_OPS_H
#define EET_ENGINE_OPS_H

#include <stdbool.h>
#include <sys/types.h>

#include "eet_ops.h"
#include "engine/arena.h"
#include "kernels/backend.h"

struct eet_op_context {
    const eet_backend_api *api;
    eet_backend *backend;
    const eet_ops *ops;
    int32_t memory; /* eet_memory_kind of arrays */
    bool waits;     /* a call has ended when it returns: the stream is nobody else's */
    void *lists;    /* lists of a call, before they go to a device */
    uint64_t lists_bytes;
    pid_t process;
};

/* A call. An operator's body runs twice: while it measures, the arenas have no base and the body
 * ends where it would begin to compute. */
typedef struct eet_op_job {
    const eet_op_context *context;
    eet_arena arena; /* the workspace, in the device's memory */
    eet_arena lists; /* lists that the host writes and kernels read, in the host's memory */
    char *listed;    /* where kernels read them: the workspace's beginning, on the CPU the same */
    bool measures;
    eet_error *err;
} eet_op_job;

/* No width, and no number of tokens, is larger. */
enum { EET_OP_MOST = 1 << 30 };

typedef enum eet_op_kind { EET_OP_FLOATS, EET_OP_BYTES, EET_OP_IDS } eet_op_kind;

/* A caller's array, checked; with strides, in elements. */
typedef struct eet_op_view {
    const char *name;
    void *data;
    int32_t dtype, rank, memory;
    int64_t shape[EET_MAX_RANK], stride[EET_MAX_RANK];
    int64_t count;
    bool dense; /* row-major and contiguous */
} eet_op_view;

/* Looks at an array that has to be there: in the context's memory, ids also in the host's. */
eet_status eet_op_look(const eet_op_job *job, const eet_array *array, const char *name,
                       eet_op_kind kind, eet_op_view *out);
/* A failure that names an array and its shape, against what was expected there. */
eet_status eet_op_misfit(const eet_op_job *job, const eet_op_view *view, const char *wanted, ...)
    __attribute__((format(printf, 3, 4)));
/* Was an array given? */
bool eet_op_given(const eet_array *array);

int64_t eet_op_width(const eet_op_view *view);  /* the last axis */
int64_t eet_op_tokens(const eet_op_view *view); /* the product of the others */
/* Rank 1 at least, a width from 1 to EET_OP_MOST and no more tokens than that. */
eet_status eet_op_check_rows(const eet_op_job *job, const eet_op_view *view);

/* f32 and contiguous: the array itself, or memory for a copy of it. */
float *eet_op_take_floats(eet_op_job *job, const eet_op_view *view);
float *eet_op_take(eet_op_job *job, int64_t rows, int64_t cols);
/* Fills what eet_op_take_floats gave, or brings it back. */
eet_status eet_op_fetch(const eet_op_job *job, const eet_op_view *from, float *to);
eet_status eet_op_deliver(const eet_op_job *job, const float *from, const eet_op_view *to);

/* A list of the call's; NULL while measuring. */
void *eet_op_take_list(eet_op_job *job, int64_t count, uint64_t bytes);
/* A list of the caller's as one of the call's; NULL of NULL. */
int32_t *eet_op_copy_list(eet_op_job *job, const int32_t *list, int64_t count);
/* Where kernels find a list, after eet_op_send_lists; NULL of NULL. */
const void *eet_op_listed(const eet_op_job *job, const void *list);
/* After all checks, before all work. */
eet_status eet_op_send_lists(const eet_op_job *job);

/* A conversion, with words. */
eet_status eet_op_convert(const eet_op_job *job, const eet_convert_args *args);

/* A linear layer or a norm, with its vectors as f32. */
typedef struct eet_op_layer {
    eet_matrix w;
    eet_op_view vector[2]; /* bias; or weight and bias */
    float *floats[2];      /* NULL where it is not given */
    double eps;
} eet_op_layer;

/* `name` is the layer's, `in` the width of what it takes. */
eet_status eet_op_take_linear(eet_op_job *job, const eet_op_linear *linear, const char *name,
                              int64_t in, eet_op_layer *out);
eet_status eet_op_take_norm(eet_op_job *job, const eet_op_norm *norm, int64_t width,
                            eet_op_layer *out);
eet_status eet_op_fetch_layer(const eet_op_job *job, const eet_op_layer *layer);
eet_norm_weights eet_op_norm_of(const eet_op_layer *layer);

/* The switch of norms around an operator's inside: x before, y after. */
typedef struct eet_op_frame {
    bool pre_norm, post_norm, residual;
    eet_op_view x, y;
    int64_t tokens;
    int32_t width, out; /* of x and of y */
    eet_op_layer norm;
    float *in, *normed, *sum, *result; /* sum is result where no norm follows */
} eet_op_frame;

typedef struct eet_op_switch {
    const eet_array *x, *y;
    const eet_op_norm *norm;
    int32_t pre_norm, add_residual;
} eet_op_switch;

eet_status eet_op_take_frame(eet_op_job *job, const eet_op_switch *how, eet_op_frame *out);
/* y has x's axes, and `out` columns; with a residual as many as x. */
eet_status eet_op_check_out(const eet_op_job *job, eet_op_frame *frame, int32_t out);
/* What the inside takes: x, or its norm. */
eet_status eet_op_enter(const eet_op_job *job, const eet_op_frame *frame, const float **inside);
/* y = the switch's end of the layer `last` over `inside`. */
eet_status eet_op_leave(const eet_op_job *job, const eet_op_frame *frame, const eet_op_layer *last,
                        const float *inside);

eet_status eet_op_project(const eet_op_job *job, const eet_op_layer *layer, const float *x,
                          int64_t rows, float *y);
/* A kernel's status, with words. */
eet_status eet_op_done(const eet_op_job *job, eet_status status, const char *what);

/* Rows of tokens: what `start` says, or equal ones. */
typedef struct eet_op_rows {
    int32_t rows, tokens, longest;
    const int32_t *start; /* (rows + 1); NULL while equal rows are measured */
    const int32_t *list;  /* the same as a list of the call's */
} eet_op_rows;

/* An array of `rows` (0: what it has) whose axes are (tokens) with a start, (rows, tokens) without
 * one, and `more` axes behind: 0 or 1. */
eet_status eet_op_take_rows(eet_op_job *job, const eet_op_view *view, int32_t more, int32_t rows,
                            const int32_t *start, eet_op_rows *out);
int32_t eet_op_row_tokens(const eet_op_rows *rows, int32_t row);
/* No list is shorter than the rows, and none has a negative number. */
eet_status eet_op_check_list(const eet_op_job *job, const int32_t *list, int32_t rows, int64_t most,
                             const char *name);

/* A mask over `rows`, `heads`, `queries` and `keys`. */
eet_status eet_op_look_mask(const eet_op_job *job, const eet_array *array, const char *name,
                            eet_op_kind kind, const int64_t need[4], eet_mask *out);

typedef eet_status (*eet_op_body)(eet_op_job *job, const void *args);
eet_status eet_op_masked_body(eet_op_job *job, const void *args);
eet_status eet_op_cross_body(eet_op_job *job, const void *args);
eet_status eet_op_attention_body(eet_op_job *job, const void *args);
eet_status eet_op_ffn_body(eet_op_job *job, const void *args);
eet_status eet_op_embedding_body(eet_op_job *job, const void *args);
eet_status eet_op_layernorm_body(eet_op_job *job, const void *args);

#endif
