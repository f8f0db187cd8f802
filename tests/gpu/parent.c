/* parent.c - runs the groups, a process each, and says what became of every case. It never
 * touches CUDA. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/gpu/gpu_check.h"

extern char **environ;

/* A group while it runs. */
typedef struct group {
    const gpu_table *table;
    gpu_report *report;
    const int32_t *members; /* (count) places in the table */
    int32_t count;
    bool *done;      /* (count) */
    int32_t running; /* member, or -1 */
    double deadline;
    const char *late; /* why nothing goes on after it */
} group;

/* The child's lines as they come. */
typedef struct lines {
    int fd;
    size_t used;
    char text[8192];
} lines;

static int32_t member_named(const group *g, const char *name) {
    for (int32_t i = 0; i < g->count; ++i) {
        if (strcmp(g->table->cases[g->members[i]].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static int verdict_named(const char *word) {
    int verdict = 0;

    while (verdict < GPU_VERDICTS && strcmp(gpu_verdicts[verdict], word) != 0) {
        ++verdict;
    }
    return verdict < GPU_VERDICTS ? verdict : GPU_FAILED;
}

/* kind, name, verdict, seconds, detail */
static void take_line(group *g, char *line) {
    char *field[5] = {line, "", "", "", ""};

    for (int i = 1; i < 5; ++i) {
        char *tab = strchr(field[i - 1], '\t');

        if (tab == NULL) {
            break;
        }
        *tab = '\0';
        field[i] = tab + 1;
    }
    const int32_t member = member_named(g, field[1]);

    if (strcmp(field[0], "begin") == 0) {
        g->running = member;
    } else if (strcmp(field[0], "end") == 0) {
        gpu_report_line(g->report, field[1], verdict_named(field[2]), strtod(field[3], NULL),
                        field[4]);
        if (member >= 0) {
            g->done[member] = true;
            g->running = -1;
        }
    }
}

/* False when nothing more comes. */
static bool read_lines(lines *in, void (*take)(void *, char *), void *context) {
    const ssize_t got = read(in->fd, in->text + in->used, sizeof in->text - in->used - 1);
    char *end = NULL;

    if (got <= 0) {
        return got < 0 && errno == EINTR;
    }
    in->used += (size_t)got;
    in->text[in->used] = '\0';
    while ((end = strchr(in->text, '\n')) != NULL) {
        *end = '\0';
        take(context, in->text);
        in->used -= (size_t)(end + 1 - in->text);
        memmove(in->text, end + 1, in->used + 1);
    }
    return in->used + 1 < sizeof in->text; /* a longer line is none of ours */
}

/* Starts this program again; its report comes out of *fd. */
static pid_t start_child(const char *mode, const char *names, int *fd) {
    int ends[2];
    char path[32];
    pid_t child = -1;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    child = fork();
    if (child == 0) {
        (void)setpgid(0, 0);
        (void)dup2(ends[1], 3);
        (void)snprintf(path, sizeof path, "/dev/fd/3");
        const char *const arguments[] = {gpu_here()->program,
                                         "--device",
                                         gpu_here()->device == EET_CUDA ? "cuda" : "cpu",
                                         mode,
                                         names,
                                         "--report",
                                         path,
                                         NULL};

        (void)execv(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    (void)close(ends[1]);
    *fd = ends[0];
    return child;
}

/* Reads until the child ends or its time is over, which ends it; false when it was. */
static bool hear_child(pid_t child, int fd, double deadline, void (*take)(void *, char *),
                       void *context, int *status) {
    lines in = {.fd = fd};
    bool in_time = true;

    for (bool more = true; more;) {
        const double left = deadline - gpu_seconds();
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        const int ready = left > 0 ? poll(&poller, 1, (int)(left * 1e3) + 1) : 0;

        in_time = ready != 0;
        more = in_time && (ready < 0 ? errno == EINTR : read_lines(&in, take, context));
    }
    if (!in_time) {
        (void)kill(-child, SIGKILL);
        (void)kill(child, SIGKILL);
    }
    while (waitpid(child, status, 0) < 0 && errno == EINTR) {
    }
    (void)kill(-child, SIGKILL); /* what it started and left */
    (void)close(fd);
    return in_time;
}

static void take_group_line(void *context, char *line) {
    take_line(context, line);
}

/* The names of the members that are left, between commas; free(). NULL: none is. */
static char *names_left(const group *g) {
    char *names = calloc((size_t)g->count + 1, GPU_NAME + 1);
    size_t used = 0;

    for (int32_t i = 0; names != NULL && i < g->count; ++i) {
        if (!g->done[i]) {
            used += (size_t)sprintf(names + used, "%s%s", used > 0 ? "," : "",
                                    g->table->cases[g->members[i]].name);
        }
    }
    if (used == 0) {
        free(names);
        return NULL;
    }
    return names;
}

static void say_how_it_ended(group *g, int status) {
    char detail[128];
    int32_t member = g->running;

    for (int32_t i = 0; member < 0 && i < g->count; ++i) {
        member = g->done[i] ? -1 : i; /* the child did not come to its first */
    }
    if (WIFSIGNALED(status)) {
        (void)snprintf(detail, sizeof detail, "its process was ended by signal %d (%s)",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        (void)snprintf(detail, sizeof detail, "its process left with status %d",
                       WEXITSTATUS(status));
    }
    gpu_report_line(g->report, g->table->cases[g->members[member]].name, GPU_FAILED, 0, detail);
    g->done[member] = true;
}

static void leave_rest(group *g, const char *why) {
    for (int32_t i = 0; i < g->count; ++i) {
        if (!g->done[i]) {
            gpu_report_line(g->report, g->table->cases[g->members[i]].name, GPU_NOT_REACHED, 0,
                            why);
            g->done[i] = true;
        }
    }
}

static void run_group(group *g) {
    char *names = NULL;

    while ((names = names_left(g)) != NULL) {
        int status = 0;
        int fd = -1;
        const int32_t told = g->report->counts[GPU_PASSED] + g->report->counts[GPU_FAILED] +
                             g->report->counts[GPU_SKIPPED];

        g->running = -1;
        if (gpu_seconds() >= g->deadline) {
            leave_rest(g, g->late);
        } else {
            const pid_t child = start_child("--run", names, &fd);

            if (child < 0) {
                leave_rest(g, "no process could be made");
            } else if (!hear_child(child, fd, g->deadline, take_group_line, g, &status)) {
                leave_rest(g, g->late);
            } else if (g->running >= 0 || told == g->report->counts[GPU_PASSED] +
                                                      g->report->counts[GPU_FAILED] +
                                                      g->report->counts[GPU_SKIPPED]) {
                say_how_it_ended(g, status);
            }
        }
        free(names);
    }
}

/* ---- the device --------------------------------------------------------------- */

typedef struct probe {
    gpu_report *report;
    bool found;
    char why[128];
} probe;

static void take_probe_line(void *context, char *line) {
    probe *p = context;
    char *rest = line;
    const char *kind = strsep(&rest, "\t");
    const char *name = strsep(&rest, "\t");
    const char *version = strsep(&rest, "\t");

    if (strcmp(kind, "device") == 0 && name != NULL && version != NULL) {
        (void)snprintf(p->report->card, sizeof p->report->card, "%s", name);
        (void)snprintf(p->report->driver, sizeof p->report->driver, "%s", version);
        p->found = true;
    } else if (name != NULL) {
        (void)snprintf(p->why, sizeof p->why, "%s", name);
    }
}

/* Is there what is to be checked? Else why not. */
static bool find_device(gpu_report *report, char *why, size_t room) {
    probe p = {.report = report, .why = "its process did not end well"};
    int status = 0;
    int fd = -1;

    (void)strcpy(report->card, "none");
    (void)strcpy(report->driver, "none");
    if (gpu_here()->device == EET_HOST) {
        (void)strcpy(report->card, "cpu");
        return true;
    }
    const pid_t child = start_child("--probe", "device", &fd);

    if (child > 0) {
        (void)hear_child(child, fd, gpu_seconds() + 30, take_probe_line, &p, &status);
    }
    (void)snprintf(why, room, "no CUDA device (%s)", p.why);
    return p.found;
}

/* ---- all of it ------------------------------------------------------------------ */

/* One of the beginnings, between commas, that `name` has. */
static bool begins_with(const char *name, const char *beginnings) {
    while (*beginnings != '\0') {
        const size_t length = strcspn(beginnings, ",");

        if (length > 0 && strncmp(name, beginnings, length) == 0) {
            return true;
        }
        beginnings += length + (beginnings[length] == ',');
    }
    return false;
}

static bool is_wanted(const gpu_case *one, const gpu_wanted *wanted) {
    char stage[GPU_NAME];

    (void)snprintf(stage, sizeof stage, "%.*s", (int)strcspn(one->name, "."), one->name);
    if (wanted->stage == NULL && wanted->only == NULL && strcmp(stage, "self") == 0) {
        return false; /* cases for the test of this program */
    }
    return (wanted->stage == NULL || begins_with(stage, wanted->stage)) &&
           (wanted->only == NULL || begins_with(one->name, wanted->only)) &&
           (!wanted->quick || one->quick);
}

static int finish(const gpu_report *report, double begun, int32_t before) {
    (void)fprintf(stderr, "%d passed, %d failed, %d skipped, %d not reached", report->counts[0],
                  report->counts[1], report->counts[2], report->counts[3]);
    if (before > 0) {
        (void)fprintf(stderr, " (and %d passed before)", before);
    }
    (void)fprintf(stderr, " on %s in %.0f s\n", report->card, gpu_seconds() - begun);
    if (report->counts[GPU_FAILED] + report->counts[GPU_NOT_REACHED] > 0) {
        return EXIT_FAILURE;
    }
    return report->counts[GPU_PASSED] + before > 0 ? EXIT_SUCCESS : 77; /* nothing ran */
}

static void read_commit(gpu_report *report) {
    char path[GPU_PATH + 16];
    FILE *file = NULL;

    (void)strcpy(report->commit, "unknown");
    (void)snprintf(path, sizeof path, "%s/commit", gpu_here()->folder);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%63s", report->commit) != 1) {
            (void)strcpy(report->commit, "unknown");
        }
        (void)fclose(file);
    }
}

/* Collects the wanted cases of the group of case `first` that nobody has done yet. */
static int32_t collect(const gpu_table *table, const bool *todo, int32_t first, int32_t *members) {
    int32_t count = 0;

    for (int32_t i = first; i < table->count; ++i) {
        if (todo[i] && strcmp(table->cases[i].group, table->cases[first].group) == 0) {
            members[count++] = i;
        }
    }
    return count;
}

/* What need not run: not wanted, passed before, or without a device. */
static int32_t choose(const gpu_table *table, const gpu_wanted *wanted, gpu_report *report,
                      bool *todo) {
    char why[192] = "";
    int32_t before = 0;
    const bool device = find_device(report, why, sizeof why);

    for (int32_t i = 0; i < table->count; ++i) {
        const gpu_case *one = &table->cases[i];

        todo[i] = is_wanted(one, wanted);
        if (todo[i] && wanted->resume && gpu_report_passed(report, wanted->log, one->name)) {
            todo[i] = false;
            before += 1;
        } else if (todo[i] && !device && !one->anywhere) {
            todo[i] = false;
            gpu_report_line(report, one->name, GPU_SKIPPED, 0, why);
        }
    }
    return before;
}

static void list_cases(const gpu_table *table, const gpu_wanted *wanted) {
    for (int32_t i = 0; i < table->count; ++i) {
        if (is_wanted(&table->cases[i], wanted)) {
            (void)printf("%s\n", table->cases[i].name);
        }
    }
}

int gpu_parent_run(const gpu_table *table, const gpu_wanted *wanted) {
    if (wanted->list) {
        list_cases(table, wanted);
        return EXIT_SUCCESS;
    }
    const double begun = gpu_seconds();
    gpu_report report = {.device = gpu_here()->device == EET_CUDA ? "cuda" : "cpu", .log = -1};
    bool *todo = calloc((size_t)table->count + 1, sizeof *todo);
    bool *done = calloc((size_t)table->count + 1, sizeof *done);
    int32_t *members = calloc((size_t)table->count + 1, sizeof *members);

    if (wanted->log != NULL) {
        report.log =
            open(wanted->log,
                 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (wanted->resume ? 0 : O_TRUNC), 0644);
    }
    if (todo == NULL || done == NULL || members == NULL ||
        (wanted->log != NULL && report.log < 0)) {
        perror(wanted->log != NULL ? wanted->log : "gpu_check");
        return EXIT_FAILURE;
    }
    read_commit(&report);
    const int32_t before = choose(table, wanted, &report, todo);

    for (int32_t i = 0; i < table->count; ++i) {
        if (todo[i]) {
            group g = {.table = table, .report = &report, .members = members, .done = done};
            char late[64];
            int32_t limit = 0;

            g.count = collect(table, todo, i, members);
            for (int32_t m = 0; m < g.count; ++m) {
                limit =
                    table->cases[members[m]].limit > limit ? table->cases[members[m]].limit : limit;
                todo[members[m]] = false;
                done[m] = false;
            }
            g.deadline = gpu_seconds() + limit;
            (void)snprintf(late, sizeof late, "the %d s of its group were over", limit);
            if (wanted->budget > 0 && begun + wanted->budget < g.deadline) {
                g.deadline = begun + wanted->budget;
                (void)snprintf(late, sizeof late, "the budget of %.0f s was spent", wanted->budget);
            }
            g.late = late;
            run_group(&g);
        }
    }
    free(todo);
    free(done);
    free(members);
    return finish(&report, begun, before);
}
