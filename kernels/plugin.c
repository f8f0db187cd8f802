/* plugin.c - a backend in a shared library of its own: found, and checked to be of this build. */
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "kernels/backend.h"
#include "kernels/refuse.h"

/* The size and the digest come first in every version of the struct. */
static eet_status check(const char *path, const eet_backend_api *api, eet_error *error) {
    if (api == NULL || api->size < offsetof(eet_backend_api, name)) {
        return eet_refuse(error, "%.300s is not a backend of EET", path);
    }
    if (memcmp(api->interface, EET_INTERFACE, sizeof EET_INTERFACE) != 0) {
        return eet_refuse(error, "%.200s is of another build: interface %.64s, against %s", path,
                          api->interface, EET_INTERFACE);
    }
    return EET_OK;
}

eet_status eet_plugin_load(const char *path, const eet_backend_api **out, eet_error *error) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        const char *why = dlerror();

        return eet_refuse(error, "%.200s cannot be loaded: %.250s", path, why != NULL ? why : "");
    }
    eet_backend_entry_fn entry = NULL;
    void *symbol = dlsym(library, "eet_backend_entry");

    memcpy(&entry, &symbol, sizeof entry);
    const eet_backend_api *api = entry != NULL ? entry() : NULL;
    const eet_status status = check(path, api, error);

    if (status != EET_OK) {
        (void)dlclose(library);
        return status;
    }
    *out = api;
    return EET_OK;
}
