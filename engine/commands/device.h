/* device.h - the options that say where a model runs and in which dtype. */
#ifndef EET_COMMANDS_DEVICE_H
#define EET_COMMANDS_DEVICE_H

#include <stddef.h>

#include "eet.h"
#include "format/cli/options.h"

/* `at`: the field's offset. */
#define EET_OPTION_DEVICE(at)                                                                \
    {                                                                                        \
        .name = "device", .brief = true, .kind = EET_OPTION_STRING, .value = "WHERE",        \
        .help = "auto, cpu, cuda or cuda:N; auto takes a CUDA device where one works, else " \
                "the CPU",                                                                   \
        .offset = (at)                                                                       \
    }
#define EET_OPTION_DTYPE(at)                                                         \
    {                                                                                \
        .name = "dtype", .brief = true, .kind = EET_OPTION_CHOICE, .value = "DTYPE", \
        .choices = "f32|f16|bf16", .help = "compute in this dtype (the file's own)", \
        .offset = (at)                                                               \
    }

#define EET_OPTION_TIMINGS(at)                                                                  \
    {                                                                                           \
        .name = "timings", .brief = true, .help = "tell speed and memory on stderr at the end", \
        .offset = (at)                                                                          \
    }

/* "cuda:1" -> EET_CUDA and 1; NULL is "auto": *fall_back, EET_CUDA and 0. E_ARGUMENT. */
eet_status eet_device_parse(const char *text, eet_model_options *out, bool *fall_back,
                            eet_error *err);

/* The dtype to compute in that a text of so many bytes names; 0: none. */
int32_t eet_dtype_parse(const char *text, size_t bytes);

/* Opens a file where `device` says; both texts may be NULL. */
eet_status eet_device_open(const char *path, const char *device, const char *dtype, eet_model **out,
                           eet_error *err);

/* A line on standard error: who has how much memory. NULL: nobody. */
void eet_device_tell_memory(const eet_session *session);

#endif
