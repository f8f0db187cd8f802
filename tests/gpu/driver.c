/* driver.c - what CUDA's driver says, asked of it directly: its card, its memory. Only children
 * call it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "tests/gpu/gpu_check.h"

/* The function, in the driver that is loaded already, or now. */
static void *function(const char *name) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);

    return library != NULL ? dlsym(library, name) : NULL;
}

/* The word of the file that is a version, "580.159.04". */
static void driver_version(char *text, size_t room) {
    FILE *file = fopen("/proc/driver/nvidia/version", "r");
    char line[256] = "";

    (void)snprintf(text, room, "unknown");
    if (file == NULL) {
        return;
    }
    if (fgets(line, sizeof line, file) != NULL) {
        for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
            if (word[0] >= '0' && word[0] <= '9' && strchr(word, '.') != NULL) {
                (void)snprintf(text, room, "%s", word);
            }
        }
    }
    (void)fclose(file);
}

int gpu_child_probe(const char *report) {
    int (*init)(unsigned) = NULL;
    int (*count)(int *) = NULL;
    int (*name)(char *, int, int) = NULL;
    char card[128] = "";
    char version[64];
    int devices = 0;

    if (!gpu_report_open(report)) {
        return 3;
    }
    *(void **)(void *)&init = function("cuInit");
    *(void **)(void *)&count = function("cuDeviceGetCount");
    *(void **)(void *)&name = function("cuDeviceGetName");
    if (init == NULL || count == NULL || name == NULL) {
        gpu_tell("none", "there is no driver, libcuda.so.1", "", 0, "");
    } else if (init(0) != 0 || count(&devices) != 0 || devices == 0 ||
               name(card, sizeof card, 0) != 0) {
        gpu_tell("none", "the driver has no device", "", 0, "");
    } else {
        driver_version(version, sizeof version);
        gpu_tell("device", card, version, 0, "");
    }
    return 0;
}

/* Makes the context that the library uses current. */
static void enter_context(void) {
    int (*retain)(void **, int) = NULL;
    int (*set)(void *) = NULL;
    void *context = NULL;

    *(void **)(void *)&retain = function("cuDevicePrimaryCtxRetain");
    *(void **)(void *)&set = function("cuCtxSetCurrent");
    gpu_expect(retain != NULL && set != NULL && retain(&context, 0) == 0 && set(context) == 0,
               "the driver gives no context");
}

uint64_t gpu_device_free(void) {
    int (*info)(size_t *, size_t *) = NULL;
    size_t available = 0;
    size_t all = 0;

    if (gpu_here()->device != EET_CUDA) {
        return 0;
    }
    enter_context();
    *(void **)(void *)&info = function("cuMemGetInfo_v2");
    gpu_expect(info != NULL && info(&available, &all) == 0, "the driver does not tell its memory");
    return available;
}

void *gpu_device_alloc(size_t bytes) {
    int (*alloc)(void **, size_t) = NULL;
    void *memory = NULL;

    enter_context();
    *(void **)(void *)&alloc = function("cuMemAlloc_v2");
    gpu_expect(alloc != NULL && alloc(&memory, bytes) == 0, "the driver gives no %zu bytes", bytes);
    return memory;
}

/* An address that the driver keeps free of memory: any other may be somebody's. */
void *gpu_device_nowhere(size_t bytes) {
    int (*reserve)(void **, size_t, size_t, uint64_t, uint64_t) = NULL;
    void *nowhere = NULL;

    enter_context();
    *(void **)(void *)&reserve = function("cuMemAddressReserve");
    gpu_expect(reserve != NULL && reserve(&nowhere, bytes, 0, 0, 0) == 0,
               "the driver reserves no %zu bytes of addresses", bytes);
    return nowhere;
}

void gpu_device_read(void *host, const void *device, size_t bytes) {
    int (*copy)(void *, const void *, size_t) = NULL;

    enter_context();
    *(void **)(void *)&copy = function("cuMemcpyDtoH_v2");
    gpu_expect(copy != NULL && copy(host, device, bytes) == 0, "the driver copies nothing");
}
