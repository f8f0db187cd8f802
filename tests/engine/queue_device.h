/* queue_device.h - what queue_device.c tells of what it did. */
#ifndef EET_TESTS_ENGINE_QUEUE_DEVICE_H
#define EET_TESTS_ENGINE_QUEUE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct queue_seen {
    size_t most_ahead; /* ends of steps that waited at once */
    size_t steps;      /* that ended */
    int32_t rows;      /* of the last of them */
    size_t launches;   /* of recordings */
} queue_seen;

/* Since it was asked before. */
EET_API queue_seen queue_look(void);
/* When a recording begins, this is called, once. */
EET_API void queue_call(void (*function)(void *), void *context);

#endif
