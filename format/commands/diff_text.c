/* diff_text.c - the differences of two .eet files, as tables for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/cli/text.h"
#include "format/commands/compare.h"
#include "format/commands/diff.h"
#include "format/commands/values.h"

enum { COLUMNS = 10, CELL = 512, SHOWN_BEFORE = 24 };

/* ---- values ------------------------------------------------------------- */

static const char *type_name(uint8_t type) {
    static const char *const names[] = {"?",     "u64",   "i64",   "f64",   "bool",    "string",
                                        "bytes", "u64[]", "i64[]", "f64[]", "string[]"};

    return names[type < sizeof names / sizeof *names ? type : 0];
}

/* The value as text; where only its type or its flags tell it from the other, with them. */
static char *value_text(const eet_kv *entry, uint32_t what) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);

    if (stream == NULL) {
        return NULL;
    }
    eet_value_print(entry, stream);
    if ((what & EET_DIFF_TYPE) != 0) {
        (void)fprintf(stream, " (%s)", type_name(entry->type));
    }
    if ((what & EET_DIFF_FLAGS) != 0) {
        (void)fprintf(stream, " (%s)",
                      (entry->flags & EET_KV_REQUIRED) != 0 ? "required" : "optional");
    }
    if (fclose(stream) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Long values begin shortly before they differ. */
static size_t shared_start(const char *a, const char *b) {
    size_t at = 0;

    if (strlen(a) <= EET_NAME_SHOWN && strlen(b) <= EET_NAME_SHOWN) {
        return 0;
    }
    while (a[at] != '\0' && a[at] == b[at]) {
        at++;
    }
    at = at > SHOWN_BEFORE ? at - SHOWN_BEFORE : 0;
    while (at > 0 && ((unsigned char)a[at] & 0xC0) == 0x80) {
        at--; /* no half characters */
    }
    return at;
}

static void format_value(char cell[CELL], const char *text, size_t start) {
    eet_shown shown;

    if (text == NULL) {
        (void)snprintf(cell, CELL, "(no memory)");
        return;
    }
    (void)snprintf(cell, CELL, "%s%s", start > 0 ? "..." : "",
                   eet_show(&shown, text + start, strlen(text + start)));
}

static void describe_entries(const eet_diff *diff, const eet_difference *d, char cell[2][CELL]) {
    char *text[2] = {NULL, NULL};
    size_t start = 0;

    for (int side = 0; side < 2; side++) {
        if (d->item[side] >= 0) {
            const eet_kv entry = eet_diff_entry(diff, d, side);

            text[side] = value_text(&entry, d->what);
        }
    }
    if (text[0] != NULL && text[1] != NULL) {
        start = shared_start(text[0], text[1]);
    }
    for (int side = 0; side < 2; side++) {
        if (d->item[side] >= 0) {
            format_value(cell[side], text[side], start);
        }
        free(text[side]);
    }
}

static void describe_tensor(const eet_diff *diff, const eet_difference *d, int side,
                            char cell[CELL]) {
    const eet_file_tensor t = eet_diff_tensor(diff, d, side);
    eet_shape_text shape;
    int used = snprintf(cell, CELL, "%s %s", eet_dtype_name((eet_dtype)t.dtype),
                        eet_shape_format(&shape, &t));

    if (t.alias_of >= 0 && used > 0 && used < CELL) {
        used += snprintf(cell + used, (size_t)(CELL - used), " = %s",
                         eet_file_tensor_at(diff->file[side], t.alias_of).name);
    }
    if ((d->what & EET_DIFF_PLACE) != 0 && used > 0 && used < CELL) {
        (void)snprintf(cell + used, (size_t)(CELL - used), " role 0x%04x layer %d", t.role,
                       (int)t.layer);
    }
}

static void describe_asset(const eet_diff *diff, const eet_difference *d, int side,
                           char cell[CELL]) {
    const eet_file_asset asset = eet_diff_asset(diff, d, side);
    eet_size_text size;
    eet_hex_text hex;

    (void)snprintf(cell, CELL, "%s, %s, sha256:%.12s...",
                   asset.functional ? "functional" : "informative",
                   eet_format_size(&size, asset.bytes), eet_format_sha256(&hex, asset.sha256));
}

/* What each side has; "-" where it has nothing. */
static void describe(const eet_diff *diff, const eet_difference *d, char cell[2][CELL]) {
    (void)snprintf(cell[0], CELL, "-");
    (void)snprintf(cell[1], CELL, "-");
    if (d->kind == EET_DIFF_FACT || d->kind == EET_DIFF_PROVENANCE) {
        describe_entries(diff, d, cell);
        return;
    }
    for (int side = 0; side < 2; side++) {
        if (d->item[side] < 0) {
            continue;
        }
        if (d->kind == EET_DIFF_TENSOR) {
            describe_tensor(diff, d, side, cell[side]);
        } else if (d->kind == EET_DIFF_ASSET) {
            describe_asset(diff, d, side, cell[side]);
        } else {
            (void)snprintf(cell[side], CELL, "present");
        }
    }
}

/* ---- rows --------------------------------------------------------------- */

static const char *mark_of(const eet_difference *d) {
    return d->item[0] < 0 ? "+" : d->item[1] < 0 ? "-" : "~";
}

/* "dtype, values" */
static void list_what(const eet_difference *d, char cell[CELL]) {
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{EET_DIFF_TYPE, "dtype"},  {EET_DIFF_SHAPE, "shape"}, {EET_DIFF_VALUE, "values"},
                 {EET_DIFF_PLACE, "place"}, {EET_DIFF_FLAGS, "flags"}, {EET_DIFF_ALIAS, "alias"}};
    size_t used = 0;

    cell[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((d->what & names[i].bit) != 0) {
            used += (size_t)snprintf(cell + used, CELL - used, "%s%s", used == 0 ? "" : ", ",
                                     names[i].name);
        }
    }
}

/* The tensor with the largest relative distance; name "" while there is none. */
typedef struct furthest {
    char name[EET_DIFF_NAME_ROOM];
    double distance;
} furthest;

static void note_distance(furthest *far, const char *name, double distance) {
    if (far->name[0] == '\0' || distance > far->distance) {
        (void)snprintf(far->name, sizeof far->name, "%s", name);
        far->distance = distance;
    }
}

/* The numbers of --stats: largest, relative, cosine, changed, not finite. */
static void list_numbers(const eet_diff *diff, const eet_difference *d, char cell[5][CELL],
                         furthest *far) {
    char room[EET_DIFF_NAME_ROOM];
    eet_comparison c;

    for (int i = 0; i < 5; i++) {
        (void)snprintf(cell[i], CELL, "-");
    }
    if (!eet_diff_compare(diff, d, &c)) {
        return;
    }
    note_distance(far, eet_diff_name(diff, d, room), c.relative_l2);
    (void)snprintf(cell[0], CELL, "%.4g", c.max_difference);
    (void)snprintf(cell[1], CELL, "%.3g", c.relative_l2);
    if (c.cosine == c.cosine) {
        (void)snprintf(cell[2], CELL, "%.6f", c.cosine);
    }
    (void)snprintf(cell[3], CELL, "%" PRIu64, c.changed);
    if (c.finite < c.count) {
        (void)snprintf(cell[4], CELL,
                       "%" PRIu64 " NaN %" PRIu64 " inf | %" PRIu64 " NaN %" PRIu64 " inf",
                       c.nans[0], c.infinities[0], c.nans[1], c.infinities[1]);
    }
}

static void add_row(eet_table *table, const eet_diff *diff, const eet_difference *d,
                    furthest *far) {
    char room[EET_DIFF_NAME_ROOM];
    char cell[2][CELL];
    char what[CELL] = "";
    char number[5][CELL];
    const char *cells[COLUMNS] = {mark_of(d), eet_diff_name(diff, d, room), cell[0], cell[1], what};

    describe(diff, d, cell);
    if (d->kind == EET_DIFF_TENSOR) {
        list_what(d, what);
    }
    if (far != NULL) {
        list_numbers(diff, d, number, far);
        for (int i = 0; i < 5; i++) {
            cells[5 + i] = number[i];
        }
    }
    eet_table_row(table, cells);
}

static eet_status print_kind(const eet_diff *diff, eet_diff_kind kind, eet_error *err) {
    static const bool right[COLUMNS] = {false, false, false, false, false,
                                        true,  true,  true,  true,  false};
    const bool tensors = kind == EET_DIFF_TENSOR;
    const bool stats = tensors && diff->options->stats;
    const char *header[COLUMNS] = {" ",
                                   eet_diff_kind_name(kind),
                                   "A",
                                   "B",
                                   tensors ? "differ in" : "",
                                   "max |A-B|",
                                   "relative L2",
                                   "cosine",
                                   "changed",
                                   "not finite A | B"};
    eet_table *table = eet_table_create(stats ? COLUMNS : 5, header, right);
    furthest far = {.distance = 0};

    for (uint32_t i = 0; i < diff->count; i++) {
        if (diff->items[i].kind == kind) {
            add_row(table, diff, &diff->items[i], stats ? &far : NULL);
        }
    }
    (void)putchar('\n');
    const eet_status status = eet_table_end(table, stdout, err);

    if (status == EET_OK && far.distance > 0) {
        (void)printf("\nfurthest apart: %s, relative L2 %.3g\n", far.name, far.distance);
    }
    return status;
}

/* ---- all ---------------------------------------------------------------- */

static void print_counts(const eet_diff *diff) {
    static const char *const many[] = {"facts", "tensors", "vocabularies", "assets",
                                       "notes of provenance"};
    static const char *const one[] = {"fact", "tensor", "vocabulary", "asset",
                                      "note of provenance"};
    const char *comma = "";

    (void)putchar('\n');
    for (int kind = 0; kind < EET_DIFF_KINDS; kind++) {
        const uint32_t count = diff->count_of[kind];

        if (count > 0) {
            (void)printf("%s%" PRIu32 " %s", comma, count, count == 1 ? one[kind] : many[kind]);
            comma = ", ";
        }
    }
    (void)printf(" %s\n", diff->count == 1 ? "differs" : "differ");
}

eet_status eet_diff_print(const eet_diff *diff, eet_error *err) {
    eet_status status = EET_OK;
    eet_shown shown;
    eet_hex_text hex;

    for (int side = 0; side < 2; side++) {
        (void)printf("%c %s  sha256:%s\n", "AB"[side],
                     eet_show(&shown, diff->path[side], strlen(diff->path[side])),
                     eet_format_sha256(&hex, eet_file_content_sha256(diff->file[side])));
    }
    for (int kind = 0; status == EET_OK && kind < EET_DIFF_KINDS; kind++) {
        if (diff->count_of[kind] > 0) {
            status = print_kind(diff, (eet_diff_kind)kind, err);
        }
    }
    if (status == EET_OK) {
        print_counts(diff);
    }
    return status;
}
