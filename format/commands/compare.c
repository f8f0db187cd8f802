/* compare.c - two tensors of one shape, number by number. */
#include "format/commands/compare.h"

#include <math.h>
#include <string.h>

#include "format/commands/values.h"
#include "format/half.h"

enum { BLOCK = 2048 };

/* In long double, which no square of a double overflows. */
typedef struct sums {
    long double difference, a, b, product;
} sums;

bool eet_comparable(const eet_file_tensor *a, const eet_file_tensor *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, sizeof a->dims) == 0 &&
           eet_element_readable(a->dtype) && eet_element_readable(b->dtype);
}

static void read_block(const eet_file_tensor *t, uint64_t from, uint64_t count, double *out) {
    const uint8_t *at = t->data;

    for (uint64_t i = 0; i < count; i++) {
        if (t->dtype == EET_F32) {
            float value = 0;

            memcpy(&value, at + 4 * (from + i), sizeof value);
            out[i] = (double)value;
        } else if (t->dtype == EET_BF16) {
            uint16_t bits = 0;

            memcpy(&bits, at + 2 * (from + i), sizeof bits);
            out[i] = (double)eet_bf16_to_f32(bits);
        } else {
            out[i] = eet_element_read(at, t->dtype, from + i);
        }
    }
}

static void note_unusual(eet_comparison *c, int side, double value) {
    c->nans[side] += isnan(value) ? 1 : 0;
    c->infinities[side] += isinf(value) ? 1 : 0;
}

static void compare_unusual(eet_comparison *c, double a, double b) {
    note_unusual(c, 0, a);
    note_unusual(c, 1, b);
    c->changed += a == b || (isnan(a) && isnan(b)) ? 0 : 1;
}

static void compare_block(eet_comparison *c, sums *s, const double *a, const double *b,
                          uint64_t from, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            compare_unusual(c, a[i], b[i]);
            continue;
        }
        const double distance = fabs(a[i] - b[i]);
        const long double x = a[i];
        const long double y = b[i];

        if (distance > c->max_difference) {
            c->max_difference = distance;
            c->max_at = from + i;
        }
        c->finite++;
        c->changed += a[i] != b[i] ? 1 : 0;
        s->difference += (x - y) * (x - y);
        s->a += x * x;
        s->b += y * y;
        s->product += x * y;
    }
}

eet_comparison eet_compare(const eet_file_tensor *a, const eet_file_tensor *b) {
    eet_comparison c = {.count = eet_tensor_elements(a), .cosine = NAN};
    sums s = {.difference = 0};
    double left[BLOCK];
    double right[BLOCK];

    for (uint64_t from = 0; from < c.count; from += BLOCK) {
        const uint64_t count = c.count - from < BLOCK ? c.count - from : BLOCK;

        read_block(a, from, count, left);
        read_block(b, from, count, right);
        compare_block(&c, &s, left, right, from, count);
    }
    if (s.difference > 0) {
        c.relative_l2 = s.a > 0 ? (double)sqrtl(s.difference / s.a) : INFINITY;
    }
    if (s.a > 0 && s.b > 0) {
        c.cosine = (double)fmaxl(-1, fminl(1, s.product / (sqrtl(s.a) * sqrtl(s.b))));
    }
    return c;
}
