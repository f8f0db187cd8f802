/* export.c - the keys and values of a sequence, out of its pages. */
#include <stddef.h>
#include <string.h>

#include "engine/run.h"
#include "format/half.h"

/* Where an array's row of (head, token) begins. */
static char *row_of(const eet_array *a, int64_t head, int64_t token) {
    const int64_t heads = a->stride[0] != 0 ? a->stride[0] : a->shape[1] * a->shape[2];
    const int64_t tokens = a->stride[0] != 0 ? a->stride[1] : a->shape[2];

    return (char *)a->data + (head * heads + token * tokens) * (int64_t)eet_float_bytes(a->dtype);
}

/* E_ARGUMENT unless it has room for the sequence: (heads, tokens, head_dim) on the host. */
static eet_status check_array(const eet_session *s, const eet_array *a, const char *name,
                              int32_t length, eet_error *err) {
    const eet_pages *p = &s->cache.pages;

    if (a->rank != 3 || a->shape[0] != p->heads || a->shape[1] != length ||
        a->shape[2] != p->head_dim) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "%s has to be of shape (%d, %d, %d)",
                        name, (int)p->heads, (int)length, (int)p->head_dim);
    }
    if ((a->dtype != p->dtype && a->dtype != EET_F32) || a->memory != EET_HOST) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s has to be f32, or %s as the cache, in the host's memory", name,
                        eet_dtype_name((eet_dtype)p->dtype));
    }
    const bool dense = a->stride[0] == 0 && a->stride[1] == 0 && a->stride[2] == 0;

    if ((!dense && a->stride[2] != 1) || (a->data == NULL && length > 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "%s has no memory, or gaps between the elements of a row", name);
    }
    return EET_OK;
}

/* `count` tokens of a page from its first one, for one head: rows without padding between them go
 * at once. What is to be widened goes to the end of its row. */
static eet_status download_rows(eet_session *s, const eet_array *a, int64_t at, int32_t head,
                                int32_t first, int32_t count) {
    const eet_pages *p = &s->cache.pages;
    const int64_t width = eet_float_bytes(p->dtype);
    const int64_t more = p->head_dim * (eet_float_bytes(a->dtype) - width);
    const bool whole =
        p->dp == p->head_dim && row_of(a, 0, 1) - row_of(a, 0, 0) == p->head_dim * width;
    const int32_t step = whole ? count : 1;
    eet_status status = EET_OK;

    for (int32_t i = 0; i < count && status == EET_OK; i += step) {
        status = s->api->download_later(s->backend, row_of(a, head, first + i) + more,
                                        (const char *)p->data + (at + (int64_t)i * p->dp) * width,
                                        (uint64_t)step * (uint64_t)(p->head_dim * width));
    }
    return status;
}

static eet_status download(eet_session *s, int32_t id, int32_t layer, int32_t kv,
                           const eet_array *a) {
    const eet_pages *p = &s->cache.pages;
    const int32_t length = s->cache.sequence[id].length;
    eet_status status = EET_OK;

    for (int32_t first = 0; first < length && status == EET_OK; first += EET_PAGE_TOKENS) {
        const int32_t page = (int32_t)(eet_cache_slot(&s->cache, id, first) / EET_PAGE_TOKENS);
        const int32_t left = length - first;
        const int32_t count = left < EET_PAGE_TOKENS ? left : EET_PAGE_TOKENS;

        for (int32_t head = 0; head < p->heads && status == EET_OK; ++head) {
            status =
                download_rows(s, a, eet_page_at(p, layer, page, kv, head, 0), head, first, count);
        }
    }
    return status;
}

/* f16 or bf16 at the end of each row, which f32 is to fill. */
static void widen(const eet_session *s, const eet_array *a) {
    const eet_pages *p = &s->cache.pages;
    const int64_t rows = a->dtype != p->dtype ? a->shape[0] * a->shape[1] : 0;

    for (int64_t row = 0; row < rows; ++row) {
        char *to = row_of(a, row / a->shape[1], row % a->shape[1]);
        const char *from = to + p->head_dim * (int64_t)sizeof(uint16_t);

        for (int64_t i = 0; i < p->head_dim; ++i) { /* what is read last lies where it goes */
            uint16_t half = 0;

            memcpy(&half, from + i * (int64_t)sizeof half, sizeof half);
            const float x = p->dtype == EET_F16 ? eet_f16_to_f32(half) : eet_bf16_to_f32(half);

            memcpy(to + i * (int64_t)sizeof x, &x, sizeof x);
        }
    }
}

eet_status eet_export_run(eet_session *s, int32_t id, int32_t layer, const eet_array *keys,
                          const eet_array *values, eet_error *err) {
    const int32_t length = s->cache.sequence[id].length;
    eet_status status = EET_OK;

    if (layer < 0 || layer >= s->cache.pages.layers) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no layer %d; there are %d",
                        (int)layer, (int)s->cache.pages.layers);
    }
    if (keys != NULL) {
        status = check_array(s, keys, "keys", length, err);
    }
    if (status == EET_OK && values != NULL) {
        status = check_array(s, values, "values", length, err);
    }
    if (status != EET_OK) {
        return status;
    }
    if (keys != NULL) {
        status = download(s, id, layer, 0, keys);
    }
    if (status == EET_OK && values != NULL) {
        status = download(s, id, layer, 1, values);
    }
    if (status == EET_OK) {
        status = s->api->sync(s->backend);
    }
    if (status != EET_OK) {
        return eet_fail(err, status, EET_NOWHERE, "keys and values do not come from the %s backend",
                        s->api->name);
    }
    if (keys != NULL) {
        widen(s, keys);
    }
    if (values != NULL) {
        widen(s, values);
    }
    return EET_OK;
}
