/* session.c - makes and ends sessions. */
#include "engine/graphs.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/device.h"

/* A session with its options read and nothing allocated. */
static eet_status prepare(const eet_model *model, const eet_session_options *options,
                          eet_session *out, eet_error *err) {
    const eet_status status = eet_limits_make(model, options, &out->limits, err);

    out->log = eet_log_wanted();
    out->check_finite = eet_log_switch("EET_CHECK_FINITE");
    out->one_by_one = eet_log_switch("EET_SYNC");
    return status;
}

static eet_status measure(const eet_session *prepared, eet_arenas *out, eet_error *err) {
    eet_session session = {.limits = prepared->limits, .check_finite = prepared->check_finite};

    *out = (eet_arenas){0};
    eet_session_layout(&session, out);
    if (out->host.too_large || out->cache.too_large || out->work.too_large) {
        return eet_fail(err, EET_E_LIMIT, EET_NOWHERE,
                        "the session's options ask for more memory than can be addressed");
    }
    return EET_OK;
}

eet_status eet_session_need(const eet_model *model, const eet_session_options *options,
                            eet_memory_need *out, eet_error *err) {
    eet_session session = {0};
    eet_arenas arenas;
    eet_status status = prepare(model, options, &session, err);

    if (status == EET_OK) {
        status = measure(&session, &arenas, err);
    }
    if (status == EET_OK) {
        *out = (eet_memory_need){
            .cache_bytes = arenas.cache.peak,
            .workspace_bytes = arenas.work.peak,
            .host_bytes = arenas.host.peak + sizeof session,
        };
    }
    return status;
}

static eet_status open_backend(eet_session *session, eet_error *err) {
    const char *wanted = getenv("EET_BACKEND");
    const eet_backend_options options = {
        .threads = session->limits.threads,
        .device = session->model->device_index,
        .one_by_one = session->one_by_one,
        .error = err,
        .reference = wanted != NULL && wanted[0] == 'r' && wanted[1] == 'e' && wanted[2] == 'f' &&
                     wanted[3] == '\0',
    };

    session->api = session->model->api;
    const eet_status status = session->api->open(&options, &session->backend);

    if (status != EET_OK && session->model->device != EET_HOST) {
        return status; /* the plugin has said why */
    }
    if (status != EET_OK && options.threads == 0) {
        return eet_fail(err, status, EET_NOWHERE,
                        "the %s backend does not open with a thread for each CPU",
                        session->api->name);
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "the %s backend does not open with %d threads",
                        session->api->name, (int)options.threads);
    }
    session->ops = session->api->ops(session->backend);
    return EET_OK;
}

void eet_session_use(const eet_session *s, eet_memory_use *out) {
    const eet_backend_memory device = s->api->memory(s->backend);
    const uint64_t known =
        device.unused + s->model->weight_bytes + s->cache_bytes + s->work_bytes + device.graphs;

    *out = (eet_memory_use){
        .weights_bytes = s->model->weight_bytes,
        .cache_bytes = s->cache_bytes,
        .workspace_bytes = s->work_bytes,
        .graphs_bytes = device.graphs,
        .library_bytes = device.all > known ? device.all - known : 0,
        .free_bytes = device.unused,
        .host_bytes = s->host_bytes,
    };
}

static eet_status fail_for_memory(const eet_session *session, const eet_arenas *need,
                                  eet_error *err) {
    eet_memory_use use;

    if (eet_device_denied(session->api, session->backend) != EET_E_MEMORY) {
        return eet_device_fail(session->api, session->backend, session->model->device_index, err);
    }
    eet_session_use(session, &use);
    if (session->model->device == EET_HOST) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE,
                        "no memory for a session: %llu bytes of cache and %llu of workspace",
                        (unsigned long long)need->cache.peak, (unsigned long long)need->work.peak);
    }
    return eet_fail(err, EET_E_MEMORY, EET_NOWHERE,
                    "no memory on %s:%d for a session: %llu bytes of cache and %llu of workspace, "
                    "beside %llu of weights, %llu of graphs and %llu of CUDA and of others; %llu "
                    "are free",
                    session->api->name, (int)session->model->device_index,
                    (unsigned long long)need->cache.peak, (unsigned long long)need->work.peak,
                    (unsigned long long)use.weights_bytes, (unsigned long long)use.graphs_bytes,
                    (unsigned long long)use.library_bytes, (unsigned long long)use.free_bytes);
}

/* What the layout measured, in one piece a kind of memory. */
static eet_status allocate(eet_session *session, const eet_arenas *need, eet_error *err) {
    const eet_stack *decoder = &session->model->stack[EET_DEC]; /* zeros where there is none */
    eet_arenas arenas = {0};

    session->host_memory = calloc(1, (size_t)need->host.peak + 1);
    session->cache_memory = session->api->alloc(session->backend, need->cache.peak + 1);
    session->work_memory = session->api->alloc(session->backend, need->work.peak + 1);
    if (session->host_memory == NULL || session->cache_memory == NULL ||
        session->work_memory == NULL) {
        session->api->free(session->backend, session->cache_memory);
        session->api->free(session->backend, session->work_memory);
        session->cache_memory = NULL;
        session->work_memory = NULL;
        return fail_for_memory(session, need, err);
    }
    session->host_bytes = need->host.peak + sizeof *session;
    session->cache_bytes = need->cache.peak;
    session->work_bytes = need->work.peak;
    arenas.host.base = session->host_memory;
    arenas.cache.base = session->cache_memory;
    arenas.work.base = session->work_memory;
    eet_session_layout(session, &arenas);
    eet_cache_reset(&session->cache, decoder->pos_skip_pad ? decoder->tok_pad : -1);
    return EET_OK;
}

/* What the steps of a device need besides. */
static eet_status begin_steps(eet_session *session, const eet_arenas *need, eet_error *err) {
    eet_status status = eet_graphs_make(session, err);

    if (status == EET_OK) {
        status = eet_ahead_make(session, err);
    }
    if (status != EET_E_MEMORY) {
        return status;
    }
    eet_error_clear(err); /* whichever step it was: all sizes count */
    return fail_for_memory(session, need, err);
}

eet_status eet_session_make(eet_model *model, const eet_session_options *options, eet_session **out,
                            eet_error *err) {
    eet_session *session = calloc(1, sizeof *session);
    eet_arenas need;

    if (session == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a session");
    }
    eet_model_retain(model);
    session->model = model;
    session->process = getpid();
    atomic_init(&session->cancelled, 0);
    eet_status status = prepare(model, options, session, err);

    if (status == EET_OK) {
        status = measure(session, &need, err);
    }
    if (status == EET_OK) {
        status = open_backend(session, err);
    }
    if (status == EET_OK) {
        status = allocate(session, &need, err);
    }
    if (status == EET_OK) {
        status = begin_steps(session, &need, err);
    }
    if (status == EET_E_DEVICE && session->backend != NULL) {
        eet_device_blame(session->api, session->backend, err);
    }
    if (status != EET_OK) {
        eet_session_free(session);
        return status;
    }
    eet_log(session->log, EET_LOG_INFO,
            "session: %d threads, ops %s, %llu bytes of cache, %llu of workspace",
            (int)session->api->threads(session->backend),
            model->device == EET_HOST ? eet_backend_cpu_isa(session->backend) : session->api->name,
            (unsigned long long)need.cache.peak, (unsigned long long)need.work.peak);
    *out = session;
    return EET_OK;
}

void eet_session_free(eet_session *session) {
    if (session == NULL) {
        return;
    }
    if (session->backend != NULL && eet_device_is_here(session->model->device, session->process)) {
        eet_ahead_free(session);
        eet_graphs_free(session);
        session->api->free(session->backend, session->work_memory);
        session->api->free(session->backend, session->cache_memory);
        session->api->close(session->backend);
    }
    free(session->host_memory);
    eet_model_release(session->model);
    free(session);
}

bool eet_session_stopped(eet_session *session) {
    return atomic_exchange(&session->cancelled, 0) != 0;
}
