/* bindings.c - what bindings of other languages ask: where fields of structs are, whether a device
 * is there, weights as a device has them, memory with a count of owners. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eet.h"
#include "eet_ops.h"
#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/device.h"
#include "format/checked.h"

/* ---- layouts ------------------------------------------------------------ */

typedef struct place {
    const char *name;
    int32_t offset, bytes;
} place;

#define STRUCT(type) \
    { #type, 0, (int32_t)sizeof(type) }
#define FIELD(type, field) \
    { #type "." #field, (int32_t)offsetof(type, field), (int32_t)sizeof(((type *)NULL)->field) }

static const place places[] = {
    STRUCT(eet_error),
    FIELD(eet_error, status),
    FIELD(eet_error, reserved),
    FIELD(eet_error, offset),
    FIELD(eet_error, text),
    STRUCT(eet_array),
    FIELD(eet_array, size),
    FIELD(eet_array, dtype),
    FIELD(eet_array, memory),
    FIELD(eet_array, rank),
    FIELD(eet_array, shape),
    FIELD(eet_array, stride),
    FIELD(eet_array, data),
    STRUCT(eet_model_options),
    FIELD(eet_model_options, size),
    FIELD(eet_model_options, device),
    FIELD(eet_model_options, device_index),
    FIELD(eet_model_options, dtype),
    FIELD(eet_model_options, verify),
    FIELD(eet_model_options, load),
    STRUCT(eet_model_info),
    FIELD(eet_model_info, size),
    FIELD(eet_model_info, has_encoder),
    FIELD(eet_model_info, has_decoder),
    FIELD(eet_model_info, has_cross),
    FIELD(eet_model_info, heads),
    FIELD(eet_model_info, hidden),
    FIELD(eet_model_info, vocab_size),
    FIELD(eet_model_info, max_positions),
    FIELD(eet_model_info, tensors),
    FIELD(eet_model_info, weight_bytes),
    FIELD(eet_model_info, parameters),
    FIELD(eet_model_info, content_sha256),
    FIELD(eet_model_info, weights_sha256),
    FIELD(eet_model_info, family),
    STRUCT(eet_fact),
    FIELD(eet_fact, size),
    FIELD(eet_fact, kind),
    FIELD(eet_fact, integer),
    FIELD(eet_fact, real),
    FIELD(eet_fact, text),
    STRUCT(eet_tensor_info),
    FIELD(eet_tensor_info, size),
    FIELD(eet_tensor_info, array),
    FIELD(eet_tensor_info, name),
    STRUCT(eet_head_info),
    FIELD(eet_head_info, size),
    FIELD(eet_head_info, take),
    FIELD(eet_head_info, width),
    FIELD(eet_head_info, labels),
    FIELD(eet_head_info, name),
    FIELD(eet_head_info, label),
    STRUCT(eet_session_options),
    FIELD(eet_session_options, size),
    FIELD(eet_session_options, threads),
    FIELD(eet_session_options, max_sequences),
    FIELD(eet_session_options, max_tokens),
    FIELD(eet_session_options, max_batch_tokens),
    FIELD(eet_session_options, cache_tokens),
    FIELD(eet_session_options, max_sources),
    FIELD(eet_session_options, source_tokens),
    FIELD(eet_session_options, max_outputs),
    FIELD(eet_session_options, cache_dtype),
    STRUCT(eet_memory_need),
    FIELD(eet_memory_need, size),
    FIELD(eet_memory_need, reserved),
    FIELD(eet_memory_need, cache_bytes),
    FIELD(eet_memory_need, workspace_bytes),
    FIELD(eet_memory_need, host_bytes),
    STRUCT(eet_memory_use),
    FIELD(eet_memory_use, size),
    FIELD(eet_memory_use, reserved),
    FIELD(eet_memory_use, weights_bytes),
    FIELD(eet_memory_use, cache_bytes),
    FIELD(eet_memory_use, workspace_bytes),
    FIELD(eet_memory_use, graphs_bytes),
    FIELD(eet_memory_use, library_bytes),
    FIELD(eet_memory_use, free_bytes),
    FIELD(eet_memory_use, host_bytes),
    STRUCT(eet_batch),
    FIELD(eet_batch, size),
    FIELD(eet_batch, rows),
    FIELD(eet_batch, start),
    FIELD(eet_batch, tokens),
    FIELD(eet_batch, types),
    FIELD(eet_batch, positions),
    FIELD(eet_batch, sequence),
    FIELD(eet_batch, source),
    STRUCT(eet_output),
    FIELD(eet_output, size),
    FIELD(eet_output, head),
    FIELD(eet_output, take),
    FIELD(eet_output, dtype),
    FIELD(eet_output, memory),
    FIELD(eet_output, count),
    FIELD(eet_output, at),
    FIELD(eet_output, data),
    FIELD(eet_output, bytes),
    STRUCT(eet_generate_options),
    FIELD(eet_generate_options, size),
    FIELD(eet_generate_options, head),
    FIELD(eet_generate_options, max_new_tokens),
    FIELD(eet_generate_options, ignore_eos),
    FIELD(eet_generate_options, stop_count),
    FIELD(eet_generate_options, top_k),
    FIELD(eet_generate_options, stop),
    FIELD(eet_generate_options, temperature),
    FIELD(eet_generate_options, top_p),
    FIELD(eet_generate_options, repetition_penalty),
    FIELD(eet_generate_options, min_new_tokens),
    FIELD(eet_generate_options, beams),
    FIELD(eet_generate_options, seed),
    FIELD(eet_generate_options, stream),
    FIELD(eet_generate_options, length_penalty),
    FIELD(eet_generate_options, early_stopping),
    FIELD(eet_generate_options, top_n),
    FIELD(eet_generate_options, forced_count),
    FIELD(eet_generate_options, reserved),
    FIELD(eet_generate_options, forced),
    STRUCT(eet_event),
    FIELD(eet_event, row),
    FIELD(eet_event, token),
    FIELD(eet_event, position),
    FIELD(eet_event, finish),
    FIELD(eet_event, log_prob),
    FIELD(eet_event, reserved),
    STRUCT(eet_beam),
    FIELD(eet_beam, size),
    FIELD(eet_beam, finish),
    FIELD(eet_beam, count),
    FIELD(eet_beam, reserved),
    FIELD(eet_beam, tokens),
    FIELD(eet_beam, log_probs),
    FIELD(eet_beam, score),
    STRUCT(eet_scores),
    FIELD(eet_scores, size),
    FIELD(eet_scores, head),
    FIELD(eet_scores, top),
    FIELD(eet_scores, reserved),
    FIELD(eet_scores, log_prob),
    FIELD(eet_scores, top_token),
    FIELD(eet_scores, top_log_prob),
    STRUCT(eet_op_options),
    FIELD(eet_op_options, size),
    FIELD(eet_op_options, device),
    FIELD(eet_op_options, device_index),
    FIELD(eet_op_options, threads),
    FIELD(eet_op_options, stream),
    STRUCT(eet_op_linear),
    FIELD(eet_op_linear, weight),
    FIELD(eet_op_linear, bias),
    STRUCT(eet_op_norm),
    FIELD(eet_op_norm, weight),
    FIELD(eet_op_norm, bias),
    FIELD(eet_op_norm, eps),
    STRUCT(eet_op_mask),
    FIELD(eet_op_mask, causal),
    FIELD(eet_op_mask, reserved),
    FIELD(eet_op_mask, allowed),
    FIELD(eet_op_mask, added),
    STRUCT(eet_attention_op),
    FIELD(eet_attention_op, size),
    FIELD(eet_attention_op, rows),
    FIELD(eet_attention_op, workspace),
    FIELD(eet_attention_op, workspace_bytes),
    FIELD(eet_attention_op, heads),
    FIELD(eet_attention_op, head_dim),
    FIELD(eet_attention_op, pre_norm),
    FIELD(eet_attention_op, add_residual),
    FIELD(eet_attention_op, scale),
    FIELD(eet_attention_op, start),
    FIELD(eet_attention_op, length),
    FIELD(eet_attention_op, slot),
    FIELD(eet_attention_op, x),
    FIELD(eet_attention_op, y),
    FIELD(eet_attention_op, norm),
    FIELD(eet_attention_op, query),
    FIELD(eet_attention_op, key),
    FIELD(eet_attention_op, value),
    FIELD(eet_attention_op, out),
    FIELD(eet_attention_op, mask),
    FIELD(eet_attention_op, keys),
    FIELD(eet_attention_op, values),
    FIELD(eet_attention_op, memory),
    FIELD(eet_attention_op, memory_start),
    STRUCT(eet_ffn_op),
    FIELD(eet_ffn_op, size),
    FIELD(eet_ffn_op, act),
    FIELD(eet_ffn_op, workspace),
    FIELD(eet_ffn_op, workspace_bytes),
    FIELD(eet_ffn_op, pre_norm),
    FIELD(eet_ffn_op, add_residual),
    FIELD(eet_ffn_op, x),
    FIELD(eet_ffn_op, y),
    FIELD(eet_ffn_op, norm),
    FIELD(eet_ffn_op, fc1),
    FIELD(eet_ffn_op, fc2),
    STRUCT(eet_embedding_op),
    FIELD(eet_embedding_op, size),
    FIELD(eet_embedding_op, rows),
    FIELD(eet_embedding_op, workspace),
    FIELD(eet_embedding_op, workspace_bytes),
    FIELD(eet_embedding_op, scale),
    FIELD(eet_embedding_op, position_offset),
    FIELD(eet_embedding_op, skip_pad),
    FIELD(eet_embedding_op, pad),
    FIELD(eet_embedding_op, reserved),
    FIELD(eet_embedding_op, start),
    FIELD(eet_embedding_op, length),
    FIELD(eet_embedding_op, ids),
    FIELD(eet_embedding_op, types),
    FIELD(eet_embedding_op, positions),
    FIELD(eet_embedding_op, token),
    FIELD(eet_embedding_op, position),
    FIELD(eet_embedding_op, type),
    FIELD(eet_embedding_op, norm),
    FIELD(eet_embedding_op, y),
    STRUCT(eet_layernorm_op),
    FIELD(eet_layernorm_op, size),
    FIELD(eet_layernorm_op, reserved),
    FIELD(eet_layernorm_op, workspace),
    FIELD(eet_layernorm_op, workspace_bytes),
    FIELD(eet_layernorm_op, x),
    FIELD(eet_layernorm_op, y),
    FIELD(eet_layernorm_op, norm),
};

#undef FIELD
#undef STRUCT

int32_t eet_layout(const char *name, int32_t *offset) {
    for (size_t i = 0; name != NULL && i < sizeof places / sizeof *places; ++i) {
        if (strcmp(places[i].name, name) == 0) {
            if (offset != NULL) {
                *offset = places[i].offset;
            }
            return places[i].bytes;
        }
    }
    return -1;
}

/* ---- devices ------------------------------------------------------------ */

/* The backend of a device, for its memory alone. */
static eet_status open_device(int32_t device, int32_t device_index, const eet_backend_api **api,
                              eet_backend **out, eet_error *err) {
    const eet_backend_options options = {
        .threads = 1, .reference = true, .device = device_index, .error = err, .only_memory = true};

    if (device_index < 0 || (device == EET_HOST && device_index != 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no device %d:%d", (int)device,
                        (int)device_index);
    }
    eet_status status = eet_device_find(device, api, err);

    if (status == EET_OK) {
        status = (*api)->open(&options, out);
        if (status != EET_OK && device == EET_HOST) {
            (void)eet_fail(err, status, EET_NOWHERE, "the CPU's backend does not open");
        }
    }
    return status;
}

eet_status eet_device_check(int32_t device, int32_t device_index, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    const eet_backend_api *api = NULL;
    eet_backend *backend = NULL;
    const eet_status status = open_device(device, device_index, &api, &backend, e);

    if (status == EET_OK) {
        api->close(backend);
    }
    return status;
}

eet_status eet_model_weight(const eet_model *model, int32_t index, eet_array *out, eet_error *err) {
    eet_error own;
    eet_array array;
    eet_error *e = eet_call_error(err, &own);

    if (model == NULL) {
        return eet_call_missing("model", e);
    }
    eet_status status = eet_abi_writable(out, "eet_array", e);

    if (status == EET_OK) {
        status = eet_model_weight_get(model, index, &array, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &array, sizeof array);
    }
    return status;
}

/* ---- memory ------------------------------------------------------------- */

enum { ALIGNMENT = 64 };

struct eet_buffer {
    _Atomic int32_t owners;
    pid_t process;              /* that has the device's memory */
    const eet_backend_api *api; /* of the device that has the memory; NULL: it is `data` */
    eet_backend *backend;
    void *device;
    unsigned char rest[ALIGNMENT - 4 * sizeof(void *)];
    unsigned char data[];
};

static eet_status fail_for_memory(uint64_t bytes, eet_error *err) {
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %llu bytes",
                    (unsigned long long)bytes);
}

eet_status eet_buffer_create(uint64_t bytes, eet_buffer **out, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    uint64_t room = 0;

    if (out == NULL) {
        return eet_call_missing("out", e);
    }
    if (!eet_add_u64(bytes, sizeof(eet_buffer), &room) || !eet_align_u64(room, ALIGNMENT, &room) ||
        room > SIZE_MAX / 2) {
        return fail_for_memory(bytes, e);
    }
    eet_buffer *buffer = aligned_alloc(ALIGNMENT, (size_t)room);

    if (buffer == NULL) {
        return fail_for_memory(bytes, e);
    }
    memset(buffer, 0, (size_t)room);
    atomic_init(&buffer->owners, 1);
    *out = buffer;
    return EET_OK;
}

/* Why a device has no block for a buffer. */
static eet_status fail_for_block(const eet_backend_api *api, eet_backend *backend,
                                 int32_t device_index, uint64_t bytes, eet_error *err) {
    if (eet_device_denied(api, backend) != EET_E_MEMORY) {
        return eet_fail(err, EET_E_DEVICE, EET_NOWHERE, "%s:%d fails: %s", api->name,
                        (int)device_index, api->why(backend));
    }
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory on %s:%d for %llu bytes", api->name,
                    (int)device_index, (unsigned long long)bytes);
}

/* Gives `buffer` memory of a device. */
static eet_status take_memory(eet_buffer *buffer, int32_t device, int32_t device_index,
                              uint64_t bytes, eet_error *err) {
    const eet_backend_api *api = NULL;
    eet_status status = open_device(device, device_index, &api, &buffer->backend, err);

    if (status != EET_OK) {
        return status;
    }
    buffer->device = api->alloc(buffer->backend, bytes);
    if (buffer->device == NULL) {
        status = fail_for_block(api, buffer->backend, device_index, bytes, err);
        api->close(buffer->backend);
        return status;
    }
    buffer->api = api;
    buffer->process = getpid();
    return EET_OK;
}

eet_status eet_buffer_create_on(int32_t device, int32_t device_index, uint64_t bytes,
                                eet_buffer **out, eet_error *err) {
    eet_error own;
    eet_buffer *buffer = NULL;
    eet_error *e = eet_call_error(err, &own);

    if (out == NULL) {
        return eet_call_missing("out", e);
    }
    if (device == EET_HOST && device_index == 0) {
        return eet_buffer_create(bytes, out, e);
    }
    eet_status status = eet_buffer_create(0, &buffer, e);

    if (status == EET_OK) {
        status = take_memory(buffer, device, device_index, bytes, e);
        if (status != EET_OK) {
            free(buffer);
            return status;
        }
        *out = buffer;
    }
    return status;
}

void *eet_buffer_data(eet_buffer *buffer) {
    if (buffer == NULL) {
        return NULL;
    }
    return buffer->api != NULL ? buffer->device : buffer->data;
}

void eet_buffer_retain(eet_buffer *buffer) {
    if (buffer != NULL) {
        (void)atomic_fetch_add(&buffer->owners, 1);
    }
}

void eet_buffer_release(eet_buffer *buffer) {
    if (buffer == NULL || atomic_fetch_sub(&buffer->owners, 1) != 1) {
        return;
    }
    if (buffer->api != NULL && eet_device_is_here(EET_CUDA, buffer->process)) {
        buffer->api->free(buffer->backend, buffer->device);
        buffer->api->close(buffer->backend);
    }
    free(buffer);
}
