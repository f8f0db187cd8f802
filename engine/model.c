/* model.c - makes a model of an open file, and counts its owners. */
#include "engine/model.h"

#include <stdlib.h>
#include <unistd.h>

#include "engine/device.h"

static eet_status check_options(const eet_model_options *options, eet_error *err) {
    if ((options->device != EET_HOST && options->device != EET_CUDA) ||
        (options->device == EET_HOST && options->device_index != 0)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "there is no device %d:%d",
                        (int)options->device, (int)options->device_index);
    }
    if (options->dtype != 0 && !eet_is_float(options->dtype)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE,
                        "dtype is %d; f32, f16 and bf16 can be computed in", (int)options->dtype);
    }
    return EET_OK;
}

static eet_status open_backend(eet_model *model, const eet_model_options *wanted, eet_error *err) {
    const eet_backend_options options = {
        .threads = 1, .reference = true, .device = wanted->device_index, .error = err};
    eet_status status = eet_device_find(wanted->device, &model->api, err);

    model->dtype = wanted->dtype;
    model->device = wanted->device;
    model->device_index = wanted->device_index;
    if (status != EET_OK) {
        return status;
    }
    status = model->api->open(&options, &model->backend);
    if (status != EET_OK && model->device == EET_HOST) {
        return eet_fail(err, status, EET_NOWHERE, "the %s backend does not open", model->api->name);
    }
    return status; /* a plugin has said why */
}

eet_status eet_model_make(eet_file *file, const eet_model_options *options, eet_model **out,
                          eet_error *err) {
    eet_model *model = calloc(1, sizeof *model);

    if (model == NULL) {
        eet_file_close(file);
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for the model");
    }
    atomic_init(&model->references, 1);
    model->process = getpid();
    model->file = file;
    model->facts = eet_file_facts(file);
    model->log = eet_log_wanted();
    eet_status status = check_options(options, err);

    if (status == EET_OK) {
        status = open_backend(model, options, err);
    }
    if (status == EET_OK) { /* norms and biases, which stand far apart; a device wants it all */
        eet_file_read_ahead(file, model->device != EET_HOST);
        status = eet_model_bind(model, err);
        eet_file_read_ahead(file, true);
    }
    if (status == EET_OK) {
        status = eet_model_index(model, err);
    }
    if (status != EET_OK) {
        eet_model_release(model);
        return status;
    }
    eet_log(model->log, EET_LOG_INFO, "model: %d tensors, family %s, on %s:%d, weights %s",
            (int)eet_file_tensors(file), model->facts->family, model->api->name,
            (int)model->device_index,
            options->load == EET_LOAD_COPY || model->device != EET_HOST ? "copied" : "in place");
    *out = model;
    return EET_OK;
}

void eet_model_retain(eet_model *model) {
    (void)atomic_fetch_add(&model->references, 1);
}

void eet_model_release(eet_model *model) {
    if (model == NULL || atomic_fetch_sub(&model->references, 1) != 1) {
        return;
    }
    if (!eet_device_is_here(model->device, model->process)) {
        model->placed_count = 0;
        model->backend = NULL;
    }
    eet_model_unindex(model);
    eet_model_unbind(model);
    if (model->api != NULL && model->backend != NULL) {
        model->api->close(model->backend);
    }
    eet_file_close(model->file);
    free(model);
}

int32_t eet_model_first_stack(const eet_model *model) {
    return model->facts->stack[EET_ENC].present ? EET_ENC : EET_DEC;
}

int32_t eet_model_last_stack(const eet_model *model) {
    return model->facts->stack[EET_DEC].present ? EET_DEC : EET_ENC;
}
