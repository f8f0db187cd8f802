/* device.h - where a model runs: which backend is behind a device, and where its library is. */
#ifndef EET_ENGINE_DEVICE_H
#define EET_ENGINE_DEVICE_H

#include "eet_types.h"
#include "kernels/backend.h"

/* The backend of EET_HOST or EET_CUDA. A plugin is searched beside this library, then at
 * EET_BACKEND_PATH (the file, or its folder), and stays loaded. E_DEVICE with the reason;
 * E_ARGUMENT for a device that does not exist. */
eet_status eet_device_find(int32_t device, const eet_backend_api **out, eet_error *err);

/* Of an allocation that gave nothing: E_DEVICE where the device fails, else E_MEMORY. */
eet_status eet_device_denied(const eet_backend_api *api, eet_backend *backend);

/* Puts what failed first on the device behind a sentence that does not say it. */
void eet_device_blame(const eet_backend_api *api, eet_backend *backend, eet_error *err);

#endif
