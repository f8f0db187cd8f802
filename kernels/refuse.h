/* refuse.h - why a device is not to be had, in a sentence. */
#ifndef EET_KERNELS_REFUSE_H
#define EET_KERNELS_REFUSE_H

#include "eet_types.h"

/* Puts the sentence into `error` (NULL is fine), with E_DEVICE, which it returns. */
eet_status eet_refuse(eet_error *error, const char *form, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with E_MEMORY. */
eet_status eet_refuse_memory(eet_error *error, const char *form, ...)
    __attribute__((format(printf, 2, 3)));

#endif
