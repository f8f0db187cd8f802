/* verify_against.h - says how a file differs from the checkpoint that it was made from. */
#ifndef EET_COMMANDS_VERIFY_AGAINST_H
#define EET_COMMANDS_VERIFY_AGAINST_H

#include "converter/against.h"
#include "format/cli/json.h"

/* Where they differ: one line, then the tensors that do, on stderr. */
void eet_against_print(const char *command, const char *path, const char *source,
                       const eet_against *against);

/* {"source", "equal", "differing", "tensors": [...]} */
eet_json *eet_against_json(const char *source, const eet_against *against);

#endif
