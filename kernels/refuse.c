/* refuse.c - why a device is not to be had, in a sentence. */
#include "kernels/refuse.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

eet_status eet_refuse(eet_error *error, const char *form, ...) {
    if (error != NULL) {
        va_list values;

        *error = (eet_error){.status = EET_E_DEVICE, .offset = EET_NOWHERE};
        va_start(values, form);
        (void)vsnprintf(error->text, sizeof error->text, form, values);
        va_end(values);
    }
    return EET_E_DEVICE;
}
