/* types.c - the names and sizes of status codes and dtypes. */
#include "format/types.h"

#include <stddef.h>
#include <string.h>

const char *eet_status_symbol(eet_status status) {
    switch (status) {
#define X(symbol, number, exit_code) \
    case symbol:                     \
        return #symbol;
        EET_STATUS_MAP(X)
#undef X
    }
    return "EET_E_INTERNAL";
}

int eet_status_exit_code(eet_status status) {
    switch (status) {
#define X(symbol, number, exit_code) \
    case symbol:                     \
        return exit_code;
        EET_STATUS_MAP(X)
#undef X
    }
    return 70;
}

const char *eet_dtype_name(eet_dtype dtype) {
    switch (dtype) {
    case EET_DTYPE_NONE:
        break;
#define X(symbol, number, bits, name) \
    case symbol:                      \
        return name;
        EET_DTYPE_MAP(X)
#undef X
    }
    return NULL;
}

uint32_t eet_dtype_bits(eet_dtype dtype) {
    switch (dtype) {
    case EET_DTYPE_NONE:
        break;
#define X(symbol, number, bits, name) \
    case symbol:                      \
        return bits;
        EET_DTYPE_MAP(X)
#undef X
    }
    return 0;
}

uint32_t eet_dtype_bytes(eet_dtype dtype) {
    const uint32_t bits = eet_dtype_bits(dtype);

    return bits % 8 == 0 ? bits / 8 : 0;
}

eet_dtype eet_dtype_named(const char *name) {
#define X(symbol, number, bits, text) \
    if (strcmp(name, text) == 0) {    \
        return symbol;                \
    }
    EET_DTYPE_MAP(X)
#undef X
    return EET_DTYPE_NONE;
}
