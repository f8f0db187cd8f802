/* case_sanitize.c - cases of this program, and suites of the ops, under compute-sanitizer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

/* compute-sanitizer's exit status when it complains; its arguments and the program's */
enum { FOUND = 99, MOST_ARGUMENTS = 31 };

/* racecheck takes its time. */
static const char few[] = "models.gpt2_tiny.f16,models.bert_tiny.f32,greedy.gpt2_tiny.f16";
static const char many[] =
    "identity.limits,models.gpt2_tiny.f32,models.gpt2_head26.f16,models.bert_tiny.bf16,"
    "models.bert_head72.f16,models.fs012_nmt.f16,steps.gpt2_tiny.f16,steps.fs012_nmt.f32,"
    "greedy.gpt2_tiny.f16,heads.size72.f16,heads.size128.bf16,schedules.encode.f16,"
    "beams.gpt2_tiny,draws.gpt2_tiny";

/* The kernel of attention_pages.cu, as compute-sanitizer writes it. */
static const char kernel[] = "void <unnamed>::attend_pages<lanes_of<";

static const char *find_sanitizer(void) {
    static const char *const places[] = {"/usr/local/cuda/bin/compute-sanitizer",
                                         "/usr/local/cuda/compute-sanitizer/compute-sanitizer",
                                         "/usr/bin/compute-sanitizer"};
    static char path[GPU_PATH];
    char *folders = strdup(getenv("PATH") != NULL ? getenv("PATH") : "");
    char *rest = folders;

    for (char *folder = strsep(&rest, ":"); folder != NULL; folder = strsep(&rest, ":")) {
        (void)snprintf(path, sizeof path, "%.900s/compute-sanitizer", folder);
        if (access(path, X_OK) == 0) {
            free(folders);
            return path;
        }
    }
    free(folders);
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        if (access(places[i], X_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

/* How many lines of the inner run's report end a case, and how many of them passed. */
static void count_ends(const char *path, int32_t *ends, int32_t *passed) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    *ends = *passed = 0;
    while (file != NULL && getline(&line, &room, file) > 0) {
        const bool end = strncmp(line, "end\t", 4) == 0;

        *ends += end ? 1 : 0;
        *passed += end && strstr(line, "\tpassed\t") != NULL ? 1 : 0;
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
}

/* ---- what it says ---------------------------------------------------------- */

/* Does a line that names a place name the kernel, and a line that names none belong to such a
 * report: a write and a read that race, or a read of a block that may have ended? Both are ordered
 * by barriers at which one lane arrives for its warp (tests/cuda/races.cu). */
static bool is_excused(const char *line) {
    static const char *const places[] = {"Error: Race reported between Write access at ",
                                         "    and Read access at ", "    at "};
    static const char *const others[] = {"Potential invalid __shared__ read of size 4 bytes",
                                         "    by thread (",
                                         "is located in a block that might have already exited",
                                         "hazards displayed (", "hazard displayed ("};

    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        const char *place = strstr(line, places[i]);

        if (place != NULL) {
            return strncmp(place + strlen(places[i]), kernel, strlen(kernel)) == 0;
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
        if (strstr(line, others[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void take_line(gpu_complaints *c, const char *line, bool unknown) {
    const char *text = line + strlen("=========");
    const size_t used = strlen(c->text);

    if (strstr(line, "ERROR SUMMARY: 0 errors") != NULL ||
        strstr(line, "RACECHECK SUMMARY: 0 hazards") != NULL) {
        c->whole = true;
    } else if (strspn(text, " \n") == strlen(text) || strstr(text, "COMPUTE-SANITIZER") != NULL ||
               strstr(text, "Target application returned an error") != NULL) {
        return; /* nothing, the banner, what its exit status says */
    } else if (unknown && is_excused(text)) {
        c->whole = c->whole || strstr(text, "RACECHECK SUMMARY") != NULL;
        c->excused += 1;
    } else {
        c->count += 1;
        if (used < 350) {
            (void)snprintf(c->text + used, sizeof c->text - used, "%.150s", text);
        }
    }
}

gpu_complaints gpu_complaints_read(const char *path, bool unknown) {
    gpu_complaints c = {.whole = false};
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    while (file != NULL && getline(&line, &room, file) > 0) {
        if (strncmp(line, "=========", 9) == 0) {
            take_line(&c, line, unknown);
        }
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
    return c;
}

/* ---- cases ------------------------------------------------------------------ */

/* A program beside this one under a tool; everything that it says is read. */
static int run_under(const char *tool, const char *const *program, bool unknown,
                     gpu_complaints *complaints) {
    const char *arguments[MOST_ARGUMENTS + 1] = {
        find_sanitizer(),   "--tool", tool, "--error-exitcode", "99", "--print-limit", "0",
        "--show-backtrace", "no"};
    char output[GPU_PATH];
    size_t count = 9;

    if (arguments[0] == NULL) {
        gpu_skip("there is no compute-sanitizer");
    }
    for (size_t i = 0; program[i] != NULL; ++i) {
        gpu_expect(count < MOST_ARGUMENTS, "there are too many arguments");
        arguments[count++] = program[i];
    }
    gpu_name_file(output, "out");
    const int code = gpu_program_run(arguments, output);

    *complaints = gpu_complaints_read(output, unknown);
    (void)unlink(output);
    return code;
}

/* One of the kernels of tests/cuda/races.cu under racecheck. */
static int run_races(const char *what, gpu_complaints *complaints) {
    char program[GPU_PATH];

    (void)snprintf(program, sizeof program, "%.900s/races", gpu_here()->folder);
    return run_under("racecheck", (const char *const[]){program, what, NULL}, true, complaints);
}

/* racecheck finds a race where there is one, with all that is excused elsewhere; none behind a
 * barrier; and knows a lane that arrives for its warp, or does not. */
static void run_planted(const gpu_case *one) {
    gpu_complaints c;

    (void)one;
    const int told = run_races("told", &c);

    gpu_expect(told == 0 && c.whole && c.count + c.excused == 0,
               "behind a barrier: exit %d; it says:%s", told, c.text);
    const int untold = run_races("untold", &c);

    gpu_expect(untold == FOUND && c.count > 0, "without a barrier: exit %d, %d lines", untold,
               c.count);
    const int lanes = run_races("lanes", &c);

    gpu_expect(lanes == FOUND || lanes == 0 || lanes == 77, "exit %d; it says:%s", lanes, c.text);
    gpu_note("a lane that arrives for its warp is %s", lanes == FOUND ? "unknown to it" : "known");
}

static void run_sanitizer(const gpu_case *one) {
    const bool races = strcmp(one->subject, "racecheck") == 0;
    const char *cases = races ? few : many;
    char report[GPU_PATH];
    gpu_complaints c;
    int32_t ends = 0;
    int32_t passed = 0;
    int32_t wanted = 1;

    for (const char *at = cases; *at != '\0'; ++at) {
        wanted += *at == ',' ? 1 : 0;
    }
    const bool unknown = races && run_races("lanes", &c) == FOUND;

    gpu_name_file(report, "report");
    const int code = run_under(one->subject,
                               (const char *const[]){gpu_here()->program, "--device", "cuda",
                                                     "--run", cases, "--report", report, NULL},
                               unknown, &c);

    count_ends(report, &ends, &passed);
    (void)unlink(report);
    gpu_expect((code == 0 || (code == FOUND && c.excused > 0)) && passed == wanted && c.whole &&
                   c.count == 0,
               "exit %d, %d of %d cases passed; it says:%s", code, passed, wanted, c.text);
    gpu_note("%d cases", passed);
    if (c.excused > 0) {
        gpu_note("%d lines of attend_pages, whose form of barrier it does not know, are excused",
                 c.excused);
    }
}

/* A suite of ops under a tool: subject is "TOOL PROGRAM". Whether its tests pass is the case of the
 * suite alone to say; here they have to run. */
static void run_sanitized_suite(const gpu_case *one) {
    char tool[32];
    char path[GPU_PATH];
    char tap[GPU_PATH];
    gpu_complaints c;

    (void)snprintf(tool, sizeof tool, "%.*s", (int)strcspn(one->subject, " "), one->subject);
    (void)snprintf(path, sizeof path, "%.900s/%.90s", gpu_here()->folder,
                   strchr(one->subject, ' ') + 1);
    gpu_name_file(tap, "tap");
    (void)setenv("CK_TAP_LOG_FILE_NAME", tap, 1);
    const int code = run_under(tool, (const char *const[]){path, NULL}, false, &c);
    const int32_t tests = gpu_tap_tests(tap);

    (void)unlink(tap);
    gpu_expect(c.whole && c.count == 0 && code != FOUND && tests > 0,
               "exit %d after %d tests; it says:%s", code, tests, c.text);
    gpu_note("%d tests", tests);
}

void gpu_cases_sanitize(gpu_table *table) {
    static const char *const tools[] = {"memcheck", "racecheck", "initcheck", "synccheck"};
    struct dirent **entries = NULL;

    if (gpu_here()->device != EET_CUDA) {
        return;
    }
    for (size_t i = 0; i < sizeof tools / sizeof *tools; ++i) {
        gpu_case one = {.limit = i == 1 ? 180 : 100, .run = run_sanitizer}; /* racecheck */

        (void)snprintf(one.name, sizeof one.name, "sanitize.%s", tools[i]);
        (void)snprintf(one.subject, sizeof one.subject, "%s", tools[i]);
        gpu_table_add(table, one);
    }
    gpu_table_add(table, (gpu_case){.name = "sanitize.planted", .limit = 60, .run = run_planted});
    const int count = scandir(gpu_here()->folder, &entries, gpu_is_suite, alphasort);

    for (int i = 0; i < 2 * count; ++i) { /* the first and the last of the tools */
        const char *tool = tools[i % 2 * 3];
        const char *suite = entries[i / 2]->d_name;
        gpu_case one = {.limit = 60, .run = run_sanitized_suite};

        (void)snprintf(one.name, sizeof one.name, "sanitize.%s_%.60s", tool, suite + 5);
        (void)snprintf(one.subject, sizeof one.subject, "%s %.60s", tool, suite);
        gpu_table_add(table, one);
    }
    for (int i = 0; i < count; ++i) {
        free(entries[i]);
    }
    free(entries);
}
