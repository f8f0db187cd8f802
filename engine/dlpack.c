/* dlpack.c - arrays of ours for other frameworks, as DLPack 1.0 describes them. What frees them
 * here needs no lock of an interpreter: any thread may. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "eet.h"
#include "engine/abi.h"
#include "engine/calls.h"
#include "engine/model.h"
#include "format/types.h"

/* The structs of DLPack's specification. */
typedef struct dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides; /* (ndim) elements */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags; /* bit 0: read-only */
    dl_tensor tensor;
} dl_versioned;

enum { DL_CPU = 1, DL_CUDA = 2 };

/* What a consumer holds, in one allocation. */
typedef struct shared {
    union {
        dl_managed plain;
        dl_versioned versioned;
    } managed;
    int64_t shape[EET_MAX_RANK], strides[EET_MAX_RANK];
    eet_model *model;
    eet_buffer *buffer;
} shared;

static void give_back(shared *s) {
    if (s != NULL) {
        eet_model_release(s->model);
        eet_buffer_release(s->buffer);
        free(s);
    }
}

static void delete_plain(dl_managed *self) {
    give_back(self->context);
}

static void delete_versioned(dl_versioned *self) {
    give_back(self->context);
}

/* DLDataTypeCode, or -1: a type that DLPack does not have, or packs otherwise. */
static int32_t code_of(int32_t dtype) {
    enum { INT = 0, UINT = 1, FLOAT = 2, BFLOAT = 4, E4M3FN = 10, E5M2 = 12, E8M0FNU = 14 };

    switch (dtype) {
    case EET_F16:
    case EET_F32:
    case EET_F64:
        return FLOAT;
    case EET_BF16:
        return BFLOAT;
    case EET_I8:
    case EET_I32:
    case EET_I64:
        return INT;
    case EET_U8:
    case EET_U16:
        return UINT;
    case EET_F8_E4M3:
        return E4M3FN;
    case EET_F8_E5M2:
        return E5M2;
    case EET_F8_E8M0:
        return E8M0FNU;
    default:
        return -1;
    }
}

/* Strides of a row-major array where the caller gives none. */
static void fill_axes(shared *s, const eet_array *array) {
    bool given = false;
    int64_t step = 1;

    for (int32_t i = 0; i < array->rank; ++i) {
        s->shape[i] = array->shape[i];
        s->strides[i] = array->stride[i];
        given = given || array->stride[i] != 0;
    }
    for (int32_t i = array->rank - 1; i >= 0 && !given; --i) {
        s->strides[i] = step;
        step *= array->shape[i];
    }
}

static eet_status check_array(const eet_array *array, const eet_model *model,
                              const eet_buffer *buffer, int32_t flags, eet_error *err) {
    const int32_t known = EET_DLPACK_VERSIONED | EET_DLPACK_READ_ONLY;

    if ((model == NULL) == (buffer == NULL)) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "a model or a buffer owns the memory");
    }
    if (array->rank < 0 || array->rank > EET_MAX_RANK || (flags & ~known) != 0) {
        return eet_fail(err, EET_E_ARGUMENT, EET_NOWHERE, "rank is %d, flags are %d",
                        (int)array->rank, (int)flags);
    }
    if ((flags & EET_DLPACK_READ_ONLY) != 0 && (flags & EET_DLPACK_VERSIONED) == 0) {
        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE,
                        "the memory is read-only, which only versioned DLPack can say");
    }
    if (code_of(array->dtype) < 0) {
        const char *name = eet_dtype_name((eet_dtype)array->dtype);

        return eet_fail(err, EET_E_UNSUPPORTED, EET_NOWHERE, "DLPack has no %s",
                        name != NULL ? name : "such data type");
    }
    return EET_OK;
}

eet_status eet_dlpack_create(const eet_array *array, int32_t device_index, int32_t flags,
                             eet_model *model, eet_buffer *buffer, void **out, eet_error *err) {
    eet_error own;
    eet_array a;
    eet_error *e = eet_call_error(err, &own);
    eet_status status = array == NULL || out == NULL
                            ? eet_call_missing("array or out", e)
                            : eet_abi_read(&a, sizeof a, array, "eet_array", e);

    if (status == EET_OK) {
        status = check_array(&a, model, buffer, flags, e);
    }
    if (status != EET_OK) {
        return status;
    }
    shared *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return eet_fail(e, EET_E_MEMORY, EET_NOWHERE, "no memory for a DLPack tensor");
    }
    fill_axes(s, &a);
    const dl_tensor tensor = {
        .data = a.data,
        .device_type = a.memory == EET_CUDA ? DL_CUDA : DL_CPU,
        .device_id = a.memory == EET_CUDA ? device_index : 0,
        .ndim = a.rank,
        .code = (uint8_t)code_of(a.dtype),
        .bits = (uint8_t)eet_dtype_bits((eet_dtype)a.dtype),
        .lanes = 1,
        .shape = s->shape,
        .strides = s->strides,
    };

    s->model = model;
    s->buffer = buffer;
    if (model != NULL) {
        eet_model_retain(model);
    }
    eet_buffer_retain(buffer);
    if ((flags & EET_DLPACK_VERSIONED) != 0) {
        s->managed.versioned = (dl_versioned){
            .major = 1,
            .context = s,
            .deleter = delete_versioned,
            .flags = (flags & EET_DLPACK_READ_ONLY) != 0 ? 1 : 0,
            .tensor = tensor,
        };
    } else {
        s->managed.plain = (dl_managed){.tensor = tensor, .context = s, .deleter = delete_plain};
    }
    *out = &s->managed;
    return EET_OK;
}
