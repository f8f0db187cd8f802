/* bench_print.c - results as a table of Markdown, CSV, JSON, or a JSON document a line. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/commands/bench.h"
#include "format/types.h"

static bool is(const eet_bench_printer *p, const char *format) {
    return strcmp(p->format, format) == 0;
}

/* A file without its folders, as it can be shown. */
static const char *shown_name(eet_shown *buffer, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : path;

    return eet_show(buffer, name, strlen(name));
}

/* ---- Markdown ------------------------------------------------------------ */

typedef struct column {
    const char *title;
    int32_t width;
    bool right;
} column;

static const column columns[] = {
    {"model", 12, false},   {"dtype", 5, false}, {"test", 12, false},  {"batch", 5, true},
    {"threads", 7, true},   {"depth", 5, true},  {"ms", 16, true},     {"median", 8, true},
    {"tokens/s", 18, true}, {"GB/s", 6, true},   {"of read", 7, true}, {"GFLOP/s", 8, true},
    {"of peak", 7, true},   {"MiB", 8, true},
};
enum { COLUMNS = sizeof columns / sizeof columns[0], CELL = 256 };

typedef char cell[CELL];

/* As wide as it looks: UTF-8's later bytes take no room. */
static int32_t width_of(const char *text) {
    int32_t width = 0;

    for (; *text != '\0'; ++text) {
        width += ((unsigned char)*text & 0xC0) != 0x80 ? 1 : 0;
    }
    return width;
}

/* The first column is as wide as the longest name of a model. */
static int32_t wanted_width(const eet_bench_printer *p, int32_t i) {
    return i == 0 && p->name_width > columns[0].width ? p->name_width : columns[i].width;
}

static void print_row(const eet_bench_printer *p, cell *cells) {
    for (int32_t i = 0; i < COLUMNS; ++i) {
        const int32_t gap = wanted_width(p, i) - width_of(cells[i]);
        const int32_t pad = gap > 0 ? gap : 0;

        (void)printf("| %*s%s%*s ", columns[i].right ? pad : 0, "", cells[i],
                     columns[i].right ? 0 : pad, "");
    }
    (void)puts("|");
}

static void print_head(const eet_bench_printer *p) {
    cell cells[COLUMNS];

    for (int32_t i = 0; i < COLUMNS; ++i) {
        (void)snprintf(cells[i], CELL, "%s", columns[i].title);
    }
    print_row(p, cells);
    for (int32_t i = 0; i < COLUMNS; ++i) {
        (void)printf("|%s", columns[i].right ? "-" : ":");
        for (int32_t j = 0; j < wanted_width(p, i); ++j) {
            (void)putchar('-');
        }
        (void)printf("%s", columns[i].right ? ":" : "-");
    }
    (void)puts("|");
}

/* The machine as this number of threads sees it, for below the table. */
static void note_machine(eet_bench_printer *p, const eet_bench_result *result) {
    int32_t at = 0;

    while (at < p->machines &&
           (p->machine[at].threads != result->threads || p->machine[at].dtype != result->dtype)) {
        ++at;
    }
    if (at < EET_BENCH_KEPT) {
        p->machine[at] = *result;
        p->machines = at == p->machines ? at + 1 : p->machines;
    }
}

/* Of the model and its session; of what the CPU has mapped, too. */
static double mebibytes(const eet_memory_use *use) {
    const uint64_t all = use->weights_bytes + use->cache_bytes + use->workspace_bytes +
                         use->graphs_bytes + use->host_bytes;

    return (double)all / (1 << 20);
}

static void print_markdown(eet_bench_printer *p, const eet_bench_model *m, const eet_bench_test *t,
                           const eet_bench_result *r) {
    const double seconds = 1e-3 * r->ms.median;
    cell cells[COLUMNS];
    eet_shown shown;

    if (p->rows == 0) {
        print_head(p);
    }
    (void)snprintf(cells[0], CELL, "%s", shown_name(&shown, m->name));
    (void)snprintf(cells[1], CELL, "%s", eet_dtype_name((eet_dtype)m->dtype));
    (void)snprintf(cells[2], CELL, "%s %d", eet_bench_kind_name(t->kind), (int)t->tokens);
    (void)snprintf(cells[3], CELL, "%d", (int)t->batch);
    (void)snprintf(cells[4], CELL, "%d", (int)r->threads);
    (void)snprintf(cells[5], CELL, "%d", (int)t->depth);
    (void)snprintf(cells[6], CELL, "%.3f ± %.3f", r->ms.mean, r->ms.deviation);
    (void)snprintf(cells[7], CELL, "%.3f", r->ms.median);
    (void)snprintf(cells[8], CELL, "%.2f ± %.2f", r->tokens.mean, r->tokens.deviation);
    (void)snprintf(cells[9], CELL, "%.1f", 1e-9 * r->bytes / seconds);
    (void)snprintf(cells[10], CELL, "%.0f %%", 100.0 * r->bytes / seconds / r->read_rate);
    (void)snprintf(cells[11], CELL, "%.1f", 1e-9 * r->flops / seconds);
    (void)snprintf(cells[12], CELL, r->peak > 0.0 ? "%.0f %%" : "-",
                   100.0 * r->flops / seconds / r->peak);
    (void)snprintf(cells[13], CELL, "%.1f", mebibytes(&r->memory));
    print_row(p, cells);
    note_machine(p, r);
}

/* ---- the machine --------------------------------------------------------- */

typedef struct machine {
    char cpu[128];
    double load; /* of the last minute; negative: unknown */
    long cpus;
} machine;

static machine look_around(void) {
    machine m = {.cpu = "unknown", .load = -1.0, .cpus = sysconf(_SC_NPROCESSORS_ONLN)};
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "model name : %127[^\n]", m.cpu) == 1) {
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (getloadavg(&m.load, 1) != 1) {
        m.load = -1.0;
    }
    return m;
}

static void print_machine(const eet_bench_printer *p) {
    const machine m = look_around();
    eet_shown shown;

    for (int32_t i = 0; i < p->machines; ++i) {
        const eet_bench_result *r = &p->machine[i];

        const bool host = r->dtype == 0;
        char threads[32] = "";

        if (host) {
            (void)snprintf(threads, sizeof threads, "%d threads, ", (int)r->threads);
        }
        (void)printf("%s%s%s%s%s: memory is read at %.1f GB/s, multiply-adds peak at %.0f "
                     "GFLOP/s\n",
                     i == 0 ? "\n" : "", threads, r->isa, host ? "" : " ",
                     host ? "" : eet_dtype_name((eet_dtype)r->dtype), 1e-9 * r->read_rate,
                     1e-9 * r->peak);
    }
    (void)printf("%s%ld CPUs: %s, load %.2f, eet %s\n", p->machines == 0 ? "\n" : "", m.cpus,
                 eet_show(&shown, m.cpu, strlen(m.cpu)), m.load, eet_version());
}

/* ---- memory -------------------------------------------------------------- */

/* Bytes, as eet_session_memory tells them. */
static const struct {
    const char *name;
    size_t offset;
} memories[] = {
    {"weights", offsetof(eet_memory_use, weights_bytes)},
    {"cache", offsetof(eet_memory_use, cache_bytes)},
    {"workspace", offsetof(eet_memory_use, workspace_bytes)},
    {"graphs", offsetof(eet_memory_use, graphs_bytes)},
    {"library", offsetof(eet_memory_use, library_bytes)},
    {"free", offsetof(eet_memory_use, free_bytes)},
    {"host", offsetof(eet_memory_use, host_bytes)},
};
enum { MEMORIES = sizeof memories / sizeof memories[0] };

static uint64_t memory_of(const eet_bench_result *r, int32_t i) {
    uint64_t bytes = 0;

    memcpy(&bytes, (const char *)&r->memory + memories[i].offset, sizeof bytes);
    return bytes;
}

/* ---- CSV ----------------------------------------------------------------- */

static void print_quoted(const char *text) {
    (void)putchar('"');
    for (; *text != '\0'; ++text) {
        (void)printf(*text == '"' ? "\"%c" : "%c", *text);
    }
    (void)putchar('"');
}

static void print_csv(const eet_bench_printer *p, const eet_bench_model *m, const eet_bench_test *t,
                      const eet_bench_result *r) {
    if (p->rows == 0) {
        (void)puts("model,dtype,parameters,test,tokens,batch,threads,depth,repetitions,isa,"
                   "ms_mean,ms_deviation,ms_median,tokens_per_second_mean,"
                   "tokens_per_second_deviation,tokens_per_second_median,bytes,flops,read_rate,"
                   "peak,weights_bytes,cache_bytes,workspace_bytes,graphs_bytes,library_bytes,"
                   "free_bytes,host_bytes");
    }
    print_quoted(m->name);
    (void)printf(",%s,%.0f,%s,%d,%d,%d,%d,%d,%s,%.6f,%.6f,%.6f,%.6f,%.6f,%.6f,%.0f,%.0f,%.0f,",
                 eet_dtype_name((eet_dtype)m->dtype), m->parameters, eet_bench_kind_name(t->kind),
                 (int)t->tokens, (int)t->batch, (int)r->threads, (int)t->depth, (int)t->repetitions,
                 r->isa, r->ms.mean, r->ms.deviation, r->ms.median, r->tokens.mean,
                 r->tokens.deviation, r->tokens.median, r->bytes, r->flops, r->read_rate);
    (void)printf(r->peak > 0.0 ? "%.0f" : "", r->peak);
    for (int32_t i = 0; i < MEMORIES; ++i) {
        (void)printf(",%llu", (unsigned long long)memory_of(r, i));
    }
    (void)putchar('\n');
}

/* ---- JSON ---------------------------------------------------------------- */

static void set_spread(eet_json *object, const char *key, const eet_bench_spread *s) {
    eet_json *spread = eet_json_object();

    eet_json_set_real(spread, "mean", s->mean);
    eet_json_set_real(spread, "deviation", s->deviation);
    eet_json_set_real(spread, "median", s->median);
    eet_json_set(object, key, spread);
}

static void set_share(eet_json *object, const char *key, double rate, double bound) {
    eet_json_set_real(object, key, bound > 0.0 ? rate / bound : (double)NAN);
}

static void set_memory(eet_json *o, const eet_bench_result *r) {
    eet_json *memory = eet_json_object();

    for (int32_t i = 0; i < MEMORIES; ++i) {
        eet_json_set_integer(memory, memories[i].name, (int64_t)memory_of(r, i));
    }
    eet_json_set(o, "memory", memory);
}

static void set_result(eet_json *o, const eet_bench_model *m, const eet_bench_test *t,
                       const eet_bench_result *r) {
    const double seconds = 1e-3 * r->ms.median;

    eet_json_set_string(o, "model", m->name);
    eet_json_set_string(o, "dtype", eet_dtype_name((eet_dtype)m->dtype));
    eet_json_set_integer(o, "parameters", (int64_t)m->parameters);
    eet_json_set_string(o, "test", eet_bench_kind_name(t->kind));
    eet_json_set_integer(o, "tokens", t->tokens);
    eet_json_set_integer(o, "batch", t->batch);
    eet_json_set_integer(o, "threads", r->threads);
    eet_json_set_integer(o, "depth", t->depth);
    eet_json_set_integer(o, "repetitions", t->repetitions);
    eet_json_set_string(o, "isa", r->isa);
    set_spread(o, "ms", &r->ms);
    set_spread(o, "tokens_per_second", &r->tokens);
    eet_json_set_integer(o, "bytes", (int64_t)r->bytes);
    eet_json_set_integer(o, "flops", (int64_t)r->flops);
    eet_json_set_real(o, "read_rate", r->read_rate);
    eet_json_set_real(o, "peak", r->peak > 0.0 ? r->peak : (double)NAN);
    set_share(o, "share_of_read_rate", r->bytes / seconds, r->read_rate);
    set_share(o, "share_of_peak", r->flops / seconds, r->peak);
    set_memory(o, r);
}

static void set_agreement(eet_json *o, const eet_bench_model *m, const eet_bench_agreement *a) {
    eet_json_set_string(o, "model", m->name);
    eet_json_set_string(o, "dtype", eet_dtype_name((eet_dtype)m->dtype));
    eet_json_set_bool(o, "good", a->good);
    eet_json_set_real(o, "relative_l2", a->relative_l2);
    eet_json_set_real(o, "bound", a->bound);
    eet_json_set_integer(o, "rows", a->rows);
    eet_json_set_integer(o, "differing", a->differing);
}

static void set_machine(eet_json *o) {
    const machine m = look_around();
    eet_json *object = eet_json_object();

    eet_json_set_string(object, "cpu", m.cpu);
    eet_json_set_integer(object, "cpus", m.cpus);
    eet_json_set_real(object, "load", m.load);
    eet_json_set(o, "machine", object);
}

/* ---- the printer --------------------------------------------------------- */

static eet_status flush(eet_error *err) {
    return fflush(stdout) == 0
               ? EET_OK
               : eet_fail(err, EET_E_IO, EET_NOWHERE, "standard output cannot be written");
}

eet_status eet_bench_print_result(eet_bench_printer *p, const eet_bench_model *m,
                                  const eet_bench_test *t, const eet_bench_result *r,
                                  eet_error *err) {
    if (is(p, "json") || is(p, "jsonl")) {
        eet_json *line = eet_json_object();

        if (is(p, "jsonl")) {
            eet_json_set_integer(line, "schema_version", 1);
            set_result(line, m, t, r);
            return eet_json_write(line, stdout, true, err);
        }
        p->results = p->results != NULL ? p->results : eet_json_array();
        set_result(line, m, t, r);
        eet_json_append(p->results, line);
        return EET_OK;
    }
    if (is(p, "csv")) {
        print_csv(p, m, t, r);
    } else {
        print_markdown(p, m, t, r);
    }
    p->rows += 1;
    return flush(err);
}

/* A line for below the table; talk where the data is CSV. */
static eet_status note_agreement(eet_bench_printer *p, const eet_bench_model *m,
                                 const eet_bench_agreement *a, eet_error *err) {
    const char *before = p->notes != NULL ? p->notes : "";
    char *notes = NULL;
    char likeliest[64] = "";
    eet_shown shown;

    if (m->head != EET_HIDDEN) {
        (void)snprintf(likeliest, sizeof likeliest, ", another likeliest token in %d",
                       (int)a->differing);
    }
    if (asprintf(&notes,
                 "%scheck of %s %s against the reference: %s; relative L2 %.1e (at most %.0e) in "
                 "%d rows%s\n",
                 before, shown_name(&shown, m->name), eet_dtype_name((eet_dtype)m->dtype),
                 a->good ? "good" : "FAILED", a->relative_l2, a->bound, (int)a->rows,
                 likeliest) < 0) {
        return eet_fail(err, EET_E_MEMORY, EET_NOWHERE, "no memory for a line");
    }
    free(p->notes);
    p->notes = notes;
    return EET_OK;
}

eet_status eet_bench_print_agreement(eet_bench_printer *p, const eet_bench_model *m,
                                     const eet_bench_agreement *a, eet_error *err) {
    if (!is(p, "json") && !is(p, "jsonl")) {
        return note_agreement(p, m, a, err);
    }
    eet_json *check = eet_json_object();

    if (is(p, "jsonl")) {
        eet_json_set_integer(check, "schema_version", 1);
        eet_json_set_string(check, "test", "check");
        set_agreement(check, m, a);
        return eet_json_write(check, stdout, true, err);
    }
    p->checks = p->checks != NULL ? p->checks : eet_json_array();
    set_agreement(check, m, a);
    eet_json_append(p->checks, check);
    return EET_OK;
}

eet_status eet_bench_print_end(eet_bench_printer *p, eet_error *err) {
    if (is(p, "json")) {
        eet_json *document = eet_json_object();

        eet_json_set_integer(document, "schema_version", 1);
        eet_json_set_string(document, "version", eet_version());
        set_machine(document);
        eet_json_set(document, "results", p->results != NULL ? p->results : eet_json_array());
        eet_json_set(document, "checks", p->checks != NULL ? p->checks : eet_json_array());
        p->results = NULL;
        p->checks = NULL;
        return eet_json_write(document, stdout, false, err);
    }
    if (is(p, "md")) {
        print_machine(p);
    }
    if (p->notes != NULL) {
        (void)fputs(p->notes, is(p, "md") ? stdout : stderr);
    }
    return flush(err);
}

void eet_bench_print_expect(eet_bench_printer *p, const char *name) {
    eet_shown shown;
    const int32_t width = width_of(shown_name(&shown, name));

    p->name_width = width > p->name_width ? width : p->name_width;
}

void eet_bench_print_forget(eet_bench_printer *p) {
    eet_json_free(p->results);
    eet_json_free(p->checks);
    free(p->notes);
}
