/* device.c - opens a model where the options say. */
#include "engine/commands/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t eet_dtype_parse(const char *text, size_t bytes) {
    static const int32_t dtypes[] = {EET_F32, EET_F16, EET_BF16};

    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; ++i) {
        const char *known = eet_dtype_name((eet_dtype)dtypes[i]);

        if (strlen(known) == bytes && memcmp(known, text, bytes) == 0) {
            return dtypes[i];
        }
    }
    return 0;
}

/* The number after "cuda:", digits alone. */
static bool parse_index(const char *text, int32_t *out) {
    char *end = NULL;

    if (*text < '0' || *text > '9' || strlen(text) > 4) {
        return false;
    }
    *out = (int32_t)strtol(text, &end, 10);
    return *end == '\0';
}

eet_status eet_device_parse(const char *text, eet_model_options *out, bool *fall_back,
                            eet_error *err) {
    static const char cuda[] = "cuda";
    const size_t length = sizeof cuda - 1;

    out->device = EET_CUDA;
    out->device_index = 0;
    *fall_back = text == NULL || strcmp(text, "auto") == 0;
    if (*fall_back || strcmp(text, cuda) == 0) {
        return EET_OK;
    }
    if (strcmp(text, "cpu") == 0) {
        out->device = EET_HOST;
        return EET_OK;
    }
    if (strncmp(text, cuda, length) == 0 && text[length] == ':' &&
        parse_index(text + length + 1, &out->device_index)) {
        return EET_OK;
    }
    return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                    "--device: \"%s\" is no device; auto, cpu, cuda and cuda:N are", text);
}

eet_status eet_device_open(const char *path, const char *device, const char *dtype, eet_model **out,
                           eet_error *err) {
    eet_model_options options = {
        .size = sizeof options,
        .dtype = dtype != NULL ? eet_dtype_parse(dtype, strlen(dtype)) : 0,
    };
    bool fall_back = false;
    eet_status status = eet_device_parse(device, &options, &fall_back, err);

    if (status == EET_OK) {
        status = eet_model_open(path, &options, out, err);
    }
    if (status == EET_E_DEVICE && fall_back) {
        options.device = EET_HOST;
        status = eet_model_open(path, &options, out, err);
    }
    return status;
}

static double mebibytes(uint64_t bytes) {
    return (double)bytes / (1 << 20);
}

void eet_device_tell_memory(const eet_session *session) {
    eet_memory_use use = {.size = sizeof use};

    if (session == NULL || eet_session_memory(session, &use, NULL) != EET_OK) {
        return;
    }
    (void)fprintf(
        stderr, "memory, in MiB: weights %.1f, cache %.1f, workspace %.1f, the session's own %.1f",
        mebibytes(use.weights_bytes), mebibytes(use.cache_bytes), mebibytes(use.workspace_bytes),
        mebibytes(use.host_bytes));
    if (use.free_bytes > 0) {
        (void)fprintf(stderr, "; on the device graphs %.1f, CUDA and others %.1f, free %.1f",
                      mebibytes(use.graphs_bytes), mebibytes(use.library_bytes),
                      mebibytes(use.free_bytes));
    }
    (void)fputc('\n', stderr);
}
