/* lab.c - operands for tests of the ops. */
#include "tests/kernels/lab.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/half.h"

enum { MAX_BLOCKS = 256 };

static void *blocks[MAX_BLOCKS];
static int32_t block_count;
static uint64_t state = 1;

void lab_seed(uint64_t seed) {
    state = seed * 2 + 1;
}

/* splitmix64 */
static uint64_t next(void) {
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void *lab_block(int64_t bytes) {
    void *block = malloc(bytes > 0 ? (size_t)bytes : 1);

    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(block_count, MAX_BLOCKS);
    memset(block, 0xFF, bytes > 0 ? (size_t)bytes : 1);
    blocks[block_count++] = block;
    return block;
}

void lab_free(void) {
    while (block_count > 0) {
        free(blocks[--block_count]);
    }
}

static double plain(void) {
    return (double)(int64_t)next() * 0x1p-63;
}

static double number(lab_kind kind) {
    static const double sizes[] = {0.0, 0x1p-30, 0x1p-14, 0x1p-3, 1.0, 1.0,
                                   1.0, 3.0,     0x1p5,   0x1p12, 0.0, 0x1p-8};

    if (kind == LAB_FAR) {
        return 1000.0 + plain();
    }
    if (kind == LAB_WILD) {
        return sizes[next() % (sizeof sizes / sizeof sizes[0])] * (plain() < 0 ? -1.0 : 1.0) *
               (1.0 + 0.25 * plain());
    }
    return plain();
}

void *lab_array(int64_t count, int32_t dtype, lab_kind kind) {
    void *array = lab_block(count * eet_float_bytes(dtype));

    for (int64_t i = 0; i < count; ++i) {
        if (dtype == EET_F64) {
            ((double *)array)[i] = number(kind);
        } else {
            eet_float_put(array, dtype, i, (float)number(kind));
        }
    }
    return array;
}

float *lab_floats(int64_t count, lab_kind kind) {
    return lab_array(count, EET_F32, kind);
}

int32_t *lab_ints(int64_t count, int32_t below) {
    int32_t *ints = lab_block(count * (int64_t)sizeof *ints);

    for (int64_t i = 0; i < count; ++i) {
        ints[i] = (int32_t)(next() % (uint64_t)below);
    }
    return ints;
}

eet_norm_weights lab_norm(int32_t cols, bool bias) {
    float *weight = lab_floats(cols, LAB_PLAIN);

    for (int32_t i = 0; i < cols; ++i) {
        weight[i] += 1.0F;
    }
    return (eet_norm_weights){
        .weight = weight,
        .bias = bias ? lab_floats(cols, LAB_PLAIN) : NULL,
        .eps = 1e-5,
    };
}

eet_matrix lab_matrix(int32_t n, int32_t k, int32_t extra, int32_t dtype, lab_kind kind) {
    const int32_t ld = k + extra;
    /* the last row ends with its last element: nothing may be read behind it */
    void *data = lab_block(((int64_t)(n - 1) * ld + k) * eet_float_bytes(dtype));

    for (int32_t i = 0; i < n; ++i) {
        for (int32_t j = 0; j < k; ++j) {
            eet_float_put(data, dtype, (int64_t)i * ld + j, (float)number(kind));
        }
    }
    return (eet_matrix){.data = data, .n = n, .k = k, .ld = ld, .dtype = (uint16_t)dtype};
}

eet_pages lab_pages(int32_t pages, int32_t layers, int32_t heads, int32_t head_dim, int32_t dtype) {
    eet_pages p = {
        .pages = pages,
        .layers = layers,
        .heads = heads,
        .head_dim = head_dim,
        .dp = eet_padded_head(head_dim),
        .dtype = dtype,
    };

    p.data = lab_array(eet_page_at(&p, layers, 0, 0, 0, 0), dtype, LAB_PLAIN);
    return p;
}

int32_t *lab_page_table(int32_t rows, int32_t stride) {
    const int32_t count = rows * stride;
    int32_t *table = lab_block(count * (int64_t)sizeof *table);

    for (int32_t i = 0; i < count; ++i) {
        const int32_t other = (int32_t)(next() % (uint64_t)(i + 1));

        table[i] = table[other];
        table[other] = i;
    }
    return table;
}

eet_backend *lab_open(const char *isa, int32_t threads) {
    eet_backend *backend = NULL;
    const eet_status status = eet_cpu_open_isa(isa, threads, &backend);

    if (status == EET_E_UNSUPPORTED) {
        (void)fprintf(stderr, "%s: skipped, this processor lacks it\n", isa);
        return NULL;
    }
    ck_assert_int_eq(status, EET_OK);
    return backend;
}

void lab_close(eet_backend *backend) {
    eet_backend_cpu()->close(backend);
}
