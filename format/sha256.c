/* sha256.c - SHA-256 by libcrypto. */
#include "format/sha256.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct eet_sha256 {
    EVP_MD_CTX *context;
};

eet_sha256 *eet_sha256_create(void) {
    eet_sha256 *hash = malloc(sizeof *hash);

    if (hash == NULL) {
        return NULL;
    }
    hash->context = EVP_MD_CTX_new();
    if (hash->context == NULL || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        eet_sha256_free(hash);
        return NULL;
    }
    return hash;
}

void eet_sha256_free(eet_sha256 *hash) {
    if (hash != NULL) {
        EVP_MD_CTX_free(hash->context);
        free(hash);
    }
}

void eet_sha256_add(eet_sha256 *hash, const void *data, uint64_t bytes) {
    (void)EVP_DigestUpdate(hash->context, data, (size_t)bytes);
}

void eet_sha256_finish(eet_sha256 *hash, uint8_t digest[32]) {
    (void)EVP_DigestFinal_ex(hash->context, digest, NULL);
    (void)EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL);
}
