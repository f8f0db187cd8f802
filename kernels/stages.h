/* stages.h - how many stages of a pipeline a block of a device has room for: the same on the host,
 * which tests it. */
#ifndef EET_KERNELS_STAGES_H
#define EET_KERNELS_STAGES_H

#include <stdint.h>

/* At most `most`: of a block's `bytes` of shared memory, `taken` are for something else. 0: there
 * is no room for two, without which nothing is on its way meanwhile. */
static inline int32_t eet_stages_in(int32_t bytes, int32_t taken, int32_t stage, int32_t most) {
    const int32_t fit = bytes > taken ? (bytes - taken) / stage : 0;
    const int32_t stages = fit < most ? fit : most;

    return stages < 2 ? 0 : stages;
}

#endif
