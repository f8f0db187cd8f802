/* refuse.c - why a device is not to be had, in a sentence. */
#include "kernels/refuse.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static void say(eet_error *error, eet_status status, const char *form, va_list values) {
    if (error != NULL) {
        *error = (eet_error){.status = (int32_t)status, .offset = EET_NOWHERE};
        (void)vsnprintf(error->text, sizeof error->text, form, values);
    }
}

eet_status eet_refuse(eet_error *error, const char *form, ...) {
    va_list values;

    va_start(values, form);
    say(error, EET_E_DEVICE, form, values);
    va_end(values);
    return EET_E_DEVICE;
}

eet_status eet_refuse_memory(eet_error *error, const char *form, ...) {
    va_list values;

    va_start(values, form);
    say(error, EET_E_MEMORY, form, values);
    va_end(values);
    return EET_E_MEMORY;
}
