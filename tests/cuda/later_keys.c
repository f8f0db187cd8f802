/* later_keys.c - causal attention on the device: what only a row's later queries see leaves the
 * bits of the earlier ones as they are, also where it is no finite number. */
#include "tests/cuda/attention_shapes.h"

/* Every second column of a key (kv 0: NaN) or a value (NaN or infinite) of a row's. */
static void spoil_key(const eet_attention_args *host, int32_t row, int32_t key, int32_t kv) {
    const eet_pages *p = &host->pages;
    const int32_t dtype = host->k == NULL ? p->dtype : host->dtype;
    void *data = host->k == NULL ? p->data : (void *)(uintptr_t)(kv == 0 ? host->k : host->v);

    for (int32_t head = 0; head < host->heads; ++head) {
        int64_t at = (host->kv_start[row] + key) * host->kv_stride + (int64_t)head * host->head_dim;

        if (host->k == NULL) {
            const int32_t *pages = host->page_table + (int64_t)row * host->table_stride;

            at = eet_page_at(p, host->layer, pages[key / EET_PAGE_TOKENS], kv, head,
                             key % EET_PAGE_TOKENS);
        }
        for (int32_t column = 0; column < host->head_dim; column += 2) {
            eet_float_put(data, dtype, at + column,
                          kv == 0 || (key + column / 2) % 2 == 0 ? NAN : INFINITY);
        }
    }
}

/* Behind the first half of each row's queries the values of their own keys, and with `all` the
 * keys too. */
static void spoil_late(const eet_attention_args *host, bool all) {
    for (int32_t r = 0; r < host->rows; ++r) {
        const int32_t length = host->kv_length[r];
        const int32_t late = (host->q_start[r + 1] - host->q_start[r]) / 2;

        for (int32_t key = length > late ? length - late : 0; key < length; ++key) {
            spoil_key(host, r, key, 1);
            if (all) {
                spoil_key(host, r, key, 0);
            }
        }
    }
}

/* Of a row's queries the second half sees what spoil_late has put; it shows in their own columns,
 * or in all where keys are spoilt. */
static void check_late(const shape *s, const eet_attention_args *host, const void *before,
                       const void *after, bool all) {
    for (int32_t r = 0; r < s->rows; ++r) {
        for (int32_t query = 0; query < s->queries[r]; ++query) {
            const bool late = query >= s->queries[r] - s->queries[r] / 2;
            const bool seen = late && s->keys[r] > s->queries[r] - 1 - query;

            for (int32_t i = 0; i < s->heads * s->head_dim; ++i) {
                const int64_t at = (int64_t)(host->q_start[r] + query) * s->heads * s->head_dim + i;
                const double was = (double)eet_float_at(before, host->dtype, at);
                const double is = (double)eet_float_at(after, host->dtype, at);
                const bool spoilt = seen && (all || i % s->head_dim % 2 == 0);

                if (spoilt ? isfinite(is) : memcmp(&was, &is, sizeof is) != 0) {
                    ck_abort_msg("row %d, query %d, column %d: %.9g, then %.9g", r, query, i, was,
                                 is);
                }
            }
        }
    }
}

START_TEST(a_key_of_a_later_query_leaves_no_trace_in_an_earlier_one)
{
    const shape *s = &shapes[_i];

    for (int32_t i = 0; i < 2 * COMBINATIONS && s->causal && s->keys[0] < LONG; ++i) {
        const kind k = kind_of(i / 2);

        if (!is_tried(s, k) ||
            (s->large && (k.dtype != EET_F16 || k.pages != EET_F16 || i % 2 == 1))) {
            continue;
        }
        lab_seed((uint64_t)i);
        const eet_attention_args host = make_args(s, k);
        const int64_t bytes =
            (int64_t)host.tokens * s->heads * s->head_dim * eet_float_bytes(k.dtype);
        const eet_attention_args got = on_device(s, &host);
        void *before = lab_block(bytes);
        void *after = lab_block(bytes);

        ON_DEVICE(attention, &got);
        device_down(before, got.y, bytes);
        spoil_late(&host, i % 2 == 1);
        const eet_attention_args again = on_device(s, &host);

        ON_DEVICE(attention, &again);
        device_down(after, again.y, bytes);
        check_late(s, &host, before, after, i % 2 == 1);
        device_free();
    }
}
END_TEST

const eet_claim *later_key_claims(void) {
    static eet_claim claims[LATER_KEY_CLAIMS];

    claims[0] = (eet_claim){.test = a_key_of_a_later_query_leaves_no_trace_in_an_earlier_one,
                            .rows = SHAPES};
    return claims;
}
