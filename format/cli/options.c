/* options.c - reads a command line by the command's table. */
#include "format/cli/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/cli/manual.h"

/* The two that every command has; parse_long knows them by their address. */
static const eet_option help_option = {
    .name = "help", .letter = 'h', .kind = EET_OPTION_FLAG, .help = "print this and exit"};
static const eet_option version_option = {
    .name = "version", .kind = EET_OPTION_FLAG, .help = "print the version and exit"};

typedef struct parse {
    const eet_command *command;
    char **argv;
    int argc, at; /* at: the next argument */
    void *fields;
    eet_operands operands;
    eet_error *err;
} parse;

/* ---- looking up --------------------------------------------------------- */

/* Is `text` (length bytes) this option's name, - and _ being the same? */
static bool is_name(const char *name, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const int c = text[i] == '_' ? '-' : text[i];

        if (name[i] == '\0' || name[i] != c) {
            return false;
        }
    }
    return name[length] == '\0';
}

static const eet_option *find_long(const eet_command *command, const char *text, size_t length) {
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (is_name(o->name, text, length)) {
            return o;
        }
    }
    if (is_name(help_option.name, text, length)) {
        return &help_option;
    }
    return is_name(version_option.name, text, length) ? &version_option : NULL;
}

static const eet_option *find_letter(const eet_command *command, char letter) {
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (o->letter == letter) {
            return o;
        }
    }
    return letter == help_option.letter ? &help_option : NULL;
}

static int least(int a, int b) {
    return a < b ? a : b;
}

/* Edits (put in, take out, change a character) from `a` to `b`. */
static int edits_between(const char *a, const char *b) {
    enum { LONGEST = 32 };
    int row[LONGEST + 1];
    const int n = (int)strlen(b);

    if (n > LONGEST) {
        return LONGEST;
    }
    for (int j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (int i = 0; a[i] != '\0'; i++) {
        int corner = row[0]; /* the row above, one column back */

        row[0] = i + 1;
        for (int j = 1; j <= n; j++) {
            const int above = row[j];

            row[j] = least(least(above, row[j - 1]) + 1, corner + (a[i] == b[j - 1] ? 0 : 1));
            corner = above;
        }
    }
    return row[n];
}

/* The option whose name is nearest to a misspelt one, or NULL. */
static const char *nearest_name(const eet_command *command, const char *wrong) {
    const char *nearest = NULL;
    int fewest = 3;

    for (const eet_option *o = command->options; o->name != NULL; o++) {
        const int edits = edits_between(wrong, o->name);

        if (edits < fewest) {
            fewest = edits;
            nearest = o->name;
        }
    }
    return nearest;
}

static eet_status unknown_long(const parse *p, const char *text, size_t length) {
    eet_shown shown;
    char wrong[64];
    const char *nearest = NULL;

    if (length < sizeof wrong) {
        memcpy(wrong, text, length);
        wrong[length] = '\0';
        nearest = nearest_name(p->command, wrong);
    }
    if (nearest != NULL) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "there is no option --%s; did you mean --%s?",
                        eet_show(&shown, text, length), nearest);
    }
    return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                    "there is no option --%s; %s --help lists them", eet_show(&shown, text, length),
                    p->command->name);
}

/* ---- setting ------------------------------------------------------------ */

static bool is_choice(const char *choices, const char *value) {
    const size_t length = strlen(value);
    const char *at = choices;

    while (at != NULL) {
        const char *end = strchr(at, '|');
        const size_t bytes = end == NULL ? strlen(at) : (size_t)(end - at);

        if (bytes == length && memcmp(at, value, length) == 0) {
            return true;
        }
        at = end == NULL ? NULL : end + 1;
    }
    return false;
}

static eet_status set_integer(const parse *p, const eet_option *o, const char *value) {
    char *end = NULL;

    errno = 0;
    const long long number = strtoll(value, &end, 10);
    const bool digits =
        value[0] == '-' ? value[1] >= '0' && value[1] <= '9' : value[0] >= '0' && value[0] <= '9';

    if (!digits || *end != '\0' || errno != 0 || number < o->low || number > o->high) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--%s takes an integer from %" PRId64 " to %" PRId64 ", not '%s'", o->name,
                        o->low, o->high, value);
    }
    *(int64_t *)(void *)((char *)p->fields + o->offset) = number;
    return EET_OK;
}

static eet_status set_real(const parse *p, const eet_option *o, const char *value) {
    char *end = NULL;
    const bool plain = value[0] != '\0' && value[strspn(value, "+-.0123456789eE")] == '\0';
    const double number = strtod(value, &end);

    if (!plain || *end != '\0' || !isfinite(number) || number < (double)o->low ||
        number > (double)o->high) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--%s takes a number from %" PRId64 " to %" PRId64 ", not '%s'", o->name,
                        o->low, o->high, value);
    }
    *(double *)(void *)((char *)p->fields + o->offset) = number;
    return EET_OK;
}

static eet_status append_item(const parse *p, eet_option_list *list, const char *value) {
    const char **grown = realloc(list->items, ((size_t)list->count + 1) * sizeof *grown);

    if (grown == NULL) {
        return eet_fail(p->err, EET_E_MEMORY, EET_NOWHERE, "not enough memory for the arguments");
    }
    list->items = grown;
    list->items[list->count++] = value;
    return EET_OK;
}

static eet_status set_value(parse *p, const eet_option *o, const char *value) {
    void *field = (char *)p->fields + o->offset;

    p->operands.given |= UINT64_C(1) << (o - p->command->options);
    switch ((eet_option_kind)o->kind) {
    case EET_OPTION_FLAG:
        *(bool *)field = true;
        return EET_OK;
    case EET_OPTION_STRING:
        *(const char **)field = value;
        return EET_OK;
    case EET_OPTION_INTEGER:
        return set_integer(p, o, value);
    case EET_OPTION_REAL:
        return set_real(p, o, value);
    case EET_OPTION_CHOICE:
        if (!is_choice(o->choices, value) && !(o->optional_value && value[0] == '\0')) {
            return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE, "--%s takes one of %s, not '%s'",
                            o->name, o->choices, value);
        }
        *(const char **)field = value;
        return EET_OK;
    case EET_OPTION_LIST:
        return append_item(p, field, value);
    }
    return eet_fail(p->err, EET_E_INTERNAL, EET_NOWHERE, "--%s is of no kind", o->name);
}

/* ---- parsing ------------------------------------------------------------ */

/* --help=man and --help=bash, for the build. */
static eet_status print_generated(parse *p, const char *what) {
    if (strcmp(what, "man") == 0) {
        eet_command_manual(p->command, stdout);
    } else if (strcmp(what, "bash") == 0) {
        eet_command_completion(p->command, stdout);
    } else {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--help takes no value but man (the manual page) and bash (completion)");
    }
    p->operands.done = true;
    return EET_OK;
}

/* --help and --version end the parse: true when `o` is one of them. */
static bool print_standard(parse *p, const eet_option *o) {
    if (o == &help_option) {
        eet_command_help(p->command, stdout);
    } else if (o == &version_option) {
        (void)printf("%s %s\n", p->command->name, EET_VERSION);
    } else {
        return false;
    }
    p->operands.done = true;
    return true;
}

/* The value of `o`: what was attached to it, or the next argument. */
static eet_status take_value(parse *p, const eet_option *o, const char *attached) {
    if (o->optional_value && attached != NULL && attached[0] == '\0') {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "--%s= has no value; --%s alone needs none", o->name, o->name);
    }
    if (attached != NULL) {
        return set_value(p, o, attached);
    }
    if (o->optional_value) {
        return set_value(p, o, "");
    }
    if (p->at == p->argc) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE, "--%s needs a value: %s", o->name,
                        o->value != NULL ? o->value : o->choices);
    }
    return set_value(p, o, p->argv[p->at++]);
}

static eet_status parse_long(parse *p, const char *text) {
    const size_t length = strcspn(text, "=");
    const char *attached = text[length] == '=' ? text + length + 1 : NULL;
    const eet_option *o = find_long(p->command, text, length);

    if (o == NULL) {
        return unknown_long(p, text, length);
    }
    if (o->kind != EET_OPTION_FLAG) {
        return take_value(p, o, attached);
    }
    if (attached != NULL && o == &help_option) {
        return print_generated(p, attached);
    }
    if (attached != NULL) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE, "--%s takes no value", o->name);
    }
    return print_standard(p, o) ? EET_OK : set_value(p, o, NULL);
}

/* -q, -qv, -oFILE, -o FILE. */
static eet_status parse_letters(parse *p, const char *text) {
    eet_status status = EET_OK;

    for (; *text != '\0' && status == EET_OK && !p->operands.done; text++) {
        const eet_option *o = find_letter(p->command, *text);

        if (o == NULL) {
            eet_shown shown;

            return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                            "there is no option -%s; %s --help lists them",
                            eet_show(&shown, text, 1), p->command->name);
        }
        if (o->kind != EET_OPTION_FLAG) {
            return take_value(p, o, text[1] != '\0' ? text + 1 : NULL);
        }
        if (!print_standard(p, o)) {
            status = set_value(p, o, NULL);
        }
    }
    return status;
}

static eet_status parse_all(parse *p) {
    bool ended = false;
    eet_status status = EET_OK;

    while (p->at < p->argc && status == EET_OK && !p->operands.done) {
        char *argument = p->argv[p->at++];

        if (ended || argument[0] != '-' || argument[1] == '\0') {
            p->operands.items[p->operands.count++] = argument;
        } else if (strcmp(argument, "--") == 0) {
            ended = true;
        } else if (argument[1] == '-') {
            status = parse_long(p, argument + 2);
        } else {
            status = parse_letters(p, argument + 1);
        }
    }
    return status;
}

static eet_status check_count(const parse *p) {
    const eet_command *command = p->command;
    const int32_t count = p->operands.count;

    if (count < command->min_operands) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE, "an argument is missing; usage: %s %s",
                        command->name, command->usage);
    }
    if (command->max_operands >= 0 && count > command->max_operands) {
        return eet_fail(p->err, EET_E_ARGUMENT, EET_NOWHERE,
                        "one argument too many, '%s'; usage: %s %s",
                        p->operands.items[command->max_operands], command->name, command->usage);
    }
    return EET_OK;
}

/* A closed pipe is reported as an error of output, not by a signal. A command
 * started with descriptors 0 to 2 closed gets unusable ones there, so that no
 * file it opens is taken for its output. */
static void guard_streams(void) {
    int fd = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    do {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        (void)close(fd);
    }
}

eet_status eet_command_parse(const eet_command *command, int argc, char **argv, void *fields,
                             eet_operands *operands, eet_error *err) {
    parse p = {
        .command = command, .argv = argv, .argc = argc, .at = 1, .fields = fields, .err = err};

    guard_streams();
    *operands = (eet_operands){.count = 0};
    p.operands.items = calloc((size_t)argc + 1, sizeof *p.operands.items);
    if (p.operands.items == NULL) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "not enough memory for the arguments");
    }
    eet_status status = parse_all(&p);

    if (status == EET_OK && !p.operands.done) {
        status = check_count(&p);
    }
    if (status != EET_OK) {
        eet_command_end(command, fields, &p.operands);
        return status;
    }
    *operands = p.operands;
    return EET_OK;
}

void eet_command_end(const eet_command *command, void *fields, eet_operands *operands) {
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        if (o->kind == EET_OPTION_LIST) {
            eet_option_list *list = (void *)((char *)fields + o->offset);

            free(list->items);
            *list = (eet_option_list){.count = 0};
        }
    }
    free(operands->items);
    operands->items = NULL;
    operands->count = 0;
}
