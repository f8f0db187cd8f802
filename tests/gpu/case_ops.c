/* case_ops.c - other programs as cases: the suites of the ops beside this program (test_*),
 * and this program under compute-sanitizer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

/* A file of this process; removed by forget. */
static void name_file(char path[GPU_PATH], const char *what) {
    const char *folder = getenv("TMPDIR");

    (void)snprintf(path, GPU_PATH, "%.900s/gpu_check.%ld.%s", folder != NULL ? folder : "/tmp",
                   (long)getpid(), what);
    (void)unlink(path);
}

/* ---- suites of ops ----------------------------------------------------------------- */

/* The rows of one claim of a suite. */
typedef struct claim {
    char name[GPU_NAME], why[GPU_TEXT];
    int32_t passed, failed;
} claim;

enum { MAX_CLAIMS = 256 };

/* A line of TAP as Check writes it: "ok 1 - file:suite:claim: Passed", "not ok 2 - ...: why". */
static void take_tap_line(claim *claims, int32_t *count, const char *line) {
    char name[GPU_NAME] = "";
    const bool good = strncmp(line, "ok ", 3) == 0;
    const char *text = strstr(line, " - ");
    int32_t i = 0;

    if ((!good && strncmp(line, "not ok ", 7) != 0) || text == NULL ||
        sscanf(text + 3, "%*[^:]:%*[^:]:%95[^:]", name) != 1) {
        return;
    }
    while (i < *count && strcmp(claims[i].name, name) != 0) {
        ++i;
    }
    if (i == MAX_CLAIMS) {
        return;
    }
    if (i == *count) {
        *count += 1;
        (void)strcpy(claims[i].name, name);
    }
    claims[i].passed += good ? 1 : 0;
    claims[i].failed += good ? 0 : 1;
    if (!good && claims[i].why[0] == '\0') {
        (void)snprintf(claims[i].why, sizeof claims[i].why, "%.400s", text + 3);
    }
}

static int32_t read_tap(const char *path, claim *claims) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    int32_t count = 0;

    while (file != NULL && getline(&line, &room, file) > 0) {
        take_tap_line(claims, &count, line);
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
    return count;
}

/* The first line of the output. */
static void first_line(const char *path, char text[GPU_TEXT]) {
    FILE *file = fopen(path, "r");

    text[0] = '\0';
    if (file != NULL) {
        if (fgets(text, GPU_TEXT, file) == NULL) {
            text[0] = '\0';
        }
        (void)fclose(file);
    }
}

static void run_suite(const gpu_case *one) {
    char program[GPU_PATH];
    char tap[GPU_PATH];
    char output[GPU_PATH];
    char text[GPU_TEXT];
    claim *claims = gpu_alloc(MAX_CLAIMS, sizeof *claims);
    int32_t passed = 0;
    int32_t failed = 0;

    (void)snprintf(program, sizeof program, "%.900s/%.90s", gpu_here()->folder, one->subject);
    name_file(tap, "tap");
    name_file(output, "out");
    (void)setenv("CK_TAP_LOG_FILE_NAME", tap, 1);
    const int code = gpu_program_run((const char *const[]){program, NULL}, output);
    const int32_t count = read_tap(tap, claims);

    first_line(output, text);
    (void)unlink(tap);
    (void)unlink(output);
    for (int32_t i = 0; i < count; ++i) {
        char name[3 * GPU_NAME];
        char detail[GPU_TEXT];

        (void)snprintf(name, sizeof name, "%s.%s", one->name, claims[i].name);
        (void)snprintf(detail, sizeof detail, "%d of %d rows%s%.400s", claims[i].passed,
                       claims[i].passed + claims[i].failed, claims[i].failed > 0 ? "; " : "",
                       claims[i].why);
        gpu_part(name, claims[i].failed > 0 ? "failed" : "passed", detail);
        passed += claims[i].passed;
        failed += claims[i].failed;
    }
    free(claims);
    if (code == 77) {
        gpu_skip("%.400s", text);
    }
    gpu_expect(code == 0 && failed == 0 && passed > 0,
               "exit %d, %d tests passed, %d failed; it says: %.300s", code, passed, failed, text);
    gpu_note("%d tests", passed);
}

static int is_suite(const struct dirent *entry) {
    return strncmp(entry->d_name, "test_", 5) == 0;
}

void gpu_cases_ops(gpu_table *table) {
    struct dirent **entries = NULL;
    const int count = scandir(gpu_here()->folder, &entries, is_suite, alphasort);

    for (int i = 0; i < count; ++i) {
        gpu_case one = {.limit = 180, .quick = true, .run = run_suite};

        if (gpu_here()->device == EET_CUDA) {
            (void)snprintf(one.name, sizeof one.name, "ops.%.60s", entries[i]->d_name + 5);
            (void)snprintf(one.subject, sizeof one.subject, "%.90s", entries[i]->d_name);
            gpu_table_add(table, one);
        }
        free(entries[i]);
    }
    free(entries);
}

/* ---- compute-sanitizer ---------------------------------------------------------------- */

/* racecheck takes its time. */
static const char few[] = "models.gpt2_tiny.f16,models.bert_tiny.f32,greedy.gpt2_tiny.f16";
static const char many[] =
    "identity.limits,models.gpt2_tiny.f32,models.gpt2_head26.f16,models.bert_tiny.bf16,"
    "models.bert_head72.f16,models.fs012_nmt.f16,steps.gpt2_tiny.f16,steps.fs012_nmt.f32,"
    "greedy.gpt2_tiny.f16,heads.size72.f16,heads.size128.bf16,schedules.encode.f16,"
    "beams.gpt2_tiny,draws.gpt2_tiny";

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

/* Does it say that it looked at everything, and found nothing? The first complaint else: lines that
 * begin with "=========" and are no banner. */
static bool is_clean(const char *path, char text[GPU_TEXT]) {
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    size_t used = 0;
    bool clean = false;

    (void)strcpy(text, " nothing");
    while (file != NULL && getline(&line, &room, file) > 0) {
        clean = clean || strstr(line, "ERROR SUMMARY: 0 errors") != NULL ||
                strstr(line, "RACECHECK SUMMARY: 0 hazards") != NULL;
        if (used < 350 && strncmp(line, "=========", 9) == 0 &&
            strstr(line, "COMPUTE-SANITIZER") == NULL) {
            used += (size_t)snprintf(text + used, GPU_TEXT - used, "%.150s", line + 9);
        }
    }
    free(line);
    if (file != NULL) {
        (void)fclose(file);
    }
    return clean;
}

static void run_sanitizer(const gpu_case *one) {
    const char *sanitizer = find_sanitizer();
    char report[GPU_PATH];
    char output[GPU_PATH];
    char text[GPU_TEXT];
    int32_t ends = 0;
    int32_t passed = 0;
    int32_t wanted = 1;
    const char *cases = strcmp(one->subject, "racecheck") == 0 ? few : many;

    if (sanitizer == NULL) {
        gpu_skip("there is no compute-sanitizer");
    }
    for (const char *c = cases; *c != '\0'; ++c) {
        wanted += *c == ',' ? 1 : 0;
    }
    name_file(report, "report");
    name_file(output, "out");
    const int code =
        gpu_program_run((const char *const[]){sanitizer, "--tool", one->subject, "--error-exitcode",
                                              "99", gpu_here()->program, "--device", "cuda",
                                              "--run", cases, "--report", report, NULL},
                        output);

    count_ends(report, &ends, &passed);
    const bool clean = is_clean(output, text);

    (void)unlink(report);
    (void)unlink(output);
    gpu_expect(code == 0 && passed == wanted && clean, "exit %d, %d of %d cases passed; it says:%s",
               code, passed, wanted, text);
    gpu_note("%d cases", passed);
}

/* A suite of ops under a tool: subject is "TOOL PROGRAM". Whether its tests pass is the case of the
 * suite alone to say; here they have to run. */
static void run_sanitized_suite(const gpu_case *one) {
    const char *sanitizer = find_sanitizer();
    const char *program = strchr(one->subject, ' ') + 1;
    char tool[32];
    char path[GPU_PATH];
    char tap[GPU_PATH];
    char output[GPU_PATH];
    char text[GPU_TEXT];
    claim *claims = gpu_alloc(MAX_CLAIMS, sizeof *claims);
    int32_t tests = 0;

    if (sanitizer == NULL) {
        gpu_skip("there is no compute-sanitizer");
    }
    (void)snprintf(tool, sizeof tool, "%.*s", (int)strcspn(one->subject, " "), one->subject);
    (void)snprintf(path, sizeof path, "%.900s/%.90s", gpu_here()->folder, program);
    name_file(tap, "tap");
    name_file(output, "out");
    (void)setenv("CK_TAP_LOG_FILE_NAME", tap, 1);
    const int code = gpu_program_run(
        (const char *const[]){sanitizer, "--tool", tool, "--error-exitcode", "99", path, NULL},
        output);
    const int32_t count = read_tap(tap, claims);
    const bool clean = is_clean(output, text);

    for (int32_t i = 0; i < count; ++i) {
        tests += claims[i].passed + claims[i].failed;
    }
    (void)unlink(tap);
    (void)unlink(output);
    free(claims);
    gpu_expect(clean && code != 99 && tests > 0, "exit %d after %d tests; it says:%s", code, tests,
               text);
    gpu_note("%d tests", tests);
}

void gpu_cases_sanitize(gpu_table *table) {
    static const char *const tools[] = {"memcheck", "racecheck", "initcheck", "synccheck"};
    struct dirent **entries = NULL;

    if (gpu_here()->device != EET_CUDA) {
        return;
    }
    for (size_t i = 0; i < sizeof tools / sizeof *tools; ++i) {
        gpu_case one = {.limit = 100, .run = run_sanitizer};

        (void)snprintf(one.name, sizeof one.name, "sanitize.%s", tools[i]);
        (void)snprintf(one.subject, sizeof one.subject, "%s", tools[i]);
        gpu_table_add(table, one);
    }
    const int count = scandir(gpu_here()->folder, &entries, is_suite, alphasort);

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
