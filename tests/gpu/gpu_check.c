/* gpu_check.c - is the CUDA backend right on this machine's card? docs/gpu-check.md tells how it
 * is used. It needs libeet.so, libeet_cuda.so, the models and the goldens beside it, and no other
 * library than libc's. */
#include "tests/gpu/gpu_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gpu_context here;

const gpu_context *gpu_here(void) {
    return &here;
}

void gpu_here_set(const gpu_context *context) {
    here = *context;
}

void gpu_table_add(gpu_table *table, gpu_case one) {
    if (table->count == GPU_MAX_CASES) {
        (void)fprintf(stderr, "gpu_check: more than %d cases\n", GPU_MAX_CASES);
        exit(EXIT_FAILURE);
    }
    if (one.group[0] == '\0') {
        const size_t stage = strcspn(one.name, ".") + 1;

        (void)snprintf(one.group, sizeof one.group, "%.*s",
                       (int)(stage + strcspn(one.name + stage, ".")), one.name);
    }
    one.limit = one.limit > 0 ? one.limit : 60;
    table->cases[table->count++] = one;
}

static const char usage[] =
    "usage: gpu_check [option ...]\n"
    "  --device cuda|cpu  what runs the models (default cuda)\n"
    "  --list             the names of the cases, and no more\n"
    "  --stage A,B        the cases of these stages\n"
    "  --only A,B         the cases whose names begin like this\n"
    "  --quick            the cases of make gpu-quick\n"
    "  --budget SECONDS   what has not ended by then is not reached\n"
    "  --log FILE         writes the lines there too\n"
    "  --resume FILE      the same, behind what is there, and leaves out what passed there\n"
    "                     with this commit, device and card\n";

/* For the children: what to run, and where to tell. */
typedef struct inner {
    const char *run, *report;
    bool probe;
} inner;

/* The option's value goes here; false: there is no such option. */
static bool take_option(const char *name, const char *value, gpu_wanted *wanted, inner *child) {
    const struct {
        const char *name, **to;
    } texts[] = {{"--stage", &wanted->stage}, {"--only", &wanted->only}, {"--log", &wanted->log},
                 {"--resume", &wanted->log},  {"--run", &child->run},    {"--probe", &child->run},
                 {"--report", &child->report}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].to = value;
            wanted->resume = wanted->resume || strcmp(name, "--resume") == 0;
            child->probe = child->probe || strcmp(name, "--probe") == 0;
            return true;
        }
    }
    if (strcmp(name, "--budget") == 0) {
        char *end = NULL;

        wanted->budget = strtod(value, &end);
        return end != value && *end == '\0' && wanted->budget > 0;
    }
    if (strcmp(name, "--device") == 0) {
        here.device = strcmp(value, "cpu") == 0 ? EET_HOST : EET_CUDA;
        return strcmp(value, "cpu") == 0 || strcmp(value, "cuda") == 0;
    }
    return false;
}

static bool take_options(int argc, char **argv, gpu_wanted *wanted, inner *child) {
    for (int i = 1; i < argc; ++i) {
        if (strcmp(argv[i], "--list") == 0) {
            wanted->list = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            wanted->quick = true;
        } else if (i + 1 == argc || !take_option(argv[i], argv[i + 1], wanted, child)) {
            return false;
        } else {
            ++i;
        }
    }
    return true;
}

/* Where this program lies, and all that it needs beside it. */
static bool find_folder(void) {
    const ssize_t length = readlink("/proc/self/exe", here.program, sizeof here.program - 1);

    if (length <= 0) {
        return false;
    }
    here.program[length] = '\0';
    (void)snprintf(here.folder, sizeof here.folder, "%s", here.program);
    *strrchr(here.folder, '/') = '\0';
    return true;
}

int main(int argc, char **argv) {
    gpu_wanted wanted = {.only = NULL};
    inner child = {.run = NULL};

    here.device = EET_CUDA;
    if (!find_folder() || !take_options(argc, argv, &wanted, &child)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (child.probe) {
        return gpu_child_probe(child.report);
    }
    gpu_table table = {.cases = calloc(GPU_MAX_CASES, sizeof *table.cases)};

    if (table.cases == NULL) {
        perror("gpu_check");
        return EXIT_FAILURE;
    }
    gpu_cases_identity(&table);
    gpu_cases_ops(&table);
    gpu_cases_models(&table);
    gpu_cases_searches(&table);
    gpu_cases_schedules(&table);
    gpu_cases_generate(&table);
    gpu_cases_large(&table);
    gpu_cases_faults(&table);
    gpu_cases_sanitize(&table);
    gpu_cases_self(&table);
    const int code = child.run != NULL ? gpu_child_run(&table, child.run, child.report)
                                       : gpu_parent_run(&table, &wanted);

    free(table.cases);
    return code;
}
