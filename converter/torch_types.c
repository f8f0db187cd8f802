/* torch_types.c - the storage classes and dtypes of torch. */
#include <string.h>

#include "converter/torch_internal.h"

#define QUANTISED "it is quantised"
#define PACKED    "its dtype packs several elements into a byte"

static const eet_torch_type storages[] = {
    {"FloatStorage", EET_SRC_F32, 4, 4, NULL},
    {"HalfStorage", EET_SRC_F16, 2, 2, NULL},
    {"BFloat16Storage", EET_SRC_BF16, 2, 2, NULL},
    {"DoubleStorage", EET_SRC_F64, 8, 8, NULL},
    {"LongStorage", EET_SRC_I64, 8, 8, NULL},
    {"IntStorage", EET_SRC_I32, 4, 4, NULL},
    {"ShortStorage", EET_SRC_I16, 2, 2, NULL},
    {"CharStorage", EET_SRC_I8, 1, 1, NULL},
    {"ByteStorage", EET_SRC_U8, 1, 1, NULL},
    {"BoolStorage", EET_SRC_BOOL, 1, 1, NULL},
    {"ComplexFloatStorage", EET_SRC_C64, 8, 4, NULL},
    {"ComplexDoubleStorage", EET_SRC_C128, 16, 8, NULL},
    {"QInt8Storage", EET_SRC_OTHER, 1, 1, QUANTISED},
    {"QUInt8Storage", EET_SRC_OTHER, 1, 1, QUANTISED},
    {"QInt32Storage", EET_SRC_OTHER, 4, 4, QUANTISED},
    {"QUInt4x2Storage", EET_SRC_OTHER, 0, 1, QUANTISED},
    {"QUInt2x4Storage", EET_SRC_OTHER, 0, 1, QUANTISED},
};
static const eet_torch_type untyped = {"UntypedStorage", EET_SRC_U8, 1, 1, NULL};
static const eet_torch_type unknown_storage = {"an unknown storage class", EET_SRC_OTHER, 0, 1,
                                               "its storage class is not known"};

static const eet_torch_type dtypes[] = {
    {"float32", EET_SRC_F32, 4, 4, NULL},
    {"float", EET_SRC_F32, 4, 4, NULL},
    {"float64", EET_SRC_F64, 8, 8, NULL},
    {"double", EET_SRC_F64, 8, 8, NULL},
    {"float16", EET_SRC_F16, 2, 2, NULL},
    {"half", EET_SRC_F16, 2, 2, NULL},
    {"bfloat16", EET_SRC_BF16, 2, 2, NULL},
    {"int64", EET_SRC_I64, 8, 8, NULL},
    {"long", EET_SRC_I64, 8, 8, NULL},
    {"int32", EET_SRC_I32, 4, 4, NULL},
    {"int", EET_SRC_I32, 4, 4, NULL},
    {"int16", EET_SRC_I16, 2, 2, NULL},
    {"short", EET_SRC_I16, 2, 2, NULL},
    {"int8", EET_SRC_I8, 1, 1, NULL},
    {"uint8", EET_SRC_U8, 1, 1, NULL},
    {"uint16", EET_SRC_U16, 2, 2, NULL},
    {"uint32", EET_SRC_U32, 4, 4, NULL},
    {"uint64", EET_SRC_U64, 8, 8, NULL},
    {"bool", EET_SRC_BOOL, 1, 1, NULL},
    {"complex64", EET_SRC_C64, 8, 4, NULL},
    {"cfloat", EET_SRC_C64, 8, 4, NULL},
    {"complex128", EET_SRC_C128, 16, 8, NULL},
    {"cdouble", EET_SRC_C128, 16, 8, NULL},
    {"float8_e4m3fn", EET_SRC_F8_E4M3, 1, 1, NULL},
    {"float8_e5m2", EET_SRC_F8_E5M2, 1, 1, NULL},
    {"float8_e8m0fnu", EET_SRC_F8_E8M0, 1, 1, NULL},
    {"float8_e4m3fnuz", EET_SRC_OTHER, 1, 1, "its dtype is float8_e4m3fnuz"},
    {"float8_e5m2fnuz", EET_SRC_OTHER, 1, 1, "its dtype is float8_e5m2fnuz"},
    {"float4_e2m1fn_x2", EET_SRC_OTHER, 1, 1, PACKED},
    {"complex32", EET_SRC_OTHER, 4, 2, "its dtype is complex32"},
    {"chalf", EET_SRC_OTHER, 4, 2, "its dtype is complex32"},
    {"qint8", EET_SRC_OTHER, 1, 1, QUANTISED},
    {"quint8", EET_SRC_OTHER, 1, 1, QUANTISED},
    {"qint32", EET_SRC_OTHER, 4, 4, QUANTISED},
    {"quint4x2", EET_SRC_OTHER, 0, 1, QUANTISED},
    {"quint2x4", EET_SRC_OTHER, 0, 1, QUANTISED},
};
static const eet_torch_type unknown_dtype = {"an unknown dtype", EET_SRC_OTHER, 0, 1,
                                             "its dtype is not known"};

static bool is_one_of(const char *text, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

const eet_torch_type *eet_torch_storage_type(const eet_pickle_node *class) {
    static const char *const modules[] = {"torch", "torch.cuda", "torch.storage"};
    static const char *const bytes[] = {"UntypedStorage", "_UntypedStorage"};
    const char *module = eet_pickle_module(class);
    const char *name = eet_pickle_name(class);

    if (module == NULL || !is_one_of(module, modules, sizeof modules / sizeof modules[0])) {
        return NULL;
    }
    if (is_one_of(name, bytes, sizeof bytes / sizeof bytes[0])) {
        return &untyped;
    }
    for (size_t i = 0; i < sizeof storages / sizeof storages[0]; i++) {
        if (strcmp(storages[i].name, name) == 0) {
            return &storages[i];
        }
    }
    return &unknown_storage;
}

const eet_torch_type *eet_torch_dtype(const eet_pickle_node *dtype) {
    const char *module = eet_pickle_module(dtype);

    if (module == NULL || strcmp(module, "torch") != 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtypes[i].name, eet_pickle_name(dtype)) == 0) {
            return &dtypes[i];
        }
    }
    return &unknown_dtype;
}

bool eet_torch_is_untyped(const eet_torch_type *type) {
    return type == &untyped;
}
