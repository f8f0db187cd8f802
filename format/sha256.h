/* sha256.h - SHA-256; sha256.c is the one file that knows libcrypto. */
#ifndef EET_FORMAT_SHA256_H
#define EET_FORMAT_SHA256_H

#include <stdint.h>

#include "format/types.h"

typedef struct eet_sha256 eet_sha256;

eet_sha256 *eet_sha256_create(void); /* NULL: no memory */
void eet_sha256_free(eet_sha256 *hash);
void eet_sha256_add(eet_sha256 *hash, const void *data, uint64_t bytes);
void eet_sha256_finish(eet_sha256 *hash, uint8_t digest[32]); /* and starts anew */

#endif
