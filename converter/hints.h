/* hints.h - says what was meant where the files do not say it themselves. */
#ifndef EET_CONVERTER_HINTS_H
#define EET_CONVERTER_HINTS_H

#include "format/types.h"

/* Always fails: why the folder, which has none of the files that are looked for, cannot
 * be converted, and what would. E_AMBIGUOUS, E_ARGUMENT, E_CORRUPT, E_UNSUPPORTED,
 * E_IO, E_MEMORY. */
eet_status eet_hint_at_folder(const char *folder, eet_error *err);

/* E_ARGUMENT when the file is called as one part of a checkpoint in several
 * ("model-00001-of-00003.safetensors"). */
eet_status eet_hint_at_part(const char *path, eet_error *err);

#endif
