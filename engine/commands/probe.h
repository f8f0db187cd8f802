/* probe.h - what the machine itself can do, to hold a measurement against: the rate at
 * which its threads read memory, and multiply-adds on registers alone. No product of
 * matrices is faster than the second, nothing that comes from memory than the first. */
#ifndef EET_COMMANDS_PROBE_H
#define EET_COMMANDS_PROBE_H

#include <stdint.h>

#include "kernels/backend.h"

typedef struct eet_probe eet_probe;

double eet_probe_now(void); /* seconds */

eet_probe *eet_probe_create(void);     /* NULL: no memory */
void eet_probe_free(eet_probe *probe); /* NULL is fine */

/* One reading, with the backend's threads, of a block far larger than the caches, a few
 * milliseconds: bytes a second. On a shared machine this changes from second to second;
 * take it often. */
double eet_probe_read_rate(eet_probe *probe, eet_backend *backend);

/* The fastest of some short runs on the backend's instruction set, two flops a multiply-add:
 * flops a second. 0 for an instruction set that is not known here. */
double eet_probe_peak(eet_probe *probe, eet_backend *backend);

#endif
