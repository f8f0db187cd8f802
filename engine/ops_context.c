/* ops_context.c - the public calls of eet_ops.h: contexts, and each operator's way through
 * measuring, checking its workspace and computing. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/device.h"
#include "engine/ops.h"

enum { ALIGNMENT = 64 };

static eet_status missing(const char *what, eet_error *err) {
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no %s", what);
}

/* ---- contexts -------------------------------------------------------------- */

/* Which backend runs operators on a device. CUDA's has the same ops over its own memory; what is
 * missing for it is here and in ops_arrays.c: arrays and lists in the device's memory, the caller's
 * stream. */
static eet_status find_backend(const eet_op_options *options, const eet_backend_api **out,
                               eet_error *err) {
    if (options->device == EET_CUDA) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "operators run on the CPU alone in this version, not on CUDA");
    }
    if (options->device != EET_HOST || options->device_index != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no device %d:%d",
                        (int)options->device, (int)options->device_index);
    }
    if (options->stream != NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the CPU has no streams");
    }
    return eet_device_find(options->device, out, err);
}

static eet_status open_context(const eet_op_options *options, eet_op_context *context,
                               eet_error *err) {
    const char *wanted = getenv("EET_BACKEND");
    const eet_backend_options backend = {
        .threads = options->threads,
        .reference = wanted != NULL && strcmp(wanted, "ref") == 0,
    };
    eet_status status = find_backend(options, &context->api, err);

    if (status != EET_OK) {
        return status;
    }
    status = context->api->open(&backend, &context->backend);
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "the %s backend does not open with %d threads",
                        context->api->name, (int)options->threads);
    }
    context->ops = context->api->ops(context->backend);
    context->process = getpid();
    return EET_OK;
}

eet_status eet_op_context_create(const eet_op_options *options, eet_op_context **out,
                                 eet_error *err) {
    eet_error own;
    eet_op_options o = {0};
    eet_error *e = eet_call_error(err, &own);
    eet_status status =
        out == NULL ? missing("out", e) : eet_abi_read(&o, sizeof o, options, "eet_op_options", e);

    if (status == EET_OK && o.threads < 0) {
        status = eet_fail(e, EET_E_ARGUMENT, EET_NOWHERE, "threads is %d", (int)o.threads);
    }
    if (status != EET_OK) {
        return status;
    }
    eet_op_context *context = calloc(1, sizeof *context);

    if (context == NULL) {
        return eet_fail(e, EET_E_MEMORY, EET_NOWHERE, "no memory for a context");
    }
    status = open_context(&o, context, e);
    if (status != EET_OK) {
        eet_op_context_destroy(context);
        return status;
    }
    *out = context;
    return EET_OK;
}

void eet_op_context_destroy(eet_op_context *context) {
    if (context != NULL && context->backend != NULL) {
        context->api->close(context->backend);
    }
    free(context);
}

/* ---- operators ------------------------------------------------------------- */

/* Every operator's struct, and what all of them begin with. */
typedef union any_args {
    struct {
        uint32_t size;
        int32_t first;
        void *workspace;
        uint64_t workspace_bytes;
    } begin;
    eet_attention_op attention;
    eet_ffn_op ffn;
    eet_embedding_op embedding;
    eet_layernorm_op layernorm;
} any_args;

typedef struct operator_kind {
    const char *noun;
    uint32_t bytes;
    eet_op_body body;
} operator_kind;

static const operator_kind *kind_of(int32_t op) {
    static const operator_kind kinds[] = {
        {"eet_attention_op", sizeof(eet_attention_op), eet_op_masked_body},
        {"eet_attention_op", sizeof(eet_attention_op), eet_op_cross_body},
        {"eet_attention_op", sizeof(eet_attention_op), eet_op_attention_body},
        {"eet_ffn_op", sizeof(eet_ffn_op), eet_op_ffn_body},
        {"eet_embedding_op", sizeof(eet_embedding_op), eet_op_embedding_body},
        {"eet_layernorm_op", sizeof(eet_layernorm_op), eet_op_layernorm_body},
    };

    return op >= 1 && op <= (int32_t)(sizeof kinds / sizeof kinds[0]) ? &kinds[op - 1] : NULL;
}

/* Arguments that can be worked with, and the bytes that their call takes. */
static eet_status prepare(const eet_op_context *context, int32_t op, const void *args,
                          any_args *read, uint64_t *bytes, eet_error *err) {
    const operator_kind *kind = kind_of(op);
    eet_op_job job = {.context = context, .measures = true, .err = err};

    if (context == NULL || args == NULL) {
        return missing(context == NULL ? "context" : "args", err);
    }
    if (kind == NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no operator %d", (int)op);
    }
    if (getpid() != context->process) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE,
                        "a context does not work in the child of a fork; make one there");
    }
    eet_status status = eet_abi_read(read, kind->bytes, args, kind->noun, err);

    if (status == EET_OK) {
        status = kind->body(&job, read);
    }
    if (status == EET_OK && job.arena.too_large) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "the operator's sizes ask for more memory than can be addressed");
    }
    if (status == EET_OK) {
        *bytes = job.arena.peak > 0 ? job.arena.peak + ALIGNMENT : 0;
    }
    return status;
}

static eet_status check_workspace(const any_args *args, uint64_t need, eet_error *err) {
    const uint64_t given = args->begin.workspace != NULL ? args->begin.workspace_bytes : 0;

    if (given < need) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "the workspace has %llu bytes and this call needs %llu; "
                        "eet_op_workspace tells",
                        (unsigned long long)given, (unsigned long long)need);
    }
    return EET_OK;
}

static eet_status run(const eet_op_context *context, int32_t op, const void *args, eet_error *err) {
    eet_error own;
    any_args read;
    uint64_t need = 0;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = prepare(context, op, args, &read, &need, e);

    if (status == EET_OK) {
        status = check_workspace(&read, need, e);
    }
    if (status != EET_OK) {
        return status;
    }
    eet_op_job job = {.context = context, .err = e};

    if (need > 0) {
        const uintptr_t past = (uintptr_t)read.begin.workspace % ALIGNMENT;

        job.arena.base = (char *)read.begin.workspace + (past > 0 ? ALIGNMENT - past : 0);
    }
    return kind_of(op)->body(&job, &read);
}

eet_status eet_op_workspace(eet_op_context *context, int32_t op, const void *args, uint64_t *bytes,
                            eet_error *err) {
    eet_error own;
    any_args read;
    uint64_t need = 0;
    eet_error *e = eet_call_error(err, &own);
    const eet_status status =
        bytes == NULL ? missing("bytes", e) : prepare(context, op, args, &read, &need, e);

    if (status == EET_OK) {
        *bytes = need;
    }
    return status;
}

eet_status eet_op_masked_multi_head_attention(eet_op_context *context, const eet_attention_op *args,
                                              eet_error *err) {
    return run(context, EET_OP_MASKED_MULTI_HEAD_ATTENTION, args, err);
}

eet_status eet_op_cross_multi_head_attention(eet_op_context *context, const eet_attention_op *args,
                                             eet_error *err) {
    return run(context, EET_OP_CROSS_MULTI_HEAD_ATTENTION, args, err);
}

eet_status eet_op_multi_head_attention(eet_op_context *context, const eet_attention_op *args,
                                       eet_error *err) {
    return run(context, EET_OP_MULTI_HEAD_ATTENTION, args, err);
}

eet_status eet_op_ffn(eet_op_context *context, const eet_ffn_op *args, eet_error *err) {
    return run(context, EET_OP_FFN, args, err);
}

eet_status eet_op_embedding(eet_op_context *context, const eet_embedding_op *args, eet_error *err) {
    return run(context, EET_OP_EMBEDDING, args, err);
}

eet_status eet_op_layernorm(eet_op_context *context, const eet_layernorm_op *args, eet_error *err) {
    return run(context, EET_OP_LAYERNORM, args, err);
}
