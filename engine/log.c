/* log.c - lines on stderr for who debugs, and the variables that ask for them. */
#include "engine/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

eet_log_level eet_log_wanted(void) {
    static const char *const names[] = {"", "error", "info", "trace"};
    const char *value = getenv("EET_LOG");

    for (int level = EET_LOG_ERROR; value != NULL && level <= EET_LOG_TRACE; ++level) {
        if (strcmp(value, names[level]) == 0) {
            return (eet_log_level)level;
        }
    }
    return EET_LOG_NONE;
}

bool eet_log_switch(const char *variable) {
    const char *value = getenv(variable);

    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

/* One write, so that lines of several threads do not mix; no buffer that a fork or an
 * exit would write again. */
void eet_log(eet_log_level wanted, eet_log_level level, const char *format, ...) {
    char line[1024] = "eet: ";
    va_list args;

    if (level > wanted) {
        return;
    }
    const size_t head = strlen(line);

    va_start(args, format);
    (void)vsnprintf(line + head, sizeof line - head - 1, format, args);
    va_end(args);
    const size_t length = strlen(line);

    line[length] = '\n';
    if (write(STDERR_FILENO, line, length + 1) < 0) {
        return; /* nobody can be told */
    }
}
