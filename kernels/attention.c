/* attention.c - softmax(q k^T scale) v over packed or paged keys and values:
 * reference and cost. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "format/half.h"
#include "kernels/reference.h"

enum { DIMS = 64 }; /* of the output at a time: a fixed buffer serves any head size */

/* Element `at` of the key (kv 0) or value (kv 1) of a row's token. */
static double kv_at(const eet_attention_args *a, int32_t kv, int32_t row, int32_t token,
                    int32_t head, int32_t at) {
    if (a->k != NULL) {
        const int64_t place = eet_attention_kv_at(a, row, head) + token * a->kv_stride + at;

        return (double)eet_float_at(kv == 0 ? a->k : a->v, eet_attention_kv_dtype(a), place);
    }
    const int32_t page = a->page_table[(int64_t)row * a->table_stride + token / EET_PAGE_TOKENS];
    const int64_t place = eet_page_at(&a->pages, a->layer, page, kv, head, token % EET_PAGE_TOKENS);

    return (double)eet_float_at(a->pages.data, a->pages.dtype, place + at);
}

/* -inf: the query does not see the key. */
static double score(const eet_attention_args *a, int32_t row, int32_t query, int32_t head,
                    int32_t token) {
    const float *q = (const float *)a->q + query * a->q_stride + (int64_t)head * a->head_dim;
    const int32_t at[4] = {row, head, query - a->q_start[row], token};
    double sum = 0.0;

    for (int32_t i = 0; i < a->head_dim; ++i) {
        sum += (double)q[i] * kv_at(a, 0, row, token, head, i);
    }
    return eet_masked(a, at, sum * (double)a->scale);
}

/* Tokens that a query sees: all, or those up to its own position. */
static int32_t keys_of(const eet_attention_args *a, int32_t row, int32_t query) {
    const int32_t after = a->q_start[row + 1] - 1 - query;

    return a->causal ? a->kv_length[row] - after : a->kv_length[row];
}

/* The largest score of `keys`; false when none is seen. */
static bool find_top(const eet_attention_args *a, int32_t row, int32_t query, int32_t head,
                     double *top) {
    const int32_t keys = keys_of(a, row, query);
    bool seen = false;

    *top = -INFINITY;
    for (int32_t token = 0; token < keys; ++token) {
        const double one = score(a, row, query, head, token);

        seen = seen || one != -INFINITY;
        *top = fmax(*top, one);
    }
    return seen;
}

static void attend(const eet_attention_args *a, int32_t row, int32_t query, int32_t head) {
    const int32_t keys = keys_of(a, row, query);
    float *y = (float *)a->y + ((int64_t)query * a->heads + head) * a->head_dim;
    double top = 0.0;

    if (!find_top(a, row, query, head, &top)) {
        memset(y, 0, (size_t)a->head_dim * sizeof *y);
        return;
    }
    for (int32_t first = 0; first < a->head_dim; first += DIMS) {
        const int32_t dims = a->head_dim - first < DIMS ? a->head_dim - first : DIMS;
        double sum[DIMS] = {0.0};
        double weights = 0.0;

        for (int32_t token = 0; token < keys; ++token) {
            const double weight = exp(score(a, row, query, head, token) - top);

            weights += weight;
            for (int32_t i = 0; i < dims && weight != 0.0; ++i) {
                sum[i] += weight * kv_at(a, 1, row, token, head, first + i);
            }
        }
        for (int32_t i = 0; i < dims; ++i) {
            y[first + i] = (float)(sum[i] / weights);
        }
    }
}

eet_status eet_attention_ref(eet_backend *backend, const eet_attention_args *a) {
    (void)backend;
    if (eet_attention_check(a) != EET_OK) {
        return EET_E_UNSUPPORTED;
    }
    for (int32_t row = 0; row < a->rows; ++row) {
        for (int32_t query = a->q_start[row]; query < a->q_start[row + 1]; ++query) {
            for (int32_t head = 0; head < a->heads; ++head) {
                attend(a, row, query, head);
            }
        }
    }
    return EET_OK;
}

eet_cost eet_attention_cost(const eet_attention_args *a) {
    const double width = (double)a->heads * a->head_dim;
    const int32_t kv_dtype = a->k != NULL ? eet_attention_kv_dtype(a) : a->pages.dtype;
    const double kv_bytes = eet_float_bytes(kv_dtype);
    eet_cost cost = {0};

    for (int32_t row = 0; row < a->rows; ++row) {
        const double queries = a->q_start[row + 1] - a->q_start[row];
        const double keys = a->kv_length[row];
        const double pairs = queries * keys - (a->causal ? queries * (queries - 1) / 2 : 0.0);

        if (queries > 0) {
            cost.flops += 4.0 * pairs * width;
            cost.bytes += 2.0 * keys * width * kv_bytes + 2.0 * queries * width * 4.0;
        }
    }
    return cost;
}
