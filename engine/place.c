/* place.c - brings a file's matrices to where the model runs, each once however many names it has,
 * in the dtype to compute in. */
#include <stdlib.h>

#include "engine/model.h"

/* A tensor and its aliases are one matrix. */
static bool placed_before(const eet_model *model, const void *host, eet_matrix *out) {
    for (int32_t i = 0; i < model->placed_count; ++i) {
        if (model->placed[i].host == host) {
            *out = model->placed[i].matrix;
            return true;
        }
    }
    return false;
}

/* In another dtype, for the CPU: a copy that *converted keeps, to be freed. */
static eet_status convert(const eet_file_tensor *tensor, int32_t dtype, eet_matrix *matrix,
                          void **converted, eet_error *err) {
    const uint64_t count = tensor->dims[0] * tensor->dims[1];

    *converted = malloc((size_t)(count * (uint64_t)eet_float_bytes(dtype)));
    const eet_convert_args args = {.x = tensor->data,
                                   .y = *converted,
                                   .count = (int64_t)count,
                                   .from = tensor->dtype,
                                   .to = dtype};

    if (*converted == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for %s in %s", tensor->name,
                        eet_dtype_name((eet_dtype)dtype));
    }
    matrix->data = *converted;
    matrix->dtype = (uint16_t)dtype;
    return eet_convert_ref(NULL, &args);
}

/* What a device has beside the weights and what is free is CUDA's and others'. */
static eet_status refuse(const eet_model *model, const eet_file_tensor *tensor, eet_status status,
                         eet_error *err) {
    const char *why = model->api->why(model->backend);
    const eet_backend_memory memory = model->api->memory(model->backend);
    const uint64_t known = memory.unused + model->weight_bytes;

    if (status != EET_E_MEMORY) {
        return eet_fail(err, status, EET_NOWHERE, "%s cannot be placed on %s:%d%s%s", tensor->name,
                        model->api->name, (int)model->device_index, *why != '\0' ? ": " : "", why);
    }
    return eet_fail(err, status, EET_NOWHERE,
                    "no memory on %s:%d for %s (%llu bytes), beside %llu of %llu bytes of weights "
                    "and %llu of CUDA and of others; %llu are free",
                    model->api->name, (int)model->device_index, tensor->name,
                    (unsigned long long)tensor->bytes, (unsigned long long)model->weight_bytes,
                    (unsigned long long)eet_model_file_bytes(model),
                    (unsigned long long)(memory.all > known ? memory.all - known : 0),
                    (unsigned long long)memory.unused);
}

static void keep(eet_model *model, const eet_placed *placed) {
    const eet_matrix *m = &placed->matrix;

    model->placed[model->placed_count] = *placed;
    model->placed_count += 1;
    model->weight_bytes += (uint64_t)m->n * (uint64_t)m->k * (uint64_t)eet_float_bytes(m->dtype);
}

eet_status eet_model_place(eet_model *model, const eet_file_tensor *tensor, eet_matrix *out,
                           eet_error *err) {
    const int32_t dtype = model->dtype != 0 ? model->dtype : tensor->dtype;
    eet_placed placed = {.host = tensor->data};
    eet_matrix host = {
        .data = tensor->data,
        .n = (int32_t)tensor->dims[0],
        .k = (int32_t)tensor->dims[1],
        .ld = (int32_t)tensor->dims[1],
        .dtype = (uint16_t)tensor->dtype,
    };
    eet_status status = EET_OK;

    if (tensor->alias_of >= 0 && placed_before(model, tensor->data, out)) {
        return EET_OK;
    }
    if (dtype != tensor->dtype && model->device == EET_HOST) {
        status = convert(tensor, dtype, &host, &placed.converted, err);
    }
    if (status == EET_OK) {
        status = model->api->place(model->backend, &host, dtype, &placed.matrix);
        if (status != EET_OK) {
            (void)refuse(model, tensor, status, err);
        }
    }
    if (status != EET_OK) {
        free(placed.converted);
        return status;
    }
    *out = placed.matrix;
    keep(model, &placed);
    return EET_OK;
}

void eet_model_unplace(eet_model *model) {
    for (int32_t i = 0; i < model->placed_count; ++i) {
        model->api->unplace(model->backend, &model->placed[i].matrix);
        free(model->placed[i].converted);
    }
    free(model->placed);
    model->placed = NULL;
    model->placed_count = 0;
}
