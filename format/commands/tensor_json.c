/* tensor_json.c - a digest, a tensor, an asset as JSON, the same in every document. */
#include "format/commands/tensor_json.h"

#include <stddef.h>

#include "format/cli/text.h"
#include "format/commands/values.h"

void eet_sha256_json(eet_json *object, const char *key, const uint8_t digest[32]) {
    eet_hex_text hex;

    eet_json_set_string(object, key, eet_format_sha256(&hex, digest));
}

eet_json *eet_tensor_json(const eet_file *file, const eet_file_tensor *tensor) {
    eet_json *object = eet_json_object();
    eet_json *shape = eet_json_array();
    eet_shape_text digits;

    for (int32_t i = 0; i < tensor->rank; i++) {
        eet_json_append_integer(shape, (int64_t)tensor->dims[i]);
    }
    eet_json_set_string(object, "name", tensor->name);
    eet_json_set_string(object, "dtype", eet_dtype_name((eet_dtype)tensor->dtype));
    eet_json_set(object, "shape", shape);
    eet_json_set_integer(object, "bytes", (int64_t)tensor->bytes);
    eet_json_set_integer(object, "offset", (int64_t)tensor->offset);
    eet_json_set_integer(object, "role", tensor->role);
    eet_json_set_integer(object, "layer", tensor->layer);
    eet_json_set_integer(object, "layout", tensor->layout);
    eet_json_set_bool(object, "synth", (tensor->flags & EET_TENSOR_SYNTH) != 0);
    eet_json_set_bool(object, "required", (tensor->flags & EET_TENSOR_REQUIRED) != 0);
    eet_json_set_string(object, "alias_of",
                        tensor->alias_of < 0 ? NULL
                                             : eet_file_tensor_at(file, tensor->alias_of).name);
    eet_json_set_string(object, "xxh3", eet_xxh3_format(&digits, tensor->xxh3));
    eet_sha256_json(object, "sha256", tensor->sha256);
    return object;
}

eet_json *eet_asset_json(const eet_file_asset *asset) {
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "name", asset->name);
    eet_json_set_bool(object, "functional", asset->functional);
    eet_json_set_integer(object, "bytes", (int64_t)asset->bytes);
    eet_sha256_json(object, "sha256", asset->sha256);
    return object;
}
