/* graphs.h - passes that are recorded once for each size that they are rounded up to, where a
 * backend can: a step of few tokens when the session is made, a short prompt or text when the
 * first of its size comes. A pass of more than 2,048 tokens is not. */
#ifndef EET_ENGINE_GRAPHS_H
#define EET_ENGINE_GRAPHS_H

#include "engine/run.h"

/* Records the steps; none where the backend has no graphs, EET_CHECK_FINITE or EET_SYNC look
 * between ops, or the model has no decoder. E_DEVICE, E_MEMORY. */
eet_status eet_graphs_make(eet_session *session, eet_error *err);
void eet_graphs_free(eet_session *session);

/* Fills the inputs of a pass up to the size of its graph; pass->graph says which, -1: none. */
void eet_graphs_round(eet_session *session, eet_pass *pass);

/* Does what eet_forward does, by pass->graph. */
eet_status eet_graphs_run(eet_session *session, const eet_pass *pass, eet_hidden *out,
                          eet_error *err);

#endif
