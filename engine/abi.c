/* abi.c - reads and writes structs that begin with `size`. */
#include "engine/abi.h"

#include <string.h>

static uint32_t size_of(const void *theirs) {
    uint32_t size = 0;

    memcpy(&size, theirs, sizeof size);
    return size;
}

eet_status eet_abi_read(void *ours, uint32_t bytes, const void *theirs, const char *noun,
                        eet_error *err) {
    memset(ours, 0, bytes);
    if (theirs == NULL) {
        return EET_OK;
    }
    const uint32_t size = size_of(theirs);
    const unsigned char *at = theirs;

    if (size < sizeof size) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s.size is %u; put sizeof(%s) in it and zero in the fields not used", noun,
                        size, noun);
    }
    for (uint32_t i = bytes; i < size; ++i) {
        if (at[i] != 0) {
            return eet_fail(
                err, EET_E_ARGUMENT, EET_NOWHERE,
                "%s asks for something that this version (%u bytes of %u) does not know", noun,
                bytes, size);
        }
    }
    memcpy(ours, theirs, size < bytes ? size : bytes);
    return EET_OK;
}

eet_status eet_abi_writable(const void *theirs, const char *noun, eet_error *err) {
    if (theirs == NULL) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no %s to fill", noun);
    }
    if (size_of(theirs) < sizeof(uint32_t)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s.size is %u; put sizeof(%s) in it",
                        noun, size_of(theirs), noun);
    }
    return EET_OK;
}

void eet_abi_write(void *theirs, const void *ours, uint32_t bytes) {
    const uint32_t size = size_of(theirs);
    const uint32_t head = sizeof size;
    const uint32_t end = size < bytes ? size : bytes;

    if (end > head) {
        memcpy((char *)theirs + head, (const char *)ours + head, end - head);
    }
}
