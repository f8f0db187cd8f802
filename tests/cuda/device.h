/* device.h - operands of the tests (tests/kernels/lab.h) on a CUDA device and back. */
#ifndef EET_TESTS_CUDA_DEVICE_H
#define EET_TESTS_CUDA_DEVICE_H

#include "kernels/backend.h"
#include "tests/support/suite.h"

/* The backend beside this program, or the one that EET_BACKEND_PATH names, on device 0. Says why
 * and returns false where there is none. */
bool device_open(void);
void device_close(void);

/* Copies on the device; nothing stays nothing. */
void *device_up(const void *host, int64_t bytes);
eet_norm_weights device_norm(eet_norm_weights norm, int32_t cols);
eet_matrix device_matrix(eet_matrix host);
eet_pages device_pages(eet_pages host);
int64_t pages_bytes(const eet_pages *pages);

void device_down(void *host, const void *device, int64_t bytes);
void device_free(void); /* all copies, and the lab's blocks */

/* Memory that the device sees too, see eet_backend_api. */
void *device_share(int64_t bytes);
void device_unshare(void *shared);
eet_status device_wait(const uint64_t *word, uint64_t number);

const eet_ops *device_ops(void);
eet_backend *device_backend(void);

/* Runs an op on the device. */
#define ON_DEVICE(op, args) ck_assert_int_eq(device_ops()->op(device_backend(), args), EET_OK)

enum {
    CHOICE_CLAIMS = 3,
    ATTENTION_CLAIMS = 3,
    MASK_CLAIMS = 5,
    STEP_CLAIMS = 2,
    LATER_KEY_CLAIMS = 1
};
const eet_claim *choice_claims(void);    /* choices.c */
const eet_claim *attention_claims(void); /* attention.c */
const eet_claim *later_key_claims(void); /* later_keys.c */
const eet_claim *mask_claims(void);      /* masks.c */
const eet_claim *step_claims(void);      /* steps.c */

#endif
