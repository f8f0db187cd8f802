/* attention.c - attention on the device in both families and every dtype: against the reference,
 * and a row alone against the row among others, to the bit. */
#include <math.h>

#include "tests/cuda/device.h"
#include "tests/kernels/lab.h"

enum { ROWS = 5, COMBINATIONS = 18, LONG = 16384 };

typedef struct shape {
    int32_t rows;
    int32_t queries[ROWS], keys[ROWS];
    int32_t heads, head_dim;
    bool causal, paged;
    int32_t apart; /* elements between tokens besides what there is */
    bool large;    /* too large for the reference */
} shape;

static const shape shapes[] = {
    /* one key; parts of 256 keys and pages of 64, one less, full, one more */
    {.rows = 1, .queries = {1}, .keys = {1}, .heads = 1, .head_dim = 64, .paged = true},
    {.rows = 5,
     .queries = {1, 1, 1, 1, 1},
     .keys = {63, 64, 65, 256, 257},
     .heads = 3,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 4,
     .queries = {8, 1, 5, 2},
     .keys = {8, 255, 513, 66},
     .heads = 2,
     .head_dim = 26,
     .causal = true,
     .paged = true},
    /* every size of head that is told apart */
    {.rows = 2,
     .queries = {7, 1},
     .keys = {300, 90},
     .heads = 2,
     .head_dim = 32,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {40, 9}, .keys = {70, 129}, .heads = 2, .head_dim = 72, .paged = true},
    {.rows = 2, .queries = {33, 9}, .keys = {70, 129}, .heads = 2, .head_dim = 80, .causal = true},
    {.rows = 2, .queries = {3, 33}, .keys = {300, 129}, .heads = 2, .head_dim = 96, .paged = true},
    {.rows = 2,
     .queries = {17, 9},
     .keys = {281, 9},
     .heads = 2,
     .head_dim = 128,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {3, 20}, .keys = {65, 33}, .heads = 1, .head_dim = 136, .paged = true},
    {.rows = 2,
     .queries = {2, 31},
     .keys = {270, 97},
     .heads = 2,
     .head_dim = 256,
     .causal = true,
     .paged = true},
    {.rows = 1, .queries = {5}, .keys = {70}, .heads = 1, .head_dim = 300, .paged = true},
    {.rows = 2, .queries = {4, 3}, .keys = {70, 3}, .heads = 3, .head_dim = 1, .causal = true},
    /* packed: rows that are no multiple of 16 bytes apart, none, many */
    {.rows = 3, .queries = {65, 0, 130}, .keys = {65, 0, 130}, .heads = 2, .head_dim = 26},
    {.rows = 3, .queries = {5, 1, 30}, .keys = {9, 300, 129}, .heads = 2, .head_dim = 64},
    {.rows = 3,
     .queries = {63, 1, 64},
     .keys = {63, 128, 65},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .apart = 1},
    {.rows = 2,
     .queries = {129, 200},
     .keys = {129, 200},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .apart = 8},
    /* rows without queries, without keys; queries that see none */
    {.rows = 5,
     .queries = {0, 2, 0, 3, 0},
     .keys = {0, 70, 5, 1, 0},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {3, 2}, .keys = {0, 400}, .heads = 2, .head_dim = 40, .paged = true},
    /* 16,384 keys */
    {.rows = 2,
     .queries = {1, 2},
     .keys = {16384, 700},
     .heads = 2,
     .head_dim = 64,
     .causal = true,
     .paged = true},
    {.rows = 2, .queries = {70, 3}, .keys = {16384, 5}, .heads = 1, .head_dim = 64, .causal = true},
    /* larger tiles of queries */
    {.rows = 4,
     .queries = {900, 1, 1000, 1100},
     .keys = {900, 900, 1300, 1100},
     .heads = 12,
     .head_dim = 64,
     .causal = true,
     .paged = true,
     .large = true},
    {.rows = 3,
     .queries = {2100, 70, 1000},
     .keys = {2100, 70, 1000},
     .heads = 12,
     .head_dim = 32,
     .large = true},
    {.rows = 5,
     .queries = {2100, 70, 1, 1000, 63},
     .keys = {2100, 70, 1, 1000, 63},
     .heads = 12,
     .head_dim = 64,
     .apart = 8,
     .large = true},
    {.rows = 3,
     .queries = {1500, 70, 1000},
     .keys = {1500, 90, 1065},
     .heads = 16,
     .head_dim = 128,
     .causal = true,
     .paged = true,
     .large = true},
    /* packed as a model has them: each query beside its key */
    {.rows = 5,
     .queries = {64, 1, 63, 0, 129},
     .keys = {64, 1, 63, 0, 129},
     .heads = 3,
     .head_dim = 64},
    {.rows = 2,
     .queries = {70, 193},
     .keys = {70, 193},
     .heads = 2,
     .head_dim = 128,
     .causal = true},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 20}, .heads = 2, .head_dim = 104},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 20}, .heads = 3, .head_dim = 40, .causal = true},
    {.rows = 2, .queries = {90, 20}, .keys = {90, 84}, .heads = 3, .head_dim = 40, .paged = true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* One of COMBINATIONS: the dtypes of activations and of pages, and the family. */
typedef struct kind {
    int32_t dtype, pages, family;
} kind;

static kind kind_of(int32_t i) {
    return (kind){EET_F32 + i % 3, EET_F32 + i / 3 % 3, i / 9};
}

static int32_t tokens_of(const shape *s) {
    int32_t tokens = 0;

    for (int32_t r = 0; r < s->rows; ++r) {
        tokens += s->queries[r];
    }
    return tokens;
}

static bool is_tried(const shape *s, kind k) {
    const bool few = tokens_of(s) <= EET_FEW_TOKENS;

    return (k.family == EET_MANY || few) && (s->paged || k.pages == k.dtype);
}

/* Packed, and each query beside its own key: kv_start is q_start, as a model's is. */
static bool is_beside(const shape *s) {
    bool same = !s->paged;

    for (int32_t r = 0; r < s->rows; ++r) {
        same = same && s->queries[r] == s->keys[r];
    }
    return same;
}

/* Arguments on the host, with numbers of the dtypes that the device takes. */
static eet_attention_args make_args(const shape *s, kind k) {
    const int32_t width = s->heads * s->head_dim;
    int32_t *q_start = lab_block((ROWS + 1) * 4);
    int32_t *kv_start = lab_block(ROWS * 4);
    eet_attention_args a = {
        .q_stride = 3 * width + s->apart,
        .kv_stride = 2 * width + s->apart,
        .kv_start = kv_start,
        .layer = 1,
        .rows = s->rows,
        .q_start = q_start,
        .kv_length = s->keys,
        .heads = s->heads,
        .head_dim = s->head_dim,
        .scale = 1.0F / sqrtf((float)s->head_dim),
        .causal = s->causal,
        .dtype = k.dtype,
        .family = k.family,
        .tokens = tokens_of(s),
        .longest_kv = 1,
    };
    int32_t keys = 0;

    q_start[0] = 0;
    for (int32_t r = 0; r < s->rows; ++r) {
        q_start[r + 1] = q_start[r] + s->queries[r];
        kv_start[r] = keys;
        keys += s->keys[r];
        a.longest_q = a.longest_q > s->queries[r] ? a.longest_q : s->queries[r];
        a.longest_kv = a.longest_kv > s->keys[r] ? a.longest_kv : s->keys[r];
    }
    a.q = lab_array(a.tokens * a.q_stride, k.dtype, LAB_PLAIN);
    if (s->paged) {
        a.table_stride = (a.longest_kv + EET_PAGE_TOKENS - 1) / EET_PAGE_TOKENS;
        a.pages = lab_pages(s->rows * a.table_stride, 2, s->heads, s->head_dim, k.pages);
        a.page_table = lab_page_table(s->rows, a.table_stride);
    } else {
        a.k = lab_array(keys * a.kv_stride, k.dtype, LAB_PLAIN);
        a.v = lab_array(keys * a.kv_stride, k.dtype, LAB_PLAIN);
    }
    return a;
}

static eet_attention_args on_device(const shape *s, const eet_attention_args *host) {
    const int64_t bytes = eet_float_bytes(host->dtype);
    const int64_t y_bytes = (int64_t)host->tokens * host->heads * host->head_dim * bytes;
    const int64_t scratch =
        eet_attention_scratch(host->tokens, host->heads, host->head_dim, host->longest_kv);
    const int64_t keys = host->kv_start[host->rows - 1] + host->kv_length[host->rows - 1];
    eet_attention_args a = *host;
    void *zeros = lab_block(scratch);

    memset(zeros, 0, (size_t)scratch);
    a.q = device_up(a.q, a.tokens * a.q_stride * bytes);
    a.k = device_up(a.k, keys * a.kv_stride * bytes);
    a.v = device_up(a.v, keys * a.kv_stride * bytes);
    a.pages = device_pages(a.pages);
    a.page_table = device_up(a.page_table, (int64_t)a.rows * a.table_stride * 4);
    a.q_start = device_up(a.q_start, (a.rows + 1) * (int64_t)4);
    a.kv_start = is_beside(s) ? a.q_start : device_up(a.kv_start, a.rows * (int64_t)4);
    a.kv_length = device_up(a.kv_length, a.rows * (int64_t)4);
    a.y = device_up(lab_block(y_bytes), y_bytes);
    a.scratch = device_up(zeros, scratch);
    return a;
}

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
