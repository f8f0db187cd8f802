/* device.h - where a model runs: which backend is behind a device, and where its library is. */
#ifndef EET_ENGINE_DEVICE_H
#define EET_ENGINE_DEVICE_H

#include <stdbool.h>
#include <sys/types.h>

#include "eet_types.h"
#include "kernels/backend.h"

/* The backend of EET_HOST or EET_CUDA. A plugin is searched beside this library, then at
 * EET_BACKEND_PATH (the file, or its folder), and stays loaded. E_DEVICE with the reason;
 * E_ARGUMENT for a device that does not exist. */
eet_status eet_device_find(int32_t device, const eet_backend_api **out, eet_error *err);

/* Is what a process has on a device this one's to use and to give back? Not in the child of a fork,
 * where CUDA does not go on. */
bool eet_device_is_here(int32_t device, pid_t process);

/* Of an allocation that gave nothing: E_DEVICE where the device fails, else E_MEMORY. */
eet_status eet_device_denied(const eet_backend_api *api, eet_backend *backend);

/* E_DEVICE, in the words of a device that fails. */
eet_status eet_device_fail(const eet_backend_api *api, eet_backend *backend, int32_t device_index,
                           eet_error *err);

/* Puts what failed first on the device behind a sentence that does not say it. */
void eet_device_blame(const eet_backend_api *api, eet_backend *backend, eet_error *err);

#endif
