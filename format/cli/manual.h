/* manual.h - what else an option table gives: the command's manual page and its
 * completion in bash. `--help=man` and `--help=bash` print them; the build installs
 * what they print. */
#ifndef EET_CLI_MANUAL_H
#define EET_CLI_MANUAL_H

#include <stdio.h>

#include "format/cli/options.h"

/* --help: a screen of 24 lines of 80 columns. */
void eet_command_help(const eet_command *command, FILE *stream);

/* A page of section 1 in man(7). Its date is SOURCE_DATE_EPOCH, else today (UTC). */
void eet_command_manual(const eet_command *command, FILE *stream);

/* A function for bash and the `complete` that names it; needs nothing but bash. */
void eet_command_completion(const eet_command *command, FILE *stream);

#endif
