/* inspect.h - the parts of eet-inspect. */
#ifndef EET_COMMANDS_INSPECT_H
#define EET_COMMANDS_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "format/cli/json.h"
#include "format/container.h"

typedef struct eet_inspect_options {
    bool json, no_tensors, sections, provenance, stats, force;
    const char *digest; /* NULL: not asked; "": content */
    const char *key, *tensor, *dump, *output;
    const char *extract; /* NULL: not asked; "": all assets */
} eet_inspect_options;

/* "f32 148, f16 1": how many tensors that are no alias have which dtype. */
typedef struct eet_inspect_dtypes {
    int32_t count[256];
} eet_inspect_dtypes;
eet_inspect_dtypes eet_inspect_count_dtypes(const eet_file *file);

/* All of the file for people, on stdout. */
eet_status eet_inspect_print(const eet_file *file, const char *path,
                             const eet_inspect_options *options, eet_error *err);
void eet_inspect_print_provenance(const eet_file *file);

/* All of the file for programs: the document of docs/commands.md. */
eet_json *eet_inspect_document(const eet_file *file, const char *path,
                               const eet_inspect_options *options);

/* One tensor: what it is, --stats, --dump. */
eet_status eet_inspect_tensor(const eet_file *file, const eet_inspect_options *options,
                              eet_error *err);
eet_status eet_inspect_dump(const eet_file_tensor *tensor, const eet_inspect_options *options,
                            eet_error *err);
/* The assets into a folder. */
eet_status eet_inspect_extract(const eet_file *file, const eet_inspect_options *options,
                               eet_error *err);

#endif
