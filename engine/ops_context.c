/* ops_context.c - the public calls of eet_ops.h: contexts, and each operator's way through
 * measuring, checking its workspace and computing. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/device.h"
#include "engine/log.h"
#include "engine/ops.h"

enum { ALIGNMENT = 64 };

static eet_status missing(const char *what, eet_error *err) {
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no %s", what);
}

/* ---- contexts -------------------------------------------------------------- */

static eet_status check_device(const eet_op_options *options, eet_error *err) {
    const bool known = options->device == EET_HOST || options->device == EET_CUDA;

    if (!known || options->device_index < 0 ||
        (options->device == EET_HOST && options->device_index != 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no device %d:%d",
                        (int)options->device, (int)options->device_index);
    }
    if (options->stream != NULL && options->device == EET_HOST) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "the CPU has no streams");
    }
    return EET_OK;
}

static eet_status open_context(const eet_op_options *options, eet_op_context *context,
                               eet_error *err) {
    const char *wanted = getenv("EET_BACKEND");
    const eet_backend_options backend = {
        .threads = options->threads,
        .reference = wanted != NULL && strcmp(wanted, "ref") == 0,
        .device = options->device_index,
        .one_by_one = eet_log_switch("EET_SYNC"),
        .error = err,
        .stream = options->stream,
    };
    eet_status status = check_device(options, err);

    if (status == EET_OK) {
        status = eet_device_find(options->device, &context->api, err);
    }
    if (status != EET_OK) {
        return status;
    }
    status = context->api->open(&backend, &context->backend);
    if (status != EET_OK && options->device != EET_HOST) {
        return status; /* the plugin has said why */
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "the %s backend does not open with %d threads",
                        context->api->name, (int)options->threads);
    }
    context->ops = context->api->ops(context->backend);
    context->memory = options->device;
    context->waits = options->stream == NULL;
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
    if (context == NULL) {
        return;
    }
    if (context->backend != NULL && eet_device_is_here(context->memory, context->process)) {
        context->api->close(context->backend);
    }
    free(context->lists);
    free(context);
}

void *eet_op_stream(const eet_op_context *context) {
    return context != NULL && context->api->stream != NULL ? context->api->stream(context->backend)
                                                           : NULL;
}

/* May a call use the context? */
static eet_status check_context(const eet_op_context *context, eet_error *err) {
    if (context == NULL) {
        return missing("context", err);
    }
    if (getpid() != context->process) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE,
                        "a context does not work in the child of a fork; make one there");
    }
    return EET_OK;
}

static eet_status end(const eet_op_context *context, eet_status status, eet_error *err) {
    if (status == EET_OK) {
        return status;
    }
    const char *why = context->api->why(context->backend);

    return eet_fail(err, status, EET_NOWHERE, "an operator failed on the %s backend%s%s",
                    context->api->name, *why != '\0' ? ": " : "", why);
}

eet_status eet_op_wait(eet_op_context *context, void *stream, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_context(context, e);

    if (status == EET_OK) {
        status = eet_call_wait(context->api, context->backend, stream, e);
    }
    if (status == EET_E_DEVICE) {
        eet_device_blame(context->api, context->backend, e);
    }
    return status;
}

eet_status eet_op_finish(eet_op_context *context, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    const eet_status status = check_context(context, e);

    return status == EET_OK ? end(context, context->api->sync(context->backend), e) : status;
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

/* Bytes that a call takes: its lists, then all else. */
typedef struct needs {
    uint64_t lists, arena;
} needs;

static uint64_t workspace_of(const needs *need) {
    const uint64_t bytes = need->lists + need->arena; /* 2^62 each at most */

    return bytes > 0 ? bytes + ALIGNMENT : 0;
}

/* Arguments that can be worked with, and what their call needs. */
static eet_status prepare(const eet_op_context *context, int32_t op, const void *args,
                          any_args *read, needs *need, eet_error *err) {
    const operator_kind *kind = kind_of(op);
    eet_op_job job = {.context = context, .measures = true, .err = err};

    eet_status status = check_context(context, err);

    if (status == EET_OK && args == NULL) {
        status = missing("args", err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (kind == NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no operator %d", (int)op);
    }
    status = eet_abi_read(read, kind->bytes, args, kind->noun, err);

    if (status == EET_OK) {
        status = kind->body(&job, read);
    }
    if (status == EET_OK && (job.arena.too_large || job.lists.too_large)) {
        status = eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                          "the operator's sizes ask for more memory than can be addressed");
    }
    *need = (needs){.lists = job.lists.peak, .arena = job.arena.peak};
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

/* Lists of a call on a device are made in the context's memory. */
static eet_status reserve_lists(eet_op_context *context, uint64_t bytes, eet_error *err) {
    if (context->memory == EET_HOST || bytes <= context->lists_bytes) {
        return EET_OK;
    }
    free(context->lists);
    context->lists = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL;
    context->lists_bytes = context->lists != NULL ? bytes : 0;
    return context->lists != NULL
               ? EET_OK
               : eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the lists of a call");
}

/* Runs the body over the workspace. */
static eet_status compute(eet_op_context *context, int32_t op, const any_args *args,
                          const needs *need, eet_error *err) {
    eet_op_job job = {.context = context, .err = err};

    if (workspace_of(need) > 0) {
        const uintptr_t past = (uintptr_t)args->begin.workspace % ALIGNMENT;

        job.listed = (char *)args->begin.workspace + (past > 0 ? ALIGNMENT - past : 0);
        job.lists.base = context->memory == EET_HOST ? job.listed : context->lists;
        job.arena.base = job.listed + need->lists;
    }
    return kind_of(op)->body(&job, args);
}

static eet_status run(eet_op_context *context, int32_t op, const void *args, eet_error *err) {
    eet_error own;
    any_args read;
    needs need = {0};
    eet_error *e = eet_call_error(err, &own);
    eet_status status = prepare(context, op, args, &read, &need, e);

    if (status == EET_OK) {
        status = check_workspace(&read, workspace_of(&need), e);
    }
    if (status == EET_OK) {
        status = reserve_lists(context, need.lists, e);
    }
    if (status != EET_OK) {
        return status;
    }
    status = compute(context, op, &read, &need, e);
    if (context->waits) { /* also after a failure: the caller's memory is his again */
        const eet_status done = context->api->sync(context->backend);

        status = status == EET_OK ? end(context, done, e) : status;
    }
    return status;
}

eet_status eet_op_workspace(eet_op_context *context, int32_t op, const void *args, uint64_t *bytes,
                            eet_error *err) {
    eet_error own;
    any_args read;
    needs need = {0};
    eet_error *e = eet_call_error(err, &own);
    const eet_status status =
        bytes == NULL ? missing("bytes", e) : prepare(context, op, args, &read, &need, e);

    if (status == EET_OK) {
        *bytes = workspace_of(&need);
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
