/* manual.c - the manual page of a command, made from its option table. */
#include "format/cli/manual.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- roff --------------------------------------------------------------- */

/* Text that roff takes literally: `length` bytes of it. */
static void put_bytes(FILE *stream, const char *text, size_t length) {
    if (length > 0 && (text[0] == '.' || text[0] == '\'')) {
        (void)fputs("\\&", stream); /* else a request, at the start of a line */
    }
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '\\':
            (void)fputs("\\e", stream);
            break;
        case '-':
            (void)fputs("\\-", stream);
            break;
        case '\'':
            (void)fputs("\\(aq", stream);
            break;
        case '`':
            (void)fputs("\\(ga", stream);
            break;
        case '^':
            (void)fputs("\\(ha", stream);
            break;
        case '~':
            (void)fputs("\\(ti", stream);
            break;
        default:
            (void)fputc(text[i], stream);
        }
    }
}

static void put_text(FILE *stream, const char *text) {
    put_bytes(stream, text, strlen(text));
}

static void put_capital(FILE *stream, char c) {
    const int capital = toupper((unsigned char)c);

    (void)fputc(capital, stream);
}

static void put_font(FILE *stream, char font, const char *text, size_t length) {
    (void)fprintf(stream, "\\f%c", font);
    put_bytes(stream, text, length);
    (void)fputs("\\fR", stream);
}

/* ---- the head of the page ------------------------------------------------ */

/* A page that is made twice from the same sources is the same page. */
static void put_date(FILE *stream) {
    const char *wanted = getenv("SOURCE_DATE_EPOCH");
    char *end = NULL;
    char text[16];
    struct tm day;
    time_t now = time(NULL);

    if (wanted != NULL) {
        errno = 0;
        const long long seconds = strtoll(wanted, &end, 10);

        now = errno == 0 && end != wanted && *end == '\0' ? (time_t)seconds : now;
    }
    if (gmtime_r(&now, &day) != NULL && strftime(text, sizeof text, "%Y-%m-%d", &day) > 0) {
        (void)fputs(text, stream);
    }
}

static void put_title(const eet_command *command, FILE *stream) {
    (void)fprintf(stream, ".\\\" Made by %s --help=man from its option table.\n.TH ",
                  command->name);
    for (const char *c = command->name; *c != '\0'; c++) {
        put_capital(stream, *c);
    }
    (void)fputs(" 1 ", stream);
    put_date(stream);
    (void)fputs(" \"EET " EET_VERSION "\" \"EET\"\n", stream);
}

/* "eet-run - continues rows": the first sentence, as apropos wants it. */
static void put_name(const eet_command *command, FILE *stream) {
    const char *summary = command->summary;
    const char *end = strstr(summary, ". ");
    size_t length = end != NULL ? (size_t)(end - summary) : strlen(summary);

    if (length > 0 && summary[length - 1] == '.') {
        length--;
    }
    (void)fputs(".SH NAME\n", stream);
    put_text(stream, command->name);
    (void)fprintf(stream, " \\- %c", tolower((unsigned char)summary[0]));
    put_bytes(stream, summary + 1, length - 1);
    (void)fputc('\n', stream);
}

static bool is_placeholder(char c) {
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

/* Words of the usage that begin with a capital are places to fill. */
static void put_usage(const eet_command *command, FILE *stream) {
    (void)fputs(".SH SYNOPSIS\n", stream);
    put_font(stream, 'B', command->name, strlen(command->name));
    (void)fputc(' ', stream);
    for (const char *c = command->usage; *c != '\0';) {
        size_t length = 0;

        while (is_placeholder(c[length])) {
            length++;
        }
        while (length > 0 && c[length - 1] == '.') { /* "FILE...": the dots are not its name */
            length--;
        }
        if (length > 0 && isupper((unsigned char)*c)) {
            put_font(stream, 'I', c, length);
        } else {
            length = length > 0 ? length : 1;
            (void)fputs(*c == '.' ? "\\&" : "", stream);
            put_bytes(stream, c, *c == '.' ? 0 : length);
            (void)fputs(*c == '.' ? "." : "", stream);
        }
        c += length;
    }
    (void)fputc('\n', stream);
}

/* ---- options ------------------------------------------------------------ */

/* "keep, f32 or f16" of "keep|f32|f16". */
static void put_choices(FILE *stream, const char *choices) {
    for (const char *at = choices; at != NULL;) {
        const char *end = strchr(at, '|');

        put_font(stream, 'B', at, end != NULL ? (size_t)(end - at) : strlen(at));
        if (end != NULL) {
            (void)fputs(strchr(end + 1, '|') != NULL ? ", " : " or ", stream);
        }
        at = end != NULL ? end + 1 : NULL;
    }
}

static void put_option_name(const eet_option *o, FILE *stream) {
    const char *value = o->value != NULL ? o->value : "VALUE";

    if (o->letter != 0) {
        (void)fprintf(stream, "\\fB\\-%c\\fR, ", o->letter);
    }
    (void)fputs("\\fB\\-\\-", stream);
    put_text(stream, o->name);
    (void)fputs("\\fR", stream);
    if (o->kind != EET_OPTION_FLAG) {
        (void)fputs(o->optional_value ? "[=" : " ", stream);
        put_font(stream, 'I', value, strlen(value));
        (void)fputs(o->optional_value ? "]" : "", stream);
    }
    (void)fputc('\n', stream);
}

static void put_sentence(FILE *stream, const char *text) {
    const size_t length = strlen(text);

    if (length > 0) {
        (void)fputs(text[0] == '.' ? "\\&" : "", stream);
        put_capital(stream, text[0]);
        put_bytes(stream, text + 1, length - 1);
        (void)fputs(text[length - 1] == '.' ? "\n" : ".\n", stream);
    }
}

static void put_option(const eet_option *o, FILE *stream) {
    const char *value = o->value != NULL ? o->value : "VALUE";

    (void)fputs(".TP\n", stream);
    put_option_name(o, stream);
    put_sentence(stream, o->help);
    if (o->kind == EET_OPTION_CHOICE) {
        put_font(stream, 'I', value, strlen(value));
        (void)fputs(" is ", stream);
        put_choices(stream, o->choices);
        (void)fputs(".\n", stream);
    } else if (o->kind == EET_OPTION_INTEGER || o->kind == EET_OPTION_REAL) {
        put_font(stream, 'I', value, strlen(value));
        (void)fprintf(stream, " is %s%" PRId64 " to %" PRId64 ".\n", o->low < 0 ? "\\" : "", o->low,
                      o->high);
    } else if (o->kind == EET_OPTION_LIST) {
        (void)fputs("May be given several times.\n", stream);
    }
}

static void put_options(const eet_command *command, FILE *stream) {
    static const eet_option standard[] = {
        {.name = "help", .letter = 'h', .help = "print a summary of this page and exit"},
        {.name = "version", .help = "print the version and exit"}};

    (void)fputs(".SH OPTIONS\n"
                "A value is the next argument or follows an equals sign;\n"
                "one that may be left out follows an equals sign only.\n"
                "\\fB\\-\\-\\fR ends the options.\n",
                stream);
    for (const eet_option *o = command->options; o->name != NULL; o++) {
        put_option(o, stream);
    }
    put_option(&standard[0], stream);
    put_option(&standard[1], stream);
}

/* ---- the rest ------------------------------------------------------------ */

static void put_examples(const eet_command *command, FILE *stream) {
    (void)fputs(".SH EXAMPLES\n.EX\n", stream);
    for (int i = 0; i < 3; i++) {
        put_text(stream, command->examples[i]);
        (void)fputc('\n', stream);
    }
    (void)fputs(".EE\n", stream);
}

/* One meaning for every code that a status of ours can end a command with. */
static const char *code_meaning(int code) {
    switch (code) {
    case 0:
        return "Success.";
    case 2:
        return "A wrong command line, a target that exists, or an ambiguity that an option "
               "decides.";
    case 3:
        return "Well\\-formed, but not supported.";
    case 4:
        return "Malformed, damaged or hostile input.";
    case 5:
        return "Input or output failed.";
    case 6:
        return "Not enough memory, or beyond a limit.";
    case 7:
        return "The device failed.";
    case 130:
        return "Cancelled.";
    default:
        return "A bug of EET.";
    }
}

static void put_exit_status(FILE *stream) {
    static const int codes[] = {
#define X(symbol, number, exit_code) (exit_code),
        EET_STATUS_MAP(X)
#undef X
    };
    const int count = (int)(sizeof codes / sizeof codes[0]);
    int last = -1;

    (void)fputs(".SH EXIT STATUS\n", stream);
    for (;;) {
        int next = -1;

        for (int i = 0; i < count; i++) {
            if (codes[i] > last && (next < 0 || codes[i] < next)) {
                next = codes[i];
            }
        }
        if (next < 0) {
            return;
        }
        (void)fprintf(stream, ".TP\n.B %d\n%s\n", next, code_meaning(next));
        if (next == 0) {
            (void)fputs(".TP\n.B 1\nFiles differ, or a check of values failed.\n", stream);
        }
        last = next;
    }
}

void eet_command_manual(const eet_command *command, FILE *stream) {
    put_title(command, stream);
    put_name(command, stream);
    put_usage(command, stream);
    (void)fputs(".SH DESCRIPTION\n", stream);
    put_text(stream, command->summary);
    (void)fputc('\n', stream);
    put_options(command, stream);
    put_examples(command, stream);
    put_exit_status(stream);
    (void)fputs(".SH SEE ALSO\n.BR libeet (3),\n.BR eet (5)\n", stream);
}
