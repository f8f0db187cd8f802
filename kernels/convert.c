/* convert.c - numbers in another dtype, rounded to nearest even: reference and cost. */
#include "format/half.h"
#include "kernels/reference.h"

eet_status eet_convert_ref(eet_backend *backend, const eet_convert_args *a) {
    (void)backend;
    if (!eet_convert_is_known(a)) {
        return EET_E_UNSUPPORTED;
    }
    for (int64_t i = 0; i < a->count; ++i) {
        eet_number_convert(a->y, a->to, a->x, a->from, i);
    }
    return EET_OK;
}

eet_cost eet_convert_cost(const eet_convert_args *a) {
    const int32_t bytes = eet_float_bytes(a->from) + eet_float_bytes(a->to);

    return (eet_cost){.flops = 0.0, .bytes = (double)a->count * bytes};
}
