/* options.h - the option table of a command: from it come parsing, --help, the manual
 * page and the completion (manual.h), so that they cannot disagree.
 *
 * Long options are written --foo-bar; --foo_bar is accepted. "--" ends options.
 * Every table has --help, --version, and those two are handled here; --help=man and
 * --help=bash print what the build installs. */
#ifndef EET_CLI_OPTIONS_H
#define EET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "format/types.h"

typedef enum eet_option_kind {
    EET_OPTION_FLAG,    /* bool */
    EET_OPTION_STRING,  /* const char * */
    EET_OPTION_INTEGER, /* int64_t, within [low, high] */
    EET_OPTION_REAL,    /* double, within [low, high] */
    EET_OPTION_CHOICE,  /* const char *, one of `choices` */
    EET_OPTION_LIST     /* eet_option_list, repeatable */
} eet_option_kind;

typedef struct eet_option_list {
    const char **items; /* borrowed from argv; the array is freed by eet_command_end */
    int32_t count;
} eet_option_list;

typedef struct eet_option {
    const char *name;    /* "dtype"; NULL ends the table */
    char letter;         /* 'o' for -o, or 0 */
    uint8_t kind;        /* eet_option_kind */
    bool optional_value; /* --digest and --digest=weights; absent value = "" */
    bool brief;          /* --help has no line for it, only its name; the manual has all */
    const char *value;   /* placeholder in --help: "FILE"; NULL for flags */
    const char *help;    /* one line */
    const char *choices; /* "keep|f32|f16|bf16" for EET_OPTION_CHOICE */
    int64_t low, high;   /* for EET_OPTION_INTEGER and EET_OPTION_REAL */
    uint32_t offset;     /* offsetof the field in the command's own struct */
} eet_option;

typedef struct eet_command {
    const char *name;                   /* "eet-inspect" */
    const char *usage;                  /* "[OPTIONS] FILE" */
    const char *summary;                /* one line */
    const eet_option *options;          /* at most 64; ends with name == NULL */
    const char *const *examples;        /* exactly three command lines, each with its comment */
    int32_t min_operands, max_operands; /* max -1: any number */
    const char *suffix;                 /* ".eet": the operands that completion offers; NULL any */
} eet_command;

typedef struct eet_operands {
    const char **items; /* borrowed from argv; freed by eet_command_end */
    int32_t count;
    uint64_t given; /* bit i: row i of the command's options stands on the command line */
    bool done;      /* --help or --version was printed: exit 0 */
} eet_operands;

/* Parses argv into `fields` (the command's struct, zeroed or holding defaults).
 * E_ARGUMENT with one sentence on misuse, E_MEMORY. */
eet_status eet_command_parse(const eet_command *command, int argc, char **argv, void *fields,
                             eet_operands *operands, eet_error *err);
void eet_command_end(const eet_command *command, void *fields, eet_operands *operands);

/* Prints "name: error: <text>" (and "name: hint: ..." for what follows ';') to
 * stderr, or with `json` the object {"schema_version", "error": {code, message,
 * path, offset}} to stdout; returns the exit code. `path` may be NULL. */
int eet_command_fail(const eet_command *command, const eet_error *err, const char *path, bool json);

/* That object, {code, message, hint, path, offset}, for a document that tells of several. */
struct eet_json *eet_command_error(const eet_error *err, const char *path);

/* A whole command: parses argv into `fields` and, unless --help or --version was asked
 * for, runs `body`; flushes stdout (a full disk or a closed pipe becomes exit code 5).
 * Returns the exit code. `body` fails through eet_command_fail, or returns the code it
 * means. */
typedef int eet_command_body(void *fields, const eet_operands *operands);
int eet_command_main(const eet_command *command, int argc, char **argv, void *fields,
                     eet_command_body *body);

#endif
