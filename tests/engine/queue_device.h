/* queue_device.h - what queue_device.c tells of what it did. */
#ifndef EET_TESTS_ENGINE_QUEUE_DEVICE_H
#define EET_TESTS_ENGINE_QUEUE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct queue_seen {
    size_t most_ahead; /* ends of steps that waited at once */
    size_t steps;      /* that ended */
    size_t nobodys;    /* of these without a row that goes on, by a rule or a word of the host */
    int32_t rows;      /* of the last of them */
    size_t launches;   /* of recordings */
} queue_seen;

/* Since it was asked before. */
EET_API queue_seen queue_look(void);
/* When a recording begins, this is called, once. */
EET_API void queue_call(void (*function)(void *), void *context);
/* From now on a step takes so long, in microseconds, and something more. */
EET_API void queue_pace(int64_t microseconds);

#endif
