/* streams.c - a session's stream among a caller's, and device memory that comes to the host. */
#include "engine/calls.h"

void *eet_session_stream(const eet_session *session) {
    if (session == NULL || session->api->stream == NULL) {
        return NULL;
    }
    return session->api->stream(session->backend);
}

eet_status eet_call_wait(const eet_backend_api *api, eet_backend *backend, void *stream,
                         eet_error *err) {
    const eet_status status = api->wait_stream != NULL ? api->wait_stream(backend, stream) : EET_OK;

    if (status == EET_OK) {
        return EET_OK;
    }
    return eet_fail(err, status, EET_NOWHERE, "that stream cannot be waited for%s",
                    status == EET_E_STATE      ? " while a graph is recorded in it"
                    : status == EET_E_ARGUMENT ? "; it has to be of the same device"
                                               : "");
}

eet_status eet_session_wait(eet_session *session, void *stream, eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, true, e);

    if (status == EET_OK) {
        status = eet_call_wait(session->api, session->backend, stream, e);
    }
    return eet_call_end(session, status, e);
}

eet_status eet_session_fetch(eet_session *session, void *host, const void *device, uint64_t bytes,
                             eet_error *err) {
    eet_error own;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = eet_call_check(session, true, e);

    if (status == EET_OK && bytes > 0 && (host == NULL || device == NULL)) {
        status = eet_call_missing("host or device", e);
    } else if (status == EET_OK) {
        status = session->api->download(session->backend, host, device, bytes);
        if (status != EET_OK) {
            (void)eet_fail(e, status, EET_NOWHERE, "%llu bytes do not come from the device",
                           (unsigned long long)bytes);
        }
    }
    return eet_call_end(session, status, e);
}
