/* trial_masks.h - masks for the cases of attention, and a small case whose keys can be hidden. */
#ifndef EET_TESTS_KERNELS_TRIAL_MASKS_H
#define EET_TESTS_KERNELS_TRIAL_MASKS_H

#include <math.h>
#include <string.h>

#include "tests/kernels/trial_attention.h"

enum { MASKS = 6 };

static inline int32_t longest_of(const int32_t *of, int32_t rows) {
    int32_t most = 0;

    for (int32_t r = 0; r < rows; ++r) {
        most = of[r] > most ? of[r] : most;
    }
    return most;
}

/* Strides of a mask [rows|1, heads|1, queries|1, keys] in `shape`, after one number that is not
 * its own. Gives back how many numbers it has. */
static inline int64_t stride_mask(const attention_case *c, int32_t kind, eet_mask *m) {
    const int32_t keys = longest_of(c->keys, c->rows);
    const int32_t queries = kind % 2 == 0 ? longest_of(c->queries, c->rows) : 1;
    const int32_t heads = kind % 3 == 0 ? c->heads : 1;

    m->key = kind == 5 ? 2 : 1;
    m->query = queries > 1 ? keys * m->key : 0;
    m->head = heads > 1 ? queries * keys * m->key : 0;
    m->row = (int64_t)heads * queries * keys * m->key;
    return c->rows * m->row;
}

static inline eet_mask allowed_of(const attention_case *c, int32_t kind) {
    eet_mask m = {.dtype = EET_U8};
    const int64_t count = stride_mask(c, kind, &m);
    uint8_t *data = lab_block(count);
    int32_t *random = lab_ints(count, 100);

    for (int64_t i = 0; i < count; ++i) {
        data[i] = random[i] < 60 ? (uint8_t)(random[i] + 1) : 0;
    }
    m.data = data;
    return m;
}

static inline eet_mask added_of(const attention_case *c, int32_t kind) {
    const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};
    eet_mask m = {.dtype = dtypes[kind % 3]};
    const int64_t count = stride_mask(c, kind, &m);
    void *data = lab_array(count, m.dtype, LAB_PLAIN);
    int32_t *random = lab_ints(count, 4);

    for (int64_t i = 0; i < count; ++i) {
        if (random[i] == 0) {
            eet_float_put(data, m.dtype, i, -INFINITY);
        }
    }
    m.data = data;
    return m;
}

/* Masks of kind `kind` over a case: boolean, additive, both, and a bound of each row's keys. */
static inline void mask_args(const attention_case *c, int32_t kind, eet_attention_args *a) {
    if (kind != 1) {
        a->allowed = allowed_of(c, kind);
    }
    if (kind == 1 || kind >= 3) {
        a->added = added_of(c, kind);
    }
    if (kind == 2 || kind == 4) {
        int32_t *seen = lab_ints(c->rows, 100);

        for (int32_t r = 0; r < c->rows; ++r) {
            seen[r] = seen[r] * c->keys[r] / 99;
        }
        a->kv_seen = seen;
    }
}

enum { FEW = 40, DIM = 19 };

/* FEW keys and values of one head and row for three queries; only kept ones are left. */
typedef struct small {
    eet_attention_args a;
    int32_t start[2], length, kv_start;
    float *k, *v;
    uint8_t keep[FEW];
} small;

static inline void make_small(small *s) {
    *s = (small){.start = {0, 3}, .length = FEW};
    s->k = lab_floats((int64_t)FEW * DIM, LAB_PLAIN);
    s->v = lab_floats((int64_t)FEW * DIM, LAB_PLAIN);
    for (int32_t i = 0; i < FEW; ++i) {
        s->keep[i] = i % 3 == 1 || i == FEW - 1;
    }
    s->a = (eet_attention_args){
        .q = lab_floats((int64_t)3 * DIM, LAB_PLAIN),
        .q_stride = DIM,
        .k = s->k,
        .v = s->v,
        .kv_stride = DIM,
        .kv_start = &s->kv_start,
        .rows = 1,
        .q_start = s->start,
        .kv_length = &s->length,
        .heads = 1,
        .head_dim = DIM,
        .scale = 2.0F,
        .y = lab_floats((int64_t)3 * DIM, LAB_PLAIN),
    };
}

/* Keys and values where the mask is 0 are taken out, or filled with what would show. */
static inline void hide_keys(small *s, bool take_out) {
    int32_t to = 0;

    for (int32_t i = 0; i < FEW; ++i) {
        if (take_out && s->keep[i] != 0) {
            memmove(s->k + (int64_t)to * DIM, s->k + (int64_t)i * DIM, DIM * sizeof *s->k);
            memmove(s->v + (int64_t)to * DIM, s->v + (int64_t)i * DIM, DIM * sizeof *s->v);
            ++to;
        }
        for (int32_t j = 0; j < DIM && !take_out && s->keep[i] == 0; ++j) {
            s->k[i * DIM + j] = NAN;
            s->v[i * DIM + j] = INFINITY;
        }
    }
    s->length = take_out ? to : s->length;
}

#endif
