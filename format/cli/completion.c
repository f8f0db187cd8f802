/* completion.c - the completion of a command in bash, made from its option table.
 *
 * The script's own rules: an empty answer lets readline complete file names, which it
 * does with all of the shell's quoting; where nothing can be offered, that is switched
 * off. COMP_WORDS are split at "=" where COMP_WORDBREAKS has it, which is the default. */
#include <string.h>

#include "format/cli/manual.h"

static const char script_head[] =
    "() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local option='' before='' i\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} != -- ]] || option=--\n"
    "    done\n"
    "    if [[ $option == -- ]]; then\n"
    "        :\n"
    "    elif [[ $prev == [\\<\\>]* ]]; then\n"
    "        return\n"
    "    elif [[ $cur == = ]]; then\n"
    "        option=$prev cur=''\n"
    "    elif [[ $prev == = ]]; then\n"
    "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    elif [[ $cur == --*=* ]]; then\n"
    "        option=${cur%%=*}\n"
    "        before=$option= cur=${cur#*=}\n"
    "    else\n"
    "        case ${prev//_/-} in\n";

static const char script_values[] = "        esac\n"
                                    "    fi\n"
                                    "    case ${option//_/-} in\n";

static const char script_names[] =
    "    if [[ -z $option && $cur == -* ]]; then\n"
    "        compopt +o default\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"${cur//_/-}\")\n"
    "        if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *= ]]; then\n"
    "            compopt -o nospace\n"
    "        fi\n"
    "        return\n"
    "    fi\n";

static bool is_file(const eet_option *o) {
    static const char *const words[] = {"FILE", "FOLDER", "CHECKPOINT", "DIR", "PATH"};

    for (size_t i = 0; o->value != NULL && i < sizeof words / sizeof words[0]; i++) {
        if (strstr(o->value, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* eet-run -> _eet_run */
static void put_function_name(const eet_command *command, FILE *stream) {
    (void)fputc('_', stream);
    for (const char *c = command->name; *c != '\0'; c++) {
        (void)fputc(*c == '-' ? '_' : *c, stream);
    }
}

/* "-o | --output" */
static void put_pattern(const eet_option *o, FILE *stream) {
    if (o->letter != 0) {
        (void)fprintf(stream, "-%c | ", o->letter);
    }
    (void)fprintf(stream, "--%s", o->name);
}

/* Options whose value is the next word. */
static void put_taking(const eet_command *command, FILE *stream) {
    bool first = true;

    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (o->kind != EET_OPTION_FLAG && !o->optional_value) {
            (void)fputs(first ? "        " : " | ", stream);
            put_pattern(o, stream);
            first = false;
        }
    }
    (void)fputs(first ? "" : ") option=$prev ;;\n", stream);
}

static void put_values(const eet_option *o, FILE *stream) {
    (void)fputs("    ", stream);
    put_pattern(o, stream);
    (void)fputs(")\n", stream);
    if (o->kind == EET_OPTION_CHOICE) {
        (void)fputs("        mapfile -t COMPREPLY < <(compgen -P \"$before\" -W '", stream);
        for (const char *c = o->choices; *c != '\0'; c++) {
            (void)fputc(*c == '|' ? ' ' : *c, stream);
        }
        (void)fputs("' -- \"$cur\")\n", stream);
    }
    if (o->kind == EET_OPTION_CHOICE || !is_file(o)) {
        (void)fputs("        compopt +o default\n", stream);
    }
    (void)fputs("        return\n        ;;\n", stream);
}

static void put_names(const eet_command *command, FILE *stream) {
    (void)fputs("    local options='", stream);
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        (void)fprintf(stream, "--%s ", o->name);
        if (o->optional_value) {
            (void)fprintf(stream, "--%s= ", o->name);
        }
    }
    (void)fputs("--help --version'\n", stream);
}

/* Files that end as the command's own do, and folders on the way to them. */
static void put_operands(const eet_command *command, FILE *stream) {
    if (command->suffix != NULL) {
        (void)fprintf(stream,
                      "    compopt -o filenames\n"
                      "    cur=${cur#[\\'\\\"]}\n"
                      "    cur=${cur//\\\\/}\n"
                      "    mapfile -t COMPREPLY < <(\n"
                      "        compgen -f -X '!*%s' -- \"$cur\"\n"
                      "        compgen -d -- \"$cur\"\n"
                      "    )\n",
                      command->suffix);
    }
}

void eet_command_completion(const eet_command *command, FILE *stream) {
    (void)fprintf(stream, "# Completion of %s in bash, made by %s --help=bash.\n", command->name,
                  command->name);
    put_function_name(command, stream);
    (void)fputs(script_head, stream);
    put_taking(command, stream);
    (void)fputs(script_values, stream);
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (o->kind != EET_OPTION_FLAG) {
            put_values(o, stream);
        }
    }
    (void)fputs("    esac\n", stream);
    put_names(command, stream);
    (void)fputs(script_names, stream);
    put_operands(command, stream);
    (void)fputs("}\ncomplete -o bashdefault -o default -F ", stream);
    put_function_name(command, stream);
    (void)fprintf(stream, " %s\n", command->name);
}
