/* attention.c - attention on the device in both families and every dtype: against the reference,
 * and a row alone against the row among others, to the bit. */
#include <math.h>

#include "tests/cuda/attention_shapes.h"

static const void *widened(const void *x, int32_t dtype, int64_t count) {
    if (x == NULL || dtype == EET_F32) {
        return x;
    }
    float *y = lab_block(count * 4);

    for (int64_t i = 0; i < count; ++i) {
        y[i] = eet_float_at(x, dtype, i);
    }
    return y;
}

/* The reference's y of the same numbers. */
static const float *reference_of(const eet_attention_args *host) {
    const int64_t keys = host->kv_start[host->rows - 1] + host->kv_length[host->rows - 1];
    eet_attention_args a = *host;

    a.dtype = 0;
    a.q = widened(a.q, host->dtype, a.tokens * a.q_stride);
    a.k = widened(a.k, host->dtype, keys * a.kv_stride);
    a.v = widened(a.v, host->dtype, keys * a.kv_stride);
    a.y = lab_block((int64_t)a.tokens * a.heads * a.head_dim * 4);
    ck_assert_int_eq(eet_attention_ref(NULL, &a), EET_OK);
    return a.y;
}

/* Of numbers up to 1. In f32, scores are off by the roundings of head_dim products, weights by
 * twice as much, and their sums by that of 300 additions one after another (32 keys a step or
 * more). Where y or weights are of 16 bits either is rounded once, and weights below the smallest
 * f16 are lost. */
static double bound_of(const shape *s, kind k, int32_t longest) {
    const double u = 0x1p-24;
    const double score = (s->head_dim + 8.0) * u * sqrt(s->head_dim);
    const double narrow = k.dtype == EET_F16 ? 0x1p-11 : 0x1p-8;
    const double lost = k.dtype == EET_F16 ? longest * 0x1p-25 : 0.0;

    return 4 * score + 616 * u + (k.dtype != EET_F32 ? 2 * narrow + lost : 0.0);
}

START_TEST(attention_of_every_dtype_agrees_with_the_reference)
{
    const shape *s = &shapes[_i];

    for (int32_t i = 0; i < COMBINATIONS && !s->large; ++i) {
        const kind k = kind_of(i);

        if (!is_tried(s, k)) {
            continue;
        }
        lab_seed((uint64_t)(_i * COMBINATIONS + i));
        const eet_attention_args host = make_args(s, k);
        const int64_t count = (int64_t)host.tokens * host.heads * host.head_dim;
        const float *want = reference_of(&host);
        const eet_attention_args got = on_device(s, &host);
        void *y = lab_block(count * 4);
        const double bound = bound_of(s, k, host.longest_kv);

        ON_DEVICE(attention, &got);
        device_down(y, got.y, count * eet_float_bytes(k.dtype));
        for (int64_t at = 0; at < count; ++at) {
            const double a = (double)eet_float_at(y, k.dtype, at);

            ck_assert_msg(fabs(a - (double)want[at]) <= bound,
                          "shape %d, dtypes %d and %d, family %d, y %d: %.9g, reference %.9g", _i,
                          k.dtype, k.pages, k.family, (int32_t)at, a, (double)want[at]);
        }
        device_free();
    }
}
END_TEST

/* Row r by itself: the host knows of no other. */
static eet_attention_args row_alone(const eet_attention_args *all, const eet_attention_args *host,
                                    const shape *s, int32_t r) {
    const int64_t bytes = eet_float_bytes(host->dtype);
    const int64_t first = host->q_start[r];
    const int32_t q_start[2] = {0, s->queries[r]};
    eet_attention_args one = *all;

    one.q = (const char *)all->q + first * all->q_stride * bytes;
    one.rows = 1;
    one.tokens = one.longest_q = s->queries[r];
    one.longest_kv = s->keys[r] > 0 ? s->keys[r] : 1;
    one.q_start = device_up(q_start, sizeof q_start);
    one.kv_start += r;
    if (is_beside(s)) {
        one.kv_start = one.q_start;
        one.k = (const char *)all->k + first * all->kv_stride * bytes;
        one.v = (const char *)all->v + first * all->kv_stride * bytes;
    }
    one.kv_length += r;
    one.page_table = s->paged ? all->page_table + (int64_t)r * all->table_stride : NULL;
    return one;
}

/* In both families, with one scratch for all calls. */
START_TEST(a_row_of_attention_is_the_same_alone_in_every_dtype)
{
    const shape *s = &shapes[_i];

    for (int32_t i = 0; i < COMBINATIONS; ++i) {
        const kind k = kind_of(i);

        if (!is_tried(s, k) || (s->large && (k.dtype == EET_F32 || k.pages != k.dtype))) {
            continue;
        }
        lab_seed((uint64_t)i);
        const eet_attention_args host = make_args(s, k);
        const int64_t row_bytes = (int64_t)s->heads * s->head_dim * eet_float_bytes(k.dtype);
        const int64_t bytes = host.tokens * row_bytes;
        const eet_attention_args all = on_device(s, &host);
        void *together = lab_block(bytes);
        void *alone = lab_block(bytes);

        ON_DEVICE(attention, &all);
        device_down(together, all.y, bytes);
        void *y = device_up(alone, bytes);

        for (int32_t r = 0; r < s->rows; ++r) {
            if (s->queries[r] > 0) {
                eet_attention_args one = row_alone(&all, &host, s, r);

                one.y = (char *)y + host.q_start[r] * row_bytes;

                ON_DEVICE(attention, &one);
            }
        }
        device_down(alone, y, bytes);
        ck_assert_msg(memcmp(alone, together, (size_t)bytes) == 0,
                      "shape %d, dtypes %d and %d, family %d", _i, k.dtype, k.pages, k.family);
        device_free();
    }
}
END_TEST

/* A number that shows wherever it has a part. */
static void spoil(void *data, int32_t dtype, int64_t at) {
    eet_float_put(data, dtype, at, at % 2 == 0 ? NAN : INFINITY);
}

/* What no query of the call sees: keys and values behind each row's, other pages and layers. */
static void spoil_pages(const eet_attention_args *host) {
    const eet_pages *p = &host->pages;
    const int64_t head = (int64_t)EET_PAGE_TOKENS * p->dp;
    uint8_t *seen = lab_block(p->pages); /* keys of each page */

    memset(seen, 0, (size_t)p->pages);
    for (int32_t r = 0; r < host->rows; ++r) {
        for (int32_t at = 0; at < host->kv_length[r]; ++at) {
            const int64_t entry = (int64_t)r * host->table_stride + at / EET_PAGE_TOKENS;

            seen[host->page_table[entry]] = (uint8_t)(at % EET_PAGE_TOKENS + 1);
        }
    }
    for (int64_t at = 0; at < eet_page_at(p, p->layers, 0, 0, 0, 0); ++at) {
        const int64_t page = at / head / p->heads / 2;

        if (page / p->pages != host->layer || at % head / p->dp >= seen[page % p->pages]) {
            spoil(p->data, p->dtype, at);
        }
    }
}

/* Keys and values of all rows but the first. */
static void spoil_packed(const eet_attention_args *host, void *k, void *v) {
    const int32_t last = host->rows - 1;
    const int64_t begin = host->kv_start[0] + host->kv_length[0];
    const int64_t end = host->kv_start[last] + host->kv_length[last];

    for (int64_t at = begin * host->kv_stride; at < end * host->kv_stride; ++at) {
        spoil(k, host->dtype, at);
        spoil(v, host->dtype, at);
    }
}

/* The same call again over other keys and values. */
static eet_attention_args spoiled(const eet_attention_args *got, const eet_attention_args *host) {
    const int32_t last = host->rows - 1;
    const int64_t keys = host->kv_start[last] + host->kv_length[last];
    const int64_t count = keys * host->kv_stride;
    const int64_t bytes = count * eet_float_bytes(host->dtype);
    eet_attention_args a = *got;

    if (host->k == NULL) {
        spoil_pages(host);
        a.pages = device_pages(host->pages);
        return a;
    }
    void *k = lab_block(bytes);
    void *v = lab_block(bytes);

    memcpy(k, host->k, (size_t)bytes);
    memcpy(v, host->v, (size_t)bytes);
    spoil_packed(host, k, v);
    a.k = device_up(k, bytes);
    a.v = device_up(v, bytes);
    return a;
}

/* Pages: all rows; packed: the first row, whose neighbours' keys are spoilt. */
START_TEST(keys_that_no_query_sees_leave_no_trace)
{
    const shape *s = &shapes[_i];

    for (int32_t i = 0; i < COMBINATIONS && !s->large && s->keys[0] < LONG; ++i) {
        const kind k = kind_of(i);

        if (!is_tried(s, k)) {
            continue;
        }
        lab_seed((uint64_t)i);
        const eet_attention_args host = make_args(s, k);
        const int64_t tokens = s->paged ? host.tokens : s->queries[0];
        const int64_t row_bytes = (int64_t)s->heads * s->head_dim * eet_float_bytes(k.dtype);
        const eet_attention_args got = on_device(s, &host);
        void *before = lab_block(host.tokens * row_bytes);
        void *after = lab_block(host.tokens * row_bytes);

        ON_DEVICE(attention, &got);
        device_down(before, got.y, host.tokens * row_bytes);
        const eet_attention_args again = spoiled(&got, &host);

        ON_DEVICE(attention, &again);
        device_down(after, again.y, host.tokens * row_bytes);
        ck_assert_msg(memcmp(before, after, (size_t)(tokens * row_bytes)) == 0,
                      "shape %d, dtypes %d and %d, family %d", _i, k.dtype, k.pages, k.family);
        device_free();
    }
}
END_TEST

const eet_claim *attention_claims(void) {
    static eet_claim claims[ATTENTION_CLAIMS];

    claims[0] =
        (eet_claim){.test = attention_of_every_dtype_agrees_with_the_reference, .rows = SHAPES};
    claims[1] =
        (eet_claim){.test = a_row_of_attention_is_the_same_alone_in_every_dtype, .rows = SHAPES};
    claims[2] = (eet_claim){.test = keys_that_no_query_sees_leave_no_trace, .rows = SHAPES};
    return claims;
}
