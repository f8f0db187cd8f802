/* advance.c - the end of a step, for rows that go on without the host: reference and cost. */
#include "kernels/advance.h"

#include <stddef.h>

eet_status eet_advance_ref(eet_backend *backend, const eet_advance_args *a) {
    eet_step_end *end = eet_advance_end(a);
    const bool cancelled = eet_advance_is_cancelled(a);

    (void)backend;
    for (int32_t row = 0; row < a->rows; ++row) {
        end->row[row] = eet_advance_row(a, row);
        if (cancelled) {
            eet_advance_to_nobody(a, row);
        }
    }
    a->rules->steps += 1;
    __atomic_store_n(&end->number, a->rules->steps, __ATOMIC_RELEASE);
    return EET_OK;
}

/* A row is read and written once; a choice goes out. */
eet_cost eet_advance_cost(const eet_advance_args *a) {
    const double row = 2.0 * (double)sizeof(eet_going) + 3 * 4 + 8 + 2 * 4 + sizeof(eet_chosen);

    return (eet_cost){.bytes = a->rows * row};
}
