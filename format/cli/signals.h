/* signals.h - a command that a signal ends leaves no temporary file behind. */
#ifndef EET_CLI_SIGNALS_H
#define EET_CLI_SIGNALS_H

#include "eet_types.h"
#include "format/target.h"

/* From here on SIGINT, SIGTERM and SIGHUP unlink what is watched and end the process with
 * 130 (what nohup ignores stays ignored); a file that grows beyond a limit (SIGXFSZ) is an
 * error to report instead. */
void eet_signals_catch(void);

/* What a signal unlinks; it stays valid until the next call. NULL: nothing. */
void eet_signals_watch(const eet_live_path *live);

/* eet_target_begin with the signals held back and the target watched, so that no signal
 * comes between the temporary file and its name. */
eet_status eet_signals_begin(eet_target *target, bool force, uint64_t bytes, eet_error *err);

/* eet_target_drop, and nothing is watched any more. */
void eet_signals_drop(eet_target *target);

/* Holds them back and lets them through again, for who begins a target deeper inside. */
void eet_signals_hold(void);
void eet_signals_release(void);

#endif
