/* log.h - what the library says on stderr when EET_LOG asks for it; otherwise it is
 * silent. The level is read when a model or a session is made, and kept in it. */
#ifndef EET_ENGINE_LOG_H
#define EET_ENGINE_LOG_H

#include <stdbool.h>

typedef enum eet_log_level {
    EET_LOG_NONE = 0,
    EET_LOG_ERROR = 1, /* the sentence of every call that fails */
    EET_LOG_INFO = 2,  /* what was opened and made, and how it will compute */
    EET_LOG_TRACE = 3  /* every pass through a stack */
} eet_log_level;

eet_log_level eet_log_wanted(void); /* EET_LOG=error|info|trace */

/* Is the variable set to something other than "" and "0"? */
bool eet_log_switch(const char *variable);

/* One line, when `wanted` reaches `level`. */
void eet_log(eet_log_level wanted, eet_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
