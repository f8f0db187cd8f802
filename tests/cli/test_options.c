/* test_options.c - a command line is read by its table; misuse is one sentence. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/cli/options.h"
#include "tests/support/suite.h"

typedef struct fields {
    bool force, quiet, json;
    const char *output, *dtype, *digest;
    int64_t threads;
    double share;
    eet_option_list metadata;
} fields;

static const eet_option options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = EET_OPTION_STRING,
     .value = "FILE",
     .help = "where to write",
     .offset = offsetof(fields, output)},
    {.name = "force",
     .kind = EET_OPTION_FLAG,
     .help = "overwrite",
     .offset = offsetof(fields, force)},
    {.name = "quiet",
     .letter = 'q',
     .kind = EET_OPTION_FLAG,
     .help = "say less",
     .offset = offsetof(fields, quiet)},
    {.name = "dtype",
     .kind = EET_OPTION_CHOICE,
     .value = "TYPE",
     .choices = "keep|f32|f16",
     .help = "of the weights",
     .offset = offsetof(fields, dtype)},
    {.name = "digest",
     .kind = EET_OPTION_CHOICE,
     .optional_value = true,
     .value = "WHAT",
     .choices = "content|file",
     .help = "print a digest",
     .offset = offsetof(fields, digest)},
    {.name = "max-threads",
     .letter = 'j',
     .kind = EET_OPTION_INTEGER,
     .value = "N",
     .low = 1,
     .high = 256,
     .help = "how many",
     .offset = offsetof(fields, threads)},
    {.name = "metadata",
     .kind = EET_OPTION_LIST,
     .value = "K=V",
     .help = "to keep",
     .offset = offsetof(fields, metadata)},
    {.name = "share",
     .kind = EET_OPTION_REAL,
     .brief = true,
     .value = "P",
     .low = 0,
     .high = 1,
     .help = "a part of all",
     .offset = offsetof(fields, share)},
    {.name = "json", .help = "as JSON", .offset = offsetof(fields, json)},
    {.name = NULL},
};

static const char *const examples[] = {"eet-try a", "eet-try b", "eet-try c"};
static const eet_command command = {.name = "eet-try",
                                    .usage = "[OPTIONS] FILE...",
                                    .summary = "Tries options.",
                                    .options = options,
                                    .examples = examples,
                                    .min_operands = 1,
                                    .max_operands = 3};

enum { MAX_WORDS = 12 };

/* The words of a line, separated by single spaces; they stay until the next call. */
static int split_line(const char *line, char **argv) {
    static char text[512]; /* the results point into it */
    int argc = 0;

    (void)snprintf(text, sizeof text, "eet-try %s", line);
    for (char *word = strtok(text, " "); word != NULL && argc < MAX_WORDS;
         word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return argc;
}

static eet_status parse_line(const char *line, fields *f, eet_operands *operands, eet_error *err) {
    char *argv[MAX_WORDS + 1] = {NULL};
    const int argc = split_line(line, argv);

    return eet_command_parse(&command, argc, argv, f, operands, err);
}

static int main_of(const char *line, eet_command_body *body) {
    char *argv[MAX_WORDS + 1] = {NULL};
    const int argc = split_line(line, argv);
    fields f = {0};

    return eet_command_main(&command, argc, argv, &f, body);
}

static void parse_good(const char *line, fields *f, eet_operands *operands) {
    eet_error err = {0};

    ck_assert_msg(parse_line(line, f, operands, &err) == EET_OK, "%s: %s", line, err.text);
}

static const char *const spellings[] = {
    "--output=a.eet --max-threads=3 --force x",
    "--output a.eet --max_threads 3 --force x",
    "-o a.eet -j 3 --force x",
    "-oa.eet -j3 x --force",
    "x --force --output=a.eet --max-threads=03",
};

START_TEST(spellings_of_one_option_mean_the_same)
{
    fields f = {0};
    eet_operands operands;

    parse_good(spellings[_i], &f, &operands);
    ck_assert_str_eq(f.output, "a.eet");
    ck_assert_int_eq(f.threads, 3);
    ck_assert(f.force && !f.quiet);
    ck_assert_int_eq(operands.count, 1);
    ck_assert_str_eq(operands.items[0], "x");
    ck_assert(!operands.done);
    eet_command_end(&command, &f, &operands);
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
    fields f = {0};
    eet_operands operands;

    parse_good("-q -- --force -", &f, &operands);
    ck_assert(f.quiet && !f.force);
    ck_assert_int_eq(operands.count, 2);
    ck_assert_str_eq(operands.items[0], "--force");
    ck_assert_str_eq(operands.items[1], "-");
    eet_command_end(&command, &f, &operands);
}
END_TEST

START_TEST(a_repeated_list_keeps_its_order)
{
    fields f = {0};
    eet_operands operands;

    parse_good("--metadata b=2 x --metadata=a=1 --metadata b=3", &f, &operands);
    ck_assert_int_eq(f.metadata.count, 3);
    ck_assert_str_eq(f.metadata.items[0], "b=2");
    ck_assert_str_eq(f.metadata.items[1], "a=1");
    ck_assert_str_eq(f.metadata.items[2], "b=3");
    eet_command_end(&command, &f, &operands);
    ck_assert_ptr_null(f.metadata.items);
}
END_TEST

START_TEST(an_optional_value_must_be_attached)
{
    fields f = {0};
    eet_operands operands;

    parse_good("--digest file", &f, &operands);
    ck_assert_str_eq(f.digest, "");
    ck_assert_str_eq(operands.items[0], "file");
    eet_command_end(&command, &f, &operands);
    parse_good("--digest=file x", &f, &operands);
    ck_assert_str_eq(f.digest, "file");
    eet_command_end(&command, &f, &operands);
}
END_TEST

START_TEST(numbers_are_read_as_they_are_written)
{
    fields f = {0};
    eet_operands operands;

    parse_good("--share .25 x", &f, &operands);
    ck_assert(f.share == 0.25);
    eet_command_end(&command, &f, &operands);
    parse_good("--share=1e-3 x", &f, &operands);
    ck_assert(f.share == 1e-3);
    eet_command_end(&command, &f, &operands);
}
END_TEST

static const struct {
    const char *line, *says;
} misuse[] = {
    {"--ouptut a x", "--output"},
    {"--forze x", "did you mean --force?"},
    {"--nonsense x", "eet-try --help"},
    {"-z x", "no option -z"},
    {"-qz x", "no option -z"},
    {"--force=yes x", "takes no value"},
    {"x --output", "needs a value"},
    {"x -o", "needs a value"},
    {"--max-threads 0 x", "from 1 to 256"},
    {"--max-threads 257 x", "from 1 to 256"},
    {"--max-threads 3x x", "from 1 to 256"},
    {"--max-threads= x", "from 1 to 256"},
    {"--max-threads=+3 x", "from 1 to 256"},
    {"--max-threads 99999999999999999999 x", "from 1 to 256"},
    {"--share 1.01 x", "a number from 0 to 1, not '1.01'"},
    {"--share -1e-9 x", "from 0 to 1"},
    {"--share nan x", "from 0 to 1"},
    {"--share inf x", "from 0 to 1"},
    {"--share 0x1 x", "from 0 to 1"},
    {"--share 1e999 x", "from 0 to 1"},
    {"--share 0.5. x", "from 0 to 1"},
    {"--share= x", "from 0 to 1"},
    {"--share", "needs a value: P"},
    {"--dtype f64 x", "keep|f32|f16"},
    {"--dtype f3 x", "keep|f32|f16"},
    {"--dtype= x", "keep|f32|f16"},
    {"--digest=weights x", "content|file"},
    {"--digest= x", "--digest alone"},
    {"", "missing"},
    {"--force", "missing"},
    {"a b c d", "too many, 'd'"},
    {"--metadata a=1 --bad\x1b x", "\\x1B"},
};

START_TEST(misuse_is_refused_with_a_sentence_that_helps)
{
    fields f = {0};
    eet_operands operands;
    eet_error err = {0};

    ck_assert_int_eq(parse_line(misuse[_i].line, &f, &operands, &err), EET_E_ARGUMENT);
    ck_assert_msg(strstr(err.text, misuse[_i].says) != NULL, "'%s' says: %s", misuse[_i].line,
                  err.text);
    ck_assert_ptr_null(operands.items);
    ck_assert_ptr_null(f.metadata.items); /* nothing to free after a failure */
    eet_command_end(&command, &f, &operands);
}
END_TEST

/* ---- what reaches the streams ------------------------------------------- */

typedef struct outcome {
    char out[4096], err[4096];
    int code;
} outcome;

static void read_back(FILE *file, char *text, size_t room) {
    rewind(file);
    text[fread(text, 1, room - 1, file)] = '\0';
    (void)fclose(file);
}

/* Runs `act` in a process whose stdout and stderr are kept. */
static outcome run(int (*act)(void)) {
    outcome o = {.code = -1};
    FILE *out = tmpfile();
    FILE *err = tmpfile();
    int status = 0;
    const pid_t child = fork();

    if (child == 0) {
        (void)dup2(fileno(out), STDOUT_FILENO);
        (void)dup2(fileno(err), STDERR_FILENO);
        const int code = act();

        (void)fflush(stdout);
        _exit(code);
    }
    (void)waitpid(child, &status, 0);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_back(out, o.out, sizeof o.out);
    read_back(err, o.err, sizeof o.err);
    return o;
}

static int never(void *f, const eet_operands *operands) {
    (void)f;
    (void)operands;
    return 99;
}

static int ask_for_help(void) {
    return main_of("--help --nonsense", never);
}

START_TEST(help_lists_every_option_and_ends_with_the_examples)
{
    const outcome o = run(ask_for_help);

    ck_assert_int_eq(o.code, 0);
    ck_assert_str_eq(o.err, "");
    ck_assert_str_eq(o.out, "Usage: eet-try [OPTIONS] FILE...\n"
                            "Tries options.\n"
                            "\n"
                            "  -o, --output FILE    where to write\n"
                            "      --force          overwrite\n"
                            "  -q, --quiet          say less\n"
                            "      --dtype TYPE     of the weights\n"
                            "      --digest[=WHAT]  print a digest\n"
                            "  -j, --max-threads N  how many\n"
                            "      --metadata K=V   to keep\n"
                            "      --json           as JSON\n"
                            "  more (see the manual): --share P\n"
                            "  -h, --help           print this and exit\n"
                            "      --version        print the version and exit\n"
                            "\n"
                            "Examples:\n"
                            "  eet-try a\n"
                            "  eet-try b\n"
                            "  eet-try c\n");
}
END_TEST

static int ask_for_version(void) {
    return main_of("--version", never);
}

START_TEST(version_is_one_line)
{
    const outcome o = run(ask_for_version);

    ck_assert_int_eq(o.code, 0);
    ck_assert_str_eq(o.out, "eet-try " EET_VERSION "\n");
}
END_TEST

static int break_in_words(void *f, const eet_operands *operands) {
    eet_error err = {0};

    (void)f;
    (void)operands;
    (void)eet_fail(&err, EET_E_CORRUPT, 17, "broken \x1b[2J tensor; convert it again");
    return eet_command_fail(&command, &err, "evil\x1b\n.eet", false);
}

static int fail_in_words(void) {
    return main_of("x", break_in_words);
}

START_TEST(a_failure_is_one_line_with_a_hint_and_nothing_on_stdout)
{
    const outcome o = run(fail_in_words);

    ck_assert_int_eq(o.code, 4);
    ck_assert_str_eq(o.out, "");
    ck_assert_str_eq(o.err, "eet-try: error: evil\\x1B\\x0A.eet: broken \\x1B[2J tensor (at byte "
                            "17)\neet-try: hint: convert it again\n");
}
END_TEST

static int break_in_json(void *f, const eet_operands *operands) {
    eet_error err = {0};

    (void)f;
    (void)eet_fail(&err, EET_E_EXISTS, EET_NOWHERE, "it exists");
    return eet_command_fail(&command, &err, operands->items[0], true);
}

static int fail_in_json(void) {
    return main_of("a.eet", break_in_json);
}

START_TEST(a_failure_in_json_goes_to_stdout_with_the_same_code)
{
    const outcome o = run(fail_in_json);

    ck_assert_int_eq(o.code, 2);
    ck_assert_str_eq(o.err, "");
    ck_assert_str_eq(o.out, "{\n  \"schema_version\": 1,\n  \"error\": {\n"
                            "    \"code\": \"EET_E_EXISTS\",\n    \"message\": \"it exists\",\n"
                            "    \"hint\": null,\n    \"path\": \"a.eet\",\n"
                            "    \"offset\": null\n  }\n}\n");
}
END_TEST

static int misuse_json(void) {
    return main_of("--json --nonsense", never);
}

static int misuse_an_operand(void) {
    return main_of("--nonsense -- --json", never);
}

START_TEST(misuse_is_told_in_json_to_who_asked_for_json)
{
    const outcome json = run(misuse_json);
    const outcome text = run(misuse_an_operand);

    ck_assert_int_eq(json.code, 2);
    ck_assert_str_eq(json.err, "");
    ck_assert_ptr_nonnull(strstr(json.out, "\"code\": \"EET_E_ARGUMENT\""));
    ck_assert_int_eq(text.code, 2);
    ck_assert_str_eq(text.out, "");
}
END_TEST

static int say_something(void *f, const eet_operands *operands) {
    (void)f;
    (void)operands;
    (void)printf("something\n");
    return 0;
}

static int print_to_full(void) {
    return freopen("/dev/full", "w", stdout) == NULL ? 99 : main_of("x", say_something);
}

static int print_to_closed_pipe(void) {
    int ends[2] = {-1, -1};

    if (pipe(ends) != 0) {
        return 99;
    }
    (void)dup2(ends[1], STDOUT_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return main_of("x", say_something);
}

static int print_to_nothing(void) {
    (void)close(STDOUT_FILENO);
    return main_of("x", say_something);
}

static int (*const bad_outputs[])(void) = {print_to_full, print_to_closed_pipe, print_to_nothing};

START_TEST(output_that_cannot_be_written_is_exit_code_5)
{
    const outcome o = run(bad_outputs[_i]);

    ck_assert_int_eq(o.code, 5);
    ck_assert_ptr_nonnull(strstr(o.err, "eet-try: error: cannot write the output: "));
}
END_TEST

int main(void) {
    const eet_claim claims[] = {
        {.test = spellings_of_one_option_mean_the_same,
         .rows = sizeof spellings / sizeof *spellings},
        {.test = two_dashes_end_the_options},
        {.test = a_repeated_list_keeps_its_order},
        {.test = an_optional_value_must_be_attached},
        {.test = numbers_are_read_as_they_are_written},
        {.test = misuse_is_refused_with_a_sentence_that_helps,
         .rows = sizeof misuse / sizeof *misuse},
        {.test = help_lists_every_option_and_ends_with_the_examples},
        {.test = version_is_one_line},
        {.test = a_failure_is_one_line_with_a_hint_and_nothing_on_stdout},
        {.test = a_failure_in_json_goes_to_stdout_with_the_same_code},
        {.test = misuse_is_told_in_json_to_who_asked_for_json},
        {.test = output_that_cannot_be_written_is_exit_code_5,
         .rows = sizeof bad_outputs / sizeof *bad_outputs},
    };
    return eet_suite_run("options", claims, sizeof claims / sizeof *claims);
}
