/* ops_twin.h - the operators of eet_ops.h on a CUDA device for suites whose arrays are the host's
 * (tests/engine/ops_lab.h): each call goes up, is computed there, and what it wrote comes back. */
#ifndef EET_TESTS_CUDA_OPS_TWIN_H
#define EET_TESTS_CUDA_OPS_TWIN_H

#include <stdbool.h>

#include "engine/eet_ops.h"

/* Says why and returns false where there is no device; without forks from then on. */
bool lab_device_there(void);
static inline int32_t lab_device(void) {
    return EET_CUDA;
}

eet_status twin_workspace(eet_op_context *context, int32_t op, const void *args, uint64_t *bytes,
                          eet_error *err);
eet_status twin_call(eet_op_context *context, int32_t op, const void *args, eet_error *err);

#ifndef OPS_TWIN_ITSELF
#define eet_op_workspace twin_workspace
#define eet_op_masked_multi_head_attention(c, a, e) \
    twin_call(c, EET_OP_MASKED_MULTI_HEAD_ATTENTION, a, e)
#define eet_op_cross_multi_head_attention(c, a, e) \
    twin_call(c, EET_OP_CROSS_MULTI_HEAD_ATTENTION, a, e)
#define eet_op_multi_head_attention(c, a, e) twin_call(c, EET_OP_MULTI_HEAD_ATTENTION, a, e)
#define eet_op_ffn(c, a, e)                  twin_call(c, EET_OP_FFN, a, e)
#define eet_op_embedding(c, a, e)            twin_call(c, EET_OP_EMBEDDING, a, e)
#define eet_op_layernorm(c, a, e)            twin_call(c, EET_OP_LAYERNORM, a, e)
#endif

#endif
