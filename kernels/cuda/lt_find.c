/* lt_find.c - where cuBLASLt is: the file that EET_CUBLASLT names; or, where that says "on", what
 * the process has loaded, beside the backend, in a wheel of NVIDIA's, on the system.
 *
 * Nobody gets it unasked: in a decoder over an encoder of 16 bits the same rows got other bits in
 * another batch (gpu_check schedules.encode_decoder, H200, 2026-11-26), which the trial of lt.c
 * did not show. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/lt.h"

enum { PATH_BYTES = 4096 };

/* Beside the backend, or where a wheel of NVIDIA's is when the backend is in a package. */
static void *open_beside(const char *name) {
    static const char *const places[] = {"", "../nvidia/cu13/lib/", "../nvidia/cublas/lib/"};
    void *(*const us)(void) = eet_lt_find;
    void *here = NULL;
    void *library = NULL;
    Dl_info info;

    memcpy(&here, &us, sizeof here);
    if (dladdr(here, &info) == 0 || info.dli_fname == NULL) {
        return NULL;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const int folder = slash != NULL ? (int)(slash - info.dli_fname) : 0;

    for (size_t i = 0; slash != NULL && library == NULL && i < sizeof places / sizeof *places;
         ++i) {
        char path[PATH_BYTES];
        const int length =
            snprintf(path, sizeof path, "%.*s/%s%s", folder, info.dli_fname, places[i], name);

        if (length > 0 && length < PATH_BYTES) {
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        }
    }
    return library;
}

void *eet_lt_find(void) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    const char *named = getenv("EET_CUBLASLT");
    void *library = NULL;

    if (named == NULL || *named == '\0' || strcmp(named, "off") == 0) {
        return NULL;
    }
    if (strcmp(named, "on") != 0) {
        return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    }
    for (int i = 0; i < 2 && library == NULL; ++i) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    }
    if (library == NULL) {
        library = open_beside(names[0]);
    }
    return library != NULL ? library : dlopen(names[0], RTLD_NOW | RTLD_LOCAL);
}
