/* calls.h - what every public call begins and ends with. */
#ifndef EET_ENGINE_CALLS_H
#define EET_ENGINE_CALLS_H

#include "engine/session.h"

/* Where a call's words go: the caller's error, or `own`, which EET_LOG may still show. */
eet_error *eet_call_error(eet_error *err, eet_error *own);

eet_status eet_call_missing(const char *what, eet_error *err);

/* May a call use the session now? `generating`: the call is the generation's own. */
eet_status eet_call_check(const eet_session *session, bool generating, eet_error *err);

/* What eet_encode, eet_step and their like begin with: the session may be used, and `out` is
 * the caller's batch. */
eet_status eet_call_batch(const eet_session *session, const eet_batch *batch, eet_batch *out,
                          eet_error *err);

/* Puts all that comes behind what is in a caller's `stream` now. E_STATE while work of it is
 * recorded, E_ARGUMENT where it is of another device: nothing happened. */
eet_status eet_call_wait(const eet_backend_api *api, eet_backend *backend, void *stream,
                         eet_error *err);

/* The end of a call that ran on the device: gives `status` back. */
eet_status eet_call_end(eet_session *session, eet_status status, eet_error *err);

#endif
