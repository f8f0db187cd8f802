/* abi.h - structs of the public interface that begin with `size`: how those of another
 * version of the header are read and written. */
#ifndef EET_ENGINE_ABI_H
#define EET_ENGINE_ABI_H

#include "format/types.h"

/* Copies the caller's struct into `ours` (`bytes` long): what a shorter one lacks is
 * zero; a longer one must be zero past its end (E_ARGUMENT). NULL is all defaults.
 * `noun` is the struct's name in the sentence. */
eet_status eet_abi_read(void *ours, uint32_t bytes, const void *theirs, const char *noun,
                        eet_error *err);

/* Can the caller's struct be filled? E_ARGUMENT: NULL, or size not set. */
eet_status eet_abi_writable(const void *theirs, const char *noun, eet_error *err);

/* Fills the caller's struct to the smaller of the two sizes; its `size` stays. */
void eet_abi_write(void *theirs, const void *ours, uint32_t bytes);

#endif
