/* outcome.c - how a command ends: what it says about a failure, and its exit code. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "format/cli/json.h"
#include "format/cli/options.h"

/* An error's text falls apart into the message and, behind ';', a hint. */
typedef struct parts {
    char message[sizeof((eet_error *)0)->text];
    const char *hint; /* NULL: none */
} parts;

static void split_text(const eet_error *err, parts *out) {
    (void)snprintf(out->message, sizeof out->message, "%s", err->text);
    char *semicolon = strstr(out->message, "; ");

    out->hint = NULL;
    if (semicolon != NULL) {
        *semicolon = '\0';
        out->hint = semicolon + 2;
    }
}

static void print_failure(const eet_command *command, const eet_error *err, const char *path) {
    parts text;
    eet_shown shown;

    split_text(err, &text);
    (void)fprintf(stderr, "%s: error: ", command->name);
    if (path != NULL) {
        (void)fprintf(stderr, "%s: ", eet_show(&shown, path, strlen(path)));
    }
    (void)fputs(text.message, stderr);
    if (err->offset != EET_NOWHERE) {
        (void)fprintf(stderr, " (at byte %llu)", (unsigned long long)err->offset);
    }
    (void)fputc('\n', stderr);
    if (text.hint != NULL) {
        (void)fprintf(stderr, "%s: hint: %s\n", command->name, text.hint);
    }
}

eet_json *eet_command_error(const eet_error *err, const char *path) {
    parts text;
    eet_json *error = eet_json_object();

    split_text(err, &text);
    eet_json_set_string(error, "code", eet_status_symbol((eet_status)err->status));
    eet_json_set_string(error, "message", text.message);
    eet_json_set_string(error, "hint", text.hint);
    eet_json_set_string(error, "path", path);
    if (err->offset <= INT64_MAX) {
        eet_json_set_integer(error, "offset", (int64_t)err->offset);
    } else {
        eet_json_set_string(error, "offset", NULL);
    }
    return error;
}

/* Not EET_OK: nobody gets the document. */
static eet_status write_failure(const eet_error *err, const char *path) {
    eet_json *root = eet_json_object();

    eet_json_set_integer(root, "schema_version", 1);
    eet_json_set(root, "error", eet_command_error(err, path));
    return eet_json_write(root, stdout, false, NULL);
}

int eet_command_fail(const eet_command *command, const eet_error *err, const char *path,
                     bool json) {
    if (!json || write_failure(err, path) != EET_OK) {
        print_failure(command, err, path);
    }
    return eet_status_exit_code((eet_status)err->status);
}

static int finish(const eet_command *command, int code) {
    const int exit_io = eet_status_exit_code(EET_E_IO);
    eet_error err = {.status = EET_OK};

    errno = 0;
    if ((fflush(stdout) == 0 && ferror(stdout) == 0) || code == exit_io) {
        return code; /* once it is told, it need not be told again */
    }
    (void)eet_fail_errno(&err, errno != 0 ? errno : EIO, "cannot write the output");
    err.offset = EET_NOWHERE;
    (void)eet_command_fail(command, &err, NULL, false);
    return code <= 1 ? exit_io : code; /* nobody heard a 1, "they differ" */
}

/* A command line that cannot be parsed still says in which form it wants to hear so. */
static bool wants_json(const eet_command *command, int argc, char **argv) {
    const eet_option *option = command->options;

    while (option->name != NULL && strcmp(option->name, "json") != 0) {
        option++;
    }
    for (int i = 1; option->name != NULL && i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            return true;
        }
    }
    return false;
}

int eet_command_main(const eet_command *command, int argc, char **argv, void *fields,
                     eet_command_body *body) {
    eet_operands operands = {.count = 0};
    eet_error err = {.status = EET_OK};
    int code = 0;

    if (eet_command_parse(command, argc, argv, fields, &operands, &err) != EET_OK) {
        code = eet_command_fail(command, &err, NULL, wants_json(command, argc, argv));
    } else if (!operands.done) {
        code = body(fields, &operands);
    }
    eet_command_end(command, fields, &operands);
    return finish(command, code);
}
