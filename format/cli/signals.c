/* signals.c - the signals that end a command, and the one file they have to remove. */
#include "format/cli/signals.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* A signal handler takes no argument of its own: this is the one writable global of the
 * commands. */
static _Atomic(const eet_live_path *) watched;

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING = sizeof ending / sizeof ending[0], EXIT_CANCELLED = 130 };

static void on_signal(int number) {
    const eet_live_path *live = atomic_load(&watched);
    const char *temporary = live != NULL ? atomic_load(live) : NULL;

    (void)number;
    if (temporary != NULL) {
        (void)unlink(temporary);
    }
    _exit(EXIT_CANCELLED);
}

static void add_signals(sigset_t *set) {
    (void)sigemptyset(set);
    for (int i = 0; i < ENDING; i++) {
        (void)sigaddset(set, ending[i]);
    }
}

void eet_signals_catch(void) {
    struct sigaction action = {.sa_handler = on_signal};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;

    add_signals(&action.sa_mask);
    for (int i = 0; i < ENDING; i++) {
        if (sigaction(ending[i], NULL, &before) != 0 || before.sa_handler != SIG_IGN) {
            (void)sigaction(ending[i], &action, NULL);
        }
    }
    (void)sigaction(SIGXFSZ, &ignore, NULL);
}

void eet_signals_watch(const eet_live_path *live) {
    atomic_store(&watched, live);
}

static void mask(int how) {
    sigset_t set;

    add_signals(&set);
    (void)pthread_sigmask(how, &set, NULL);
}

void eet_signals_hold(void) {
    mask(SIG_BLOCK);
}

void eet_signals_release(void) {
    mask(SIG_UNBLOCK);
}

eet_status eet_signals_begin(eet_target *target, bool force, uint64_t bytes, eet_error *err) {
    eet_signals_hold();
    eet_signals_watch(&target->live);
    const eet_status status = eet_target_begin(target, force, bytes, err);

    eet_signals_release();
    return status;
}

void eet_signals_drop(eet_target *target) {
    eet_signals_hold();
    eet_signals_watch(NULL);
    eet_target_drop(target);
    eet_signals_release();
}
