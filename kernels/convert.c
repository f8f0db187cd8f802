/* convert.c - numbers in another dtype, rounded to nearest even: reference and cost. */
#include "format/half.h"
#include "kernels/reference.h"

bool eet_convert_is_known(const eet_convert_args *a) {
    return (eet_is_float(a->from) || a->from == EET_F64) && eet_is_float(a->to);
}

eet_status eet_convert_ref(eet_backend *backend, const eet_convert_args *a) {
    (void)backend;
    if (!eet_convert_is_known(a)) {
        return EET_E_UNSUPPORTED;
    }
    for (int64_t i = 0; i < a->count; ++i) {
        if (a->from != EET_F64) {
            eet_float_put(a->y, a->to, i, eet_float_at(a->x, a->from, i));
        } else if (a->to == EET_F32) {
            ((float *)a->y)[i] = (float)((const double *)a->x)[i];
        } else {
            eet_float_put(a->y, a->to, i, eet_f64_to_odd_f32(((const double *)a->x)[i]));
        }
    }
    return EET_OK;
}

eet_cost eet_convert_cost(const eet_convert_args *a) {
    const int32_t bytes = eet_float_bytes(a->from) + eet_float_bytes(a->to);

    return (eet_cost){.flops = 0.0, .bytes = (double)a->count * bytes};
}
