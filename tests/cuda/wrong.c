/* wrong.c - a plugin of another build: all that is known of it is where its digest stands. */
#include "kernels/backend.h"

EET_API const eet_backend_api *eet_backend_entry(void) {
    static const eet_backend_api api = {.size = sizeof api, .interface = "0123abcd", .name = "no"};

    return &api;
}
