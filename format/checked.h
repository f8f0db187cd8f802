/* checked.h - arithmetic on numbers that came from a file. Each returns false
 * on overflow and then leaves *out alone. */
#ifndef EET_FORMAT_CHECKED_H
#define EET_FORMAT_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool eet_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum = 0;

    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}

static inline bool eet_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product = 0;

    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

/* Rounds up to a multiple of `align`, a power of two. */
static inline bool eet_align_u64(uint64_t value, uint64_t align, uint64_t *out) {
    uint64_t sum = 0;

    if (__builtin_add_overflow(value, align - 1, &sum)) {
        return false;
    }
    *out = sum & ~(align - 1);
    return true;
}

/* Does [at, at + bytes) lie inside [0, limit)? */
static inline bool eet_within_u64(uint64_t at, uint64_t bytes, uint64_t limit) {
    return at <= limit && bytes <= limit - at;
}

#endif
