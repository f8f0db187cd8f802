/* bench_meter.c - what could be done at best while a test runs: by the CPU's threads, or by a
 * device, whose backend measures itself. */
#include "engine/commands/bench.h"

#include <stdio.h>
#include <string.h>

#include "engine/commands/probe.h"
#include "kernels/cpu.h"

/* The library has loaded it with the model: it is found by its name alone. */
static const char plugin[] = "libeet_cuda.so";

eet_status eet_bench_meter_open(const eet_bench_model *model, int32_t threads, eet_probe *probe,
                                eet_bench_meter *out, eet_error *err) {
    const eet_backend_options options = {
        .threads = threads, .device = model->device_index, .error = err};
    eet_status status = EET_OK;

    *out = (eet_bench_meter){.api = eet_backend_cpu(), .probe = probe, .dtype = model->dtype};
    if (model->device != EET_HOST) {
        status = eet_plugin_load(plugin, &out->api, err);
    }
    if (status != EET_OK) {
        return status;
    }
    status = out->api->open(&options, &out->backend);
    if (status != EET_OK && model->device == EET_HOST) {
        return eet_fail(err, status, EET_NOWHERE, "%d threads cannot be started", (int)threads);
    }
    return status;
}

void eet_bench_meter_close(eet_bench_meter *meter) {
    if (meter->backend != NULL) {
        meter->api->close(meter->backend);
    }
}

void eet_bench_meter_name(const eet_bench_meter *meter, const eet_bench_model *model,
                          eet_bench_result *out) {
    out->threads = meter->api->threads(meter->backend);
    if (model->device == EET_HOST) {
        (void)snprintf(out->isa, sizeof out->isa, "%s", eet_backend_cpu_isa(meter->backend));
    } else {
        (void)snprintf(out->isa, sizeof out->isa, "%s:%d", meter->api->name,
                       (int)model->device_index);
    }
}

double eet_bench_meter_read(const eet_bench_meter *meter) {
    return meter->api->read_rate != NULL ? meter->api->read_rate(meter->backend)
                                         : eet_probe_read_rate(meter->probe, meter->backend);
}

double eet_bench_meter_peak(const eet_bench_meter *meter) {
    return meter->api->product_rate != NULL ? meter->api->product_rate(meter->backend, meter->dtype)
                                            : eet_probe_peak(meter->probe, meter->backend);
}
