/* turn.h - whether a CUDA backend's kernels begin early (kernels/cuda/launch.cuh). */
#ifndef EET_TESTS_CUDA_TURN_H
#define EET_TESTS_CUDA_TURN_H

#include "kernels/backend.h"

void device_in_turn(eet_backend *backend, bool in_turn);

#endif
