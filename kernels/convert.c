/* convert.c - numbers in another dtype, rounded to nearest even: reference and cost. */
#include "format/half.h"
#include "kernels/reference.h"

/* Without a division for each element: the last axis is gone along. */
void eet_convert_some(const eet_convert_args *a, int64_t first, int64_t end) {
    const int64_t row = a->rank > 0 ? a->shape[a->rank - 1] : a->count;
    const int64_t x_step = a->rank > 0 ? a->x_stride[a->rank - 1] : 1;
    const bool listed = a->rank == 1 && a->y_at != NULL;
    const int64_t y_step = a->rank > 0 ? a->y_stride[a->rank - 1] : 1;

    for (int64_t i = first; i < end;) {
        eet_convert_place at = eet_convert_at(a, i);
        const int64_t left = listed ? 1 : row - i % row;
        const int64_t stop = left < end - i ? i + left : end;

        for (; i < stop; ++i) {
            eet_number_convert(a->y, a->to, at.to, a->x, a->from, at.from);
            at.from += x_step;
            at.to += y_step;
        }
    }
}

eet_status eet_convert_ref(eet_backend *backend, const eet_convert_args *a) {
    (void)backend;
    if (!eet_convert_is_known(a)) {
        return EET_E_UNSUPPORTED;
    }
    eet_convert_some(a, 0, a->count);
    return EET_OK;
}

static int32_t bytes_of(int32_t dtype) {
    if (dtype == EET_I32) {
        return 4;
    }
    return dtype == EET_I64 ? 8 : eet_float_bytes(dtype);
}

eet_cost eet_convert_cost(const eet_convert_args *a) {
    const int32_t bytes = bytes_of(a->from) + bytes_of(a->to);

    return (eet_cost){.flops = 0.0, .bytes = (double)a->count * bytes};
}
