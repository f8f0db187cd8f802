/* eet_ops.h - the operators of a transformer, one at a time, over the caller's own memory.
 *
 * An operator keeps nothing between calls: weights, keys and values, their lengths and the
 * workspace are the caller's. A context is the device that operators run on and, on the CPU, its
 * threads; one thread uses it at a time. In the child of fork(2) every call but destroy answers
 * EET_E_STATE.
 *
 * CUDA        Arrays and the workspace are in the device's memory, ids may be in the host's. With
 *             a stream a call is in its order and may return before its work is done; ids that are
 *             on the device are waited for, as they are checked. Without one the context has its
 *             own, and a call waits for its work. What a call reads must be there in that order.
 * Arrays      eet_array, any strides (all zero: row-major) where nothing else is said; f32, f16 or
 *             bf16 each, in any mixture. What is computed in between is f32, sums are f32 or wider,
 *             y is rounded once. One that is not given is all zero. Lists of int32_t are on the
 *             host. Weights are (out, in), as torch's Linear has them, with rows that are
 *             contiguous: a transposed view is to be copied once.
 * Rows        Either x is (rows, queries, width) and `start` is NULL, or x is (tokens, width) and
 *             row r owns the tokens [start[r], start[r + 1]). A row's result depends on that row
 *             alone, to the last bit; on CUDA in one call.
 * Norms       pre_norm  add_residual   y, for F(x) W + b the last linear layer
 *                1           1         x + F(norm(x)) W + b
 *                0           1         norm(x + F(x) W + b); without `norm` the sum
 *                1           0         F(norm(x)) W + b
 *                0           0         F(x) W + b; `norm` is not read
 * y           May be x itself; else it overlaps nothing that the call reads.
 * Workspace   eet_op_workspace tells how many bytes a call with these arguments needs. They are
 *             the caller's, hold nothing between calls, and need no alignment.
 * Errors      As in eet.h. What can be told from the arguments is checked before anything is
 *             written; sizes that are not those of the memory behind them cannot be. */
#ifndef EET_OPS_H
#define EET_OPS_H

#include "eet_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct eet_op_context eet_op_context;

typedef struct eet_op_options {
    uint32_t size;
    int32_t device; /* eet_memory_kind; EET_HOST runs on the CPU */
    int32_t device_index;
    int32_t threads; /* CPU; default: CPUs in the affinity mask */
    void *stream; /* CUDA: a cudaStream_t of that device, which operators run on and which outlives
                     the context; 1 is the legacy default stream; NULL: one of the context's own.
                     NULL on the CPU */
} eet_op_options;

EET_API eet_status eet_op_context_create(const eet_op_options *options, eet_op_context **out,
                                         eet_error *err);
EET_API void eet_op_context_destroy(eet_op_context *context); /* NULL is fine */

/* The stream that operators run on, a cudaStream_t; NULL on the CPU. */
EET_API void *eet_op_stream(const eet_op_context *context);
/* Calls from now on come after what is in `stream` now (NULL and 1: the legacy default stream); the
 * host does not wait. EET_E_STATE while a graph is recorded in it, EET_E_ARGUMENT where it is of
 * another device. And: the host waits for all calls. On the CPU nothing. */
EET_API eet_status eet_op_wait(eet_op_context *context, void *stream, eet_error *err);
EET_API eet_status eet_op_finish(eet_op_context *context, eet_error *err);

/* y = x weight^T + bias */
typedef struct eet_op_linear {
    eet_array weight; /* (out, in) */
    eet_array bias;   /* (out) or not given */
} eet_op_linear;

/* y = (x - mean) / sqrt(variance + eps) * weight + bias over the last axis */
typedef struct eet_op_norm {
    eet_array weight; /* (width); not given: there is no norm */
    eet_array bias;   /* (width) or not given */
    double eps;       /* default 1e-5 */
} eet_op_norm;

/* Which keys a query sees: those that all of these let it see. One that sees none gets zeros;
 * what it does not see has no part in its result, whatever is there. */
typedef struct eet_op_mask {
    int32_t causal; /* query i of a row sees its own position and those before */
    int32_t reserved;
    eet_array allowed; /* u8, axes (rows|1, heads|1, queries|1, keys|1), leading ones may be left
                          out; 0: not seen. An axis may be longer than is needed */
    eet_array added;   /* the same, f32, f16 or bf16: added to the scaled score; -inf: not seen */
} eet_op_mask;

/* The three attentions. q = query(x), k = key(x), v = value(x), each as (heads, head_dim) a token;
 * y = out(softmax(q k^T scale, masked) v), with the switch of norms above. */
typedef struct eet_attention_op {
    uint32_t size;
    int32_t rows;    /* default: those of x where start is NULL */
    void *workspace; /* (workspace_bytes) */
    uint64_t workspace_bytes;
    int32_t heads, head_dim; /* any */
    int32_t pre_norm, add_residual;
    double scale;          /* default 1 / sqrt(head_dim) */
    const int32_t *start;  /* (rows + 1) or NULL, see above */
    const int32_t *length; /* (rows) or NULL; see each operator */
    const int32_t *slot; /* (rows) which row of keys and values is this row's; NULL = row number */
    eet_array x, y;
    eet_op_norm norm;
    eet_op_linear query, key, value, out;
    eet_op_mask mask;
    eet_array keys, values; /* (slots, capacity, heads, head_dim): the caller's cache, both of the
                               same dtype and strides, head_dim contiguous */
    eet_array memory;       /* what cross attention looks at, in rows like x's */
    const int32_t *memory_start; /* (rows + 1) with memory (tokens, width) */
} eet_attention_op;

/* A decoder's. Row r has length[r] tokens in the cache (NULL: none); keys and values of x's tokens
 * are appended there, and each query sees those before it and itself (mask.causal or not). The
 * caller adds the queries to its lengths. Rows have distinct slots. */
EET_API eet_status eet_op_masked_multi_head_attention(eet_op_context *context,
                                                      const eet_attention_op *args, eet_error *err);
/* A decoder's over its source. With memory, its keys and values are written into the cache first,
 * from position 0 on, and rows have distinct slots; without, they are there. Row r sees the first
 * length[r] of them (NULL: all of its memory; without memory, the whole capacity). No order:
 * mask.causal is EET_E_ARGUMENT. */
EET_API eet_status eet_op_cross_multi_head_attention(eet_op_context *context,
                                                     const eet_attention_op *args, eet_error *err);
/* An encoder's, with no cache: a row's queries see its keys, the first length[r] of them (NULL:
 * all), with mask.causal those up to their own. */
EET_API eet_status eet_op_multi_head_attention(eet_op_context *context,
                                               const eet_attention_op *args, eet_error *err);

/* y = fc2(act(fc1(x))), with the switch of norms above; of any width in between. */
typedef struct eet_ffn_op {
    uint32_t size;
    int32_t act; /* eet_act */
    void *workspace;
    uint64_t workspace_bytes;
    int32_t pre_norm, add_residual;
    eet_array x, y; /* (..., width) */
    eet_op_norm norm;
    eet_op_linear fc1, fc2;
} eet_ffn_op;

EET_API eet_status eet_op_ffn(eet_op_context *context, const eet_ffn_op *args, eet_error *err);

/* y = norm(token[id] * scale + position[p] + type[t]); tables are contiguous. Ids, types and
 * positions are i32 or i64, (rows, queries), or (tokens) with `start`; an axis of types or
 * positions may have one for all. Where positions are not given they are counted in each row:
 * length[r] (NULL: 0) + position_offset, one more with each token; with skip_pad a token that is
 * `pad` has no position and does not count. A position of -1 adds nothing. */
typedef struct eet_embedding_op {
    uint32_t size;
    int32_t rows; /* default: those of ids where start is NULL */
    void *workspace;
    uint64_t workspace_bytes;
    double scale; /* default 1 */
    int32_t position_offset, skip_pad, pad, reserved;
    const int32_t *start, *length;
    eet_array ids, types, positions;
    eet_array token;          /* (vocabulary, width) */
    eet_array position, type; /* (any, width) or not given */
    eet_op_norm norm;         /* or not given */
    eet_array y;              /* ids' axes, and width */
} eet_embedding_op;

EET_API eet_status eet_op_embedding(eet_op_context *context, const eet_embedding_op *args,
                                    eet_error *err);

/* y = norm(x) */
typedef struct eet_layernorm_op {
    uint32_t size;
    int32_t reserved;
    void *workspace;
    uint64_t workspace_bytes;
    eet_array x, y; /* (..., width) */
    eet_op_norm norm;
} eet_layernorm_op;

EET_API eet_status eet_op_layernorm(eet_op_context *context, const eet_layernorm_op *args,
                                    eet_error *err);

enum {
    EET_OP_MASKED_MULTI_HEAD_ATTENTION = 1,
    EET_OP_CROSS_MULTI_HEAD_ATTENTION = 2,
    EET_OP_MULTI_HEAD_ATTENTION = 3,
    EET_OP_FFN = 4,
    EET_OP_EMBEDDING = 5,
    EET_OP_LAYERNORM = 6
};

/* Bytes of workspace for a call of operator `op` (EET_OP_*) with `args`, that operator's struct.
 * Nothing is computed and no array's data is read; lists of int32_t are. */
EET_API eet_status eet_op_workspace(eet_op_context *context, int32_t op, const void *args,
                                    uint64_t *bytes, eet_error *err);

#ifdef __cplusplus
}
#endif
#endif
