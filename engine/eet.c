/* eet.c - the public interface: reads the caller's structs, checks what every function
 * checks, and calls the rest of the engine. */
#include "eet.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/device.h"
#include "engine/run.h"

uint32_t eet_abi(void) {
    return (uint32_t)EET_ABI_MAJOR << 16 | EET_ABI_MINOR;
}

const char *eet_version(void) {
    return EET_VERSION;
}

const char *eet_status_name(eet_status status) {
    return eet_status_symbol(status);
}

/* Where a call's words go: the caller's error, or one that EET_LOG may still show. */
eet_error *eet_call_error(eet_error *err, eet_error *own) {
    eet_error *use = err != NULL ? err : own;

    eet_error_clear(use);
    return use;
}

static eet_status finish(eet_log_level log, eet_status status, const eet_error *err) {
    if (status != EET_OK) {
        eet_log(log, EET_LOG_ERROR, "%s: %s", eet_status_symbol(status), err->text);
    }
    return status;
}

eet_status eet_call_missing(const char *what, eet_error *err) {
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no %s", what);
}

/* ---- models ------------------------------------------------------------- */

static eet_status read_options(const eet_model_options *options, eet_model_options *out,
                               eet_error *err) {
    const eet_status status = eet_abi_read(out, sizeof *out, options, "eet_model_options", err);

    if (status == EET_OK && (out->verify < 0 || out->verify > 1)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "verify is %d; the levels are 0 and 1",
                        (int)out->verify);
    }
    if (status == EET_OK && out->load != EET_LOAD_MAP && out->load != EET_LOAD_COPY) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "load is %d; 0 maps, 1 copies",
                        (int)out->load);
    }
    return status;
}

eet_status eet_model_open(const char *path, const eet_model_options *options, eet_model **out,
                          eet_error *err) {
    eet_error own;
    eet_model_options o;
    eet_file *file = NULL;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = path == NULL || out == NULL ? eet_call_missing("path or out", e)
                                                    : read_options(options, &o, e);

    if (status != EET_OK) {
        return finish(eet_log_wanted(), status, e);
    }
    status = eet_file_open(path, o.verify, (eet_load)o.load, &file, e);
    if (status == EET_OK) {
        status = eet_model_make(file, &o, out, e);
    }
    if (status != EET_OK) {
        eet_shown shown;

        eet_error_prefix(e, eet_show(&shown, path, strlen(path)));
    }
    return finish(eet_log_wanted(), status, e);
}

eet_status eet_model_open_fd(int fd, const eet_model_options *options, eet_model **out,
                             eet_error *err) {
    eet_error own;
    eet_model_options o;
    eet_file *file = NULL;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = out == NULL ? eet_call_missing("out", e) : read_options(options, &o, e);

    if (status == EET_OK) {
        status = eet_file_open_fd(fd, o.verify, (eet_load)o.load, &file, e);
    }
    if (status == EET_OK) {
        status = eet_model_make(file, &o, out, e);
    }
    return finish(eet_log_wanted(), status, e);
}

eet_status eet_model_open_memory(const void *data, uint64_t bytes, const eet_model_options *options,
                                 eet_model **out, eet_error *err) {
    enum { ALIGNMENT = 64 };
    eet_error own;
    eet_model_options o;
    eet_file *file = NULL;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = data == NULL || out == NULL ? eet_call_missing("data or out", e)
                                                    : read_options(options, &o, e);

    if (status == EET_OK && (uintptr_t)data % ALIGNMENT != 0) {
        status = eet_fail(e, EET_E_ARGUMENT, EET_NOWHERE,
                          "a model in memory is aligned to %d bytes; this one is not", ALIGNMENT);
    }
    if (status == EET_OK) {
        status = eet_file_open_memory(data, bytes, o.verify, &file, e);
    }
    if (status == EET_OK) {
        status = eet_model_make(file, &o, out, e);
    }
    return finish(eet_log_wanted(), status, e);
}

void eet_model_close(eet_model *model) {
    eet_model_release(model);
}

/* What the four questions to a model check. */
static eet_status check_question(const eet_model *model, const void *out, const char *noun,
                                 eet_error *err) {
    return model == NULL ? eet_call_missing("model", err) : eet_abi_writable(out, noun, err);
}

eet_status eet_model_describe(const eet_model *model, eet_model_info *out, eet_error *err) {
    eet_error own;
    eet_model_info info;
    eet_error *e = eet_call_error(err, &own);
    const eet_status status = check_question(model, out, "eet_model_info", e);

    if (status == EET_OK) {
        eet_model_info_get(model, &info);
        eet_abi_write(out, &info, sizeof info);
    }
    return status;
}

eet_status eet_model_fact(const eet_model *model, const char *key, eet_fact *out, eet_error *err) {
    eet_error own;
    eet_fact fact;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_question(model, out, "eet_fact", e);

    if (status == EET_OK) {
        status =
            key == NULL ? eet_call_missing("key", e) : eet_model_fact_get(model, key, &fact, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &fact, sizeof fact);
    }
    return status;
}

eet_status eet_model_tensor(const eet_model *model, int32_t index, eet_tensor_info *out,
                            eet_error *err) {
    eet_error own;
    eet_tensor_info info;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_question(model, out, "eet_tensor_info", e);

    if (status == EET_OK) {
        status = eet_model_tensor_get(model, index, &info, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &info, sizeof info);
    }
    return status;
}

eet_status eet_model_head(const eet_model *model, int32_t index, eet_head_info *out,
                          eet_error *err) {
    eet_error own;
    eet_head_info info;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_question(model, out, "eet_head_info", e);

    if (status == EET_OK) {
        status = eet_model_head_get(model, index, &info, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &info, sizeof info);
    }
    return status;
}

/* ---- sessions ----------------------------------------------------------- */

eet_status eet_session_measure(const eet_model *model, const eet_session_options *options,
                               eet_memory_need *out, eet_error *err) {
    eet_error own;
    eet_session_options o;
    eet_memory_need need;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = check_question(model, out, "eet_memory_need", e);

    if (status == EET_OK) {
        status = eet_abi_read(&o, sizeof o, options, "eet_session_options", e);
    }
    if (status == EET_OK) {
        status = eet_session_need(model, &o, &need, e);
    }
    if (status == EET_OK) {
        eet_abi_write(out, &need, sizeof need);
    }
    return status;
}

eet_status eet_session_memory(const eet_session *session, eet_memory_use *out, eet_error *err) {
    eet_error own;
    eet_memory_use use;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, true, e);

    if (status == EET_OK) {
        status = eet_abi_writable(out, "eet_memory_use", e);
    }
    if (status == EET_OK) {
        eet_session_use(session, &use);
        eet_abi_write(out, &use, sizeof use);
    }
    return status;
}

eet_status eet_session_create(eet_model *model, const eet_session_options *options,
                              eet_session **out, eet_error *err) {
    eet_error own;
    eet_session_options o;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = model == NULL || out == NULL ? eet_call_missing("model or out", e) : EET_OK;

    if (status == EET_OK) {
        status = eet_abi_read(&o, sizeof o, options, "eet_session_options", e);
    }
    if (status == EET_OK) {
        status = eet_session_make(model, &o, out, e);
    }
    return finish(eet_log_wanted(), status, e);
}

void eet_session_destroy(eet_session *session) {
    eet_session_free(session);
}

void eet_session_cancel(eet_session *session) {
    if (session != NULL) {
        eet_ahead_cancel(session);
    }
}

/* May a call use the session now? `generating`: the call is the generation's own. */
eet_status eet_call_check(const eet_session *s, bool generating, eet_error *err) {
    if (s == NULL) {
        return eet_call_missing("session", err);
    }
    if (s->process != getpid()) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE,
                        "the session belongs to the process that made it; after fork only "
                        "eet_session_destroy is possible");
    }
    if (s->dead) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE,
                        "the session's device failed; only eet_session_destroy is possible");
    }
    if (!generating && s->generation.session != NULL) {
        return eet_fail(err, EET_E_STATE, EET_NOWHERE,
                        "the session belongs to a generation until eet_generate_end");
    }
    return EET_OK;
}

/* The end of a call that ran on the device. */
eet_status eet_call_end(eet_session *s, eet_status status, eet_error *err) {
    if (s != NULL && status == EET_E_DEVICE && !s->dead) {
        eet_device_blame(s->api, s->backend, err);
        s->dead = true;
    } else if (s != NULL && status == EET_E_MEMORY && s->model->device != EET_HOST) {
        const size_t said = strlen(err->text);

        (void)snprintf(err->text + said, sizeof err->text - said, " (out of memory, %llu free)",
                       (unsigned long long)s->api->memory(s->backend).unused);
    }
    return finish(s != NULL ? s->log : EET_LOG_NONE, status, err);
}

/* What eet_encode and eet_step begin with. */
eet_status eet_call_batch(const eet_session *s, const eet_batch *batch, eet_batch *out,
                          eet_error *err) {
    eet_status status = eet_call_check(s, false, err);

    if (status == EET_OK) {
        status = batch == NULL ? eet_call_missing("batch", err)
                               : eet_abi_read(out, sizeof *out, batch, "eet_batch", err);
    }
    return status;
}

eet_status eet_encode(eet_session *session, const eet_batch *batch, const eet_output *outputs,
                      int32_t count, eet_error *err) {
    const eet_request request = {.outputs = outputs, .count = count};
    eet_error own;
    eet_batch b;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_batch(session, batch, &b, e);

    if (status == EET_OK) {
        status = eet_run_encode(session, &b, &request, e);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_step(eet_session *session, const eet_batch *batch, const eet_output *outputs,
                    int32_t count, eet_error *err) {
    const eet_request request = {.outputs = outputs, .count = count};
    eet_error own;
    eet_batch b;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_batch(session, batch, &b, e);

    if (status == EET_OK) {
        status = eet_run_step(session, &b, &request, e);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_source(eet_session *session, const eet_batch *batch, eet_error *err) {
    eet_error own;
    eet_batch b;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_batch(session, batch, &b, e);

    if (status == EET_OK) {
        status = eet_source_run(session, &b, e);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_source_set(eet_session *session, int32_t slot, const eet_array *hidden,
                          eet_error *err) {
    eet_error own;
    eet_array array;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, false, e);

    if (status == EET_OK && hidden != NULL) {
        status = eet_abi_read(&array, sizeof array, hidden, "eet_array", e);
    }
    if (status == EET_OK) {
        status = eet_source_give(session, slot, hidden != NULL ? &array : NULL, e);
    }
    return eet_call_end(session, status, e);
}

static eet_status check_sequence(const eet_session *s, int32_t id, eet_error *err) {
    if (id < 0 || id >= s->limits.sequences) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no sequence %d; there are %d",
                        (int)id, (int)s->limits.sequences);
    }
    return EET_OK;
}

eet_status eet_sequence_fork(eet_session *session, int32_t from, int32_t to, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, false, e);

    if (status == EET_OK) {
        status = check_sequence(session, from, e);
    }
    if (status == EET_OK) {
        status = check_sequence(session, to, e);
    }
    if (status == EET_OK) {
        eet_cache_fork(&session->cache, from, to);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_sequence_trim(eet_session *session, int32_t id, int32_t length, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, false, e);

    if (status == EET_OK) {
        status = check_sequence(session, id, e);
    }
    if (status == EET_OK && (length < 0 || length > session->cache.sequence[id].length)) {
        status =
            eet_fail(e, EET_E_ARGUMENT, EET_NOWHERE, "sequence %d has %d tokens; it cannot keep %d",
                     (int)id, (int)session->cache.sequence[id].length, (int)length);
    }
    if (status == EET_OK) {
        eet_cache_trim(&session->cache, id, length);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_sequence_export(eet_session *session, int32_t id, int32_t layer,
                               const eet_array *keys, const eet_array *values, eet_error *err) {
    eet_error own;
    eet_array array[2];
    const eet_array *const given[] = {keys, values};
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, false, e);

    if (status == EET_OK) {
        status = check_sequence(session, id, e);
    }
    for (int i = 0; i < 2 && status == EET_OK; ++i) {
        if (given[i] != NULL) {
            status = eet_abi_read(&array[i], sizeof array[i], given[i], "eet_array", e);
        }
    }
    if (status == EET_OK) {
        status = eet_export_run(session, id, layer, keys != NULL ? &array[0] : NULL,
                                values != NULL ? &array[1] : NULL, e);
    }
    return eet_call_end(session, status, e);
}

int32_t eet_sequence_length(const eet_session *session, int32_t id) {
    if (session == NULL || id < 0 || id >= session->limits.sequences) {
        return -1;
    }
    return session->cache.sequence[id].length;
}
