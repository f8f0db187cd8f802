/* tensor_json.h - an entry of a .eet file's lists as JSON, the same in every document. */
#ifndef EET_COMMANDS_TENSOR_JSON_H
#define EET_COMMANDS_TENSOR_JSON_H

#include "format/cli/json.h"
#include "format/container.h"

eet_json *eet_tensor_json(const eet_file *file, const eet_file_tensor *tensor);
eet_json *eet_asset_json(const eet_file_asset *asset);

#endif
