/* tensor_json.h - a digest, a tensor, an asset as JSON, the same in every document. */
#ifndef EET_COMMANDS_TENSOR_JSON_H
#define EET_COMMANDS_TENSOR_JSON_H

#include <stdint.h>

#include "format/cli/json.h"
#include "format/container.h"

/* 64 hexadecimal digits. */
void eet_sha256_json(eet_json *object, const char *key, const uint8_t digest[32]);

eet_json *eet_tensor_json(const eet_file *file, const eet_file_tensor *tensor);
eet_json *eet_asset_json(const eet_file_asset *asset);

#endif
