/* case_ops.c - the suites of the ops beside this program (test_*) as cases. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

void gpu_name_file(char path[GPU_PATH], const char *what) {
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

int32_t gpu_tap_tests(const char *path) {
    claim *claims = gpu_alloc(MAX_CLAIMS, sizeof *claims);
    const int32_t count = read_tap(path, claims);
    int32_t tests = 0;

    for (int32_t i = 0; i < count; ++i) {
        tests += claims[i].passed + claims[i].failed;
    }
    free(claims);
    return tests;
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
    gpu_name_file(tap, "tap");
    gpu_name_file(output, "out");
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

int gpu_is_suite(const struct dirent *entry) {
    return strncmp(entry->d_name, "test_", 5) == 0;
}

void gpu_cases_ops(gpu_table *table) {
    struct dirent **entries = NULL;
    const int count = scandir(gpu_here()->folder, &entries, gpu_is_suite, alphasort);

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
