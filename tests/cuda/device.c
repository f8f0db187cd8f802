/* device.c - operands of the tests on a CUDA device and back. */
#include "tests/cuda/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/kernels/lab.h"

enum { MAX_HELD = 256, PATH_BYTES = 4096 };

static const eet_backend_api *api;
static eet_backend *backend;
static void *held[MAX_HELD];
static int32_t held_count;

#ifndef EET_LINKED
static void find_plugin(char *path) {
    const char *given = getenv("EET_BACKEND_PATH");
    ssize_t length = 0;

    if (given != NULL) {
        (void)snprintf(path, PATH_BYTES, "%s", given);
        return;
    }
    length = readlink("/proc/self/exe", path, PATH_BYTES - 32);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');

    (void)snprintf(slash != NULL ? slash + 1 : path, 32, "libeet_cuda.so");
}
#endif

bool device_open(void) {
    eet_error error = {0};
    const eet_backend_options options = {.error = &error};

#ifdef EET_LINKED
    api = eet_backend_entry();
#else
    char path[PATH_BYTES];

    find_plugin(path);
    if (eet_plugin_load(path, &api, &error) != EET_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(EXIT_FAILURE); /* a backend that is not there is no reason to skip */
    }
#endif
    if (api->open(&options, &backend) != EET_OK) {
        (void)printf("skipped: no CUDA device (%s)\n", error.text);
        return false;
    }
    return true;
}

void device_close(void) {
    api->close(backend);
}

static void *hold(void *block) {
    ck_assert_ptr_nonnull(block);
    ck_assert_int_lt(held_count, MAX_HELD);
    held[held_count++] = block;
    return block;
}

void *device_up(const void *host, int64_t bytes) {
    if (host == NULL) {
        return NULL;
    }
    void *block = hold(api->alloc(backend, (uint64_t)bytes));

    ck_assert_int_eq(api->upload(backend, block, host, (uint64_t)bytes), EET_OK);
    return block;
}

eet_norm_weights device_norm(eet_norm_weights norm, int32_t cols) {
    norm.weight = device_up(norm.weight, (int64_t)cols * 4);
    norm.bias = device_up(norm.bias, (int64_t)cols * 4);
    return norm;
}

eet_matrix device_matrix(eet_matrix host) {
    eet_matrix placed = {0};

    ck_assert_int_eq(api->place(backend, &host, host.dtype, &placed), EET_OK);
    ck_assert_int_eq(api->sync(backend), EET_OK);
    if (placed.data != NULL) {
        void *block = NULL;

        memcpy(&block, &placed.data, sizeof block);
        (void)hold(block);
    }
    return placed;
}

int64_t pages_bytes(const eet_pages *pages) {
    return eet_page_at(pages, pages->layers, 0, 0, 0, 0) * eet_float_bytes(pages->dtype);
}

eet_pages device_pages(eet_pages host) {
    host.data = device_up(host.data, host.data != NULL ? pages_bytes(&host) : 0);
    return host;
}

void device_down(void *host, const void *device, int64_t bytes) {
    ck_assert_int_eq(api->download(backend, host, device, (uint64_t)bytes), EET_OK);
}

void device_free(void) {
    while (held_count > 0) {
        api->free(backend, held[--held_count]);
    }
    lab_free();
}

void *device_share(int64_t bytes) {
    void *shared = api->share(backend, (uint64_t)bytes);

    ck_assert_ptr_nonnull(shared);
    return shared;
}

void device_unshare(void *shared) {
    api->unshare(backend, shared);
}

eet_status device_wait(const uint64_t *word, uint64_t number) {
    return api->wait_for(backend, word, number);
}

const eet_ops *device_ops(void) {
    return api->ops(backend);
}

eet_backend *device_backend(void) {
    return backend;
}
