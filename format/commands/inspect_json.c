/* inspect_json.c - all that a .eet file holds, as one JSON document. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/commands/inspect.h"
#include "format/commands/tensor_json.h"
#include "format/commands/values.h"

static eet_json *format_of(const eet_file *file) {
    int32_t major = 0;
    int32_t minor = 0;
    int32_t min_reader_minor = 0;
    eet_json *format = eet_json_object();

    eet_file_version(file, &major, &minor, &min_reader_minor);
    eet_json_set_integer(format, "major", major);
    eet_json_set_integer(format, "minor", minor);
    eet_json_set_integer(format, "min_reader_minor", min_reader_minor);
    return format;
}

static eet_json *section_of(const eet_file_section *s) {
    eet_json *section = eet_json_object();
    char version[16];

    (void)snprintf(version, sizeof version, "%u.%u", s->version_major, s->version_minor);
    eet_json_set_string(section, "type", s->type);
    eet_json_set_integer(section, "index", s->index);
    eet_json_set_bool(section, "required", (s->flags & 1) != 0);
    eet_json_set_bool(section, "tensor_data", (s->flags & 2) != 0);
    eet_json_set_string(section, "codec", s->codec == 0 ? "raw" : "zlib");
    eet_json_set_integer(section, "align", INT64_C(1) << s->align_log2);
    eet_json_set_integer(section, "offset", (int64_t)s->offset);
    eet_json_set_integer(section, "stored_bytes", (int64_t)s->stored_bytes);
    eet_json_set_integer(section, "raw_bytes", (int64_t)s->raw_bytes);
    eet_json_set_string(section, "version", version);
    return section;
}

static eet_json *metadata_of(const eet_kv_view *view) {
    eet_json *object = eet_json_object();
    char key[EET_KV_MAX_KEY + 1];

    for (uint32_t i = 0; i < view->count; i++) {
        const eet_kv entry = eet_kv_at(view, i);

        memcpy(key, entry.key, entry.key_bytes);
        key[entry.key_bytes] = '\0';
        eet_value_set(object, key, &entry);
    }
    return object;
}

static eet_json *totals_of(const eet_file *file) {
    const eet_file_totals totals = eet_file_sum(file);
    const eet_inspect_dtypes dtypes = eet_inspect_count_dtypes(file);
    eet_json *object = eet_json_object();
    eet_json *counts = eet_json_object();

    eet_json_set_integer(object, "tensors", totals.tensors);
    eet_json_set_integer(object, "aliases", totals.aliases);
    eet_json_set_integer(object, "parameters", (int64_t)totals.parameters);
    eet_json_set_integer(object, "bytes", (int64_t)totals.bytes);
    for (int i = 0; i < 256; i++) {
        if (dtypes.count[i] > 0) {
            eet_json_set_integer(counts, eet_dtype_name((eet_dtype)i), dtypes.count[i]);
        }
    }
    eet_json_set(object, "dtypes", counts);
    return object;
}

/* The lists at the end of the document. */
static void set_lists(eet_json *root, const eet_file *file, bool with_tensors) {
    eet_json *tensors = eet_json_array();
    eet_json *assets = eet_json_array();

    for (int32_t i = 0; with_tensors && i < eet_file_tensors(file); i++) {
        const eet_file_tensor tensor = eet_file_tensor_at(file, i);

        eet_json_append(tensors, eet_tensor_json(file, &tensor));
    }
    for (int32_t i = 0; i < eet_file_assets(file); i++) {
        const eet_file_asset asset = eet_file_asset_at(file, i);

        eet_json_append(assets, eet_asset_json(&asset));
    }
    eet_json_set(root, "assets", assets);
    if (with_tensors) {
        eet_json_set(root, "tensors", tensors);
    } else {
        eet_json_free(tensors);
    }
}

eet_json *eet_inspect_document(const eet_file *file, const char *path,
                               const eet_inspect_options *options) {
    const eet_kv_view *provenance = eet_file_provenance(file);
    eet_json *root = eet_json_object();

    eet_json_set_integer(root, "schema_version", 1);
    if (options->provenance) {
        eet_json_set(root, "provenance",
                     provenance == NULL ? eet_json_object() : metadata_of(provenance));
        return root;
    }
    eet_json *sections = eet_json_array();

    for (int32_t i = 0; i < eet_file_sections(file); i++) {
        const eet_file_section section = eet_file_section_at(file, i);

        eet_json_append(sections, section_of(&section));
    }
    eet_json_set_string(root, "path", path);
    eet_json_set_integer(root, "bytes", (int64_t)eet_file_bytes(file));
    eet_json_set(root, "format", format_of(file));
    eet_sha256_json(root, "content_sha256", eet_file_content_sha256(file));
    eet_sha256_json(root, "weights_sha256", eet_file_weights_sha256(file));
    eet_json_set(root, "totals", totals_of(file));
    eet_json_set(root, "sections", sections);
    eet_json_set(root, "meta", metadata_of(eet_file_meta(file)));
    eet_json_set(root, "provenance",
                 provenance == NULL ? eet_json_object() : metadata_of(provenance));
    set_lists(root, file, !options->no_tensors);
    return root;
}
