/* report.c - prints what a conversion did, or would do. */
#include "converter/report.h"

#include <stdio.h>
#include <string.h>

#include "format/cli/json.h"
#include "format/cli/text.h"
#include "format/utf8.h"

enum { SCHEMA_VERSION = 1, SHORT_DIGEST = 12 };

/* "a, b, c" or what it shares. */
static void place_sources(const eet_conversion *c, const eet_place *place, char *text,
                          size_t room) {
    size_t at = 0;
    eet_place_name name;

    text[0] = '\0';
    if (place->share >= 0) {
        (void)snprintf(text, room, "= %s", eet_place_named(&name, &c->plan.place[place->share]));
        return;
    }
    if (place->sines >= 0) {
        (void)snprintf(text, room, "sinusoidal, computed");
        return;
    }
    for (int32_t k = 0; k < EET_MAX_PARTS && at < room; k++) {
        if (place->tensor[k] >= 0) {
            const eet_source_tensor *t =
                eet_source_at(eet_place_source(place, c->source), place->tensor[k]);
            eet_shown shown;

            at += (size_t)snprintf(text + at, room - at, "%s%s", k == 0 ? "" : " | ",
                                   eet_show(&shown, t->name, t->name_bytes));
        }
    }
}

static eet_dtype dtype_of(const eet_conversion *c, int32_t place) {
    eet_dtype dtype = EET_DTYPE_NONE;

    (void)eet_emit_dtype(c->source, &c->plan, place, &c->options.emit, &dtype, NULL);
    return dtype;
}

static eet_status print_table(const eet_conversion *c, eet_error *err) {
    static const char *const header[] = {"tensor", "dtype", "shape", "from"};
    static const bool right[] = {false, false, false, false};
    eet_table *table = eet_table_create(4, header, right);

    for (int32_t p = 0; p < c->plan.places; p++) {
        const eet_place *place = &c->plan.place[p];
        eet_place_name name;
        char shape[48];
        char from[1024];

        (void)snprintf(shape, sizeof shape, place->rank > 1 ? "%llu x %llu" : "%llu",
                       (unsigned long long)place->dims[0], (unsigned long long)place->dims[1]);
        place_sources(c, place, from, sizeof from);
        const char *const cells[] = {eet_place_named(&name, place), eet_dtype_name(dtype_of(c, p)),
                                     shape, from};

        eet_table_row(table, cells);
    }
    return eet_table_end(table, stdout, err);
}

/* Is there a head that scores the words of a decoder? */
/* Has the decoder an encoder to look at? */
static bool has_source(const eet_conversion *c) {
    const eet_facts *facts = &c->plan.facts;

    return facts->stack[EET_ENC].present && facts->stack[EET_DEC].present &&
           facts->stack[EET_DEC].cross;
}

static bool generates(const eet_conversion *c) {
    const eet_facts *facts = &c->plan.facts;
    const uint16_t out = eet_role(EET_GROUP_HEAD, EET_SLOT_HEAD_OUT, false);

    for (int32_t p = 0; p < c->plan.places && facts->stack[EET_DEC].present; p++) {
        const eet_place *place = &c->plan.place[p];

        if (place->role == out && facts->head[place->layer].take == EET_TAKE_EVERY &&
            place->dims[0] == (uint64_t)facts->stack[EET_DEC].vocab_rows) {
            return true;
        }
    }
    return false;
}

/* Between quotes of a shell, which take everything but their own kind. */
static void print_quoted(const char *text) {
    (void)putchar('\'');
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '\'' ? "'\\'" : "", stdout);
        (void)putchar(*text);
    }
    (void)putchar('\'');
}

/* Control characters do not reach a terminal: $'\033' of bash and POSIX 2024. */
static void print_escaped(const char *text) {
    (void)fputs("$'", stdout);
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text;
        const bool plain = byte > ' ' && byte < 0x7F && byte != '\'' && byte != '\\';

        (void)printf(plain ? "%c" : "\\%03o", byte);
    }
    (void)putchar('\'');
}

/* A path as a word that a shell, and then a command, takes for that path. */
static void print_word(const char *path) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-+=:,./%@";

    (void)fputs(path[0] == '-' ? "./" : "", stdout);
    if (path[strspn(path, plain)] == '\0') {
        (void)fputs(path, stdout);
    } else if (eet_utf8_clean(path, strlen(path))) {
        print_quoted(path);
    } else {
        print_escaped(path);
    }
}

eet_status eet_report_text(const eet_report *report, eet_error *err) {
    const eet_conversion *c = report->conversion;
    eet_size_text size;
    eet_hex_text hex;
    eet_shown shown;

    (void)eet_format_size(&size, eet_writer_bytes(report->writer));
    if (report->dry_run) {
        const eet_status status = print_table(c, err);

        if (status != EET_OK) {
            return status;
        }
    }
    (void)fputs(eet_show(&shown, report->target, strlen(report->target)), stdout);
    if (report->dry_run) {
        (void)printf(": %s, %s, %d tensors; nothing was written (--dry-run)\n", c->plan.class->name,
                     size.text, (int)c->plan.places);
    } else {
        (void)eet_format_sha256(&hex, eet_writer_content_sha256(report->writer));
        (void)printf(": %s, sha256:%.*s..; next: %s ", size.text, SHORT_DIGEST, hex.text,
                     generates(c) ? "eet-run" : "eet-encode");
        print_word(report->target);
        (void)puts(!generates(c) || !has_source(c)           ? " --ids 1,2,3"
                   : c->plan.facts.stack[EET_DEC].start >= 0 ? " --source-ids 1,2,3"
                                                             : " --source-ids 1,2,3 --ids 2");
    }
    return EET_OK;
}

static eet_json *list_places(const eet_conversion *c) {
    eet_json *list = eet_json_array();

    for (int32_t p = 0; p < c->plan.places; p++) {
        const eet_place *place = &c->plan.place[p];
        eet_json *entry = eet_json_object();
        eet_json *shape = eet_json_array();
        eet_json *from = eet_json_array();
        eet_place_name name;

        for (int32_t i = 0; i < place->rank; i++) {
            eet_json_append_integer(shape, (int64_t)place->dims[i]);
        }
        for (int32_t k = 0; place->share < 0 && k < EET_MAX_PARTS; k++) {
            if (place->tensor[k] >= 0) {
                eet_source *source = eet_place_source(place, c->source);

                eet_json_append_string(from, eet_source_at(source, place->tensor[k])->name);
            }
        }
        eet_json_set_string(entry, "name", eet_place_named(&name, place));
        eet_json_set_string(entry, "dtype", eet_dtype_name(dtype_of(c, p)));
        eet_json_set(entry, "shape", shape);
        eet_json_set(entry, "from", from);
        if (place->share >= 0) {
            eet_json_set_string(entry, "alias_of",
                                eet_place_named(&name, &c->plan.place[place->share]));
        }
        eet_json_append(list, entry);
    }
    return list;
}

static eet_json *list_left(const eet_conversion *c) {
    eet_json *list = eet_json_array();

    for (int32_t i = 0; i < c->plan.lefts; i++) {
        eet_json_append_string(list, eet_source_at(c->source, c->plan.left[i])->name);
    }
    return list;
}

static eet_json *cast_summary(const eet_conversion *c) {
    eet_json *cast = eet_json_object();

    eet_json_set_integer(cast, "values", (int64_t)c->stats.values);
    eet_json_set_integer(cast, "nonfinite", (int64_t)c->stats.nonfinite);
    eet_json_set_integer(cast, "clamped", (int64_t)c->stats.overflowed);
    eet_json_set_real(cast, "max_error", c->stats.max_error);
    return cast;
}

eet_status eet_report_json(const eet_report *report, eet_error *err) {
    const eet_conversion *c = report->conversion;
    eet_json *root = eet_json_object();
    eet_json *notes = eet_json_array();
    eet_hex_text hex;

    for (int32_t i = 0; i < c->notes.count; i++) {
        eet_json_append_string(notes, c->notes.line[i]);
    }
    eet_json_set_integer(root, "schema_version", SCHEMA_VERSION);
    eet_json_set_string(root, "output", report->target);
    eet_json_set_bool(root, "dry_run", report->dry_run);
    eet_json_set_string(root, "family", c->config.family->name);
    eet_json_set_string(root, "architecture", c->plan.class->name);
    eet_json_set_string(root, "source", eet_source_file_at(c->source, 0)->name);
    eet_json_set_integer(root, "bytes", (int64_t)eet_writer_bytes(report->writer));
    if (!report->dry_run) {
        (void)eet_format_sha256(&hex, eet_writer_content_sha256(report->writer));
        eet_json_set_string(root, "content_sha256", hex.text);
        eet_json_set(root, "cast", cast_summary(c));
    }
    eet_json_set(root, "tensors", list_places(c));
    eet_json_set(root, "left_out", list_left(c));
    eet_json_set(root, "notes", notes);
    return eet_json_write(root, stdout, false, err);
}

static eet_status print_models_json(eet_error *err) {
    eet_json *root = eet_json_object();
    eet_json *list = eet_json_array();

    for (int f = 0; eet_families[f] != NULL; f++) {
        for (const eet_class *c = eet_families[f]->classes; c->name != NULL; c++) {
            eet_json *entry = eet_json_object();

            eet_json_set_string(entry, "architecture", c->name);
            eet_json_set_string(entry, "family", eet_families[f]->name);
            eet_json_set_string(entry, "about", c->about);
            eet_json_append(list, entry);
        }
    }
    eet_json_set_integer(root, "schema_version", SCHEMA_VERSION);
    eet_json_set(root, "models", list);
    return eet_json_write(root, stdout, false, err);
}

eet_status eet_report_models(bool json, eet_error *err) {
    static const char *const header[] = {"architecture", "family", "what it gives"};
    static const bool right[] = {false, false, false};

    if (json) {
        return print_models_json(err);
    }
    eet_table *table = eet_table_create(3, header, right);

    for (int f = 0; eet_families[f] != NULL; f++) {
        for (const eet_class *c = eet_families[f]->classes; c->name != NULL; c++) {
            const char *const cells[] = {c->name, eet_families[f]->name, c->about};

            eet_table_row(table, cells);
        }
    }
    return eet_table_end(table, stdout, err);
}
