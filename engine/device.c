/* device.c - finds the library of a device's backend. */
#include "engine/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/types.h"

enum { PATH_BYTES = 4096 };

static const char plugin_name[] = "libeet_cuda.so";

/* Is there a plugin in `folder`, given with its length? Its path goes to `out`. */
static bool plugin_in(const char *folder, size_t length, char *out) {
    const int bytes = snprintf(out, PATH_BYTES, "%.*s/%s", (int)length, folder, plugin_name);

    return bytes > 0 && bytes < PATH_BYTES && access(out, F_OK) == 0;
}

/* Beside the library or the program that this function is in. */
static bool plugin_beside_us(char *out) {
    Dl_info info;
    void *here = NULL;
    eet_status (*const us)(int32_t, const eet_backend_api **, eet_error *) = eet_device_find;

    memcpy(&here, &us, sizeof here);
    if (dladdr(here, &info) == 0 || info.dli_fname == NULL) {
        return false;
    }
    const char *slash = strrchr(info.dli_fname, '/');

    return slash != NULL && plugin_in(info.dli_fname, (size_t)(slash - info.dli_fname), out);
}

static bool find_plugin(char *out) {
    const char *named = getenv("EET_BACKEND_PATH");

    if (plugin_beside_us(out)) {
        return true;
    }
    if (named == NULL || *named == '\0' || strlen(named) >= PATH_BYTES) {
        return false;
    }
    if (plugin_in(named, strlen(named), out)) {
        return true;
    }
    (void)snprintf(out, PATH_BYTES, "%s", named);
    return access(out, F_OK) == 0;
}

eet_status eet_device_find(int32_t device, const eet_backend_api **out, eet_error *err) {
    char path[PATH_BYTES];

    if (device == EET_HOST) {
        *out = eet_backend_cpu();
        return EET_OK;
    }
    if (device != EET_CUDA) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no device of kind %d",
                        (int)device);
    }
    if (!find_plugin(path)) {
        return eet_fail(err, EET_E_DEVICE, EET_NOWHERE,
                        "there is no CUDA backend here: %s is not beside libeet.so, nor does "
                        "EET_BACKEND_PATH name it; the CPU needs none",
                        plugin_name);
    }
    return eet_plugin_load(path, out, err);
}

bool eet_device_is_here(int32_t device, pid_t process) {
    return device == EET_HOST || process == getpid();
}

eet_status eet_device_denied(const eet_backend_api *api, eet_backend *backend) {
    return *api->why(backend) != '\0' ? EET_E_DEVICE : EET_E_MEMORY;
}

eet_status eet_device_fail(const eet_backend_api *api, eet_backend *backend, int32_t device_index,
                           eet_error *err) {
    return eet_fail(err, EET_E_DEVICE, EET_NOWHERE, "%s:%d fails: %s", api->name, (int)device_index,
                    api->why(backend));
}

void eet_device_blame(const eet_backend_api *api, eet_backend *backend, eet_error *err) {
    const char *why = api->why(backend);
    const size_t said = strlen(err->text);

    if (*why != '\0' && strstr(err->text, why) == NULL) {
        (void)snprintf(err->text + said, sizeof err->text - said, " (%s)", why);
    }
}
