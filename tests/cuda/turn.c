/* turn.c - the one field of a CUDA backend that a test sets: its struct has the name of the CPU's.
 */
#include "tests/cuda/turn.h"

#include "kernels/cuda/cuda.h"

void device_in_turn(eet_backend *backend, bool in_turn) {
    backend->in_turn = in_turn;
}
