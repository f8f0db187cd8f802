/* help.c - --help of a command, made from its option table. */
#include <string.h>

#include "format/cli/manual.h"

enum { SCREEN_LINES = 24, SCREEN_COLUMNS = 80 };

static const char *placeholder(const eet_option *o) {
    if (o->kind == EET_OPTION_FLAG) {
        return "";
    }
    return o->value != NULL ? o->value : o->choices;
}

/* "-o, --output FILE" or "    --digest[=WHAT]"; returns its width. */
static int print_option_name(FILE *stream, const eet_option *o) {
    const char *value = placeholder(o);
    char letter[8] = "    ";
    char text[80];

    if (o->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
    }
    if (o->optional_value) {
        (void)snprintf(text, sizeof text, "%s--%s[=%s]", letter, o->name, value);
    } else {
        (void)snprintf(text, sizeof text, "%s--%s%s%s", letter, o->name, *value == '\0' ? "" : " ",
                       value);
    }
    (void)fputs(text, stream);
    return (int)strlen(text);
}

static int widest_option(const eet_command *command) {
    int widest = (int)strlen("    --version");

    for (const eet_option *o = command->options; o->name != NULL; o++) {
        const int width = 6 + (int)strlen(o->name) + (int)strlen(placeholder(o)) +
                          (o->kind == EET_OPTION_FLAG ? 0 : 1) + (o->optional_value ? 2 : 0);

        widest = width > widest && !o->brief ? width : widest;
    }
    return widest;
}

static void print_option(FILE *stream, const eet_option *o, int widest) {
    (void)fputs("  ", stream);
    const int width = print_option_name(stream, o);

    (void)fprintf(stream, "%*s%s\n", widest - width + 2, "", o->help);
}

/* The brief options, one behind the other; with no stream it counts the lines. */
static int print_brief(const eet_command *command, FILE *stream) {
    static const char *const lead = "  more (see the manual):";
    int lines = 0;
    int column = SCREEN_COLUMNS;

    for (const eet_option *o = command->options; o->name != NULL; o++) {
        const char *value = placeholder(o);
        const int width = 3 + (int)strlen(o->name) + (*value != '\0' ? 1 : 0) + (int)strlen(value);

        if (!o->brief) {
            continue;
        }
        if (column + width > SCREEN_COLUMNS) {
            const char *begin = lines == 0 ? lead : "     ";

            (void)(stream != NULL && fprintf(stream, "%s%s", lines > 0 ? "\n" : "", begin));
            column = (int)strlen(begin);
            lines++;
        }
        (void)(stream != NULL &&
               fprintf(stream, " --%s%s%s", o->name, *value != '\0' ? " " : "", value));
        column += width;
    }
    (void)(stream != NULL && lines > 0 && fputc('\n', stream));
    return lines;
}

/* Empty lines are there when all fits a screen with them: usage, summary, the
 * options and two more, "Examples:", three examples, two empty lines. */
static bool has_room(const eet_command *command) {
    int lines = 2 + 2 + 1 + 3 + 2 + print_brief(command, NULL);

    for (const eet_option *o = command->options; o->name != NULL; o++) {
        lines += o->brief ? 0 : 1;
    }
    return lines <= SCREEN_LINES;
}

void eet_command_help(const eet_command *command, FILE *stream) {
    static const eet_option standard[] = {
        {.name = "help", .letter = 'h', .help = "print this and exit"},
        {.name = "version", .help = "print the version and exit"}};

    const int widest = widest_option(command);
    const char *gap = has_room(command) ? "\n" : "";

    (void)fprintf(stream, "Usage: %s %s\n%s\n%s", command->name, command->usage, command->summary,
                  gap);
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (!o->brief) {
            print_option(stream, o, widest);
        }
    }
    (void)print_brief(command, stream);
    print_option(stream, &standard[0], widest);
    print_option(stream, &standard[1], widest);
    (void)fprintf(stream, "%sExamples:\n", gap);
    for (int i = 0; i < 3; i++) {
        (void)fprintf(stream, "  %s\n", command->examples[i]);
    }
}
